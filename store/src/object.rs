//! Objects in the hands of a process: buffers, views, holds and promises.
//!
//! ```text
//!   ObjectBuffer --seal--> ObjectView (pins the address) --hold--> ObjectHold (keeps it existing)
//!   Promise --fulfil--> ObjectBuffer                       ObjectHold --get--> ObjectView
//! ```
//!
//! Each owns one unit in the client's hold word (holds.rs) and gives it back when the last clone in
//! this process is dropped; clones share it. Bytes become `&[u8]` only after the seal, through the
//! read-only mapping; before it only the buffer's owner has them.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::body::{Inner, Ref};
use crate::copy;
use crate::disk::{Mapped, Mapping, Record};
use crate::error::{Error, ErrorKind, Result};
use crate::holds::{Adopted, HOLD, VIEW};
use crate::id::ObjectId;
use crate::lookup::Found;
use crate::moves::{self, Mover};
use crate::options::ObjectOptions;
use crate::place::Place;
use crate::queue;
use crate::slot::{self, SlotRef, State};
use crate::store::Store;
use crate::thaw;
use crate::waits::{self, On};

/// One unit of a client's hold word, shared by all clones of a handle.
///
/// Most handles are never cloned: only the first clone makes the counter that decides who is the last.
pub(crate) struct Unit {
    pub(crate) body: Ref,
    pub(crate) at: SlotRef,
    pub(crate) id: ObjectId,
    size: u64,
    clones: OnceLock<Arc<Last>>,
}

/// Gives a unit back when the last clone is dropped.
struct Last {
    body: Ref,
    index: u32,
    size: u64,
}

impl Drop for Last {
    fn drop(&mut self) {
        self.body.drop_unit(self.index, self.size);
    }
}

impl Unit {
    /// Wraps a unit that was just taken and counted.
    #[inline]
    pub(crate) fn new(body: Ref, at: SlotRef, id: ObjectId, size: u64) -> Unit {
        Unit { body, at, id, size, clones: OnceLock::new() }
    }
}

impl Clone for Unit {
    fn clone(&self) -> Self {
        let Unit { body, at, id, size, clones } = self;
        let last = clones.get_or_init(|| Arc::new(Last { body: *body, index: at.index, size: *size }));
        Unit { body: *body, at: *at, id: *id, size: *size, clones: OnceLock::from(last.clone()) }
    }
}

impl Drop for Unit {
    #[inline]
    fn drop(&mut self) {
        if self.clones.get().is_none() {
            // By values: a view that nobody looks at as a whole need not be in memory.
            self.body.drop_unit(self.at.index, self.size);
        }
    }
}

/// Bytes of an object that are not in the arena.
enum Outside {
    /// A record on disk, read in place.
    Record(Mapped),
    /// A file of the object's own.
    File(Mapping),
}

impl Outside {
    fn start(&self) -> *const u8 {
        match self {
            Outside::Record(mapped) => mapped.as_ptr(),
            Outside::File(mapping) => mapping.as_ptr(),
        }
    }
}

/// Borrows the bytes of a sealed object; they never change while a view lives.
///
/// A clone shares the view. It is `Send`, `Sync` and `'static`, and keeps its client attached.
#[derive(Clone)]
pub struct ObjectView {
    unit: Unit,
    data: *const u8,
    len: usize,
    meta_len: usize,
    /// Keeps the mapping if the bytes are not in the arena.
    outside: Option<Arc<Outside>>,
}

// SAFETY: a view only reads sealed bytes, which no process writes (ST-9); the unit is Send and Sync.
unsafe impl Send for ObjectView {}
// SAFETY: as for Send.
unsafe impl Sync for ObjectView {}

