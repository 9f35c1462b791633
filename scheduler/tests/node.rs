//! Drives a node by hand: this binary is driver and worker at once.
//!
//! The driver's side joins as the worker crate would and speaks the control protocol message by
//! message; the worker's side ([`worker`]) obeys class and function names. Every test starts a node
//! of its own in the same process, so that starting again after a shutdown is tested throughout. All
//! run twice: with workers that are copies of a template, and with such that are started by themselves.
#![allow(clippy::print_stdout, reason = "the test runner and the workers print")]
#![allow(clippy::unwrap_used, reason = "a test without harness is not recognised as one")]
#![allow(clippy::zombie_processes, reason = "that a program dies with its worker is what is tested")]

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ipc_channel::ipc::{IpcReceiver, IpcSender};
use mobula_scheduler::bootstrap;
use mobula_scheduler::death::{ActorDeath, DeathCause, LostTask};
use mobula_scheduler::ids::{ActorId, ProcessId, TaskId};
use mobula_scheduler::node::{Node, NodeError, NodeOptions};
use mobula_scheduler::protocol::{
    ActorSpec, Answer, Envelope, FromProcess, Granted, Payload, RegistryKey, TaskSpec, ToNode, ToProcess, Welcome,
};
use mobula_scheduler::resources::Demand;
use mobula_store::{ClientKey, Lifetime, ObjectHold, ObjectOptions, Store};

/// What a worker does before it joins: set in its environment.
const MODE: &str = "MOBULA_TEST_MODE";

/// Set in the environment of a driver whose workers are not to be copies.
const SPAWN: &str = "MOBULA_TEST_SPAWN";

/// The name of a template's thread.
const TEMPLATE: &str = "mobula-template\n";

/// Whether workers are copies of a template at the moment.
static FORKS: AtomicBool = AtomicBool::new(true);

/// The longest that a test waits for anything.
const PATIENCE: Duration = Duration::from_secs(30);

const HASH: u64 = 4_711;

fn registry() -> Vec<RegistryKey> {
    vec![RegistryKey { name: "Class".into(), signature: 1 }, RegistryKey { name: "function".into(), signature: 2 }]
}

fn main() {
    if bootstrap::is_worker() {
        unreachable!("nobody has taken the mark yet");
    }
    match std::env::var(MODE).as_deref() {
        Ok("no_init") => {
            eprintln!("I do not know what a worker is");
            std::process::exit(3);
        }
        Ok("silent") => loop {
            std::thread::park();
        },
        Ok("threads") => drop(std::thread::spawn(std::thread::park)),
        _ => {}
    }
    if let Some(mark) = bootstrap::take_mark() {
        worker(mark.join());
    }
    let filter = std::env::args().nth(1).filter(|arg| !arg.starts_with('-'));
    let tests: &[(&str, fn())] = &[
        ("an_actor_starts_and_its_watchers_hear_of_it", an_actor_starts_and_its_watchers_hear_of_it),
        ("a_crash_is_told_with_its_status", a_crash_is_told_with_its_status),
        ("a_killed_actor_is_gone_when_the_answer_comes", a_killed_actor_is_gone_when_the_answer_comes),
        ("the_last_handle_ends_an_actor", the_last_handle_ends_an_actor),
        ("a_constructor_that_fails_says_why", a_constructor_that_fails_says_why),
        ("creation_waits_for_resources_in_line", creation_waits_for_resources_in_line),
        ("what_can_never_fit_fails_at_once", what_can_never_fit_fails_at_once),
        ("tasks_run_and_lost_ones_are_told", tasks_run_and_lost_ones_are_told),
        ("a_flood_of_tasks_ends", a_flood_of_tasks_ends),
        ("a_chain_of_waiting_tasks_ends", a_chain_of_waiting_tasks_ends),
        ("gpu_work_gets_a_process_with_its_devices", gpu_work_gets_a_process_with_its_devices),
        ("variables_get_a_process_of_their_own", variables_get_a_process_of_their_own),
        ("what_an_owner_made_ends_with_it", what_an_owner_made_ends_with_it),
        ("a_worker_without_init_is_named", a_worker_without_init_is_named),
        ("a_silent_worker_is_ended_after_its_time", a_silent_worker_is_ended_after_its_time),
        ("an_executable_that_is_none_is_named", an_executable_that_is_none_is_named),
        ("registries_that_differ_are_refused_by_name", registries_that_differ_are_refused_by_name),
        ("another_executable_tells_what_it_knows", another_executable_tells_what_it_knows),
        ("early_watchers_are_remembered", early_watchers_are_remembered),
        ("a_shutdown_leaves_nothing", a_shutdown_leaves_nothing),
        ("a_killed_driver_leaves_nothing", a_killed_driver_leaves_nothing),
        ("wrapped_workers_join_and_die_with_their_driver", wrapped_workers_join_and_die_with_their_driver),
        ("marks_of_others_are_inert", marks_of_others_are_inert),
        ("what_workers_print_reaches_the_driver", what_workers_print_reaches_the_driver),
        ("a_stopped_worker_holds_nobody_up", a_stopped_worker_holds_nobody_up),
        ("workers_are_children_with_nothing_of_their_template", workers_are_children_with_nothing_of_their_template),
        ("a_program_with_threads_is_not_forked", a_program_with_threads_is_not_forked),
        ("a_template_killed_at_any_time_costs_nothing", a_template_killed_at_any_time_costs_nothing),
        ("a_stopped_template_holds_nobody_up", a_stopped_template_holds_nobody_up),
        ("what_ends_before_it_is_forked_is_told", what_ends_before_it_is_forked_is_told),
    ];
    FORKS.store(std::env::var_os(SPAWN).is_none(), Ordering::Relaxed);
    match std::env::var(MODE).as_deref() {
        Ok("driver") => return die_as_driver(),
        Ok("printer") => return let_workers_print(),
        Ok("inert") => return println!("no worker"),
        _ => {}
    }
    for forks in [true, false] {
        FORKS.store(forks, Ordering::Relaxed);
        let how = if forks { "forked" } else { "spawned" };
        for (name, test) in tests {
            if filter.as_ref().is_none_or(|filter| name.contains(filter.as_str())) {
                let begin = Instant::now();
                test();
                assert!(children().is_empty(), "{name} leaves {:?}", children());
                println!("test {name}, {how} ... ok ({:?})", begin.elapsed());
            }
        }
    }
}

