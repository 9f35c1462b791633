//! Leases: workers lent to callers, what they hold, and what becomes of them when somebody dies.
//!
//! The driver is one caller, a `Borrower` in a worker another one. What workers hear of leases they note in a file
//! of the session, which [`heard`] reads.

use std::path::Path;

use mobula_scheduler::death::{DeathCause, LostTask};
use mobula_scheduler::ids::{ActorId, TaskId};
use mobula_scheduler::node::NodeOptions;
use mobula_scheduler::protocol::{Answer, LeaseSpec, ToNode, ToProcess};
use mobula_scheduler::resources::Demand;
use mobula_store::{ClientKey, ObjectHold};
use rustix::process::Signal;

use super::driver::{Driver, options, until};
use super::messages::{
    ASLEEP, BUSY, HASH, IDLE, Link, NOTES, PARENT, actor_spec, cpus, in_manner, lease_spec, registry, task_spec,
};
use super::processes::{is_gone, signal, workers};
use super::{MODE, Scenario};

pub(super) const ALL: &[Scenario] = scenarios![
    a_lease_holds_its_cpus_until_it_is_returned,
    what_does_not_fit_waits_in_line,
    the_deepest_is_granted_first,
    what_others_wait_for_is_recalled_once,
    what_would_serve_nobody_is_not_recalled,
    an_ask_that_is_taken_back_is_granted_to_nobody,
    what_can_never_be_granted_is_refused_at_once,
    a_lease_without_a_worker_is_lost,
    a_lost_worker_is_told_and_its_cpus_come_back,
    a_sleeping_lease_lends_its_cpus_and_its_worker,
    a_dead_callers_worker_goes_back_to_the_pool,
    a_dead_callers_busy_worker_ends,
    a_dead_callers_task_goes_on_beside_anothers,
    a_dead_callers_task_ends_when_it_is_left_alone,
    two_dead_callers_worker_ends,
    a_dead_callers_asks_are_forgotten,
    what_a_lease_leaves_is_its_callers,
    what_is_no_lease_of_ones_own_stays_as_it_is,
    a_lease_is_asked_for_once,
];

/// Options of a node that knows how leases are served.
fn lending() -> NodeOptions {
    let mut options = options();
    for manner in [BUSY, ASLEEP, PARENT] {
        options.resources.insert(manner.into(), 8.0);
    }
    options
}

/// Asks for a lease.
fn ask(driver: &Driver, demand: Demand) -> TaskId {
    let spec = lease_spec(TaskId::random(), demand);
    let lease = spec.lease;
    driver.link.send(ToNode::AskLease(spec));
    lease
}

fn give_back(driver: &Driver, lease: TaskId) {
    driver.link.send(ToNode::ReturnLease(lease));
}

/// Waits for the grant of a lease, which must be the next thing to hear.
fn granted(driver: &Driver, lease: TaskId) -> ClientKey {
    driver.expect("LeaseGranted", |message| match message {
        ToProcess::LeaseGranted { lease: id, client } if *id == lease => Some(*client),
        _ => None,
    })
}

fn borrow(driver: &Driver, demand: Demand) -> (TaskId, ClientKey) {
    let lease = ask(driver, demand);
    (lease, granted(driver, lease))
}

fn lost(driver: &Driver, lease: TaskId) -> LostTask {
    driver.expect("LeaseLost", |message| match message {
        ToProcess::LeaseLost { lease: id, reason } if *id == lease => Some(reason.clone()),
        _ => None,
    })
}

/// Waits until one of `leases` is recalled, and says which.
fn recalled(driver: &Driver, leases: &[TaskId]) -> TaskId {
    driver.expect("RecallLease", |message| match message {
        ToProcess::RecallLease(lease) if leases.contains(lease) => Some(*lease),
        _ => None,
    })
}

/// Waits until the node has handled and placed everything so far. Fails if it has anything to say of it.
fn nothing_more(driver: &Driver) {
    // The answer to the second question is given after what came with the first one was placed.
    for request in 0..2 {
        driver.link.send(ToNode::Resources { request });
        assert!(matches!(driver.reply(request), Answer::Resources(_)));
    }
}

