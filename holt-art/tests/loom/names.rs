//! A read beside a move of what it reads.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;

use crate::gate::Gate;
use crate::latch::LatchRef;
use crate::moves::Moves;
use crate::support::model;

/// Two names, a subtree that hangs below one of them (1 in a name's cell says that it does),
/// and a record below the subtree. The subtree stands between, because its frame does not
/// change when it is hung elsewhere: validating it does not notice.
struct Names {
    gate: Gate,
    moves: Moves,
    words: [AtomicU64; 4],
    cells: [AtomicU64; 4],
}

impl Names {
    fn latch(&self, cell: usize) -> LatchRef<'_> {
        LatchRef::new(&self.words[cell])
    }

    fn load(&self, cell: usize) -> u64 {
        self.cells[cell].load(Ordering::Relaxed)
    }

    /// Stores into a cell as the holder of its latch.
    fn store(&self, cell: usize, value: u64) {
        let seen = self.latch(cell).acquire();
        self.cells[cell].store(value, Ordering::Relaxed);
        self.latch(cell).release(seen, 0);
    }

    /// The record below the first name, read as a get does; `None` when it has to be
    /// read again.
    fn read(&self) -> Option<Option<u64>> {
        let moves = self.moves.begin();
        let name = self.latch(0).try_observe()?;
        let hangs = self.load(0) == 1;
        let subtree = self.latch(2).try_observe()?;
        if !self.latch(0).validate(name) {
            return None;
        }
        let leads = self.load(2) == 1;
        let record = self.latch(3).try_observe()?;
        if !self.latch(2).validate(subtree) {
            return None;
        }
        let value = self.load(3);
        let sound = self.latch(3).validate(record) && self.moves.unchanged(moves);
        sound.then_some((hangs && leads).then_some(value))
    }
}

#[test]
fn a_reader_never_sees_half_a_move() {
    model("a_reader_never_sees_half_a_move", Some(3), || {
        let cell = |value| AtomicU64::new(value);
        let names = Arc::new(Names {
            gate: Gate::new(),
            moves: Moves::new(),
            words: [cell(0), cell(0), cell(0), cell(0)],
            cells: [cell(1), cell(0), cell(1), cell(10)],
        });
        let writer = {
            let names = Arc::clone(&names);
            thread::spawn(move || {
                {
                    let _closed = names.gate.close();
                    let _moving = names.moves.start();
                    names.store(0, 0);
                    names.store(1, 1);
                }
                // The record is changed under its new name.
                let _pass = names.gate.enter();
                names.store(3, 20);
            })
        };
        if let Some(found) = names.read() {
            assert!(matches!(found, Some(10) | None), "{found:?} never was below the first name");
        }
        writer.join().unwrap();
        assert_eq!(names.read(), Some(None));
    });
}
