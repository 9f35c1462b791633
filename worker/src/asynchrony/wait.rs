//! `wait` as a future.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::timer::{Sleep, sleep};
use super::waiter::Waiter;
use crate::context;
use crate::deferred::Dependent;
use crate::error::Result;
use crate::executor::Loan;
use crate::objects;
use crate::refs::ObjectRef;

/// Gives, as a future, the refs that are ready and the others, once `n` are or `timeout` has passed: see
/// [`wait`](crate::wait).
///
/// However many refs there are, its task is woken once.
///
/// # Errors
///
/// Those of [`wait`](crate::wait).
///
/// # Examples
///
/// ```no_run
/// # use mobula_worker as mobula;
/// # async fn example(calls: Vec<mobula::ObjectRef<u64>>) -> mobula::Result<()> {
/// let (ready, others) = mobula::wait_async(&calls, 1, None).await?;
/// assert_eq!((ready.len(), others.len()), (1, calls.len() - 1));
/// # Ok(())
/// # }
/// ```
pub fn wait_async<T>(objects: &[ObjectRef<T>], n: usize, timeout: Option<Duration>) -> WaitFuture<T> {
    let refused = objects::check_wait(objects, n);
    WaitFuture { objects: objects.to_vec(), n, timer: timeout.map(sleep), refused, waiter: None, loan: None }
}

/// The future of [`wait_async`].
#[must_use = "a future does nothing unless it is awaited"]
pub struct WaitFuture<T> {
    objects: Vec<ObjectRef<T>>,
    n: usize,
    timer: Option<Sleep>,
    /// Why it does not wait at all.
    refused: Result<()>,
    waiter: Option<Arc<Waiter>>,
    loan: Option<Loan>,
}

impl<T> WaitFuture<T> {
    fn rest(&mut self) {
        self.loan = None;
        if let Some(waiter) = self.waiter.take() {
            waiter.leave();
        }
    }

    /// True if enough of the refs are ready, or the time is up.
    fn poll_enough(&mut self, cx: &mut Context<'_>) -> Result<bool> {
        std::mem::replace(&mut self.refused, Ok(()))?;
        let Some(first) = self.objects.first() else {
            return Ok(true);
        };
        let core = first.inner.core()?;
        match &self.waiter {
            Some(waiter) => waiter.wake_by(cx.waker()),
            None => {
                let waiter = Waiter::new(self.n, cx.waker());
                for object in &self.objects {
                    if core.await_ref(&object.inner, Dependent::Waiter(waiter.clone())).is_some() {
                        drop(waiter.arrived());
                    }
                }
                if !waiter.is_done() && !super::lends() {
                    self.loan = Loan::of_this_call();
                }
                self.waiter = Some(waiter);
            }
        }
        if self.waiter.as_ref().is_some_and(|waiter| waiter.is_done()) {
            return Ok(true);
        }
        core.check_open()?;
        context::check_wanted()?;
        Ok(self.timer.as_mut().is_some_and(|timer| Pin::new(timer).poll(cx).is_ready()))
    }
}

impl<T> Future for WaitFuture<T> {
    type Output = Result<(Vec<ObjectRef<T>>, Vec<ObjectRef<T>>)>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let enough = match this.poll_enough(cx) {
            Ok(false) => return Poll::Pending,
            Ok(true) => Ok(objects::split(&this.objects, this.n)),
            Err(error) => Err(error),
        };
        this.rest();
        Poll::Ready(enough)
    }
}

impl<T> Drop for WaitFuture<T> {
    fn drop(&mut self) {
        self.rest();
    }
}

impl<T> fmt::Debug for WaitFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitFuture").field("refs", &self.objects.len()).field("n", &self.n).finish_non_exhaustive()
    }
}
