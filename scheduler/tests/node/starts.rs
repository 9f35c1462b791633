//! Workers that cannot start, or may not join, and processes that are no workers.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use mobula_scheduler::bootstrap;
use mobula_scheduler::death::{DeathCause, LostTask};
use mobula_scheduler::node::NodeError;
use mobula_scheduler::resources::Demand;

use super::driver::{Driver, options, until};
use super::messages::{cpus, registry};
use super::processes::children;
use super::{MODE, Scenario};

pub(super) const ALL: &[Scenario] = scenarios![
    a_worker_without_init_is_named,
    a_silent_worker_is_ended_after_its_time,
    an_executable_that_is_none_is_named,
    registries_that_differ_are_refused_by_name,
    another_executable_tells_what_it_knows,
    marks_of_others_are_inert,
];

fn a_worker_without_init_is_named() {
    let mut options = options();
    options.env = vec![(MODE.into(), "no_init".into())];
    let driver = Driver::start(options);
    let (id, _life) = driver.create("Plain", Demand::new());
    match driver.down(id).cause {
        DeathCause::CreationFailed(message) => {
            for part in ["exit status 3", "before it joined", "mobula::init", "I do not know what a worker is"] {
                assert!(message.contains(part), "{message}");
            }
        }
        other => panic!("{other:?}"),
    }
    let call = driver.submit("ok", cpus(1.0));
    assert!(matches!(driver.lost(call), LostTask::NoWorker(_)), "and later work is told after one more try");
    assert_eq!(driver.available("CPU"), 2.0);
}

fn a_silent_worker_is_ended_after_its_time() {
    let mut options = options();
    options.env = vec![(MODE.into(), "silent".into())];
    options.start_timeout = Duration::from_millis(100);
    let driver = Driver::start(options);
    let call = driver.submit("ok", cpus(1.0));
    assert!(matches!(driver.lost(call), LostTask::NoWorker(message) if message.contains("did not join within 0.1 s")));
    until("the end of the silent", || children().is_empty().then_some(()));
}

fn an_executable_that_is_none_is_named() {
    let mut options = options();
    options.worker_exe = Some("/no/such/worker".into());
    let driver = Driver::start(options);
    match driver.node.worker_registry() {
        Err(NodeError::Worker(message)) => {
            assert!(message.contains("/no/such/worker"), "{message}")
        }
        other => panic!("{other:?}"),
    }
    let (id, _life) = driver.create("Plain", cpus(1.0));
    assert!(
        matches!(driver.down(id).cause, DeathCause::CreationFailed(message) if message.contains("/no/such/worker"))
    );
    assert_eq!(driver.available("CPU"), 2.0);
}

fn registries_that_differ_are_refused_by_name() {
    let mut options = options();
    options.env = vec![(MODE.into(), "differs".into())];
    let driver = Driver::start(options);
    let (id, _life) = driver.create("Plain", Demand::new());
    match driver.down(id).cause {
        DeathCause::CreationFailed(message) => {
            assert!(message.contains("signature of Class"), "{message}")
        }
        other => panic!("{other:?}"),
    }
}

fn another_executable_tells_what_it_knows() {
    let mut options = options();
    options.worker_exe = Some(std::env::current_exe().unwrap());
    options.env = vec![(MODE.into(), "part".into())];
    let driver = Driver::start(options);
    assert_eq!(driver.node.worker_registry().unwrap(), Some(vec![registry()[0].clone()]));
    let (id, _life) = driver.create("Plain", Demand::new());
    driver.up(id);
    let call = driver.submit("ok", cpus(1.0));
    assert!(matches!(driver.lost(call), LostTask::NoWorker(message) if message.contains("does not contain function")));
    drop(driver);
    let same = Driver::start(self::options());
    assert_eq!(same.node.worker_registry().unwrap(), None);
}

fn marks_of_others_are_inert() {
    use std::os::fd::OwnedFd;
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::net::UnixStream;

    let run = |mark: String, stdin: OwnedFd| {
        let mut command = Command::new("/proc/self/exe");
        command.env(MODE, "inert").env(bootstrap::MARK, mark).stdin(stdin);
        command.output().unwrap()
    };
    let inode = |stream: &UnixStream| {
        let fd = std::os::fd::AsRawFd::as_raw_fd(stream);
        std::fs::metadata(format!("/proc/self/fd/{fd}")).unwrap().ino()
    };
    let own = std::process::id();
    // The mark names another socket than the standard input.
    let (_ours, theirs) = UnixStream::pair().unwrap();
    let mark = format!("{own}:{}:/tmp", inode(&theirs) + 1);
    assert_eq!(run(mark, theirs.into()).stdout, b"no worker\n");
    // Standard input is no socket at all.
    let null = std::fs::File::open("/dev/null").unwrap();
    assert_eq!(run(format!("{own}:1:/tmp"), null.into()).stdout, b"no worker\n");
    // The socket is right and the parent is not: an orphan, which must not go on.
    let (_ours, theirs) = UnixStream::pair().unwrap();
    let mark = format!("{}:{}:/tmp", own + 1, inode(&theirs));
    let output = run(mark, theirs.into());
    assert_eq!((output.stdout.as_slice(), output.status.code()), (&b""[..], Some(1)));
    // The node hangs up before it has said anything, with its session folder and without.
    let session = std::env::temp_dir().join(format!("mobula-hung-up-test-{own}"));
    std::fs::create_dir_all(session.join("boot")).unwrap();
    for folder in [session.as_path(), Path::new("/nonexistent")] {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mark = format!("{own}:{}:{}", inode(&theirs), folder.display());
        drop(ours);
        let output = run(mark, theirs.into());
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains("the node ended before") && output.stdout.is_empty(), "{text}");
        assert_eq!(output.status.code(), Some(1));
    }
    std::fs::remove_dir_all(&session).unwrap();
}
