//! A thread that runs the calls of an actor, one after the other, and answers them.
//!
//! An actor has one desk, on the executor thread, or one for each thread of its crew. Every call of every actor runs in
//! [`Desk::run`].

use std::rc::Rc;
use std::sync::Arc;

use super::answers::answer;
use super::{CallJob, unwanted};
use crate::arg::ArgReader;
use crate::context::Scope;
use crate::core::Core;
use crate::definition::{ActorClass, Run};
use crate::error::{Error, Result};
use crate::graph;
use crate::outbox::Peer;
use crate::panics::{self, CallError};
use crate::pump::{self, Wait};
use crate::returns::ReturnWriter;
use crate::stream::Outlet;
use crate::task;

/// Where a thread runs calls.
pub(super) struct Desk {
    class: &'static ActorClass,
    scope: Rc<Scope>,
    writer: ReturnWriter,
    last_caller: Option<Arc<Peer>>,
    /// A call begins when all answers before it have left towards its caller (WK-61).
    serial: bool,
    /// Callers whose answers waited for room, if that matters.
    behind: Vec<Arc<Peer>>,
}

impl Desk {
    /// Makes the desk of a thread that has entered `scope`; `serial` if its actor may be restarted and has no other.
    pub(super) fn new(class: &'static ActorClass, scope: Rc<Scope>, serial: bool) -> Self {
        Desk { class, scope, writer: ReturnWriter::default(), last_caller: None, serial, behind: Vec::new() }
    }

    /// Returns what its thread has entered.
    #[cfg(feature = "async")]
    pub(super) fn scope(&self) -> &Rc<Scope> {
        &self.scope
    }

    /// Waits until a caller has all answers that were made before its next call begins (WK-61).
    #[cold]
    fn catch_up(core: &Core, behind: &mut Vec<Arc<Peer>>, caller: &Arc<Peer>) {
        let Some(index) = behind.iter().position(|peer| peer.key() == caller.key()) else {
            return;
        };
        let wait = Wait { deadline: None, ticking: true, before_sleep: &mut || {} };
        pump::wait_until(core, wait, || {
            core.flush_stalled();
            caller.flush()
        });
        behind.swap_remove(index);
    }

    /// Runs a call, through `invoke`, and answers it; false if it has called `exit_actor`: then it is not answered.
    #[inline]
    pub(super) fn run(
        &mut self,
        core: &Arc<Core>,
        job: CallJob,
        mut invoke: impl FnMut(&Run, &mut ArgReader<'_>, &mut ReturnWriter) -> Result<(), CallError>,
    ) -> bool {
        let Desk { class, scope, writer, last_caller, serial, behind } = self;
        let peer = match last_caller {
            Some(peer) if peer.key() == job.from => peer,
            other => other.insert(core.peer(job.from)),
        };
        if !behind.is_empty() {
            Self::catch_up(core, behind, peer);
        }
        scope.depth.set(job.depth);
        let wanted = scope.begin(task::task_id(job.nonce, job.call));
        let outcome = match (class.methods.get(usize::from(job.method)), &job.args) {
            _ if !wanted => Err(unwanted()),
            (Some(method), Ok(args)) => {
                writer.clear();
                if method.streams {
                    writer.open(Outlet::new(
                        core,
                        peer,
                        job.nonce,
                        job.call,
                        format!("{}::{}", class.name, method.name),
                    ));
                }
                let ran = args.with(|bytes| {
                    panics::catch(|| invoke(&method.run, &mut ArgReader::new(core.store(), bytes), writer))
                });
                ran.map_err(CallError::passed_on)
                    .flatten()
                    .flatten()
                    .map_err(|error| error.into_error(|| format!("{}::{}", class.name, method.name)))
            }
            (None, Ok(args)) if job.method == graph::NUMBER => {
                writer.clear();
                let done = args.with(|bytes| graph::attend(core, class, bytes, &scope.exiting, &mut invoke));
                done.flatten()
                    .and_then(|()| writer.push(&()).map_err(|error| error.into_error(|| "a graph".to_owned())))
            }
            (None, _) => Err(Error::not_found(format!("class {} has no method number {}", class.name, job.method))),
            (_, Err(error)) => Err(error.clone()),
        };
        scope.end();
        if scope.exiting.get() {
            return false;
        }
        let sent = answer(core, peer, job.call, job.nonce, outcome, writer);
        if !sent && *serial && !behind.iter().any(|other| other.key() == peer.key()) {
            behind.push(peer.clone());
        }
        true
    }
}
