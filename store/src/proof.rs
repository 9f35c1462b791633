//! Models: every interleaving of two or three threads over the protocols themselves.
//!
//! Loom runs each model again and again, once for every order of steps and for every value that a
//! load may return, with at most [`PREEMPTIONS`] forced switches a run. The protocols are those of
//! the store, over words that loom knows ([`crate::sync`]). `ci/loom.sh` runs them.
//!
//! A crash is a thread that stops after its n-th shared store ([`crashes`] tries every n), whereupon
//! the kernel says that its process is gone ([`die`]). Then the others must get on.
//!
//! | models of | file |
//! |---|---|
//! | pin against free, last release, hand-over, children; the end of a client | `holds.rs`, `life.rs` |
//! | allocator and magazines; moves | `memory.rs`, `moves.rs` |
//! | the queue of creations; the cells of queues of messages, and from ring to ring | `queue.rs`, `cells.rs`, `handover.rs` |
//! | channels; arrays that several fill | `channel.rs`, `parts.rs` |
//! | reapers beside each other and beside the living | `reap.rs` |
//! | read-only clients | `readers.rs` |
//! | locks, waits, bells, the table of files, rings | `lock.rs`, `waits.rs`, `bell.rs`, `disk.rs`, `ring/proof.rs` |
//!
//! Those that need memory share a store of a few pages (`scene.rs`). What only the owner of the allocator's lock
//! touches is plain memory to loom: it finds who touches it without the lock, and explores no orders of it, which
//! is what makes models of whole creations and deletions possible.
//!
//! A model is worth what it finds: the files above name, for each, faults that were put into the protocol on
//! purpose, and the models that failed then.

mod bell;
mod cells;
mod channel;
mod disk;
mod handover;
mod holds;
mod life;
mod lock;
mod memory;
mod moves;
mod parts;
mod queue;
mod readers;
mod reap;
mod scene;
mod waits;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use crate::client::{self, ClientKey};
use crate::ctl::Ctl;
use crate::layout::{C_PID, C_START, C_WORD, Layout};
use crate::shared::Shared;
use crate::sync::{self, Ordering};
use crate::sys::process;

/// How often a run may switch away from a thread that could go on.
const PREEMPTIONS: usize = 3;

/// Explores a model in which nobody dies: a sleep ends by a wake, or never.
pub(crate) fn explore(model: impl Fn() + Send + Sync + 'static) {
    explore_within(PREEMPTIONS, model);
}

/// The same with another bound of forced switches, for models of many steps.
pub(crate) fn explore_within(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    said(explore_with(preemptions, false, model), preemptions, "");
}

/// Explores a model in which somebody dies: whoever sleeps looks again by and by.
pub(crate) fn explore_deaths(model: impl Fn() + Send + Sync + 'static) {
    explore_deaths_within(PREEMPTIONS, model);
}

/// The same with another bound of forced switches.
fn explore_deaths_within(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    said(explore_with(preemptions, true, model), preemptions, "");
}

/// Explores a model once for each place where its mortal thread may be killed: after 1, 2, 3 ... stores,
/// until it comes to its end in every run.
///
/// `model` gets that number, and says whether the thread came to its end.
pub(crate) fn crashes(model: impl Fn(usize) -> bool + Send + Sync + 'static) {
    crashes_within(PREEMPTIONS - 1, model);
}

/// The same with another bound of forced switches, for models of many steps.
fn crashes_within(preemptions: usize, model: impl Fn(usize) -> bool + Send + Sync + 'static) {
    let model = Arc::new(model);
    let (mut stores, mut executions) = (1, 0);
    loop {
        let killed = Arc::new(AtomicBool::new(false));
        let (model, seen) = (Arc::clone(&model), Arc::clone(&killed));
        executions += explore_with(preemptions, true, move || {
            if !model(stores) {
                seen.store(true, Relaxed);
            }
        });
        if !killed.load(Relaxed) {
            break;
        }
        stores += 1;
    }
    said(executions, preemptions, &format!(", killed after each of {} stores", stores - 1));
}

/// Says what was explored.
fn said(executions: usize, preemptions: usize, more: &str) {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("a model");
    eprintln!("{name}: {executions} executions, at most {preemptions} forced switches{more}");
}

/// Explores a model and returns how often it ran.
fn explore_with(preemptions: usize, timeouts: bool, model: impl Fn() + Send + Sync + 'static) -> usize {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(builder.preemption_bound.unwrap_or(preemptions));
    builder.max_branches = 50_000;
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    builder.check(move || {
        counted.fetch_add(1, Relaxed);
        sync::timeouts(timeouts);
        sync::clock::reset();
        sync::payload::forget();
        sync::readers(false);
        sync::hasty(false);
        model();
    });
    runs.load(Relaxed)
}

/// A segment for `clients` living clients and a few objects.
pub(crate) fn segment(clients: u16) -> Shared {
    segment_of(clients, 1 << 20)
}

/// The same for a store of `capacity` bytes.
fn segment_of(clients: u16, capacity: usize) -> Shared {
    let layout = Layout::new(capacity, 64, clients.into()).unwrap();
    let shared = Shared::new(Ctl::heap(layout.len), layout);
    for index in 0..clients {
        let at = shared.layout.client(index.into());
        shared.ctl.u64(at + C_WORD).store(client::word(0, client::ALIVE), Relaxed);
        shared.ctl.u64(at + C_START).store(own_start(), Relaxed);
        shared.ctl.u32(at + C_PID).store(std::process::id(), Relaxed);
    }
    shared
}

/// When this process started: who has its pid and this is alive.
fn own_start() -> u64 {
    static START: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
    *START.get_or_init(|| process::start_time(std::process::id()).unwrap())
}

pub(crate) fn key(index: u16) -> ClientKey {
    ClientKey { index, generation: 0 }
}

/// The kernel takes the process of a client away: nobody has its pid from now on.
pub(crate) fn die(shared: &Shared, index: u16) {
    shared.ctl.u32(shared.layout.client(index.into()) + C_PID).store(0, Ordering::SeqCst);
}
