//! Pin against free, and who of several releasers frees: nothing held goes, nothing unheld stays, nothing goes twice.

use std::fs::File;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use super::{crashes, explore, key, segment};
use crate::alloc;
use crate::arena::Arena;
use crate::client;
use crate::holds::{Actor, Adopted, HOLD, Looks, VIEW};
use crate::id::ObjectId;
use crate::index;
use crate::layout::{C_WORD, H_UUID};
use crate::moves::{self, Mover};
use crate::reap;
use crate::shared::Shared;
use crate::slot::{self, Slot, SlotRef, State};
use crate::sync::{Ordering, mortal, timeouts};

/// The object that is fought for, and the one that contains it.
const CHILD: SlotRef = SlotRef { index: 0, generation: 0 };
const PARENT: SlotRef = SlotRef { index: 1, generation: 0 };

/// A store of a few objects without memory, and what each process has of its own.
struct Scene {
    shared: Shared,
    looks: Vec<Looks>,
    /// Stands for the bytes of CHILD: read by who holds it, overwritten by who freed it.
    bytes: UnsafeCell<()>,
    freed: AtomicUsize,
}

/// A list of children lies at the arena's start; loom does not look there.
fn arena() -> &'static Arena {
    static ARENA: OnceLock<Arena> = OnceLock::new();
    ARENA.get_or_init(|| {
        let file: File = tempfile::tempfile().unwrap();
        file.set_len(4096).unwrap();
        let arena = Arena::map(file, 4096).unwrap();
        arena.write(0, &CHILD.to_word().to_le_bytes());
        arena
    })
}

fn id(at: SlotRef) -> ObjectId {
    ObjectId::from_bytes([at.index as u8 + 1; 16])
}

impl Scene {
    /// Makes CHILD, sealed, with `flags`, and a unit for each of `holders`.
    fn new(clients: u16, flags: u64, holders: &[u16]) -> Arc<Scene> {
        let looks = (0..clients).map(|_| Looks::default()).collect();
        let scene = Scene { shared: segment(clients), looks, bytes: UnsafeCell::new(()), freed: AtomicUsize::new(0) };
        let ever = scene.shared.layout.alloc_at + alloc::LAYOUT[2];
        scene.shared.ctl.u64(ever).store(2, Ordering::Release);
        scene.make(CHILD, flags);
        for &holder in holders {
            assert!(matches!(scene.actor(holder).adopt(CHILD, HOLD, false), Adopted::Sealed(_)));
        }
        Arc::new(scene)
    }

    fn make(&self, at: SlotRef, flags: u64) {
        let slot = Slot::of(&self.shared, at.index);
        slot.cas(slot.state(), State::new(at.generation, Some(0), flags, slot::RESERVED));
        slot.describe(id(at), 0, 0, 0);
        index::vacancy(&self.shared, id(at), key(0), Duration::MAX).unwrap().enter(at, key(0), slot::SEALED);
    }

