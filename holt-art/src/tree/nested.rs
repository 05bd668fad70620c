//! Tests of frames in company that inserting and removing seldom make: frames that are
//! above themselves, and pairs of which each is above the other.

use super::Tree;
use super::outcome::{Condition, Put, Version};
use super::scan::Scan;
use super::way::Way;
use crate::frame::edit::Edit;
use crate::frame::key::Key;
use crate::frame::leaf::{Shape, Value};
use crate::frame::walk::End;
use crate::frame::{Entry, Loc, Nature, Ref, Target};
use crate::pool::{Latched, Pool, PoolOptions};

/// What hangs below a byte of a node made by hand.
enum Child {
    Record,
    /// A record with a value of this many bytes.
    Large(usize),
    Crossing(Target),
}

fn to(frame: &Latched<'_>, entry: u16) -> Child {
    Child::Crossing(Target { frame: frame.number(), entry })
}

/// Makes entry `index` of the frame a node with these children.
fn plant(frame: &Latched<'_>, index: usize, children: &[(u8, Child)]) {
    Edit::set_entry(frame.words(), index, Entry { occupied: true, ..Entry::default() });
    let mut edit = frame.edit(index);
    let mut below = Vec::new();
    for (byte, child) in children {
        let item = match child {
            Child::Record => plant_leaf(&mut edit, b"value"),
            Child::Large(length) => plant_leaf(&mut edit, &vec![b'v'; *length]),
            Child::Crossing(target) => {
                let at = edit.take_for_good(1).unwrap();
                edit.write_crossing(at, *target)
            }
        };
        below.push((*byte, item));
    }
    let at = edit.take_for_good(Edit::n4_words(0)).unwrap();
    let node = edit.write_n4(at, b"", Ref::NULL, &mut below);
    edit.set_ref(Loc::entry(index), node);
    edit.finish();
}

fn plant_leaf(edit: &mut Edit<'_>, value: &[u8]) -> Ref {
    let value = Value::Inline(value);
    let at = edit.take_for_good(Shape::new(0, &value).words()).unwrap();
    edit.count_keys(1);
    edit.write_leaf(at, b"", &value, 1)
}

fn empty_tree() -> Tree {
    let pool = Pool::new(PoolOptions::with_bytes(16 << 20, 1 << 20)).unwrap();
    let pass = pool.enter();
    pool.create_tree(&pass).unwrap()
}

fn writable_root(tree: &Tree) -> Latched<'_> {
    let mut root = tree.pool.latch_now(tree.root).unwrap();
    root.writable().unwrap();
    root
}

fn assert_sound(tree: &Tree, keys: &[&[u8]]) {
    let faults = tree.pool.verify(&tree.pool.close_gate(), &[tree.root()]);
    assert_eq!(faults, []);
    for key in keys {
        let found = tree.get(key, |value, _| value.to_vec()).unwrap();
        assert_eq!(found.as_deref(), Some(&b"value"[..]), "{}", key.escape_ascii());
    }
}

/// One frame holds three subtrees, each hanging below the one before. What moves out of it
/// then contains a crossing that has to follow what else moves out.
#[test]
fn subtrees_that_hang_below_one_another_move_out_together() {
    let tree = empty_tree();
    {
        let root = writable_root(&tree);
        let frame = tree.pool.new_frame(0).unwrap();
        plant(&root, 0, &[(b'l', Child::Record), (b'x', to(&frame, 0))]);
        plant(&frame, 0, &[(b'l', Child::Record), (b'x', to(&frame, 1))]);
        plant(&frame, 1, &[(b'l', Child::Record), (b'x', to(&frame, 2))]);
        plant(&frame, 2, &[(b'l', Child::Record), (b'm', Child::Record)]);
    }
    let keys: [&[u8]; 5] = [b"l", b"xl", b"xxl", b"xxxl", b"xxxm"];
    assert_sound(&tree, &keys);

    let key = Key::new(b"xxxl");
    let way = Way::find(&tree, key, 0).unwrap().unwrap();
    assert_eq!(way.path.len(), 4);
    assert_eq!(tree.divide(way, 3, key), Ok(true));
    assert_sound(&tree, &keys);
}

/// A list goes over three frames, and on in each of them when it comes back.
#[test]
fn lists_come_back_to_every_frame_that_they_have_gone_over_from() {
    let tree = empty_tree();
    {
        let root = writable_root(&tree);
        let [a, b, c] = [0, 1, 2].map(|_| tree.pool.new_frame(0).unwrap());
        // No leaf is where one of another frame is.
        let children = |length, frame, byte| {
            [(b'l', Child::Large(length)), (b'x', to(frame, 0)), (byte, Child::Record)]
        };
        plant(&root, 0, &children(30, &a, b'z'));
        plant(&a, 0, &children(70, &b, b'y'));
        plant(&b, 0, &children(110, &c, b'z'));
        plant(&c, 0, &[(b'l', Child::Large(150)), (b'm', Child::Record)]);
    }
    assert_sound(&tree, &[b"xxxm", b"xxz", b"xy", b"z"]);
    let records: [(&[u8], usize); 8] = [
        (b"l", 30),
        (b"xl", 70),
        (b"xxl", 110),
        (b"xxxl", 150),
        (b"xxxm", 5),
        (b"xxz", 5),
        (b"xy", 5),
        (b"z", 5),
    ];
    for reverse in [false, true] {
        let mut expected = records.map(|(key, length)| (key.to_vec(), length));
        if reverse {
            expected.reverse();
        }
        for limit in 1..=records.len() {
            let scan = Scan::all().reverse(reverse).limit(limit as u64);
            let list = tree.cursor(scan).map(|entry| entry.unwrap().into_record().unwrap());
            let list: Vec<_> = list.map(|(key, value)| (key, value.len())).collect();
            assert_eq!(list, expected[..limit]);
        }
    }
}

