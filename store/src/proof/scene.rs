//! A store with memory, and what its clients do with it: the steps of the public calls, over models.
//!
//! The words of the allocator that only the owner of its lock touches are guarded (`sync/model/payload.rs`), and
//! every page of the arena is watched: two who touch one page at once fail the model, whatever they read there.

use std::fs::File;
use std::time::Duration;

use loom::sync::Arc;

use super::{key, segment_of};
use crate::ahead::A_AHEAD;
use crate::alloc::{self, Alloc};
use crate::arena::{A_COMMITTED, Arena};
use crate::client;
use crate::holds::{Actor, Adopted, HOLD, Looks, VIEW};
use crate::id::ObjectId;
use crate::index;
use crate::layout::{
    ALLOC_HEADER_BYTES, C_WORD, H_LEFT_FREE, H_LEFT_REAP, H_MOVE_PLACE, H_QUEUED, PAGE, PAGE_DESC_BYTES, S_NEXT,
    SLOT_BYTES,
};
use crate::magazine;
use crate::moves;
use crate::place::Place;
use crate::queue::{self, Wants};
use crate::reap;
use crate::search::{End, Search};
use crate::shared::Shared;
use crate::slot::{self, Slot, SlotRef};
use crate::sync::{Ordering, payload};
use crate::trim::A_TRIM;
use crate::waits;

/// The shortest run that no magazine keeps: what has one goes back to the allocator at once.
pub(super) const RUN: usize = 2 * PAGE;

/// A store of a few pages.
pub(super) struct Scene {
    pub(super) shared: Shared,
    pub(super) arena: std::sync::Arc<Arena>,
    looks: Vec<Looks>,
}

// One arena for all executions of a model: its bytes are written before they are read. Models run beside each other,
// each on a thread of its own.
thread_local!(static ARENA: std::sync::Arc<Arena> = {
    let file: File = tempfile::tempfile().unwrap();
    let len = 4 << 20;
    file.set_len(len).unwrap();
    std::sync::Arc::new(Arena::map(file, len as usize).unwrap())
});

pub(super) fn id(n: u8) -> ObjectId {
    ObjectId::from_bytes([n; 16])
}

impl Scene {
    /// Makes a store with memory for `runs` objects of [`RUN`] bytes, for `clients` living clients.
    pub(super) fn new(clients: u16, runs: usize) -> Arc<Scene> {
        assert_eq!(magazine::class_for(RUN), None);
        let pages = runs * RUN / PAGE;
        let shared = segment_of(clients, pages * PAGE);
        let layout = shared.layout;
        let header = layout.alloc_at..layout.alloc_at + ALLOC_HEADER_BYTES;
        let ever = layout.alloc_at + alloc::LAYOUT[2];
        // Looked at without the lock: how many slots were ever used, the words of the trimmer and of spilling ahead.
        let ahead = layout.alloc_at + A_AHEAD;
        let open = layout.alloc_at + A_TRIM..layout.alloc_at + A_COMMITTED + 8;
        let pages_at = layout.pages_at..layout.pages_at + pages * PAGE_DESC_BYTES;
        let slots_at = layout.slots_at..layout.slots_at + layout.slots * SLOT_BYTES;
        shared.ctl.guard(move |at| {
            header.contains(&at) && at != ever && at != ahead && !open.contains(&at)
                || pages_at.contains(&at)
                || slots_at.contains(&at) && (at - slots_at.start) % SLOT_BYTES == S_NEXT
        });
        payload::watch(pages);
        alloc::initialise(&shared, key(0));
        // All memory is committed.
        shared.ctl.u64(layout.alloc_at + ALLOC_HEADER_BYTES).store(u64::MAX, Ordering::Release);
        let looks = (0..clients).map(|_| Looks::default()).collect();
        Arc::new(Scene { shared, arena: ARENA.with(std::sync::Arc::clone), looks })
    }

