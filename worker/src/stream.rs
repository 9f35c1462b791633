//! Streams: calls whose results come one by one, while the call still runs.
//!
//! ```text
//!   caller                                                     worker
//!   ObjectRefStream                                            Outlet (outflow.rs)
//!     next <-- [ready items] <-- push --- Item{call, value} <---- items.next()
//!       |       Inflow (inflow.rs)                                  ^ waits while `window` items
//!       '-- count of those taken -------> Taken{task, count} -------' are made and not taken
//!
//!     end  <---------------------------- Done | Failed <----------- the iterator has ended, or the body failed
//!     drop --- Cancel ----------------------------------------------> the iterator is dropped where it stands
//! ```
//!
//! A stream is an ordinary call that answers with no value, and its items travel before the answer, in the same ring. So
//! whatever ends a call ends a stream: the answer, an error, the death of the process that makes it, a cancel. The error
//! of the call is the last item.
//!
//! Step by step:
//!
//! 1. The caller enters the call with an [`Inflow`] in the place of its refs. How many items may wait, the *window*, is the
//!    last argument of the call.
//! 2. The worker makes an item only while fewer than `window` items are made and not known to be taken. It sends each at
//!    once, small ones inside the frame and the others through the store.
//! 3. The leader of the caller's pump puts what it receives into the inflow; `next` takes it out and makes a ref of it.
//! 4. When half a window has been taken since it was told last, `next` tells the worker how many have been taken in all.
//! 5. The iterator has ended: the worker answers the call, and the inflow is closed.
//!
//! - **STREAM-1** The items of a stream arrive in the order made, each once, and all of them before its end: they travel in the
//!   same line as the answer (WK-14), and what a dead process has said is handled before the news of its death (WK-10).
//!   A stream whose call may have begun is never tried again.
//! - **STREAM-2** Of the items made no more than the window are not taken. Who has taken all that were made has told so for at
//!   least half a window of them, so maker and reader never wait for each other.
//! - **STREAM-3** Who waits for a place stops when nobody reads any more: the call is cancelled, or its caller has ended.
//! - **STREAM-4** An inflow that has ended, or that its reader has left, takes nothing more: what arrives late is dropped.

mod inflow;
mod outflow;

use std::fmt;
use std::iter::FusedIterator;
use std::marker::PhantomData;
use std::sync::Arc;
#[cfg(feature = "async")]
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use mobula_store::ClientKey;

pub(crate) use self::inflow::Inflow;
use self::inflow::Next;
pub(crate) use self::outflow::{Outflows, Outlet};
#[cfg(feature = "async")]
use crate::asynchrony;
use crate::call::{self, Call};
use crate::cancel::CancelOptions;
use crate::context;
use crate::core::Core;
use crate::deferred::Work;
use crate::error::{Error, Result};
use crate::executor::Lending;
#[cfg(feature = "async")]
use crate::executor::Loan;
use crate::frames;
use crate::pending::CallRefs;
use crate::pump::{self, Wait};
use crate::refs::{ObjectRef, Outcome, RefInner};
use crate::returns::{Birth, Returns};
use crate::{task, unread};

/// How many items may wait to be taken unless somebody says otherwise.
const WINDOW: usize = 1000;

/// The results of a call that come one by one: [`ObjectRefStream<T>`].
pub struct Stream<T>(PhantomData<fn() -> T>);

impl<T> fmt::Debug for Stream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stream")
    }
}

#[expect(private_interfaces, reason = "see the trait")]
impl<T> Returns for Stream<T> {
    type Refs = ObjectRefStream<T>;

    const COUNT: u8 = 0;

    fn make(birth: Birth<'_>) -> (Self::Refs, CallRefs) {
        let inflow = Arc::new(Inflow::default());
        let (core, call) = match birth {
            Birth::Pending(core, call) | Birth::Task(core, call) => (Some(core), call),
            Birth::Failed(core, call, error) => {
                inflow.end(Some(error.clone()), &mut Work::default());
                (core, call)
            }
        };
        let stream = ObjectRefStream {
            inflow: inflow.clone(),
            core: core.cloned(),
            call,
            window: WINDOW as u64,
            taken: 0,
            told: 0,
            #[cfg(feature = "async")]
            loan: None,
            item: PhantomData,
        };
        (stream, CallRefs::Stream(inflow))
    }

    fn bound(refs: &mut Self::Refs, window: u64) {
        refs.window = window;
    }
}

