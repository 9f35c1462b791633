//! Cancelling: tasks that the node has, and calls of other processes.

use mobula_scheduler::death::LostTask;
use mobula_scheduler::ids::{ProcessId, TaskId};
use mobula_scheduler::protocol::{TaskSpec, ToNode, ToProcess};
use mobula_store::ObjectId;

use super::Scenario;
use super::driver::{Driver, options, until};
use super::messages::{cpus, task_spec};

pub(super) const ALL: &[Scenario] = scenarios![
    one_that_waits_is_lost_and_never_runs,
    one_that_is_being_started_is_lost,
    one_that_runs_hears_of_it,
    one_that_runs_is_killed_by_force,
    what_is_not_there_is_no_trouble,
    a_call_of_another_process_is_cancelled_there,
];

/// Submits a task; gives its id and the number of its call.
fn submit(driver: &Driver, function: &str, call: u64, change: impl FnOnce(&mut TaskSpec)) -> TaskId {
    let mut spec = task_spec(function, cpus(2.0), driver.client, call);
    change(&mut spec);
    let task = spec.task;
    driver.link.send(ToNode::SubmitTask(spec));
    task
}

fn cancel(driver: &Driver, task: TaskId, force: bool) {
    driver.link.send(ToNode::CancelTask { task, force, recursive: true });
}

/// Waits until no task holds anything.
fn all_back(driver: &Driver) {
    until("the CPUs", || (driver.available("CPU") == 2.0).then_some(()));
}

fn one_that_waits_is_lost_and_never_runs() {
    let driver = Driver::start(options());
    let path = driver.report_path("cancelled");
    let first = submit(&driver, "forever", 1, |_| ());
    until("it runs", || (driver.available("CPU") == 0.0).then_some(()));
    let waiting = submit(&driver, "report", 2, |spec| spec.args.bytes = path.clone().into_bytes());
    cancel(&driver, waiting, false);
    assert!(matches!(driver.lost(2), LostTask::Cancelled));
    cancel(&driver, first, true);
    assert!(matches!(driver.lost(1), LostTask::EndedByForce { .. }));
    all_back(&driver);
    assert!(!std::path::Path::new(&path).exists());
}

fn one_that_is_being_started_is_lost() {
    let driver = Driver::start(options());
    for (call, force) in [(1, false), (2, true)] {
        let path = driver.report_path("cancelled");
        let task = submit(&driver, "report", call, |spec| {
            spec.env = vec![("OWN".into(), "1".into())];
            spec.args.bytes = path.clone().into_bytes();
        });
        cancel(&driver, task, force);
        assert!(matches!(driver.lost(call), LostTask::Cancelled));
        all_back(&driver);
        assert!(!std::path::Path::new(&path).exists());
    }
}

fn one_that_runs_hears_of_it() {
    let driver = Driver::start(options());
    let task = submit(&driver, "forever", 1, |_| ());
    until("it runs", || (driver.available("CPU") == 0.0).then_some(()));
    cancel(&driver, task, false);
    // It ends when it hears of it.
    all_back(&driver);
}

fn one_that_runs_is_killed_by_force() {
    let driver = Driver::start(options());
    for (call, own) in [(1, false), (2, true)] {
        let task = submit(&driver, "deaf", call, |spec| {
            if own {
                spec.env = vec![("OWN".into(), "1".into())];
            }
            spec.args.bytes = driver.report_path("runs").into_bytes();
        });
        until("it runs", || std::fs::read_to_string(driver.report_path("runs")).ok());
        std::fs::remove_file(driver.report_path("runs")).unwrap();
        cancel(&driver, task, true);
        assert!(matches!(driver.lost(call), LostTask::EndedByForce { .. }));
        all_back(&driver);
    }
}

fn what_is_not_there_is_no_trouble() {
    let driver = Driver::start(options());
    let done = submit(&driver, "ok", 1, |_| ());
    all_back(&driver);
    for task in [done, TaskId::random()] {
        cancel(&driver, task, true);
    }
    driver.link.send(ToNode::Cancel { object: ObjectId::random(), force: true, recursive: true });
    submit(&driver, "ok", 2, |_| ());
    all_back(&driver);
}

fn a_call_of_another_process_is_cancelled_there() {
    let driver = Driver::start(options());
    let mut bytes = ObjectId::random().to_bytes();
    bytes[..8].copy_from_slice(&driver.link.process.tag().to_le_bytes());
    let object = ObjectId::from_bytes(bytes);
    assert_eq!(ProcessId::tag_of(object), driver.link.process.tag());
    driver.link.send(ToNode::Cancel { object, force: true, recursive: false });
    driver.expect("the cancel", |message| match message {
        ToProcess::Cancel { object: found, force: true, recursive: false } if *found == object => Some(()),
        _ => None,
    });
}
