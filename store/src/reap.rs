//! Undoing what a dead client left.
//!
//! ```text
//!   1  client word ALIVE -> REAPING
//!   2  locks that it held are taken over and repaired
//!   3  rings towards it are closed; rings from it stay until their receivers have drained them
//!   4  slots whose actor it is:  RESERVED, CREATING -> aborted     CONDEMNED -> looked at again
//!                                RECLAIMING -> finished
//!      creations that it had in the queue are removed
//!   5  if no ring of it waits to be drained: its hold words are taken away
//!   6  everybody who waits is woken: it may have died between a change and the wake
//!   7  counted objects that nobody holds are looked at (it may have died before it looked)
//!   8  client word -> FREE, next generation
//! ```
//!
//! Step 5 waits for the receivers because what lies in a ring is held by its sender: a result that
//! was sent survives its sender. Whoever drains the last ring goes on with the reaping, and so does
//! the next reaper of anybody, in case that receiver died, too.
//!
//! Reapers work one at a time, under a lock of their own: between two looks at a client word nobody
//! else can finish step 8 and let a new client have the place, whose holds step 5 would take. A
//! reaper that dies leaves the lock to the next one, which starts again at step 1.
//!
//! A reaper that is stopped has the dead left to it. It goes on when it has unlocked; if it was itself ending, and has
//! freed its own record, it hands over to the server or, if there is none, to the guards of the others.
//!
//! - ST-20: reaping can be done again from its start and beside whatever living clients do.
//! - ST-12: after step 6 nobody waits for something that the dead process had still to do.

use std::time::Duration;

use crate::alloc::{self, Alloc};
use crate::client::{self, ClientKey};
use crate::holds::Actor;
use crate::index;
use crate::layout::{C_WORD, H_LEFT_REAP};
use crate::lock::{self, Lock};
use crate::moves::Mover;
use crate::queue;
use crate::ring;
use crate::shared::Shared;
use crate::slot::{self, Slot, SlotRef, State};
use crate::sync::{Ordering, fence};
use crate::sys::clock;
use crate::waits::{self, On};

/// How long a reaper waits for another one before it leaves its work to it.
const PATIENCE: Duration = Duration::from_millis(100);

/// Reaps whoever is at `index` if its process is dead; says whether it was.
pub(crate) fn reap_at(actor: Actor<'_>, index: usize) -> bool {
    let word = client::load(actor.shared, index);
    let begun = client::state(word) == client::REAPING;
    if client::state(word) == client::FREE || !begun && !client::is_dead(actor.shared, index) {
        return false;
    }
    reap(&actor, ClientKey { index: index as u16, generation: client::generation(word) });
    true
}

/// Undoes everything that `dead` left; its process must be gone.
///
/// What a living receiver has not drained yet stays held; the reaping goes on when it has. If another reaper
/// does not come to an end (it is stopped), the dead one is left to it: false.
pub(crate) fn reap(actor: &Actor<'_>, dead: ClientKey) -> bool {
    let shared = actor.shared;
    let record = shared.ctl.u64(shared.layout.client(dead.index.into()) + C_WORD);
    let alive = client::word(dead.generation, client::ALIVE);
    let reaping = client::word(dead.generation, client::REAPING);
    // It fails if somebody has begun, or is through, already.
    let _ = record.compare_exchange(alive, reaping, Ordering::SeqCst, Ordering::SeqCst);
    reap_begun(actor)
}

/// Says whether somebody has left a reaping to another reaper that may not have seen it.
pub(crate) fn is_left(shared: &Shared) -> bool {
    shared.ctl.u32(H_LEFT_REAP).load(Ordering::SeqCst) != 0
}

/// Goes on with what was left to a reaper that has freed its own record and can do no more.
pub(crate) fn go_on(actor: &Actor<'_>) {
    if is_left(actor.shared) {
        reap_begun(actor);
    }
}