/// Returns how many items may wait, of what the call or the options and what the attribute say.
pub(crate) fn window(own: Option<usize>, default: Option<usize>) -> Result<u64> {
    match own.or(default).unwrap_or(WINDOW) {
        0 => {
            Err(Error::invalid_argument("stream_backpressure must be 1 or more, not 0: without a place no item comes"))
        }
        items => Ok(items as u64),
    }
}

/// Refuses to try a stream again.
pub(crate) fn check_retries(name: &str, times: Option<i32>, errors: Option<bool>) -> Result<()> {
    if times.is_some_and(|times| times != 0) || errors == Some(true) {
        return Err(Error::invalid_argument(format!(
            "a stream is never tried again, since its items may be in use: leave {name} and retry_errors away"
        )));
    }
    Ok(())
}

impl<T> Call<Stream<T>> {
    /// Sets how many items may wait to be taken (default 1,000): while so many do, the method pauses.
    ///
    /// With 0 the call is `is_invalid_argument`.
    pub fn stream_backpressure(mut self, items: usize) -> Self {
        self.stream_backpressure = Some(items);
        self
    }
}

/// The refs of the items that a task or method makes, as it makes them.
///
/// A task or remote method that returns `impl Iterator<Item = T>` gives one. It runs from the call on, and each item
/// can be taken as soon as it is made. `T` may be a `Result`: an `Err` is the error of that item, and others may follow.
/// What ends the call before its time is the error of the last item: a panic, the end of its process, a cancel.
///
/// While so many items wait to be taken as `stream_backpressure` says, 1,000 unless it is set, the call pauses. A task
/// that pauses lends its CPUs to others; an actor runs no other call in that place.
///
/// Dropping the stream cancels the call, [`cancel`](crate::cancel) says how: its iterator is dropped as soon as it has
/// made the item that it is at. Items that were not taken are gone.
///
/// A stream belongs to the process that has made the call; the refs that come out of it may go anywhere. A stream is
/// never tried again.
///
/// # Examples
///
/// ```no_run
/// # fn example(numbers: mobula_worker::ObjectRefStream<u64>) -> mobula_worker::Result<()> {
/// for number in numbers {
///     println!("{}", mobula_worker::get(&number)?);
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "a stream that is dropped ends its call"]
pub struct ObjectRefStream<T> {
    inflow: Arc<Inflow>,
    /// `None` if there was no runtime to make the call.
    core: Option<Arc<Core>>,
    call: u64,
    window: u64,
    /// How many items have been taken, and how many of these the maker has been told of.
    taken: u64,
    told: u64,
    /// Of the task that waits for the next item.
    #[cfg(feature = "async")]
    loan: Option<Loan>,
    item: PhantomData<fn() -> T>,
}

