//! Reading around: an image that is read may bring what lies near it into the system's cache.
//!
//! Most of what a read of a device costs does not depend on its length. Where the system can cache the
//! whole data file, whoever reads images here and there will have read all of it in the end, so longer
//! reads are fewer. But a process that reads a few images and ends should not read a file for it. So the
//! first reads are exact, and the more there have been from parts that nobody asked for, the more is asked
//! for with the next, up to [`LONGEST`].
//!
//! - A part of the file is asked for once for each length at most, and read by the system once as long as it
//!   stays in its cache: all of this reads the file once.
//! - A file of more than a [quarter](SHARE) of the machine's memory is not read around: what comes along would
//!   drive out what is wanted.
//!
//! All of it is a hint, and nobody waits for more than he wants.

use crate::sync::{AtomicU64, Ordering};

/// Bytes that are asked for at once at least, and what is remembered of the file.
const UNIT: u64 = 64 << 10;

/// Most bytes that are asked for at once.
const LONGEST: u64 = 1 << 20;

/// Reads for each unit that is asked for at once: the first eight are exact.
const PATIENCE: u64 = 4;

/// A file is read around if it is this part of the machine's memory or less.
const SHARE: u64 = 4;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Around {
    /// The file's length when it was opened. What comes behind it is written by this process, and so
    /// in the system's cache.
    len: u64,
    /// Images read from units that had not been asked for.
    reads: AtomicU64,
    /// A bit for each unit: it was asked for.
    asked: Vec<AtomicU64>,
}

impl Around {
    /// For a file of so many bytes on a machine with so much memory; none if it is not to be read around.
    pub(crate) fn new(len: u64, memory: Option<u64>) -> Option<Self> {
        if len > memory? / SHARE {
            return None;
        }
        let words = usize::try_from(len.div_ceil(UNIT * 64)).ok()?;
        let asked = std::iter::repeat_with(|| AtomicU64::new(0)).take(words).collect();
        Some(Self { len, reads: AtomicU64::new(0), asked })
    }

    /// The bytes to be asked for when an image at `offset` is read, from where on and how many; none if they
    /// were, or if the image is all that is wanted.
    pub(crate) fn read(&self, offset: u64) -> Option<(u64, u64)> {
        if offset >= self.len {
            return None;
        }
        let unit = offset / UNIT;
        let word = self.asked.get((unit / 64) as usize)?;
        // Relaxed, here and below: hints, of which one too many or too few does no harm.
        if word.load(Ordering::Relaxed) >> (unit % 64) & 1 != 0 {
            return None;
        }
        let reads = self.reads.fetch_add(1, Ordering::Relaxed);
        let units = (reads / PATIENCE).min(LONGEST / UNIT);
        if units < 2 {
            return None;
        }
        // A power of two, so that it is in one word.
        let units = 1 << units.ilog2();
        let first = unit / units * units;
        let bits = (u64::MAX >> (64 - units)) << (first % 64);
        if word.fetch_or(bits, Ordering::Relaxed) >> (unit % 64) & 1 != 0 {
            return None;
        }
        let from = first * UNIT;
        Some((from, (units * UNIT).min(self.len - from)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEN: u64 = 70 * LONGEST + 5_000;

    #[test]
    fn the_first_reads_are_exact_and_later_ones_longer() {
        let around = Around::new(LEN, Some(LEN * SHARE)).unwrap();
        let asked: Vec<_> = (0..70).map(|n| around.read(n * LONGEST + 70_000)).collect();
        assert!(asked[..8].iter().all(Option::is_none));
        let lengths = [(8, 2), (16, 4), (31, 4), (32, 8), (63, 8), (64, 16), (69, 16)];
        for (n, units) in lengths {
            assert_eq!(asked[n], Some((n as u64 * LONGEST, units * UNIT)), "{n}");
        }
        assert_eq!(around.read(64 * LONGEST + 15 * UNIT), None, "it was asked for");
        assert_eq!(around.read(LEN - 1), Some((70 * LONGEST, 5_000)));
    }

    #[test]
    fn a_part_is_asked_for_once_for_each_length_and_in_the_end_all_of_them_were() {
        let around = Around::new(LEN, Some(u64::MAX)).unwrap();
        let mut asked = vec![Vec::new(); LEN.div_ceil(UNIT) as usize];
        let mut state = 20_261_129_u64;
        for _ in 0..100_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let offset = (state >> 20) % LEN;
            let Some((from, bytes)) = around.read(offset) else { continue };
            assert!((from..from + bytes).contains(&offset) && bytes <= LONGEST);
            assert!(from + bytes <= LEN);
            let units = from / UNIT..(from + bytes).div_ceil(UNIT);
            let length = units.end - units.start;
            units.for_each(|unit| asked[unit as usize].push(length));
        }
        for lengths in asked {
            assert!(!lengths.is_empty() && lengths.is_sorted_by(|a, b| a < b), "{lengths:?}");
        }
    }

    #[test]
    fn a_file_that_is_large_for_the_machine_is_not_read_around() {
        assert!(Around::new(LEN, None).is_none());
        assert!(Around::new(LEN, Some(LEN * SHARE - 1)).is_none());
        for len in [0, UNIT - 1] {
            let around = Around::new(len, Some(1 << 30)).unwrap();
            let written_since = (0..1_000).map(|n| around.read(len + n * UNIT));
            assert!(written_since.into_iter().all(|asked| asked.is_none()));
        }
    }
}
