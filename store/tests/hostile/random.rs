//! Chance that can be repeated: xorshift from a seed, and how much of it a run takes.

use std::time::{Duration, Instant};

/// A seeded generator.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        let mut random = Random(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..4 {
            random.word();
        }
        random
    }

    pub(crate) fn word(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.word() >> 11) as usize % n
    }

    pub(crate) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// How long a fuzz goes on: `MOBULA_FUZZ` is a number of rounds, or of seconds with an `s` behind it.
pub(crate) enum Budget {
    Rounds(u64),
    Until(Instant),
}

impl Budget {
    pub(crate) fn new(rounds: u64) -> Budget {
        let given = std::env::var("MOBULA_FUZZ").unwrap_or_default();
        match (given.strip_suffix('s').map(str::parse), given.parse()) {
            (Some(Ok(seconds)), _) => Budget::Until(Instant::now() + Duration::from_secs(seconds)),
            (_, Ok(rounds)) => Budget::Rounds(rounds),
            _ => Budget::Rounds(rounds),
        }
    }

    /// Says whether `done` rounds are not enough yet.
    pub(crate) fn allows(&self, done: u64) -> bool {
        match *self {
            Budget::Rounds(rounds) => done < rounds,
            Budget::Until(end) => Instant::now() < end,
        }
    }
}

/// The first seed of a run; `MOBULA_SEED` repeats a failure or looks elsewhere.
pub(crate) fn first_seed() -> u64 {
    std::env::var("MOBULA_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1)
}
