//! Writing and freeing, where the bytes do not count.
//!
//! | row | what is timed |
//! |---|---|
//! | `put_1KB` | a put of 1 KB under a new id and the view's drop; at most 100 live |
//! | `delete_1KB` | a deletion that frees the memory at once |
//! | `create_seal_100MB` | create and seal of 100 MB in memory that was freed before, and the view's drop; the writing between the two is not counted |
//! | `release_last_shared` | the drop of the last view of a counted object of 1 KB that another process made and has let go of; it frees the memory |

use std::hint::black_box;

use mobula::store::{ObjectId, ObjectView, Store};

use super::peer::{Peer, Verb};
use super::{BATCH, NAME, PAIR, SMALL, deleted, each, id, until, whole};
use crate::error::{Error, Result, check};
use crate::limits::copies::{LARGE, WARM_UP};
use crate::sample::Samples;
use crate::session::{Figure, Session};

/// The numbers of objects that are put and deleted, and of those that a peer makes.
const PUTS: u64 = 1 << 32;
const MADE: u64 = 1 << 33;

pub(super) fn measure(session: &mut Session<'_>, store: &Store) -> Result<()> {
    session.begin("put_1KB");
    let rounds = session.count(2_000, 200);
    let (put, delete) = puts_and_deletes(session, store, rounds)?;
    session.emit(NAME, "put_1KB", put, PAIR)?;
    session.emit(NAME, "delete_1KB", delete, PAIR)?;
    create_and_seal(session, store)?;
    session.begin("release_last_shared");
    let rounds = session.count(200, 20);
    let release = last_releases(session, store, &mut Peer::start(store)?, rounds)?;
    session.emit(NAME, "release_last_shared", release, PAIR)
}

/// Measures `put_1KB` and `delete_1KB`.
pub(super) fn puts_and_deletes(session: &Session<'_>, store: &Store, rounds: usize) -> Result<(Figure, Figure)> {
    let clock = session.clock();
    let data = [7_u8; SMALL];
    let (mut puts, mut deletes) = (Vec::new(), Vec::new());
    let (mut put_batches, mut delete_batches) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let ids: Vec<ObjectId> = (0..BATCH).map(|i| id(PUTS + (round * BATCH + i) as u64)).collect();
        let put = |i: usize| store.put(ids[i], black_box(&data)).map(drop).map_err(Error::from);
        let delete = |i: usize| deleted("delete_1KB", store, ids[i]);
        // Rounds take turns: one without a clock inside, one with.
        if round % 2 == 0 {
            put_batches.push(whole(clock, put)?);
            delete_batches.push(whole(clock, delete)?);
        } else {
            each(clock, &mut puts, put)?;
            each(clock, &mut deletes, delete)?;
        }
    }
    let figure = |singles, batches| Figure::of(&Samples::new(singles)).with_value(Samples::new(batches).median());
    Ok((figure(puts, put_batches), figure(deletes, delete_batches)))
}

fn create_and_seal(session: &mut Session<'_>, store: &Store) -> Result<()> {
    const ROW: &str = "create_seal_100MB";
    session.begin(ROW);
    let (clock, mut times) = (session.clock(), Vec::new());
    for round in 0..WARM_UP + session.count(2_000, 200) {
        let start = clock.now();
        let mut buffer = store.create_object(id(0), LARGE)?;
        let created = clock.since(start);
        if round == 0 {
            buffer.fill(7);
        } else {
            check(ROW, buffer.len(), LARGE)?;
            buffer[round % LARGE] = 7;
        }
        let start = clock.now();
        drop(buffer.seal()?);
        let sealed = clock.since(start);
        if round >= WARM_UP {
            times.push(created + sealed);
        }
        deleted(ROW, store, id(0))?;
    }
    session.emit(NAME, ROW, Figure::of(&Samples::new(times)), PAIR)
}

/// Measures `release_last_shared`: the peer makes objects, both have them, the peer lets go.
pub(super) fn last_releases(session: &Session<'_>, store: &Store, peer: &mut Peer, rounds: usize) -> Result<Figure> {
    const ROW: &str = "release_last_shared";
    let clock = session.clock();
    let objects = store.stats().objects;
    let (mut times, mut wholes) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let first = MADE + (round * BATCH) as u64;
        peer.ask(Verb::Make, [first, BATCH as u64, SMALL as u64])?;
        let views: Result<Vec<ObjectView>> = (0..BATCH as u64).map(|i| Ok(store.get(id(first + i), None)?)).collect();
        let mut views = views?;
        peer.ask(Verb::Drop, [0; 3])?;
        let release = |_| {
            drop(views.pop());
            Ok(())
        };
        if round % 2 == 0 {
            wholes.push(whole(clock, release)?);
        } else {
            each(clock, &mut times, release)?;
        }
        until(ROW, "all objects gone", || store.stats().objects == objects)?;
    }
    Ok(Figure::of(&Samples::new(times)).with_value(Samples::new(wholes).median()))
}
