//! There and back: cache lines, sleepers, processes.

use std::hint::spin_loop;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::thread::futex;

use crate::child::{self, Child, Role};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::limits::{BATCH, FALLING_ASLEEP};
use crate::process::Pinned;
use crate::sample::{Samples, singles};
use crate::shared::Lines;

const REQUEST: usize = 0;
const REPLY: usize = 1;

pub(super) fn spin_rtt(clock: Clock, count: usize) -> Result<Samples> {
    let lines = Lines::new(2)?;
    let _child = Child::with_lines(Role::Spin, &[], &lines)?;
    let round = |i: u64| {
        lines.word(REQUEST).store(i, Ordering::Release);
        while lines.word(REPLY).load(Ordering::Acquire) != i {
            spin_loop();
        }
        Ok(())
    };
    let warm_up = count as u64 / 10;
    (1..=warm_up).try_for_each(round)?;
    singles(clock, count, |i| round(warm_up + 1 + i as u64))
}

/// The child's side of `limit_spin_rtt`; the parent kills it.
pub(crate) fn spin_echo(lines: &Lines) -> Result<()> {
    child::ready()?;
    let mut last = 0;
    loop {
        let now = lines.word(REQUEST).load(Ordering::Acquire);
        if now != last {
            lines.word(REPLY).store(now, Ordering::Release);
            last = now;
        } else {
            spin_loop();
        }
    }
}

/// Both rings of a stream lie in one mapping; a batch fits, so nobody ever waits for room.
const RING: usize = 1024;

pub(super) fn stream(clock: Clock, count: usize) -> Result<Samples> {
    let lines = Lines::new(2 * RING)?;
    let child = Child::with_lines(Role::Stream, &[], &lines)?;
    // On one processor, where the kernel puts both while others work, a batch takes as long as one of them
    // is let spin: milliseconds.
    let _pinned = Pinned::new(child.id(), 1)?;
    let mut sent = 0_u64;
    let mut batch = |_| {
        let (first, last) = (sent + 1, sent + BATCH as u64);
        for message in first..=last {
            lines.word(message as usize % RING).store(message, Ordering::Release);
        }
        for message in first..=last {
            let answer = lines.word(RING + message as usize % RING);
            while answer.load(Ordering::Acquire) != message {
                spin_loop();
            }
        }
        sent = last;
        Ok(())
    };
    (0..count / 10).try_for_each(&mut batch)?;
    singles(clock, count, batch)
}

/// The child's side of `limit_stream`; the parent kills it.
pub(crate) fn stream_echo(lines: &Lines) -> Result<()> {
    child::ready()?;
    for message in 1_u64.. {
        let place = message as usize % RING;
        while lines.word(place).load(Ordering::Acquire) != message {
            spin_loop();
        }
        lines.word(RING + place).store(message, Ordering::Release);
    }
    Ok(())
}

/// `place` says on which of the allowed processors the child is, this thread being on the first.
pub(super) fn futex_rtt(clock: Clock, count: usize, place: Option<usize>, idle: Option<Duration>) -> Result<Samples> {
    let lines = Lines::new(2)?;
    let child = Child::with_lines(Role::Futex, &[], &lines)?;
    let _pinned = place.map(|number| Pinned::new(child.id(), number)).transpose()?;
    let (request, reply) = (lines.futex(REQUEST), lines.futex(REPLY));
    let round = |i: u32| {
        request.store(i, Ordering::Release);
        wake(request);
        while reply.load(Ordering::Acquire) != i {
            sleep_while(reply, i.wrapping_sub(1));
        }
    };
    let warm_up = count as u32 / 20;
    (1..=warm_up).for_each(round);
    let times = (1..=count as u32).map(|i| {
        match idle {
            Some(idle) => std::thread::sleep(idle),
            None => spin(FALLING_ASLEEP),
        }
        let start = clock.now();
        round(warm_up + i);
        clock.since(start)
    });
    Ok(Samples::new(times.collect()))
}

/// The child's side of `limit_futex_rtt`; the parent kills it.
pub(crate) fn futex_echo(lines: &Lines) -> Result<()> {
    child::ready()?;
    let (request, reply) = (lines.futex(REQUEST), lines.futex(REPLY));
    let mut last = 0;
    loop {
        while request.load(Ordering::Acquire) == last {
            sleep_while(request, last);
        }
        last = request.load(Ordering::Acquire);
        reply.store(last, Ordering::Release);
        wake(reply);
    }
}

fn spin(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        spin_loop();
    }
}

/// Sleeps while a word has a value, or shorter.
pub(crate) fn sleep_while(word: &AtomicU32, value: u32) {
    // An error means that the word has changed or a signal came: the caller looks again.
    let _ = futex::wait(word, futex::Flags::empty(), value, None);
}

/// Wakes who sleeps on a word.
pub(crate) fn wake(word: &AtomicU32) {
    // It cannot fail for a mapped word.
    let _ = futex::wake(word, futex::Flags::empty(), 1);
}

pub(super) fn spawn_hello(clock: Clock, count: usize) -> Result<Samples> {
    let times: Result<Vec<f64>> = (0..count.max(20))
        .map(|_| {
            let start = clock.now();
            let mut child = Child::start(Role::Hello, &[], Stdio::null())?;
            child.wait_ready()?;
            Ok(clock.since(start))
        })
        .collect();
    times.map(Samples::new)
}

/// Kills a child that sleeps and waits until its process descriptor says that it is gone.
pub(super) fn kill_seen(clock: Clock, count: usize) -> Result<Samples> {
    let times: Result<Vec<f64>> = (0..count.max(20))
        .map(|_| {
            let mut child = Child::start(Role::Idle, &[], Stdio::piped())?;
            child.wait_ready()?;
            let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
            let pid = pid.ok_or_else(|| child.failed("has no pid"))?;
            let fd = pidfd_open(pid, PidfdFlags::empty()).map_err(Error::os("open a process descriptor"))?;
            // It has said that it is ready and may still be on its way to sleep.
            std::thread::sleep(super::IDLE);
            let start = clock.now();
            child.kill()?;
            poll(&mut [PollFd::new(&fd, PollFlags::IN)], None).map_err(Error::os("wait for a process to end"))?;
            Ok(clock.since(start))
        })
        .collect();
    times.map(Samples::new)
}
