//! Trees of shapes for which it is hard to make room, and frames in unusual company.

use holt_art::{Art, Error, Pool, PoolOptions, Put, Scan};

fn count(map: &Art) -> usize {
    map.scan(Scan::all().keys_only(true)).map(Result::unwrap).count()
}

/// Three directories, each over the weight at which it gives its node to the parent, with
/// as many children as a node can have. Once their nodes are gone the frame has 768
/// entries, and together with these all but the first would no longer fit into one frame.
#[test]
fn ascending_insertions_before_heavy_wide_directories_find_room() {
    for length in (16..=140).step_by(4) {
        let map = Art::new().unwrap();
        let mut keys = 0;
        for directory in *b"abc" {
            for byte in 0..=255 {
                map.put(&[directory, byte], &vec![byte; length]).unwrap();
                keys += 1;
            }
        }
        for n in 0..1_000u32 {
            let mut key = vec![b'a', 0];
            key.extend_from_slice(&n.to_be_bytes());
            map.put(&key, b"").unwrap();
            keys += 1;
        }
        assert_eq!(map.verify(), [], "values of {length} bytes");
        assert_eq!(count(&map), keys);
    }
}

/// Below a long common prefix there is more than a frame; so its node, with crossings, is
/// in an upper frame. Then keys leave the prefix at each of its bytes, and each of the nodes
/// that this makes gets all the children that it can have, the smallest leaves there are.
/// What wants to sink takes more words than a frame has, entries included.
#[test]
fn more_small_leaves_sink_than_a_frame_has_room_for() {
    let map = Art::new().unwrap();
    let mut keys = 0;
    for n in 0..1_000u32 {
        let mut key = vec![0; 40];
        key.extend_from_slice(&(n * 97 + 1).to_be_bytes());
        map.put(&key, &[7; 80]).unwrap();
        keys += 1;
    }
    for depth in 0..40 {
        for byte in 1..=255 {
            let mut key = vec![0; depth];
            key.push(byte);
            map.put(&key, b"").unwrap();
            keys += 1;
        }
    }
    assert_eq!(map.verify(), []);
    assert_eq!(count(&map), keys);
    let last = map.tree().last(b"").unwrap();
    assert!(last.is_some_and(|last| last.name() == [255]));
}

/// A put that needs room in an upper frame asks for more slots step by step. Whichever of
/// them is the one that is not there, the answer is that the pool is full.
#[test]
fn sinking_in_a_full_pool_is_refused_as_such() {
    for frames in 4..64 {
        let bytes = frames * Pool::FRAME_BYTES as u64;
        let map = Art::with_options(PoolOptions::with_bytes(bytes, 1 << 20)).unwrap();
        let mut keys = 0;
        let mut put = |key: &[u8], length: usize| match map.put(key, &vec![1; length]) {
            Ok(put) => keys += usize::from(matches!(put, Put::Inserted(_))),
            Err(error) => assert!(matches!(error, Error::PoolFull { .. }), "{error}"),
        };
        for n in 0..4_000u32 {
            let directory = (n % 13) as u8;
            let mut key = vec![directory, b'x'];
            key.extend_from_slice(&(n * 97).to_be_bytes());
            put(&key, 80);
            if n > 1_500 {
                put(&[directory, b'a', (n / 13) as u8, ((n / 13) >> 8) as u8], 40);
                put(&[(n / 7) as u8, directory], 60);
            }
        }
        assert_eq!(map.verify(), [], "{frames} frames");
        assert_eq!(count(&map), keys);
    }
}
