//! Tests in processes of their own: what `#[mobula::test]` expands to.
//!
//! A runtime is a matter of the whole process, so each test gets one: the harness's executable is
//! started again for this test alone, and what is left over afterwards is looked for.
//!
//! ```text
//!   harness -- starts --> child: count descriptors, run the body, count again ----> exit status
//!      |                                                                                |
//!      +-- afterwards: living processes, shared memory, session folders of the child <--+
//! ```
//!
//! What ends by itself has a moment to do so. A test that has failed is not looked at further.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio, Termination};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Names the test that a process runs alone, and the process that started it.
const MARK: &str = "MOBULA_ISOLATED";

/// How long a test may take before it counts as hung.
const PATIENCE: Duration = Duration::from_secs(120);

/// Sets another time than [`PATIENCE`], in seconds: for tests that are told to take everything there is.
const PATIENCE_MARK: &str = "MOBULA_ISOLATED_PATIENCE_S";

/// How long what a test has used may take to go after its end.
const AFTERWARDS: Duration = Duration::from_secs(10);

/// Sets another time than [`AFTERWARDS`], in milliseconds: for tests of this guard.
const AFTERWARDS_MARK: &str = "MOBULA_ISOLATED_AFTERWARDS_MS";

/// How the names of the runtime's threads begin.
const THREADS: &str = "mobula-";

/// Threads that copy large objects: one pool a process, which stays.
const COPIERS: &str = "mobula-copy";

/// How the names of session folders begin.
const SESSIONS: &str = "mobula-";

/// Runs a test in a process of its own; `path` is its module path and name.
///
/// # Panics
///
/// If the test fails or hangs, or if a process, descriptor, thread of the runtime, shared-memory file
/// or session folder of it is left over.
pub fn run_isolated<R: Termination + 'static>(path: &str, body: fn() -> R) {
    let name = path.split_once("::").map_or(path, |(_crate, name)| name);
    // The last one: a module may be called `r#async`.
    let inside = std::env::var(MARK).is_ok_and(|mark| mark.rsplit_once('#').is_some_and(|(test, _)| test == name));
    if inside {
        run_here(body);
    }
    let outcome = run(name).unwrap_or_else(|error| panic!("cannot run {name} in a process of its own: {error}"));
    if let Some(failure) = outcome {
        panic!("{name} {failure}");
    }
}

/// Runs the body in this process, which was started for it, and ends the process with the outcome.
///
/// Not the harness's but this exit status counts: the harness would turn a panic that the test is
/// marked to expect into a success, and then the one that started this process would miss it.
fn run_here<R: Termination + 'static>(body: fn() -> R) -> ! {
    let before = descriptors();
    let name = std::thread::current().name().unwrap_or("test").to_owned();
    // On a thread that ends before anything is looked at: its destructors are part of the test.
    let thread = std::thread::Builder::new().name(name).spawn(move || body().report() == ExitCode::SUCCESS);
    let passed = thread.is_ok_and(|thread| thread.join().unwrap_or(false));
    let left = if passed { leftovers(|| own_leftovers(&before)) } else { None };
    if let Some(left) = &left {
        eprintln!("left behind:\n{left}");
    }
    let _ = io::stdout().flush();
    std::process::exit(if passed && left.is_none() { 0 } else { 101 })
}

/// Runs the test and returns what was wrong.
fn run(name: &str) -> io::Result<Option<String>> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let unique = format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let mark = format!("{name}#{unique}");
    let output = Output::create(&unique)?;
    let mut child = Command::new("/proc/self/exe")
        .arg0(std::env::args_os().next().unwrap_or_default())
        .args(["--exact", name, "--nocapture", "--test-threads=1", "--include-ignored"])
        .env(MARK, &mark)
        .stdin(Stdio::null())
        .stdout(output.file.try_clone()?)
        .stderr(output.file.try_clone()?)
        .process_group(0)
        .spawn()?;
    let status = wait(&mut child)?;
    let failure = match status {
        None => {
            let hung = describe_all(&with_mark(&mark));
            for pid in with_mark(&mark) {
                kill(pid);
            }
            child.kill()?;
            child.wait()?;
            Some(format!("did not end within {:?}; its processes:\n{hung}", patience()))
        }
        Some(status) if !status.success() => Some(format!("failed: {status}")),
        Some(_) => look_after(&mark, child.id()),
    };
    if failure.is_none() {
        // The harness keeps it back unless it was told to show everything.
        eprint!("{}", output.read());
    }
    Ok(failure.map(|failure| format!("{failure}\n--- output ---\n{}", output.read())))
}

