//! Knells: hearing that a process is about to be gone while the kernel still takes it apart.
//!
//! A process is dead when its descriptor says so. Until then the kernel unmaps its memory, for hundreds of microseconds,
//! while nothing of the process runs any more. The list of robust locks is walked before: a thread that lives as long as
//! its process leaves one there that never was a lock.
//!
//! ```text
//!   words      header: knell, a futex, always 0 (1: nobody listens)    record: who tolls
//!
//!   process of a client                            listener
//!   K1 before its second thread: accept interrupts
//!   K2 who tolls = the thread's number             L1 sleep while the knell is 0
//!   K3 robust list: {who tolls}, pending: knell    L2 every record: ended -> 0, that client is told
//!   .. its threads end, for whatever reason        L3 ask the kernel whether the process ends   (the caller)
//!   kernel: who tolls = ended                      L4 interrupt all processors
//!   kernel: one sleeper of the knell is woken      L5 no instruction of it is executed any more
//!   kernel: memory goes; the descriptor tells
//! ```
//!
//! # Why nothing of it runs after L5
//!
//! Whatever ends a process (a signal, `exit_group`) marks it as ending and gives every one of its threads a SIGKILL, all
//! under one lock of the kernel. L3 must read that mark: `/proc/<pid>/stat` takes the same lock. So all threads
//! have got theirs by then, no new one can be made, and a thread that enters or leaves the kernel from here on
//! does not return to its own instructions. Only one that is on a processor right now, and has not been interrupted yet, may
//! still execute some: L4 interrupts it, and waits for that. A processor that L4 leaves out runs no thread of a process that
//! accepts interrupts, and would have to leave the kernel to do so.
//!
//! What a thread does *inside* the kernel goes on: a `read` into the arena, a `write` to a file. Descriptors are still open,
//! ports bound. So what the process said in shared words is final after L5, but its memory may still change and what it has
//! is still in use: reaping waits for its end (`reap.rs`).
//!
//! - **KN-1** A knell is a hint. It may be lost (the listener was between L2 and L1; another architecture, an older kernel, a
//!   seccomp filter, user code that names another list), late, and wrong: a thread that ended alone, an `exec` (which ends
//!   the other threads, too), a hostile word. Whoever hears one does L3 to L5 before it believes it.
//! - **KN-2** Nobody waits for one: the process's descriptor tells its end in any case.
//! - **KN-3** The words only ever mean something to the kernel as the number of the thread that wrote it; no other thread's
//!   end changes them, and a forked child has none of this: the list belongs to the thread.

use std::fmt;
use std::sync::Arc;

use crate::client::{self, ClientKey};
use crate::host::Host;
use crate::layout::{C_TOLLER, H_KNELL};
use crate::shared::Shared;
use crate::sync::{AtomicU32, Ordering};
use crate::sys::robust::{self, ENDED};
use crate::sys::{futex, processor};

/// What the knell's word is once nobody listens.
const HUSHED: u32 = 1;

/// A client's access to the store's knell.
#[derive(Clone)]
pub struct Knell {
    shared: Arc<Shared>,
    host: Arc<dyn Host>,
}

impl fmt::Debug for Knell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Knell").field("client", &self.host.key()).finish_non_exhaustive()
    }
}

impl Knell {
    pub(crate) fn new(host: Arc<dyn Host>) -> Knell {
        Knell { shared: Arc::clone(host.shared()), host }
    }

    /// Has this process's threads be reached by [`Knell::settle`], step K1; false if the kernel cannot.
    ///
    /// Takes no time in a process with one thread, and some milliseconds otherwise.
    pub fn prepare() -> bool {
        robust::accept_interrupts()
    }

