//! The part of the host that uses Mobula. The rest of the program knows only this.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use embedded_actors::{Analyser, Summary};
use mobula::prelude::*;

/// Sums up blocks of samples in other processes. Threads share it by reference.
#[derive(Debug)]
pub(crate) struct Engine {
    analysers: Vec<ActorHandle<Analyser>>,
    next: AtomicUsize,
    // Last, because fields are dropped in their order: handles first, then the runtime with all processes.
    _runtime: Runtime,
}

impl Engine {
    /// Starts Mobula and `analysers` actors. May be called at any time, from any thread, with other threads running:
    /// the workers are a program of their own, so that nothing of the host is run a second time.
    ///
    /// # Errors
    ///
    /// When `worker` is no such program, or Mobula runs already in this process.
    pub(crate) fn start(worker: PathBuf, analysers: usize) -> mobula::Result<Engine> {
        let runtime = mobula::init(Config::new().worker_exe(worker))?;
        let analysers = (0..analysers).map(|_| Analyser::remote()).collect::<mobula::Result<_>>()?;
        Ok(Engine { analysers, next: AtomicUsize::new(0), _runtime: runtime })
    }

    /// Hands a block of samples to the next analyser and comes back at once; `get` on the result waits.
    ///
    /// # Errors
    ///
    /// When the store has no room for the block.
    pub(crate) fn submit(&self, samples: &[f32]) -> mobula::Result<ObjectRef<Summary>> {
        let samples = Array::from_slice(samples)?;
        // Only a rotation: nothing else is ordered by this counter.
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.analysers.len();
        Ok(self.analysers[turn].analyse(samples).remote())
    }

    /// Asks every analyser for the sum of its blocks.
    ///
    /// # Errors
    ///
    /// When one of them has died.
    pub(crate) fn totals(&self) -> mobula::Result<Vec<Summary>> {
        let totals: Vec<_> = self.analysers.iter().map(|a| a.total().remote()).collect();
        mobula::get_all(&totals)
    }
}