    fn actor(&self, client: u16) -> Actor<'_> {
        let looks = &self.looks[usize::from(client)];
        Actor { shared: &self.shared, arena: arena(), looks, me: key(client) }
    }

    fn read(&self) {
        self.bytes.with(|_| ());
    }

    /// Drops a unit; who frees the object by that overwrites its bytes.
    fn release(&self, client: u16, unit: u64) {
        self.actor(client).drop_unit(CHILD.index, unit);
        self.overwrite_if_mine(client);
    }

    fn delete(&self, client: u16) {
        let slot = Slot::of(&self.shared, CHILD.index);
        let state = slot.state();
        if state.state() == slot::SEALED && slot.cas(state, state.to(slot::CONDEMNED, Some(client)).with(slot::DELETED))
        {
            self.actor(client).look(CHILD);
            self.overwrite_if_mine(client);
        }
    }

    /// As [`delete`](Self::delete), and waits for a mover; says whether the object is gone.
    fn delete_and_wait(&self, client: u16) -> bool {
        self.delete(client);
        let gone = self.freed.load(Relaxed) > 0 || moves::await_mover(self.actor(client), CHILD);
        self.overwrite_if_mine(client);
        gone
    }

    /// Holds the object as a mover does, and moves nothing.
    fn hold_as_mover(&self, client: u16) {
        // It fails if the object is deleted already.
        let _ = Mover::lock(self.actor(client)).held(CHILD, |_| Ok(()));
        self.overwrite_if_mine(client);
    }

    /// A slot that this client freed lies in its magazine: take it out and use its memory for something else.
    fn overwrite_if_mine(&self, client: u16) {
        while let Some(at) = self.looks[usize::from(client)].magazine.take(crate::magazine::EMPTY) {
            if at.index == CHILD.index {
                assert_eq!(at.generation, CHILD.generation + 1);
                self.freed.fetch_add(1, Relaxed);
                self.bytes.with_mut(|_| ());
            }
        }
    }

    /// Takes a unit as `get` does and reads; says whether the object was still there.
    fn visit(&self, client: u16, unit: u64) -> bool {
        let Some((at, _)) = index::find(&self.shared, id(CHILD)) else { return false };
        let actor = self.actor(client);
        let found = matches!(actor.adopt(at, unit, false), Adopted::Sealed(_));
        if found {
            self.read();
            self.release(client, unit);
        } else {
            self.overwrite_if_mine(client);
        }
        found
    }

    fn assert_gone(&self) {
        assert_eq!(self.freed.load(Relaxed), 1, "how often the object was freed");
        assert!(index::find(&self.shared, id(CHILD)).is_none());
    }

    /// The reaper's work for a client whose process is gone, by client 0.
    fn reap(&self, dead: u16) {
        reap::reap(&self.actor(0), key(dead));
        self.overwrite_if_mine(0);
        let word = self.shared.ctl.u64(self.shared.layout.client(dead.into()) + C_WORD).load(Ordering::SeqCst);
        assert_eq!(word, client::word(1, client::FREE));
    }
}

/// `get` against `delete`: who got it reads undisturbed, and the last one out frees.
#[test]
fn a_view_keeps_a_deleted_object_until_it_is_dropped() {
    explore(|| {
        let scene = Scene::new(2, 0, &[]);
        let reader = {
            let scene = Arc::clone(&scene);
            thread::spawn(move || scene.visit(1, VIEW))
        };
        scene.delete(0);
        reader.join().unwrap();
        scene.assert_gone();
    });
}

/// A mover's hold is in the way of a delete: the object is gone when that returns, and nobody sleeps for ever.
#[test]
fn a_delete_beside_a_mover_returns_when_the_object_is_gone() {
    explore(|| {
        let scene = Scene::new(2, 0, &[]);
        let mover = {
            let scene = Arc::clone(&scene);
            thread::spawn(move || scene.hold_as_mover(1))
        };
        assert!(scene.delete_and_wait(0));
        mover.join().unwrap();
        scene.assert_gone();
    });
}

#[test]
fn a_delete_beside_a_mover_that_is_killed_ends_with_the_reaper() {
    crashes(|stores| {
        timeouts(false);
        let scene = Scene::new(3, 0, &[]);
        let deleter = {
            let scene = Arc::clone(&scene);
            thread::spawn(move || scene.delete_and_wait(2))
        };
        let dying = {
            let scene = Arc::clone(&scene);
            thread::spawn(move || mortal(stores, || scene.hold_as_mover(1)))
        };
        let lived = dying.join().unwrap();
        scene.reap(1);
        // The reaper may be freeing it at this moment, so that the answer may be either.
        deleter.join().unwrap();
        let state = Slot::of(&scene.shared, CHILD.index).state();
        assert_ne!(state.generation(), CHILD.generation, "the object is still there: {state:?}");
        lived
    });
}

#[test]
fn two_readers_and_a_delete_free_once() {
    explore(|| {
        let scene = Scene::new(3, 0, &[]);
        let readers: Vec<_> = (1..3)
            .map(|client| {
                let scene = Arc::clone(&scene);
                thread::spawn(move || scene.visit(client, VIEW))
            })
            .collect();
        scene.delete(0);
        for reader in readers {
            reader.join().unwrap();
        }
        scene.assert_gone();
    });
}

/// Two clients hold a counted object and let go at once: one of them frees it.
#[test]
fn of_two_releasers_of_a_counted_object_one_frees_it() {
    explore(|| {
        let scene = Scene::new(2, slot::COUNTED, &[0, 1]);
        let other = {
            let scene = Arc::clone(&scene);
            thread::spawn(move || {
                scene.read();
                scene.release(1, HOLD);
            })
        };
        scene.read();
        scene.release(0, HOLD);
        other.join().unwrap();
        scene.assert_gone();
    });
}

