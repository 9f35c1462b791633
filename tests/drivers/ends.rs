//! A driver ends: what is its own goes with it, and nobody else notices.

use super::counter::Counter;
use super::support::{eventually, get};
use super::{Program, address, all_gone, children, node};

/// Has a driver create and start all kinds of things; returns the pids of its processes.
fn busy(driver: &mut Program) -> Vec<u32> {
    let mut pids = driver.pids("create a");
    pids.extend(driver.pids("create b"));
    pids.extend(driver.pids("special"));
    pids.extend(driver.pids("tasks 10"));
    driver.say("hang");
    driver.say("hang");
    pids
}

/// Ends a busy driver and looks at what the node has then.
fn end(how: impl FnOnce(Program)) {
    let runtime = node(3.0);
    let ours = Counter::options().name("ours").remote(0).unwrap();
    let mut keeper = Program::start(&address(&runtime), "keeper");
    keeper.say("create mine");
    let workers = children();
    let mut second = Program::start(&address(&runtime), "second");
    let pids = busy(&mut second);
    assert_eq!(get(&ours.add(1).remote()).unwrap(), 1);
    how(second);
    all_gone(&pids);
    eventually("all of its processes are gone", || children().iter().all(|pid| !pids.contains(pid)));
    eventually("resources are back", || mobula::available_resources()["CPU"] == 3.0);
    eventually("names are free", || mobula::list_named_actors(true).unwrap().len() == 2);
    // Processes that were there before are still there, but for the driver itself, a child of this one.
    eventually("what it had is gone", || children().len() <= workers.len() + 4);
    assert_eq!(get(&ours.add(1).remote()).unwrap(), 2);
    assert_eq!(keeper.say("add first ours 1"), "3");
    assert_eq!(keeper.say("add keeper mine 1"), "1");
    // The names can be taken again.
    let mut third = Program::start(&address(&runtime), "second");
    third.say("create a").parse::<u32>().unwrap();
    third.end();
    keeper.end();
}

#[mobula::test]
fn by_its_exit() {
    end(|driver| drop(driver.end()));
}

#[mobula::test]
fn by_a_kill() {
    end(|mut driver| driver.kill());
}

#[mobula::test]
fn by_leaving() {
    end(|mut driver| {
        assert_eq!(driver.say("leave"), "left");
        driver.end();
    });
}

/// What a driver put stays as long as somebody else has a ref of it, and no longer.
#[mobula::test]
fn with_its_share_of_the_store() {
    let runtime = node(2.0);
    let before = super::support::stats();
    for _ in 0..3 {
        eventually("names are free", || mobula::list_named_actors(true).unwrap().is_empty());
        let mut second = Program::start(&address(&runtime), "second");
        busy(&mut second);
        second.kill();
    }
    super::support::all_space_back(before);
}
