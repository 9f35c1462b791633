//! A call that waits to be sent: for its arguments, for room, or for those before it.

use std::time::{Duration, Instant};

use mobula_scheduler::ids::ActorId;

use crate::arg::{Args, Readiness};
use crate::attempts::Attempts;
use crate::call;
use crate::core::Core;
use crate::deferred::is_worth_another_try;
use crate::error::Error;
use crate::frames::Method;

/// A call that waits in a route.
pub(super) struct QueuedCall {
    pub(super) call: u64,
    /// Set if it is to be kept.
    pub(super) attempts: Option<Attempts>,
    pub(super) content: Content,
}

/// What there is of it.
pub(super) enum Content {
    Frame(Vec<u8>),
    /// Nobody wants it: it only has its place.
    CalledOff,
    Waiting {
        method: Method,
        depth: u32,
        args: Args,
        /// Since when the store has had no room for the arguments.
        full_since: Option<Instant>,
    },
}

/// What hinders a call from being sent.
pub(super) enum Obstacle {
    None,
    Arguments,
    Room,
    Error(Error),
}

impl QueuedCall {
    /// Makes the frame once all arguments are there. Never waits for room in the store.
    pub(super) fn prepare(&mut self, core: &Core, actor: ActorId) -> Obstacle {
        let (method, depth, args, full_since) = match &mut self.content {
            Content::Frame(_) => return Obstacle::None,
            Content::CalledOff => return Obstacle::Error(Error::cancelled("it was cancelled")),
            Content::Waiting { method, depth, args, full_since } => (method, depth, args, full_since),
        };
        match args.readiness() {
            Readiness::Waiting => return Obstacle::Arguments,
            Readiness::Failed(error) => return Obstacle::Error(error),
            Readiness::Ready => args.fill(),
        }
        match call::frame(core, self.call, actor, method, *depth, args, Duration::ZERO) {
            Ok((frame, spilled)) => {
                let (_, mut holds) = std::mem::take(args).into_parts();
                holds.extend(spilled);
                core.pending().add_holds(self.call, holds);
                self.content = Content::Frame(frame);
                Obstacle::None
            }
            Err(error) if is_worth_another_try(&error, full_since) => Obstacle::Room,
            Err(error) => Obstacle::Error(error),
        }
    }
}
