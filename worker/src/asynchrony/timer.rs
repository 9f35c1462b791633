//! Time for futures: one thread of the process, there while any of them sleeps.
//!
//! Timers have nothing to do with a runtime, so they go on when one ends.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::waiter::Waiter;
use crate::core;
use crate::error::{Error, Result};
use crate::panics;

/// Below this many timers nothing is cleaned up.
const FEW: usize = 64;

/// How long the thread stays when nobody sleeps any more.
const LINGER: Duration = Duration::from_millis(20);

static TIMERS: Timers = Timers { state: Mutex::new(State::NEW), changed: Condvar::new() };

struct Timers {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    queue: BinaryHeap<Timer>,
    /// How many of them somebody waits for.
    live: usize,
    /// How many there may be before those that nobody waits for any more are thrown out.
    many: usize,
    has_thread: bool,
}

impl State {
    const NEW: Self = State { queue: BinaryHeap::new(), live: 0, many: FEW, has_thread: false };
}

struct Timer {
    at: Reverse<Instant>,
    waiter: Arc<Waiter>,
}

impl PartialEq for Timer {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Timer {}

impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timer {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

impl Timers {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has `waiter` hear of an instant; false if there is no thread for that.
    fn add(&'static self, at: Instant, waiter: Arc<Waiter>) -> bool {
        let mut state = self.lock();
        if !state.has_thread {
            match core::spawn("mobula-timer", || self.serve()) {
                // It ends by itself.
                Ok(_) => state.has_thread = true,
                Err(error) => {
                    tracing::error!(%error, "timers of futures do not work");
                    return false;
                }
            }
        }
        if state.queue.len() >= state.many {
            state.queue.retain(|timer| !timer.waiter.is_done());
            state.many = (state.queue.len() * 2).max(FEW);
        }
        let next = state.queue.peek().is_none_or(|first| at < first.at.0);
        state.queue.push(Timer { at: Reverse(at), waiter });
        state.live += 1;
        drop(state);
        if next {
            self.changed.notify_one();
        }
        true
    }

    /// Nobody waits for this one any more.
    fn leave(&self, waiter: &Waiter) {
        waiter.leave();
        let mut state = self.lock();
        if !waiter.is_done() {
            // Done without a waker: so it is counted once, here or where it is due.
            drop(waiter.arrived());
            state.live -= 1;
            if state.live == 0 {
                state.queue.clear();
                drop(state);
                self.changed.notify_one();
            }
        }
    }

    fn serve(&self) {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            let mut wakers: Vec<Waker> = Vec::new();
            while state.queue.peek().is_some_and(|first| first.at.0 <= now)
                && let Some(timer) = state.queue.pop()
            {
                if !timer.waiter.is_done() {
                    state.live -= 1;
                    wakers.extend(timer.waiter.arrived());
                }
            }
            if !wakers.is_empty() {
                drop(state);
                for waker in wakers {
                    // The hook has told of a panic.
                    let _ = panics::catch(|| waker.wake());
                }
                state = self.lock();
                continue;
            }
            state = match state.queue.peek() {
                Some(first) => {
                    let left = first.at.0.saturating_duration_since(now);
                    self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
                None => {
                    let waited = self.changed.wait_timeout(state, LINGER).unwrap_or_else(PoisonError::into_inner);
                    let (mut state, waited) = waited;
                    if waited.timed_out() && state.queue.is_empty() {
                        state.has_thread = false;
                        return;
                    }
                    state
                }
            };
        }
    }
}

/// Waits for `duration`, as a future that works on any executor.
///
/// In an `async` method other calls run meanwhile.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
///
/// let start = Instant::now();
/// mobula_worker::block_on(mobula_worker::sleep(Duration::from_millis(5)));
/// assert!(start.elapsed() >= Duration::from_millis(5));
/// ```
pub fn sleep(duration: Duration) -> Sleep {
    Sleep { until: Instant::now().checked_add(duration), waiter: None }
}

/// The future of [`sleep`].
#[must_use = "a future does nothing unless it is awaited"]
pub struct Sleep {
    /// `None` is too far away to be told.
    until: Option<Instant>,
    waiter: Option<Arc<Waiter>>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let Some(until) = this.until else {
            return Poll::Pending;
        };
        if Instant::now() >= until {
            return Poll::Ready(());
        }
        match &this.waiter {
            Some(waiter) => {
                waiter.wake_by(cx.waker());
                if waiter.is_done() {
                    return Poll::Ready(());
                }
            }
            None => {
                let waiter = Waiter::new(1, cx.waker());
                if TIMERS.add(until, waiter.clone()) {
                    this.waiter = Some(waiter);
                } else {
                    // Without a thread there is nothing but to ask again.
                    cx.waker().wake_by_ref();
                }
            }
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(waiter) = self.waiter.take() {
            TIMERS.leave(&waiter);
        }
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("until", &self.until).finish_non_exhaustive()
    }
}

/// Gives what a future gives, unless that takes longer than `after`; then the future is dropped.
///
/// # Errors
///
/// `is_timeout`.
///
/// # Examples
///
/// ```no_run
/// # use std::time::Duration;
/// # use mobula_worker as mobula;
/// # async fn example(report: mobula::ObjectRef<String>) -> mobula::Result<String> {
/// mobula::timeout(Duration::from_secs(1), mobula::get_async(&report)).await?
/// # }
/// ```
pub async fn timeout<F: Future>(after: Duration, future: F) -> Result<F::Output> {
    let (mut future, mut timer) = (pin!(future), sleep(after));
    std::future::poll_fn(|cx| {
        if let Poll::Ready(value) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(value));
        }
        let late = || Err(Error::timeout(format!("a future was not ready within {after:?}")));
        Pin::new(&mut timer).poll(cx).map(|()| late())
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_that_nobody_waits_for_are_thrown_out() {
        let waker = Waker::noop();
        let mut cx = Context::from_waker(waker);
        let mut stays = sleep(Duration::from_secs(3_600));
        assert!(Pin::new(&mut stays).poll(&mut cx).is_pending());
        for _ in 0..10 * FEW {
            let mut timer = sleep(Duration::from_secs(3_600));
            assert!(Pin::new(&mut timer).poll(&mut cx).is_pending());
        }
        assert!(TIMERS.lock().queue.len() <= 2 * FEW);
        drop(stays);
        assert!(TIMERS.lock().queue.is_empty());
        while TIMERS.lock().has_thread {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_time_that_cannot_be_told_never_comes() {
        let mut timer = sleep(Duration::MAX);
        assert!(Pin::new(&mut timer).poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert!(timer.waiter.is_none());
    }
}
