//! Models: every interleaving of two or three threads over the protocols inside a process.
//!
//! As the store's models, with the same bound of forced switches; `ci/loom.sh` runs both. The words are those of
//! [`crate::sync`].
//!
//! | models of | file |
//! |---|---|
//! | refs: settled, read, cloned, watched, dropped | `cell/proof.rs` |

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

/// How often a run may switch away from a thread that could go on.
const PREEMPTIONS: usize = 3;

/// Explores a model and says how often it ran.
pub(crate) fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    let bound = *builder.preemption_bound.get_or_insert(PREEMPTIONS);
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