/// Creates a caller that asks for leases served in these manners.
fn borrower(driver: &Driver, manners: &[&str]) -> (ActorId, ObjectHold, Vec<TaskId>) {
    let leases: Vec<_> = manners.iter().map(|_| TaskId::random()).collect();
    let (id, life) = borrower_of(driver, manners, &leases);
    (id, life, leases)
}

/// Creates a caller that asks for these leases.
fn borrower_of(driver: &Driver, manners: &[&str], leases: &[TaskId]) -> (ActorId, ObjectHold) {
    let lines: Vec<_> = manners.iter().zip(leases).map(|(manner, lease)| format!("{manner} {lease}")).collect();
    let (id, life) = driver.life();
    let mut spec = actor_spec(id, "Borrower", Demand::new());
    spec.args.bytes = lines.join("\n").into_bytes();
    driver.link.send(ToNode::CreateActor(spec));
    driver.up(id);
    (id, life)
}

/// Kills an actor, and waits until it is gone.
fn kill(driver: &Driver, actor: ActorId) {
    let request = driver.kill(actor);
    driver.down(actor);
    driver.reply(request);
}

/// Returns the pids of the workers that have noted `what` of a lease so far.
fn heard(driver: &Driver, what: &str, lease: TaskId) -> Vec<u32> {
    let notes = driver.node.info().session_dir.join(NOTES);
    let text = if Path::new(&notes).exists() { std::fs::read_to_string(notes).unwrap() } else { String::new() };
    let start = format!("{what} {lease} ");
    text.lines().filter_map(|line| line.strip_prefix(&start)?.parse().ok()).collect()
}

/// Waits until a worker has heard `what` of a lease, and returns its pid.
fn until_heard(driver: &Driver, what: &str, lease: TaskId) -> u32 {
    until(&format!("\"{what}\" of a lease"), || heard(driver, what, lease).first().copied())
}

fn until_free(driver: &Driver, cpus: f64) {
    until("the CPUs", || (driver.available("CPU") == cpus).then_some(()));
}

fn a_lease_holds_its_cpus_until_it_is_returned() {
    let driver = Driver::start(lending());
    let (lease, client) = borrow(&driver, cpus(1.5));
    assert_ne!(client, driver.client);
    assert_eq!(driver.available("CPU"), 0.5);
    let pid = until_heard(&driver, "run", lease);
    assert_eq!(heard(&driver, "end", lease), [0_u32; 0]);
    give_back(&driver, lease);
    nothing_more(&driver);
    assert_eq!(driver.available("CPU"), 2.0, "it is free at once, whatever its worker does");
    assert_eq!(until_heard(&driver, "end", lease), pid);
    // The worker that was busy last comes first.
    let (again, other) = borrow(&driver, cpus(1.0));
    assert_eq!((until_heard(&driver, "run", again), other), (pid, client));
}

fn what_does_not_fit_waits_in_line() {
    let driver = Driver::start(lending());
    let [(first, one), (second, two)] = [borrow(&driver, cpus(1.0)), borrow(&driver, cpus(1.0))];
    assert_ne!(one, two);
    let [third, fourth] = [ask(&driver, cpus(1.0)), ask(&driver, cpus(1.0))];
    // It is for the caller to give one back if its own tasks of the same kind need the other more.
    nothing_more(&driver);
    give_back(&driver, second);
    assert_eq!(granted(&driver, third), two);
    nothing_more(&driver);
    give_back(&driver, first);
    assert_eq!(granted(&driver, fourth), one);
    assert_eq!(driver.available("CPU"), 0.0);
}

fn the_deepest_is_granted_first() {
    let driver = Driver::start(lending());
    let (lease, _) = borrow(&driver, cpus(2.0));
    let ids: Vec<_> = [0, 2, 1, 2]
        .into_iter()
        .map(|depth| {
            let spec = LeaseSpec { depth, ..lease_spec(TaskId::random(), cpus(2.0)) };
            let id = spec.lease;
            driver.link.send(ToNode::AskLease(spec));
            id
        })
        .collect();
    let mut last = lease;
    for next in [ids[1], ids[3], ids[2], ids[0]] {
        give_back(&driver, last);
        granted(&driver, next);
        last = next;
    }
}

