//! SIGKILL between any two instructions: a child is single-stepped through one operation and killed
//! before its k-th instruction, for many k; then the survivor's store must be whole.
//!
//! ```text
//!   parent: store, objects         child (this binary again)
//!     spawn --------------------->   attach, prepare
//!                                    ptrace(TRACEME), raise(SIGSTOP)
//!     run to a system call,          the operation ...
//!     single-step to the k-th
//!     instruction
//!     SIGKILL, wait, reap            dead between two instructions
//!     check(), nothing lost, nothing left
//! ```
//!
//! A first child is single-stepped to its end, for a list of all places to die. `MOBULA_STEPS` says which are taken:
//!
//! - a number: so many of them an operation (default 12), fewer of long ones
//! - `distinct`: each that leaves something else behind than the one before it (memory.rs)
//! - `all`: each
//!
//! On the way to a place the child runs from one system call to the next at full speed; with the feature
//! `crash-points` it makes one after each shared store, which makes the ways short. This binary has no test
//! harness because the child must be single-threaded when it is traced.

#![allow(unsafe_code, clippy::print_stdout, missing_docs)]

mod boards;
mod memory;
mod operations;
mod silent;
mod stopped;
mod trace;
mod tracee;

use std::path::Path;

use mobula_store::Store;
use operations::Operation;
use tempfile::TempDir;
use trace::{Place, Stepped};

const OPERATION: &str = "MOBULA_STEPPED_OPERATION";
const ADDRESS: &str = "MOBULA_STEPPED_ADDRESS";

/// The value of `MOBULA_STEPS` for a place in each stretch of instructions that change nothing.
const DISTINCT: &str = "distinct";

/// How many steps an operation's points may take together, for each point that is asked for.
const STEPS_A_POINT: usize = 16_000;

fn main() {
    if let (Ok(name), Ok(address)) = (std::env::var(OPERATION), std::env::var(ADDRESS)) {
        let store = trace::attach(&address);
        let stepped = operations::all().into_iter().map(|o| (o.name, o.child));
        let silent = silent::all().into_iter().map(|s| (s.name, s.child));
        let stopped = stopped::all().into_iter().map(|s| (s.name, s.child));
        #[cfg(feature = "crash-points")]
        if operations::all().iter().any(|operation| operation.name == name) {
            mobula_store::crash::show();
        }
        let (_, child) = stepped.chain(silent).chain(stopped).find(|(n, _)| *n == name).expect("a known operation");
        child(&store);
        // Reached only if the parent lets the operation finish. Exit without destructors: a death, too.
        trace::exit_now();
    }
    if std::env::args().any(|arg| arg == "--list") {
        return;
    }
    let filter: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let points = std::env::var("MOBULA_STEPS").unwrap_or_else(|_| "12".to_owned());
    assert!(points == "all" || points == DISTINCT || points.parse::<usize>().is_ok(), "MOBULA_STEPS={points}");
    let mut passed = 0;
    for operation in operations::all() {
        if filter.is_empty() || filter.iter().any(|f| operation.name.contains(f.as_str())) {
            let (steps, killed) = run(&operation, &points);
            println!("test stepped::{} ... ok ({steps} instructions, killed at {killed})", operation.name);
            passed += 1;
        }
    }
    for silent in silent::all() {
        if filter.is_empty() || filter.iter().any(|f| silent.name.contains(f.as_str())) {
            println!("test silent::{} ... ok ({} system calls)", silent.name, silent::run(&silent));
            passed += 1;
        }
    }
    for stopped in stopped::all() {
        if filter.is_empty() || filter.iter().any(|f| stopped.name.contains(f.as_str())) {
            println!("test stopped::{} ... ok (after {} instructions)", stopped.name, stopped::run(&stopped));
            passed += 1;
        }
    }
    println!("\n{passed} passed, 0 failed");
}

/// Kills the child at sampled places of one operation; panics at the first broken promise.
fn run(operation: &Operation, points: &str) -> (usize, usize) {
    let (total, places) = {
        let (store, dir) = store_for(operation);
        let mut child = Stepped::start(operation.name, &store);
        let (total, places) = child.places(points != DISTINCT);
        child.kill();
        after(operation, &store, dir.path(), places.last().copied());
        (total, places)
    };
    let stride = match points.parse::<usize>() {
        // Long operations are killed at fewer places: what a place costs is the way to it.
        Ok(points) => (total / points.min(STEPS_A_POINT * points / total.max(1)).max(3)).max(1),
        Err(_) => 1,
    };
    let mut killed = 0;
    for start in (0..places.len()).step_by(stride) {
        // Moves on within the stride, so that a loop in the code is not always met at the same place.
        let place = places[(start + killed * 7 % stride).min(places.len() - 1)];
        let (store, dir) = store_for(operation);
        let mut child = Stepped::start(operation.name, &store);
        child.go_to(place);
        child.kill();
        after(operation, &store, dir.path(), Some(place));
        killed += 1;
    }
    (total, killed)
}

fn store() -> Store {
    Store::create(operations::small(Path::new(""))).expect("a store")
}

/// The operation's store and its folder, as the child finds them.
fn store_for(operation: &Operation) -> (Store, TempDir) {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Store::create((operation.options)(dir.path())).expect("a store");
    (operation.before)(&store);
    (store, dir)
}

/// How many files of objects lie in the store's own folder.
fn files(dir: &Path) -> usize {
    let stores = std::fs::read_dir(dir).expect("the folder").flatten();
    let files = stores.flat_map(|store| std::fs::read_dir(store.path()).into_iter().flatten().flatten());
    files.filter(|file| file.file_name() != "alive").count()
}

/// What must hold after a death at a place.
fn after(operation: &Operation, store: &Store, dir: &Path, place: Option<Place>) {
    let context = |what: &str| format!("{} killed at {place:?}: {what}", operation.name);
    trace::eventually(&context("the dead client's place is not free"), || store.stats().clients == 1);
    store.check().unwrap_or_else(|e| panic!("{}", context(&e.to_string())));
    (operation.after)(store, &context);
    let empty = || (store.stats().objects, store.stats().used_bytes) == (0, 0);
    trace::eventually(&context("objects or bytes are left"), empty);
    let stats = || store.stats();
    let gone = || (stats().spilled_objects, stats().fallback_bytes, stats().queued_creates, files(dir)) == (0, 0, 0, 0);
    trace::eventually(&context("something on disk or in the queue is left"), gone);
    store.check().unwrap_or_else(|e| panic!("{}", context(&e.to_string())));
}
