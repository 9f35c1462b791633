//! What the host does besides: programs of its own, its environment, its descriptors.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use super::support::{config, get, run, start};

struct Looker;

#[mobula::actor]
impl Looker {
    pub fn new() -> Self {
        Looker
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }

    pub fn var(&self, name: String) -> Option<String> {
        std::env::var(name).ok()
    }

    pub fn folder(&self) -> String {
        std::env::current_dir().unwrap().to_str().unwrap().to_owned()
    }

    pub fn arguments(&self) -> Vec<String> {
        std::env::args().skip(1).collect()
    }

    pub fn input(&self) -> usize {
        std::io::read_to_string(std::io::stdin()).unwrap().len()
    }

    pub fn program(&self) -> String {
        let out = Command::new("sh").args(["-c", "ls -l /proc/self/fd; env | grep -c ^MOBULA_WORKER="]).output();
        String::from_utf8(out.unwrap().stdout).unwrap()
    }
}

/// Returns the numbers of the descriptors in what `ls -l /proc/self/fd` says, without its own.
fn inherited(listing: &str) -> Vec<u32> {
    let rows = listing.lines().filter_map(|line| line.split_once(" -> "));
    let foreign = rows.filter(|(_, target)| !target.starts_with("/proc/"));
    foreign.map(|(row, _)| row.split_whitespace().last().unwrap().parse().unwrap()).collect()
}

#[mobula::test]
fn programs_of_the_host_and_of_workers_inherit_nothing() {
    let list = || run(Command::new("ls").args(["-l", "/proc/self/fd"])).succeeded();
    // Whoever started the test may have left descriptors open for everybody.
    let before = inherited(&list());
    let _runtime = start();
    let looker = Looker::remote().unwrap();
    get(&looker.pid().remote()).unwrap();
    assert_eq!(inherited(&list()), before);
    let there = get(&looker.program().remote()).unwrap();
    assert!(inherited(&there).iter().all(|number| *number <= 2 || before.contains(number)), "{there}");
    assert!(there.ends_with("\n0\n"), "the mark of a worker is not passed on: {there}");
}

#[mobula::test]
fn programs_of_the_host_keep_their_exit_status() {
    let _runtime = start();
    let looker = Looker::remote().unwrap();
    for code in 0..20 {
        let status = Command::new("sh").args(["-c", &format!("exit {code}")]).status().unwrap();
        assert_eq!(status.code(), Some(code));
        assert!(get(&looker.pid().remote()).is_ok());
    }
    let status = Command::new("sh").args(["-c", "kill -TERM $$"]).status().unwrap();
    assert_eq!(status.signal(), Some(15));
}

#[mobula::test]
fn workers_have_the_hosts_environment_arguments_and_folder() {
    let _runtime = mobula::init(config(1.0).env("FROM_CONFIG", "yes")).unwrap();
    let looker = Looker::options().env("FROM_OPTIONS", "too").remote().unwrap();
    let var = |name: &str| get(&looker.var(name).remote()).unwrap();
    assert_eq!(var("PATH"), std::env::var("PATH").ok());
    assert_eq!(var("FROM_CONFIG").as_deref(), Some("yes"));
    assert_eq!(var("FROM_OPTIONS").as_deref(), Some("too"));
    assert_eq!(std::env::var("FROM_CONFIG").ok(), None);
    let plain = Looker::remote().unwrap();
    assert_eq!(get(&plain.var("FROM_OPTIONS").remote()).unwrap(), None, "it is no matter of others");
    assert_eq!(get(&looker.folder().remote()).unwrap(), std::env::current_dir().unwrap().to_str().unwrap());
    assert_eq!(get(&looker.arguments().remote()).unwrap(), std::env::args().skip(1).collect::<Vec<_>>());
    assert_eq!(get(&looker.input().remote()).unwrap(), 0);
}

#[mobula::test]
fn what_workers_print_comes_to_the_hosts_stderr_with_a_name() {
    if std::env::var_os("MOBULA_TEST_PLAY").is_some() {
        let _runtime = start();
        let talker = Talker::remote().unwrap();
        eprintln!("said it is {}", get(&talker.talk().remote()).unwrap());
        // The lines of a worker come by themselves; the end prints what is left.
        return;
    }
    let mut command = Command::new("/proc/self/exe");
    command.args(["--exact", "hosts::what_workers_print_comes_to_the_hosts_stderr_with_a_name", "--nocapture"]);
    let ran = run(command.env("MOBULA_TEST_PLAY", "1"));
    let pid = ran.err.split("said it is ").nth(1).and_then(|rest| rest.lines().next()).unwrap().to_owned();
    for line in ["to stdout", "to stderr"] {
        assert!(ran.err.contains(&format!("(Talker pid={pid}) {line}")), "{}", ran.err);
    }
    assert!(!ran.out.contains("to stdout"), "{}", ran.out);
}

struct Talker;

#[mobula::actor]
impl Talker {
    pub fn new() -> Self {
        Talker
    }

    #[expect(clippy::print_stdout, reason = "it is what is looked at")]
    pub fn talk(&self) -> u32 {
        println!("to stdout");
        eprintln!("to stderr");
        std::process::id()
    }
}
