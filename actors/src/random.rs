//! Random numbers for jitter: fast and small, of no use to cryptography.

use std::hash::{BuildHasher, RandomState};

/// A seed that nobody has chosen, from the keys of the standard library's hashers.
pub fn entropy() -> u64 {
    RandomState::new().hash_one(0)
}

/// A xorshift generator.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// Seeded by the operating system.
    pub fn from_entropy() -> Self {
        Self::from_seed(entropy())
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

    /// The next number as an index of something so long.
    pub fn index(&mut self, length: usize) -> usize {
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        usize::try_from(self.below(length)).unwrap_or(0)
    }

    /// The next number, below this one; 0 below 0.
    pub fn below(&mut self, limit: u32) -> u32 {
        self.fraction();
        u32::try_from(((self.0 >> 32) * u64::from(limit)) >> 32).unwrap_or(0)
    }
}
