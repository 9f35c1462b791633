//! Reading what is sealed.
//!
//! | row | what is timed |
//! |---|---|
//! | `get_200KB` | a get of a sealed object of 200 KB and the view's drop; ids drawn from 1,000 that another process sealed, none held |
//! | `contains` | the same ids |
//! | `get_200KB_hot_alone`, `get_200KB_hot_shared` | the same of one object, without and with another process that does the same all the time |
//! | `get_200KB_other_process` | a client's first get of each of 1,000 objects that another process has just sealed, and the view's drop |

use std::hint::black_box;

use mobula::store::{ObjectId, Store};

use super::peer::{Peer, Verb};
use super::{DRAWS, NAME, PAIR, deleted, draw, get, id, short, until};
use crate::error::{Result, check};
use crate::machine::cpus;
use crate::sample::Samples;
use crate::session::{Figure, Session};

const OBJECTS: u64 = 1000;
const OBJECT_BYTES: usize = 200_000;
/// The objects of `get_200KB_other_process` are behind these.
const FIRSTS: u64 = 1 << 20;

const HOT_ALONE: &str = "get_200KB_hot_alone";
const HOT_SHARED: &str = "get_200KB_hot_shared";

pub(super) fn measure(session: &mut Session<'_>, store: &Store) -> Result<()> {
    let mut peer = Peer::start(store)?;
    sealed(session, store, &mut peer)?;
    hot(session, store, peer)?;
    // The peer was killed in the middle of a get: its view may still count.
    (0..OBJECTS).try_for_each(|i| store.delete(id(i)).map(drop))?;
    until(HOT_SHARED, "all objects gone", || store.stats().objects == 0)?;
    firsts(session, store)
}

fn sealed(session: &mut Session<'_>, store: &Store, peer: &mut Peer) -> Result<()> {
    session.begin("get_200KB");
    peer.ask(Verb::Put, [0, OBJECTS, OBJECT_BYTES as u64])?;
    for i in 0..OBJECTS {
        look("get_200KB", store, id(i))?;
    }
    let drawn = draw(DRAWS, 0, OBJECTS);
    let figure = short(session, |i| get(store, drawn[i % DRAWS]))?;
    session.emit(NAME, "get_200KB", figure, PAIR)?;

    session.begin("contains");
    check("contains", drawn.iter().all(|&id| store.contains(id)), true)?;
    let figure = short(session, |i| {
        black_box(store.contains(drawn[i % DRAWS]));
        Ok(())
    })?;
    session.emit(NAME, "contains", figure, PAIR)
}

fn hot(session: &mut Session<'_>, store: &Store, mut peer: Peer) -> Result<()> {
    session.begin(HOT_ALONE);
    let hot = id(0);
    let figure = short(session, |_| get(store, black_box(hot)))?;
    session.emit(NAME, HOT_ALONE, figure, PAIR)?;
    if cpus() < 2 {
        return session.skip(NAME, HOT_SHARED, "it takes two processors and this process may use one");
    }
    session.begin(HOT_SHARED);
    peer.ask(Verb::Hammer, [0; 3])?;
    let figure = short(session, |_| get(store, black_box(hot)))?;
    session.emit(NAME, HOT_SHARED, figure, Some(HOT_ALONE))
}

fn firsts(session: &mut Session<'_>, store: &Store) -> Result<()> {
    const ROW: &str = "get_200KB_other_process";
    session.begin(ROW);
    let mut peer = Peer::start(store)?;
    let (clock, mut times) = (session.clock(), Vec::new());
    for round in 0..session.count(10, 2) {
        let first = FIRSTS + round as u64 * OBJECTS;
        peer.ask(Verb::Put, [first, OBJECTS, OBJECT_BYTES as u64])?;
        let ids: Vec<ObjectId> = (first..first + OBJECTS).map(id).collect();
        for &id in &ids {
            let start = clock.now();
            get(store, id)?;
            times.push(clock.since(start));
        }
        for id in ids {
            look(ROW, store, id)?;
            deleted(ROW, store, id)?;
        }
    }
    session.emit(NAME, ROW, Figure::of(&Samples::new(times)), PAIR)
}

/// Checks an object's length and last byte.
fn look(row: &'static str, store: &Store, id: ObjectId) -> Result<()> {
    let view = store.get(id, None)?;
    check(row, (view.len(), view.last().copied()), (OBJECT_BYTES, Some((OBJECT_BYTES - 1) as u8)))
}