fn what_others_wait_for_is_recalled_once() {
    let driver = Driver::start(lending());
    let [(first, _), (second, _)] = [borrow(&driver, cpus(1.0)), borrow(&driver, cpus(1.0))];
    let both = [first, second];
    let (actor, _life) = driver.create("Plain", cpus(1.0));
    let one = recalled(&driver, &both);
    let other = recalled(&driver, &both);
    assert_ne!(one, other, "either would do, so both are asked for");
    // More who wait change nothing, and neither does time.
    let (later, _later_life) = driver.create("Plain", cpus(1.0));
    nothing_more(&driver);
    give_back(&driver, other);
    driver.up(actor);
    nothing_more(&driver);
    give_back(&driver, one);
    driver.up(later);
    kill(&driver, actor);
    kill(&driver, later);

    // A caller of tasks with another demand is served in the same way, be it the same one.
    let (small, _) = borrow(&driver, cpus(1.0));
    let large = ask(&driver, cpus(2.0));
    assert_eq!(recalled(&driver, &[small]), small);
    give_back(&driver, small);
    granted(&driver, large);
    // So is another caller of tasks with the same demand.
    let (_borrower, _life, leases) = borrower(&driver, &[IDLE]);
    assert_eq!(recalled(&driver, &[large]), large);
    give_back(&driver, large);
    until_heard(&driver, "granted", leases[0]);
    let waits = ask(&driver, cpus(2.0));
    until_heard(&driver, "recalled", leases[0]);
    nothing_more(&driver);
    assert_eq!(heard(&driver, "run", waits), [0_u32; 0]);
}

fn what_would_serve_nobody_is_not_recalled() {
    let mut options = lending();
    options.resources.insert("token".into(), 1.0);
    let driver = Driver::start(options);
    let token = Demand::new().custom("token", 1.0).unwrap();
    let (holder, _holder_life) = driver.create("Plain", token.clone());
    driver.up(holder);
    let (lease, _) = borrow(&driver, cpus(1.0));
    // What it lacks, the lease does not hold.
    let (actor, _life) = driver.create("Plain", token.cpus(2.0).unwrap());
    nothing_more(&driver);
    kill(&driver, holder);
    assert_eq!(recalled(&driver, &[lease]), lease, "now it is the CPU that is missing");
    give_back(&driver, lease);
    driver.up(actor);
}

fn an_ask_that_is_taken_back_is_granted_to_nobody() {
    let driver = Driver::start(lending());
    let (lease, _) = borrow(&driver, cpus(2.0));
    let [gone, other] = [ask(&driver, cpus(2.0)), ask(&driver, cpus(2.0))];
    nothing_more(&driver);
    give_back(&driver, gone);
    give_back(&driver, lease);
    granted(&driver, other);
    give_back(&driver, other);
    nothing_more(&driver);
    assert_eq!(driver.available("CPU"), 2.0);
    assert_eq!(heard(&driver, "run", gone), [0_u32; 0]);
}

fn what_can_never_be_granted_is_refused_at_once() {
    let driver = Driver::start(lending());
    let (_lease, _) = borrow(&driver, cpus(2.0));
    let large = ask(&driver, cpus(64.0));
    assert!(matches!(lost(&driver, large), LostTask::Infeasible(message) if message.contains("64 CPU")));
    let strange = ask(&driver, Demand::new().custom("unicorn", 1.0).unwrap());
    assert!(matches!(lost(&driver, strange), LostTask::Infeasible(message) if message.contains("unicorn")));
    give_back(&driver, large);
    nothing_more(&driver);
}

