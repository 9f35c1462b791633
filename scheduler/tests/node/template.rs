//! The template that workers are copied from: what they share with it, and what its death costs.

use std::time::{Duration, Instant};

use mobula_scheduler::death::DeathCause;
use mobula_scheduler::protocol::ToProcess;
use mobula_scheduler::resources::Demand;

use super::driver::{Driver, forks, options, until};
use super::processes::{children, is_gone, is_template, signal, template, workers};
use super::{MODE, Scenario};

pub(super) const ALL: &[Scenario] = scenarios![
    workers_are_children_with_nothing_of_their_template,
    a_program_with_threads_is_not_forked,
    a_template_killed_at_any_time_costs_nothing,
    a_stopped_template_holds_nobody_up,
    what_ends_before_it_is_forked_is_told,
];

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
