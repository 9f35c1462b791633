//! What is said of an actor whose process is ending, and what waits until it has ended (SC-25).
//!
//! This binary is driver and worker at once, as in `node`; the class of an actor says what its worker does about the knell.
#![allow(clippy::print_stdout, reason = "the test runner prints")]
#![allow(clippy::unwrap_used, reason = "a test without harness is not recognised as one")]

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ipc_channel::ipc::{IpcReceiver, IpcSender};
use mobula_scheduler::bootstrap;
use mobula_scheduler::death::{ActorDeath, DeathCause};
use mobula_scheduler::ids::{ActorId, ProcessId};
use mobula_scheduler::node::{Node, NodeOptions};
use mobula_scheduler::protocol::{
    ActorSpec, Answer, Envelope, FromProcess, Payload, RegistryKey, ToNode, ToProcess, Welcome,
};
use mobula_scheduler::resources::Demand;
use mobula_store::{ClientKey, Knell, Lifetime, ObjectHold, ObjectOptions, Store};
use rustix::process::{Pid, Signal, kill_process};

/// The longest that a test waits for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a worker has for the kernel to take apart: that takes milliseconds.
const BALLAST: usize = 64 << 20;

const HASH: u64 = 4_712;

/// Whether workers are copies of a template at the moment.
static FORKS: AtomicBool = AtomicBool::new(true);

fn registry() -> Vec<RegistryKey> {
    vec![RegistryKey { name: "Class".into(), signature: 1 }]
}

fn main() {
    if let Some(mark) = bootstrap::take_mark() {
        worker(mark.join().unwrap());
    }
    let filter = std::env::args().nth(1).filter(|arg| !arg.starts_with('-'));
    let tests: &[(&str, fn())] = &[
        ("a_death_is_told_before_the_process_is_gone", a_death_is_told_before_the_process_is_gone),
        ("what_it_has_stays_taken_until_it_is_gone", what_it_has_stays_taken_until_it_is_gone),
        ("who_kills_it_is_answered_when_it_is_gone", who_kills_it_is_answered_when_it_is_gone),
        ("nothing_comes_after_the_verdict", nothing_comes_after_the_verdict),
        ("without_a_knell_a_death_is_told_when_it_is_over", without_a_knell_a_death_is_told_when_it_is_over),
        ("a_knell_for_a_living_process_is_not_believed", a_knell_for_a_living_process_is_not_believed),
        ("a_process_that_turns_into_another_program_lives", a_process_that_turns_into_another_program_lives),
        ("an_end_without_a_signal_is_told_when_it_is_over", an_end_without_a_signal_is_told_when_it_is_over),
        ("many_die_at_once", many_die_at_once),
    ];
    for forks in [true, false] {
        let how = if forks { "forked" } else { "spawned" };
        FORKS.store(forks, Ordering::Relaxed);
        for (name, test) in tests {
            if filter.as_ref().is_none_or(|filter| name.contains(filter.as_str())) {
                let begin = Instant::now();
                test();
                println!("test {name}, {how} ... ok ({:?})", begin.elapsed());
            }
        }
    }
}

// ---- the worker's side

fn worker(welcome: Welcome) -> ! {
    assert!(Knell::prepare(), "this kernel has what the node needs");
    let store = Store::attach(&welcome.store_address).unwrap();
    let send = |message| welcome.node.send(Envelope::new((welcome.process, message))).unwrap();
    let (pid, client) = (std::process::id(), store.client());
    send(ToNode::Ready { pid, client, registry_hash: HASH, registry: Vec::new() });
    while let Ok(message) = welcome.inbox.recv() {
        if let ToProcess::StartActor { spec, .. } = message.body {
            let started = || {
                send(ToNode::ActorStarted { actor: spec.actor });
                std::fs::write(text(&spec), "").unwrap();
            };
            be(&spec.class_name, &store, started);
        }
    }
    std::process::exit(1);
}

