//! Arrays as arguments, and put.
//!
//! | row | what is timed |
//! |---|---|
//! | `actor_call_1MB_array` | one call with an array that is in the store, and its get |
//! | `actor_call_1MB_array_put` | the same with the array put for the call: a copy of 1 MB, its drop counted |
//! | `limit_copy_1MB` | memcpy of 1 MB by one thread, in turns with the row before |
//! | `array_100MB_put` | `Array::from_slice` into memory that was freed before; the drop is not counted |
//!
//! The actor looks at the array's last number.

use std::hint::black_box;

use mobula::prelude::*;

use crate::error::{Result, check};
use crate::limits::copies::{Copier, Manner, beside};
use crate::sample::{in_turns, warmed};
use crate::session::{Figure, Session};
use crate::suites::cast::{self, Echo};

use super::{HOT, NAME};

/// 1 MB.
const NUMBERS: usize = 125_000;
/// A copy of 1 MB in nanoseconds, beside a row in nanoseconds.
const COPY: &str = "limit_copy_1MB";

pub(super) fn measure(session: &mut Session<'_>) -> Result<()> {
    let source: Vec<f64> = (0..NUMBERS).map(|i| i as f64).collect();
    for echo in cast::echoes(1)? {
        stored(session, &echo, &source)?;
        put(session, &echo, &source)?;
    }
    large(session)
}

fn stored(session: &mut Session<'_>, echo: &ActorHandle<Echo>, source: &[f64]) -> Result<()> {
    const ROW: &str = "actor_call_1MB_array";
    session.begin(ROW);
    let array = Array::from_slice(source)?;
    let call = |_| check(ROW, Some(mobula::get(&echo.last(&array).remote())?), source.last().copied());
    let samples = warmed(session.clock(), session.count(50_000, 2_000), call)?;
    session.emit(NAME, ROW, Figure::of(&samples), Some(HOT))
}

fn put(session: &mut Session<'_>, echo: &ActorHandle<Echo>, source: &[f64]) -> Result<()> {
    const ROW: &str = "actor_call_1MB_array_put";
    session.begin(ROW);
    let (clock, rounds) = (session.clock(), session.count(3_000, 200));
    let bytes: &[u8] = mobula::bytemuck::cast_slice(source);
    let mut copier = Copier::new(bytes.len())?;
    let [limit, times] = in_turns(
        rounds / 10,
        rounds,
        [&mut || Ok(copier.copy(clock, Manner::MEMCPY, bytes)), &mut || {
            let start = clock.now();
            let answer = mobula::get(&echo.last(Array::from_slice(black_box(source))?).remote())?;
            let time = clock.since(start);
            check(ROW, Some(answer), source.last().copied())?;
            Ok(time)
        }],
    )?;
    session.emit(NAME, COPY, Figure::of(&limit), None)?;
    session.emit(NAME, ROW, Figure::of(&times), Some(COPY))
}

fn large(session: &mut Session<'_>) -> Result<()> {
    const ROW: &str = "array_100MB_put";
    let clock = session.clock();
    beside(session, NAME, ROW, |source| {
        let start = clock.now();
        let array = Array::from_slice(black_box(source))?;
        let time = clock.since(start);
        check(ROW, (array.len(), array.last()), (source.len(), source.last()))?;
        Ok(time)
    })
}
