//! A list of several batches beside a move.

use loom::sync::Arc;
use loom::thread;

use crate::copies::Copied;
use crate::lists::Lists;
use crate::moves::Moves;
use crate::support::model;

/// A list of two batches, of a record each, beside a move that changes both records. The
/// list gives both as they were before the move, or both as they are after it.
#[test]
fn a_list_is_overtaken_or_begins_anew() {
    model("a_list_is_overtaken_or_begins_anew", Some(3), || {
        struct Pool {
            moves: Moves,
            lists: Lists,
            frames: [Arc<Copied>; 2],
        }
        let pool = Arc::new(Pool {
            moves: Moves::new(),
            lists: Lists::new(),
            frames: [Copied::new(), Copied::new()],
        });
        let mover = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || {
                // Nobody else changes anything, so the gate counts as closed.
                let pin = || pool.frames.each_ref().map(|frame| frame.pin())[0];
                let _moving = pool.lists.overtake(&pool.moves, pin);
                pool.frames.iter().for_each(|frame| frame.change(2));
            })
        };
        let unpin = |epoch: Option<u64>| {
            if let Some(epoch) = epoch {
                pool.frames.iter().for_each(|frame| frame.unpin(epoch));
            }
        };
        let listed = loop {
            let seen = pool.moves.begin();
            let Some(first) = pool.frames[0].try_live() else { continue };
            if !pool.moves.unchanged(seen) {
                continue;
            }
            if let Some(listed) = pool.lists.register(&pool.moves, seen) {
                break (first, listed);
            }
        };
        let (first, listed) = listed;
        let live = pool.frames[1].try_live();
        let second = match live {
            Some(live) if pool.moves.unchanged(listed.seen()) => live,
            _ => {
                let epoch = pool.lists.epoch(&listed).expect("a move has overtaken the list");
                pool.frames[1].at(epoch)
            }
        };
        assert_eq!(first, second, "a move came between two batches");
        unpin(pool.lists.end(listed));
        mover.join().unwrap();
        pool.frames.iter().for_each(|frame| {
            assert_eq!(frame.live(), 2);
            frame.assert_nothing_kept();
        });
    });
}
