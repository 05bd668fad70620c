//! Trees of shapes for which it is hard to make room, and frames in unusual company.

use holt_art::{Art, Entry, Scan};

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

/// Directories whose nodes have come into an upper frame by their weight get some small
/// leaves there, then lose most of their weight, so that what is left of them shares one
/// frame. Then the nodes get all the children that they can have, each the smallest leaf
/// there is: what wants to sink takes more words than a frame has, entries included.
#[test]
fn more_small_leaves_sink_than_a_frame_has_room_for() {
    for left in [6, 8, 10, 12, 14, 16] {
        let map = Art::new().unwrap();
        let directories = 30u8;
        let heavy = |directory: u8, n: u32| {
            let mut key = vec![directory, b'x'];
            key.extend_from_slice(&(n * 97).to_be_bytes());
            key
        };
        let mut keys = usize::from(directories) * left as usize;
        let mut add = |bytes: std::ops::RangeInclusive<u8>| {
            for byte in bytes {
                for directory in 0..directories {
                    map.put(&[directory, byte], b"").unwrap();
                    keys += 1;
                }
            }
        };
        for directory in 0..directories {
            for n in 0..400 {
                map.put(&heavy(directory, n), &[7; 80]).unwrap();
            }
        }
        add(0..=80);
        for n in left..400 {
            for directory in 0..directories {
                map.remove(&heavy(directory, n)).unwrap();
            }
        }
        add(81..=255);
        assert_eq!(map.verify(), [], "{left} left in each directory");
        assert_eq!(count(&map), keys);
        let last = map.tree().last(b"").unwrap();
        assert!(matches!(last, Some(Entry::Key { key, .. }) if key == [directories - 1, 255]));
    }
}