fn forks() -> bool {
    FORKS.load(Ordering::Relaxed)
}

// ---- the worker's side

fn worker(welcome: Result<Welcome, bootstrap::BootstrapError>) -> ! {
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
    let mut ended: Option<ActorId> = None;
    while let Ok(message) = welcome.inbox.recv() {
        match message.body {
            ToProcess::StartActor { spec, granted } => start_actor(&node, &store, spec, &granted),
            ToProcess::EndActor(actor) => {
                ended = Some(actor);
                node.send(ToNode::ActorEnded { actor, exited: false });
            }
            ToProcess::RunTask { spec, granted, nested } => run_task(&node, spec, &granted, nested, store.client()),
            ToProcess::TaskLost { call, .. } => println!("call {call} is lost"),
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

/// Tells the driver something through a file of its session: `Payload::bytes` names it.
fn report(path: &[u8], text: &str) {
    let path = Path::new(std::str::from_utf8(path).unwrap());
    let written = path.with_extension("part");
    std::fs::write(&written, text).unwrap();
    std::fs::rename(written, path).unwrap();
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
        _ => node.send(ToNode::ActorStarted { actor }),
    }
}

/// Makes the life of an actor that holds it as long as this process lives.
fn life_in(store: &Store, id: ActorId) -> ObjectHold {
    let options = ObjectOptions::new().lifetime(Lifetime::Counted).notify();
    store.create_object_with(id.object(), 0, &options).unwrap().seal().unwrap().hold()
}

fn run_task(node: &Link, spec: TaskSpec, granted: &Granted, nested: bool, client: ClientKey) {
    match spec.function_name.as_str() {
        "abort" => std::process::abort(),
        "forever" => {}
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

// ---- the driver's side

struct Link {
    process: ProcessId,
    node: IpcSender<FromProcess>,
}

impl Link {
    fn send(&self, message: ToNode) {
        self.node.send(Envelope::new((self.process, message))).expect("the node is there");
    }
}

struct Driver {
    node: Node,
    link: Link,
    inbox: IpcReceiver<Envelope<ToProcess>>,
    client: ClientKey,
    requests: AtomicU64,
}

fn options() -> NodeOptions {
    let mut options = NodeOptions::new();
    options.num_cpus = 2.0;
    options.object_store_memory = 8 << 20;
    options.log_to_driver = std::env::var_os("MOBULA_TEST_LOGS").is_some();
    options.prestart = Some(1);
    options.fork_workers = forks();
    options
}

impl Driver {
    fn start(options: NodeOptions) -> Driver {
        let node = Node::start(options).unwrap();
        let welcome = node.connect_driver(HASH, registry()).unwrap();
        let client = node.store().client();
        let link = Link { process: welcome.process, node: welcome.node };
        link.send(ToNode::Ready { pid: std::process::id(), client, registry_hash: HASH, registry: registry() });
        Driver { node, link, inbox: welcome.inbox, client, requests: AtomicU64::new(1) }
    }

    fn next(&self) -> ToProcess {
        let message = self.inbox.try_recv_timeout(PATIENCE).expect("the node says something in time");
        message.body
    }

    /// Returns the first message that fits; ProcessGone may come between, anything else may not.
    fn expect<T>(&self, what: &str, mut fits: impl FnMut(&ToProcess) -> Option<T>) -> T {
        loop {
            let message = self.next();
            if let Some(found) = fits(&message) {
                return found;
            }
            assert!(matches!(message, ToProcess::ProcessGone(_)), "waiting for {what}: {message:?}");
        }
    }

    fn up(&self, actor: ActorId) -> (ClientKey, u32) {
        self.expect("ActorUp", |message| match message {
            ToProcess::ActorUp { actor: id, client, pid, incarnation: 1, .. } if *id == actor => Some((*client, *pid)),
            _ => None,
        })
    }

    fn down(&self, actor: ActorId) -> ActorDeath {
        self.expect("ActorDown", |message| match message {
            ToProcess::ActorDown(death) if death.actor == actor => Some(death.clone()),
            _ => None,
        })
    }

    fn lost(&self, call: u64) -> LostTask {
        self.expect("TaskLost", |message| match message {
            ToProcess::TaskLost { call: number, reason } if *number == call => Some(reason.clone()),
            _ => None,
        })
    }

    fn reply(&self, request: u64) -> Answer {
        self.expect("Reply", |message| match message {
            ToProcess::Reply { request: number, answer } if *number == request => Some(answer.clone()),
            _ => None,
        })
    }

    /// Makes the life of a new actor.
    fn life(&self) -> (ActorId, ObjectHold) {
        let id = ActorId::random();
        (id, life_in(self.node.store(), id))
    }

    fn create(&self, class: &str, demand: Demand) -> (ActorId, ObjectHold) {
        let (id, life) = self.life();
        self.link.send(ToNode::CreateActor(actor_spec(id, class, demand)));
        (id, life)
    }

    fn submit(&self, function: &str, demand: Demand) -> u64 {
        let call = self.requests.fetch_add(1, Ordering::Relaxed);
        self.link.send(ToNode::SubmitTask(task_spec(function, demand, self.client, call)));
        call
    }

    fn kill(&self, actor: ActorId) -> u64 {
        let request = self.requests.fetch_add(1, Ordering::Relaxed);
        self.link.send(ToNode::KillActor { actor, request });
        request
    }

    fn report_path(&self, name: &str) -> String {
        self.node.info().session_dir.join(name).to_str().unwrap().to_owned()
    }

    fn available(&self, name: &str) -> f64 {
        self.node.resources().iter().find(|(known, ..)| known == name).unwrap().2
    }
}

fn actor_spec(actor: ActorId, class: &str, demand: Demand) -> ActorSpec {
    ActorSpec {
        actor,
        class: registry()[0].clone(),
        class_name: class.to_owned(),
        args: Payload::default(),
        demand,
        env: Vec::new(),
        options: Vec::new(),
    }
}

fn task_spec(function: &str, demand: Demand, caller: ClientKey, call: u64) -> TaskSpec {
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

fn cpus(amount: f64) -> Demand {
    Demand::new().cpus(amount).unwrap()
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} did not come in time");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn is_gone(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return true;
    };
    // A process that nobody of ours has to wait for may stay a zombie until its new parent does.
    stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with(['Z', 'X']))
}

fn children() -> Vec<u32> {
    let own = std::process::id().to_string();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
            continue;
        };
        let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1).map(str::to_owned));
        if parent.as_ref() == Some(&own) {
            found.push(pid);
        }
    }
    found
}