/// Takes the lock and undoes what all those left whose reaping has begun; false if that is left to another reaper.
fn reap_begun(actor: &Actor<'_>) -> bool {
    let shared = actor.shared;
    let left = shared.ctl.u32(H_LEFT_REAP);
    loop {
        let deadline = clock::now() + PATIENCE;
        let one_at_a_time = lock::acquire_until(shared, Lock::Reap, actor.me, deadline).or_else(|| {
            left.store(1, Ordering::SeqCst);
            // SYNC left: either this finds the lock free, or its owner sees what was left when it has unlocked.
            fence(Ordering::SeqCst);
            lock::try_acquire(shared, Lock::Reap, actor.me)
        });
        let Some(one_at_a_time) = one_at_a_time else { return false };
        // Another reaper may have freed the record of this client, which detaches, before the lock came free: nothing
        // may be done any more in the name of a place that is somebody else's.
        if !client::is_recorded(shared, actor.me) {
            return true;
        }
        left.store(0, Ordering::SeqCst);
        // SYNC left: whoever was marked before the word was cleared is seen from here on.
        fence(Ordering::SeqCst);
        reap_all(actor);
        drop(one_at_a_time);
        // SYNC left: see above.
        fence(Ordering::SeqCst);
        // A client that has just ended itself can do no more: the server hears of its end and goes on (`go_on`), or the
        // guards hear it knock (link.rs).
        if left.load(Ordering::SeqCst) == 0 || !client::is_recorded(shared, actor.me) {
            return true;
        }
    }
}

/// Undoes what all those left whose reaping has begun; under the lock.
fn reap_all(actor: &Actor<'_>) {
    let shared = actor.shared;
    // A client that detaches frees its own record last: until then it works in its name.
    let own = usize::from(actor.me.index);
    for index in (0..shared.layout.clients).filter(|&index| index != own).chain([own]) {
        let word = client::load(shared, index);
        if client::state(word) == client::REAPING {
            let dead = ClientKey { index: index as u16, generation: client::generation(word) };
            begin(actor, dead);
            finish(actor, dead);
        }
    }
}

/// Steps 2 to 4: everything that does not depend on anybody else.
fn begin(actor: &Actor<'_>, dead: ClientKey) {
    let shared = actor.shared;
    recover_locks(actor, dead);
    ring::sweep(shared, dead);
    resolve_slots(actor, dead.index);
    queue::forget(shared, dead);
    waits::wake_everybody(shared);
}

/// Steps 5 to 8, if every living receiver has drained what `dead` sent.
fn finish(actor: &Actor<'_>, dead: ClientKey) {
    let shared = actor.shared;
    if ring::undrained_from(shared, dead) {
        return;
    }
    actor.drop_all_of(dead.index.into());
    look_at_unheld(actor);
    if actor.looks.disk().is_some() {
        // It may have died between a record and its slot. If others are moving objects now, the next one counts.
        actor.looks.table(shared).make_due();
        drop(Mover::try_lock(*actor));
    }
    waits::wake_everybody(shared);
    actor.notify();
    let record = shared.ctl.u64(shared.layout.client(dead.index.into()) + C_WORD);
    let reaping = client::word(dead.generation, client::REAPING);
    let free = client::word(dead.generation.wrapping_add(1), client::FREE);
    let _ = record.compare_exchange(reaping, free, Ordering::SeqCst, Ordering::SeqCst);
}

/// Ends a living client whose handles are all gone: there is nothing left but its record and rings.
pub(crate) fn detach(actor: &Actor<'_>, me: ClientKey) {
    // What it frees from now on goes to the allocator.
    actor.looks.is_closing.store(true, Ordering::Relaxed);
    reap(actor, me);
}

fn recover_locks(actor: &Actor<'_>, dead: ClientKey) {
    for lock in lock::all().filter(|lock| *lock != Lock::Reap) {
        let Some(guard) = lock::take_over(actor.shared, lock, dead, actor.me) else { continue };
        match lock {
            Lock::Alloc => drop(Alloc::with(actor.shared, actor.me, guard)),
            Lock::Nested => drop(actor.with_nested(guard)),
            Lock::Move => drop(Mover::with(*actor, guard)),
            // A shard's lock protects nothing but the moment of insertion; the reaper's is the caller's own.
            Lock::Shard(_) | Lock::Reap => {}
        }
    }
}

