//! Quantiles of the last ten minutes in little memory, with the errors that 3.8 allows itself.
//!
//! The algorithm is that of 3.8's library: Cormode, Korn, Muthukrishnan, Srivastava, "Effective Computation of Biased
//! Quantiles over Data Streams", with targeted quantiles. Five streams of different age see every value; the oldest
//! answers, and every two minutes it is forgotten.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The quantiles, and by how much each may be off.
pub const QUANTILES: [(f64, f64); 3] = [(0.5, 0.05), (0.9, 0.01), (0.99, 0.001)];

const STREAMS: usize = 5;
const AGE: Duration = Duration::from_secs(120);
const BUFFER: usize = 500;

#[derive(Clone, Copy, Debug)]
struct Sample {
    value: f64,
    width: f64,
    delta: f64,
}

#[derive(Clone, Debug, Default)]
struct Stream {
    samples: Vec<Sample>,
    count: f64,
    buffer: Vec<f64>,
}

/// By how much a rank may be off.
fn invariant(count: f64, rank: f64) -> f64 {
    let error = |(quantile, epsilon): (f64, f64)| {
        if quantile * count <= rank {
            2.0 * epsilon * rank / quantile
        } else {
            2.0 * epsilon * (count - rank) / (1.0 - quantile)
        }
    };
    QUANTILES.into_iter().map(error).fold(f64::INFINITY, f64::min)
}

impl Stream {
    fn insert(&mut self, value: f64) {
        self.buffer.push(value);
        if self.buffer.len() >= BUFFER {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.buffer.sort_by(f64::total_cmp);
        let mut merged = Vec::with_capacity(self.samples.len() + self.buffer.len());
        let mut old = std::mem::take(&mut self.samples).into_iter().peekable();
        let mut rank = 0.0;
        for value in self.buffer.drain(..) {
            while let Some(sample) = old.next_if(|sample| sample.value.total_cmp(&value).is_le()) {
                rank += sample.width;
                merged.push(sample);
            }
            let delta = if old.peek().is_some() { (invariant(self.count, rank).floor() - 1.0).max(0.0) } else { 0.0 };
            merged.push(Sample { value, width: 1.0, delta });
            self.count += 1.0;
            rank += 1.0;
        }
        merged.extend(old);
        self.samples = self.compressed(merged);
    }

    fn compressed(&self, mut samples: Vec<Sample>) -> Vec<Sample> {
        let Some(mut right) = samples.pop() else { return samples };
        let mut kept = Vec::with_capacity(samples.len());
        let mut rank = self.count - 1.0 - right.width;
        while let Some(sample) = samples.pop() {
            if sample.width + right.width + right.delta <= invariant(self.count, rank) {
                right.width += sample.width;
            } else {
                kept.push(std::mem::replace(&mut right, sample));
            }
            rank -= sample.width;
        }
        kept.push(right);
        kept.reverse();
        kept
    }

    fn quantile(&mut self, quantile: f64) -> f64 {
        if !self.samples.is_empty() {
            self.flush();
            return self.estimated(quantile);
        }
        // So few values are known exactly.
        self.buffer.sort_by(f64::total_cmp);
        let wanted = quantile * self.buffer.len() as f64;
        let at = (0..self.buffer.len()).find(|at| (*at + 1) as f64 >= wanted);
        at.and_then(|at| self.buffer.get(at)).copied().unwrap_or(f64::NAN)
    }

    fn estimated(&self, quantile: f64) -> f64 {
        let mut wanted = (quantile * self.count).ceil();
        wanted += (invariant(self.count, wanted) / 2.0).ceil();
        let mut rank = 0.0;
        let mut pairs = self.samples.windows(2);
        let found = pairs.find(|pair| {
            rank += pair[0].width;
            rank + pair[1].width + pair[1].delta > wanted
        });
        found.map(|pair| pair[0]).or(self.samples.last().copied()).map_or(f64::NAN, |sample| sample.value)
    }
}

/// A summary's values.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The oldest first.
    streams: VecDeque<Stream>,
    forgets: Instant,
    /// Of all values ever.
    pub sum: f64,
    /// Of all values ever.
    pub count: u64,
}

impl Summary {
    /// Without a value.
    pub fn new(now: Instant) -> Self {
        Self { streams: vec![Stream::default(); STREAMS].into(), forgets: now + AGE, sum: 0.0, count: 0 }
    }

    /// One more value.
    pub fn record(&mut self, value: f64, now: Instant) {
        self.grow_older(now);
        self.sum += value;
        self.count += 1;
        for stream in &mut self.streams {
            stream.insert(value);
        }
    }

    /// The value at each of `QUANTILES`; not a number if there was none of late.
    pub fn quantiles(&mut self, now: Instant) -> [f64; 3] {
        self.grow_older(now);
        let Some(oldest) = self.streams.front_mut() else { return [f64::NAN; 3] };
        QUANTILES.map(|(quantile, _)| oldest.quantile(quantile))
    }

    fn grow_older(&mut self, now: Instant) {
        for _ in 0..STREAMS {
            if now < self.forgets {
                return;
            }
            self.forgets += AGE;
            self.streams.pop_front();
            self.streams.push_back(Stream::default());
        }
        // All has been forgotten, however long ago.
        self.forgets = self.forgets.max(now + AGE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn now() -> Instant {
        Instant::now()
    }

    #[test]
    fn without_values_there_are_no_quantiles() {
        let at = now();
        assert!(Summary::new(at).quantiles(at).iter().all(|value| value.is_nan()));
    }

    #[test]
    fn few_values_are_known_exactly() {
        let at = now();
        let mut summary = Summary::new(at);
        for value in 1..=10 {
            summary.record(f64::from(value), at);
        }
        assert_eq!(summary.quantiles(at), [5.0, 9.0, 10.0]);
        assert_eq!((summary.sum, summary.count), (55.0, 10));
    }

    #[test]
    fn many_values_are_known_within_the_errors_and_in_little_memory() {
        let at = now();
        let mut summary = Summary::new(at);
        let total = 100_000u32;
        for step in 0..total {
            // Each value once, in an order that is none: the factor has no divisor in common with the total.
            summary.record((u64::from(step) * 48_271 % u64::from(total)) as f64, at);
        }
        for (found, (quantile, error)) in summary.quantiles(at).into_iter().zip(QUANTILES) {
            let rank = found / f64::from(total);
            assert!((rank - quantile).abs() <= error, "{quantile}: {rank}");
        }
        assert!(summary.streams[0].samples.len() < 1000, "{}", summary.streams[0].samples.len());
    }

    #[test]
    fn what_is_ten_minutes_old_is_forgotten() {
        let at = now();
        let mut summary = Summary::new(at);
        summary.record(1.0, at);
        assert_eq!(summary.quantiles(at + Duration::from_secs(479))[0], 1.0);
        summary.record(2.0, at + Duration::from_secs(480));
        assert_eq!(summary.quantiles(at + Duration::from_secs(601))[0], 2.0);
        assert!(summary.quantiles(at + Duration::from_secs(86_400))[0].is_nan());
        assert_eq!(summary.count, 2);
    }
}
