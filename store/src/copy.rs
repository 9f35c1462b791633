//! Copies into the store, by several threads where that pays.

use std::sync::OnceLock;

use rayon::ThreadPool;
use rayon::prelude::*;

/// From this size on a second thread pays for its wake-up.
const PARALLEL: usize = 16 << 20;
/// What one thread copies at a time.
const PIECE: usize = 2 << 20;
/// More threads than this do not make memory faster.
const MAX_THREADS: usize = 4;

static POOL: OnceLock<Option<ThreadPool>> = OnceLock::new();

/// Copies `from` into `to`, which has the same length.
pub(crate) fn copy(to: &mut [u8], from: &[u8]) {
    match (from.len() >= PARALLEL).then(pool).flatten() {
        Some(pool) => pool.install(|| {
            to.par_chunks_mut(PIECE).zip(from.par_chunks(PIECE)).for_each(|(to, from)| to.copy_from_slice(from));
        }),
        None => to.copy_from_slice(from),
    }
}

/// The store's own small pool: made at the first large copy, never the program's global one.
fn pool() -> Option<&'static ThreadPool> {
    POOL.get_or_init(|| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
        if threads < 2 {
            return None;
        }
        rayon::ThreadPoolBuilder::new().num_threads(threads).thread_name(|i| format!("mobula-copy-{i}")).build().ok()
    })
    .as_ref()
}
