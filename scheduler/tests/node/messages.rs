//! What both sides say: the link to the node, and what actors and tasks are described with.

use ipc_channel::ipc::IpcSender;
use mobula_scheduler::ids::{ActorId, ProcessId, TaskId};
use mobula_scheduler::protocol::{
    ActorName, ActorSpec, Envelope, FromProcess, Holder, LeaseSpec, NameClaim, Payload, RegistryKey, TaskSpec, ToNode,
};
use mobula_scheduler::resources::Demand;
use mobula_store::{ClientKey, Lifetime, ObjectHold, ObjectOptions, Store};

pub(super) const HASH: u64 = 4_711;

/// The file of a session in which workers note what they hear of leases: what, which, and their pid.
pub(super) const NOTES: &str = "notes";

/// No task of the lease ever runs.
pub(super) const IDLE: &str = "idle";

/// A task of the lease runs when it is asked for.
pub(super) const BUSY: &str = "busy";

/// A task of the lease sleeps from the beginning.
pub(super) const ASLEEP: &str = "asleep";

/// A task of the lease creates an actor with the lease's id, and ends.
pub(super) const PARENT: &str = "parent";

#[derive(Clone)]
pub(super) struct Link {
    pub(super) process: ProcessId,
    pub(super) node: IpcSender<FromProcess>,
}

impl Link {
    pub(super) fn send(&self, message: ToNode) {
        self.node.send(Envelope::new((self.process, message))).expect("the node is there");
    }
}

pub(super) fn registry() -> Vec<RegistryKey> {
    vec![RegistryKey { name: "Class".into(), signature: 1 }, RegistryKey { name: "function".into(), signature: 2 }]
}

pub(super) fn actor_spec(actor: ActorId, class: &str, demand: Demand) -> ActorSpec {
    ActorSpec {
        actor,
        class: registry()[0].clone(),
        class_name: class.to_owned(),
        args: Payload::default(),
        demand,
        env: Vec::new(),
        max_restarts: 0,
        detached: false,
        options: Vec::new(),
    }
}

pub(super) fn task_spec(function: &str, demand: Demand, caller: ClientKey, call: u64) -> TaskSpec {
    TaskSpec {
        task: TaskId::random(),
        caller,
        call,
        function: registry()[1].clone(),
        function_name: function.to_owned(),
        args: Payload::default(),
        demand,
        depth: 0,
        num_returns: 1,
        env: Vec::new(),
    }
}

pub(super) fn lease_spec(lease: TaskId, demand: Demand) -> LeaseSpec {
    let function_name = "function".to_owned();
    LeaseSpec { lease, demand, depth: 0, function: registry()[1].clone(), function_name }
}

/// One CPU and what tells a worker how to serve a lease: [`IDLE`], or any of [`BUSY`], [`ASLEEP`] and [`PARENT`], with a
/// `+` between them.
pub(super) fn in_manner(manner: &str) -> Demand {
    let manners = manner.split('+').filter(|&manner| manner != IDLE);
    manners.fold(cpus(1.0), |demand, manner| demand.custom(manner, 1.0).unwrap())
}

/// Claims a name of the namespace `here`.
pub(super) fn claim(name: &str, actor: ActorId, or_get: bool) -> NameClaim {
    let holder = Holder { actor, class: registry()[0].clone(), class_name: "Plain".to_owned(), options: vec![1, 2] };
    NameClaim { name: name_in("here", name), holder, or_get }
}

pub(super) fn name_in(namespace: &str, name: &str) -> ActorName {
    ActorName { namespace: namespace.to_owned(), name: name.to_owned() }
}

pub(super) fn cpus(amount: f64) -> Demand {
    Demand::new().cpus(amount).unwrap()
}

/// Makes the life of an actor that holds it as long as this process lives.
pub(super) fn life_in(store: &Store, id: ActorId) -> ObjectHold {
    let options = ObjectOptions::new().lifetime(Lifetime::Counted).notify();
    store.create_object_with(id.object(), 0, &options).unwrap().seal().unwrap().hold()
}
