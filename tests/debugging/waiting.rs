//! `MOBULA_DEBUG=Class`: workers of that class wait for a debugger.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mobula::Runtime;

use super::Patient;
use super::support::{config, eventually, get, is_alive};

struct Other;

#[mobula::actor]
impl Other {
    pub fn new() -> Self {
        Other
    }

    pub fn work(&self) -> i64 {
        1
    }
}

fn start() -> Runtime {
    mobula::init(config(2.0).env("MOBULA_DEBUG", "Somebody,Patient").log_to_driver(false)).unwrap()
}

/// Waits until a worker says that it waits, and returns its pid.
fn waiting(runtime: &Runtime) -> u32 {
    let mut found = None;
    let logs = runtime.info().session_dir.join("logs");
    eventually("a worker waits for a debugger", || {
        found = said(&logs);
        found.is_some()
    });
    found.unwrap()
}

fn said(logs: &Path) -> Option<u32> {
    let files = std::fs::read_dir(logs).unwrap().flatten();
    let texts = files.map(|file| std::fs::read_to_string(file.path()).unwrap_or_default());
    let mut lines = texts.filter_map(|text| {
        let line = text.lines().find(|line| line.contains("of Patient waits for a debugger"))?;
        line.rsplit_once("gdb -p ")?.1.parse().ok()
    });
    lines.next()
}

/// Lets a debugger run a process on; `None` if there is none, or it may not.
fn debugged(pid: u32) -> Option<Child> {
    let mut command = Command::new("gdb");
    // It stumbles now and then over the SIGKILL of what it holds, and would leave a core file of itself here.
    command.args(["-nx", "-batch", "-iex", "maintenance set internal-error corefile no"]);
    command.args(["-ex", "set auto-solib-add off", "-ex", "continue", "-p", &pid.to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut gdb) = command.spawn() else {
        eprintln!("skipped: gdb is not installed");
        return None;
    };
    let mut ended = false;
    eventually("the debugger is there", || {
        ended = gdb.try_wait().unwrap().is_some();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        ended || !status.contains("TracerPid:\t0\n")
    });
    if ended {
        eprintln!("skipped: gdb cannot attach here");
        return None;
    }
    Some(gdb)
}

#[mobula::test]
fn a_worker_goes_on_when_a_debugger_is_there() {
    let runtime = start();
    let patient = Patient::remote().unwrap();
    let call = patient.pid().remote();
    let pid = waiting(&runtime);
    assert!(is_alive(pid));
    assert!(mobula::get_timeout(&call, Duration::from_millis(100)).unwrap_err().is_timeout());
    // Others are not concerned.
    assert_eq!(get(&Other::remote().unwrap().work().remote()).unwrap(), 1);
    let Some(mut gdb) = debugged(pid) else {
        return;
    };
    assert_eq!(get(&call).unwrap(), pid);
    mobula::kill(&patient).unwrap();
    gdb.wait().unwrap();
}

#[mobula::test]
fn one_that_waits_can_be_killed() {
    let runtime = start();
    let patient = Patient::remote().unwrap();
    let call = patient.pid().remote();
    let pid = waiting(&runtime);
    mobula::kill(&patient).unwrap();
    assert!(!is_alive(pid));
    assert!(get(&call).unwrap_err().is_actor_died());
}

#[mobula::test]
fn one_that_nobody_wants_any_more_waits_no_longer() {
    let runtime = start();
    let patient = Patient::remote().unwrap();
    let pid = waiting(&runtime);
    drop(patient);
    eventually("the worker is gone", || !is_alive(pid));
}

#[mobula::test]
fn the_end_of_the_runtime_ends_it() {
    let runtime = start();
    let _patient = Patient::remote().unwrap();
    let pid = waiting(&runtime);
    drop(runtime);
    assert!(!is_alive(pid));
}
