//! The drained stream of the ring is the log: byte for byte what appending the same records directly gives.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Mutex;

use holt_codec::{DbId, FIRST_ADDRESS, LogReader, Op, Record, SegmentBytes, SegmentHeader};
use holt_wal_ring::{Drained, Ring};

/// What a producer did with its range.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wrote {
    Put { key: Vec<u8>, value: Vec<u8> },
    Skip { len: usize },
}

impl Wrote {
    fn record(&self) -> Record<'_> {
        match self {
            Wrote::Put { key, value } => Record::from(Op::Put { tree: 9, key, value }),
            Wrote::Skip { len } => Record::Skip { len: *len },
        }
    }
}

/// A small generator of numbers, the same for the same seed.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

fn stream_is_the_log(capacity: usize, producers: u64, each: u64, seed: u64) {
    let window = 16 << 20;
    let header = SegmentHeader {
        db: DbId([3; 16]),
        salt: seed,
        start: FIRST_ADDRESS,
        window,
        predecessor_end: FIRST_ADDRESS,
    };
    let record_seed = header.seed();
    let (ring, mut consumer) = Ring::new(capacity, FIRST_ADDRESS).unwrap();
    let wrote: Mutex<BTreeMap<u64, Wrote>> = Mutex::new(BTreeMap::new());
    let drainer = std::thread::spawn(move || {
        let mut stream = Vec::new();
        while consumer.wait_published(None) || !consumer.is_finished() {
            let drained = consumer.drain(|piece| -> Result<(), Infallible> {
                match piece {
                    Drained::Bytes { bytes, .. } => stream.extend_from_slice(bytes),
                    Drained::Skip { address, len } => {
                        Record::Skip { len }.encode(
                            record_seed,
                            address,
                            FIRST_ADDRESS,
                            &mut stream,
                        );
                    }
                    _ => unreachable!("pieces are bytes or skips"),
                }
                Ok(())
            });
            match drained {
                Ok(_) => {}
                Err(never) => match never {},
            }
        }
        stream
    });
    std::thread::scope(|scope| {
        for producer in 0..producers {
            let (ring, wrote) = (&ring, &wrote);
            scope.spawn(move || {
                let mut state = seed ^ producer << 32;
                for number in 0..each {
                    // Of all lengths up to what the ring holds.
                    let most = capacity as u64 - 48;
                    let key = (producer << 32 | number).to_be_bytes().to_vec();
                    let value_len = next(&mut state) % (most - 8) / (1 + next(&mut state) % 8);
                    let value = vec![next(&mut state) as u8; value_len as usize];
                    let mut what = Wrote::Put { key, value };
                    let len = what.record().encoded_len().unwrap();
                    let mut range = ring.acquire(len).unwrap().reserve();
                    let address = range.address();
                    if next(&mut state).is_multiple_of(16) {
                        what = Wrote::Skip { len };
                        drop(range);
                    } else {
                        what.record().encode(record_seed, address, FIRST_ADDRESS, &mut range);
                        range.publish();
                    }
                    wrote.lock().unwrap().insert(address, what);
                }
            });
        }
    });
    ring.close();
    let stream = drainer.join().unwrap();
    let wrote = wrote.into_inner().unwrap();

    let mut direct = Vec::new();
    for (&address, what) in &wrote {
        assert_eq!(address, FIRST_ADDRESS + direct.len() as u64, "seed {seed}: a gap");
        what.record().encode(record_seed, address, FIRST_ADDRESS, &mut direct);
    }
    assert!(stream == direct, "seed {seed}: the stream differs");

    let mut file = header.encode().to_vec();
    file.extend_from_slice(&stream);
    file.resize(header.file_len() as usize, 0);
    let source = SegmentBytes::new([&file[..]]);
    let mut reader = LogReader::new(source, header.db, vec![header], FIRST_ADDRESS).unwrap();
    let mut replayed = wrote.iter();
    while let Some(entry) = reader.next_entry().unwrap() {
        let (&address, what) = replayed.next().expect("no more records than were written");
        assert_eq!(entry.address(), address, "seed {seed}");
        assert_eq!(entry.record().unwrap(), what.record(), "seed {seed}");
    }
    assert_eq!(replayed.next(), None, "seed {seed}");
}

#[test]
fn a_ring_of_256_bytes_gives_the_same_stream_as_direct_appending() {
    for seed in 0..8 {
        stream_is_the_log(256, 3, 300, seed);
    }
}

#[test]
fn a_ring_of_4_kib_gives_the_same_stream_as_direct_appending() {
    for seed in 0..8 {
        stream_is_the_log(4096, 4, 500, seed);
    }
}

#[test]
fn one_producer_alone_gives_the_same_stream_as_direct_appending() {
    stream_is_the_log(4096, 1, 2000, 99);
}
