//! Refs as futures.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use serde::de::DeserializeOwned;

use super::waiter::Waiter;
use crate::call::Call;
use crate::context;
use crate::deferred::Dependent;
use crate::error::{Error, Result};
use crate::executor::Loan;
use crate::objects;
use crate::refs::ObjectRef;
use crate::returns::One;

/// Gives the value of a ref as a future, which keeps the ref alive; awaiting the ref does the same.
///
/// It runs on any executor, and no thread waits for it. Dropping it changes nothing for the call. Inside a task the CPUs
/// are lent to others while it waits.
///
/// # Errors
///
/// Those of [`get`](crate::get).
///
/// # Examples
///
/// ```no_run
/// # use mobula_worker as mobula;
/// # async fn example(left: mobula::ObjectRef<u64>, right: mobula::ObjectRef<u64>) -> mobula::Result<u64> {
/// Ok(mobula::get_async(&left).await? + right.await?)
/// # }
/// ```
pub fn get_async<T: DeserializeOwned>(object: &ObjectRef<T>) -> GetFuture<T> {
    GetFuture { object: object.clone(), waiter: None, loan: None }
}

/// The future of a ref's value: see [`get_async`].
#[must_use = "a future does nothing unless it is awaited"]
pub struct GetFuture<T> {
    object: ObjectRef<T>,
    /// `None` until it has found nothing for the first time.
    waiter: Option<Arc<Waiter>>,
    loan: Option<Loan>,
}

impl<T> GetFuture<T> {
    fn rest(&mut self) {
        self.loan = None;
        if let Some(waiter) = self.waiter.take() {
            waiter.leave();
        }
    }

    /// True if the value or error is there; if not, `cx` is woken when it is.
    fn poll_ready(&mut self, cx: &Context<'_>) -> Result<bool> {
        let inner = &self.object.inner;
        if inner.is_ready() {
            return Ok(true);
        }
        let core = inner.core()?;
        context::check_wanted()?;
        match &self.waiter {
            Some(waiter) => waiter.wake_by(cx.waker()),
            None => {
                let waiter = Waiter::new(1, cx.waker());
                if core.await_ref(inner, Dependent::Waiter(waiter.clone())).is_some() {
                    return Ok(true);
                }
                self.waiter = Some(waiter);
                if !super::lends() {
                    self.loan = Loan::of_this_call();
                }
            }
        }
        // What came before the waiter was known is seen here (ASYNC-2).
        if inner.is_ready() {
            return Ok(true);
        }
        core.check_open()?;
        Ok(false)
    }
}

impl<T: DeserializeOwned> Future for GetFuture<T> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let this = self.get_mut();
        match this.poll_ready(cx) {
            Ok(false) => Poll::Pending,
            Ok(true) => {
                this.rest();
                // It is there: this waits for nothing but a disk, if the object lies on one.
                Poll::Ready(objects::get(&this.object))
            }
            Err(error) => {
                this.rest();
                Poll::Ready(Err(error))
            }
        }
    }
}

impl<T> Drop for GetFuture<T> {
    fn drop(&mut self) {
        self.rest();
    }
}

impl<T> fmt::Debug for GetFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GetFuture").field("object", &self.object).finish_non_exhaustive()
    }
}

impl<T: DeserializeOwned> IntoFuture for ObjectRef<T> {
    type Output = Result<T, Error>;
    type IntoFuture = GetFuture<T>;

    fn into_future(self) -> GetFuture<T> {
        GetFuture { object: self, waiter: None, loan: None }
    }
}

impl<T: DeserializeOwned> IntoFuture for &ObjectRef<T> {
    type Output = Result<T, Error>;
    type IntoFuture = GetFuture<T>;

    fn into_future(self) -> GetFuture<T> {
        get_async(self)
    }
}

/// Makes the call, and gives its result.
impl<T: DeserializeOwned> IntoFuture for Call<One<T>> {
    type Output = Result<T, Error>;
    type IntoFuture = GetFuture<T>;

    fn into_future(self) -> GetFuture<T> {
        self.remote().into_future()
    }
}
