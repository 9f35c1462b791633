//! The store's own API.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use crate::alloc::Shortage;
use crate::attach;
use crate::bell::Bell;
use crate::check::{self, CheckReport};
use crate::client::{self, ClientKey};
use crate::create;
use crate::error::{Error, ErrorKind, Result};
use crate::evict::{Evictor, Step};
use crate::holds::{Adopted, HOLD};
use crate::id::ObjectId;
use crate::index;
use crate::inner::Inner;
use crate::knell::Knell;
use crate::layout::H_RECLAIMED;
use crate::moves;
use crate::object::{ObjectBuffer, ObjectHold, ObjectView, Promise};
use crate::options::{ObjectOptions, StoreOptions};
use crate::outlet;
use crate::premap;
use crate::reap;
use crate::report::{self, ObjectInfo, StoreStats};
use crate::ring::{Mailbox, RingError, RingSender};
use crate::slot;
use crate::sync::Ordering;
use crate::sys::futex;
use crate::waits::{self, On};

/// Up to this size an object is written before others can see that it is being made.
const FUSED: usize = 256 << 10;

/// A client of a store of immutable objects in shared memory.
///
/// Clones are the same client; it ends when the last clone, view and buffer are dropped.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use mobula_store::{ObjectId, Store, StoreOptions};
///
/// # fn main() -> mobula_store::Result<()> {
/// let store = Store::create(StoreOptions::new(1 << 20))?;
/// let other = Store::attach(store.address())?;        // another process, or this one
///
/// let id = ObjectId::random();
/// let mut buffer = store.create_object(id, 5)?;
/// buffer.copy_from_slice(b"hello");
/// buffer.seal()?;
///
/// let view = other.get(id, Some(Duration::from_secs(1)))?;
/// assert_eq!(&view[..], b"hello");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

/// What a deletion did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// The object is gone and its memory free.
    Now,
    /// Somebody views it: it is gone for everyone else, its memory free at the last release.
    AtLastRelease,
}

impl Store {
    /// Makes a store; this process serves its address until the last handle is dropped.
    ///
    /// If the server of a store at that address (or with that segment's name) has died or ended, and
    /// any of its clients lives, that store is adopted instead: with its objects, its capacity and its
    /// other options ([`adopted`](Self::adopted)). Nothing of the dead is left in it when this returns.
    ///
    /// # Errors
    ///
    /// [`is_invalid_argument`](Error::is_invalid_argument) for options without sense,
    /// [`is_address_in_use`](Error::is_address_in_use) if a living store has the address.
    pub fn create(options: StoreOptions) -> Result<Store> {
        Ok(Store { inner: create::create(&options)? })
    }

    /// Joins the store at an address as a new client, from any process of the same user.
    ///
    /// # Errors
    ///
    /// [`is_disconnected`](Error::is_disconnected) if no store answers there,
    /// [`is_permission_denied`](Error::is_permission_denied) if it is another user's,
    /// [`is_store_full`](Error::is_store_full) if all places for clients are taken.
    pub fn attach(address: impl AsRef<str>) -> Result<Store> {
        Ok(Store { inner: attach::attach(address.as_ref())? })
    }

    /// Maps the store at an address ahead: the next [`attach`](Self::attach) to it, in this process or in each that is
    /// forked from it, finds everything mapped already.
    ///
    /// The process does not become a client by it. Whoever attaches in this way is a client like any other but for one
    /// thing: when the process ends that serves the store, it has no thread that notices it and takes its part. So this is
    /// for processes that end with that one.
    ///
    /// # Errors
    ///
    /// As [`attach`](Self::attach).
    ///
    /// # Examples
    ///
    /// ```
    /// # use mobula_store::{Store, StoreOptions};
    /// # fn main() -> mobula_store::Result<()> {
    /// let store = Store::create(StoreOptions::new(1 << 20))?;
    /// Store::premap(store.address())?;
    /// // Here, or in a forked child:
    /// let other = Store::attach(store.address())?;
    /// assert_ne!(store.client(), other.client());
    /// # Ok(())
    /// # }
    /// ```
    pub fn premap(address: impl AsRef<str>) -> Result<()> {
        premap::premap(address.as_ref())
    }

