//! The worker's side: obeys the names of classes and functions.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use mobula_scheduler::bootstrap::{self, BootstrapError};
use mobula_scheduler::ids::{ActorId, TaskId};
use mobula_scheduler::protocol::{ActorSpec, Granted, RegistryKey, TaskSpec, ToNode, ToProcess, Welcome};
use mobula_scheduler::resources::Demand;
use mobula_store::{ClientKey, Store};

use super::MODE;
use super::driver::until;
use super::messages::{
    ASLEEP, BUSY, HASH, Link, NOTES, PARENT, actor_spec, claim, in_manner, lease_spec, life_in, registry, task_spec,
};

pub(super) fn run(welcome: Result<Welcome, BootstrapError>) -> ! {
    let welcome = match welcome {
        Ok(welcome) => welcome,
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(1);
        }
    };
    assert!(bootstrap::is_worker());
    if std::env::var(MODE).as_deref() != Ok("threads") {
        assert_eq!(std::env::var_os(bootstrap::MARK), None, "the mark is removed before other threads");
    }
    let store = Store::attach(&welcome.store_address).expect("the store is there");
    let node = Link { process: welcome.process, node: welcome.node };
    let mode = std::env::var(MODE).unwrap_or_default();
    let (registry_hash, registry) = match mode.as_str() {
        "differs" => (HASH + 1, vec![RegistryKey { name: "Class".into(), signature: 9 }, registry()[1].clone()]),
        "part" => (HASH + 1, vec![registry()[0].clone()]),
        _ => (HASH, Vec::new()),
    };
    node.send(ToNode::Ready { pid: std::process::id(), client: store.client(), registry_hash, registry });
    let mut leases = Leases { session: welcome.session_dir, busy: Vec::new() };
    let mut ended: Option<ActorId> = None;
    while let Ok(message) = welcome.inbox.recv() {
        match message.body {
            ToProcess::StartActor { spec, granted, .. } => start_actor(&node, &store, spec, &granted),
            ToProcess::EndActor(actor) => {
                ended = Some(actor);
                node.send(ToNode::ActorEnded { actor, exited: false });
            }
            ToProcess::RunTask { spec, granted, nested } => run_task(&node, spec, &granted, nested, store.client()),
            ToProcess::CancelTask { task, .. } => node.send(ToNode::TaskFinished(task)),
            ToProcess::TaskLost { call, .. } => println!("call {call} is lost"),
            ToProcess::RunLease { lease, granted, nested } => leases.begin(&node, lease, &granted, nested),
            ToProcess::EndLease(lease) => leases.end(&node, lease),
            ToProcess::LeaseGranted { lease, .. } => leases.note("granted", lease),
            ToProcess::RecallLease(lease) => leases.note("recalled", lease),
            ToProcess::LeaseLost { lease, .. } => leases.note("lost", lease),
            ToProcess::Refused(reason) => {
                eprintln!("{reason}");
                std::process::exit(1);
            }
            ToProcess::Retire | ToProcess::Shutdown => std::process::exit(0),
            _ => {}
        }
        if ended.is_some() {
            std::process::exit(0);
        }
    }
    std::process::exit(1);
}

fn start_actor(node: &Link, store: &Store, spec: ActorSpec, granted: &Granted) {
    let actor = spec.actor;
    match spec.class_name.as_str() {
        "Print" => {
            print!("one\ntwo\nopen");
            std::io::stdout().flush().unwrap();
            eprintln!("three");
            node.send(ToNode::ActorStarted { actor });
        }
        "Fail" => {
            node.send(ToNode::ActorFailed { actor, message: "no luck today".into() });
            std::process::exit(0);
        }
        "Abort" => {
            node.send(ToNode::ActorStarted { actor });
            std::process::abort();
        }
        "Exit" => {
            node.send(ToNode::ActorStarted { actor });
            node.send(ToNode::ActorEnded { actor, exited: true });
            std::process::exit(0);
        }
        "Report" => {
            let gpus = std::env::var("CUDA_VISIBLE_DEVICES");
            let own = std::env::var("OWN");
            report(&spec.args.bytes, &format!("{gpus:?} {own:?} {:?} {:?}", granted.gpu_ids, granted.amounts));
            node.send(ToNode::ActorStarted { actor });
        }
        "Parent" => {
            // Makes a child that nobody else knows, and a program that must die with it.
            let child = Command::new("sleep").arg("1000").spawn().unwrap();
            let id = ActorId::random();
            std::mem::forget(life_in(store, id));
            node.send(ToNode::CreateActor(actor_spec(id, "Plain", Demand::new())));
            report(&spec.args.bytes, &format!("{} {id}", child.id()));
            node.send(ToNode::ActorStarted { actor });
        }
        "Leaver" => {
            // Has all but left when the file is there, and leaves when it is gone.
            node.send(ToNode::ActorStarted { actor });
            node.send(ToNode::ActorLeaving(actor));
            report(&spec.args.bytes, "leaving");
            let path = PathBuf::from(String::from_utf8(spec.args.bytes).unwrap());
            until("the file's end", || (!path.exists()).then_some(()));
            node.send(ToNode::ActorEnded { actor, exited: true });
            std::process::exit(0);
        }
        "Namer" => {
            // Claims the names that its arguments list, one a line: whether one that exists serves, the id, the name.
            for (request, line) in std::str::from_utf8(&spec.args.bytes).unwrap().lines().enumerate() {
                let (or_get, rest) = line.split_once(' ').unwrap();
                let (id, name) = rest.split_once(' ').unwrap();
                let id = ActorId::from_object(id.parse().unwrap());
                std::mem::forget(life_in(store, id));
                let claim = claim(name, id, or_get == "true");
                node.send(ToNode::ClaimName { claim, request: request as u64 });
            }
            node.send(ToNode::ActorStarted { actor });
        }
        "Borrower" => {
            // Asks for the leases that its arguments list, one a line: what there is beside a CPU, then the id.
            for line in std::str::from_utf8(&spec.args.bytes).unwrap().lines() {
                let (manner, id) = line.split_once(' ').unwrap();
                node.send(ToNode::AskLease(lease_spec(TaskId::from_object(id.parse().unwrap()), in_manner(manner))));
            }
            node.send(ToNode::ActorStarted { actor });
        }
        _ => node.send(ToNode::ActorStarted { actor }),
    }
}