fn a_lease_without_a_worker_is_lost() {
    // Workers that do not start.
    let mut options = lending();
    options.env = vec![(MODE.into(), "no_init".into())];
    let driver = Driver::start(options);
    let lease = ask(&driver, cpus(1.0));
    assert!(matches!(lost(&driver, lease), LostTask::NoWorker(message) if message.contains("before it joined")));
    assert_eq!(driver.available("CPU"), 2.0);
    drop(driver);

    // Workers that do not know the function.
    let mut options = lending();
    options.worker_exe = Some(std::env::current_exe().unwrap());
    options.env = vec![(MODE.into(), "part".into())];
    let driver = Driver::start(options);
    driver.node.worker_registry().unwrap();
    let lease = ask(&driver, cpus(1.0));
    assert!(matches!(lost(&driver, lease), LostTask::NoWorker(message) if message.contains("function")));
    assert_eq!(driver.available("CPU"), 2.0);
}

fn a_lost_worker_is_told_and_its_cpus_come_back() {
    let driver = Driver::start(lending());
    let (lease, client) = borrow(&driver, cpus(2.0));
    let waits = ask(&driver, cpus(2.0));
    let pid = until_heard(&driver, "run", lease);
    signal(pid, Signal::KILL);
    let mut gone = false;
    let reason = driver.expect("LeaseLost", |message| match message {
        ToProcess::ProcessGone(key) => {
            gone |= *key == client;
            None
        }
        ToProcess::LeaseLost { lease: id, reason } if *id == lease => Some(reason.clone()),
        _ => None,
    });
    match reason {
        LostTask::WorkerCrashed { pid: id, status } => assert_eq!((id, status.as_str()), (pid, "signal 9 (SIGKILL)")),
        other => panic!("{other:?}"),
    }
    assert!(gone && is_gone(pid), "the store is reaped before anybody hears of the death");
    assert_ne!(granted(&driver, waits), client);
    // One that the caller gives back before it has heard.
    give_back(&driver, lease);
    nothing_more(&driver);
    assert_eq!(driver.available("CPU"), 0.0);
    give_back(&driver, waits);
    nothing_more(&driver);
    assert_eq!(driver.available("CPU"), 2.0);
}

fn a_sleeping_lease_lends_its_cpus_and_its_worker() {
    let driver = Driver::start(one_worker());
    let (asleep, client) = borrow(&driver, in_manner(ASLEEP));
    until_free(&driver, 1.0);
    let (nested, other) = borrow(&driver, cpus(1.0));
    assert_eq!(other, client, "there is no other worker");
    let pid = until_heard(&driver, "nested", nested);
    assert_eq!(until_heard(&driver, "run", asleep), pid);
    // One that sleeps has nothing to give to those who want CPUs.
    let (actor, _life) = driver.create("Plain", cpus(1.0));
    assert_eq!(recalled(&driver, &[asleep, nested]), nested);
    nothing_more(&driver);
    give_back(&driver, nested);
    driver.up(actor);
    give_back(&driver, asleep);
    nothing_more(&driver);
    assert_eq!(driver.available("CPU"), 0.0, "what was lent does not come back twice");
    kill(&driver, actor);
    let (after, same) = borrow(&driver, cpus(1.0));
    assert_eq!((same, until_heard(&driver, "run", after)), (client, pid));
}

fn a_dead_callers_worker_goes_back_to_the_pool() {
    let driver = Driver::start(lending());
    let (caller, _life, leases) = borrower(&driver, &[IDLE, IDLE]);
    let pids: Vec<_> = leases
        .iter()
        .map(|&lease| {
            until_heard(&driver, "granted", lease);
            until_heard(&driver, "run", lease)
        })
        .collect();
    assert_eq!(driver.available("CPU"), 0.0);
    kill(&driver, caller);
    until_free(&driver, 2.0);
    for (lease, pid) in leases.into_iter().zip(pids) {
        assert_eq!(until_heard(&driver, "end", lease), pid);
        assert!(!is_gone(pid));
    }
    let count = workers().len();
    let lent: Vec<_> = (0..2).map(|_| borrow(&driver, cpus(1.0))).collect();
    assert_eq!(workers().len(), count, "no worker had to be started for {lent:?}");
}