/// Returns the children that are no templates.
fn workers() -> Vec<u32> {
    children().into_iter().filter(|&pid| !is_template(pid)).collect()
}

fn is_template(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == TEMPLATE)
}

/// Waits for the template and returns its pid.
fn template() -> u32 {
    until("the template", || children().into_iter().find(|&pid| is_template(pid)))
}

fn signal(pid: u32, signal: rustix::process::Signal) {
    // One that is gone needs none.
    let _ = rustix::process::kill_process(rustix::process::Pid::from_raw(pid as i32).unwrap(), signal);
}

fn an_actor_starts_and_its_watchers_hear_of_it() {
    let driver = Driver::start(options());
    let (id, life) = driver.create("Plain", Demand::new());
    let (client, pid) = driver.up(id);
    assert_ne!(client, driver.client);
    assert!(!is_gone(pid));
    driver.link.send(ToNode::WatchActor(id));
    assert_eq!(driver.up(id), (client, pid), "who asks again is told again");
    drop(life);
    assert_eq!(driver.down(id).cause, DeathCause::OutOfScope);
    driver.link.send(ToNode::WatchActor(id));
    assert_eq!(driver.down(id).pid, pid, "who asks afterwards is told, too");
    driver.link.send(ToNode::WatchActor(ActorId::from_object(mobula_store::ObjectId::random())));
    let unknown = driver.expect("ActorDown", |message| match message {
        ToProcess::ActorDown(death) => Some(death.clone()),
        _ => None,
    });
    assert!(matches!(unknown.cause, DeathCause::CreationFailed(_)));
}

