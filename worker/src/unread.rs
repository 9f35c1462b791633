//! Errors that nobody has read, told when the last ref of the call goes.
//!
//! ```text
//!   last ref of a failed call ends (cell.rs) --> note --> [queue] --> mobula-service: tell --> node --> driver's stderr
//! ```
//!
//! An error counts as read once a `get` has given it to the program, an argument has passed it on, or another process
//! has got it through a promise. All refs of one call share their error, and so do all calls that the death of one actor
//! has failed: it is told once, when the last of them is gone. Ends that the program has asked for itself (`cancel`,
//! `kill`, `exit_actor`, the runtime's end) are nothing to tell.
//!
//! - **UNREAD-1** Who drops a ref puts an error into the queue and rings for the service thread: no lock is waited for,
//!   nothing is printed, nothing panics. In a forked child, and after the runtime's end, not even that happens.
//! - **UNREAD-2** Nobody in this process waits for the one who prints: that is the node's log thread (SC-10).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::core::{self, Core};
use crate::error::Error;

/// How long a handle of an error that its last ref has left behind may live on: that of who settles the call.
const PATIENCE: Duration = Duration::from_millis(100);

/// What is to be told.
pub(crate) struct Unread {
    sender: Sender<Error>,
    /// There is something in the queue, or waiting.
    some: AtomicBool,
    waiting: Mutex<Waiting>,
}

struct Waiting {
    queue: Receiver<Error>,
    /// Errors of which there are other handles, and since when they are here.
    shared: Vec<(Error, Instant)>,
}

/// Takes the error of a call whose last ref goes.
#[cold]
pub(crate) fn note(runtime: u32, error: Error) {
    if runtime != 0 && error.is_unread() {
        core::with_open(runtime, |core| core.unread().add(core, error));
    }
}

impl Unread {
    pub(crate) fn new() -> Self {
        let (sender, queue) = mpsc::channel();
        let waiting = Mutex::new(Waiting { queue, shared: Vec::new() });
        Unread { sender, some: AtomicBool::new(false), waiting }
    }

    fn add(&self, core: &Core, error: Error) {
        // The receiver lives as long as the sender.
        let _ = self.sender.send(error);
        if !self.some.swap(true, Ordering::SeqCst) {
            core.pump().kick_service();
        }
    }

    /// True while something must be looked at again.
    pub(crate) fn is_waiting(&self) -> bool {
        self.some.load(Ordering::SeqCst)
    }

    /// Tells what is in the queue; `last`: nobody will come again.
    pub(crate) fn tell(&self, core: &Core, last: bool) {
        // At the end another thread may be at it.
        if !self.some.swap(false, Ordering::SeqCst) && !last {
            return;
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let Waiting { queue, shared } = &mut *waiting;
        let now = Instant::now();
        while let Ok(error) = queue.try_recv() {
            if !shared.iter().any(|(other, _)| other.is_same(&error)) {
                shared.push((error, now));
            }
        }
        shared.retain(|(error, since)| {
            if !error.is_unread() {
                return false;
            }
            if !error.is_last() && !last {
                // Refs that hold it bring it here again; who has just settled them does not.
                return now.saturating_duration_since(*since) < PATIENCE;
            }
            core.say(format!("mobula: an error that nobody has read: {}", error.read()), false);
            false
        });
        if !shared.is_empty() {
            self.some.store(true, Ordering::SeqCst);
        }
    }
}
