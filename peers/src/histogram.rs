//! Latencies in buckets that are never wider than a sixty-fourth of their value.

/// A histogram of nanoseconds.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

/// Buckets to each doubling.
const STEPS: u64 = 64;

impl Histogram {
    /// An empty histogram.
    pub(crate) fn new() -> Self {
        Self { counts: vec![0; Self::bucket(u64::MAX) + 1], total: 0, max: 0 }
    }

    fn bucket(nanoseconds: u64) -> usize {
        if nanoseconds < STEPS {
            return nanoseconds as usize;
        }
        let doubling = u64::from(nanoseconds.ilog2()) - u64::from(STEPS.ilog2());
        ((doubling + 1) * STEPS + ((nanoseconds >> doubling) - STEPS)) as usize
    }

    /// The largest value of a bucket.
    fn upper(bucket: usize) -> u64 {
        let bucket = bucket as u64;
        if bucket < STEPS {
            return bucket;
        }
        let doubling = bucket / STEPS - 1;
        let start = (STEPS + bucket % STEPS) << doubling;
        start + ((1 << doubling) - 1)
    }

    /// Counts one latency.
    pub(crate) fn record(&mut self, nanoseconds: u64) {
        self.counts[Self::bucket(nanoseconds)] += 1;
        self.total += 1;
        self.max = self.max.max(nanoseconds);
    }

    /// The latency that a share `quantile` of all stayed at or below; 1 gives the largest one.
    pub(crate) fn quantile(&self, quantile: f64) -> u64 {
        if quantile >= 1.0 {
            return self.max;
        }
        let rank = (quantile * self.total as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Self::upper(bucket).min(self.max);
            }
        }
        self.max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_at_most_a_sixty_fourth_too_large() {
        let mut histogram = Histogram::new();
        for nanoseconds in 1..=100_000 {
            histogram.record(nanoseconds);
        }
        for (quantile, exact) in [(0.5, 50_000.0), (0.99, 99_000.0), (0.001, 100.0)] {
            let found = histogram.quantile(quantile) as f64;
            assert!(found >= exact && found <= exact * (1.0 + 1.0 / 64.0), "{quantile}: {found}");
        }
        assert_eq!(histogram.quantile(1.0), 100_000);
    }

    #[test]
    fn every_value_lies_in_a_bucket_whose_end_is_not_below_it() {
        for value in [0, 1, 63, 64, 65, 127, 128, 1_000_003, u64::MAX >> 1, u64::MAX] {
            assert!(Histogram::upper(Histogram::bucket(value)) >= value, "{value}");
        }
    }
}