fn a_crash_is_told_with_its_status() {
    let driver = Driver::start(options());
    let (id, _life) = driver.create("Abort", cpus(1.0));
    let (client, pid) = driver.up(id);
    let mut gone = false;
    let death = driver.expect("ActorDown", |message| match message {
        ToProcess::ProcessGone(key) => {
            gone |= *key == client;
            None
        }
        ToProcess::ActorDown(death) => Some(death.clone()),
        _ => None,
    });
    assert!(gone, "the store is reaped before anybody hears of the death");
    assert_eq!((death.actor, death.pid, death.class.as_str()), (id, pid, "Abort"));
    assert_eq!(death.cause, DeathCause::Crashed { status: "signal 6 (SIGABRT)".into() });
    assert_eq!(driver.available("CPU"), 2.0);
    let (id, _life) = driver.create("Exit", Demand::new());
    driver.up(id);
    assert_eq!(driver.down(id).cause, DeathCause::Exited);
}

fn a_killed_actor_is_gone_when_the_answer_comes() {
    let driver = Driver::start(options());
    let (id, _life) = driver.create("Plain", cpus(2.0));
    let (_, pid) = driver.up(id);
    // One that waits behind it, and is killed before it is placed.
    let (waiting, _other_life) = driver.create("Plain", cpus(1.0));
    let request = driver.kill(waiting);
    assert_eq!(driver.down(waiting).cause, DeathCause::Killed);
    assert!(matches!(driver.reply(request), Answer::Done));
    let request = driver.kill(id);
    assert_eq!(driver.down(id).cause, DeathCause::Killed);
    assert!(matches!(driver.reply(request), Answer::Done));
    assert!(is_gone(pid));
    assert_eq!(driver.available("CPU"), 2.0);
    let again = driver.kill(id);
    assert!(matches!(driver.reply(again), Answer::Done), "a dead actor can be killed again");
    let unknown = driver.kill(ActorId::random());
    assert!(matches!(driver.reply(unknown), Answer::NotFound));
}

fn the_last_handle_ends_an_actor() {
    let driver = Driver::start(options());
    let (id, life) = driver.create("Plain", cpus(2.0));
    let (_, pid) = driver.up(id);
    let (waiting, waiting_life) = driver.create("Plain", cpus(2.0));
    drop(waiting_life);
    let death = driver.down(waiting);
    assert_eq!((death.cause, death.pid), (DeathCause::OutOfScope, 0), "it leaves the queue");
    drop(life);
    assert_eq!(driver.down(id).cause, DeathCause::OutOfScope);
    assert!(is_gone(pid));
    let (dead, life) = driver.life();
    drop(life);
    driver.link.send(ToNode::CreateActor(actor_spec(dead, "Plain", Demand::new())));
    assert_eq!(driver.down(dead).cause, DeathCause::OutOfScope);
}

fn a_constructor_that_fails_says_why() {
    let driver = Driver::start(options());
    let (id, _life) = driver.create("Fail", Demand::new());
    driver.up(id);
    assert_eq!(driver.down(id).cause, DeathCause::CreationFailed("no luck today".into()));
}

fn creation_waits_for_resources_in_line() {
    let driver = Driver::start(options());
    let (first, first_life) = driver.create("Plain", cpus(1.5));
    driver.up(first);
    let (large, _large_life) = driver.create("Plain", cpus(2.0));
    let (small, _small_life) = driver.create("Plain", cpus(0.5));
    driver.up(small);
    drop(first_life);
    driver.down(first);
    let request = driver.kill(small);
    driver.down(small);
    driver.reply(request);
    driver.up(large);
    assert_eq!(driver.available("CPU"), 0.0);
}

fn what_can_never_fit_fails_at_once() {
    let driver = Driver::start(options());
    let (id, _life) = driver.create("Plain", cpus(64.0));
    match driver.down(id).cause {
        DeathCause::CreationFailed(message) => assert!(message.contains("64 CPU"), "{message}"),
        other => panic!("{other:?}"),
    }
    let call = driver.submit("ok", Demand::new().custom("unicorn", 1.0).unwrap());
    assert!(matches!(driver.lost(call), LostTask::Infeasible(message) if message.contains("unicorn")));
}

fn tasks_run_and_lost_ones_are_told() {
    let driver = Driver::start(options());
    for _ in 0..20 {
        driver.submit("ok", cpus(1.0));
    }
    let call = driver.submit("abort", cpus(1.0));
    match driver.lost(call) {
        LostTask::WorkerCrashed { pid, status } => {
            assert!(is_gone(pid));
            assert_eq!(status, "signal 6 (SIGABRT)");
        }
        other => panic!("{other:?}"),
    }
    for _ in 0..20 {
        driver.submit("ok", cpus(1.0));
    }
    until("the end of all tasks", || (driver.available("CPU") == 2.0).then_some(()));
}

fn a_flood_of_tasks_ends() {
    let driver = Driver::start(options());
    let path = driver.report_path("last");
    for _ in 0..3_000 {
        driver.submit("ok", cpus(1.0));
    }
    let mut spec = task_spec("report", cpus(1.0), driver.client, 0);
    spec.args.bytes = path.clone().into_bytes();
    driver.link.send(ToNode::SubmitTask(spec));
    until("the last task", || std::fs::read_to_string(&path).ok());
    until("the end of all tasks", || (driver.available("CPU") == 2.0).then_some(()));
    assert!(workers().len() <= 4, "{:?}", workers());
}