impl<T> ObjectRefStream<T> {
    /// Waits for the next item for at most `timeout`; `None` if the stream has ended.
    ///
    /// # Errors
    ///
    /// `is_timeout` if no item came in time; `is_cancelled` if the call that waits here was cancelled; if the runtime has
    /// ended. The stream is as it was.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # fn example(mut numbers: mobula_worker::ObjectRefStream<u64>) -> mobula_worker::Result<()> {
    /// while let Some(number) = numbers.next_timeout(Duration::from_secs(5))? {
    ///     println!("{}", mobula_worker::get(&number)?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<ObjectRef<T>>> {
        self.next_until(Instant::now().checked_add(timeout))
    }

    /// Takes the next item if it is there; `None` if it is not, or if the stream has ended: see
    /// [`ObjectRefStream::is_done`].
    pub fn try_next(&mut self) -> Option<ObjectRef<T>> {
        let mut next = self.inflow.next();
        if let (Next::Nothing, Some(core)) = (&next, &self.core) {
            // It may lie in the ring.
            pump::turn(core);
            next = self.inflow.next();
        }
        match next {
            Next::Item(outcome, from) => Some(self.hand_out(outcome, from)),
            Next::Nothing | Next::End => None,
        }
    }

    /// Returns true if no item is left, and none will come.
    pub fn is_done(&self) -> bool {
        self.inflow.is_done()
    }

    /// Cancels the call: its error is the last item, behind those that have arrived.
    ///
    /// [`cancel`](crate::cancel) says what becomes of the call, and what `force` does.
    ///
    /// # Errors
    ///
    /// If the runtime has ended; `is_invalid_argument` with `force` for the call of an actor's method.
    pub fn cancel(&self, force: bool) -> Result<()> {
        let Some(core) = &self.core else {
            // It failed because there was no runtime.
            return Ok(());
        };
        core.check_open()?;
        core.cancel_call(self.call, CancelOptions { force, recursive: true })
    }

    fn next_until(&mut self, deadline: Option<Instant>) -> Result<Option<ObjectRef<T>>> {
        let mut next = self.inflow.next();
        if let (Next::Nothing, Some(core)) = (&next, &self.core) {
            let mut lending = Lending::none();
            let wait = Wait { deadline, ticking: false, before_sleep: &mut || lending.begin() };
            pump::wait_until(core, wait, || {
                next = self.inflow.next();
                !matches!(next, Next::Nothing) || core.is_closed() || context::is_cancelled()
            });
        }
        match next {
            Next::Item(outcome, from) => Ok(Some(self.hand_out(outcome, from))),
            Next::End => Ok(None),
            Next::Nothing => {
                self.core.as_ref().map_or(Ok(()), |core| core.check_open())?;
                context::check_wanted()?;
                Err(Error::timeout(format!("item {} of a stream did not come in time", self.taken + 1)))
            }
        }
    }

    /// Gives the next item if it is there; if not, `cx` is woken when it is.
    #[cfg(feature = "async")]
    pub(crate) fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Option<ObjectRef<T>>> {
        let next = self.inflow.poll_next(cx.waker());
        match next {
            Next::Item(outcome, from) => {
                self.loan = None;
                Poll::Ready(Some(self.hand_out(outcome, from)))
            }
            Next::End => {
                self.loan = None;
                Poll::Ready(None)
            }
            Next::Nothing => {
                let ended = match &self.core {
                    Some(core) => core.check_open().and_then(|()| context::check_wanted()),
                    None => Ok(()),
                };
                if let Err(error) = ended {
                    self.leave();
                    self.loan = None;
                    return Poll::Ready(Some(self.settled(Outcome::Failed(error))));
                }
                if self.loan.is_none() && !asynchrony::lends() {
                    self.loan = Loan::of_this_call();
                }
                Poll::Pending
            }
        }
    }

    /// Makes the ref of an item, and tells its maker from time to time how many have been taken.
    fn hand_out(&mut self, outcome: Outcome, from: Option<ClientKey>) -> ObjectRef<T> {
        self.taken += 1;
        if let (Some(from), Some(core)) = (from, &self.core)
            && self.taken - self.told >= (self.window / 2).max(1)
        {
            self.told = self.taken;
            call::with_writer(|writer| {
                writer.taken(task::task_id(core.nonce(), self.call), self.taken);
                core.answer(&core.peer(from), writer.bytes(), Vec::new());
            });
        }
        self.settled(outcome)
    }

    fn settled(&self, outcome: Outcome) -> ObjectRef<T> {
        let core = self.core.as_deref();
        let id = match &outcome {
            Outcome::Stored(hold) => hold.id(),
            // A number that no call has: nothing can be cancelled by it.
            _ => core.map_or(frames::object_id(0, 0, 0), |core| frames::object_id(core.nonce(), core.next_call(), 0)),
        };
        ObjectRef::new(RefInner::settled(core, id, outcome))
    }
}

impl<T> Iterator for ObjectRefStream<T> {
    type Item = ObjectRef<T>;

    /// Waits for the next item; `None` if the stream has ended.
    ///
    /// If the call that waits here is cancelled, or the runtime ends, the stream ends with that error as its last item.
    fn next(&mut self) -> Option<ObjectRef<T>> {
        self.next_until(None).unwrap_or_else(|error| {
            self.leave();
            Some(self.settled(Outcome::Failed(error)))
        })
    }
}

impl<T> FusedIterator for ObjectRefStream<T> {}

impl<T> ObjectRefStream<T> {
    /// Gives up what is left of the stream, and ends its call. Blocks for nothing.
    fn leave(&self) {
        let left = self.inflow.leave();
        if let Some(core) = &self.core
            && core.pid() == std::process::id()
        {
            if let Some(error) = left.error {
                unread::note(core.number(), error);
            }
            if left.open && !core.is_closed() {
                core.abandon(self.call);
            }
        }
    }
}

impl<T> Drop for ObjectRefStream<T> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl<T> fmt::Debug for ObjectRefStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectRefStream")
            .field("taken", &self.taken)
            .field("is_done", &self.is_done())
            .finish_non_exhaustive()
    }
}
