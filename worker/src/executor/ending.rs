//! The end of an actor: its value's destructor, within its time, and the last words of its process.
//!
//! ```text
//!   worker                                      node
//!     | exit_actor: -- ActorLeaving ------------> |  who wants its name waits
//!     |   or         <------------- EndActor ---- |  the last handle is gone; all calls have run
//!     | -- ActorEnding{within} -----------------> |  whatever happens now, it has ended by itself;
//!     | the value is dropped                      |  killed if nothing more is heard in time
//!     | -- ActorEnding{within} -----------------> |
//!     | waits until all it said has been taken    |
//!     | -- ActorEnded --------------------------> |
//!     | leaves                                    |
//! ```
//!
//! The node keeps the time, since the destructor is the user's and may hang, and the process may be stopped. Where the
//! value has no destructor nobody keeps time, and `ActorEnded` is the only message.
//!
//! *`exit_actor`* unwinds the call that it was called in, so that the value, which that call has borrowed, can be
//! dropped. What unwinds is a [`Leaving`]. Code that catches it and drops it ends the process there and then; code that
//! keeps it goes on, and the actor ends when the call returns, whatever it returns. Where nothing can unwind, because
//! a panic is under way or aborts, the process ends at once, without the destructor.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mobula_scheduler::ids::ActorId;
use mobula_scheduler::protocol::ToNode;

use crate::context;
use crate::core::Core;
use crate::definition::ActorClass;
use crate::pump::{self, Wait};
use crate::{panics, sys};

/// How long a worker that ends in good order waits for its last words to be taken.
const FAREWELL: Duration = Duration::from_secs(10);

/// Whose end it is, and how.
pub(super) struct Ending {
    pub(super) actor: ActorId,
    pub(super) class: &'static ActorClass,
    /// True for `exit_actor`.
    pub(super) exited: bool,
    /// How long the destructor may take.
    pub(super) within: Duration,
}

impl Ending {
    /// Drops the actor's value, on the thread that has made it, and leaves.
    pub(super) fn run(&self, core: &Core, value: impl Sized) -> ! {
        if self.class.needs_drop {
            self.tell(core, self.within);
            // A destructor that panics has been reported by the hook.
            let _ = panics::catch(|| drop(value));
            self.tell(core, FAREWELL * 2);
        }
        leave(core, self.actor, self.exited)
    }

    /// Tells the node that nothing keeps the actor from ending, and by when it is to hear more.
    pub(super) fn tell(&self, core: &Core, within: Duration) {
        core.link().send(ToNode::ActorEnding { actor: self.actor, exited: self.exited, within });
    }
}

/// Says the last words of an actor's process, and ends it.
fn leave(core: &Core, actor: ActorId, exited: bool) -> ! {
    farewell(core);
    core.link().send(ToNode::ActorEnded { actor, exited });
    sys::exit_now(0)
}

/// Waits until what this process has said has been taken.
pub(super) fn farewell(core: &Core) {
    core.unread().tell(core, true);
    let deadline = Instant::now() + FAREWELL;
    let wait = Wait { deadline: Some(deadline), ticking: true, before_sleep: &mut || {} };
    pump::wait_until(core, wait, || {
        core.flush_stalled();
        core.is_quiet()
    });
}

/// What unwinds out of a call that has called `exit_actor`.
pub(crate) struct Leaving {
    core: Arc<Core>,
    actor: ActorId,
    caught: bool,
}

impl fmt::Debug for Leaving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaving").field("actor", &self.actor).finish_non_exhaustive()
    }
}

impl Leaving {
    /// It has come to who knows what it is.
    pub(crate) fn catch(mut self) {
        self.caught = true;
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        if !self.caught {
            leave(&self.core, self.actor, true);
        }
    }
}

/// Ends the running actor for good: this call and all behind it are `is_actor_died`, cause exited.
///
/// Calls that the actor has made before are delivered, those of it that run on other threads are run to their end, and
/// its value is dropped; all that may take its `shutdown_timeout`. With `panic = "abort"` the process ends at once.
///
/// # Panics
///
/// Outside an actor.
pub fn exit_actor() -> ! {
    let Some((scope, actor)) = context::scope().and_then(|scope| scope.actor.map(|(id, _)| (scope, id))) else {
        panic!("exit_actor() was called outside an actor");
    };
    let core = scope.core.clone();
    if !scope.exiting.replace(true) {
        // Who wants its name waits from now on.
        core.link().send(ToNode::ActorLeaving(actor));
    }
    drop(scope);
    if cfg!(panic = "abort") || std::thread::panicking() {
        leave(&core, actor, true);
    }
    std::panic::resume_unwind(Box::new(Leaving { core, actor, caught: false }))
}