fn a_chain_of_waiting_tasks_ends() {
    let mut options = options();
    options.num_cpus = 1.0;
    options.max_processes = Some(3);
    let driver = Driver::start(options);
    let path = driver.report_path("chain");
    let mut spec = task_spec("chain", cpus(1.0), driver.client, 300);
    spec.args.bytes = path.clone().into_bytes();
    driver.link.send(ToNode::SubmitTask(spec));
    let text = until("the end of the chain", || std::fs::read_to_string(&path).ok());
    assert_eq!(text, "the end");
    assert!(workers().len() <= 3, "{:?}", workers());
}

fn gpu_work_gets_a_process_with_its_devices() {
    let mut options = options();
    options.num_gpus = 3.0;
    let driver = Driver::start(options);
    let (first, _first_life) = driver.create("Plain", Demand::new().gpus(1.0).unwrap());
    driver.up(first);
    let path = driver.report_path("gpus");
    let (id, _life) = driver.life();
    let mut spec = actor_spec(id, "Report", Demand::new().gpus(2.0).unwrap());
    spec.args.bytes = path.clone().into_bytes();
    driver.link.send(ToNode::CreateActor(spec));
    driver.up(id);
    let text = until("the report", || std::fs::read_to_string(&path).ok());
    assert!(text.starts_with("Ok(\"1,2\")") && text.contains("[1, 2] [(\"GPU\", 2.0)]"), "{text}");
    let request = driver.kill(first);
    driver.down(first);
    driver.reply(request);

    // A task with a GPU, then one without: the second must see none.
    for (name, gpus, seen) in [("one", 0.5, "Ok(\"0\") [0]"), ("none", 0.0, "Ok(\"\") []")] {
        let path = driver.report_path(name);
        let mut spec = task_spec("report", cpus(1.0).gpus(gpus).unwrap(), driver.client, 99);
        spec.args.bytes = path.clone().into_bytes();
        driver.link.send(ToNode::SubmitTask(spec));
        let text = until("the report", || std::fs::read_to_string(&path).ok());
        assert!(text.starts_with(seen), "{text}");
    }
    until("the GPU", || (driver.available("GPU") == 1.0).then_some(()));
}

fn variables_get_a_process_of_their_own() {
    let driver = Driver::start(options());
    let path = driver.report_path("env");
    let (id, _life) = driver.life();
    let mut spec = actor_spec(id, "Report", Demand::new());
    spec.args.bytes = path.clone().into_bytes();
    spec.env = vec![("OWN".into(), "yes".into())];
    driver.link.send(ToNode::CreateActor(spec));
    driver.up(id);
    let text = until("the report", || std::fs::read_to_string(&path).ok());
    assert!(text.contains("Ok(\"yes\")"), "{text}");
}

fn what_an_owner_made_ends_with_it() {
    let driver = Driver::start(options());
    let path = driver.report_path("parent");
    let (id, _life) = driver.life();
    let mut spec = actor_spec(id, "Parent", Demand::new());
    spec.args.bytes = path.clone().into_bytes();
    driver.link.send(ToNode::CreateActor(spec));
    driver.up(id);
    let text = until("the report", || std::fs::read_to_string(&path).ok());
    let (program, child) = text.split_once(' ').unwrap();
    let program: u32 = program.parse().unwrap();
    let child = ActorId::from_object(child.parse().unwrap());
    assert!(!is_gone(program));
    driver.link.send(ToNode::WatchActor(child));
    let (_, child_pid) = driver.up(child);
    let request = driver.kill(id);
    driver.down(id);
    driver.reply(request);
    assert_eq!(driver.down(child).cause, DeathCause::OwnerDied);
    assert!(is_gone(child_pid));
    until("the end of the program", || is_gone(program).then_some(()));
}

fn a_worker_without_init_is_named() {
    let mut options = options();
    options.env = vec![(MODE.into(), "no_init".into())];
    let driver = Driver::start(options);
    let (id, _life) = driver.create("Plain", Demand::new());
    match driver.down(id).cause {
        DeathCause::CreationFailed(message) => {
            for part in ["exit status 3", "before it joined", "mobula::init", "I do not know what a worker is"] {
                assert!(message.contains(part), "{message}");
            }
        }
        other => panic!("{other:?}"),
    }
    let call = driver.submit("ok", cpus(1.0));
    assert!(matches!(driver.lost(call), LostTask::NoWorker(_)), "and later work is told after one more try");
    assert_eq!(driver.available("CPU"), 2.0);
}

fn a_silent_worker_is_ended_after_its_time() {
    let mut options = options();
    options.env = vec![(MODE.into(), "silent".into())];
    options.start_timeout = Duration::from_millis(100);
    let driver = Driver::start(options);
    let call = driver.submit("ok", cpus(1.0));
    assert!(matches!(driver.lost(call), LostTask::NoWorker(message) if message.contains("did not join within 0.1 s")));
    until("the end of the silent", || children().is_empty().then_some(()));
}