fn be(class: &str, store: &Store, started: impl Fn()) {
    match class {
        "Silent" => started(),
        "Tolls" => {
            std::mem::forget(vec![1_u8; BALLAST]);
            toll_at_end_of(store, thread::park);
            started();
        }
        "Alone" => {
            for _ in 0..50 {
                toll_at_end_of(store, || ()).join().unwrap();
            }
            started();
        }
        "Exec" => {
            toll_at_end_of(store, thread::park);
            started();
            panic!("{}", Command::new("sleep").arg("1000").exec());
        }
        "Exit" => {
            toll_at_end_of(store, thread::park);
            started();
            std::process::exit(3);
        }
        "Busy" => {
            toll_at_end_of(store, thread::park);
            // The node is the first client of its store.
            let mut ring = store.open_ring(ClientKey { index: 0, generation: 0 }).unwrap();
            started();
            for number in 0_u64.. {
                while ring.try_send(&number.to_le_bytes(), false).is_err() {
                    std::hint::spin_loop();
                }
            }
        }
        other => panic!("no class {other}"),
    }
}

/// Starts a thread at whose end the knell tolls.
fn toll_at_end_of(store: &Store, life: impl FnOnce() + Send + 'static) -> thread::JoinHandle<()> {
    let knell = store.knell();
    let (told, tolls) = std::sync::mpsc::channel();
    let thread = thread::spawn(move || {
        told.send(knell.toll_at_end()).unwrap();
        life();
    });
    assert!(tolls.recv().unwrap(), "this kernel has what the node needs");
    thread
}

fn text(spec: &ActorSpec) -> &str {
    std::str::from_utf8(&spec.args.bytes).unwrap()
}

// ---- the driver's side

struct Driver {
    node: Node,
    process: ProcessId,
    to_node: IpcSender<FromProcess>,
    inbox: IpcReceiver<Envelope<ToProcess>>,
}

impl Driver {
    fn start() -> Driver {
        let mut options = NodeOptions::new();
        options.num_cpus = 2.0;
        options.object_store_memory = 8 << 20;
        options.log_to_driver = false;
        options.prestart = Some(1);
        options.fork_workers = FORKS.load(Ordering::Relaxed);
        let node = Node::start(options).unwrap();
        let Welcome { process, node: to_node, inbox, .. } = node.connect_driver(HASH, registry()).unwrap();
        let driver = Driver { process, to_node, inbox, node };
        let (pid, client) = (std::process::id(), driver.node.store().client());
        driver.send(ToNode::Ready { pid, client, registry_hash: HASH, registry: registry() });
        driver
    }

    fn send(&self, message: ToNode) {
        self.to_node.send(Envelope::new((self.process, message))).unwrap();
    }

    fn next(&self) -> ToProcess {
        self.inbox.try_recv_timeout(PATIENCE).expect("the node says something in time").body
    }

    /// Creates an actor; its worker makes the file when its constructor has run.
    fn create(&self, class: &str, cpus: f64) -> (ActorId, ObjectHold) {
        let actor = ActorId::random();
        let options = ObjectOptions::new().lifetime(Lifetime::Counted).notify();
        let life = self.node.store().create_object_with(actor.object(), 0, &options).unwrap().seal().unwrap().hold();
        self.send(ToNode::CreateActor(ActorSpec {
            actor,
            class: registry()[0].clone(),
            class_name: class.to_owned(),
            args: Payload { bytes: self.file(actor).into_bytes(), ids: Vec::new() },
            demand: Demand::new().cpus(cpus).unwrap(),
            env: Vec::new(),
            max_restarts: 0,
            detached: false,
            options: Vec::new(),
        }));
        (actor, life)
    }

    fn file(&self, id: ActorId) -> String {
        self.node.info().session_dir.join(id.to_string()).to_str().unwrap().to_owned()
    }

    /// Creates an actor and waits until the node knows that its constructor has run.
    fn start_actor(&self, class: &str) -> (Actor, ObjectHold) {
        let (id, life) = self.create(class, 1.0);
        let actor = self.up(id);
        until("its start", || Path::new(&self.file(id)).exists());
        // Through the same channel, and later.
        self.nothing_has_come();
        (actor, life)
    }

    fn up(&self, id: ActorId) -> Actor {
        match self.next() {
            ToProcess::ActorUp { actor, client, pid, .. } if actor == id => Actor { id, client, pid },
            other => panic!("{other:?}"),
        }
    }

