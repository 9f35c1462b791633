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
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};
use crate::holds::{HOLD, VIEW};
use crate::id::ObjectId;
use crate::inner::Inner;
use crate::options::ObjectOptions;
use crate::slot::{self, SlotRef};
use crate::waits::{self, On};

/// One unit of a client's hold word.
#[derive(Debug)]
struct Unit {
    inner: Arc<Inner>,
    at: SlotRef,
    id: ObjectId,
    size: u64,
}

impl Drop for Unit {
    fn drop(&mut self) {
        // A forked child's copy of the handle stands for nothing.
        if !self.inner.is_foreign() {
            self.inner.actor().drop_unit(self.at.index, self.size);
        }
    }
}

/// Borrows the bytes of a sealed object; they never change while a view lives.
///
/// A clone shares the view. It is `Send`, `Sync` and `'static`, and keeps its client attached.
#[derive(Clone)]
pub struct ObjectView {
    unit: Arc<Unit>,
    data: *const u8,
    len: usize,
    meta_len: usize,
}

// SAFETY: a view only reads sealed bytes, which no process writes (ST-9); the unit is Send and Sync.
unsafe impl Send for ObjectView {}
// SAFETY: as for Send.
unsafe impl Sync for ObjectView {}

impl ObjectView {
    /// Wraps a view unit that was just taken of a sealed object.
    pub(crate) fn of(inner: &Arc<Inner>, at: SlotRef, id: ObjectId) -> Result<ObjectView> {
        let unit = Unit { inner: inner.clone(), at, id, size: VIEW };
        let slot = inner.slot(at);
        let (len, meta_len) = (slot.len(), slot.meta_len());
        let whole = len.checked_next_multiple_of(8).and_then(|padded| padded.checked_add(meta_len));
        let data = whole.and_then(|whole| inner.arena.sealed(slot.offset(), whole));
        let data = data.ok_or_else(|| outside(id, slot.offset(), len))?;
        Ok(ObjectView { unit: Arc::new(unit), data, len, meta_len })
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

    /// Keeps the object existing without pinning it.
    pub fn hold(&self) -> ObjectHold {
        if !self.unit.inner.is_foreign() {
            self.unit.inner.actor().take_more(self.unit.at, HOLD);
        }
        ObjectHold(Arc::new(Unit { inner: self.unit.inner.clone(), at: self.unit.at, id: self.unit.id, size: HOLD }))
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
pub struct ObjectHold(Arc<Unit>);

impl ObjectHold {
    pub(crate) fn of(inner: &Arc<Inner>, at: SlotRef, id: ObjectId) -> ObjectHold {
        ObjectHold(Arc::new(Unit { inner: inner.clone(), at, id, size: HOLD }))
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
        let state = self.0.inner.slot(self.0.at).state();
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
        self.0.inner.usable()?;
        let Unit { inner, at, id, .. } = &*self.0;
        let look = || match self.state() {
            HoldState::Pending => None,
            state => Some(state),
        };
        let found = look().or_else(|| {
            let deadline = timeout.and_then(|t| Instant::now().checked_add(t));
            waits::wait(&inner.shared, On::Object(*id), deadline, look)
        });
        match found {
            Some(HoldState::Sealed) => {
                inner.actor().take_more(*at, VIEW);
                ObjectView::of(inner, *at, *id)
            }
            Some(_) => Err(ErrorKind::NotFound(*id).into()),
            None => Err(ErrorKind::Timeout { id: *id, after: timeout.unwrap_or_default() }.into()),
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
    fn into_view(mut self) -> Result<ObjectView> {
        self.armed = false;
        ObjectView::of(&self.inner, self.at, self.id)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.armed && !self.inner.is_foreign() {
            self.inner.abort(self.at, self.id);
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
}

// SAFETY: the buffer is the only writer of its bytes, like a `Box<[u8]>`.
unsafe impl Send for ObjectBuffer {}
// SAFETY: shared access only reads.
unsafe impl Sync for ObjectBuffer {}

impl ObjectBuffer {
    /// Wraps a CREATING slot with its memory.
    pub(crate) fn of(inner: &Arc<Inner>, at: SlotRef, id: ObjectId) -> Result<ObjectBuffer> {
        let draft = Draft { inner: inner.clone(), at, id, armed: true };
        let slot = inner.slot(at);
        let len = slot.len();
        let data = inner.arena.writable(slot.offset(), len).ok_or_else(|| outside(id, slot.offset(), len))?;
        Ok(ObjectBuffer { draft, data, len })
    }

    /// Returns the object's id.
    pub fn id(&self) -> ObjectId {
        self.draft.id
    }

    /// Makes the object immutable and visible, and wakes those who wait for it.
    ///
    /// # Errors
    ///
    /// If the object was taken away meanwhile; then it is aborted.
    pub fn seal(self) -> Result<ObjectView> {
        self.draft.inner.usable()?;
        self.draft.inner.clone().seal(self.draft.at, self.draft.id)?;
        waits::sealed(&self.draft.inner.shared, [self.draft.id]);
        self.draft.into_view()
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
            match sealed.and_then(|()| {
                ids.push(buffer.draft.id);
                buffer.draft.into_view()
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
        if !self.draft.inner.is_foreign() {
            self.draft.inner.actor().take_more(self.draft.at, HOLD);
        }
        ObjectHold::of(&self.draft.inner, self.draft.at, self.draft.id)
    }

    /// Gives the promised object its memory; sealing the buffer keeps the promise.
    ///
    /// The object's lifetime is counted, as the promise said.
    ///
    /// # Errors
    ///
    /// [`is_store_full`](Error::is_store_full); the promise is then broken.
    pub fn fulfil(mut self, len: usize, options: &ObjectOptions) -> Result<ObjectBuffer> {
        self.draft.inner.usable()?;
        self.draft.inner.furnish(self.draft.at, self.draft.id, len, options)?;
        self.draft.armed = false;
        ObjectBuffer::of(&self.draft.inner, self.draft.at, self.draft.id)
    }
}

fn outside(id: ObjectId, offset: usize, len: usize) -> Error {
    ErrorKind::Corrupt(vec![format!("object {id} lies at {offset} with {len} bytes, outside of the arena")]).into()
}