fn an_executable_that_is_none_is_named() {
    let mut options = options();
    options.worker_exe = Some("/no/such/worker".into());
    let driver = Driver::start(options);
    match driver.node.worker_registry() {
        Err(NodeError::Worker(message)) => {
            assert!(message.contains("/no/such/worker"), "{message}")
        }
        other => panic!("{other:?}"),
    }
    let (id, _life) = driver.create("Plain", cpus(1.0));
    assert!(
        matches!(driver.down(id).cause, DeathCause::CreationFailed(message) if message.contains("/no/such/worker"))
    );
    assert_eq!(driver.available("CPU"), 2.0);
}

fn registries_that_differ_are_refused_by_name() {
    let mut options = options();
    options.env = vec![(MODE.into(), "differs".into())];
    let driver = Driver::start(options);
    let (id, _life) = driver.create("Plain", Demand::new());
    match driver.down(id).cause {
        DeathCause::CreationFailed(message) => {
            assert!(message.contains("signature of Class"), "{message}")
        }
        other => panic!("{other:?}"),
    }
}

fn another_executable_tells_what_it_knows() {
    let mut options = options();
    options.worker_exe = Some(std::env::current_exe().unwrap());
    options.env = vec![(MODE.into(), "part".into())];
    let driver = Driver::start(options);
    assert_eq!(driver.node.worker_registry().unwrap(), Some(vec![registry()[0].clone()]));
    let (id, _life) = driver.create("Plain", Demand::new());
    driver.up(id);
    let call = driver.submit("ok", cpus(1.0));
    assert!(matches!(driver.lost(call), LostTask::NoWorker(message) if message.contains("does not contain function")));
    drop(driver);
    let same = Driver::start(self::options());
    assert_eq!(same.node.worker_registry().unwrap(), None);
}

fn early_watchers_are_remembered() {
    let driver = Driver::start(options());
    let (id, life) = driver.life();
    driver.link.send(ToNode::WatchActor(id));
    driver.link.send(ToNode::ExpectActor { actor: id, class_name: "Plain".into() });
    driver.link.send(ToNode::CreateActor(actor_spec(id, "Plain", Demand::new())));
    driver.up(id);
    drop(life);
    driver.down(id);
    let (never, life) = driver.life();
    driver.link.send(ToNode::WatchActor(never));
    driver.link.send(ToNode::ExpectActor { actor: never, class_name: "Plain".into() });
    driver.link.send(ToNode::Resources { request: 0 });
    assert!(matches!(driver.reply(0), Answer::Resources(all) if all[0] == ("CPU".into(), 2.0, 2.0)));
    drop(life);
    let death = driver.down(never);
    assert_eq!((death.cause, death.class.as_str()), (DeathCause::OutOfScope, "Plain"));
}

fn a_shutdown_leaves_nothing() {
    let driver = Driver::start(options());
    let mut pids = Vec::new();
    let mut lives = Vec::new();
    for _ in 0..4 {
        let (id, life) = driver.create("Plain", Demand::new());
        pids.push(driver.up(id).1);
        lives.push(life);
    }
    let dir = driver.node.info().session_dir.clone();
    assert!(dir.join("logs").is_dir());
    driver.node.shutdown();
    assert!(pids.iter().all(|pid| is_gone(*pid)) && children().is_empty());
    assert!(!dir.exists());
    assert!(driver.node.resources().is_empty());
    assert!(matches!(driver.node.connect_driver(HASH, registry()), Err(NodeError::Ended)));
    driver.node.shutdown();
}

/// Starts workers, tells their pids and dies by SIGKILL.
fn die_as_driver() {
    let wrapped = std::env::var_os("MOBULA_TEST_WRAPPED").is_some();
    let mut options = options();
    options.env = vec![(MODE.into(), "worker".into())];
    if wrapped {
        options.worker_wrapper = wrapper();
    }
    let driver = Driver::start(options);
    let mut lives = Vec::new();
    for _ in 0..3 {
        let (id, life) = driver.create("Plain", Demand::new());
        println!("{}", driver.up(id).1);
        lives.push(life);
    }
    // A wrapped worker is no child, so its wrapper is told.
    println!("{}", if forks() && !wrapped { template() } else { children()[0] });
    println!("{}", driver.node.info().session_dir.display());
    std::io::stdout().flush().unwrap();
    let own = rustix::process::getpid();
    rustix::process::kill_process(own, rustix::process::Signal::KILL).unwrap();
}

fn a_killed_driver_leaves_nothing() {
    die_and_look(&[]);
}

