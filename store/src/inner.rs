//! What a client's handles can do: the steps of an object's creation.

use std::sync::Arc;
use std::time::Duration;

use crate::alloc::{self, Alloc, Shortage, Survey};
use crate::body::Body;
pub(crate) use crate::body::Inner;
use crate::client::{self, ClientKey};
use crate::disk::Disk;
use crate::error::{Error, ErrorKind, Full, FullWhy, Result};
use crate::holds::VIEW;
use crate::host::Host;
use crate::id::ObjectId;
use crate::index::{self, Refused, Vacancy};
use crate::magazine;
use crate::moves::{self, Mover};
use crate::object::{ObjectBuffer, ObjectView, Promise};
use crate::options::{Lifetime, ObjectOptions};
use crate::outlet;
use crate::place::Place;
use crate::queue::{self, Wants};
use crate::reap;
use crate::room;
use crate::search::{End, LOCK_PATIENCE, Search};
use crate::shared::Shared;
use crate::slot::{self, NO_CHILD, Slot, SlotRef, State};
use crate::sync::Ordering;
use crate::sys::clock;
use crate::waits;

impl Host for Inner {
    fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    fn key(&self) -> ClientKey {
        self.me
    }

    fn mailbox_dropped(&self) {
        self.mailbox_taken.store(false, Ordering::Release);
    }

    fn is_foreign(&self) -> bool {
        Body::is_foreign(self)
    }

    fn drained(&self, sender: ClientKey) {
        reap::reap_if_dead(self.actor(), sender);
    }
}

impl Inner {
    fn index(&self) -> u16 {
        self.me.index
    }

    /// Returns how long a creation waits for others.
    #[inline]
    fn patience(&self, options: &ObjectOptions) -> Duration {
        options.timeout.unwrap_or(self.create_timeout)
    }

    /// Creates an object up to the point where its bytes can be written.
    pub(crate) fn create(self: &Arc<Self>, id: ObjectId, len: usize, options: &ObjectOptions) -> Result<ObjectBuffer> {
        self.create_for(id, len, options, 0)
    }

    /// As [`create`](Self::create), but the first `fill` bytes are not committed: the caller fills the buffer
    /// with that many, which does it (arena.rs).
    pub(crate) fn create_for(
        self: &Arc<Self>,
        id: ObjectId,
        len: usize,
        options: &ObjectOptions,
        fill: usize,
    ) -> Result<ObjectBuffer> {
        self.writable()?;
        let at = self.prepare(id, len, options, fill)?;
        let state = self.enter(at, id, len, slot::CREATING, self.patience(options))?;
        ObjectBuffer::of(self, at, id, state)
    }

    /// Creates, fills and seals a small object: others see it at once or not at all.
    pub(crate) fn put(self: &Arc<Self>, id: ObjectId, data: &[u8], options: &ObjectOptions) -> Result<ObjectView> {
        self.writable()?;
        let at = self.prepare(id, data.len(), options, data.len())?;
        if let Err(error) = self.fill(at, id, data) {
            self.unreserve(at);
            return Err(error);
        }
        let state = self.enter(at, id, data.len(), slot::SEALED, self.patience(options))?;
        waits::sealed(&self.shared, [id]);
        ObjectView::made(self.count(), at, id, state)
    }

    /// Creates an object whose bytes stay writable: `words` are (offset, value), all else of the first `zeroed` bytes is zero.
    ///
    /// The caller has a view unit of it then, which is counted.
    pub(crate) fn create_mutable(
        self: &Arc<Self>,
        id: ObjectId,
        len: usize,
        options: &ObjectOptions,
        zeroed: usize,
        words: &[(usize, u64)],
    ) -> Result<(SlotRef, State)> {
        self.writable()?;
        let at = self.prepare(id, len, options, 0)?;
        let slot = self.slot(at);
        let offset = slot.place(slot.state()).and_then(Place::offset);
        if let Some(bytes) = offset.and_then(|offset| self.arena.bytes_mut(offset, len)) {
            bytes.iter_mut().take(zeroed).for_each(|byte| *byte = 0);
            for &(at, value) in words {
                if let Some(word) = bytes.get_mut(at..at + 8) {
                    word.copy_from_slice(&value.to_le_bytes());
                }
            }
        }
        let state = self.enter(at, id, len, slot::SEALED, self.patience(options))?;
        waits::sealed(&self.shared, [id]);
        Ok((at, state))
    }

