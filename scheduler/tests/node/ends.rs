//! The end of a runtime, in order and by SIGKILL, and a worker that does not move.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use mobula_scheduler::death::DeathCause;
use mobula_scheduler::node::NodeError;
use mobula_scheduler::resources::Demand;

use super::driver::{Driver, forks, options, until};
use super::messages::{HASH, cpus, registry};
use super::processes::{children, is_gone, template};
use super::{MODE, SPAWN, Scenario};

pub(super) const ALL: &[Scenario] = scenarios![
    a_shutdown_leaves_nothing,
    a_killed_driver_leaves_nothing,
    wrapped_workers_join_and_die_with_their_driver,
    a_stopped_worker_holds_nobody_up,
];

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
pub(super) fn die_as_driver() {
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
