//! What the tests of a ring share.

use std::convert::Infallible;

use bytes::BufMut;
use holt_wal_ring::{Consumer, Drained, Ring};

/// What a skip looks like in the tests' logs.
pub(crate) const SKIP: u8 = b'.';

/// Appends `record`.
pub(crate) fn append(ring: &Ring, record: &[u8]) -> u64 {
    let mut reservation = ring.acquire(record.len()).unwrap().reserve();
    let address = reservation.address();
    reservation.put_slice(record);
    reservation.publish();
    address
}

/// Drains into a buffer, checking that the pieces follow each other.
pub(crate) fn drain(consumer: &mut Consumer) -> Vec<u8> {
    let start = consumer.drained();
    let mut log = Vec::new();
    let drained = consumer.drain(|piece| {
        let here = start + log.len() as u64;
        match piece {
            Drained::Bytes { address, bytes } => {
                assert_eq!(address, here);
                log.extend_from_slice(bytes);
            }
            Drained::Skip { address, len } => {
                assert_eq!(address, here);
                log.resize(log.len() + len, SKIP);
            }
            other => panic!("unknown piece {other:?}"),
        }
        Ok::<(), Infallible>(())
    });
    assert_eq!(drained, Ok(log.len() as u64));
    assert_eq!(consumer.drained(), start + log.len() as u64);
    log
}
