//! Futures on a thread that waits for them.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use crate::context;
use crate::core::{self, Core};
use crate::executor::Lending;
use crate::pump::{self, Wait};

thread_local! {
    /// This thread polls inside [`block_on`], which lends for all of the futures.
    static LENDS: Cell<bool> = const { Cell::new(false) };
}

/// True if who waits on this thread lends its CPUs for the futures that it polls.
pub(crate) fn lends() -> bool {
    LENDS.try_with(Cell::get).unwrap_or(false)
}

/// What wakes a thread in `block_on`.
struct Signal {
    woken: AtomicBool,
    /// Where the thread waits; in its own sleep if there is no runtime.
    core: Weak<Core>,
    thread: Thread,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.woken.swap(true, Ordering::AcqRel) && thread::current().id() != self.thread.id() {
            match self.core.upgrade() {
                Some(core) => core.pump().wake(),
                None => self.thread.unpark(),
            }
        }
    }
}

/// Runs a future on this thread, and gives what it gives.
///
/// While it waits, the thread does what one in [`get`](crate::get) does: it takes answers out of the rings, and inside a
/// task it lends the CPUs to others. So a task may await what it has submitted however few CPUs there are. In a call
/// that was cancelled the futures of refs give `is_cancelled`.
///
/// Inside an `async` method use `await`; what is called from there and blocks all the same has the other calls of the
/// actor go on on another thread.
///
/// # Examples
///
/// ```
/// assert_eq!(mobula_worker::block_on(async { 6 * 7 }), 42);
/// ```
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let core = core::current().ok();
    let signal = Arc::new(Signal {
        woken: AtomicBool::new(false),
        core: core.as_ref().map(Arc::downgrade).unwrap_or_default(),
        thread: thread::current(),
    });
    let waker = Waker::from(signal.clone());
    let mut cx = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(value) = polled(|| future.as_mut().poll(&mut cx)) {
            return value;
        }
        match &core {
            Some(core) if !core.is_closed() => {
                let mut lending = Lending::none();
                let wait = Wait { deadline: None, ticking: false, before_sleep: &mut || lending.begin() };
                let cancelled = context::is_cancelled();
                pump::wait_until(core, wait, || {
                    let news = core.is_closed() || (!cancelled && context::is_cancelled());
                    signal.woken.swap(false, Ordering::AcqRel) || news
                });
            }
            // Its end has woken the futures that belong to it; any other may still come.
            Some(_) => {
                if !signal.woken.swap(false, Ordering::AcqRel) {
                    thread::park_timeout(pump::TICK);
                }
            }
            None => {
                while !signal.woken.swap(false, Ordering::AcqRel) {
                    thread::park();
                }
            }
        }
    }
}

/// Polls while this thread is known to lend.
fn polled<R>(poll: impl FnOnce() -> R) -> R {
    /// Puts the flag back, also when the future unwinds.
    struct Before(bool);
    impl Drop for Before {
        fn drop(&mut self) {
            let _ = LENDS.try_with(|lends| lends.set(self.0));
        }
    }
    let _before = Before(LENDS.try_with(|lends| lends.replace(true)).unwrap_or(true));
    poll()
}

/// Runs code that waits for something that Mobula does not know of, such as a file, a lock or another program.
///
/// Inside a task its CPUs are lent to others meanwhile; inside an `async` method the actor's other calls go on, on another
/// thread. Anywhere else it only calls `wait`.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// mobula_worker::block_in_place(|| std::thread::sleep(Duration::from_millis(1)));
/// ```
pub fn block_in_place<R>(wait: impl FnOnce() -> R) -> R {
    let mut lending = Lending::none();
    lending.begin();
    wait()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[test]
    fn it_is_woken_from_another_thread_and_by_itself() {
        let mut times = 0;
        let value = block_on(poll_fn(|cx| {
            times += 1;
            match times {
                1 => cx.waker().wake_by_ref(),
                2 => {
                    let waker = cx.waker().clone();
                    thread::spawn(move || waker.wake());
                }
                _ => return Poll::Ready(times),
            }
            Poll::Pending
        }));
        assert_eq!(value, 3);
        assert!(!lends());
    }
}