    /// Returns what comes of the end of an actor's process: its death, and whether it was told before the process was gone.
    fn end_of(&self, actor: &Actor) -> (ActorDeath, bool) {
        match (self.next(), self.next()) {
            (ToProcess::ActorDown(death), ToProcess::ProcessGone(client)) if client == actor.client => (death, true),
            (ToProcess::ProcessGone(client), ToProcess::ActorDown(death)) if client == actor.client => (death, false),
            others => panic!("{others:?}"),
        }
    }

    /// Has the node handle all that it has heard.
    fn nothing_has_come(&self) {
        self.send(ToNode::Resources { request: 0 });
        assert!(matches!(self.next(), ToProcess::Reply { request: 0, .. }));
    }

    fn available(&self) -> f64 {
        self.node.resources().iter().find(|(name, ..)| name == "CPU").unwrap().2
    }
}

struct Actor {
    id: ActorId,
    client: ClientKey,
    pid: u32,
}

impl Actor {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.pid.cast_signed()).unwrap(), signal).unwrap();
    }

    fn is_there(&self) -> bool {
        Path::new(&format!("/proc/{}", self.pid)).exists()
    }
}

fn until(what: &str, mut look: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !look() {
        assert!(Instant::now() < deadline, "{what} did not come in time");
        thread::sleep(Duration::from_millis(1));
    }
}

fn killed() -> DeathCause {
    DeathCause::Crashed { status: "signal 9 (SIGKILL)".into() }
}

// ---- the tests

/// Runs `round` until it returns true: a knell may be lost.
fn some_round(what: &str, mut round: impl FnMut() -> bool) {
    assert!((0..20).any(|_| round()), "{what} never happened");
}

fn a_death_is_told_before_the_process_is_gone() {
    let driver = Driver::start();
    some_round("an early verdict", || {
        let (actor, _life) = driver.start_actor("Tolls");
        actor.signal(Signal::KILL);
        let (death, early) = driver.end_of(&actor);
        assert_eq!((death.actor, death.pid, death.cause), (actor.id, actor.pid, killed()));
        driver.nothing_has_come();
        early
    });
    // Signals of all kinds.
    let (actor, _life) = driver.start_actor("Tolls");
    actor.signal(Signal::TERM);
    assert_eq!(driver.end_of(&actor).0.cause, DeathCause::Crashed { status: "signal 15 (SIGTERM)".into() });
}

fn what_it_has_stays_taken_until_it_is_gone() {
    let driver = Driver::start();
    some_round("an early verdict", || {
        let (actor, _life) = driver.start_actor("Tolls");
        actor.signal(Signal::KILL);
        let first = driver.next();
        // It wants both processors.
        let (next, _life) = driver.create("Silent", 2.0);
        let early = match (first, driver.next()) {
            (ToProcess::ActorDown(_), ToProcess::ProcessGone(_)) => true,
            (ToProcess::ProcessGone(_), ToProcess::ActorDown(_)) => false,
            others => panic!("{others:?}"),
        };
        let next = driver.up(next);
        assert!(!actor.is_there(), "its processor was given away while it was still there");
        next.signal(Signal::KILL);
        driver.end_of(&next);
        until("all processors", || driver.available() == 2.0);
        early
    });
}

fn who_kills_it_is_answered_when_it_is_gone() {
    let driver = Driver::start();
    some_round("an early verdict", || {
        let (actor, _life) = driver.start_actor("Tolls");
        driver.send(ToNode::KillActor { actor: actor.id, restart: false, request: 1 });
        let mut open = vec![1];
        let mut order = Vec::new();
        while !open.is_empty() {
            match driver.next() {
                ToProcess::ActorDown(death) => {
                    assert_eq!(death.cause, DeathCause::Killed);
                    // Who comes later waits, too.
                    driver.send(ToNode::KillActor { actor: actor.id, restart: false, request: 2 });
                    open.push(2);
                    order.push("down");
                }
                ToProcess::ProcessGone(_) => order.push("gone"),
                ToProcess::Reply { request, answer: Answer::Done } => {
                    assert!(!actor.is_there(), "{request} was answered too soon: {order:?}");
                    open.retain(|other| *other != request);
                }
                other => panic!("{other:?}"),
            }
        }
        order == ["down", "gone"]
    });
}

