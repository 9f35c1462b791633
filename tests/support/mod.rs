//! What the areas of tests share: deadlines, gates, processes, the store's figures, programs.
//!
//! A test waits for a condition, and the deadline only ends one that hangs. Where a test needs
//! another process to stand still it gives it a [`Gate`]: the order of events then proves what a
//! clock could only suggest.

#![allow(dead_code, reason = "each area uses its part")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use mobula::prelude::*;
use mobula::store::StoreStats;

/// Long enough for a machine under load, short enough for a hanging test to end by itself.
const DEADLINE: Duration = Duration::from_secs(40);

/// Starts a runtime with so many CPUs and a store of 64 MiB.
pub(crate) fn start_with(cpus: f64) -> Runtime {
    mobula::init(config(cpus)).unwrap()
}

/// Starts a runtime with two CPUs and a store of 64 MiB.
pub(crate) fn start() -> Runtime {
    start_with(2.0)
}

/// Makes the configuration of [`start_with`].
pub(crate) fn config(cpus: f64) -> Config {
    Config::new().num_cpus(cpus).object_store_memory(64 << 20)
}

/// Waits until `done` is true.
pub(crate) fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Waits for a value with a deadline, so that a value that never comes fails the test by name.
pub(crate) fn get<T: serde::de::DeserializeOwned>(object: &ObjectRef<T>) -> mobula::Result<T> {
    match mobula::get_timeout(object, DEADLINE) {
        Err(error) if error.is_timeout() => panic!("a value never comes: {error}"),
        other => other,
    }
}

/// Says whether a process is there and no zombie.
pub(crate) fn is_alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        let state = stat.rsplit(')').next().unwrap_or_default().trim_start();
        !state.starts_with(['Z', 'X'])
    })
}

/// Sends a signal to a process.
pub(crate) fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args([format!("-{name}"), pid.to_string()]).status().unwrap();
    assert!(sent.success(), "no signal could be sent to process {pid}");
}

/// Returns the resident memory of a process in KiB.
pub(crate) fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// Returns the figures of the runtime's store.
pub(crate) fn stats() -> StoreStats {
    mobula::store::current().unwrap().stats()
}

/// Waits until the store holds no more than it did when `before` was taken.
pub(crate) fn all_space_back(before: StoreStats) {
    let more = |now: StoreStats| {
        now.used_bytes > before.used_bytes
            || now.objects > before.objects
            || now.unsealed_objects > before.unsealed_objects
    };
    let deadline = Instant::now() + DEADLINE;
    while more(stats()) {
        if Instant::now() >= deadline {
            let objects = mobula::store::current().unwrap().list();
            panic!("the store does not get its space back: {before:?}, now {:?}: {objects:#?}", stats());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    mobula::store::current().unwrap().check().unwrap();
}

/// Picks places to die, one of each stretch; all of them if `wanted` is none or more than there are.
pub(crate) fn places(total: u64, wanted: Option<u64>) -> impl Iterator<Item = u64> {
    let stride = wanted.map_or(1, |wanted| (total / wanted.max(1)).max(1));
    // Moves on within the stride, so that a loop in the code is not always met at the same place.
    (1..=total).step_by(stride as usize).map(move |start| (start + start * 7 % stride).min(total))
}

/// Counts the descriptors of this process.
pub(crate) fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// A path of its own below the temporary folder; what is there goes when this is dropped.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Picks a path that nobody else has.
    pub(crate) fn new(what: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        // Not the name of a session: those are swept.
        Scratch(std::env::temp_dir().join(format!("test-of-mobula-{what}-{}-{count}", std::process::id())))
    }

    /// Returns the path.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Returns the path as an argument.
    pub(crate) fn text(&self) -> String {
        self.0.to_str().unwrap().to_owned()
    }

    /// Reads the lines that were noted there.
    pub(crate) fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        text.lines().map(|line| line.trim_end().to_owned()).collect()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// How many bytes a noted line has in its file: a part of a page, for the kernel writes a page at a time, and a SIGKILL may
/// come between two.
const LINE: usize = 128;

/// Adds a line to a file: whole, whoever else writes at the same time, or kills the writer.
pub(crate) fn note(path: impl AsRef<Path>, line: &str) {
    let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    let line = format!("{line:<width$}\n", width = LINE - 1);
    assert_eq!(line.len(), LINE);
    file.write_all(line.as_bytes()).unwrap();
}

/// Holds other processes up until the test opens it.
#[derive(Debug)]
pub(crate) struct Gate(Scratch);

impl Gate {
    /// Makes a closed gate.
    pub(crate) fn new() -> Self {
        Gate(Scratch::new("gate"))
    }

    /// Returns what is to be passed to [`pass`].
    pub(crate) fn text(&self) -> String {
        self.0.text()
    }

    /// Lets everybody through.
    pub(crate) fn open(&self) {
        fs::write(self.0.path(), "open").unwrap();
    }
}

/// Waits in front of a gate.
pub(crate) fn pass(gate: &str) {
    eventually("the gate opens", || Path::new(gate).exists());
}

/// Finds an example's program beside the running test, and builds it if it is not there or older than
/// the test: `cargo test` builds no program for an example that has tests of its own, and none at all
/// for `--test`. It is built as one of the workspace, as `cargo test --workspace` does, so that nothing
/// below it is compiled once more with other features.
pub(crate) fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    let program = profile.join("examples").join(name);
    let made = |path: &Path| fs::metadata(path).and_then(|data| data.modified()).ok();
    if made(&program).is_none_or(|made_at| Some(made_at) < made(&test)) {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--workspace", "--example", name]);
        cargo.current_dir(env!("CARGO_MANIFEST_DIR")).env("CARGO_TARGET_DIR", profile.parent().unwrap());
        if profile.file_name().is_some_and(|folder| folder == "release") {
            cargo.arg("--release");
        }
        assert!(cargo.status().unwrap().success(), "the example {name} cannot be built");
    }
    program
}

/// What a program did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    fn new(output: Output) -> Self {
        Ran {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Returns what it printed, once it is known to have ended well.
    pub(crate) fn succeeded(self) -> String {
        assert_eq!(self.code, Some(0), "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self.out
    }
}

/// Runs a program to its end.
pub(crate) fn run(command: &mut Command) -> Ran {
    Ran::new(command.stdin(Stdio::null()).output().unwrap())
}
