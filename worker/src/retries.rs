//! How often a task runs again: what its caller counts.
//!
//! ```text
//!   worker's process ended --> had it begun? no: it waits again, at no cost
//!                                            may have: one less, or is_worker_crashed
//!                                            (no less if the process was ended for another task's sake)
//!   Err or panic ------------> retry_errors? no: the caller's error
//!                                            yes: one less, or the caller's error
//! ```
//!
//! The budget travels with the task inside its caller's process and nowhere else: a worker knows nothing of other tries.
//!
//! - **WK-50** A task runs at most once more than its budget says, and gets one answer: whatever a dead try has said is
//!   handled before the news of its death (WK-10).

use mobula_scheduler::death::LostTask;

use crate::error::{Error, Result};

/// How often a task is tried again unless somebody says otherwise.
const DEFAULT: i32 = 3;

/// The number that says "always".
const ALWAYS: i32 = -1;

/// What is left of a task's tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Retries {
    left: i32,
    /// How often it has run, or 65,535 for more.
    tries: u16,
    /// An `Err` or a panic costs a try, too.
    errors: bool,
}

impl Retries {
    /// Makes the budget of a task of what its options say.
    ///
    /// # Errors
    ///
    /// If the number makes no sense.
    pub(crate) fn new(max_retries: Option<i32>, errors: Option<bool>) -> Result<Self> {
        let left = match max_retries {
            Some(times) if times < ALWAYS => {
                return Err(Error::invalid_argument(format!(
                    "max_retries must be -1 (always), 0 or more, not {times}"
                )));
            }
            times => times.unwrap_or(DEFAULT),
        };
        Ok(Retries { left, tries: 0, errors: errors.unwrap_or(false) })
    }

    /// How often the task has run, the last time included.
    pub(crate) fn tries(self) -> u32 {
        u32::from(self.tries)
    }

    /// True if the task may run again after something.
    pub(crate) fn allow_any(self) -> bool {
        self.left != 0
    }

    /// The task may have begun in a worker that is no more; true if it runs again.
    pub(crate) fn lost(&mut self, reason: &LostTask) -> bool {
        self.tries = self.tries.saturating_add(1);
        match reason {
            LostTask::WorkerCrashed { .. } => self.take(),
            // Not its own doing, but what must not run twice does not.
            LostTask::EndedByForce { .. } => self.allow_any(),
            // As often as it takes, unless it must not be tried again at all; the node sees to it that time passes.
            LostTask::OutOfMemory(_) => self.allow_any(),
            _ => false,
        }
    }

    /// The task has failed; true if it runs again.
    pub(crate) fn failed(&mut self, error: &Error) -> bool {
        self.errors && error.is_task_failed() && {
            self.tries = self.tries.saturating_add(1);
            self.take()
        }
    }

    /// Takes one try of those that are left.
    fn take(&mut self) -> bool {
        match self.left {
            0 => false,
            ALWAYS => true,
            _ => {
                self.left -= 1;
                true
            }
        }
    }
}

const _: () = assert!(size_of::<Retries>() <= 8);

#[cfg(test)]
mod tests {
    use super::*;

    fn crash() -> LostTask {
        LostTask::WorkerCrashed { pid: 7, status: "signal 9".into() }
    }

    #[test]
    fn a_budget_is_used_up_by_both_kinds_of_trouble() {
        let mut retries = Retries::new(Some(2), Some(true)).unwrap();
        let error = Error::task_failed("f".into(), "m".into(), None);
        assert!(retries.lost(&crash()) && retries.failed(&error));
        assert!(!retries.lost(&crash()) && !retries.failed(&error));
        assert_eq!(retries.tries(), 4);
    }

    #[test]
    fn errors_cost_nothing_unless_that_is_wanted() {
        let mut retries = Retries::new(Some(-1), None).unwrap();
        assert!(!retries.failed(&Error::task_failed("f".into(), "m".into(), None)));
        assert!((0..100).all(|_| retries.lost(&crash())));
        let short = LostTask::OutOfMemory("short".into());
        let mut one = Retries::new(Some(1), None).unwrap();
        assert!((0..100).all(|_| one.lost(&short)) && one.lost(&crash()) && !one.lost(&short));
        // Not what an argument was, nor what no try can change.
        let mut retries = Retries::new(None, Some(true)).unwrap();
        assert!(!retries.failed(&Error::timeout("late")) && !retries.lost(&LostTask::NoWorker("none".into())));
        assert!(Retries::new(Some(-2), None).unwrap_err().is_invalid_argument());
    }
}
