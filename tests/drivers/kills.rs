//! Drivers are killed at any moment, the handshake among them; the node goes on and keeps nothing of theirs.

use std::time::Duration;

use super::counter::Counter;
use super::support::{descriptors, eventually, get, places};
use super::{Program, address, children, node};

#[mobula::test]
fn during_attach_and_after() {
    let runtime = node(2.0);
    let ours = Counter::remote(0).unwrap();
    get(&ours.add(1).remote()).unwrap();
    // The first one has everything made that stays.
    let mut first = Program::start(&address(&runtime), "second");
    first.say("create a");
    first.kill();
    eventually("the first one is forgotten", || mobula::list_named_actors(true).unwrap().is_empty());
    let before = descriptors();
    let workers = children().len();
    let rounds = std::env::var("MOBULA_TEST_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(60);
    for moment in places(60 * 500, Some(rounds)) {
        let mut command = Program::command(&address(&runtime), "second");
        command.stdin(std::process::Stdio::null());
        let mut child = command.spawn().unwrap();
        // Attaching takes a few milliseconds; the moments lie before, in and behind it.
        std::thread::sleep(Duration::from_micros(moment));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    eventually("the node has its descriptors back", || descriptors() <= before);
    eventually("no worker of theirs is left", || children().len() <= workers);
    eventually("resources are back", || mobula::available_resources()["CPU"] == 2.0);
    assert!(mobula::list_named_actors(true).unwrap().is_empty());
    let boot = runtime.info().session_dir.join("boot");
    eventually("no socket of theirs is left", || std::fs::read_dir(&boot).unwrap().count() == 0);
    assert_eq!(get(&ours.add(1).remote()).unwrap(), 2);
    let mut last = Program::start(&address(&runtime), "second");
    last.say("create a").parse::<u32>().unwrap();
    last.end();
}

/// Many come and go at once.
#[mobula::test]
fn while_others_attach() {
    let runtime = node(2.0);
    let at = address(&runtime);
    let threads: Vec<_> = (0..3)
        .map(|number| {
            let at = at.clone();
            std::thread::spawn(move || {
                for round in 0..6 {
                    let mut driver = Program::start(&at, &format!("driver-{number}"));
                    // That of the one before may still have its name.
                    driver.say(&format!("create a{round}")).parse::<u32>().unwrap();
                    driver.pids("tasks 5");
                    if round % 2 == 0 {
                        driver.kill();
                    } else {
                        driver.end();
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    eventually("names are free", || mobula::list_named_actors(true).unwrap().is_empty());
    eventually("resources are back", || mobula::available_resources()["CPU"] == 2.0);
    eventually("no driver's processes are left", || {
        // This driver's own workers and template.
        children().len() <= 3
    });
}