/// Two frames are each above the other. Readers that take latches and come through them in
/// different order would wait for each other, if they waited without an end.
#[test]
fn latched_descents_in_different_order_both_end() {
    let tree = empty_tree();
    {
        let root = writable_root(&tree);
        let (a, b) = (tree.pool.new_frame(0).unwrap(), tree.pool.new_frame(0).unwrap());
        plant(&root, 0, &[(b'a', to(&a, 0)), (b'b', to(&b, 0))]);
        plant(&a, 0, &[(b'l', Child::Record), (b'x', to(&b, 1))]);
        plant(&b, 0, &[(b'l', Child::Record), (b'x', to(&a, 1))]);
        plant(&a, 1, &[(b'l', Child::Record), (b'm', Child::Record)]);
        plant(&b, 1, &[(b'l', Child::Record), (b'm', Child::Record)]);
    }
    let keys: [&[u8]; 4] = [b"axl", b"axm", b"bxl", b"bxm"];
    assert_sound(&tree, &keys);

    // The moment that matters, one side at a time: the next frame on the way is held for good
    // by somebody else. The descent ends all the same, and gives back what it held.
    let descend = |key| tree.descend_latched(Key::new(key), |_, site| Ok(site.end)).unwrap();
    for (held_by, key) in [(b"bxl", b"axl"), (b"axl", b"bxl")] {
        let own = tree.descend_path(Key::new(held_by)).unwrap().unwrap()[1].frame;
        let held = tree.pool.latch_now(own).unwrap();
        assert_eq!(descend(key), None);
        drop(held);
        assert_eq!(descend(key), Some(End::Found));
    }

    // And all sides at once.
    std::thread::scope(|scope| {
        for key in keys {
            let tree = &tree;
            scope.spawn(move || {
                let mut found = 0;
                while found < 100 {
                    let end = tree.descend_latched(Key::new(key), |_, site| Ok(site.end)).unwrap();
                    found += usize::from(end == Some(End::Found));
                    assert!(matches!(end, None | Some(End::Found)));
                }
            });
        }
    });
    assert_sound(&tree, &keys);
}

/// Two neighbouring frames are both nearly full of what other parents own, and a subtree
/// that needs more room than either has left is the last that their common parent could
/// move. Moving it from one to the other and back makes no room.
#[test]
fn a_subtree_is_not_moved_between_two_frames_that_are_both_too_full_for_it() {
    let tree = empty_tree();
    {
        let root = writable_root(&tree);
        let nature = |number, level| Nature { number, level, ascending: 0, longest: 0 };
        Edit::format(root.words(), nature(tree.root, 2), 1);
        let upper = tree.pool.new_frame(1).unwrap();
        let (left, right) = (tree.pool.new_frame(0).unwrap(), tree.pool.new_frame(0).unwrap());
        for frame in [&left, &right] {
            Edit::format(frame.words(), nature(frame.number(), 0), 8);
            for entry in 2..6 {
                let large = |byte| (byte, Child::Large(3260));
                plant(frame, entry, &[large(b'a'), large(b'b'), large(b'c'), large(b'd')]);
            }
        }
        let others = tree.pool.new_frame(1).unwrap();
        Edit::format(others.words(), nature(others.number(), 1), 4);
        for (entry, frame) in [(0, &left), (1, &right)] {
            let owned = [2, 3, 4, 5].map(|index| (index as u8, to(frame, index)));
            plant(&others, entry, &owned);
        }
        plant(&root, 0, &[(b'p', to(&upper, 0)), (b'x', to(&others, 0)), (b'y', to(&others, 1))]);
        let owned = [(b'a', to(&left, 0)), (b'f', to(&left, 1)), (b'n', to(&right, 0))];
        plant(&upper, 0, &owned);
        plant(&left, 0, &[(b'l', Child::Record)]);
        plant(&left, 1, &[(b'l', Child::Large(3560)), (b'm', Child::Large(3560))]);
        plant(&right, 0, &[(b'l', Child::Record)]);
    }
    assert_sound(&tree, &[b"pal", b"pnl"]);
    let pass = tree.pool.enter();
    let version = |_| Version::new(2).unwrap();
    let value = Value::Inline(&[b'v'; 3560]);
    let put = tree.put_value(Key::new(b"pflong"), value, Condition::Always, version).unwrap();
    assert!(matches!(put, Put::Inserted(_)));
    drop(pass);
    assert_sound(&tree, &[b"pal", b"pnl"]);
}
