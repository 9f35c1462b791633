//! Refs as they become ready, each row with a thousand tasks that it starts itself.
//!
//! | row | what is timed |
//! |---|---|
//! | `wait_1k_refs` | 1,000 tasks; then `wait` for one of those that are left, until none is |
//! | `as_completed_1k` | 1,000 tasks; then all of them out of `as_completed` |

use mobula::prelude::*;

use crate::error::{Result, check};
use crate::limits::BATCH;
use crate::sample::{Samples, singles};
use crate::session::{Figure, Session};
use crate::suites::cast;

use super::NAME;

pub(super) fn measure(session: &mut Session<'_>) -> Result<()> {
    const WAIT: &str = "wait_1k_refs";
    const COMPLETED: &str = "as_completed_1k";
    session.begin(WAIT);
    let samples = wait_one_by_one(session, WAIT)?;
    session.emit(NAME, WAIT, Figure::of(&samples), None)?;
    session.begin(COMPLETED);
    let samples = singles(session.clock(), session.count(50, 3), |_| {
        let mut sum = 0;
        for object in mobula::as_completed(tasks()) {
            sum += mobula::get(&object?)?;
        }
        check(COMPLETED, sum, SUM)
    })?;
    session.emit(NAME, COMPLETED, Figure::of(&samples), None)
}

/// What the results of all tasks add up to.
const SUM: u64 = (BATCH * (BATCH + 1) / 2) as u64;

fn tasks() -> Vec<ObjectRef<u64>> {
    (0..BATCH as u64).map(cast::successor::remote).collect()
}

/// Times loops of a thousand tasks and as many waits for one.
pub(crate) fn wait_one_by_one(session: &Session<'_>, row: &'static str) -> Result<Samples> {
    singles(session.clock(), session.count(30, 3), |_| {
        let (mut left, mut sum) = (tasks(), 0);
        while !left.is_empty() {
            let (ready, others) = mobula::wait(&left, 1, None)?;
            for object in ready {
                sum += mobula::get(&object)?;
            }
            left = others;
        }
        check(row, sum, SUM)
    })
}