    /// Has the kernel toll the knell for this client when the calling thread ends, steps K2 and K3; false if it will not.
    ///
    /// For a thread that ends with its process only, and locks no robust mutex. The store stays mapped in this process.
    pub fn toll_at_end(&self) -> bool {
        if self.shared.reader.is_some() {
            return false;
        }
        let shared: &'static Arc<Shared> = Box::leak(Box::new(Arc::clone(&self.shared)));
        let word = toller(shared, self.host.key().index.into());
        word.store(processor::tid(), Ordering::Relaxed);
        robust::toll(word, shared.ctl.u32(H_KNELL))
    }

    /// Waits until it tolls, and returns for whom; `None` once it is hushed. One thread at a time can.
    ///
    /// It is a hint: see [`Knell::settle`].
    pub fn listen(&self) -> Option<Vec<ClientKey>> {
        let knell = self.shared.ctl.u32(H_KNELL);
        loop {
            if knell.load(Ordering::Acquire) != 0 {
                return None;
            }
            futex::wait(knell, 0, None, u32::MAX);
            let told: Vec<_> = (0..self.shared.layout.clients).filter_map(|index| self.take(index)).collect();
            if !told.is_empty() {
                return Some(told);
            }
        }
    }

    /// Ends all listening in this store, for good.
    pub fn hush(&self) {
        if self.shared.reader.is_none() {
            let knell = self.shared.ctl.u32(H_KNELL);
            knell.store(HUSHED, Ordering::Release);
            futex::wake(knell, u32::MAX, u32::MAX);
        }
    }

    /// Waits, a few microseconds, until no instruction of a process is executed any more of which the kernel has said that it
    /// ends; false if that cannot be known.
    ///
    /// Step L4. The process must have called [`Knell::prepare`].
    pub fn settle(&self) -> bool {
        robust::interrupt()
    }

    /// Step L2 for one record.
    fn take(&self, index: usize) -> Option<ClientKey> {
        let word = toller(&self.shared, index);
        if word.load(Ordering::Acquire) != ENDED {
            return None;
        }
        let client = client::at(&self.shared, index, client::ALIVE);
        // If it is somebody else's meanwhile the word is, too.
        word.compare_exchange(ENDED, 0, Ordering::AcqRel, Ordering::Relaxed).ok().and(client)
    }
}

fn toller(shared: &Shared, index: usize) -> &AtomicU32 {
    shared.ctl.u32(shared.layout.client(index) + C_TOLLER)
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Store, StoreOptions};

    #[test]
    fn the_end_of_a_thread_is_heard_once_and_of_nobody_else() {
        let store = Store::create(StoreOptions::new(1 << 20)).unwrap();
        let (ends, stays) = (Store::attach(store.address()).unwrap(), Store::attach(store.address()).unwrap());
        assert!(Knell::prepare());
        let listener = std::thread::spawn({
            let knell = store.knell();
            move || knell.listen()
        });
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let stayer = std::thread::spawn({
            let knell = stays.knell();
            move || {
                assert!(knell.toll_at_end());
                let _ = ended.recv();
            }
        });
        let knell = ends.knell();
        // One that finds the listener just before its sleep is lost.
        while !listener.is_finished() {
            let knell = knell.clone();
            std::thread::spawn(move || assert!(knell.toll_at_end())).join().unwrap();
        }
        assert_eq!(listener.join().unwrap(), Some(vec![ends.client()]));
        assert!(store.knell().settle());
        store.knell().hush();
        assert_eq!(store.knell().listen(), None);
        drop(end);
        stayer.join().unwrap();
    }

    #[test]
    fn a_record_with_a_new_owner_tolls_for_nobody() {
        let store = Store::create(StoreOptions::new(1 << 20)).unwrap();
        let client = Store::attach(store.address()).unwrap();
        let index = usize::from(client.client().index);
        toller(&store.inner().shared, index).store(ENDED, Ordering::Relaxed);
        drop(client);
        while client::load(&store.inner().shared, index) & 0xff != client::FREE {
            std::thread::yield_now();
        }
        assert_eq!(store.knell().take(index), None);
        let client = Store::attach(store.address()).unwrap();
        assert_eq!((usize::from(client.client().index), store.knell().take(index)), (index, None));
    }
}
