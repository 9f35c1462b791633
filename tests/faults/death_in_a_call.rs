//! Deaths in the middle of calls: how soon it is known, what goes on, what comes back.

use std::time::Instant;

use mobula::DeathCause;
use mobula::prelude::*;

use super::{Victim, eventually, is_alive, start};

/// Waits until a call of the victim runs.
fn busy(victim: &ActorHandle<Victim>) -> (u32, ObjectRef<i64>) {
    let pid = mobula::get(&victim.pid().remote()).unwrap();
    (pid, victim.hang().remote())
}

fn kill(pid: u32, name: &str) {
    let sent = std::process::Command::new("kill").args([format!("-{name}"), pid.to_string()]).status();
    assert!(sent.unwrap().success());
}

fn status(object: &ObjectRef<i64>) -> String {
    let error = mobula::get(object).unwrap_err();
    assert!(error.is_actor_died(), "{error:?}");
    match &error.actor_death().unwrap().cause {
        DeathCause::Crashed { status } => status.clone(),
        other => panic!("died of {other:?}"),
    }
}

/// Shown with `--nocapture`; a loaded machine may be slow, so nothing is asserted.
#[mobula::test]
fn the_time_from_a_death_to_its_error() {
    let _runtime = start();
    let mut times = Vec::new();
    for _ in 0..10 {
        let victim = Victim::remote().unwrap();
        let (pid, call) = busy(&victim);
        let waiting = std::thread::spawn(move || {
            let error = mobula::get(&call).unwrap_err();
            (Instant::now(), error)
        });
        let killed = Instant::now();
        kill(pid, "KILL");
        let (heard, error) = waiting.join().unwrap();
        assert!(error.to_string().contains("SIGKILL"), "{error}");
        times.push(heard.duration_since(killed));
    }
    times.sort();
    eprintln!("from SIGKILL to the caller's error: {:?} median, {:?} longest of {}", times[5], times[9], times.len());
}

#[mobula::test]
fn every_way_to_die_is_told_with_its_status() {
    let _runtime = start();
    for name in ["SEGV", "KILL", "ABRT", "BUS", "TERM"] {
        let victim = Victim::remote().unwrap();
        let call = victim.signal(name.to_owned()).remote();
        let said = status(&call);
        assert!(said.contains(&format!("SIG{name}")), "{said}");
    }
    let victim = Victim::remote().unwrap();
    assert!(status(&victim.abort().remote()).contains("SIGABRT"));
    let victim = Victim::remote().unwrap();
    assert_eq!(status(&victim.exit(0).remote()), "exit status 0");
    let victim = Victim::remote().unwrap();
    assert!(status(&victim.overflow(0).remote()).contains("SIG"), "a stack that overflows");
}

#[mobula::test]
fn the_death_names_class_actor_and_pid() {
    let _runtime = start();
    let victim = Victim::remote().unwrap();
    let (pid, call) = busy(&victim);
    kill(pid, "KILL");
    let error = mobula::get(&call).unwrap_err();
    let death = error.actor_death().unwrap();
    assert_eq!((death.actor, death.class.as_str(), death.pid), (ActorHandle::id(&victim), "Victim", pid));
    let text = error.to_string();
    assert!(text.contains("Victim") && text.contains(&ActorHandle::id(&victim).to_string()), "{text}");
    assert!(error.task_failure().is_none() && !error.is_worker_crashed());
}

#[mobula::test]
fn everything_else_goes_on() {
    let _runtime = start();
    let (first, second, third) = (Victim::remote().unwrap(), Victim::remote().unwrap(), Victim::remote().unwrap());
    let (pid, dying) = busy(&first);
    let (other_pid, other) = busy(&second);
    let alive = mobula::get(&third.pid().remote()).unwrap();
    let tasks: Vec<_> = (0..20).map(double::remote).collect();
    kill(pid, "KILL");
    assert!(mobula::get(&dying).unwrap_err().is_actor_died());
    assert_eq!(mobula::get_all(&tasks).unwrap(), (0..20).map(|x| 2 * x).collect::<Vec<_>>());
    assert_eq!(mobula::get(&third.pid().remote()).unwrap(), alive);
    assert!(is_alive(other_pid));
    assert!(mobula::get_timeout(&other, std::time::Duration::ZERO).unwrap_err().is_timeout());
    let fresh = Victim::remote().unwrap();
    assert_ne!(mobula::get(&fresh.pid().remote()).unwrap(), pid);
    mobula::store::current().unwrap().check().unwrap();
}

#[mobula::test]
fn resources_of_the_dead_come_back() {
    let _runtime = start();
    for _ in 0..5 {
        let victim = Victim::options().num_cpus(2.0).remote().unwrap();
        let (pid, call) = busy(&victim);
        assert_eq!(mobula::available_resources()["CPU"], 0.0);
        kill(pid, "KILL");
        assert!(mobula::get(&call).unwrap_err().is_actor_died());
        eventually("its CPUs come back", || mobula::available_resources()["CPU"] == 2.0);
    }
}

#[mobula::task]
fn double(x: i64) -> i64 {
    2 * x
}

#[mobula::task(max_retries = 0)]
fn pid_then_hang(path: String) -> i64 {
    std::fs::write(&path, std::process::id().to_string()).unwrap();
    loop {
        std::thread::park();
    }
}

