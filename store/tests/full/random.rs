//! Repeatable randomness.

/// A xorshift generator, seeded so that nearby seeds give unrelated sequences.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

/// Mixes a word well enough for seeds (splitmix64).
pub(crate) fn mix(word: u64) -> u64 {
    let mut z = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Random {
    /// Seeds a generator with several numbers.
    pub(crate) fn of(parts: &[u64]) -> Random {
        Random(parts.iter().fold(0x6675_6c6c, |seed, &part| mix(seed ^ mix(part))) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Draws a number below `n`; 0 if `n` is 0.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }

    /// Draws a number between two others so that each doubling is equally likely.
    pub(crate) fn log_uniform(&mut self, low: u64, high: u64) -> u64 {
        let part = self.below(1 << 53) as f64 / (1u64 << 53) as f64;
        let drawn = low as f64 * (high.max(low) as f64 / low as f64).powf(part);
        (drawn as u64).clamp(low, high.max(low))
    }
}
