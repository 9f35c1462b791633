//! Actors: how they start, wait, print and end, and who hears of it.

use std::process::Command;

use mobula_scheduler::death::DeathCause;
use mobula_scheduler::ids::ActorId;
use mobula_scheduler::protocol::{Answer, ToNode, ToProcess};
use mobula_scheduler::resources::Demand;

use super::driver::{Driver, options, until};
use super::messages::{actor_spec, cpus};
use super::processes::is_gone;
use super::{MODE, Scenario};

pub(super) const ALL: &[Scenario] = scenarios![
    an_actor_starts_and_its_watchers_hear_of_it,
    a_crash_is_told_with_its_status,
    a_killed_actor_is_gone_when_the_answer_comes,
    the_last_handle_ends_an_actor,
    a_constructor_that_fails_says_why,
    creation_waits_for_resources_in_line,
    what_an_owner_made_ends_with_it,
    early_watchers_are_remembered,
    what_workers_print_reaches_the_driver,
];

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

/// Lets an actor print, and ends in order.
pub(super) fn let_workers_print() {
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
