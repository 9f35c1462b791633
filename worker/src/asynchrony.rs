//! Futures of refs and streams, on any executor (feature `async`).
//!
//! ```text
//!   task of an executor                 this process's pump
//!     poll --> not there: a Waiter  --> among those who are told when the ref is settled
//!       ^                                  |
//!       |                                  v  the last one that it waits for
//!     waker <------ [wakes] <---------- Work::run, perhaps under the mailbox's lock
//!                      '-- called when that lock is free (ASYNC-1)
//! ```
//!
//! No thread waits for a ref: the leader of the pump, which is whoever waits in this process, or else its service thread,
//! settles refs and wakes what waits for them. [`block_on`] waits as `get` does, and so is that leader itself.
//!
//! In a worker, `async fn` methods run on the actor's event loop (`executor/event_loop.rs`).
//!
//! - **ASYNC-1** A waker is the user's code: it is called, cloned and dropped under no lock of this crate but the waiter's
//!   own, and a panic in it ends where it is called.
//! - **ASYNC-2** A future that is pending is known to whatever ends its waiting: each of its refs, the end of the runtime,
//!   and its timer. It makes itself known first and looks afterwards.
//! - **ASYNC-3** A future that is dropped leaves nothing behind but an empty place in lists, and those are cleaned up before
//!   they grow.
//! - **ASYNC-4** The CPUs of a task are lent from when a future in it finds nothing until the last of these has been woken
//!   or dropped, or the task has ended.

mod block_on;
mod get;
mod items;
mod timer;
mod wait;
mod waiter;

pub(crate) use self::block_on::lends;
pub use self::block_on::{block_in_place, block_on};
pub use self::get::{GetFuture, get_async};
pub use self::items::ItemStream;
pub use self::timer::{Sleep, sleep, timeout};
pub use self::wait::{WaitFuture, wait_async};
pub(crate) use self::waiter::{Waiter, Wakes};
