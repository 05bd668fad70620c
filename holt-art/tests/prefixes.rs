//! Renaming and removing whole prefixes, against `BTreeMap`, every invariant checked along
//! the way.

#[path = "support/model.rs"]
mod model;

use holt_art::{
    Art, Condition, Cut, EntryRef, Error, Existing, MAX_KEY, Pool, PoolOptions, Put, Renamed, Scan,
    Version,
};
use model::{Model, below, rename};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Op {
    Put(Vec<u8>, Vec<u8>),
    /// Puts so many keys of a shape below a prefix.
    Fill(Vec<u8>, u16, u16),
    Remove(Vec<u8>),
    Rename(Vec<u8>, Vec<u8>, Existing),
    RemovePrefix(Vec<u8>),
    Reclaim(usize),
    IsEmpty(Vec<u8>),
}

fn byte() -> impl Strategy<Value = u8> {
    prop_oneof![Just(b'a'), Just(b'b'), Just(b'/'), Just(0), Just(0xFF), Just(0xFE)]
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        12 => prop::collection::vec(byte(), 0..5),
        4 => prop::collection::vec(prop_oneof![Just(b'a'), Just(b'/')], 0..9),
        2 => (byte(), 240usize..260, byte()).prop_map(|(head, length, tail)| {
            let mut name = vec![head; length];
            name.push(tail);
            name
        }),
        1 => (byte(), 300usize..9_000, byte()).prop_map(|(head, length, tail)| {
            let mut name = vec![head; length];
            name.push(tail);
            name
        }),
        1 => (byte(), 60_000usize..65_535, byte()).prop_map(|(head, length, tail)| {
            let mut name = vec![head; length];
            name.push(tail);
            name
        }),
    ]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => prop::collection::vec(any::<u8>(), 0..40),
        1 => (any::<u8>(), 3_000usize..5_000).prop_map(|(byte, length)| vec![byte; length]),
        1 => (any::<u8>(), 5_000usize..20_000).prop_map(|(byte, length)| vec![byte; length]),
    ]
}

fn existing() -> impl Strategy<Value = Existing> {
    prop_oneof![Just(Existing::Refuse), Just(Existing::Replace)]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (name(), value()).prop_map(|(name, value)| Op::Put(name, value)),
        2 => (name(), 1u16..1_500, 1u16..40).prop_map(|(name, count, step)| Op::Fill(name, count, step)),
        2 => name().prop_map(Op::Remove),
        6 => (name(), name(), existing()).prop_map(|(from, to, existing)| Op::Rename(from, to, existing)),
        2 => name().prop_map(Op::RemovePrefix),
        1 => (0usize..20).prop_map(Op::Reclaim),
        2 => name().prop_map(Op::IsEmpty),
    ]
}

fn is_full<T>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::PoolFull { .. }))
}

/// A put; a full pool changes nothing.
fn put(map: &Art, model: &mut Model, key: Vec<u8>, value: Vec<u8>) {
    match map.put(&key, &value) {
        Ok(Put::Inserted(version) | Put::Replaced(version)) => {
            model.insert(key, (value, version));
        }
        Err(Error::PoolFull { .. }) => {}
        other => panic!("nothing was asked for that could be refused: {other:?}"),
    }
}

fn compare(map: &Art, model: &Model) {
    assert_eq!(map.verify(), []);
    assert_eq!(map.len(), model.len() as u64);
    let mut expected = model.iter();
    for entry in map.scan(Scan::all()) {
        let entry = entry.unwrap();
        let EntryRef::Key { key, value, version } = entry.as_ref() else { panic!("no delimiter") };
        let (name, record) = expected.next().expect("the map has no more than the model");
        assert!(key == name && value == record.0 && version == record.1, "{name:?}");
    }
    assert!(expected.next().is_none());
}

