//! Several drivers on an embedded node at once.

use std::process::Command;

use mobula::prelude::*;

use super::counter::Counter;
use super::support::{Scratch, eventually, get};
use super::{Program, address, node};

#[mobula::test]
fn each_driver_has_workers_of_its_own_executable_environment_and_folder() {
    let runtime = node(2.0);
    let folder = Scratch::new("folder");
    std::fs::create_dir(folder.path()).unwrap();
    let mut command = Program::command(&address(&runtime), "second");
    command.args(["one", "two"]).env("DRIVER_SECRET", "hidden").current_dir(folder.path());
    let mut second = Program::run(&mut command);
    second.say("create mine");
    let exe = std::fs::read_link(format!("/proc/{}/exe", second.child.id())).unwrap();
    let expected = format!("hidden|{}|{}|one,two", folder.text(), exe.display());
    assert_eq!(second.say("where mine"), expected);
    // A task's worker is one of its own, too, and a class that this program has not is no obstacle.
    let pids = second.pids("tasks 20");
    for pid in pids {
        assert_eq!(std::fs::read_link(format!("/proc/{pid}/exe")).unwrap(), exe);
    }
    second.say("special").parse::<u32>().unwrap();

    let ours = Counter::remote(0).unwrap();
    assert_eq!(get(&ours.var("DRIVER_SECRET").remote()).unwrap(), None);
    assert_eq!(get(&ours.exe().remote()).unwrap(), std::env::current_exe().unwrap().display().to_string());
    second.end();
    assert_eq!(get(&ours.add(1).remote()).unwrap(), 1);
}

#[mobula::test]
fn names_have_namespaces_and_actors_are_called_across_drivers() {
    let runtime = node(2.0);
    let mut second = Program::start(&address(&runtime), "second");
    let mut third = Program::start(&address(&runtime), "third");
    let ours = Counter::options().name("same").remote(100).unwrap();
    let pids = [second.say("create same"), third.say("create same")];
    assert_ne!(pids[0], pids[1]);
    assert_eq!(second.say("names"), "first/same second/same third/same");
    assert_eq!(second.say("add first same 1"), "101");
    assert_eq!(second.say("add third same 2"), "2");
    assert_eq!(third.say("add third same 3"), "5");
    assert_eq!(third.say("add second same 7"), "7");
    let theirs: ActorHandle<Counter> = mobula::get_actor_in("second", "same").unwrap();
    assert_eq!(get(&theirs.add(1).remote()).unwrap(), 8);
    assert_eq!(get(&theirs.namespace().remote()).unwrap(), "second");
    assert_eq!(get(&ours.add(0).remote()).unwrap(), 101);
    let error = mobula::get_actor::<Counter>("other").unwrap_err();
    assert!(error.is_not_found(), "{error}");
    second.end();
    let error = get(&theirs.add(1).remote()).unwrap_err();
    assert!(error.is_actor_died(), "{error}");
    eventually("its names are free", || third.say("names") == "first/same third/same");
    third.end();
}

#[mobula::test]
fn drivers_share_the_node_s_resources_and_neither_starves() {
    let runtime = node(2.0);
    let mut drivers: Vec<_> =
        (0..3).map(|number| Program::start(&address(&runtime), &format!("driver-{number}"))).collect();
    for driver in &mut drivers {
        driver.tell("tasks 2000");
    }
    let ours: Vec<_> = (0..2000).map(|_| super::counter::worker_pid::remote()).collect();
    mobula::get_all(&ours).unwrap();
    for driver in &mut drivers {
        let pids = driver.line();
        // Twice the CPUs, but at least four.
        assert!((1..=4).contains(&pids.split(' ').count()), "{pids}");
    }
    // A lease is kept for some milliseconds.
    eventually("all of it is free again", || drivers[0].say("resources") == "{\"CPU\": 2.0}");
    drivers.into_iter().for_each(|driver| drop(driver.end()));
}

#[mobula::test]
fn an_address_where_no_node_is_says_so() {
    let nowhere = Scratch::new("nowhere");
    let error = mobula::init(Config::new().address(nowhere.text())).unwrap_err();
    assert!(error.is_not_found() && error.to_string().contains(&nowhere.text()), "{error}");
    let error = mobula::init(Config::new().address("nonsense")).unwrap_err();
    assert!(error.is_invalid_argument() && error.to_string().contains("nonsense"), "{error}");
    let empty = Scratch::new("empty");
    std::fs::create_dir(empty.path()).unwrap();
    let mut command: Command = Program::command("auto", "");
    command.env("TMPDIR", empty.path());
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("mobula start"), "{text}");
}

#[mobula::test]
fn a_driver_attaches_leaves_and_attaches_again() {
    let runtime = node(2.0);
    let mut second = Program::start(&address(&runtime), "second");
    let before = super::support::descriptors();
    for round in 0..5 {
        let pid = second.pids("create mine")[0];
        assert_eq!(second.say("leave"), "left");
        // Gone when it has left, not some time afterwards.
        assert!(!super::is_alive(pid), "round {round}");
        let error = second.say("find mine");
        assert!(error.starts_with("error") && error.contains("init"), "{error}");
        assert_eq!(second.say("attach"), "attached");
    }
    second.end();
    eventually("the node has no more descriptors than before", || super::support::descriptors() <= before);
}
