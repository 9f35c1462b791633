//! The order in which a worker goes through its rows.

use crate::random::Random;

/// Deals the rows of one worker's shard out in batches, each row once an epoch, in a new random order every epoch.
#[derive(Debug)]
pub(crate) struct Sampler {
    order: Vec<usize>,
    next: usize,
    batch: usize,
    random: Random,
}

impl Sampler {
    /// Takes every `shards`-th of `rows` rows, from `shard` on.
    pub(crate) fn new(rows: usize, shard: usize, shards: usize, batch: usize, seed: u64) -> Self {
        let order: Vec<usize> = (shard..rows).step_by(shards).collect();
        Sampler { next: order.len(), batch: batch.min(order.len()), order, random: Random::new(seed, 1 + shard as u64) }
    }

    /// Counts the rows of the shard.
    pub(crate) fn rows(&self) -> usize {
        self.order.len()
    }

    /// Gives the next batch; the last one of an epoch may be shorter.
    pub(crate) fn batch(&mut self) -> &[usize] {
        if self.next == self.order.len() {
            self.random.shuffle(&mut self.order);
            self.next = 0;
        }
        let start = self.next;
        self.next = (start + self.batch).min(self.order.len());
        &self.order[start..self.next]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_deals_every_row_of_the_shard_once() {
        let mut sampler = Sampler::new(100, 1, 3, 8, 42);
        for _ in 0..3 {
            let mut seen = Vec::new();
            while seen.len() < sampler.rows() {
                seen.extend_from_slice(sampler.batch());
            }
            seen.sort_unstable();
            assert_eq!(seen, (1..100).step_by(3).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_batch_larger_than_the_shard_is_the_shard() {
        let mut sampler = Sampler::new(10, 0, 5, 32, 42);
        assert_eq!(sampler.batch().len(), 2);
        assert_eq!(sampler.batch().len(), 2);
    }
}