/// Lets a driver die and looks at what it leaves.
fn die_and_look(env: &[(&str, &str)]) {
    let mut command = Command::new("/proc/self/exe");
    command.env(MODE, "driver").envs(env.iter().copied()).arg0("driver");
    if !forks() {
        command.env(SPAWN, "1");
    }
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 5, "{text} {}", String::from_utf8_lossy(&output.stderr));
    for pid in &lines[..4] {
        let pid = pid.parse().unwrap();
        until("the end of a worker", || is_gone(pid).then_some(()));
    }
    // A killed driver cannot tidy up, but the next runtime does. Not always the very next one: a child
    // that the driver was starting keeps its lock until it has come as far as exec, and another
    // process may be tidying up at the same time.
    until("the end of the session folder", || {
        drop(Driver::start(options()));
        (!Path::new(lines[4]).exists()).then_some(())
    });
}

/// A wrapper that stays between driver and worker.
fn wrapper() -> Vec<String> {
    ["sh", "-c", "\"$@\"; exit 7", "wrapper"].map(str::to_owned).to_vec()
}

fn wrapped_workers_join_and_die_with_their_driver() {
    let mut options = options();
    options.worker_wrapper = wrapper();
    let driver = Driver::start(options);
    let (id, life) = driver.create("Plain", Demand::new());
    let (_, pid) = driver.up(id);
    assert!(!children().contains(&pid), "the child is the wrapper");
    drop(life);
    assert_eq!(driver.down(id).cause, DeathCause::OutOfScope);
    assert!(is_gone(pid));
    drop(driver);
    die_and_look(&[("MOBULA_TEST_WRAPPED", "1")]);
}

fn marks_of_others_are_inert() {
    use std::os::fd::OwnedFd;
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::net::UnixStream;

    let run = |mark: String, stdin: OwnedFd| {
        let mut command = Command::new("/proc/self/exe");
        command.env(MODE, "inert").env(bootstrap::MARK, mark).stdin(stdin);
        command.output().unwrap()
    };
    let inode = |stream: &UnixStream| {
        let fd = std::os::fd::AsRawFd::as_raw_fd(stream);
        std::fs::metadata(format!("/proc/self/fd/{fd}")).unwrap().ino()
    };
    let own = std::process::id();
    // The mark names another socket than the standard input.
    let (_ours, theirs) = UnixStream::pair().unwrap();
    let mark = format!("{own}:{}:/tmp", inode(&theirs) + 1);
    assert_eq!(run(mark, theirs.into()).stdout, b"no worker\n");
    // Standard input is no socket at all.
    let null = std::fs::File::open("/dev/null").unwrap();
    assert_eq!(run(format!("{own}:1:/tmp"), null.into()).stdout, b"no worker\n");
    // The socket is right and the parent is not: an orphan, which must not go on.
    let (_ours, theirs) = UnixStream::pair().unwrap();
    let mark = format!("{}:{}:/tmp", own + 1, inode(&theirs));
    let output = run(mark, theirs.into());
    assert_eq!((output.stdout.as_slice(), output.status.code()), (&b""[..], Some(1)));
    // The node hangs up before it has said anything, with its session folder and without.
    let session = std::env::temp_dir().join(format!("mobula-hung-up-test-{own}"));
    std::fs::create_dir_all(session.join("boot")).unwrap();
    for folder in [session.as_path(), Path::new("/nonexistent")] {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mark = format!("{own}:{}:{}", inode(&theirs), folder.display());
        drop(ours);
        let output = run(mark, theirs.into());
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains("the node ended before") && output.stdout.is_empty(), "{text}");
        assert_eq!(output.status.code(), Some(1));
    }
    std::fs::remove_dir_all(&session).unwrap();
}

/// Lets an actor print, and ends in order.
fn let_workers_print() {
    let mut options = options();
    options.log_to_driver = true;
    options.env = vec![(MODE.into(), "worker".into())];
    let driver = Driver::start(options);
    let (id, _life) = driver.create("Print", Demand::new());
    let (_, pid) = driver.up(id);
    println!("{pid}");
    let log = driver.node.info().session_dir.join("logs").join(format!("worker-{}.err", pid));
    until("the last line", || std::fs::read_to_string(&log).ok().filter(|text| text.contains("three")));
    let request = driver.kill(id);
    driver.down(id);
    driver.reply(request);
    driver.node.shutdown();
}

fn what_workers_print_reaches_the_driver() {
    let output = Command::new("/proc/self/exe").env(MODE, "printer").output().unwrap();
    let pid = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    let text = String::from_utf8(output.stderr).unwrap();
    for line in ["one", "two", "open", "three"] {
        let line = format!("(Print pid={pid}) {line}");
        assert!(text.lines().any(|printed| printed == line), "{line}: {text}");
    }
    assert!(output.status.success());
}