    /// Takes a slot with memory and writes everything but the data.
    fn prepare(&self, id: ObjectId, len: usize, options: &ObjectOptions, fill: usize) -> Result<SlotRef> {
        if options.metadata.len() > ObjectOptions::MAX_METADATA {
            let len = options.metadata.len();
            return Err(Error::invalid(format!(
                "metadata of object {id} has {len} bytes, at most {} are allowed",
                ObjectOptions::MAX_METADATA
            )));
        }
        index::prefetch(&self.shared, id);
        let bytes = block_bytes(len, options);
        let flags = if options.lifetime == Lifetime::Counted { slot::COUNTED } else { 0 }
            | if options.notify { slot::NOTIFY } else { 0 }
            | if options.mutable { slot::MUTABLE } else { 0 };
        let at = self.reserve(id, len, bytes, flags, options)?;
        self.describe(at, id);
        self.slot(at).size(len, options.metadata.len(), options.listed());
        if let Err(error) = self.commit(at, id, len, fill..bytes) {
            self.unreserve(at);
            return Err(error);
        }
        if let Err(error) = self.fill_in(at, len, options) {
            self.unreserve(at);
            return Err(error);
        }
        Ok(at)
    }

    /// Begins a creation anew in a slot that this client has RESERVED with its memory and one view unit (thaw.rs).
    pub(crate) fn create_again(
        self: &Arc<Self>,
        at: SlotRef,
        id: ObjectId,
        vacancy: Vacancy<'_>,
        len: usize,
        meta_len: usize,
    ) -> Result<ObjectBuffer> {
        let slot = self.slot(at);
        slot.describe(id, clock::coarse_ns(), self.pid, self.index());
        slot.size(len, meta_len, 0);
        let state = vacancy.enter(at, self.me, slot::CREATING);
        ObjectBuffer::of(self, at, id, state)
    }

    /// Reserves an id for a value that is not known yet.
    pub(crate) fn promise(self: &Arc<Self>, id: ObjectId) -> Result<Promise> {
        self.writable()?;
        let at = self.reserve(id, 0, 0, slot::COUNTED, &ObjectOptions::new())?;
        self.describe(at, id);
        self.enter(at, id, 0, slot::CREATING, self.create_timeout)?;
        Ok(Promise::of(self, at, id))
    }

    /// Gives a promised object its memory, or a file of its own.
    pub(crate) fn furnish(&self, at: SlotRef, id: ObjectId, len: usize, options: &ObjectOptions) -> Result<State> {
        let bytes = block_bytes(len, options);
        let wants = Wants { bytes, slot: false };
        let mut take = |alloc: &mut Alloc<'_>| alloc.furnish(at, bytes);
        match self.fallback(bytes, options) {
            Some(disk) => match Search::new(self.actor(), wants, Duration::ZERO).run(&mut take) {
                Ok(_) => {}
                Err(End::Disk(error)) => return Err(Error::disk(id, error)),
                Err(End::Slots | End::Memory | End::Locked) => self.furnish_file(disk, at, id, bytes)?,
            },
            None => drop(self.with_memory(id, len, wants, options, take)?),
        }
        self.slot(at).size(len, options.metadata.len(), options.listed());
        self.commit(at, id, len, 0..bytes)?;
        self.fill_in(at, len, options)?;
        let slot = self.slot(at);
        let mut state = slot.state();
        while options.notify && state.state() == slot::CREATING && !slot.cas(state, state.with(slot::NOTIFY)) {
            state = slot.state();
        }
        Ok(state)
    }

    /// A cheap first look, so that a taken id costs no memory.
    fn refuse_existing(&self, id: ObjectId) -> Result<()> {
        match index::find(&self.shared, id) {
            Some((at, _)) => self.exists_or_dead(at, id),
            None => Ok(()),
        }
    }