impl ObjectView {
    /// Wraps a view unit that was just taken of a sealed object, and counted.
    #[inline]
    pub(crate) fn of(body: Ref, id: ObjectId, found: Found) -> Result<ObjectView> {
        let Found { at, state, len, meta_len, data } = found;
        if data.is_null() {
            return Self::of_outside(Unit::new(body, at, id, VIEW), state);
        }
        Ok(ObjectView { unit: Unit::new(body, at, id, VIEW), data, len, meta_len, outside: None })
    }

    /// As [`of`](Self::of) for a unit that was not taken by a look-up; `state` was seen after that.
    pub(crate) fn made(body: Ref, at: SlotRef, id: ObjectId, state: State) -> Result<ObjectView> {
        Self::of(body, id, body.found(body.slot(at), at, state))
    }

    /// Views an object that is not in the arena: brought back from disk if there is memory, else in its file.
    #[cold]
    fn of_outside(unit: Unit, state: State) -> Result<ObjectView> {
        if state.has(slot::MUTABLE) {
            return Err(Error::invalid(format!(
                "object {} stays writable and has no value: open it as the channel, queue or array that it is",
                unit.id
            )));
        }
        let spilled = matches!(unit.body.slot(unit.at).place(state), Some(Place::Record(_)));
        let unit = if spilled && !unit.body.is_reader() { Self::bring_back(unit) } else { unit };
        // While the unit stands nobody moves it.
        let Unit { body, at, id, .. } = &unit;
        let slot = body.slot(*at);
        // Each word is read once: what was measured is what is shown.
        let head = moves::head(slot, *at);
        let (len, meta_len) = (head.len as usize, head.meta_len as usize);
        let whole = head.payload().and_then(|whole| usize::try_from(whole).ok()).unwrap_or(usize::MAX);
        let place = slot.place(slot.state());
        let disk = || body.looks.disk().ok_or_else(|| misplaced(*id, place, len));
        let outside = match place {
            Some(Place::Record(word)) => {
                let record = Record::from_word(word).ok_or_else(|| misplaced(*id, place, len))?;
                Outside::Record(disk()?.map(record, &head).map_err(|e| Error::disk(*id, e))?)
            }
            Some(Place::File(number)) => {
                let mapping = disk()?.fallback_map(number, whole, false);
                Outside::File(mapping.map_err(|e| Error::disk(*id, e))?)
            }
            place => {
                let offset = place.filter(|place| whole <= place.bytes()).and_then(Place::offset);
                let data = offset.and_then(|offset| body.arena.sealed(offset, whole));
                let data = data.ok_or_else(|| misplaced(*id, place, len))?;
                return Ok(ObjectView { unit, data, len, meta_len, outside: None });
            }
        };
        let data = outside.start();
        Ok(ObjectView { unit, data, len, meta_len, outside: Some(Arc::new(outside)) })
    }

    /// Moves an object from disk to memory if that needs neither waiting nor the room of others.
    ///
    /// A view would pin it where it is, so the unit is given up for a hold meanwhile.
    fn bring_back(unit: Unit) -> Unit {
        let (inner, at, id) = (Inner::again(unit.body), unit.at, unit.id);
        let actor = inner.actor();
        actor.take_more(at, HOLD);
        drop(unit);
        // Memory that somebody queues for is not for those who can read on disk.
        if queue::is_empty(&inner.shared)
            && let Some(mover) = Mover::try_lock(actor)
        {
            // What is wrong with the record shows when it is read in place.
            let _ = mover.restore(at);
        }
        actor.take_more(at, VIEW);
        actor.confirm(at, false);
        actor.drop_unit(at.index, HOLD);
        Unit::new(inner.count(), at, id, VIEW)
    }

    /// Returns the object's id.
    pub fn id(&self) -> ObjectId {
        self.unit.id
    }

    /// Borrows the metadata that the object was created with.
    pub fn metadata(&self) -> &[u8] {
        if self.meta_len == 0 {
            return &[];
        }
        let start = self.data.wrapping_add(self.len.next_multiple_of(8));
        // SAFETY: `of` checked that data, padding and metadata lie in the mapping; sealed bytes do
        // not change (ST-9) and stay while the unit lives (ST-17).
        unsafe { std::slice::from_raw_parts(start, self.meta_len) }
    }

