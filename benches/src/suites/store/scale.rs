//! Many objects.
//!
//! | row | what is timed |
//! |---|---|
//! | `get_n10`, `get_n10k`, `get_n1M` | get and drop of an object of 64 B, drawn from as many |
//! | `list_100k`, `stats` | one call with 10^5 objects |
//! | `get_n100k`, `put_1KB_n100k` | get and drop, put and drop, with 10^5 objects; the value is the time of all by their number |
//! | `get_n100k_listed`, `put_1KB_n100k_listed` | the same while another process lists and takes stats all the time; a list that stopped others would show in the value, whatever the percentiles say |

use std::hint::black_box;

use mobula::store::{ObjectId, Store, StoreOptions};

use super::peer::{Peer, Verb};
use super::{BATCH, CAPACITY, DRAWS, NAME, PAIR, SMALL, deleted, draw, each, fill, get, id, short, whole};
use crate::clock::Clock;
use crate::error::{Error, Result, check};
use crate::machine::cpus;
use crate::sample::{Samples, singles};
use crate::session::{Figure, Session};

const BYTES: usize = 64;
const LISTED: u64 = 100_000;
const MILLION: u64 = 1_000_000;
/// The numbers of objects that are put beside a list.
const PUTS: u64 = 1 << 32;

pub(super) fn measure(session: &mut Session<'_>) -> Result<()> {
    let store = Store::create(StoreOptions::new(CAPACITY))?;
    gets(session, &store, "get_n10", 0..10, DRAWS)?;
    gets(session, &store, "get_n10k", 10..10_000, DRAWS)?;
    drop(store);
    let store = Store::create(StoreOptions::new(CAPACITY).max_objects(2 * LISTED as usize))?;
    lists(session, &store)?;
    drop(store);
    let store = Store::create(StoreOptions::new(CAPACITY).max_objects((MILLION + MILLION / 10) as usize))?;
    // So many draws that the caches do not hold what they lead to.
    gets(session, &store, "get_n1M", 0..MILLION, 1 << 19)
}

/// Adds objects and measures gets of all that are there.
fn gets(
    session: &mut Session<'_>,
    store: &Store,
    row: &'static str,
    added: std::ops::Range<u64>,
    draws: usize,
) -> Result<()> {
    session.begin(row);
    let all = added.end;
    fill(store, added, BYTES)?;
    check(row, store.stats().objects, all)?;
    let drawn = draw(draws, 0, all);
    drawn.iter().try_for_each(|&id| get(store, id))?;
    let figure = short(session, |i| get(store, drawn[i % draws]))?;
    session.emit(NAME, row, figure, PAIR)
}

fn lists(session: &mut Session<'_>, store: &Store) -> Result<()> {
    session.begin("list_100k");
    fill(store, 0..LISTED, BYTES)?;
    let clock = session.clock();
    let list = |_| check("list_100k", store.list().len() as u64, LISTED);
    list(0)?;
    let samples = singles(clock, session.count(40, 5), list)?;
    session.emit(NAME, "list_100k", Figure::of(&samples), PAIR)?;
    let stats = |_| check("stats", store.stats().objects, LISTED);
    let samples = singles(clock, session.count(5_000, 500), stats)?;
    session.emit(NAME, "stats", Figure::of(&samples), PAIR)?;
    others(session, store)
}

/// Measures others without and with a process that lists.
fn others(session: &mut Session<'_>, store: &Store) -> Result<()> {
    const ROWS: [[&str; 2]; 2] = [["get_n100k", "get_n100k_listed"], ["put_1KB_n100k", "put_1KB_n100k_listed"]];
    let (clock, count) = (session.clock(), session.count(1_000_000, 100_000));
    let drawn = draw(DRAWS, 0, LISTED);
    let mut peer = Peer::start(store)?;
    for listed in [0, 1] {
        if listed == 1 && cpus() < 2 {
            for rows in ROWS {
                session.skip(NAME, rows[1], "it takes two processors and this process may use one")?;
            }
            return Ok(());
        }
        if listed == 1 {
            peer.ask(Verb::Report, [0; 3])?;
        }
        let beside = |rows: [&'static str; 2]| if listed == 1 { Some(rows[0]) } else { PAIR };
        session.begin(ROWS[0][listed]);
        let figure = all(clock, count, |i| get(store, drawn[i % DRAWS]))?;
        session.emit(NAME, ROWS[0][listed], figure, beside(ROWS[0]))?;
        session.begin(ROWS[1][listed]);
        let figure = puts(clock, store, count)?;
        session.emit(NAME, ROWS[1][listed], figure, beside(ROWS[1]))?;
    }
    Ok(())
}

/// Times half of the operations each and half of them together: the value is a mean, which forgets nothing.
fn all(clock: Clock, count: usize, mut operation: impl FnMut(usize) -> Result<()>) -> Result<Figure> {
    let samples = singles(clock, count / 2, &mut operation)?;
    let start = clock.now();
    (0..count / 2).try_for_each(operation)?;
    Ok(Figure::of(&samples).with_value(clock.since(start) / (count / 2) as f64))
}

/// The same for puts, which are undone outside the times.
fn puts(clock: Clock, store: &Store, count: usize) -> Result<Figure> {
    let data = [7_u8; SMALL];
    let (mut times, mut sum, rounds) = (Vec::new(), 0.0, count / BATCH / 2);
    for round in 0..2 * rounds {
        let ids: Vec<ObjectId> = (0..BATCH).map(|i| id(PUTS + (round * BATCH + i) as u64)).collect();
        let put = |i: usize| store.put(ids[i], black_box(&data)).map(drop).map_err(Error::from);
        if round % 2 == 0 {
            sum += whole(clock, put)?;
        } else {
            each(clock, &mut times, put)?;
        }
        ids.iter().try_for_each(|&id| deleted("put_1KB_n100k", store, id))?;
    }
    Ok(Figure::of(&Samples::new(times)).with_value(sum / rounds as f64))
}