    /// Joins the store at an address as a client that can only read.
    ///
    /// It can [`get`](Self::get), [`get_many`](Self::get_many), [`wait`](Self::wait), [`contains`](Self::contains),
    /// [`list`](Self::list), [`info`](Self::info), [`stats`](Self::stats) and [`check`](Self::check), and take holds of what
    /// it views; all else is [`is_read_only`](Error::is_read_only) or does nothing. Its process has the store
    /// mapped for reading, but for 640 KiB of its own, in which it says what it views and waits for.
    ///
    /// [`check`](Self::check) leaves out what can be seen only under a lock. With eviction, reading an object does
    /// not make it a recently used one.
    ///
    /// # Errors
    ///
    /// As [`attach`](Self::attach).
    ///
    /// # Examples
    ///
    /// ```
    /// # use mobula_store::{ObjectId, Store, StoreOptions};
    /// # fn main() -> mobula_store::Result<()> {
    /// let store = Store::create(StoreOptions::new(1 << 20))?;
    /// let id = ObjectId::random();
    /// store.put(id, b"seen")?;
    /// let reader = Store::attach_read_only(store.address())?;
    /// assert_eq!(&reader.get(id, None)?[..], b"seen");
    /// assert!(reader.delete(id).unwrap_err().is_read_only());
    /// # Ok(())
    /// # }
    /// ```
    pub fn attach_read_only(address: impl AsRef<str>) -> Result<Store> {
        Ok(Store { inner: attach::attach_read_only(address.as_ref())? })
    }

    /// Says whether [`create`](Self::create) took over a store that was there before.
    pub fn adopted(&self) -> bool {
        self.inner.link.adopted()
    }

    /// Returns the address that others attach to.
    pub fn address(&self) -> &str {
        &self.inner.address
    }

    /// Returns which client this is.
    pub fn client(&self) -> ClientKey {
        self.inner.me
    }

    /// Makes room for an object of `len` bytes that is then written and sealed.
    ///
    /// # Errors
    ///
    /// [`is_exists`](Error::is_exists), or [`is_store_full`](Error::is_store_full) if no memory came free
    /// in time or `len` can never fit.
    pub fn create_object(&self, id: ObjectId, len: usize) -> Result<ObjectBuffer> {
        self.create_object_with(id, len, &ObjectOptions::new())
    }

    /// Makes room for an object with options.
    ///
    /// # Errors
    ///
    /// As [`create_object`](Self::create_object); [`is_invalid_argument`](Error::is_invalid_argument) for
    /// more than 64 KiB of metadata.
    pub fn create_object_with(&self, id: ObjectId, len: usize, options: &ObjectOptions) -> Result<ObjectBuffer> {
        self.inner.create(id, len, options)
    }

    /// Creates, fills and seals an object.
    ///
    /// # Errors
    ///
    /// As [`create_object`](Self::create_object).
    pub fn put(&self, id: ObjectId, data: &[u8]) -> Result<ObjectView> {
        self.put_with(id, data, &ObjectOptions::new())
    }

    /// Creates, fills and seals an object with options.
    ///
    /// # Errors
    ///
    /// As [`create_object_with`](Self::create_object_with).
    pub fn put_with(&self, id: ObjectId, data: &[u8], options: &ObjectOptions) -> Result<ObjectView> {
        if data.len() <= FUSED {
            return self.inner.put(id, data, options);
        }
        let mut buffer = self.inner.create_for(id, data.len(), options, data.len())?;
        buffer.fill_from(data)?;
        buffer.seal()
    }

    /// Seals several buffers in order, with one wake-up.
    ///
    /// # Errors
    ///
    /// At the first that cannot be sealed; those behind it are aborted, those before it stay sealed.
    pub fn seal_all(&self, buffers: Vec<ObjectBuffer>) -> Result<Vec<ObjectView>> {
        ObjectBuffer::seal_all(buffers)
    }

