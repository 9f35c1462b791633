//! The items of a stream that have arrived and were not taken.
//!
//! ```text
//!   OPEN ---- end(None) -----------------------------> OVER
//!     |------ end(error) --> FAILED --- taken --------> OVER
//!     '------ leave --------------------------------->  OVER
//! ```
//!
//! The leader of the pump adds, the stream takes. The lock is the last one in the order of WK-19: nothing is done under it but
//! what is written here, and what is dropped is dropped behind it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
#[cfg(feature = "async")]
use std::task::Waker;

use mobula_store::ClientKey;

#[cfg(feature = "async")]
use crate::asynchrony::Waiter;
use crate::deferred::{Dependent, Work};
use crate::error::Error;
use crate::refs::Outcome;

/// What has arrived of a stream.
#[derive(Default)]
pub(crate) struct Inflow {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    ready: VecDeque<Outcome>,
    /// The process that makes the items, once one has come.
    from: Option<ClientKey>,
    /// The future that waits for the next one.
    reader: Option<Dependent>,
    end: End,
}

/// How a stream stands, behind the items that are ready.
#[derive(Default)]
enum End {
    #[default]
    Open,
    /// The error is the last item.
    Failed(Error),
    Over,
}

/// What comes next.
pub(super) enum Next {
    /// An item, and who is to be told of such that were taken; nobody once the stream has ended.
    Item(Outcome, Option<ClientKey>),
    /// Nothing has come yet.
    Nothing,
    End,
}

/// What a reader has left behind.
pub(super) struct Left {
    /// More might have come.
    pub(super) open: bool,
    /// The error that would have been the last item.
    pub(super) error: Option<Error>,
}

impl Inflow {
    /// Adds an item that has arrived; drops it if nobody wants it (STREAM-4). Who waited is added to `work`.
    pub(crate) fn push(&self, from: ClientKey, item: Outcome, work: &mut Work) {
        let mut state = self.lock();
        if let End::Open = state.end {
            state.from = Some(from);
            state.ready.push_back(item);
            work.add(state.reader.take().into_iter().collect());
        } else {
            drop(state);
            drop(item);
        }
    }

    /// Ends the stream; the first end counts. Who waited is added to `work`.
    pub(crate) fn end(&self, error: Option<Error>, work: &mut Work) {
        let mut state = self.lock();
        if let End::Open = state.end {
            state.end = error.map_or(End::Over, End::Failed);
            work.add(state.reader.take().into_iter().collect());
        }
    }

    /// Takes what comes next; if nothing has come, `waker` is called when it does.
    #[cfg(feature = "async")]
    pub(super) fn poll_next(&self, waker: &Waker) -> Next {
        let next = self.next();
        if !matches!(next, Next::Nothing) {
            return next;
        }
        // Made, and the one before dropped, without the lock: a waker is the user's code.
        let waiter = Waiter::new(1, waker);
        let before = self.lock().reader.replace(Dependent::Waiter(waiter));
        drop(before);
        // What came before it was known (ASYNC-2).
        self.next()
    }

    pub(super) fn next(&self) -> Next {
        let mut state = self.lock();
        if let Some(item) = state.ready.pop_front() {
            let from = if let End::Open = state.end { state.from } else { None };
            return Next::Item(item, from);
        }
        match std::mem::replace(&mut state.end, End::Over) {
            End::Open => {
                state.end = End::Open;
                Next::Nothing
            }
            End::Failed(error) => Next::Item(Outcome::Failed(error), None),
            End::Over => Next::End,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        let state = self.lock();
        state.ready.is_empty() && matches!(state.end, End::Over)
    }

    /// Drops what is left, and takes nothing more.
    pub(super) fn leave(&self) -> Left {
        let mut state = self.lock();
        let ready = std::mem::take(&mut state.ready);
        let end = std::mem::replace(&mut state.end, End::Over);
        let reader = state.reader.take();
        drop(state);
        drop((ready, reader));
        match end {
            End::Open => Left { open: true, error: None },
            End::Failed(error) => Left { open: false, error: Some(error) },
            End::Over => Left { open: false, error: None },
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: ClientKey = ClientKey { index: 3, generation: 7 };

    fn item(byte: u8) -> Outcome {
        Outcome::Value((&[byte][..]).into())
    }

    fn byte(next: Next) -> Option<u8> {
        match next {
            Next::Item(Outcome::Value(bytes), _) => Some(bytes[0]),
            _ => None,
        }
    }

    #[test]
    fn items_come_before_the_end_and_the_error_is_the_last_one() {
        let inflow = Inflow::default();
        assert!(matches!(inflow.next(), Next::Nothing) && !inflow.is_done());
        inflow.push(FROM, item(1), &mut Work::default());
        inflow.push(FROM, item(2), &mut Work::default());
        assert!(matches!(inflow.next(), Next::Item(_, Some(FROM))));
        inflow.end(Some(Error::system("first")), &mut Work::default());
        inflow.end(Some(Error::system("second")), &mut Work::default());
        inflow.push(FROM, item(3), &mut Work::default());
        assert_eq!(byte(inflow.next()), Some(2));
        assert!(!inflow.is_done(), "the error is to come");
        let Next::Item(Outcome::Failed(error), None) = inflow.next() else { panic!("no error") };
        assert!(error.to_string().contains("first"));
        assert!(inflow.is_done() && matches!(inflow.next(), Next::End));
    }

    #[test]
    fn who_leaves_gets_nothing_more() {
        let inflow = Inflow::default();
        inflow.push(FROM, item(1), &mut Work::default());
        assert!(inflow.leave().open);
        inflow.push(FROM, item(2), &mut Work::default());
        inflow.end(Some(Error::system("late")), &mut Work::default());
        assert!(inflow.is_done() && !inflow.leave().open);
    }
}