fn apply(map: &Art, model: &mut Model, op: Op) {
    match op {
        Op::Put(key, value) => put(map, model, key, value),
        Op::Fill(prefix, count, step) => {
            if prefix.len() < 1_000 {
                for n in 0..count {
                    let tail = format!("{:05}", n.wrapping_mul(step));
                    put(map, model, [&prefix, tail.as_bytes()].concat(), vec![b'v'; 9]);
                }
            }
        }
        Op::Remove(key) => {
            if !is_full(&map.remove(&key)) {
                model.remove(&key);
            }
        }
        Op::Rename(from, to, existing) => {
            let before = model.clone();
            let expected = rename(model, &from, &to, existing);
            let renamed = map.rename_prefix(&from, &to, existing);
            match expected {
                Ok(true) if is_full(&renamed) => *model = before,
                Ok(true) => assert!(matches!(renamed, Ok(Renamed::Renamed(_))), "{renamed:?}"),
                Ok(false) => assert_eq!(renamed, Ok(Renamed::Unchanged)),
                Err(error) => {
                    assert_eq!(renamed, Err(error));
                    assert_eq!(&before, model);
                }
            }
        }
        Op::RemovePrefix(prefix) => {
            let expected = below(model, &prefix);
            let removed = map.remove_prefix(&prefix);
            if !is_full(&removed) {
                assert_eq!(removed, Ok(!expected.is_empty()));
                for key in expected {
                    model.remove(&key);
                }
            }
        }
        Op::Reclaim(parts) => {
            let reclaimed = map.reclaim(parts);
            assert!(reclaimed.is_ok() || is_full(&reclaimed), "{reclaimed:?}");
        }
        Op::IsEmpty(prefix) => {
            let empty = map.tree().is_prefix_empty(&prefix).unwrap();
            assert_eq!(empty, below(model, &prefix).is_empty());
        }
    }
}

/// Everything goes, and all memory comes back but two roots.
fn empty(map: &Art) {
    map.remove_prefix(b"").unwrap();
    while map.reclaim(7).unwrap() {}
    assert_eq!(map.verify(), []);
    let stats = map.tree().pool().stats();
    assert!(stats.frames <= 2 && stats.blobs == 0, "{stats:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn prefixes_move_and_vanish_as_in_a_model(ops in prop::collection::vec(op(), 1..60)) {
        let map = Art::new().unwrap();
        let mut model = Model::new();
        for op in ops {
            apply(&map, &mut model, op);
            compare(&map, &model);
        }
        empty(&map);
    }

    /// In a pool with hardly any room, with cuts that take copies: what is refused has changed
    /// nothing.
    #[test]
    fn a_full_pool_refuses_and_changes_nothing(
        ops in prop::collection::vec((op(), 0u8..8), 1..60),
        frames in 24u64..90,
    ) {
        let bytes = frames * Pool::FRAME_BYTES as u64;
        let map = Art::with_options(PoolOptions::with_bytes(bytes, 1 << 20)).unwrap();
        let pool = map.tree().pool();
        let mut model = Model::new();
        let mut cut = None;
        for (op, turn) in ops {
            match turn {
                0 if cut.is_none() => cut = Some(pool.cut(&pool.close_gate()).unwrap()),
                1 => cut.take().into_iter().for_each(Cut::commit),
                2 => drop(cut.take()),
                _ => {}
            }
            apply(&map, &mut model, op);
            compare(&map, &model);
        }
        drop(cut);
    }
}

