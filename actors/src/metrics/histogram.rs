//! Counts of values by size.

use super::exposition::{Exposition, number};

/// 3.8: the bounds of a histogram's buckets, inclusive, but for the one of all values.
const BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// How many values were in each bucket, not counting those in smaller ones; the last is for what is in no other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    counts: [u64; BUCKETS.len() + 1],
    sum: f64,
}

impl Histogram {
    /// One more value.
    pub fn record(&mut self, value: f64) {
        let at = BUCKETS.iter().position(|bound| value <= *bound).unwrap_or(BUCKETS.len());
        self.counts[at] += 1;
        self.sum += value;
    }

    /// Whether there was no value yet.
    pub fn is_empty(&self) -> bool {
        self.counts.iter().all(|count| *count == 0)
    }

    /// The samples of a family that has begun.
    pub fn expose(&self, exposition: &mut Exposition, name: &str, labels: &[(&str, &str)]) {
        let bucket = format!("{name}_bucket");
        let mut total = 0;
        for (bound, count) in BUCKETS.into_iter().chain([f64::INFINITY]).zip(self.counts) {
            total += count;
            let bound = number(bound);
            let mut labels = labels.to_vec();
            labels.push(("le", &bound));
            exposition.sample(&bucket, &labels, total as f64);
        }
        exposition.sample(&format!("{name}_sum"), labels, self.sum);
        exposition.sample(&format!("{name}_count"), labels, total as f64);
    }
}
