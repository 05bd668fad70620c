//! What each thread of each writer does: a pure function of seed, run, thread and number, so that the judge knows it too.

use holt_engine::Durability;

/// Threads of a writer. Each has keys of its own.
pub(crate) const THREADS: u8 = 6;

/// Keys of a thread.
const KEYS: u64 = 300;

/// A small generator of random numbers whose whole state is its seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        // Steps by an odd constant, so every state comes up once; then mixes the high bits down.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        mixed ^ (mixed >> 32)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// One write of one thread.
pub(crate) struct Step {
    pub(crate) key: Vec<u8>,
    /// The value that is put; nothing for a deletion.
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) durability: Durability,
}

/// Write `number`, from 0, of `thread` in the writer of `run`.
pub(crate) fn step(seed: u64, run: u32, thread: u8, number: u32) -> Step {
    let place = u64::from(run) << 40 | u64::from(thread) << 32 | u64::from(number);
    let mut random = Random::new(seed ^ place.wrapping_mul(0xD6E8_FEB8_6659_FD93));
    let slot = random.below(KEYS);
    let key = format!("thread-{thread}/directory-{}/a file of a longer name {slot}", slot % 17);
    // One thread a level, and others that mix them.
    let durability = match if thread < 3 { u64::from(thread) } else { random.below(8) } {
        0 | 3..=5 => Durability::Buffered,
        1 | 6 => Durability::Os,
        _ => Durability::Sync,
    };
    let filler = match random.below(64) {
        // In a blob of its own, in a large leaf, and mostly in a small one.
        0 => 4000 + random.below(40_000),
        1..=4 => random.below(3000),
        _ => random.below(100),
    };
    let value = (random.below(6) > 0).then(|| {
        let mut value = Vec::with_capacity(16 + filler as usize);
        value.extend_from_slice(&place.to_le_bytes());
        value.resize(16 + filler as usize, place as u8);
        value
    });
    Step { key: key.into_bytes(), value, durability }
}

/// What a writer says when a write was acknowledged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Report {
    pub(crate) thread: u8,
    pub(crate) number: u32,
    /// The version of a put; 0 for a deletion.
    pub(crate) version: u64,
}

impl Report {
    /// Bytes in the pipe: so few that one write of them is never cut or mixed with others.
    pub(crate) const LEN: usize = 16;

    pub(crate) fn encode(self) -> [u8; Report::LEN] {
        let mut bytes = [0; Report::LEN];
        bytes[0] = self.thread;
        bytes[4..8].copy_from_slice(&self.number.to_le_bytes());
        bytes[8..].copy_from_slice(&self.version.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: [u8; Report::LEN]) -> Report {
        let [thread, _, _, _, n0, n1, n2, n3, version @ ..] = bytes;
        let (number, version) = (u32::from_le_bytes([n0, n1, n2, n3]), u64::from_le_bytes(version));
        Report { thread, number, version }
    }
}