/// Directories of all sizes below one parent, each renamed in turn, several times over.
#[test]
fn directories_of_every_size_move_again_and_again() {
    let map = Art::new().unwrap();
    let mut model = Model::new();
    for (dir, count) in [1usize, 2, 5, 17, 60, 300, 1_200, 9_000, 40_000].into_iter().enumerate() {
        for n in 0..count {
            let key = format!("home/user-{dir}/photos/{:03}/{n:06}.jpg", n / 100).into_bytes();
            put(&map, &mut model, key, vec![n as u8; 20 + n % 30]);
        }
    }
    for round in 0..6 {
        for dir in 0..9 {
            let name = |round: usize| format!("home/{}user-{dir}/", "old/".repeat(round % 3));
            let (from, to) = (name(round), name(round + 1));
            let frames = map.tree().pool().stats().frames;
            assert_eq!(
                rename(&mut model, from.as_bytes(), to.as_bytes(), Existing::Refuse),
                Ok(true)
            );
            let renamed = map.rename_prefix(from.as_bytes(), to.as_bytes(), Existing::Refuse);
            assert!(matches!(renamed, Ok(Renamed::Renamed(_))), "{from} to {to}: {renamed:?}");
            assert!(map.tree().pool().stats().frames <= frames + 3);
            assert_eq!(map.verify(), []);
        }
        compare(&map, &model);
    }
    let stats = map.tree().pool().stats();
    assert!(stats.fill() > 0.5, "{stats:?}");
    empty(&map);
}

/// Each line: what is there, the rename, and what is there afterwards or why not.
#[test]
fn the_rules_of_a_rename() {
    use Existing::{Refuse, Replace};
    type Line = (
        &'static [&'static str],
        &'static str,
        &'static str,
        Existing,
        Result<&'static [&'static str], Error>,
    );
    let lines: &[Line] = &[
        (&["a/1"], "", "b/", Refuse, Err(Error::EmptyPrefix)),
        (&["a/1"], "a/", "", Refuse, Err(Error::EmptyPrefix)),
        (&["a/1"], "b/", "c/", Refuse, Err(Error::PrefixMissing)),
        (&["a/1"], "b/", "b/", Refuse, Err(Error::PrefixMissing)),
        (&["a/1"], "a/", "a/", Refuse, Ok(&["a/1"])),
        (&["a/1"], "a/", "a/b/", Replace, Err(Error::PrefixInside)),
        (&["a/1", "b/1"], "a/", "b/", Refuse, Err(Error::PrefixOccupied)),
        (&["a/1", "b/1", "b/2"], "a/", "b/", Replace, Ok(&["b/1"])),
        (&["a/1"], "a/", "ab/", Refuse, Ok(&["ab/1"])),
        (&["a/b/1"], "a/b/", "a/bc/", Refuse, Ok(&["a/bc/1"])),
        (&["a/b", "a/bc", "a/b/d"], "a/b", "x", Refuse, Ok(&["x", "x/d", "xc"])),
        (&["a/b", "a/bc", "a/b/d"], "a/b/", "x/", Refuse, Ok(&["a/b", "a/bc", "x/d"])),
        // Upwards, into a name of which the old one is a part.
        (&["a/b/1", "a/b/2"], "a/b/", "a/", Refuse, Ok(&["a/1", "a/2"])),
        (&["a/b/1", "a/2"], "a/b/", "a/", Refuse, Err(Error::PrefixOccupied)),
        (&["a/b/1", "a/2"], "a/b/", "a/", Replace, Ok(&["a/1"])),
        (&["a/", "a/b/1"], "a/b/", "a/", Refuse, Err(Error::PrefixOccupied)),
        // In the middle of a compressed path, and of a single key.
        (&["abcdef/1", "abcdef/2"], "abc", "x", Refuse, Ok(&["xdef/1", "xdef/2"])),
        (&["abcdef"], "abcd", "abcx", Refuse, Ok(&["abcxef"])),
        (&["abcdef"], "abcdef", "b", Refuse, Ok(&["b"])),
    ];
    for (there, from, to, existing, expected) in lines {
        let map = Art::new().unwrap();
        for key in *there {
            map.put(key.as_bytes(), key.as_bytes()).unwrap();
        }
        let renamed = map.rename_prefix(from.as_bytes(), to.as_bytes(), *existing);
        let keys: Vec<String> = map
            .scan(Scan::all())
            .map(|entry| String::from_utf8(entry.unwrap().into_name()).unwrap())
            .collect();
        let what = format!("{there:?}: {from} to {to}");
        match expected {
            Ok(after) => {
                assert!(renamed.is_ok(), "{what}: {renamed:?}");
                assert_eq!(keys, *after, "{what}");
            }
            Err(error) => {
                assert_eq!(renamed.as_ref(), Err(error), "{what}");
                let mut before: Vec<_> = there.iter().map(|key| (*key).to_owned()).collect();
                before.sort();
                assert_eq!(keys, before, "{what}");
            }
        }
        assert_eq!(map.verify(), [], "{what}");
    }
}