fn resolve_slots(actor: &Actor<'_>, dead: u16) {
    for index in 0..alloc::slots_ever(actor.shared) {
        let slot = Slot::of(actor.shared, index);
        let state = slot.state();
        if state.actor() != Some(dead) {
            continue;
        }
        let at = SlotRef { index, generation: state.generation() };
        match state.state() {
            slot::RESERVED | slot::CREATING => {
                abort_creation(actor, at, state);
                // The creator's own unit goes at once, rings or not: nobody can be handed what was never sealed.
                actor.drop_units_of(dead.into(), index);
                actor.look(at);
            }
            slot::CONDEMNED if state.has(slot::DELETED) => {
                index::remove(actor.shared, slot.id(), at);
                actor.look(at);
            }
            slot::CONDEMNED if slot.cas(state, state.to(slot::SEALED, None)) => {
                actor.look(at);
            }
            slot::RECLAIMING if slot.cas(state, state.to(slot::RECLAIMING, Some(actor.me.index))) => {
                let mut children = Vec::new();
                actor.reclaim(at, &mut children);
                for child in children {
                    actor.look(child);
                }
            }
            slot::CACHED => {
                // If the lock is not to be had, it stays free memory that anybody may take.
                if let Some(mut alloc) = Alloc::try_lock(actor.shared, actor.me) {
                    alloc.release_cached(at);
                }
            }
            slot::MOVING => {
                slot.cas(state, state.to(slot::SEALED, None));
            }
            _ => {}
        }
    }
}

/// Moves a creation, which was `seen` so, to CONDEMNED for good and takes it out of the index; units decide when it
/// goes.
///
/// Others may add flags meanwhile (a delete of what is unsealed); nothing is done if it is no longer that creation.
pub(crate) fn abort_creation(actor: &Actor<'_>, at: SlotRef, seen: State) {
    let slot = Slot::of(actor.shared, at.index);
    let mut state = seen;
    while !slot.cas(state, state.to(slot::CONDEMNED, Some(actor.me.index)).with(slot::DELETED | slot::LOST)) {
        state = slot.state();
        if !state.is_but_for_flags(seen) {
            return;
        }
    }
    index::remove(actor.shared, slot.id(), at);
    waits::wake(actor.shared, On::Object(slot.id()));
}

/// Looks at every counted object that nobody holds.
fn look_at_unheld(actor: &Actor<'_>) {
    for index in 0..alloc::slots_ever(actor.shared) {
        let state = Slot::of(actor.shared, index).state();
        let may_go = match state.state() {
            slot::CONDEMNED => state.has(slot::DELETED),
            _ => state.is_sealed() && state.has(slot::COUNTED),
        };
        if may_go && !actor.is_held(index) {
            actor.look(SlotRef { index, generation: state.generation() });
        }
    }
}

/// Reaps `client` if it is attached and its process is gone, or goes on with it if that was begun.
pub(crate) fn reap_if_dead(actor: Actor<'_>, client: ClientKey) {
    if client::generation(client::load(actor.shared, client.index.into())) == client.generation {
        reap_at(actor, client.index.into());
    }
}

#[cfg(test)]
mod tests {
    use crate::client;
    use crate::layout::C_START;
    use crate::lock::{self, Lock};
    use crate::sync::Ordering;
    use crate::{ObjectId, Store, StoreOptions};

    #[test]
    fn what_a_reaper_began_and_died_in_is_begun_again_before_it_is_finished() {
        let store = Store::create(StoreOptions::new(1 << 20)).unwrap();
        let attach = || Store::attach(store.address()).unwrap();
        let (dead, reaper) = (attach(), attach());
        let id = ObjectId::random();
        // Neither handle is ever dropped, as in a process that was killed.
        std::mem::forget(dead.create_object(id, 100_000).unwrap());
        let shared = &store.inner().shared;
        for killed in [&dead, &reaper] {
            let at = shared.layout.client(killed.client().index.into());
            shared.ctl.u64(at + C_START).store(1, Ordering::Relaxed);
        }
        // The reaper died after its first store.
        std::mem::forget(lock::acquire(shared, Lock::Reap, reaper.client()));
        let record = shared.ctl.u64(shared.layout.client(dead.client().index.into()));
        record.store(client::word(dead.client().generation, client::REAPING), Ordering::SeqCst);
        store.reap(reaper.client());
        assert_eq!(client::state(record.load(Ordering::SeqCst)), client::FREE);
        store.check().unwrap();
        assert!(!store.exists(id), "a creation of the dead is left");
        assert_eq!(store.stats().used_bytes, 0);
        std::mem::forget((dead, reaper));
    }

