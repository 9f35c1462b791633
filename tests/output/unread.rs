//! An error that nobody has read is printed once, when the last ref of its call goes.

use mobula::ObjectRef;

use super::support::{Gate, Ran, config, eventually, get, pass};
use super::{driver, driver_with, is_driver};

struct Failing;

#[mobula::actor]
impl Failing {
    pub fn new() -> Self {
        Failing
    }

    pub fn fail(&self, text: String) -> Result<i64, String> {
        Err(text)
    }

    #[mobula::method(num_returns = 2)]
    pub fn fail_twice(&self, text: String) -> Result<(i64, i64), String> {
        Err(text)
    }

    pub fn work(&self) -> i64 {
        1
    }

    /// Calls another one, and takes no notice of what comes of it.
    pub fn call_in_vain(&self) -> Result<(), mobula::Error> {
        let other = Failing::remote()?;
        drop(other.fail("unread in a worker").remote());
        mobula::get(&other.work().remote()).map(drop)
    }

    pub fn take(&self, number: i64) -> i64 {
        number
    }

    /// Gets what is in a list.
    pub fn get_first(&self, list: Vec<ObjectRef<i64>>) -> bool {
        mobula::get(&list[0]).is_err()
    }

    pub fn exit(&self) {
        mobula::exit_actor()
    }

    pub fn abort_behind(&self, gate: String) {
        pass(&gate);
        std::process::abort()
    }
}

#[mobula::task]
fn fail_as_a_task(text: String) -> Result<i64, String> {
    Err(text)
}

/// Returns the lines about errors that nobody has read.
fn told(ran: &Ran) -> Vec<&str> {
    ran.err.lines().filter(|line| line.contains("an error that nobody has read")).collect()
}

/// Waits until a call has failed, without looking at its error.
fn wait(refs: &[ObjectRef<i64>]) {
    mobula::wait(refs, refs.len(), None).unwrap();
}

#[test]
fn errors_that_nobody_read_are_printed_once() {
    let ran = driver("unread::unread");
    let told = told(&ran);
    assert_eq!(told.len(), 5, "{}", ran.err);
    for (text, call) in [
        ("dropped before", "Failing::fail"),
        ("dropped afterwards", "Failing::fail"),
        ("of a task", "fail_as_a_task"),
        ("one call with two results", "Failing::fail_twice"),
        ("with an argument's error", "fail_as_a_task"),
    ] {
        let lines: Vec<_> = told.iter().filter(|line| line.ends_with(text)).collect();
        assert_eq!(lines.len(), 1, "{text}: {}", ran.err);
        assert!(lines[0].starts_with("mobula: ") && lines[0].contains(call), "{lines:?}");
    }
}

#[mobula::test]
fn unread() {
    if !is_driver() {
        return;
    }
    let _runtime = mobula::init(config(2.0)).unwrap();
    let failing = Failing::remote().unwrap();
    drop(failing.fail("dropped before").remote());
    let later = failing.fail("dropped afterwards").remote();
    let clone = later.clone();
    wait(&[later]);
    drop(clone);
    let task = fail_as_a_task::remote("of a task");
    wait(&[task]);
    let (first, second) = failing.fail_twice("one call with two results").remote();
    wait(&[first, second]);
    // What the argument failed with is the second call's error now.
    let dependent = failing.take(fail_as_a_task::remote("with an argument's error")).remote();
    wait(&[dependent]);
    get(&failing.work().remote()).unwrap();
}

#[test]
fn what_was_read_or_asked_for_is_not_printed() {
    let ran = driver("unread::all_read");
    assert_eq!(told(&ran), [""; 0], "{}", ran.err);
}

