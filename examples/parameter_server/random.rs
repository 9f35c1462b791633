//! A small seeded generator, so that a run can be repeated exactly.
//!
//! SplitMix64 (Steele, Lea and Flood, 2014): one word of state, every seed is good. It decides the first weights and the
//! order of the samples; nothing here needs more.

/// Generates reproducible pseudo-random numbers.
#[derive(Clone, Debug)]
pub(crate) struct Random {
    state: u64,
}

impl Random {
    /// Starts the stream `stream` of `seed`: different streams of one seed have nothing to do with each other.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let mut random = Random { state: seed ^ stream.wrapping_mul(0xd1b5_4a32_d192_ed03) };
        random.state = random.next();
        random
    }

    /// Gives the next 64 bits.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Gives a number below `bound`.
    fn below(&mut self, bound: usize) -> usize {
        // The high half of the product is uniform but for a bias of bound / 2^64, which no order of 1,437 rows shows.
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    /// Gives a number in `-1.0..1.0`.
    pub(crate) fn symmetric(&mut self) -> f32 {
        // 24 bits are what an f32 can tell apart in this range.
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    /// Puts `items` in a random order.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_and_stream_repeat() {
        let mut a = Random::new(7, 1);
        let mut b = Random::new(7, 1);
        assert!((0..100).all(|_| a.next() == b.next()));
    }

    #[test]
    fn streams_differ() {
        let mut a = Random::new(7, 1);
        let mut b = Random::new(7, 2);
        assert!((0..100).all(|_| a.next() != b.next()));
    }

    #[test]
    fn symmetric_stays_in_range_and_is_centred() {
        let mut random = Random::new(3, 0);
        let values: Vec<f32> = (0..10_000).map(|_| random.symmetric()).collect();
        assert!(values.iter().all(|v| (-1.0..1.0).contains(v)));
        assert!((values.iter().sum::<f32>() / 10_000.0).abs() < 0.02);
    }

    #[test]
    fn shuffle_keeps_every_item() {
        let mut items: Vec<u32> = (0..100).collect();
        Random::new(1, 0).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<u32>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<u32>>());
    }
}
