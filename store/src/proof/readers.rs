//! Read-only clients: what they view stays, what only they held goes, although they change no word of the store.
//!
//! | put in on purpose | found by |
//! |---|---|
//! | nobody looks at readers' words (R2) | `a_readers_view_keeps_a_deleted_object`, `a_reader_sees_an_object_that_moves` |
//! | a reader that drops its last unit asks for nothing | the first, `a_counted_object_is_a_readers_or_gone` |
//! | the server moves nothing back | `a_reader_gets_what_a_stopped_client_looks_at` |
//! | a seal does not wake readers | `a_put_wakes_a_reader` |

use std::path::Path;
use std::time::Duration;

use loom::sync::Arc;
use loom::thread;

use super::scene::{RUN, Scene, id};
use super::{crashes_within, die, explore, explore_deaths, key};
use crate::holds::{Actor, HOLD, Looks};
use crate::index;
use crate::layout::H_UUID;
use crate::moves::Mover;
use crate::readers::{self, Reader};
use crate::shared::Shared;
use crate::slot::{self, Slot};
use crate::sync::{self, Ordering, mortal, timeouts};
use crate::waits::{self, On};

/// The place of the reader in every scene.
const READER: u16 = 1;

/// A store, and the segment as its reader has it.
struct Pair {
    scene: Arc<Scene>,
    reader: Shared,
    looks: Looks,
}

impl Pair {
    fn new(clients: u16, runs: usize) -> Arc<Pair> {
        sync::readers(true);
        let scene = Scene::new(clients, runs);
        readers::enrol(&scene.shared, key(READER));
        let mut reader = Shared::new(scene.shared.ctl.again(), scene.shared.layout);
        reader.reader = Some(Reader::new(READER, Path::new("")));
        assert!(readers::confirm(&reader, READER.into()));
        Arc::new(Pair { scene, reader, looks: Looks::default() })
    }

    fn actor(&self) -> Actor<'_> {
        Actor { shared: &self.reader, arena: &self.scene.arena, looks: &self.looks, me: key(READER) }
    }

    /// Gets object 1, reads it and lets go, as the reader; says whether it was there.
    fn visit(&self) -> bool {
        let Some((at, _)) = index::find(&self.reader, id(1)) else { return false };
        self.scene.visit_slot(&self.actor(), at, 1)
    }

    /// What the server does when it is poked.
    fn settle(&self) {
        readers::settle(&self.scene.actor(0), READER.into());
    }
}

/// A reader views an object while it is deleted and its memory is wanted.
#[test]
fn a_readers_view_keeps_a_deleted_object() {
    explore(|| {
        let pair = Pair::new(2, 1);
        pair.scene.put(0, 1, RUN, Duration::ZERO, 0).unwrap();
        let reader = {
            let pair = Arc::clone(&pair);
            thread::spawn(move || _ = pair.visit())
        };
        assert!(pair.scene.delete(0, 1));
        let put = pair.scene.put(0, 2, RUN, Duration::ZERO, 0).is_ok();
        reader.join().unwrap();
        pair.settle();
        pair.scene.assert_quiet(if put { &[2] } else { &[] });
    });
}

/// The last holder lets go while a reader wants the object, and the server does what the reader asks for.
#[test]
fn a_counted_object_is_a_readers_or_gone() {
    explore(|| {
        let pair = Pair::new(3, 1);
        let at = pair.scene.held(2, 1, RUN);
        let reader = {
            let pair = Arc::clone(&pair);
            thread::spawn(move || _ = pair.visit())
        };
        let holder = {
            let pair = Arc::clone(&pair);
            thread::spawn(move || pair.scene.actor(2).drop_unit(at.index, HOLD))
        };
        pair.settle();
        reader.join().unwrap();
        holder.join().unwrap();
        pair.settle();
        pair.scene.assert_quiet(&[]);
    });
}

