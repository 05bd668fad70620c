//! The seeded random numbers of the workloads: small, fast, and the same on every machine.

/// xoshiro256** seeded through SplitMix64.
#[derive(Debug, Clone)]
pub(crate) struct Rng {
    state: [u64; 4],
}

/// One step of SplitMix64; also a good mixer of an index into 64 random bits.
pub(crate) fn mix(value: u64) -> u64 {
    let mut bits = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

impl Rng {
    /// A generator whose whole sequence follows from `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        let mut word = seed;
        let state = std::array::from_fn(|_| {
            word = mix(word);
            word
        });
        Self { state }
    }

    /// The next 64 random bits.
    pub(crate) fn next(&mut self) -> u64 {
        let s = &mut self.state;
        let result = s[1].wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let shifted = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= shifted;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// A number in `0..bound`; `bound` must not be 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    /// A number in `[0, 1)`.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Puts a slice into a random order.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// Ranks with the popularity of Zipf's law (exponent 0.99, that of YCSB).
#[derive(Debug, Clone)]
pub(crate) struct Zipf {
    items: f64,
    alpha: f64,
    zeta: f64,
    eta: f64,
    half: f64,
}

impl Zipf {
    const THETA: f64 = 0.99;

    /// A law over ranks `0..items`; `items` must not be 0.
    pub(crate) fn new(items: usize) -> Self {
        let zeta: f64 = (1..=items).map(|rank| (rank as f64).powf(-Self::THETA)).sum();
        let half = 1.0 + 0.5f64.powf(Self::THETA);
        let alpha = 1.0 / (1.0 - Self::THETA);
        let eta = (1.0 - (2.0 / items as f64).powf(1.0 - Self::THETA)) / (1.0 - half / zeta);
        Self { items: items as f64, alpha, zeta, eta, half }
    }

    /// A rank; 0 is the most popular.
    pub(crate) fn rank(&self, rng: &mut Rng) -> usize {
        let unit = rng.unit();
        let scaled = unit * self.zeta;
        if scaled < 1.0 {
            return 0;
        }
        if scaled < self.half {
            return 1.min(self.items as usize - 1);
        }
        let rank = self.items * (self.eta * unit - self.eta + 1.0).powf(self.alpha);
        (rank as usize).min(self.items as usize - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_follows_from_the_seed_alone() {
        let draw = |seed| {
            let mut rng = Rng::new(seed);
            (0..8).map(|_| rng.next()).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn below_stays_below_and_reaches_every_number() {
        let mut rng = Rng::new(1);
        let mut seen = [0u32; 7];
        for _ in 0..7_000 {
            seen[rng.below(7)] += 1;
        }
        assert!(seen.iter().all(|&count| (800..1_200).contains(&count)), "{seen:?}");
    }

    #[test]
    fn zipf_prefers_the_first_ranks_and_stays_in_range() {
        for items in [1, 2, 3, 1_000] {
            let zipf = Zipf::new(items);
            let mut rng = Rng::new(2);
            let ranks: Vec<usize> = (0..10_000).map(|_| zipf.rank(&mut rng)).collect();
            assert!(ranks.iter().all(|&rank| rank < items), "{items}");
            if items == 1_000 {
                let first = ranks.iter().filter(|&&rank| rank == 0).count();
                assert!((1_000..1_700).contains(&first), "{first}");
            }
        }
    }
}
