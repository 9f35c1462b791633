//! The driver's side: joins as the worker crate would, and speaks the control protocol message by message.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ipc_channel::ipc::IpcReceiver;
use mobula_scheduler::death::{ActorDeath, LostTask};
use mobula_scheduler::ids::ActorId;
use mobula_scheduler::node::{Node, NodeOptions};
use mobula_scheduler::protocol::{Answer, Envelope, ToNode, ToProcess};
use mobula_scheduler::resources::Demand;
use mobula_store::{ClientKey, ObjectHold};

use super::messages::{HASH, Link, actor_spec, life_in, registry, task_spec};

/// The longest that a test waits for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether workers are copies of a template at the moment.
pub(super) static FORKS: AtomicBool = AtomicBool::new(true);

pub(super) struct Driver {
    pub(super) node: Node,
    pub(super) link: Link,
    pub(super) inbox: IpcReceiver<Envelope<ToProcess>>,
    pub(super) client: ClientKey,
    pub(super) requests: AtomicU64,
}

impl Driver {
    pub(super) fn start(options: NodeOptions) -> Driver {
        let node = Node::start(options).unwrap();
        let welcome = node.connect_driver(HASH, registry()).unwrap();
        let client = node.store().client();
        let link = Link { process: welcome.process, node: welcome.node };
        link.send(ToNode::Ready { pid: std::process::id(), client, registry_hash: HASH, registry: registry() });
        Driver { node, link, inbox: welcome.inbox, client, requests: AtomicU64::new(1) }
    }

    pub(super) fn next(&self) -> ToProcess {
        let message = self.inbox.try_recv_timeout(PATIENCE).expect("the node says something in time");
        message.body
    }

    /// Returns the first message that fits; ProcessGone may come between, anything else may not.
    pub(super) fn expect<T>(&self, what: &str, mut fits: impl FnMut(&ToProcess) -> Option<T>) -> T {
        loop {
            let message = self.next();
            if let Some(found) = fits(&message) {
                return found;
            }
            assert!(matches!(message, ToProcess::ProcessGone(_)), "waiting for {what}: {message:?}");
        }
    }

    pub(super) fn up(&self, actor: ActorId) -> (ClientKey, u32) {
        self.expect("ActorUp", |message| match message {
            ToProcess::ActorUp { actor: id, client, pid, incarnation: 1, .. } if *id == actor => Some((*client, *pid)),
            _ => None,
        })
    }

    pub(super) fn down(&self, actor: ActorId) -> ActorDeath {
        self.expect("ActorDown", |message| match message {
            ToProcess::ActorDown(death) if death.actor == actor => Some(death.clone()),
            _ => None,
        })
    }

    pub(super) fn lost(&self, call: u64) -> LostTask {
        self.expect("TaskLost", |message| match message {
            ToProcess::TaskLost { call: number, reason } if *number == call => Some(reason.clone()),
            _ => None,
        })
    }

    pub(super) fn reply(&self, request: u64) -> Answer {
        self.expect("Reply", |message| match message {
            ToProcess::Reply { request: number, answer } if *number == request => Some(answer.clone()),
            _ => None,
        })
    }

    /// Makes the life of a new actor.
    pub(super) fn life(&self) -> (ActorId, ObjectHold) {
        let id = ActorId::random();
        (id, life_in(self.node.store(), id))
    }

    pub(super) fn create(&self, class: &str, demand: Demand) -> (ActorId, ObjectHold) {
        let (id, life) = self.life();
        self.link.send(ToNode::CreateActor(actor_spec(id, class, demand)));
        (id, life)
    }

    pub(super) fn submit(&self, function: &str, demand: Demand) -> u64 {
        let call = self.requests.fetch_add(1, Ordering::Relaxed);
        self.link.send(ToNode::SubmitTask(task_spec(function, demand, self.client, call)));
        call
    }

    pub(super) fn kill(&self, actor: ActorId) -> u64 {
        let request = self.requests.fetch_add(1, Ordering::Relaxed);
        self.link.send(ToNode::KillActor { actor, restart: false, request });
        request
    }

    pub(super) fn report_path(&self, name: &str) -> String {
        self.node.info().session_dir.join(name).to_str().unwrap().to_owned()
    }

    pub(super) fn available(&self, name: &str) -> f64 {
        self.node.resources().iter().find(|(known, ..)| known == name).unwrap().2
    }
}

pub(super) fn options() -> NodeOptions {
    let mut options = NodeOptions::new();
    options.num_cpus = 2.0;
    options.object_store_memory = 8 << 20;
    options.log_to_driver = std::env::var_os("MOBULA_TEST_LOGS").is_some();
    options.prestart = Some(1);
    options.fork_workers = forks();
    options
}

pub(super) fn forks() -> bool {
    FORKS.load(Ordering::Relaxed)
}

pub(super) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} did not come in time");
        std::thread::sleep(Duration::from_millis(2));
    }
}
