//! Samples of nanoseconds and what is said about them.

use std::thread;

use crate::clock::Clock;
use crate::error::Result;
use crate::limits::IDLE;

/// A set of measured times, sorted.
#[derive(Debug, Clone, PartialEq)]
pub struct Samples {
    sorted: Vec<f64>,
}

impl Samples {
    /// Takes times in nanoseconds, in any order.
    pub fn new(mut times: Vec<f64>) -> Self {
        times.sort_unstable_by(f64::total_cmp);
        Samples { sorted: times }
    }

    /// Returns the smallest time that `percent` of all do not exceed; 0 if there are none.
    pub fn percentile(&self, percent: f64) -> f64 {
        let rank = (percent / 100.0 * self.sorted.len() as f64).ceil() as usize;
        self.sorted.get(rank.saturating_sub(1)).or(self.sorted.last()).copied().unwrap_or(0.0)
    }

    /// Returns the time that half of all do not exceed.
    pub fn median(&self) -> f64 {
        self.percentile(50.0)
    }

    /// Divides all times, as one does where a time is that of many operations.
    pub fn divided_by(mut self, operations: usize) -> Self {
        for time in &mut self.sorted {
            *time /= operations.max(1) as f64;
        }
        self
    }
}

/// Times `count` operations, each alone; an operation gets its number.
///
/// # Errors
///
/// The first error of an operation.
pub fn singles(clock: Clock, count: usize, mut operation: impl FnMut(usize) -> Result<()>) -> Result<Samples> {
    let mut times = Vec::with_capacity(count);
    for i in 0..count {
        let start = clock.now();
        operation(i)?;
        times.push(clock.since(start));
    }
    Ok(Samples::new(times))
}

/// Times `count` operations, each alone, behind a tenth as many that are not counted, at least one; an operation gets
/// its number.
///
/// # Errors
///
/// The first error of an operation.
pub fn warmed(clock: Clock, count: usize, mut operation: impl FnMut(usize) -> Result<()>) -> Result<Samples> {
    (0..count.div_ceil(10)).try_for_each(&mut operation)?;
    singles(clock, count, operation)
}

/// Times `count` operations, each after [`IDLE`], so that everybody who takes part sleeps when it begins.
///
/// # Errors
///
/// The first error of an operation.
pub fn asleep(clock: Clock, count: usize, mut operation: impl FnMut() -> Result<()>) -> Result<Samples> {
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        thread::sleep(IDLE);
        let start = clock.now();
        operation()?;
        times.push(clock.since(start));
    }
    Ok(Samples::new(times))
}

/// Times `count` batches of `size` operations and divides by `size`; an operation gets its number.
///
/// # Errors
///
/// The first error of an operation.
pub fn batches(
    clock: Clock,
    count: usize,
    size: usize,
    mut operation: impl FnMut(usize) -> Result<()>,
) -> Result<Samples> {
    let whole = singles(clock, count, |batch| (0..size).try_for_each(|i| operation(batch * size + i)))?;
    Ok(whole.divided_by(size))
}

/// Times operations in turns, each `rounds` times behind `warm_up` that are not counted: what disturbs the
/// machine disturbs all.
///
/// An operation returns the nanoseconds that it took.
///
/// # Errors
///
/// The first error of an operation.
pub fn in_turns<const N: usize>(
    warm_up: usize,
    rounds: usize,
    mut operations: [&mut dyn FnMut() -> Result<f64>; N],
) -> Result<[Samples; N]> {
    let mut times = [const { Vec::new() }; N];
    for round in 0..warm_up + rounds {
        for (operation, times) in operations.iter_mut().zip(&mut times) {
            let time = operation()?;
            if round >= warm_up {
                times.push(time);
            }
        }
    }
    Ok(times.map(Samples::new))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples() {
        let samples = Samples::new((1..=100).rev().map(f64::from).collect());
        assert_eq!(samples.median(), 50.0);
        assert_eq!(samples.percentile(99.0), 99.0);
        assert_eq!(samples.percentile(100.0), 100.0);
        assert_eq!(samples.percentile(0.0), 1.0);
        assert_eq!(Samples::new(vec![7.0]).percentile(99.0), 7.0);
        assert_eq!(Samples::new(Vec::new()).median(), 0.0);
    }

    #[test]
    fn a_batch_is_divided_by_its_operations() {
        let mut seen = Vec::new();
        let samples = batches(Clock::new(), 3, 4, |i| {
            seen.push(i);
            Ok(())
        });
        assert!(samples.is_ok());
        assert_eq!(seen, (0..12).collect::<Vec<_>>());
        assert_eq!(Samples::new(vec![8.0]).divided_by(4).median(), 2.0);
    }

    #[test]
    fn what_warms_up_is_not_counted() {
        for (count, operations) in [(20, 22), (5, 6), (1, 2)] {
            let mut done = 0;
            let samples = warmed(Clock::new(), count, |_| {
                done += 1;
                Ok(())
            });
            assert_eq!((samples.unwrap().sorted.len(), done), (count, operations));
        }
    }

    #[test]
    fn operations_take_turns_and_warm_up_is_not_counted() {
        let log = std::cell::RefCell::new(Vec::new());
        let take = |name: u8| {
            log.borrow_mut().push(name);
            Ok(log.borrow().len() as f64)
        };
        let samples = in_turns(1, 2, [&mut || take(1), &mut || take(2)]).unwrap();
        assert_eq!(*log.borrow(), [1, 2, 1, 2, 1, 2]);
        assert_eq!(samples, [Samples::new(vec![3.0, 5.0]), Samples::new(vec![4.0, 6.0])]);
    }
}