    pub(super) fn actor(&self, client: u16) -> Actor<'_> {
        let looks = &self.looks[usize::from(client)];
        Actor { shared: &self.shared, arena: &self.arena, looks, me: key(client) }
    }

    /// Makes object `n` of `len` bytes and seals it, if there is memory for it in time.
    pub(super) fn put(&self, client: u16, n: u8, len: usize, patience: Duration, flags: u64) -> Result<SlotRef, End> {
        let at = self.reserve(client, len, patience, flags)?;
        self.fill(client, at, n, len);
        Ok(at)
    }

    /// Makes object `n` in what was reserved, and seals it.
    pub(super) fn fill(&self, client: u16, at: SlotRef, n: u8, len: usize) {
        self.describe(client, at, n, len);
        self.enter(client, at, n);
    }

    /// Makes a counted object that its maker holds.
    pub(super) fn held(&self, client: u16, n: u8, len: usize) -> SlotRef {
        let at = self.reserve(client, len, Duration::ZERO, slot::COUNTED).unwrap();
        // The creator's own hold, from before the object can be found.
        self.describe(client, at, n, len);
        self.actor(client).take_first(at, HOLD);
        self.enter(client, at, n);
        at
    }

    /// Takes a slot with memory for `len` bytes.
    pub(super) fn reserve(&self, client: u16, len: usize, patience: Duration, flags: u64) -> Result<SlotRef, End> {
        let actor = self.actor(client);
        let class = magazine::class_for(len);
        let kept = class.filter(|_| queue::is_empty(&self.shared)).and_then(|class| actor.take_kept(class, flags));
        if let Some(at) = kept {
            return Ok(at);
        }
        let wants = Wants { bytes: len, slot: true };
        let (at, _) = Search::new(actor, wants, patience).run(&mut |alloc| {
            let taken = alloc.reserve(actor.me, len)?;
            actor.stock(alloc, class);
            Ok(taken)
        })?;
        let slot = Slot::of(&self.shared, at.index);
        slot.store(slot.state().with(flags));
        Ok(at)
    }

    /// Writes what was reserved.
    fn describe(&self, client: u16, at: SlotRef, n: u8, len: usize) {
        let (actor, slot) = (self.actor(client), Slot::of(&self.shared, at.index));
        slot.describe(id(n), 0, 0, client);
        actor.take_first(at, VIEW);
        slot.size(len, 0, 0);
        let offset = slot.place(slot.state()).and_then(Place::offset).unwrap();
        actor.arena.write(offset, &vec![n; len]);
    }

    /// Seals it and lets go of it.
    fn enter(&self, client: u16, at: SlotRef, n: u8) {
        let vacancy = index::vacancy(&self.shared, id(n), key(client), Duration::MAX).unwrap();
        vacancy.enter(at, key(client), slot::SEALED);
        waits::sealed(&self.shared, [id(n)]);
        self.actor(client).drop_unit(at.index, VIEW);
    }

    /// Gets object `n` as `get` does, reads it twice and lets go; says whether it was there.
    pub(super) fn visit(&self, client: u16, n: u8) -> bool {
        let Some((at, _)) = index::find(&self.shared, id(n)) else { return false };
        self.visit_slot(&self.actor(client), at, n)
    }

    pub(super) fn visit_slot(&self, actor: &Actor<'_>, at: SlotRef, n: u8) -> bool {
        let Adopted::Sealed(state) = actor.adopt(at, VIEW, false) else { return false };
        self.read(at, state, n);
        loom::thread::yield_now();
        self.read(at, state, n);
        actor.drop_unit(at.index, VIEW);
        true
    }

    fn read(&self, at: SlotRef, state: slot::State, n: u8) {
        let slot = Slot::of(&self.shared, at.index);
        let offset = slot.place(state).and_then(Place::offset).expect("a sealed object has a place in the arena");
        let bytes = self.arena.bytes(offset, slot.len()).unwrap();
        assert!(bytes.iter().all(|&byte| byte == n), "object {n} has other bytes than were written");
    }

    /// Deletes object `n` as `delete` does, but waits for no mover; says whether it was there.
    pub(super) fn delete(&self, client: u16, n: u8) -> bool {
        self.condemn(client, n).map(|at| self.actor(client).look(at)).is_some()
    }

    /// Deletes object `n` as `delete` does; says whether it is gone.
    pub(super) fn delete_now(&self, client: u16, n: u8) -> bool {
        let actor = self.actor(client);
        self.condemn(client, n).is_some_and(|at| actor.look(at) || moves::await_mover(actor, at))
    }

    fn condemn(&self, client: u16, n: u8) -> Option<SlotRef> {
        while let Some((at, state)) = index::find(&self.shared, id(n)) {
            let slot = Slot::of(&self.shared, at.index);
            if slot.cas(state, state.to(slot::CONDEMNED, Some(client)).with(slot::DELETED)) {
                index::remove(&self.shared, id(n), at);
                return Some(at);
            }
        }
        None
    }

    /// Reaps a client whose process is gone.
    pub(super) fn reap(&self, by: u16, dead: u16) {
        assert!(reap::reap(&self.actor(by), key(dead)), "the reaping was left to somebody");
        self.assert_free(dead);
    }

    /// Says which of some objects are there.
    pub(super) fn there(&self, some: &[u8]) -> Vec<u8> {
        some.iter().copied().filter(|&n| index::find(&self.shared, id(n)).is_some()).collect()
    }

    pub(super) fn assert_free(&self, dead: u16) {
        let word = self.shared.ctl.u64(self.shared.layout.client(dead.into()) + C_WORD).load(Ordering::SeqCst);
        assert_eq!(word, client::word(1, client::FREE), "client {dead} is not reaped");
    }

    /// What must be so when all is quiet: `objects` are there, and what they do not use is free.
    pub(super) fn assert_quiet(&self, objects: &[u8]) {
        for word in [H_LEFT_FREE, H_MOVE_PLACE] {
            assert_eq!(self.shared.ctl.u64(word).load(Ordering::SeqCst), 0, "the word at {word}");
        }
        assert_eq!(self.shared.ctl.u32(H_LEFT_REAP).load(Ordering::SeqCst), 0, "a reaping is left");
        assert_eq!(self.shared.ctl.u64(H_QUEUED).load(Ordering::SeqCst) & 0xffff, 0, "requests are counted");
        assert_eq!(queue::verify(&self.shared), Vec::<String>::new());
        let mut alloc = Alloc::lock(&self.shared, key(0));
        assert_eq!(alloc::verify(&alloc), Vec::<String>::new());
        // What is kept is free memory; then nothing is left but the objects.
        alloc.collect();
        alloc.release_empty_spans();
        assert_eq!(alloc::verify(&alloc), Vec::<String>::new());
        drop(alloc);
        let mut found: Vec<u8> = (0..alloc::slots_ever(&self.shared))
            .map(|index| Slot::of(&self.shared, index))
            .filter(|slot| slot.state().state() != slot::FREE)
            .map(|slot| {
                assert_eq!(slot.state().state(), slot::SEALED);
                slot.id().as_bytes()[0]
            })
            .collect();
        found.sort_unstable();
        assert_eq!(found, objects);
        for &n in objects {
            assert!(self.visit(0, n), "object {n} is not to be found");
        }
    }
}