/// The bound on the length of keys is too large for this rename; the keys are not.
#[test]
fn an_overestimated_length_refuses_no_legal_rename() {
    let map = Art::new().unwrap();
    map.put(&vec![b'l'; MAX_KEY], b"").unwrap();
    map.remove(&vec![b'l'; MAX_KEY]).unwrap();
    for n in 0..20_000 {
        map.put(format!("a/{n}").as_bytes(), b"").unwrap();
    }
    let far = vec![b'z'; MAX_KEY - 6];
    let renamed = map.rename_prefix(b"a/", &far, Existing::Refuse);
    assert!(matches!(renamed, Ok(Renamed::Renamed(_))), "{renamed:?}");
    assert_eq!(map.verify(), []);
    let back = map.rename_prefix(&far, b"b/", Existing::Refuse);
    assert!(matches!(back, Ok(Renamed::Renamed(_))), "{back:?}");
    let longer = vec![b'z'; MAX_KEY - 4];
    let refused = map.rename_prefix(b"b/", &longer, Existing::Refuse);
    assert_eq!(refused, Err(Error::KeyTooLong { length: MAX_KEY + 1 }));
    assert_eq!(map.len(), 20_000);
}

/// Every move to a longer name raises the bound, and moves back do not lower it.
#[test]
fn a_large_directory_moves_to_and_fro_for_ever() {
    let map = Art::new().unwrap();
    for n in 0..5_000 {
        map.put(format!("a/{:02}/{n:05}", n % 50).as_bytes(), &[1; 60]).unwrap();
    }
    map.put(b"other", b"").unwrap();
    let far = format!("{}/", "b".repeat(3_000));
    for _ in 0..200 {
        map.rename_prefix(b"a/", far.as_bytes(), Existing::Refuse).unwrap();
        map.rename_prefix(far.as_bytes(), b"a/", Existing::Refuse).unwrap();
    }
    assert_eq!(map.verify(), []);
    assert_eq!(map.len(), 5_001);
}

/// A subtree that was removed and a tree that is freed may have had frames in common.
#[test]
fn a_tree_that_is_freed_leaves_the_trash_as_it_is() {
    for step in [1, 3, 7] {
        let pool = Pool::new(PoolOptions::default()).unwrap();
        let (tree, trash) = {
            let pass = pool.enter();
            (pool.create_tree(&pass).unwrap(), pool.create_tree(&pass).unwrap())
        };
        let version = || Version::new(1).unwrap();
        for n in 0..12_000u32 {
            let key = format!("{:02}/{n:05}", n % 40);
            let value = vec![b'v'; if n % 100 == 0 { 5_000 } else { 60 }];
            tree.put(&pool.enter(), key.as_bytes(), &value, Condition::Always, version).unwrap();
        }
        let closed = pool.close_gate();
        for directory in (0..40).step_by(step) {
            let moving = pool.start_move(&closed);
            let prefix = format!("{directory:02}/");
            let removed = tree.remove_prefix(&moving, prefix.as_bytes(), &trash, version);
            assert!(removed.unwrap().is_some());
        }
        let left = trash.len();
        pool.free_tree(&closed, tree.root()).unwrap();
        assert_eq!(pool.verify(&closed, &[trash.root()]), [], "every {step} is in the trash");
        assert_eq!(trash.len(), left);
        while trash.reclaim(closed.pass(), 16).unwrap() {}
        assert_eq!(pool.verify(&closed, &[trash.root()]), []);
        let stats = pool.stats();
        assert_eq!((stats.frames, stats.blob_bytes), (1, 0));
    }
}