    /// Makes a counted object writable in place, under a new id, if nothing but this view holds it; else gives it back.
    pub(crate) fn thaw(mut self) -> Result<Result<ObjectBuffer>, ObjectView> {
        let last = self.unit.clones.get_mut().map(Arc::get_mut);
        if matches!(last, Some(None)) || self.outside.is_some() || self.unit.body.writable().is_err() {
            return Err(self);
        }
        let Some(thawed) = thaw::thaw(&Inner::again(self.unit.body), self.unit.at) else { return Err(self) };
        // The unit is the creation's now.
        self.unit.size = 0;
        if let Some(last) = self.unit.clones.get_mut().and_then(Arc::get_mut) {
            last.size = 0;
        }
        Ok(thawed)
    }

    /// Returns the client that the view belongs to.
    pub(crate) fn store(&self) -> Store {
        Store::of(Inner::again(self.unit.body))
    }

    /// Keeps the object existing without pinning it.
    pub fn hold(&self) -> ObjectHold {
        let Unit { body, at, id, .. } = self.unit;
        ObjectHold::of(body.another(|actor| actor.take_more(at, HOLD)), at, id)
    }
}

impl Deref for ObjectView {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        if self.len == 0 {
            return &[];
        }
        // SAFETY: `of` checked that the range lies in the mapping; sealed bytes do not change (ST-9)
        // and stay while the unit lives (ST-17).
        unsafe { std::slice::from_raw_parts(self.data, self.len) }
    }
}

impl AsRef<[u8]> for ObjectView {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for ObjectView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectView").field("id", &self.unit.id).field("len", &self.len).finish_non_exhaustive()
    }
}

/// What a held object has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldState {
    /// It is promised or being written.
    Pending,
    /// It can be read.
    Sealed,
    /// It was never sealed and never will be: its creator gave up or died.
    Lost,
}

/// Keeps an object existing, but not at its address.
///
/// A clone shares the hold. Dropping the last hold and view of a counted object frees it at once.
#[derive(Clone)]
pub struct ObjectHold(Unit);

impl ObjectHold {
    pub(crate) fn of(body: Ref, at: SlotRef, id: ObjectId) -> ObjectHold {
        ObjectHold(Unit::new(body, at, id, HOLD))
    }

    /// Returns the object's id.
    pub fn id(&self) -> ObjectId {
        self.0.id
    }

    pub(crate) fn slot(&self) -> SlotRef {
        self.0.at
    }

    /// Says what the object has come to.
    pub fn state(&self) -> HoldState {
        let state = self.0.body.slot(self.0.at).state();
        match state.state() {
            slot::CREATING | slot::RESERVED => HoldState::Pending,
            _ if state.generation() != self.0.at.generation || state.has(slot::LOST) => HoldState::Lost,
            _ => HoldState::Sealed,
        }
    }

    /// Views the object, waiting until it is sealed (`None` for ever, zero only looks).
    ///
    /// # Errors
    ///
    /// [`is_timeout`](Error::is_timeout) if it was not sealed in time, [`is_not_found`](Error::is_not_found)
    /// if it never will be.
    pub fn get(&self, timeout: Option<Duration>) -> Result<ObjectView> {
        let Unit { body, at, id, .. } = self.0;
        body.usable()?;
        let look = || match self.state() {
            HoldState::Pending => None,
            state => Some(state),
        };
        let found = look().or_else(|| {
            let deadline = timeout.and_then(|t| Instant::now().checked_add(t));
            waits::wait(&body.shared, On::Object(id), deadline, look)
        });
        match found {
            Some(HoldState::Sealed) => {
                let body = body.another(|actor| actor.take_more(at, VIEW));
                // Deleted or not, it exists while this hold does; it may be on its way to another place.
                let state = match body.actor().confirm(at, false) {
                    Adopted::Sealed(state) => state,
                    _ => body.slot(at).state(),
                };
                if state.is_sealed() && state.state() != slot::SEALED {
                    // Only a reader comes here, whom nobody helped (readers.rs): it may be moved under the view.
                    body.drop_unit(at.index, VIEW);
                    return Err(ErrorKind::Timeout { id, after: timeout.unwrap_or_default() }.into());
                }
                ObjectView::made(body, at, id, state)
            }
            Some(_) => Err(ErrorKind::NotFound(id).into()),
            None => Err(ErrorKind::Timeout { id, after: timeout.unwrap_or_default() }.into()),
        }
    }
}

