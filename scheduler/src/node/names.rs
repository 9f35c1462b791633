//! Names of actors: who has which, and who waits for one.
//!
//! ```text
//!   ClaimName --the name is free------------------> Done: the actor is expected, and has it until it is dead
//!       |-----it is taken-------------------------> NameTaken
//!       |-----taken, and `or_get`-----------------> Named: that actor serves as well
//!       '-----taken, `or_get`, but its actor ends-> Later ... its death ... claimed anew
//! ```
//!
//! A name is given before its actor is created: the creator asks for it, and sends `CreateActor` when the arguments are
//! there. So an actor with a name is expected at first (`early`), and whatever ends that (its creator's death, an argument
//! that failed, `kill`, the last handle's drop) is a death like any other.
//!
//! - SC-40: in a namespace at most one actor has a name. It is expected or lives: it becomes expected in the step in which
//!   it gets the name, and loses the name in the step in which it is declared dead (`mourn`), through which every death goes.
//! - SC-41: who waits for a name is answered in the step in which it becomes free, in the order of asking. So of all that
//!   ask with `or_get`, in whatever order, one is told to create until what it creates ends.
//! - SC-42: a process that is gone waits for no name, and gets none.

use std::collections::HashMap;

use super::state::State;
use crate::ids::{ActorId, ProcessId};
use crate::protocol::{ActorName, Answer, Holder, NameClaim, ToProcess};

/// Who has which name.
#[derive(Default)]
pub(super) struct Names {
    taken: HashMap<ActorName, Taken>,
    /// The names of the actors that have one.
    of_actors: HashMap<ActorId, ActorName>,
}

impl Names {
    /// Returns the name that an actor has.
    pub(super) fn name_of(&self, id: ActorId) -> Option<&ActorName> {
        self.of_actors.get(&id)
    }
}

struct Taken {
    holder: Holder,
    /// Those that want the name when the holder has ended, in order.
    waiting: Vec<Waiting>,
}

struct Waiting {
    process: ProcessId,
    request: u64,
    claim: NameClaim,
}

impl State {
    /// A process wants a name for an actor that it is about to create, or the one that has it.
    pub(super) fn claim_name(&mut self, process: ProcessId, request: u64, claim: NameClaim) {
        let answer = match self.names.taken.get(&claim.name).map(|taken| taken.holder.clone()) {
            None => self.give_name(process, claim),
            Some(holder) if !claim.or_get => Answer::NameTaken(holder),
            Some(holder) if !self.is_ending(holder.actor) => Answer::Named(holder),
            // It would wait for itself.
            Some(holder) if self.lives_in(process, holder.actor) => Answer::NameTaken(holder),
            Some(_) => {
                if let Some(taken) = self.names.taken.get_mut(&claim.name) {
                    taken.waiting.push(Waiting { process, request, claim });
                }
                Answer::Later
            }
        };
        self.send(process, ToProcess::Reply { request, answer });
    }

    /// Gives a free name to an actor, which is expected from now on.
    fn give_name(&mut self, process: ProcessId, claim: NameClaim) -> Answer {
        let NameClaim { name, holder, .. } = claim;
        let id = holder.actor;
        let known = self.names.of_actors.contains_key(&id) || self.actors.contains_key(&id);
        if known || self.dead.contains_key(&id) || !self.parts.store.exists(id.object()) {
            return Answer::NotFound;
        }
        self.expect_actor(process, id, holder.class_name.clone());
        self.watch_actor(process, id);
        self.names.of_actors.insert(id, name.clone());
        self.names.taken.insert(name, Taken { holder, waiting: Vec::new() });
        Answer::Done
    }

    /// Takes its name from an actor that is dead; those who wait for the name ask anew.
    pub(super) fn free_name(&mut self, id: ActorId) {
        let Some(taken) = self.names.of_actors.remove(&id).and_then(|name| self.names.taken.remove(&name)) else {
            return;
        };
        for Waiting { process, request, claim } in taken.waiting {
            if self.processes.contains_key(&process) {
                self.claim_name(process, request, claim);
            }
        }
    }

    /// A process is gone: it waits for no name.
    pub(super) fn forget_claims(&mut self, process: ProcessId) {
        for taken in self.names.taken.values_mut() {
            taken.waiting.retain(|waiting| waiting.process != process);
        }
    }

    /// Says who has a name.
    pub(super) fn find_actor(&mut self, process: ProcessId, request: u64, name: &ActorName) {
        let holder = self.names.taken.get(name).map(|taken| taken.holder.clone());
        let answer = holder.map_or(Answer::NotFound, Answer::Named);
        self.send(process, ToProcess::Reply { request, answer });
    }

    /// Says which names are taken, of one namespace or of all.
    pub(super) fn list_names(&mut self, process: ProcessId, request: u64, namespace: Option<&str>) {
        let listed = |name: &&ActorName| namespace.is_none_or(|namespace| name.namespace == namespace);
        let answer = Answer::Names(self.names.taken.keys().filter(listed).cloned().collect());
        self.send(process, ToProcess::Reply { request, answer });
    }
}