/// A client is stopped while it looks whether the object may go: the server puts that to rest for the reader.
#[test]
fn a_reader_gets_what_a_stopped_client_looks_at() {
    explore(|| {
        let pair = Pair::new(3, 1);
        let at = pair.scene.held(2, 1, RUN);
        let slot = Slot::of(&pair.scene.shared, at.index);
        assert!(slot.cas(slot.state(), slot.state().to(slot::CONDEMNED, Some(2))));
        let reader = {
            let pair = Arc::clone(&pair);
            thread::spawn(move || {
                assert!(pair.visit(), "the object is not to be had");
                pair.scene.shared.ctl.u64(H_UUID).store(1, Ordering::Release);
            })
        };
        while pair.scene.shared.ctl.u64(H_UUID).load(Ordering::Acquire) == 0 {
            pair.settle();
            thread::yield_now();
        }
        reader.join().unwrap();
        pair.scene.actor(2).drop_unit(at.index, HOLD);
        pair.settle();
        pair.scene.assert_quiet(&[]);
    });
}

/// The same with a reader that waits no longer than it may, and then goes without.
#[test]
fn a_reader_that_waits_no_longer_keeps_nothing() {
    explore_deaths(|| {
        let pair = Pair::new(3, 1);
        let at = pair.scene.held(2, 1, RUN);
        let reader = {
            let pair = Arc::clone(&pair);
            thread::spawn(move || _ = pair.visit())
        };
        pair.scene.actor(2).drop_unit(at.index, HOLD);
        reader.join().unwrap();
        timeouts(false);
        pair.settle();
        pair.scene.assert_quiet(&[]);
    });
}

/// A reader leaves while the object that it viewed is deleted: whoever looks for readers ends it.
#[test]
fn a_reader_that_leaves_keeps_nothing() {
    explore(|| {
        let pair = Pair::new(2, 1);
        pair.scene.put(0, 1, RUN, Duration::ZERO, 0).unwrap();
        let reader = {
            let pair = Arc::clone(&pair);
            thread::spawn(move || {
                pair.visit();
                readers::leave(&pair.reader, READER.into());
            })
        };
        readers::settle_all(&pair.scene.actor(0));
        assert!(pair.scene.delete(0, 1));
        reader.join().unwrap();
        readers::settle_all(&pair.scene.actor(0));
        pair.scene.assert_free(READER);
        pair.scene.assert_quiet(&[]);
    });
}

/// An object moves while a reader reads it.
#[test]
fn a_reader_sees_an_object_that_moves() {
    explore(|| {
        let pair = Pair::new(2, 2);
        let at = pair.scene.put(0, 1, RUN, Duration::ZERO, 0).unwrap();
        let reader = {
            let pair = Arc::clone(&pair);
            thread::spawn(move || assert!(pair.visit(), "an object that is being moved is not to be had"))
        };
        let mover = Mover::try_lock(pair.scene.actor(0)).unwrap();
        let _ = mover.relocate(at, |alloc| alloc.take(RUN));
        drop(mover);
        let put = pair.scene.put(0, 2, RUN, Duration::ZERO, 0).is_ok();
        reader.join().unwrap();
        pair.settle();
        pair.scene.assert_quiet(if put { &[1, 2] } else { &[1] });
    });
}

/// A reader waits for an object that is put meanwhile.
#[test]
fn a_put_wakes_a_reader() {
    explore(|| {
        let pair = Pair::new(2, 1);
        let reader = {
            let pair = Arc::clone(&pair);
            thread::spawn(move || {
                let there = || pair.visit().then_some(());
                waits::wait(&pair.reader, On::Object(id(1)), None, there).unwrap();
            })
        };
        pair.scene.put(0, 1, RUN, Duration::ZERO, 0).unwrap();
        reader.join().unwrap();
        pair.settle();
        pair.scene.assert_quiet(&[1]);
    });
}

/// A reader is killed at any store while the object that it views is deleted; its area is cleared.
#[test]
fn a_reader_killed_anywhere_keeps_nothing() {
    crashes_within(2, |stores| {
        timeouts(false);
        let pair = Pair::new(2, 1);
        pair.scene.put(0, 1, RUN, Duration::ZERO, 0).unwrap();
        let dying = {
            let pair = Arc::clone(&pair);
            thread::spawn(move || mortal(stores, || _ = pair.visit()))
        };
        assert!(pair.scene.delete(0, 1));
        let lived = dying.join().unwrap();
        die(&pair.scene.shared, READER);
        pair.scene.reap(0, READER);
        assert!(readers::all(&pair.scene.shared).next().is_none(), "a reader that is gone is counted");
        pair.scene.assert_quiet(&[]);
        lived
    });
}
