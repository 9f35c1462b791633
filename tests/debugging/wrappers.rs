//! Workers that are started through another program.

use std::process::Command;

use super::Patient;
use super::support::{config, eventually, get, is_alive};

#[mobula::test]
fn workers_run_below_a_program_that_starts_them() {
    let _runtime = mobula::init(config(2.0).worker_wrapper(["env", "WRAPPED=yes"])).unwrap();
    let patient = Patient::remote().unwrap();
    assert_eq!(get(&patient.variable("WRAPPED").remote()).unwrap().as_deref(), Some("yes"));
}

#[mobula::test]
fn workers_run_below_a_debugger() {
    if Command::new("gdb").arg("--version").output().is_err() {
        eprintln!("skipped: gdb is not installed");
        return;
    }
    let wrapper = ["gdb", "-nx", "-batch", "-ex", "set auto-solib-add off", "-ex", "run", "--args"];
    let config = config(1.0).worker_wrapper(wrapper).max_processes(1).log_to_driver(false);
    let runtime = mobula::init(config).unwrap();
    let patient = Patient::remote().unwrap();
    let pid = get(&patient.pid().remote()).unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(!status.contains("TracerPid:\t0\n"), "{status}");
    drop(runtime);
    eventually("the process is gone", || !is_alive(pid));
}
