//! Passes of the gate, and those who close it.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;

use crate::gate::Gate;
use crate::support::model;

#[test]
fn closed_gate_is_alone() {
    model("closed_gate_is_alone", None, || {
        let gate = Arc::new(Gate::new());
        let steps = Arc::new(AtomicU64::new(0));
        let writer = {
            let (gate, steps) = (Arc::clone(&gate), Arc::clone(&steps));
            thread::spawn(move || {
                let _pass = gate.enter();
                steps.fetch_add(1, Ordering::Relaxed);
                steps.fetch_add(1, Ordering::Relaxed);
            })
        };
        let closed = gate.close();
        assert_ne!(steps.load(Ordering::Relaxed), 1, "a pass is under way");
        drop(closed);
        writer.join().unwrap();
        assert_eq!(steps.load(Ordering::Relaxed), 2, "the pass was granted once");
    });
}

#[test]
fn closers_exclude_each_other() {
    model("closers_exclude_each_other", None, || {
        let gate = Arc::new(Gate::new());
        let count = Arc::new(AtomicU64::new(0));
        let add = |gate: &Gate, count: &AtomicU64| {
            let _closed = gate.close();
            let value = count.load(Ordering::Relaxed);
            count.store(value + 1, Ordering::Relaxed);
        };
        let other = {
            let (gate, count) = (Arc::clone(&gate), Arc::clone(&count));
            thread::spawn(move || add(&gate, &count))
        };
        add(&gate, &count);
        other.join().unwrap();
        let _pass = gate.enter();
        assert_eq!(count.load(Ordering::Relaxed), 2, "no addition is lost");
    });
}

#[test]
fn what_a_pass_did_is_visible_under_the_closed_gate() {
    model("what_a_pass_did_is_visible_under_the_closed_gate", None, || {
        let gate = Arc::new(Gate::new());
        let cell = Arc::new(loom::cell::UnsafeCell::new(0u64));
        let writer = {
            let (gate, cell) = (Arc::clone(&gate), Arc::clone(&cell));
            thread::spawn(move || {
                let _pass = gate.enter();
                // The only pass, so the access is exclusive unless the gate leaks.
                cell.with_mut(|value| {
                    // SAFETY: the model checker reports any other access at the time.
                    unsafe { *value += 1 }
                });
            })
        };
        let closed = gate.close();
        let seen = cell.with_mut(|value| {
            // SAFETY: as above.
            unsafe {
                *value += 10;
                *value
            }
        });
        assert!(seen == 10 || seen == 11);
        drop(closed);
        writer.join().unwrap();
        let _closed = gate.close();
        // SAFETY: all threads are joined.
        let total = cell.with(|value| unsafe { *value });
        assert_eq!(total, 11, "both changes are there, once");
    });
}

#[test]
fn gate_wakes_everyone() {
    model("gate_wakes_everyone", Some(3), || {
        let gate = Arc::new(Gate::new());
        let entered = Arc::new(AtomicU64::new(0));
        let closed = gate.close();
        let writers: Vec<_> = (0..2)
            .map(|_| {
                let (gate, entered) = (Arc::clone(&gate), Arc::clone(&entered));
                thread::spawn(move || {
                    let _pass = gate.enter();
                    entered.fetch_add(1, Ordering::Relaxed);
                })
            })
            .collect();
        assert_eq!(entered.load(Ordering::Relaxed), 0, "the gate is closed");
        drop(closed);
        for writer in writers {
            writer.join().unwrap();
        }
        assert_eq!(entered.load(Ordering::Relaxed), 2, "all who waited came in");
    });
}