    /// Views an object, waiting until it is sealed (`None` for ever, zero only looks).
    ///
    /// The id may not exist yet. A sealed object is found without a system call and without any
    /// other process.
    ///
    /// # Errors
    ///
    /// [`is_timeout`](Error::is_timeout).
    #[inline]
    pub fn get(&self, id: ObjectId, timeout: Option<Duration>) -> Result<ObjectView> {
        match self.inner.find(id) {
            Some((body, found)) => ObjectView::of(body, id, found),
            None => self.get_slow(id, timeout),
        }
    }

    #[cold]
    fn get_slow(&self, id: ObjectId, timeout: Option<Duration>) -> Result<ObjectView> {
        self.inner.usable()?;
        let look = || self.inner.find(id).map(|(body, found)| ObjectView::of(body, id, found));
        let deadline = timeout.and_then(|t| Instant::now().checked_add(t));
        waits::wait(&self.inner.shared, On::Object(id), deadline, look)
            .unwrap_or_else(|| Err(ErrorKind::Timeout { id, after: timeout.unwrap_or_default() }.into()))
    }

    /// Views several objects; `None` stands where the time ran out.
    ///
    /// # Errors
    ///
    /// Only if the store is corrupt.
    pub fn get_many(&self, ids: &[ObjectId], timeout: Option<Duration>) -> Result<Vec<Option<ObjectView>>> {
        let deadline = timeout.and_then(|t| Instant::now().checked_add(t));
        ids.iter()
            .map(|&id| {
                let left = deadline.map(|d| d.saturating_duration_since(Instant::now()));
                match self.get(id, left) {
                    Ok(view) => Ok(Some(view)),
                    Err(error) if error.is_timeout() => Ok(None),
                    Err(error) => Err(error),
                }
            })
            .collect()
    }