#[mobula::test]
fn a_task_that_is_killed_in_the_middle_is_a_crash_with_its_status() {
    let _runtime = start();
    let path = std::env::temp_dir().join(format!("test-of-mobula-pid-{}", std::process::id()));
    let call = pid_then_hang::remote(path.to_str().unwrap());
    let mut pid = None;
    eventually("the task runs", || {
        pid = std::fs::read_to_string(&path).ok().and_then(|text| text.parse().ok());
        pid.is_some()
    });
    std::fs::remove_file(&path).unwrap();
    let killed = Instant::now();
    kill(pid.unwrap(), "KILL");
    let error = mobula::get(&call).unwrap_err();
    eprintln!("from SIGKILL to the error of a task: {:?}", killed.elapsed());
    assert!(error.is_worker_crashed() && !error.is_actor_died(), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("SIGKILL") && text.contains("pid_then_hang"), "{text}");
    assert!(text.contains(&pid.unwrap().to_string()), "{text}");
    assert_eq!(mobula::get(&double::remote(4)).unwrap(), 8);
}

/// Dies while another one waits for it inside a call.
#[mobula::test]
fn a_caller_inside_an_actor_hears_of_it_too() {
    let _runtime = start();
    let (victim, relay) = (Victim::remote().unwrap(), Relay::remote().unwrap());
    let pid = mobula::get(&victim.pid().remote()).unwrap();
    let nested = relay.ask(&victim).remote();
    kill(pid, "KILL");
    let error = mobula::get(&nested).unwrap_err();
    assert!(error.is_task_failed(), "{error:?}");
    assert!(error.to_string().contains("Victim") && error.to_string().contains("SIGKILL"), "{error}");
    assert_eq!(mobula::get(&relay.ping().remote()).unwrap(), 1);
}

struct Relay;

#[mobula::actor]
impl Relay {
    pub fn new() -> Self {
        Relay
    }

    pub fn ask(&self, victim: ActorHandle<Victim>) -> Result<i64, mobula::Error> {
        mobula::get(&victim.hang().remote())
    }

    pub fn ping(&self) -> i64 {
        1
    }
}

#[mobula::test]
fn children_end_with_the_actor_that_made_them() {
    let _runtime = start();
    let parent = Parent::remote().unwrap();
    let (pid, child) = mobula::get(&parent.family().remote()).unwrap();
    let child_pid = mobula::get(&child.pid().remote()).unwrap();
    kill(pid, "KILL");
    eventually("the child ends", || !is_alive(child_pid));
    let error = mobula::get(&child.pid().remote()).unwrap_err();
    assert!(matches!(error.actor_death().unwrap().cause, DeathCause::OwnerDied), "{error:?}");
}

struct Parent;

#[mobula::actor]
impl Parent {
    pub fn new() -> Self {
        Parent
    }

    pub fn family(&self) -> (u32, ActorHandle<Victim>) {
        (std::process::id(), Victim::remote().unwrap())
    }
}

#[mobula::test]
fn a_constructor_that_dies_is_told() {
    let _runtime = start();
    for (how, words) in [("exit", "exit status 7"), ("abort", "SIGABRT")] {
        let actor = Stillborn::remote(how).unwrap();
        let error = mobula::get(&actor.ping().remote()).unwrap_err();
        assert!(error.is_actor_died(), "{error:?}");
        assert!(error.to_string().contains(words) && error.to_string().contains("Stillborn"), "{error}");
    }
}

struct Stillborn;

#[mobula::actor]
impl Stillborn {
    pub fn new(how: String) -> Self {
        match how.as_str() {
            "exit" => std::process::exit(7),
            _ => std::process::abort(),
        }
    }

    pub fn ping(&self) -> i64 {
        1
    }
}

/// Creates an actor whose argument is not there, and gives the handle away.
struct Promiser;

#[mobula::actor]
impl Promiser {
    pub fn new() -> Self {
        Promiser
    }

    pub fn promise(&self) -> (u32, ActorHandle<Heir>) {
        (std::process::id(), Heir::remote(never::remote()).unwrap())
    }
}

struct Heir;

#[mobula::actor]
impl Heir {
    pub fn new(_argument: i64) -> Self {
        Heir
    }

    pub fn ping(&self) -> i64 {
        1
    }
}

#[mobula::task]
fn never() -> i64 {
    loop {
        std::thread::park();
    }
}

#[mobula::test]
fn an_actor_whose_creator_dies_before_its_arguments_are_there_is_dead() {
    let _runtime = start();
    let promiser = Promiser::remote().unwrap();
    let (pid, heir) = mobula::get(&promiser.promise().remote()).unwrap();
    let call = heir.ping().remote();
    kill(pid, "KILL");
    for object in [call, heir.ping().remote()] {
        let error = mobula::get_timeout(&object, std::time::Duration::from_secs(40)).unwrap_err();
        assert!(error.is_actor_died(), "{error:?}");
    }
}

#[mobula::test]
fn what_was_answered_before_a_kill_is_all_that_was_done() {
    let _runtime = start();
    for round in 0..20 {
        let victim = Victim::remote().unwrap();
        let pid = mobula::get(&victim.pid().remote()).unwrap();
        let calls: Vec<_> = (0..2_000).map(|_| victim.pid().remote()).collect();
        mobula::get(&calls[round * 50]).unwrap();
        kill(pid, "KILL");
        // The verdict may come while the process still ends: it counts once for all calls.
        let died = |call| match mobula::get(call) {
            Ok(answer) => {
                assert_eq!(answer, pid);
                false
            }
            Err(error) => {
                assert!(error.is_actor_died(), "{error}");
                true
            }
        };
        let outcomes: Vec<_> = calls.iter().map(died).collect();
        assert!(outcomes.is_sorted(), "a call was answered after one that was not");
        assert!(victim.pid().try_remote().is_err() || mobula::get(&victim.pid().remote()).is_err());
        eventually("its process is gone", || !is_alive(pid));
    }
}
