//! Many gets at once and the nearest record above a key, as the facade has them.

use std::thread;

use holt_engine::{Db, Entry, Error, MAX_KEY};

#[test]
fn many_gets_answer_each_key_in_its_place() {
    let db = Db::in_memory().unwrap();
    let tree = db.create_tree("t").unwrap();
    for number in 0..3000_u32 {
        let length = if number.is_multiple_of(100) { 10_000 } else { 20 };
        tree.put(format!("{}", number * 2).as_bytes(), &vec![number as u8; length]).unwrap();
    }
    // Missing ones among them, one twice, in no order.
    let keys: Vec<String> = (0..6000).rev().chain([42, 42]).map(|n| n.to_string()).collect();
    let values = tree.get_many(&keys).unwrap();
    let past = db.snapshot().unwrap().tree("t").unwrap();
    assert_eq!(past.get_many(&keys).unwrap(), values);
    let mut told = vec![0; keys.len()];
    tree.get_many_with(&keys, |index, record| {
        told[index] += 1;
        let version = record.map(|(_, version)| version);
        assert_eq!(version, tree.version(keys[index].as_bytes()).unwrap());
    })
    .unwrap();
    assert!(told.iter().all(|&times| times == 1));
    for (key, value) in keys.iter().zip(values) {
        assert_eq!(value, tree.get(key.as_bytes()).unwrap(), "{key}");
    }
    assert_eq!(tree.get_many::<&[u8]>(&[]).unwrap(), []);
    let long = vec![0; MAX_KEY + 1];
    let mut called = false;
    let refused = tree.get_many_with(&[&b"2"[..], &long], |_, _| called = true);
    assert!(matches!(refused, Err(Error::KeyTooLong { .. })) && !called);
    assert!(matches!(tree.longest_prefix(&long), Err(Error::KeyTooLong { .. })));
    db.drop_tree("t").unwrap();
    let dropped = tree.get_many_with(&["2"], |_, _| called = true);
    assert!(matches!(dropped, Err(Error::TreeDropped)) && !called);
    assert!(matches!(tree.longest_prefix(b"2"), Err(Error::TreeDropped)));
    db.close().unwrap();
    assert!(matches!(tree.get_many(&["2"]), Err(Error::Closed)));
}

#[test]
fn the_nearest_record_above_a_key_is_found_beside_moves() {
    let db = Db::in_memory().unwrap();
    let tree = db.default_tree();
    for number in 0..2000_u32 {
        tree.put(format!("here/{number:04}/").as_bytes(), &number.to_le_bytes()).unwrap();
    }
    tree.put(b"", b"root").unwrap();
    let past = db.snapshot().unwrap().default_tree().unwrap();
    thread::scope(|scope| {
        let mover = scope.spawn(|| {
            for _ in 0..100 {
                let _ = tree.rename_prefix(b"here/", b"there/").unwrap();
                let _ = tree.rename_prefix(b"there/", b"here/").unwrap();
            }
        });
        let (mut near, mut root) = (0, 0);
        while !mover.is_finished() || near + root == 0 {
            let found = tree.longest_prefix(b"here/0777/a/b").unwrap().map(Entry::into_record);
            match found.flatten() {
                Some((key, value)) if key.is_empty() => {
                    assert_eq!(value, b"root");
                    root += 1;
                }
                Some((key, value)) => {
                    assert_eq!((&key[..], value), (&b"here/0777/"[..], vec![9, 3, 0, 0]));
                    near += 1;
                }
                None => panic!("the root is always there"),
            }
            let found = past.longest_prefix(b"here/0777/a/b").unwrap().unwrap();
            assert_eq!(found.name(), b"here/0777/");
        }
        mover.join().unwrap();
    });
}
