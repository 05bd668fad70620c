//! Tests of leaves as older databases have them: with values in them that would be blobs by now.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Tree;
use super::outcome::{Condition, Version};
use crate::frame::key::Key;
use crate::frame::leaf::{MAX_INLINE, MAX_PLACED, MAX_SUFFIX, Value};
use crate::pool::{Pool, PoolOptions};

fn pool() -> Arc<Pool> {
    Pool::new(PoolOptions::with_bytes(16 << 20, 16 << 20)).unwrap()
}

/// Of all lengths of suffixes and values that matter, most of them of the longest there are.
fn records() -> BTreeMap<Vec<u8>, Vec<u8>> {
    let lengths = [MAX_PLACED, MAX_PLACED + 1, 3_300, MAX_INLINE - 1, MAX_INLINE];
    let record = |n: usize| {
        let suffix = if n.is_multiple_of(3) { MAX_SUFFIX } else { 1 + n * 7 % 40 };
        let key = [format!("{n:04}/").as_bytes(), &vec![b'k'; suffix]].concat();
        (key, vec![n as u8; lengths[n % lengths.len()]])
    };
    (0..200).map(record).collect()
}

fn assert_has(tree: &Tree, model: &BTreeMap<Vec<u8>, Vec<u8>>) {
    assert_eq!(tree.pool.verify(&tree.pool.close_gate(), &[tree.root()]), []);
    for (key, value) in model {
        let found = tree.get(key, |value, _| value.to_vec()).unwrap();
        assert!(found.as_ref() == Some(value), "{}", key.escape_ascii());
    }
}

#[test]
fn leaves_with_longer_values_than_are_put_there_now_are_loaded_read_and_replaced() {
    let model = records();
    let before = pool();
    let tree = before.create_tree(&before.enter()).unwrap();
    let version = || Version::new(1).unwrap();
    for (key, value) in &model {
        let pass = before.enter();
        tree.put_value(Key::new(key), Value::Inline(value), Condition::Always, |_| version())
            .unwrap();
        drop(pass);
    }
    assert_eq!(before.stats().blobs, 0);
    assert_has(&tree, &model);

    // As from a checkpoint.
    let after = pool();
    let cut = before.cut(&before.close_gate()).unwrap();
    for object in cut.dirty() {
        let mut image = Vec::new();
        cut.image(object, &mut image).unwrap();
        after.load(object, &image).unwrap();
    }
    let opened = after.open_tree(tree.root()).unwrap();
    assert_has(&opened, &model);

    // What is put again is where it belongs now; what is beside it stays where it was.
    let mut model = model;
    let put = |key: &[u8], value: &[u8]| {
        opened.put(&after.enter(), key, value, Condition::Always, version).unwrap();
    };
    for (n, (key, value)) in model.iter_mut().enumerate().filter(|(n, _)| n % 2 == 0) {
        value[0] ^= 1;
        put(key, value);
        let blobs = after.stats().blobs as usize;
        assert!(n > 0 || blobs == usize::from(value.len() > MAX_PLACED));
    }
    let replaced = model.values().step_by(2).filter(|value| value.len() > MAX_PLACED).count();
    assert_eq!(after.stats().blobs as usize, replaced);
    assert_has(&opened, &model);
    for key in model.keys() {
        opened.remove(&after.enter(), key, Condition::Always, version).unwrap();
    }
    assert_eq!((opened.len(), after.stats().blobs), (0, 0));
    assert_has(&opened, &BTreeMap::new());
}