fn run_task(node: &Link, spec: TaskSpec, granted: &Granted, nested: bool, client: ClientKey) {
    match spec.function_name.as_str() {
        "abort" => std::process::abort(),
        "forever" => {}
        "wear" => {
            report(&spec.args.bytes, &std::process::id().to_string());
            node.send(ToNode::WornOut);
            node.send(ToNode::TaskFinished(spec.task));
        }
        "deaf" => {
            report(&spec.args.bytes, "running");
            std::thread::park();
        }
        "report" => {
            let gpus = std::env::var("CUDA_VISIBLE_DEVICES");
            let pid = std::process::id();
            report(&spec.args.bytes, &format!("{gpus:?} {:?} {nested} {pid}", granted.gpu_ids));
            node.send(ToNode::TaskFinished(spec.task));
        }
        "chain" => {
            // Submits the next link and waits for it; the last one writes the report. How many are left
            // travels as the number of the call. No link finishes but the last: that is the worst case.
            let left: u32 = spec.call as u32;
            if left == 0 {
                report(&spec.args.bytes, "the end");
                node.send(ToNode::TaskFinished(spec.task));
            } else {
                let mut next = task_spec("chain", Demand::new().cpus(1.0).unwrap(), client, u64::from(left - 1));
                next.depth = spec.depth + 1;
                next.args = spec.args;
                node.send(ToNode::SubmitTask(next));
                node.send(ToNode::Blocked(spec.task));
            }
        }
        _ => node.send(ToNode::TaskFinished(spec.task)),
    }
}

/// What this process hears of leases, as worker and as caller.
struct Leases {
    session: PathBuf,
    /// Those that a task of is said to run.
    busy: Vec<TaskId>,
}

impl Leases {
    /// Begins a lease in the manner that its resources name.
    fn begin(&mut self, node: &Link, lease: TaskId, granted: &Granted, nested: bool) {
        self.note(if nested { "nested" } else { "run" }, lease);
        for (name, _) in &granted.amounts {
            match name.as_str() {
                BUSY => self.busy.push(lease),
                ASLEEP => node.send(ToNode::Blocked(lease)),
                PARENT => {
                    let child = ActorId::from_object(lease.object());
                    node.send(ToNode::CreateActor(actor_spec(child, "Plain", Demand::new())));
                    self.note("made", lease);
                }
                _ => {}
            }
        }
    }

    fn end(&self, node: &Link, lease: TaskId) {
        self.note("end", lease);
        let over = !self.busy.contains(&lease);
        node.send(ToNode::LeaseEnded { lease, over });
        if !over {
            // Until the driver says that the task ends.
            let (node, task) = (node.clone(), self.session.join(lease.to_string()));
            std::thread::spawn(move || {
                until("the end of a task", || task.exists().then_some(()));
                node.send(ToNode::LeaseEnded { lease, over: true });
            });
        }
    }

    /// Adds a line for the driver to read.
    fn note(&self, what: &str, lease: TaskId) {
        let mut file = OpenOptions::new().append(true).create(true).open(self.session.join(NOTES)).unwrap();
        file.write_all(format!("{what} {lease} {}\n", std::process::id()).as_bytes()).unwrap();
    }
}

/// Tells the driver something through a file of its session: `Payload::bytes` names it.
fn report(path: &[u8], text: &str) {
    let path = Path::new(std::str::from_utf8(path).unwrap());
    let written = path.with_extension("part");
    std::fs::write(&written, text).unwrap();
    std::fs::rename(written, path).unwrap();
}