    /// Waits until `n` of the objects are sealed and returns (ready, pending), both in argument order.
    ///
    /// Ready are the first `n` sealed ones, fewer if the time ran out; nothing is pinned.
    ///
    /// # Errors
    ///
    /// [`is_invalid_argument`](Error::is_invalid_argument) for an empty list, duplicates, `n` = 0 or `n` > length.
    pub fn wait(
        &self,
        ids: &[ObjectId],
        n: usize,
        timeout: Option<Duration>,
    ) -> Result<(Vec<ObjectId>, Vec<ObjectId>)> {
        self.inner.usable()?;
        if n == 0 || n > ids.len() {
            return Err(Error::invalid(format!("wait takes 1 to {} as the number of objects, got {n}", ids.len())));
        }
        let mut sorted = ids.to_vec();
        sorted.sort_unstable();
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Error::invalid(format!("wait takes each object once, {} is given twice", pair[0])));
        }
        let deadline = timeout.and_then(|t| Instant::now().checked_add(t));
        // What counts is one look: an object that was ready may be deleted before the next.
        let look = || {
            let mut left = n;
            let first = |id: &&ObjectId| {
                let take = left > 0 && self.contains(**id);
                left -= usize::from(take);
                take
            };
            let (ready, pending): (Vec<&ObjectId>, Vec<&ObjectId>) = ids.iter().partition(first);
            let copied = |ids: Vec<&ObjectId>| ids.into_iter().copied().collect::<Vec<_>>();
            (copied(ready), copied(pending))
        };
        let enough = || Some(look()).filter(|(ready, _)| ready.len() == n);
        Ok(waits::wait(&self.inner.shared, On::Any, deadline, enough).unwrap_or_else(look))
    }

    /// Says whether the object exists and is sealed.
    #[inline]
    pub fn contains(&self, id: ObjectId) -> bool {
        index::find(&self.inner.shared, id).is_some_and(|(_, state)| state.is_sealed())
    }

    /// Says whether the object exists in any state: promised, being written or sealed.
    pub fn exists(&self, id: ObjectId) -> bool {
        index::find(&self.inner.shared, id).is_some()
    }

    /// Deletes an object, whoever made it.
    ///
    /// | object | answer | effect |
    /// |---|---|---|
    /// | sealed, no view | [`Deleted::Now`] | memory free when the call returns |
    /// | sealed, views somewhere | [`Deleted::AtLastRelease`] | gone for everyone else; views stay valid |
    /// | unsealed | `is_not_sealed` | remembered: once sealed it goes with its last view |
    /// | missing | `is_not_found` | none |
    ///
    /// # Errors
    ///
    /// As the table says.
    pub fn delete(&self, id: ObjectId) -> Result<Deleted> {
        self.inner.writable()?;
        loop {
            let (at, state) =
                index::find(&self.inner.shared, id).ok_or_else(|| Error::from(ErrorKind::NotFound(id)))?;
            let slot = self.inner.slot(at);
            match state.state() {
                slot::CREATING => {
                    if state.has(slot::DELETE_AT_SEAL) || slot.cas(state, state.with(slot::DELETE_AT_SEAL)) {
                        return Err(ErrorKind::NotSealed(id).into());
                    }
                }
                slot::SEALED | slot::CONDEMNED | slot::MOVING => {
                    let condemned = state.to(slot::CONDEMNED, Some(self.inner.me.index)).with(slot::DELETED);
                    if slot.cas(state, condemned) {
                        index::remove(&self.inner.shared, id, at);
                        let actor = self.inner.actor();
                        let is_gone = actor.look(at) || moves::await_mover(actor, at);
                        return Ok(if is_gone { Deleted::Now } else { Deleted::AtLastRelease });
                    }
                }
                _ => return Err(ErrorKind::NotFound(id).into()),
            }
        }
    }

    /// Frees at least `bytes` of memory by evicting the least recently used objects, then by spilling; returns how many.
    ///
    /// What is viewed stays, and what is held or contained in others is not evicted, so that it may be fewer. Whoever
    /// moves an object at that moment is waited for, a second at most. Objects are evicted only if the store was made
    /// with [`Eviction::LeastRecentlyUsed`](crate::Eviction::LeastRecentlyUsed) and spilled only if it has a
    /// `spill_dir`.
    ///
    /// # Errors
    ///
    /// [`is_out_of_disk`](Error::is_out_of_disk) if nothing could be freed because of the disk.
    pub fn evict(&self, bytes: u64) -> Result<u64> {
        self.inner.writable()?;
        if bytes == 0 {
            return Ok(0);
        }
        let mut evictor = Evictor::new(self.inner.actor());
        let mut most = 0;
        while most < bytes
            && let Some(step) = evictor.step(Shortage::Memory)
        {
            if let Step::Freed(freed) = step {
                most = freed;
            }
        }
        if most < bytes && outlet::spills(&self.inner.shared) {
            most += self.inner.spill(bytes - most)?;
        }
        Ok(most)
    }

    /// Keeps an object existing; it may be promised or sealed.
    ///
    /// # Errors
    ///
    /// [`is_not_found`](Error::is_not_found).
    pub fn hold(&self, id: ObjectId) -> Result<ObjectHold> {
        self.inner.writable()?;
        let found = index::find(&self.inner.shared, id);
        match found.map(|(at, _)| (at, self.inner.actor().adopt(at, HOLD, true))) {
            Some((at, Adopted::Sealed(_) | Adopted::Creating)) => Ok(ObjectHold::of(self.inner.count(), at, id)),
            _ => Err(ErrorKind::NotFound(id).into()),
        }
    }

    /// Reserves `id` for a counted object whose value is not known yet.
    ///
    /// Others may hold it and wait for it meanwhile.
    ///
    /// # Errors
    ///
    /// [`is_exists`](Error::is_exists) or [`is_store_full`](Error::is_store_full) (object table).
    pub fn promise(&self, id: ObjectId) -> Result<Promise> {
        self.inner.promise(id)
    }

    /// Lists all objects; those that existed throughout the call show exactly once.
    pub fn list(&self) -> Vec<ObjectInfo> {
        report::list(&self.inner)
    }

    /// Describes one object.
    pub fn info(&self, id: ObjectId) -> Option<ObjectInfo> {
        report::info(&self.inner, id)
    }

    /// Returns the store's figures.
    pub fn stats(&self) -> StoreStats {
        report::stats(&self.inner)
    }

    /// Checks every invariant; may run at any time beside others' work.
    ///
    /// # Errors
    ///
    /// [`is_corrupt`](Error::is_corrupt), listing all that is broken.
    pub fn check(&self) -> Result<CheckReport> {
        self.inner.usable()?;
        check::check(self.inner.actor())
    }
}

