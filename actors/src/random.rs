//! Random numbers for jitter: fast and small, of no use to cryptography.

use std::hash::{BuildHasher, RandomState};

/// A xorshift generator.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// Seeded by the operating system, by way of the standard library's hasher keys.
    pub fn from_entropy() -> Self {
        Self(RandomState::new().hash_one(0) | 1)
    }

    /// The same numbers for the same seed, for tests.
    pub fn from_seed(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number, in 0.0..1.0.
    pub fn fraction(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        // 32 bits are plenty, and convert exactly.
        let high = u32::try_from(self.0 >> 32).unwrap_or(0);
        f64::from(high) / (f64::from(u32::MAX) + 1.0)
    }

    /// The next number, below this one; 0 below 0.
    pub fn below(&mut self, limit: u32) -> u32 {
        self.fraction();
        u32::try_from(((self.0 >> 32) * u64::from(limit)) >> 32).unwrap_or(0)
    }
}
