//! `embedded`: a host with its own threads, workers from another program.

use std::process::Command;

use super::{run, support};

#[mobula::test]
fn the_host_sums_up_what_its_threads_measure() {
    support::example("embedded_worker");
    let args = ["--sensors", "3", "--analysers", "2", "--blocks", "5", "--samples", "1000"];
    let out = run("embedded", &args).succeeded();
    let count = |name: &str| -> u64 {
        let line = out.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}: {out}"));
        line.split_whitespace().next().unwrap().parse().unwrap()
    };
    for sensor in 0..3 {
        assert_eq!(count(&format!("sensor {sensor}")), 5000, "{out}");
    }
    assert_eq!(count("process 0") + count("process 1"), 15_000, "both took part: {out}");
    assert_eq!(count("all"), 15_000, "{out}");
}

#[mobula::test]
fn a_worker_program_that_is_missing_or_wrong_is_told() {
    let ran = run("embedded", &["--worker", "/there/is/no/such/program"]);
    assert_ne!(ran.code, Some(0));
    assert!(ran.err.contains("/there/is/no/such/program"), "{}", ran.err);
    let ran = run("embedded", &["--worker", "/bin/true", "--blocks", "1", "--samples", "10"]);
    assert_ne!(ran.code, Some(0));
    assert!(ran.err.contains("exit status 0") && ran.err.contains("mobula::init"), "{}", ran.err);
}

#[mobula::test]
fn the_worker_program_alone_says_what_it_is_for() {
    let ran = support::run(&mut Command::new(support::example("embedded_worker")));
    assert_eq!(ran.code, Some(2));
    assert!(ran.err.contains("starts it by itself"), "{}", ran.err);
}