impl fmt::Debug for ObjectHold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectHold").field("id", &self.0.id).finish_non_exhaustive()
    }
}

/// An object that is being created: owns a unit and the duty to seal or abort.
#[derive(Debug)]
struct Draft {
    inner: Arc<Inner>,
    at: SlotRef,
    id: ObjectId,
    armed: bool,
}

impl Draft {
    /// Gives the unit to a view without aborting.
    fn into_view(mut self, state: State) -> Result<ObjectView> {
        self.armed = false;
        ObjectView::made(self.inner.count(), self.at, self.id, state)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.armed && !self.inner.is_foreign() {
            self.inner.abort(self.at);
        }
    }
}

/// Memory of an object that is being written; dropping it aborts the creation.
///
/// 64-byte aligned, with any contents. It becomes visible to others all at once by [`seal`](Self::seal).
pub struct ObjectBuffer {
    draft: Draft,
    data: *mut u8,
    len: usize,
    /// Keeps the mapping if the memory is a file of the object's own.
    _file: Option<Mapping>,
}

// SAFETY: the buffer is the only writer of its bytes, like a `Box<[u8]>`.
unsafe impl Send for ObjectBuffer {}
// SAFETY: shared access only reads.
unsafe impl Sync for ObjectBuffer {}

impl ObjectBuffer {
    /// Wraps a CREATING slot with its memory.
    pub(crate) fn of(inner: &Arc<Inner>, at: SlotRef, id: ObjectId, state: State) -> Result<ObjectBuffer> {
        let draft = Draft { inner: inner.clone(), at, id, armed: true };
        let slot = inner.slot(at);
        let head = moves::head(slot, at);
        let len = head.len as usize;
        let whole = head.payload().and_then(|whole| usize::try_from(whole).ok()).unwrap_or(usize::MAX);
        let place = slot.place(state);
        if let (Some(Place::File(number)), Some(disk)) = (place, inner.looks.disk()) {
            let mapping = disk.fallback_map(number, whole, true).map_err(|e| Error::disk(id, e))?;
            let data = mapping.as_mut_ptr().ok_or_else(|| misplaced(id, place, len))?;
            return Ok(ObjectBuffer { draft, data, len, _file: Some(mapping) });
        }
        let offset = place.filter(|place| whole <= place.bytes()).and_then(Place::offset);
        let data = offset.and_then(|offset| inner.arena.writable(offset, len));
        let data = data.ok_or_else(|| misplaced(id, place, len))?;
        Ok(ObjectBuffer { draft, data, len, _file: None })
    }

    /// Returns the object's id.
    pub fn id(&self) -> ObjectId {
        self.draft.id
    }

    /// Writes all of the buffer's bytes at the speed of the memory; commits what [`Inner::create_for`] left.
    pub(crate) fn fill_from(&mut self, data: &[u8]) -> Result<()> {
        debug_assert_eq!(data.len(), self.len);
        if self._file.is_some() {
            copy::copy(self, data);
            return Ok(());
        }
        self.draft.inner.fill(self.draft.at, self.draft.id, data)
    }