#[mobula::test]
fn all_read() {
    if !is_driver() {
        return;
    }
    let _runtime = mobula::init(config(2.0)).unwrap();
    let failing = Failing::remote().unwrap();
    let read = failing.fail("read by a get").remote();
    let clone = read.clone();
    assert!(get(&read).unwrap_err().is_task_failed());
    drop((read, clone));
    let several: Vec<_> = (0..3).map(|_| failing.fail("in a list").remote()).collect();
    wait(&several);
    assert!(mobula::get_all(&several).is_err());
    drop(several);
    let (first, second) = failing.fail_twice("one of two is enough").remote();
    drop(second);
    assert!(get(&first).is_err());
    drop(first);
    // Given to an argument, whose call's error is read.
    assert!(get(&failing.take(failing.fail("passed on").remote()).remote()).is_err());
    // Read by another process, which got it before or after it failed.
    let other = Failing::remote().unwrap();
    let nested = failing.fail("read elsewhere").remote();
    assert!(get(&other.get_first(vec![nested]).remote()).unwrap());
    let settled = failing.fail("read elsewhere, later").remote();
    wait(std::slice::from_ref(&settled));
    assert!(get(&other.get_first(vec![settled]).remote()).unwrap());
    // Ends that were asked for.
    let (killed, left) = (Failing::remote().unwrap(), Failing::remote().unwrap());
    drop(left.exit().remote());
    drop(left.work().remote());
    let gate = Gate::new();
    drop(killed.abort_behind(gate.text()).remote());
    mobula::kill(&killed).unwrap();
    get(&failing.work().remote()).unwrap();
    eventually("the actor has left", || get(&left.work().remote()).is_err());
}

#[test]
fn the_death_of_an_actor_is_one_line_for_all_its_calls() {
    let ran = driver("unread::many_calls_to_one_that_crashes");
    let told = told(&ran);
    assert_eq!(told.len(), 1, "{}", ran.err);
    assert!(told[0].contains("Failing") && told[0].contains("SIGABRT"), "{told:?}");
}

#[mobula::test]
fn many_calls_to_one_that_crashes() {
    if !is_driver() {
        return;
    }
    let _runtime = mobula::init(config(2.0)).unwrap();
    let failing = Failing::remote().unwrap();
    let gate = Gate::new();
    let first = failing.abort_behind(gate.text()).remote();
    let rest: Vec<_> = (0..100).map(|_| failing.work().remote()).collect();
    gate.open();
    wait(&rest);
    drop((first, rest));
}

#[test]
fn workers_tell_theirs_with_their_name() {
    let ran = driver("unread::in_a_worker");
    let told = told(&ran);
    assert_eq!(told.len(), 1, "{}", ran.err);
    assert!(told[0].starts_with("(Failing pid=") && told[0].ends_with("unread in a worker"), "{told:?}");
    let silent = driver_with("unread::in_a_worker", |command| command.env("MOBULA_LOG_TO_DRIVER", "0"));
    assert!(!silent.err.contains("unread in a worker"));
}

#[mobula::test]
fn in_a_worker() {
    if is_driver() {
        let runtime = mobula::init(config(2.0)).unwrap();
        let failing = Failing::remote().unwrap();
        get(&failing.call_in_vain().remote()).unwrap();
        let logs = runtime.info().session_dir.join("logs");
        eventually("the line is in a file", || {
            let files = std::fs::read_dir(&logs).unwrap().flatten();
            let mut texts = files.map(|file| std::fs::read_to_string(file.path()).unwrap_or_default());
            texts.any(|text| text.contains("unread in a worker"))
        });
    }
}

#[test]
fn refs_that_outlive_the_runtime_say_nothing() {
    let ran = driver("unread::after_the_end");
    assert_eq!(told(&ran), [""; 0], "{}", ran.err);
}

#[mobula::test]
fn after_the_end() {
    if is_driver() {
        let runtime = mobula::init(config(2.0)).unwrap();
        let failing = Failing::remote().unwrap();
        let failed = failing.fail("too late").remote();
        wait(std::slice::from_ref(&failed));
        let gate = Gate::new();
        let open = failing.abort_behind(gate.text()).remote();
        drop(runtime);
        drop((failed, open));
    }
}