fn a_stopped_worker_holds_nobody_up() {
    let driver = Driver::start(options());
    let (id, _life) = driver.create("Plain", Demand::new());
    let (_, pid) = driver.up(id);
    let pid = rustix::process::Pid::from_raw(pid as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    // Every death is told to all processes, the stopped one included.
    for _ in 0..2 {
        let (other, life) = driver.create("Plain", Demand::new());
        driver.up(other);
        drop(life);
        driver.down(other);
    }
    let call = driver.submit("abort", cpus(1.0));
    driver.lost(call);
    let request = driver.kill(id);
    driver.down(id);
    driver.reply(request);
}

fn workers_are_children_with_nothing_of_their_template() {
    use rustix::process::{Pid, getpgid};

    let driver = Driver::start(options());
    let (id, _life) = driver.create("Plain", Demand::new());
    let (_, pid) = driver.up(id);
    assert!(
        children().contains(&pid),
        "how it ends, and that its parent has ended, is for the driver to say and to hear"
    );
    let raw = Pid::from_raw(pid as i32).unwrap();
    assert_eq!(getpgid(Some(raw)).unwrap(), raw, "it has a group of its own");
    assert!(!is_template(pid));
    if !forks() {
        return assert!(!children().iter().any(|&pid| is_template(pid)));
    }
    let template = template();
    let sockets = |pid| {
        let fds = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
        let links = fds.flatten().filter_map(|fd| std::fs::read_link(fd.path()).ok());
        links.map(|link| link.display().to_string()).filter(|link| link.starts_with("socket")).collect::<Vec<_>>()
    };
    until("the template's rest", || {
        let (its, theirs) = (sockets(template), sockets(pid));
        (its.len() == 2 && !its.iter().any(|socket| theirs.contains(socket))).then_some(())
    });
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    assert!(!maps.contains("mobula-pids"), "{maps}");
}

fn a_program_with_threads_is_not_forked() {
    let mut options = options();
    options.env = vec![(MODE.into(), "threads".into())];
    let driver = Driver::start(options);
    let (id, _life) = driver.create("Exit", Demand::new());
    driver.up(id);
    assert_eq!(driver.down(id).cause, DeathCause::Exited);
    until("the template's end", || (!children().into_iter().any(is_template)).then_some(()));
}

fn a_template_killed_at_any_time_costs_nothing() {
    if !forks() {
        return;
    }
    // A node that has lost some before they forked anything starts no more of them.
    for node in 0..8 {
        kill_templates(node * 5..node * 5 + 5);
    }
}

/// Starts a node and kills its templates, each a little later than the one before.
fn kill_templates(rounds: std::ops::Range<u32>) {
    let driver = Driver::start(options());
    let mut first = Some(template());
    for round in rounds {
        // A new one may be on its way.
        let template = first.take().or_else(|| children().into_iter().find(|&pid| is_template(pid)));
        let many: Vec<_> = (0..10).map(|_| driver.create("Plain", Demand::new())).collect();
        let delay = Duration::from_micros(u64::from(round) * 60);
        let start = Instant::now();
        while start.elapsed() < delay {
            std::hint::spin_loop();
        }
        template.into_iter().for_each(|pid| signal(pid, rustix::process::Signal::KILL));
        let mut waiting: Vec<_> = many.iter().map(|(id, _)| *id).collect();
        let mut pids = Vec::new();
        while !waiting.is_empty() {
            driver.expect("ActorUp", |message| match message {
                ToProcess::ActorUp { actor, pid, .. } => {
                    waiting.retain(|id| id != actor);
                    pids.push(*pid);
                    Some(())
                }
                _ => None,
            });
        }
        pids.sort_unstable();
        pids.dedup();
        assert_eq!(pids.len(), 10, "each has a process of its own");
        for (id, life) in many {
            drop(life);
            assert_eq!(driver.down(id).cause, DeathCause::OutOfScope);
        }
        assert!(pids.iter().all(|pid| is_gone(*pid)));
        // What nobody waits for would be left as a zombie, and what nobody knows would live on.
        until("a pool of its usual size", || (workers().len() <= 34).then_some(()));
    }
    until("the end of the last ones", || (workers().len() <= 1).then_some(()));
}

fn a_stopped_template_holds_nobody_up() {
    if !forks() {
        return;
    }
    let driver = Driver::start(options());
    let first = template();
    signal(first, rustix::process::Signal::STOP);
    let lives: Vec<_> = (0..4).map(|_| driver.create("Plain", Demand::new())).collect();
    for _ in &lives {
        driver.expect("ActorUp", |message| matches!(message, ToProcess::ActorUp { .. }).then_some(()));
    }
    until("the end of the stopped one", || is_gone(first).then_some(()));
    assert_ne!(template(), first);
}

fn what_ends_before_it_is_forked_is_told() {
    if !forks() {
        return;
    }
    let mut options = options();
    options.num_gpus = 1.0;
    let driver = Driver::start(options);
    let (first, _life) = driver.create("Plain", Demand::new());
    driver.up(first);
    signal(template(), rustix::process::Signal::STOP);
    let (id, life) = driver.create("Plain", Demand::new().gpus(1.0).unwrap());
    until("its place", || (driver.available("GPU") == 0.0).then_some(()));
    drop(life);
    assert_eq!(driver.down(id).cause, DeathCause::OutOfScope);
    until("its resources", || (driver.available("GPU") == 1.0).then_some(()));
}