fn a_dead_callers_busy_worker_ends() {
    let driver = Driver::start(lending());
    let (caller, _life, leases) = borrower(&driver, &[BUSY, IDLE]);
    let [busy, idle] = [0, 1].map(|number| until_heard(&driver, "run", leases[number]));
    kill(&driver, caller);
    until_free(&driver, 2.0);
    until("the end of the busy worker", || is_gone(busy).then_some(()));
    assert!(!is_gone(idle));
    assert_eq!(heard(&driver, "end", leases[0]), [busy]);
}

/// Has two callers' leases in one worker: the driver's, which sleeps, and behind it that of a caller that is dead by now,
/// whose task runs. Returns both with the worker's pid.
fn beside_a_dead_callers(driver: &Driver) -> (TaskId, TaskId, u32) {
    let (asleep, _) = borrow(driver, in_manner(ASLEEP));
    let (caller, _life, leases) = borrower(driver, &[BUSY]);
    let pid = until_heard(driver, "nested", leases[0]);
    kill(driver, caller);
    assert_eq!(until_heard(driver, "end", leases[0]), pid);
    // The worker's answer has come by now, or comes before its next one.
    nothing_more(driver);
    assert!(!is_gone(pid), "a task of the driver runs there, too");
    assert_eq!(driver.available("CPU"), 0.0);
    (asleep, leases[0], pid)
}

fn one_worker() -> NodeOptions {
    let mut options = lending();
    options.num_cpus = 1.0;
    options.max_processes = Some(1);
    options
}

fn a_dead_callers_task_goes_on_beside_anothers() {
    let driver = Driver::start(one_worker());
    let (asleep, orphan, pid) = beside_a_dead_callers(&driver);
    // What sleeps may wait for somebody who needs the CPU.
    let waits = ask(&driver, cpus(1.0));
    std::fs::write(driver.report_path(&orphan.to_string()), "").unwrap();
    granted(&driver, waits);
    assert_eq!(until_heard(&driver, "nested", waits), pid);
    give_back(&driver, waits);
    give_back(&driver, asleep);
    nothing_more(&driver);
    assert_eq!(driver.available("CPU"), 1.0);
    let (next, _) = borrow(&driver, cpus(1.0));
    assert_eq!(until_heard(&driver, "run", next), pid);
}

fn a_dead_callers_task_ends_when_it_is_left_alone() {
    let driver = Driver::start(one_worker());
    let (asleep, _orphan, pid) = beside_a_dead_callers(&driver);
    give_back(&driver, asleep);
    until("the end of the worker", || is_gone(pid).then_some(()));
    until_free(&driver, 1.0);
    let (next, _) = borrow(&driver, cpus(1.0));
    assert_ne!(until_heard(&driver, "run", next), pid);
}

fn two_dead_callers_worker_ends() {
    let driver = Driver::start(one_worker());
    let (first, _life, leases) = borrower(&driver, &["asleep+busy"]);
    let pid = until_heard(&driver, "run", leases[0]);
    until_free(&driver, 1.0);
    let (second, _other_life, nested) = borrower(&driver, &[BUSY]);
    assert_eq!(until_heard(&driver, "nested", nested[0]), pid);
    kill(&driver, first);
    assert_eq!(until_heard(&driver, "end", leases[0]), pid);
    nothing_more(&driver);
    assert!(!is_gone(pid), "a task of the other one runs there, too");
    kill(&driver, second);
    until("the end of the worker", || is_gone(pid).then_some(()));
    until_free(&driver, 1.0);
}

fn a_dead_callers_asks_are_forgotten() {
    let driver = Driver::start(lending());
    let (lease, _) = borrow(&driver, cpus(1.5));
    let (caller, _life, leases) = borrower(&driver, &[IDLE]);
    assert_eq!(recalled(&driver, &[lease]), lease, "it waits");
    kill(&driver, caller);
    give_back(&driver, lease);
    nothing_more(&driver);
    assert_eq!(driver.available("CPU"), 2.0);
    let (_again, _) = borrow(&driver, cpus(2.0));
    assert_eq!(heard(&driver, "run", leases[0]), [0_u32; 0]);
}

