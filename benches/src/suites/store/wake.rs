//! From a seal to the reader that waits for it.
//!
//! | row | what is timed |
//! |---|---|
//! | `limit_futex_wake` | a process changes a word and wakes another that sleeps on it, until that one runs |
//! | `wait_wake` | a process seals an object that another one waits for in `get`, until `get` has returned there |
//! | `.._1cpu`, `.._2cpu` | the same, both on one processor, or one on each of two |
//!
//! The same two processes do both in turns, after both have slept for 2 ms and more: whether they are on one
//! processor decides more than anything else, and so it is the same for both rows. Who wakes goes back to
//! sleep at once, or the other one could not run on the same processor.
//!
//! ```text
//!   word 0  the round          word 1  when the sleeper ran on, after the word; word 2  after the store
//! ```

use std::sync::atomic::Ordering;

use mobula::store::Store;

use super::{NAME, deleted, id, until};
use crate::child::{self, Child, Role};
use crate::clock::monotonic_ns;
use crate::error::{Result, check};
use crate::limits::IDLE;
use crate::limits::rounds::{sleep_while, wake};
use crate::machine::cpus;
use crate::process::Pinned;
use crate::sample::Samples;
use crate::session::{Figure, Session};
use crate::shared::Lines;

const ROUND: usize = 0;
const WOKEN: usize = 1;
const GOT: usize = 2;

/// The objects of a placement are `ROUNDS` numbers behind the last one's.
const ROUNDS: u64 = 1 << 16;
const FIRST: u64 = 1 << 40;

/// Limit row, row and where the sleeper is (the one who wakes is on the first processor).
const PLACES: [(&str, &str, Option<usize>); 3] = [
    ("limit_futex_wake", "wait_wake", None),
    ("limit_futex_wake_1cpu", "wait_wake_1cpu", Some(0)),
    ("limit_futex_wake_2cpu", "wait_wake_2cpu", Some(1)),
];

pub(super) fn measure(session: &mut Session<'_>, store: &Store) -> Result<()> {
    for (i, (limit, row, place)) in PLACES.into_iter().enumerate() {
        if place.is_some_and(|place| place >= cpus()) {
            session.skip(NAME, row, "it takes two processors and this process may use one")?;
            continue;
        }
        session.begin(row);
        let first = FIRST + i as u64 * ROUNDS;
        let [limits, times] = rounds(row, store, first, place, session.count(300, 40) as u32)?;
        session.emit(NAME, limit, Figure::of(&limits), None)?;
        session.emit(NAME, row, Figure::of(&times), Some(limit))?;
    }
    Ok(())
}

fn rounds(row: &'static str, store: &Store, first: u64, place: Option<usize>, count: u32) -> Result<[Samples; 2]> {
    const WARM_UP: u32 = 3;
    let lines = Lines::new(3)?;
    let args = [store.address().to_owned(), first.to_string()];
    let child = Child::with_lines(Role::StoreSleeper, &args, &lines)?;
    let _pinned = place.map(|number| Pinned::new(child.id(), number)).transpose()?;
    let mut times = [Vec::new(), Vec::new()];
    for round in 1..=WARM_UP + count {
        let id = id(first + u64::from(round));
        let buffer = store.create_object(id, 64)?;
        std::thread::sleep(IDLE);
        let changed = monotonic_ns();
        lines.futex(ROUND).store(round, Ordering::Release);
        wake(lines.futex(ROUND));
        std::thread::sleep(IDLE);
        let sealed = monotonic_ns();
        drop(buffer.seal()?);
        std::thread::sleep(IDLE);
        for ((place, start), times) in [(WOKEN, changed), (GOT, sealed)].into_iter().zip(&mut times) {
            until(row, "the sleeper woken", || lines.word(place).load(Ordering::Acquire) != 0)?;
            let end = lines.word(place).swap(0, Ordering::AcqRel);
            check(row, end > start, true)?;
            if round > WARM_UP {
                times.push((end - start) as f64);
            }
        }
        // The view may just not have been dropped.
        until(row, "the object let go", || store.info(id).is_none_or(|info| info.holders.is_empty()))?;
        deleted(row, store, id)?;
    }
    Ok(times.map(Samples::new))
}

/// The child's side; the parent kills it.
pub(crate) fn sleep(args: &[String], lines: &Lines) -> Result<()> {
    let store = Store::attach(args.first().map_or("", String::as_str))?;
    let first: u64 = args.get(1).and_then(|first| first.parse().ok()).unwrap_or(0);
    child::ready()?;
    for round in 1.. {
        while lines.futex(ROUND).load(Ordering::Acquire) != round {
            sleep_while(lines.futex(ROUND), round - 1);
        }
        lines.word(WOKEN).store(monotonic_ns(), Ordering::Release);
        let view = store.get(id(first + u64::from(round)), None)?;
        lines.word(GOT).store(monotonic_ns(), Ordering::Release);
        drop(view);
    }
    Ok(())
}
