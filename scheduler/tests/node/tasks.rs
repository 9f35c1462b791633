//! Tasks and what they hold: queues, chains, GPUs, variables.

use mobula_scheduler::death::{DeathCause, LostTask};
use mobula_scheduler::protocol::ToNode;
use mobula_scheduler::resources::Demand;

use super::Scenario;
use super::driver::{Driver, options, until};
use super::messages::{actor_spec, cpus, task_spec};
use super::processes::{is_gone, workers};

pub(super) const ALL: &[Scenario] = scenarios![
    what_can_never_fit_fails_at_once,
    tasks_run_and_lost_ones_are_told,
    a_flood_of_tasks_ends,
    a_chain_of_waiting_tasks_ends,
    gpu_work_gets_a_process_with_its_devices,
    variables_get_a_process_of_their_own,
    a_worker_that_has_worn_out_retires,
];

fn what_can_never_fit_fails_at_once() {
    let driver = Driver::start(options());
    let (id, _life) = driver.create("Plain", cpus(64.0));
    match driver.down(id).cause {
        DeathCause::CreationFailed(message) => assert!(message.contains("64 CPU"), "{message}"),
        other => panic!("{other:?}"),
    }
    let call = driver.submit("ok", Demand::new().custom("unicorn", 1.0).unwrap());
    assert!(matches!(driver.lost(call), LostTask::Infeasible(message) if message.contains("unicorn")));
}

fn tasks_run_and_lost_ones_are_told() {
    let driver = Driver::start(options());
    for _ in 0..20 {
        driver.submit("ok", cpus(1.0));
    }
    let call = driver.submit("abort", cpus(1.0));
    match driver.lost(call) {
        LostTask::WorkerCrashed { pid, status } => {
            assert!(is_gone(pid));
            assert_eq!(status, "signal 6 (SIGABRT)");
        }
        other => panic!("{other:?}"),
    }
    for _ in 0..20 {
        driver.submit("ok", cpus(1.0));
    }
    until("the end of all tasks", || (driver.available("CPU") == 2.0).then_some(()));
}

fn a_flood_of_tasks_ends() {
    let driver = Driver::start(options());
    let path = driver.report_path("last");
    for _ in 0..3_000 {
        driver.submit("ok", cpus(1.0));
    }
    let mut spec = task_spec("report", cpus(1.0), driver.client, 0);
    spec.args.bytes = path.clone().into_bytes();
    driver.link.send(ToNode::SubmitTask(spec));
    until("the last task", || std::fs::read_to_string(&path).ok());
    until("the end of all tasks", || (driver.available("CPU") == 2.0).then_some(()));
    assert!(workers().len() <= 4, "{:?}", workers());
}

fn a_chain_of_waiting_tasks_ends() {
    let mut options = options();
    options.num_cpus = 1.0;
    options.max_processes = Some(3);
    let driver = Driver::start(options);
    let path = driver.report_path("chain");
    let mut spec = task_spec("chain", cpus(1.0), driver.client, 300);
    spec.args.bytes = path.clone().into_bytes();
    driver.link.send(ToNode::SubmitTask(spec));
    let text = until("the end of the chain", || std::fs::read_to_string(&path).ok());
    assert_eq!(text, "the end");
    assert!(workers().len() <= 3, "{:?}", workers());
}

fn a_worker_that_has_worn_out_retires() {
    let mut options = options();
    options.max_processes = Some(1);
    let driver = Driver::start(options);
    for round in 0..3 {
        let path = driver.report_path(&format!("worn-{round}"));
        let mut spec = task_spec("wear", cpus(1.0), driver.client, 0);
        spec.args.bytes = path.clone().into_bytes();
        driver.link.send(ToNode::SubmitTask(spec));
        let pid = until("the task", || std::fs::read_to_string(&path).ok()).parse().unwrap();
        // The next one needs another process, though only one may serve.
        driver.submit("ok", cpus(1.0));
        until("the end of the worker", || is_gone(pid).then_some(()));
    }
    until("the end of all tasks", || (driver.available("CPU") == 2.0).then_some(()));
}

fn gpu_work_gets_a_process_with_its_devices() {
    let mut options = options();
    options.num_gpus = 3.0;
    let driver = Driver::start(options);
    let (first, _first_life) = driver.create("Plain", Demand::new().gpus(1.0).unwrap());
    driver.up(first);
    let path = driver.report_path("gpus");
    let (id, _life) = driver.life();
    let mut spec = actor_spec(id, "Report", Demand::new().gpus(2.0).unwrap());
    spec.args.bytes = path.clone().into_bytes();
    driver.link.send(ToNode::CreateActor(spec));
    driver.up(id);
    let text = until("the report", || std::fs::read_to_string(&path).ok());
    assert!(text.starts_with("Ok(\"1,2\")") && text.contains("[1, 2] [(\"GPU\", 2.0)]"), "{text}");
    let request = driver.kill(first);
    driver.down(first);
    driver.reply(request);

    // A task with a GPU, then one without: the second must see none.
    for (name, gpus, seen) in [("one", 0.5, "Ok(\"0\") [0]"), ("none", 0.0, "Ok(\"\") []")] {
        let path = driver.report_path(name);
        let mut spec = task_spec("report", cpus(1.0).gpus(gpus).unwrap(), driver.client, 99);
        spec.args.bytes = path.clone().into_bytes();
        driver.link.send(ToNode::SubmitTask(spec));
        let text = until("the report", || std::fs::read_to_string(&path).ok());
        assert!(text.starts_with(seen), "{text}");
    }
    until("the GPU", || (driver.available("GPU") == 1.0).then_some(()));
}

fn variables_get_a_process_of_their_own() {
    let driver = Driver::start(options());
    let path = driver.report_path("env");
    let (id, _life) = driver.life();
    let mut spec = actor_spec(id, "Report", Demand::new());
    spec.args.bytes = path.clone().into_bytes();
    spec.env = vec![("OWN".into(), "yes".into())];
    driver.link.send(ToNode::CreateActor(spec));
    driver.up(id);
    let text = until("the report", || std::fs::read_to_string(&path).ok());
    assert!(text.contains("Ok(\"yes\")"), "{text}");
}