fn what_a_lease_leaves_is_its_callers() {
    let driver = Driver::start(lending());
    let (child, _life) = driver.life();
    let lease = TaskId::from_object(child.object());
    driver.link.send(ToNode::AskLease(lease_spec(lease, in_manner(PARENT))));
    let client = granted(&driver, lease);
    let pid = until_heard(&driver, "made", lease);
    driver.link.send(ToNode::WatchActor(child));
    driver.up(child);
    give_back(&driver, lease);
    nothing_more(&driver);
    signal(pid, Signal::KILL);
    driver.expect("ProcessGone", |message| {
        matches!(message, ToProcess::ProcessGone(key) if *key == client).then_some(())
    });
    nothing_more(&driver);
    kill(&driver, child);

    // A dead caller has no use for it.
    let (child, _life) = driver.life();
    let lease = TaskId::from_object(child.object());
    let (caller, _caller_life) = borrower_of(&driver, &[PARENT], &[lease]);
    let pid = until_heard(&driver, "made", lease);
    driver.link.send(ToNode::WatchActor(child));
    driver.up(child);
    driver.kill(caller);
    let cause = until("the end of the child", || match driver.next() {
        ToProcess::ActorDown(death) if death.actor == child => Some(death.cause),
        _ => None,
    });
    assert_eq!(cause, DeathCause::OwnerDied);
    assert!(!is_gone(pid));
}

fn what_is_no_lease_of_ones_own_stays_as_it_is() {
    let driver = Driver::start(lending());
    let other = driver.node.connect_driver(HASH, registry()).unwrap();
    let other = Link { process: other.process, node: other.node };
    let (lease, _) = borrow(&driver, cpus(1.0));
    let pid = until_heard(&driver, "run", lease);
    // Somebody else's, one that nobody has, and what only the worker may say.
    other.send(ToNode::ReturnLease(lease));
    for link in [&driver.link, &other] {
        link.send(ToNode::ReturnLease(TaskId::random()));
        for over in [true, false] {
            link.send(ToNode::LeaseEnded { lease, over });
        }
        link.send(ToNode::Unblocked(lease));
        link.send(ToNode::Blocked(lease));
        link.send(ToNode::TaskFinished(lease));
        link.send(ToNode::Runs { lease, function_name: "another".into() });
    }
    nothing_more(&driver);
    assert_eq!(driver.available("CPU"), 1.0);
    // A task that is no lease.
    let task = task_spec("forever", cpus(1.0), driver.client, 0);
    let id = task.task;
    driver.link.send(ToNode::SubmitTask(task));
    until_free(&driver, 0.0);
    give_back(&driver, id);
    nothing_more(&driver);
    assert_eq!(driver.available("CPU"), 0.0);
    give_back(&driver, lease);
    nothing_more(&driver);
    assert_eq!(driver.available("CPU"), 1.0);
    assert_eq!(until_heard(&driver, "end", lease), pid);
    assert!(!is_gone(pid));
}

fn a_lease_is_asked_for_once() {
    let driver = Driver::start(lending());
    let other = driver.node.connect_driver(HASH, registry()).unwrap();
    let other = Link { process: other.process, node: other.node };
    let (lease, _) = borrow(&driver, cpus(1.0));
    let mut task = task_spec("ok", cpus(0.5), driver.client, 0);
    task.task = lease;
    for link in [&driver.link, &other] {
        link.send(ToNode::AskLease(lease_spec(lease, cpus(0.5))));
        link.send(ToNode::SubmitTask(task.clone()));
    }
    nothing_more(&driver);
    assert_eq!(driver.available("CPU"), 1.0);
    give_back(&driver, lease);
    nothing_more(&driver);
    assert_eq!(driver.available("CPU"), 2.0);
    // The worker has heard all there was when it has heard of the end.
    until_heard(&driver, "end", lease);
    assert_eq!(heard(&driver, "run", lease).len(), 1);
}