    /// Makes the object immutable and visible, and wakes those who wait for it.
    ///
    /// # Errors
    ///
    /// If the object was taken away meanwhile; then it is aborted.
    pub fn seal(self) -> Result<ObjectView> {
        self.draft.inner.usable()?;
        let state = self.draft.inner.seal(self.draft.at, self.draft.id)?;
        waits::sealed(&self.draft.inner.shared, [self.draft.id]);
        self.draft.into_view(state)
    }

    /// Seals several buffers in order, with one wake-up.
    pub(crate) fn seal_all(buffers: Vec<ObjectBuffer>) -> Result<Vec<ObjectView>> {
        let Some(inner) = buffers.first().map(|b| b.draft.inner.clone()) else { return Ok(Vec::new()) };
        let mut views = Vec::with_capacity(buffers.len());
        let mut ids = Vec::with_capacity(buffers.len());
        let mut failed = None;
        for buffer in buffers {
            if failed.is_some() {
                continue;
            }
            let sealed = buffer.draft.inner.seal(buffer.draft.at, buffer.draft.id);
            match sealed.and_then(|state| {
                ids.push(buffer.draft.id);
                buffer.draft.into_view(state)
            }) {
                Ok(view) => views.push(view),
                Err(error) => failed = Some(error),
            }
        }
        waits::sealed(&inner.shared, ids);
        failed.map_or(Ok(views), Err)
    }

    /// Gives the creation up, as dropping the buffer does.
    pub fn abort(self) {}
}

impl Deref for ObjectBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        if self.len == 0 {
            return &[];
        }
        // SAFETY: the range lies in the writable mapping (`of`), only this buffer touches it, and
        // committed memory is initialised (zero, or what an earlier object left).
        unsafe { std::slice::from_raw_parts(self.data, self.len) }
    }
}

impl DerefMut for ObjectBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        if self.len == 0 {
            return &mut [];
        }
        // SAFETY: as in `deref`, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.data, self.len) }
    }
}

impl fmt::Debug for ObjectBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectBuffer").field("id", &self.draft.id).field("len", &self.len).finish_non_exhaustive()
    }
}

/// An id that is reserved for a value that is not known yet.
///
/// Others may hold it and wait for it. Dropping the promise, or the death of its process, breaks it:
/// every waiter learns that the object is lost.
#[derive(Debug)]
pub struct Promise {
    draft: Draft,
}

impl Promise {
    pub(crate) fn of(inner: &Arc<Inner>, at: SlotRef, id: ObjectId) -> Promise {
        Promise { draft: Draft { inner: inner.clone(), at, id, armed: true } }
    }

    /// Returns the promised object's id.
    pub fn id(&self) -> ObjectId {
        self.draft.id
    }

    /// Holds the promised object.
    pub fn hold(&self) -> ObjectHold {
        let Draft { inner, at, id, .. } = &self.draft;
        if !inner.is_foreign() {
            inner.actor().take_more(*at, HOLD);
        }
        ObjectHold::of(inner.count(), *at, *id)
    }

    /// Gives the promised object its memory; sealing the buffer keeps the promise.
    ///
    /// The object's lifetime is counted, as the promise said.
    ///
    /// # Errors
    ///
    /// [`is_store_full`](Error::is_store_full), or [`is_out_of_disk`](Error::is_out_of_disk) if the disk was the
    /// obstacle; the promise is then broken.
    pub fn fulfil(mut self, len: usize, options: &ObjectOptions) -> Result<ObjectBuffer> {
        self.draft.inner.usable()?;
        let state = self.draft.inner.furnish(self.draft.at, self.draft.id, len, options)?;
        self.draft.armed = false;
        ObjectBuffer::of(&self.draft.inner, self.draft.at, self.draft.id, state)
    }
}

#[cold]
fn misplaced(id: ObjectId, place: Option<Place>, len: usize) -> Error {
    ErrorKind::Corrupt(vec![format!("object {id} lies at {place:?} with {len} bytes, outside of the arena")]).into()
}
