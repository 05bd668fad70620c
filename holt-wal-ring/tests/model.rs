//! Random operations against the ring and against the plainest thing that means the same, compared after each step.
//!
//! One thread, with many permits and reservations open at once, used and published in any order. Seeds are fixed and named
//! in every failure.
#![cfg(not(loom))]

use std::collections::BTreeMap;

use bytes::BufMut;
use holt_wal_ring::{Consumer, Drained, Error, Permit, Reservation, Ring};

/// A small generator of numbers (xorshift with a multiplication).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    /// An index into something of `len` elements, if there is one.
    fn index(&mut self, len: usize) -> Option<usize> {
        (len != 0).then(|| self.below(len as u64) as usize)
    }
}

/// What is to come out at an address: a record's bytes, or a skip of so many.
#[derive(Clone, Debug, PartialEq)]
enum Range {
    Record(Vec<u8>),
    Skip(usize),
}

impl Range {
    fn len(&self) -> u64 {
        match self {
            Range::Record(bytes) => bytes.len() as u64,
            Range::Skip(len) => *len as u64,
        }
    }
}

/// The ring as its documentation tells it.
struct Model {
    capacity: u64,
    granted: u64,
    tail: u64,
    drained: u64,
    limit: u64,
    /// Published and not drained, by address.
    published: BTreeMap<u64, Range>,
    /// Records whose publication the prefix has reached.
    records: u64,
    /// Up to which the line above has counted.
    counted: u64,
}

impl Model {
    fn grant(&mut self, len: u64) -> Result<u64, Error> {
        if len == 0 {
            return Err(Error::Empty);
        }
        if len > self.capacity {
            return Err(Error::TooLarge { len: len as usize, capacity: self.capacity as usize });
        }
        let end = self.granted + len.next_multiple_of(8);
        if end > self.limit.min(self.drained + self.capacity) {
            return Err(Error::Full);
        }
        let len = end - self.granted;
        self.granted = end;
        Ok(len)
    }

    fn reserve(&mut self, len: usize) -> u64 {
        self.tail += len as u64;
        self.tail - len as u64
    }

    fn committed(&mut self) -> u64 {
        while let Some(range) = self.published.get(&self.counted) {
            self.records += u64::from(matches!(range, Range::Record(_)));
            self.counted += range.len();
        }
        self.counted
    }

    /// The stream from `drained` to `committed`: where a skip is, `None`.
    fn prefix(&mut self) -> Vec<Option<u8>> {
        let mut stream = Vec::new();
        let committed = self.committed();
        for (_, range) in self.published.range(..committed) {
            match range {
                Range::Record(bytes) => stream.extend(bytes.iter().copied().map(Some)),
                Range::Skip(len) => stream.resize(stream.len() + len, None),
            }
        }
        stream
    }
}

/// A reservation being filled, and what it should hold in the end.
type Open<'a> = (Reservation<'a>, Vec<u8>);

fn drain(consumer: &mut Consumer, model: &mut Model, fails: bool, seed: u64) {
    let expected = model.prefix();
    let mut stream = Vec::new();
    let outcome = consumer.drain(|piece| {
        let here = model.drained + stream.len() as u64;
        match piece {
            Drained::Bytes { address, bytes } => {
                assert_eq!(address, here, "seed {seed}");
                stream.extend(bytes.iter().copied().map(Some));
            }
            Drained::Skip { address, len } => {
                assert_eq!(address, here, "seed {seed}");
                stream.resize(stream.len() + len, None);
            }
            other => panic!("unknown piece {other:?}"),
        }
        if fails { Err("on purpose") } else { Ok(()) }
    });
    if fails && !expected.is_empty() {
        assert_eq!(outcome, Err("on purpose"), "seed {seed}");
        assert_eq!(stream, expected[..stream.len()], "seed {seed}");
    } else {
        assert_eq!(outcome, Ok(expected.len() as u64), "seed {seed}");
        assert_eq!(stream, expected, "seed {seed}");
        model.drained = model.counted;
        model.published = model.published.split_off(&model.drained);
    }
}