    /// An object whose creator died counts as never created; anything else exists.
    fn exists_or_dead(&self, at: SlotRef, id: ObjectId) -> Result<()> {
        let state = self.slot(at).state();
        if state.generation() != at.generation {
            return Ok(());
        }
        if state.state() == slot::CREATING
            && let Some(actor) = state.actor()
            && actor != self.index()
        {
            let is_dead = client::is_dead(&self.shared, actor.into());
            if self.slot(at).state() != state {
                // It is sealed, or it was aborted in the name of the dead, whose place may be a living client's by now.
                return Ok(());
            }
            if !is_dead {
                return Err(ErrorKind::Exists(id).into());
            }
            let is_known = client::is_taken(&self.shared, actor.into());
            reap::reap_at(self.actor(), actor.into());
            if self.slot(at).state() != state {
                return Ok(());
            }
            if !is_known {
                let what = format!("object {id} is being created by client {actor}, which does not exist");
                return Err(ErrorKind::Corrupt(vec![what]).into());
            }
            // Another reaper is at work and may be stopped: the id need not wait for it.
            reap::abort_creation(&self.actor(), at, state);
            return Ok(());
        }
        Err(ErrorKind::Exists(id).into())
    }

    /// Takes a slot with memory: from the magazine, else from the allocator.
    #[inline]
    fn reserve(&self, id: ObjectId, len: usize, bytes: usize, flags: u64, options: &ObjectOptions) -> Result<SlotRef> {
        let class = magazine::class_for(bytes);
        // Those who queue come first.
        if let Some(class) = class
            && queue::is_empty(&self.shared)
            && let Some(at) = self.actor().take_kept(class, flags)
        {
            return Ok(at);
        }
        self.reserve_slow(id, len, bytes, class, flags, options)
    }

    #[cold]
    fn reserve_slow(
        &self,
        id: ObjectId,
        len: usize,
        bytes: usize,
        class: Option<usize>,
        flags: u64,
        options: &ObjectOptions,
    ) -> Result<SlotRef> {
        // A taken id must not wait for memory.
        self.refuse_existing(id)?;
        if let Some(disk) = self.fallback(bytes, options) {
            let search = Search::new(self.actor(), Wants { bytes, slot: true }, Duration::ZERO);
            return match search.run(&mut |alloc| alloc.reserve(self.me, bytes)) {
                Ok((at, _)) => Ok(self.flagged(at, flags)),
                Err(End::Disk(error)) => Err(Error::disk(id, error)),
                Err(End::Slots | End::Memory | End::Locked) => self.reserve_file(disk, id, len, bytes, flags, options),
            };
        }
        let (at, _) = self.with_memory(id, len, Wants { bytes, slot: true }, options, |alloc| {
            let taken = alloc.reserve(self.me, bytes)?;
            self.actor().stock(alloc, class);
            Ok(taken)
        })?;
        Ok(self.flagged(at, flags))
    }

    /// Takes a slot whose memory is a file of its own.
    fn reserve_file(
        &self,
        disk: &Disk,
        id: ObjectId,
        len: usize,
        bytes: usize,
        flags: u64,
        options: &ObjectOptions,
    ) -> Result<SlotRef> {
        let (at, _) =
            self.with_memory(id, len, Wants { bytes: 0, slot: true }, options, |alloc| alloc.reserve(self.me, 0))?;
        match self.furnish_file(disk, at, id, bytes) {
            Ok(()) => Ok(self.flagged(at, flags)),
            Err(error) => {
                self.describe(at, id);
                self.unreserve(at);
                Err(error)
            }
        }
    }

    /// Returns where a creation gets a file of its own if there is no memory for it; none if it gets none.
    fn fallback(&self, bytes: usize, options: &ObjectOptions) -> Option<&Disk> {
        let fits = (1..=self.shared.layout.capacity).contains(&bytes);
        let falls = fits && options.listed() == 0 && !options.mutable && outlet::falls_back(&self.shared);
        self.looks.disk().filter(|_| falls)
    }

    /// Gives a slot of this client a file of its own instead of memory.
    fn furnish_file(&self, disk: &Disk, at: SlotRef, id: ObjectId, bytes: usize) -> Result<()> {
        let number = self.looks.table(&self.shared).next_fallback();
        let slot = self.slot(at);
        // The number stands in the slot before there is a file: whoever frees the slot removes it.
        slot.place_word(slot.state()).store(Place::File(number).to_word(), Ordering::Release);
        disk.fallback_create(number, bytes).map(drop).map_err(|error| Error::disk(id, error))
    }

    /// Gives a RESERVED slot its flags.
    fn flagged(&self, at: SlotRef, flags: u64) -> SlotRef {
        if flags != 0 {
            let slot = self.slot(at);
            slot.store(slot.state().with(flags));
        }
        at
    }