/// The last holder lets go while another gets it: either it is gone for that one, or that one frees it.
#[test]
fn a_counted_object_is_gone_or_held_but_not_both() {
    explore(|| {
        let scene = Scene::new(2, slot::COUNTED, &[0]);
        let other = {
            let scene = Arc::clone(&scene);
            thread::spawn(move || scene.visit(1, VIEW))
        };
        scene.read();
        scene.release(0, HOLD);
        other.join().unwrap();
        scene.assert_gone();
    });
}

/// Client 0 keeps its unit until client 1 has one, while client 2 lets go: the object never seems gone.
#[test]
fn a_hand_over_never_loses_the_object() {
    explore(|| {
        let scene = Scene::new(3, slot::COUNTED, &[0, 2]);
        let taker = {
            let scene = Arc::clone(&scene);
            thread::spawn(move || {
                assert!(matches!(scene.actor(1).adopt(CHILD, HOLD, false), Adopted::Sealed(_)), "lost on the way");
                // What a taken frame tells its sender.
                scene.shared.ctl.u64(H_UUID).store(1, Ordering::Release);
                scene.read();
                scene.release(1, HOLD);
            })
        };
        let other = {
            let scene = Arc::clone(&scene);
            thread::spawn(move || scene.release(2, HOLD))
        };
        while scene.shared.ctl.u64(H_UUID).load(Ordering::Acquire) == 0 {
            thread::yield_now();
        }
        scene.release(0, HOLD);
        taker.join().unwrap();
        other.join().unwrap();
        scene.assert_gone();
    });
}

/// A unit moves into a parent while another client lets go: the child goes with its parent, not before.
#[test]
fn a_child_goes_with_its_parent() {
    explore(|| {
        let scene = Scene::new(2, slot::COUNTED, &[0, 1]);
        let other = {
            let scene = Arc::clone(&scene);
            thread::spawn(move || scene.release(1, HOLD))
        };
        let actor = scene.actor(0);
        scene.make(PARENT, slot::COUNTED);
        Slot::of(&scene.shared, PARENT.index).size(0, 0, 1);
        actor.take_first(PARENT, HOLD);
        assert!(actor.link(PARENT, &[CHILD], Duration::MAX));
        scene.release(0, HOLD);
        scene.read();
        assert_eq!(scene.freed.load(Relaxed), 0, "freed inside a living parent");
        actor.drop_unit(PARENT.index, HOLD);
        other.join().unwrap();
        scene.overwrite_if_mine(0);
        scene.assert_gone();
    });
}

/// Of two releasers one is killed at any store; the reaper finishes what it had begun.
#[test]
fn a_releaser_killed_anywhere_leaves_no_object_behind() {
    crashes(|stores| {
        timeouts(false);
        let scene = Scene::new(3, slot::COUNTED, &[1, 2]);
        let other = {
            let scene = Arc::clone(&scene);
            thread::spawn(move || scene.release(2, HOLD))
        };
        let dying = {
            let scene = Arc::clone(&scene);
            thread::spawn(move || mortal(stores, || scene.actor(1).drop_unit(CHILD.index, HOLD)))
        };
        let lived = dying.join().unwrap();
        scene.reap(1);
        other.join().unwrap();
        let state = Slot::of(&scene.shared, CHILD.index).state();
        assert_ne!(state.generation(), CHILD.generation, "the object is still there: {state:?}");
        lived
    });
}

/// A reader is killed at any store while another client deletes; the object goes with the reader's units.
#[test]
fn a_reader_killed_anywhere_does_not_keep_a_deleted_object() {
    crashes(|stores| {
        timeouts(false);
        let scene = Scene::new(2, 0, &[]);
        let dying = {
            let scene = Arc::clone(&scene);
            thread::spawn(move || {
                mortal(stores, || {
                    let actor = scene.actor(1);
                    if matches!(actor.adopt(CHILD, VIEW, false), Adopted::Sealed(_)) {
                        actor.drop_unit(CHILD.index, VIEW);
                    }
                })
            })
        };
        scene.delete(0);
        let lived = dying.join().unwrap();
        scene.reap(1);
        let state = Slot::of(&scene.shared, CHILD.index).state();
        assert_ne!(state.generation(), CHILD.generation, "the object is still there: {state:?}");
        lived
    });
}
