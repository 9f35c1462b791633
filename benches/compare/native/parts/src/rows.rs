//! How rows are taken: the same warm-up, counts and names as those of the suites `calls` and `startup`.
//!
//! A peer that can do one thing in several ways gives each a row of its own, `NAME:WAY`; all of them stand beside
//! Mobula's row `NAME`.

use mobula_bench::{BATCH, Figure, Result, Samples, Session, check, warmed};

/// The bytes of an array.
pub const MEGABYTE: usize = 1_000_000;

/// How often a round trip of microseconds is timed, in a full session and in a quick one.
pub const MANY: (usize, usize) = (200_000, 20_000);

/// The same where both sides sleep for each.
pub const FEW: (usize, usize) = (20_000, 1_000);

/// One end of a connection to another process, which answers each number with its successor.
pub trait Call {
    /// Sends a number.
    ///
    /// # Errors
    ///
    /// If the library refuses to.
    fn send(&mut self, number: u64) -> Result<()>;

    /// Waits for the answer to the first number that has none yet.
    ///
    /// # Errors
    ///
    /// If the other side is gone.
    fn answer(&mut self) -> Result<u64>;

    /// Makes a call.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send) and [`answer`](Self::answer), and if the answer is wrong.
    fn call(&mut self, row: &'static str, number: u64) -> Result<()> {
        self.send(number)?;
        check(row, self.answer()?, number + 1)
    }
}

/// Times one call after the other.
///
/// # Errors
///
/// At the first call that fails.
pub fn hot(
    session: &mut Session<'_>,
    peer: &'static str,
    row: &'static str,
    (full, quick): (usize, usize),
    call: impl FnMut(usize) -> Result<()>,
) -> Result<()> {
    session.begin(row);
    let samples = warmed(session.clock(), session.count(full, quick), call)?;
    session.emit(peer, row, Figure::of(&samples), None)
}

/// Times what goes there and back, one after the other; a hop is half of that.
///
/// # Errors
///
/// At the first that fails.
pub fn hop(
    session: &mut Session<'_>,
    peer: &'static str,
    row: &'static str,
    round: impl FnMut(usize) -> Result<()>,
) -> Result<()> {
    session.begin(row);
    let samples = warmed(session.clock(), session.count(100_000, 5_000), round)?;
    session.emit(peer, row, Figure::of(&samples.divided_by(2)), None)
}

/// Times calls after both sides have slept, `actor_call_sync_asleep`.
///
/// # Errors
///
/// At the first call that fails.
pub fn asleep(session: &mut Session<'_>, peer: &'static str, mut call: impl Call) -> Result<()> {
    const ROW: &str = "actor_call_sync_asleep";
    session.begin(ROW);
    let samples = mobula_bench::asleep(session.clock(), session.count(1_000, 100), || call.call(ROW, 1))?;
    session.emit(peer, ROW, Figure::of(&samples), None)
}

/// Calls four other processes in turn, `actor_call_sync_oversubscribed`.
///
/// # Errors
///
/// At the first call that fails.
pub fn in_turn<C: Call>(session: &mut Session<'_>, peer: &'static str, start: impl Fn() -> Result<C>) -> Result<()> {
    const ROW: &str = "actor_call_sync_oversubscribed";
    let mut four = (0..4).map(|_| start()).collect::<Result<Vec<C>>>()?;
    hot(session, peer, ROW, FEW, |i| four[i % 4].call(ROW, i as u64))
}

/// Times batches of a thousand calls of which at most `window` have no answer at a time.
///
/// # Errors
///
/// At the first call that fails.
pub fn pipelined(
    session: &mut Session<'_>,
    peer: &'static str,
    row: &'static str,
    window: usize,
    mut call: impl Call,
) -> Result<()> {
    session.begin(row);
    let batch = |_| {
        let mut answers = 1..=BATCH as u64;
        for number in 0..BATCH {
            if number >= window {
                check(row, Some(call.answer()?), answers.next())?;
            }
            call.send(number as u64)?;
        }
        answers.try_for_each(|answer| check(row, call.answer()?, answer))
    };
    let samples = warmed(session.clock(), session.count(1_000, 50), batch)?.divided_by(BATCH);
    session.emit(peer, row, Figure::per_second(&samples), None)
}

/// Times how long one process, and ten at once, take from their start to a first answer: `actor_creation_1`,
/// `actor_creation_10`. `start` does not wait for a process, `connect` does.
///
/// # Errors
///
/// At the first that does not start.
pub fn creations<S, C: Call>(
    session: &mut Session<'_>,
    peer: &'static str,
    start: impl Fn() -> Result<S>,
    connect: impl Fn(S) -> Result<C>,
) -> Result<()> {
    for (row, at_once, count) in [("actor_creation_1", 1, (50, 5)), ("actor_creation_10", 10, (10, 2))] {
        session.begin(row);
        let clock = session.clock();
        let mut times = Vec::new();
        for _ in 0..session.count(count.0, count.1) {
            let begin = clock.now();
            let started = (0..at_once).map(|_| start()).collect::<Result<Vec<S>>>()?;
            let mut calls = started.into_iter().map(&connect).collect::<Result<Vec<C>>>()?;
            calls.iter_mut().try_for_each(|call| call.send(1))?;
            calls.iter_mut().try_for_each(|call| check(row, call.answer()?, 2))?;
            times.push(clock.since(begin));
        }
        session.emit(peer, row, Figure::of(&Samples::new(times)), None)?;
    }
    Ok(())
}