    /// Calls `take` under the allocator's lock until it succeeds: makes room, then queues for what comes free.
    ///
    /// Ends at the deadline, whoever is stopped or dead and whatever he has.
    fn with_memory<R>(
        &self,
        id: ObjectId,
        len: usize,
        wants: Wants,
        options: &ObjectOptions,
        mut take: impl FnMut(&mut Alloc<'_>) -> Result<R, Shortage>,
    ) -> Result<R> {
        if wants.bytes > self.shared.layout.capacity {
            return Err(self.full(id, len, FullWhy::Never));
        }
        let patience = self.patience(options);
        Search::new(self.actor(), wants, patience).run(&mut take).map_err(|end| match end {
            End::Disk(error) => Error::disk(id, error),
            End::Slots => self.full(id, len, FullWhy::Table(self.shared.layout.slots)),
            End::Memory => self.full(id, len, FullWhy::Waited(patience)),
            End::Locked => self.full(id, len, FullWhy::Locked),
        })
    }

    /// Describes a RESERVED slot and takes the creator's unit.
    #[inline]
    fn describe(&self, at: SlotRef, id: ObjectId) {
        self.slot(at).describe(id, clock::coarse_ns(), self.pid, self.index());
        self.actor().take_first(at, VIEW);
    }

    #[inline]
    fn commit(&self, at: SlotRef, id: ObjectId, len: usize, bytes: std::ops::Range<usize>) -> Result<()> {
        let slot = self.slot(at);
        let Some(offset) = slot.place(slot.state()).and_then(Place::offset) else { return Ok(()) };
        self.arena
            .commit(&self.shared, offset + bytes.start, bytes.len())
            .map_err(|e| self.full(id, len, FullWhy::System(e.to_string())))
    }

    /// Fills the start of a creation's memory, which need not be committed.
    pub(crate) fn fill(&self, at: SlotRef, id: ObjectId, data: &[u8]) -> Result<()> {
        let slot = self.slot(at);
        let Some(offset) = slot.place(slot.state()).and_then(Place::offset) else { return self.write(at, 0, data) };
        self.arena
            .fill(&self.shared, offset, data)
            .map_err(|e| self.full(id, data.len(), FullWhy::System(e.to_string())))
    }

    /// Writes metadata and the list of children behind the data, and counts the children.
    fn fill_in(&self, at: SlotRef, len: usize, options: &ObjectOptions) -> Result<()> {
        if options.metadata.is_empty() && options.listed() == 0 {
            return Ok(());
        }
        let tail = len.next_multiple_of(8);
        let children: Vec<SlotRef> = options.children.iter().map(|hold| hold.slot()).collect();
        let mut bytes = options.metadata.clone();
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        let words = children.iter().map(|child| child.to_word());
        bytes.extend(words.chain(std::iter::repeat_n(NO_CHILD, options.places)).flat_map(u64::to_le_bytes));
        self.write(at, tail, &bytes)?;
        if options.listed() > 0 {
            let patience = self.patience(options);
            if !self.actor().link(at, &children, patience.saturating_add(LOCK_PATIENCE)) {
                return Err(self.full(self.slot(at).id(), self.slot(at).len(), FullWhy::Waited(patience)));
            }
        }
        Ok(())
    }

    /// Writes bytes of an object that is being created.
    #[inline]
    fn write(&self, at: SlotRef, from: usize, bytes: &[u8]) -> Result<()> {
        let slot = self.slot(at);
        match (slot.place(slot.state()), self.looks.disk()) {
            (Some(Place::File(number)), Some(disk)) => {
                let mapping = disk.fallback_map(number, moves::payload(slot), true);
                mapping.map_err(|e| Error::disk(slot.id(), e))?.write(from, bytes);
            }
            (place, _) => {
                if let Some(offset) = place.and_then(Place::offset) {
                    self.arena.write(offset + from, bytes);
                }
            }
        }
        Ok(())
    }

    /// Puts a described slot into the index as CREATING or SEALED.
    #[inline]
    fn enter(&self, at: SlotRef, id: ObjectId, len: usize, state: u64, patience: Duration) -> Result<State> {
        loop {
            // Whoever has the lock may be stopped; a creation that does not wait gives the living a moment, too.
            let longest = patience.saturating_add(LOCK_PATIENCE);
            match index::vacancy(&self.shared, id, self.me, longest) {
                Ok(vacancy) => return Ok(vacancy.enter(at, self.me, state)),
                Err(Refused::Exists(other)) => {
                    if let Err(exists) = self.exists_or_dead(other, id) {
                        self.unreserve(at);
                        return Err(exists);
                    }
                }
                Err(Refused::Locked) => {
                    self.unreserve(at);
                    return Err(self.full(id, len, FullWhy::Waited(patience)));
                }
                Err(Refused::Full) => {
                    self.unreserve(at);
                    return Err(self.full(id, len, FullWhy::Table(self.shared.layout.slots)));
                }
            }
        }
    }

    /// Gives a slot back that never entered the index.
    fn unreserve(&self, at: SlotRef) {
        let slot = self.slot(at);
        slot.store(slot.state().to(slot::CONDEMNED, Some(self.index())).with(slot::DELETED | slot::LOST));
        self.actor().drop_unit(at.index, VIEW);
    }

    /// Moves a CREATING object of this client to SEALED; does not wake anybody.
    pub(crate) fn seal(&self, at: SlotRef, id: ObjectId) -> Result<State> {
        let slot = self.slot(at);
        loop {
            let state = slot.state();
            if state.generation() != at.generation || state.state() != slot::CREATING {
                return Err(ErrorKind::NotFound(id).into());
            }
            if state.has(slot::DELETE_AT_SEAL) {
                let condemned = state.to(slot::CONDEMNED, Some(self.index())).with(slot::DELETED);
                if slot.cas(state, condemned) {
                    index::remove(&self.shared, id, at);
                    return Ok(condemned);
                }
            } else if slot.cas(state, state.to(slot::SEALED, None)) {
                return Ok(state.to(slot::SEALED, None));
            }
        }
    }

    /// Takes a creation back and drops the creator's unit.
    pub(crate) fn abort(&self, at: SlotRef) {
        let slot = self.slot(at);
        let state = slot.state();
        if state.generation() == at.generation && state.state() == slot::CREATING {
            reap::abort_creation(&self.actor(), at, state);
        }
        self.actor().drop_unit(at.index, VIEW);
    }

    /// Moves objects to disk until `bytes` of memory came free; returns how many did.
    pub(crate) fn spill(&self, bytes: u64) -> Result<u64> {
        // Whoever spills ahead of need has the lock for as long as an object takes to the disk.
        let Some(mover) = Mover::lock_patiently(self.actor()) else { return Ok(0) };
        match room::spill(&mover, self.actor(), bytes, 0) {
            (0, Some(error)) => Err(Error::spill(error)),
            (spilled, _) => Ok(spilled),
        }
    }

    /// Describes why there was no room.
    fn full(&self, id: ObjectId, asked: usize, why: FullWhy) -> Error {
        let capacity = self.shared.layout.capacity as u64;
        let survey = Survey::of(&self.shared);
        let (free, largest) = (survey.free_bytes(), survey.longest_gap().min(survey.free_bytes()));
        ErrorKind::StoreFull(Full { id, asked, capacity, free, largest, holders: self.bytes_by_pid(), why }).into()
    }

    /// Sums up what each process holds, the greatest first, eight at most.
    fn bytes_by_pid(&self) -> Vec<(u32, u64)> {
        let mut sums = std::collections::BTreeMap::new();
        for index in 0..alloc::slots_ever(&self.shared) {
            let slot = Slot::of(&self.shared, index);
            let state = slot.state();
            if !state.is_object() {
                continue;
            }
            let bytes = slot.place(state).map_or(0, Place::bytes);
            for (holder, _, _) in self.actor().holders(index) {
                *sums.entry(client::pid(&self.shared, holder)).or_insert(0) += bytes as u64;
            }
        }
        let mut sums: Vec<(u32, u64)> = sums.into_iter().collect();
        sums.sort_by_key(|&(pid, bytes)| (std::cmp::Reverse(bytes), pid));
        sums.truncate(8);
        sums
    }
}

/// Returns how many bytes of the arena an object takes: data, metadata, list of children.
fn block_bytes(len: usize, options: &ObjectOptions) -> usize {
    let padded = |n: usize| n.checked_next_multiple_of(8).unwrap_or(usize::MAX);
    padded(len).saturating_add(padded(options.metadata.len())).saturating_add(options.listed().saturating_mul(8))
}
