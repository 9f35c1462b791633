//! The node ends under its drivers.

use std::path::Path;

use mobula::prelude::*;

use super::counter::Counter;
use super::support::{eventually, get};
use super::{Program, all_gone};

/// Has the node of another program end, and looks at what a driver of it sees.
fn end(how: impl FnOnce(&mut Program)) {
    let mut host = Program::with_node();
    let session = host.say("session");
    let runtime = mobula::init(Config::new().address(&*session)).unwrap();
    assert_eq!((runtime.info().pid, runtime.info().session_dir.as_path()), (host.child.id(), Path::new(&session)));
    let ours = Counter::options().name("ours").remote(0).unwrap();
    let mut pids = vec![get(&ours.pid().remote()).unwrap()];
    pids.extend(host.pids("detach theirs"));
    let value = mobula::put(&vec![7u8; 100_000]).unwrap();
    let array = mobula::Array::from_slice(&[1.0f64; 1000]).unwrap();
    let hanging = ours.hang().remote();
    let task = super::counter::hang::remote();
    how(&mut host);
    let error = get(&hanging).unwrap_err();
    let death = error.actor_death().unwrap_or_else(|| panic!("{error}"));
    assert_eq!((death.cause.clone(), &*death.class), (mobula::DeathCause::NodeDied, "Counter"), "{error}");
    let error = get(&task).unwrap_err();
    assert!(error.is_worker_crashed() && error.to_string().contains("node"), "{error}");
    all_gone(&pids);
    let error = get(&ours.add(1).remote()).unwrap_err();
    assert!(error.is_actor_died() || error.is_not_initialized(), "{error}");
    eventually("the runtime has ended", || !mobula::is_initialized());
    let error = Counter::remote(0).unwrap_err();
    assert!(error.is_not_initialized(), "{error}");
    let error = mobula::get_actor::<Counter>("ours").unwrap_err();
    assert!(error.is_not_initialized(), "{error}");
    assert_eq!(array[999], 1.0);
    drop((ours, hanging, task, value, array));
    drop(runtime);
    // What a killed node leaves is swept by the next.
    let next = mobula::init(super::support::config(1.0)).unwrap();
    assert!(!Path::new(&session).exists());
    drop(next);
}

#[mobula::test]
fn by_a_kill() {
    end(Program::kill);
}

#[mobula::test]
fn by_its_shutdown() {
    end(|host| {
        host.say("leave");
    });
}

/// What is wrong with the machine is nobody's argument.
#[mobula::test]
fn a_node_that_has_no_place_for_its_files_does_not_start() {
    let mut command = Program::command("", "host");
    let output = command.env("TMPDIR", "/dev/null").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!output.status.success());
    assert!(text.starts_with("refused system=true not_found=false ") && text.contains("/dev/null"), "{text}");
}

#[mobula::test]
fn the_newest_living_node_is_found() {
    let folder = super::support::Scratch::new("temp");
    std::fs::create_dir(folder.path()).unwrap();
    let host = || {
        let mut command = Program::command("", "host");
        command.env("MOBULA_NUM_CPUS", "1").env("MOBULA_OBJECT_STORE_MEMORY", "16M").env("TMPDIR", folder.path());
        let mut host = Program::run(&mut command);
        let session = host.say("session");
        (host, session)
    };
    let found = || {
        let mut command = Program::command("auto", "guest");
        let mut guest = Program::run(command.env("TMPDIR", folder.path()));
        let session = guest.say("session");
        guest.end();
        session
    };
    let (first, first_session) = host();
    assert_eq!(found(), first_session);
    let (mut second, second_session) = host();
    assert_eq!(found(), second_session);
    second.kill();
    assert!(Path::new(&second_session).exists());
    assert_eq!(found(), first_session);
    assert!(!Path::new(&second_session).exists(), "it was swept");
    first.end();
    eventually("nothing is left", || std::fs::read_dir(folder.path()).unwrap().next().is_none());
}
