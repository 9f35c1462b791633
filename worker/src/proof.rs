//! Models: every interleaving of two or three threads over the protocols inside a process.
//!
//! As the store's models, with the same bound of forced switches; `ci/loom.sh` runs both. The words are those of
//! [`crate::sync`].
//!
//! | models of | file |
//! |---|---|
//! | refs: settled, read, cloned, watched, dropped | `cell/proof.rs` |
//! | calls of an event loop: woken while they are polled | `executor/event_loop/state/proof.rs` |
//! | the pump: leaders that come and go, a service thread that ticks and stops; followers | `pump/{charge,progress}/proof.rs` |

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

/// How often a run may switch away from a thread that could go on.
const PREEMPTIONS: usize = 3;

/// Explores a model and says how often it ran.
pub(crate) fn explore(model: impl Fn() + Send + Sync + 'static) {
    explore_within(PREEMPTIONS, model);
}

/// The same with another bound of forced switches, for models of many steps.
pub(crate) fn explore_within(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    let bound = *builder.preemption_bound.get_or_insert(preemptions);
    builder.max_branches = 50_000;
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    builder.check(move || {
        counted.fetch_add(1, Relaxed);
        model();
    });
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("a model");
    eprintln!("{name}: {} executions, at most {bound} forced switches", runs.load(Relaxed));
}