/// Some hundred operations; at the end the ring is drained, with nothing open.
fn round(ring: &Ring, consumer: &mut Consumer, model: &mut Model, random: &mut Random, seed: u64) {
    let mut permits: Vec<Permit<'_>> = Vec::new();
    let mut open: Vec<Open<'_>> = Vec::new();
    let close = |(reservation, mut bytes): Open<'_>, model: &mut Model, publish: bool| {
        let (address, len) = (reservation.address(), reservation.len());
        let range = if publish {
            reservation.publish();
            bytes.resize(len, 0);
            Range::Record(bytes)
        } else {
            drop(reservation);
            Range::Skip(len)
        };
        model.published.insert(address, range);
    };
    for _ in 0..400 {
        match random.below(10) {
            0..=2 => {
                let len = match random.below(8) {
                    0 => random.below(model.capacity * 9 / 8),
                    _ => random.below(model.capacity / 4),
                };
                let granted = ring.try_acquire(len as usize);
                let lens = granted.as_ref().map(|permit| permit.len() as u64);
                assert_eq!(lens, model.grant(len).as_ref().map(|&len| len), "seed {seed}");
                permits.extend(granted);
            }
            3 | 4 => {
                if let Some(at) = random.index(permits.len()) {
                    let permit = permits.swap_remove(at);
                    let address = model.reserve(permit.len());
                    let reservation = permit.reserve();
                    assert_eq!(reservation.address(), address, "seed {seed}");
                    open.push((reservation, Vec::new()));
                }
            }
            5 => {
                if let Some(at) = random.index(permits.len()).filter(|_| random.below(3) == 0) {
                    model.granted -= permits.swap_remove(at).len() as u64;
                }
            }
            6 => {
                if let Some(at) = random.index(open.len()) {
                    let (reservation, bytes) = &mut open[at];
                    let more = random.below(reservation.remaining_mut() as u64 + 1) as usize;
                    let part: Vec<u8> = (0..more).map(|_| random.below(256) as u8).collect();
                    reservation.put_slice(&part);
                    bytes.extend(part);
                }
            }
            7 => {
                if let Some(at) = random.index(open.len()) {
                    close(open.swap_remove(at), model, random.below(4) != 0);
                }
            }
            8 => drain(consumer, model, random.below(3) == 0, seed),
            _ => {
                model.limit = match random.below(2) {
                    0 => u64::MAX,
                    _ => model.granted + random.below(model.capacity),
                };
                ring.set_limit(model.limit);
            }
        }
        assert_eq!(ring.committed(), model.committed(), "seed {seed}");
        assert_eq!(ring.committed_records(), model.records, "seed {seed}");
        let counters = (ring.drained(), ring.tail(), ring.granted(), ring.limit());
        let expected = (model.drained, model.tail, model.granted, model.limit);
        assert_eq!(counters, expected, "seed {seed}");
    }
    model.granted -= permits.drain(..).map(|permit| permit.len() as u64).sum::<u64>();
    for reservation in open {
        close(reservation, model, true);
    }
    drain(consumer, model, false, seed);
    assert_eq!((ring.drained(), ring.granted()), (model.tail, model.tail), "seed {seed}");
}

#[test]
fn the_ring_does_what_the_model_does() {
    for seed in 1..=300 {
        let mut random = Random(seed);
        let capacity = 64 << random.below(5);
        let start = 8 * random.below(1 << 20);
        let (ring, mut consumer) = Ring::new(capacity, start).unwrap();
        drop(ring);
        let mut model = Model {
            capacity: capacity as u64,
            granted: start,
            tail: start,
            drained: start,
            limit: u64::MAX,
            published: BTreeMap::new(),
            records: 0,
            counted: start,
        };
        for _ in 0..4 {
            let ring = consumer.ring().clone();
            round(&ring, &mut consumer, &mut model, &mut random, seed);
            drop(ring);
            // Back by less than the ring holds, where old marks would do harm, or anywhere.
            let address = match random.below(2) {
                0 => model.tail - (8 * random.below(capacity as u64 / 8)).min(model.tail),
                _ => 8 * random.below(1 << 40),
            };
            consumer.reset(address).unwrap();
            (model.granted, model.tail, model.drained) = (address, address, address);
            model.counted = address;
        }
    }
}