/// The file that takes what the test prints; it goes when this is dropped.
struct Output {
    path: PathBuf,
    file: File,
}

impl Output {
    fn create(unique: &str) -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("mobula-test-{unique}.log"));
        Ok(Output { file: File::create(&path)?, path })
    }

    fn read(&self) -> String {
        fs::read(&self.path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn wait(child: &mut Child) -> io::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + patience();
    let mut pause = Duration::from_millis(1);
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
    Ok(None)
}

fn patience() -> Duration {
    given(PATIENCE_MARK).map_or(PATIENCE, Duration::from_secs)
}

/// Reads a number that somebody has put into the environment.
fn given(mark: &str) -> Option<u64> {
    std::env::var(mark).ok().and_then(|text| text.parse().ok())
}

/// Looks again and again until nothing is left; after a while returns what still is.
fn leftovers(mut look: impl FnMut() -> String) -> Option<String> {
    let deadline = Instant::now() + given(AFTERWARDS_MARK).map_or(AFTERWARDS, Duration::from_millis);
    loop {
        let left = look();
        if left.is_empty() {
            return None;
        }
        if Instant::now() >= deadline {
            return Some(left);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Returns what the test left behind outside its process, and ends what still runs.
fn look_after(mark: &str, child: u32) -> Option<String> {
    let left = leftovers(|| {
        let mut left = describe_all(&with_mark(mark));
        for file in shared_memory_of(child).into_iter().chain(sessions_of(child)) {
            left.push_str(&format!("{file}\n"));
        }
        left
    })?;
    for pid in with_mark(mark) {
        kill(pid);
    }
    Some(format!("left behind:\n{left}"))
}

/// Describes the descriptors that this process has beyond `before`, and the threads of a runtime.
fn own_leftovers(before: &BTreeMap<String, PathBuf>) -> String {
    let mut left = String::new();
    for (number, target) in descriptors() {
        if before.get(&number) != Some(&target) {
            left.push_str(&format!("descriptor {number}: {}\n", target.display()));
        }
    }
    for entry in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if name.starts_with(THREADS) && !name.starts_with(COPIERS) {
            left.push_str(&format!("thread {}", name));
        }
    }
    left
}

/// Lists the open descriptors of this process with what they lead to.
fn descriptors() -> BTreeMap<String, PathBuf> {
    let entries = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let numbers: Vec<_> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    // The descriptor that the list was read from is closed by now and leads nowhere.
    let target = |number: &str| fs::read_link(Path::new("/proc/self/fd").join(number)).ok();
    numbers.into_iter().filter_map(|number| Some((target(&number)?, number))).map(|(to, number)| (number, to)).collect()
}

/// Finds the living processes whose environment carries the mark.
fn with_mark(mark: &str) -> Vec<u32> {
    let wanted = format!("{MARK}={mark}");
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| {
            let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environ.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
        })
        .collect()
}

fn describe_all(pids: &[u32]) -> String {
    pids.iter()
        .map(|pid| {
            let read = |what: &str| fs::read_to_string(Path::new("/proc").join(pid.to_string()).join(what));
            let line = read("cmdline").unwrap_or_default().replace('\0', " ");
            let status = read("status").unwrap_or_default();
            let state = status.lines().find(|line| line.starts_with("State:")).unwrap_or("gone");
            format!("process {pid} ({state}): {line}\n")
        })
        .collect()
}

/// Finds shared-memory files that carry the test's pid in their names.
fn shared_memory_of(pid: u32) -> Vec<String> {
    let Ok(entries) = fs::read_dir("/dev/shm") else {
        return Vec::new();
    };
    let pid = pid.to_string();
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.contains("mobula") && name.split(|c: char| !c.is_ascii_digit()).any(|part| part == pid))
        .collect()
}

/// Finds session folders of runtimes that the process with this pid has started.
fn sessions_of(pid: u32) -> Vec<String> {
    let start = format!("{SESSIONS}{pid}-");
    let bases = [std::env::temp_dir(), PathBuf::from("/tmp")];
    let mut found: Vec<_> = bases
        .iter()
        .flat_map(|base| fs::read_dir(base).into_iter().flatten().flatten())
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with(&start)))
        .map(|entry| entry.path().display().to_string())
        .collect();
    found.sort();
    found.dedup();
    found
}

fn kill(pid: u32) {
    let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
}