fn nothing_comes_after_the_verdict() {
    let driver = Driver::start();
    let mut mailbox = driver.node.store().mailbox().unwrap();
    let mut early = 0;
    for _ in 0..40 {
        let (actor, _life) = driver.start_actor("Busy");
        let mut frames = 0_u64;
        let mut take = |frames: &mut u64| {
            let mut count = |_, frame: &[u8]| {
                assert_eq!(frame, frames.to_le_bytes());
                *frames += 1;
            };
            while mailbox.poll(64, &mut count) > 0 {}
        };
        while frames < 2_000 {
            take(&mut frames);
        }
        actor.signal(Signal::KILL);
        let first = loop {
            // There must always be room for one more.
            take(&mut frames);
            if let Ok(message) = driver.inbox.try_recv() {
                break message.body;
            }
        };
        take(&mut frames);
        let final_count = frames;
        early += u32::from(matches!(first, ToProcess::ActorDown(_)));
        driver.next();
        take(&mut frames);
        assert_eq!(frames, final_count, "something came of a process that had been declared dead");
    }
    assert!(early > 0, "no early verdict");
}

fn without_a_knell_a_death_is_told_when_it_is_over() {
    let driver = Driver::start();
    let (actor, _life) = driver.start_actor("Silent");
    actor.signal(Signal::KILL);
    let (death, early) = driver.end_of(&actor);
    assert_eq!((death.cause, early), (killed(), false));
}

fn a_knell_for_a_living_process_is_not_believed() {
    let driver = Driver::start();
    let (actor, _life) = driver.start_actor("Alone");
    // A stopped process has an exit code, too: that of its stop.
    actor.signal(Signal::STOP);
    for _ in 0..50 {
        driver.nothing_has_come();
    }
    actor.signal(Signal::CONT);
    driver.nothing_has_come();
    actor.signal(Signal::KILL);
    assert_eq!(driver.end_of(&actor).0.cause, killed());
}

fn a_process_that_turns_into_another_program_lives() {
    let driver = Driver::start();
    let (actor, _life) = driver.start_actor("Exec");
    let name = format!("/proc/{}/comm", actor.pid);
    until("the other program", || std::fs::read_to_string(&name).unwrap() == "sleep\n");
    for _ in 0..50 {
        driver.nothing_has_come();
    }
    actor.signal(Signal::KILL);
    assert_eq!(driver.end_of(&actor).0.cause, killed());
}

fn an_end_without_a_signal_is_told_when_it_is_over() {
    let driver = Driver::start();
    let (id, _life) = driver.create("Exit", 1.0);
    let actor = driver.up(id);
    let (death, early) = driver.end_of(&actor);
    assert_eq!((death.cause, early), (DeathCause::Crashed { status: "exit status 3".into() }, false));
}

fn many_die_at_once() {
    let driver = Driver::start();
    let mut lives = Vec::new();
    let mut pids = Vec::new();
    for _ in 0..8 {
        let (id, life) = driver.create("Tolls", 0.0);
        let actor = driver.up(id);
        until("its start", || Path::new(&driver.file(id)).exists());
        lives.push(life);
        pids.push(actor);
    }
    driver.nothing_has_come();
    pids.iter().for_each(|actor| actor.signal(Signal::KILL));
    let (mut down, mut gone) = (Vec::new(), Vec::new());
    for _ in 0..16 {
        match driver.next() {
            ToProcess::ActorDown(death) => down.push(death.actor),
            ToProcess::ProcessGone(client) => gone.push(client),
            other => panic!("{other:?}"),
        }
    }
    down.sort();
    gone.sort();
    let mut ids: Vec<_> = pids.iter().map(|actor| actor.id).collect();
    let mut clients: Vec<_> = pids.iter().map(|actor| actor.client).collect();
    ids.sort();
    clients.sort();
    assert_eq!((down, gone), (ids, clients), "each once");
    driver.nothing_has_come();
}