impl Store {
    /// Wraps a client that is attached already.
    pub(crate) fn of(inner: Arc<Inner>) -> Store {
        Store { inner }
    }
}

impl Store {
    /// Returns the client behind the handle.
    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }

    /// Returns the client behind the handle, to be shared.
    pub(crate) fn shared_inner(&self) -> &Arc<Inner> {
        &self.inner
    }
}

/// For the layers above: processes, rings and bells.
impl Store {
    /// Undoes everything that a dead client left, if its process is gone; otherwise does nothing.
    ///
    /// The server of the store does it by itself; this is for those who know of a death first and
    /// want it done before they go on. What the client sent and others have not received stays.
    pub fn reap(&self, client: ClientKey) {
        if self.inner.writable().is_ok() {
            reap::reap_if_dead(self.inner.actor(), client);
        }
    }

    /// Says whether `client` is attached and its death has not been noticed.
    pub fn is_alive(&self, client: ClientKey) -> bool {
        client::is_attached(&self.inner.shared, client)
    }

    /// Returns the reclaim sequence as soon as it differs from `last`, or when the time is over.
    ///
    /// It counts the ends of objects made with [`ObjectOptions::notify`], and deaths of clients.
    pub fn wait_reclaim(&self, last: u32, timeout: Option<Duration>) -> u32 {
        let word = self.inner.shared.ctl.u32(H_RECLAIMED);
        let deadline = timeout.and_then(|t| Instant::now().checked_add(t));
        loop {
            let now = word.load(Ordering::SeqCst);
            let left = deadline.map(|d| d.saturating_duration_since(Instant::now()));
            if now != last || left.is_some_and(|left| left.is_zero()) {
                return now;
            }
            futex::wait(word, last, left, u32::MAX);
        }
    }

    /// Wakes everybody in [`wait_reclaim`](Self::wait_reclaim), as if an object had ended.
    pub fn wake_reclaim_waiters(&self) {
        if self.inner.writable().is_ok() {
            self.inner.actor().notify();
        }
    }

    /// Opens the ring from this client to another.
    ///
    /// # Errors
    ///
    /// [`RingError::PeerGone`], [`RingError::AlreadyOpen`] while this client has one to that peer, or
    /// [`RingError::Exhausted`]; [`RingError::ReadOnly`].
    pub fn open_ring(&self, to: ClientKey) -> Result<RingSender, RingError> {
        if self.inner.is_reader() {
            return Err(RingError::ReadOnly);
        }
        let _one_at_a_time = self.inner.opening.lock().unwrap_or_else(PoisonError::into_inner);
        RingSender::open(self.inner.clone(), to)
    }

    /// Takes the receiving side of all rings towards this client; `None` while somebody has it, and for a read-only client.
    pub fn mailbox(&self) -> Option<Mailbox> {
        let free = !self.inner.is_reader() && !self.inner.mailbox_taken.swap(true, Ordering::AcqRel);
        free.then(|| Mailbox::new(self.inner.clone()))
    }

    /// Returns this client's doorbell.
    pub fn bell(&self) -> Bell {
        Bell::new(self.inner.clone())
    }

    /// Returns this client's access to the store's knell, which tells of processes that are about to be gone.
    pub fn knell(&self) -> Knell {
        Knell::new(self.inner.clone())
    }
}