    #[test]
    fn nobody_goes_on_in_a_name_that_is_free() {
        let store = Store::create(StoreOptions::new(1 << 20)).unwrap();
        let attach = || Store::attach(store.address()).unwrap();
        let (dead, leaving) = (attach(), attach());
        let shared = &store.inner().shared;
        let record = |key: client::ClientKey| shared.ctl.u64(shared.layout.client(key.index.into()));
        let state = |key| client::state(record(key).load(Ordering::SeqCst));
        let reaping = lock::acquire(shared, Lock::Reap, store.client());
        let left = leaving.client();
        std::thread::scope(|scope| {
            scope.spawn(move || drop(leaving));
            while state(left) == client::ALIVE {
                std::thread::yield_now();
            }
            super::reap_all(&store.inner().actor());
            assert_eq!(state(left), client::FREE);
            record(dead.client()).store(client::word(dead.client().generation, client::REAPING), Ordering::SeqCst);
            drop(reaping);
        });
        assert_eq!(state(dead.client()), client::REAPING, "a client that is gone has reaped another one");
        store.reap(dead.client());
        assert_eq!(state(dead.client()), client::FREE);
        store.check().unwrap();
        std::mem::forget(dead);
    }

    #[test]
    fn the_id_of_a_dead_creation_is_free_while_it_is_reaped() {
        let store = Store::create(StoreOptions::new(1 << 20).max_objects(64).max_clients(4)).unwrap();
        let reaper = Store::attach(store.address()).unwrap();
        let shared = &store.inner().shared;
        let id = ObjectId::random();
        for round in 0..60_u32 {
            let dead = Store::attach(store.address()).unwrap();
            let key = dead.client();
            std::mem::forget((dead.create_object(id, 100).unwrap(), dead));
            shared.ctl.u64(shared.layout.client(key.index.into()) + C_START).store(1, Ordering::Relaxed);
            std::thread::scope(|scope| {
                scope.spawn(|| reaper.reap(key));
                (0..round % 32).for_each(|_| std::hint::spin_loop());
                let view = store.put(id, &[2; 100]).unwrap_or_else(|error| panic!("round {round}: {error}"));
                assert_eq!(view[..], [2; 100]);
            });
            store.delete(id).unwrap();
        }
        store.check().unwrap();
    }

    #[test]
    fn a_delete_beside_it_does_not_keep_a_creation_from_being_aborted() {
        let store = Store::create(StoreOptions::new(1 << 20)).unwrap();
        let other = Store::attach(store.address()).unwrap();
        let id = ObjectId::random();
        let buffer = store.create_object(id, 100_000).unwrap();
        let actor = other.inner().actor();
        let (at, seen) = crate::index::find(actor.shared, id).unwrap();
        assert!(other.delete(id).unwrap_err().is_not_sealed());
        super::abort_creation(&actor, at, seen);
        assert!(!store.exists(id), "the delete's flag kept it");
        assert!(buffer.seal().unwrap_err().is_not_found());
        store.check().unwrap();
        assert_eq!(store.stats().used_bytes, 0);
        // Another life of the slot is another creation.
        let buffer = store.create_object(id, 100_000).unwrap();
        super::abort_creation(&actor, at, seen);
        drop(buffer.seal().unwrap());
        store.delete(id).unwrap();
    }

    #[test]
    fn the_id_of_a_dead_creation_is_free_while_another_reaper_is_stopped() {
        let store = Store::create(StoreOptions::new(1 << 20)).unwrap();
        let attach = || Store::attach(store.address()).unwrap();
        let (dead, stopped) = (attach(), attach());
        let id = ObjectId::random();
        std::mem::forget(dead.create_object(id, 100_000).unwrap());
        let shared = &store.inner().shared;
        let record = shared.layout.client(dead.client().index.into());
        shared.ctl.u64(record + C_START).store(1, Ordering::Relaxed);
        let reaping = lock::acquire(shared, Lock::Reap, stopped.client());
        let view = store.put(id, &[2; 100]).unwrap();
        drop(reaping);
        store.reap(dead.client());
        store.check().unwrap();
        assert_eq!((&view[..], store.stats().objects), (&[2; 100][..], 1));
        drop(view);
        store.delete(id).unwrap();
        assert_eq!(store.stats().used_bytes, 0);
        std::mem::forget(dead);
    }
}
