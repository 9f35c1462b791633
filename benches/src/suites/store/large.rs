//! Writing where the bytes are what counts.
//!
//! | row | what is timed |
//! |---|---|
//! | `put_100KB`, `put_1MB` | a put; view's drop and deletion, which make room for the next, are not counted |
//! | `put_100MB_warm` | a put into memory that was freed before; the view's drop is not counted |
//! | `put_gigabytes_2_clients` | two processes put objects of 100 MB and delete them again at the same time; all bytes by the time from each round's first start to its last end |
//! | `limit_put_gigabytes` | the fastest copy of this process again, in turns with the row before |
//! | `put_100MB_fresh` | a put into a new store, default options |
//! | `put_100MB_prefaulted` | a put into a new store that was told to fault 200 MB in |
//! | `prefault_200MB` | what that costs: the creation of such a store, until its memory is committed |
//!
//! All puts take turns with their limit: what a virtual machine gets of its host's memory changes by half within
//! seconds.

use std::hint::black_box;

use mobula::store::{Store, StoreOptions};

use super::peer::{Peer, Verb};
use super::{NAME, deleted, id, until};
use crate::clock::Clock;
use crate::error::{Result, check};
use crate::limits::copies::{self, BEST, Copier, FRESH, LARGE, MEMCPY, Manner, WARM_UP};
use crate::sample::{Samples, in_turns};
use crate::session::{Figure, Session};

/// A new store's room: an object of [`LARGE`] bytes, and as many again.
const FRESH_CAPACITY: usize = 256 << 20;
const PREFAULT: usize = 200_000_000;

const WARM: &str = "put_100MB_warm";

pub(super) fn measure(session: &mut Session<'_>, store: &Store) -> Result<()> {
    let source: Vec<u8> = (0..LARGE).map(|i| (i % 251) as u8).collect();
    same_size(session, store, &source[..100_000], "put_100KB", "limit_memcpy_100KB", 20_000)?;
    same_size(session, store, &source[..1_000_000], "put_1MB", "limit_memcpy_1MB", 3_000)?;
    let best = warm(session, store, &source)?;
    two_clients(session, store, best, &source)?;
    fresh(session, &source)
}

/// Puts an object, lets it go, and returns the nanoseconds that the put took.
fn put(row: &'static str, clock: Clock, store: &Store, data: &[u8]) -> Result<f64> {
    let start = clock.now();
    let view = store.put(id(0), black_box(data))?;
    let time = clock.since(start);
    check(row, (view.len(), view.last()), (data.len(), data.last()))?;
    drop(view);
    deleted(row, store, id(0))?;
    Ok(time)
}

fn same_size(
    session: &mut Session<'_>,
    store: &Store,
    source: &[u8],
    row: &'static str,
    limit: &'static str,
    rounds: usize,
) -> Result<()> {
    session.begin(row);
    let (clock, rounds) = (session.clock(), session.count(rounds, rounds / 10));
    let mut copier = Copier::new(source.len())?;
    let [limits, times] = in_turns(
        rounds / 10,
        rounds,
        [&mut || Ok(copier.copy(clock, Manner::MEMCPY, source)), &mut || put(row, clock, store, source)],
    )?;
    session.emit(NAME, limit, Figure::rate(&limits, source.len()), None)?;
    session.emit(NAME, row, Figure::rate(&times, source.len()), Some(limit))
}

/// Returns the fastest manner to copy.
fn warm(session: &mut Session<'_>, store: &Store, source: &[u8]) -> Result<Manner> {
    let (clock, rounds) = (session.clock(), session.count(40, 6));
    let (mut plain, mut other) = (Copier::new(LARGE)?, Copier::new(LARGE)?);
    let manner = copies::best(session, NAME, &mut other, source)?;
    session.begin(WARM);
    let [memcpy, best, times] = in_turns(
        WARM_UP,
        rounds,
        [
            &mut || Ok(plain.copy(clock, Manner::MEMCPY, source)),
            &mut || Ok(other.copy(clock, manner, source)),
            &mut || put(WARM, clock, store, source),
        ],
    )?;
    session.emit(NAME, MEMCPY, Figure::rate(&memcpy, LARGE), None)?;
    session.emit(NAME, BEST, Figure::rate(&best, LARGE), None)?;
    session.emit(NAME, WARM, Figure::rate(&times, LARGE), Some(BEST))?;
    Ok(manner)
}

fn two_clients(session: &mut Session<'_>, store: &Store, best: Manner, source: &[u8]) -> Result<()> {
    const ROW: &str = "put_gigabytes_2_clients";
    const LIMIT: &str = "limit_put_gigabytes";
    session.begin(ROW);
    let (clock, mut copier) = (session.clock(), Copier::new(LARGE)?);
    let mut peers = Peer::start_many(store, 2)?;
    let (mut copies, mut times, mut busy) = (Vec::new(), Vec::new(), 0);
    let (rounds, each) = (session.count(8, 2), session.count(5, 2));
    for round in 0..WARM_UP + rounds {
        let copied: Vec<f64> = (0..each).map(|_| copier.copy(clock, best, source)).collect();
        let (took, put) = puts_of_all(&mut peers, ROW, each as u64)?;
        // The first rounds fault the memory in.
        if round >= WARM_UP {
            copies.extend(copied);
            times.extend(put);
            busy += took;
        }
    }
    // Bytes a nanosecond are gigabytes a second.
    let rate = (times.len() * LARGE) as f64 / busy.max(1) as f64;
    session.emit(NAME, LIMIT, Figure::rate(&Samples::new(copies), LARGE), None)?;
    session.emit(NAME, ROW, Figure::rate(&Samples::new(times), LARGE).with_value(rate), Some(LIMIT))
}

/// Lets all peers put at the same time; returns the nanoseconds from the first one's start to the last one's end,
/// and those of each put.
fn puts_of_all(peers: &mut [Peer], row: &'static str, each: u64) -> Result<(u64, Vec<f64>)> {
    let (mut began, mut ended, mut times) = (u64::MAX, 0, Vec::new());
    for (i, peer) in peers.iter_mut().enumerate() {
        peer.tell(Verb::Gigabytes, [(i as u64) << 20, each, LARGE as u64])?;
    }
    for peer in peers.iter_mut() {
        let answer = peer.answer()?;
        let mut numbers = answer.split(' ').map_while(|word| word.parse::<u64>().ok());
        began = began.min(numbers.next().unwrap_or(0));
        ended = ended.max(numbers.next().unwrap_or(0));
        times.extend(numbers.map(|time| time as f64));
    }
    check(row, times.len() as u64, peers.len() as u64 * each)?;
    Ok((ended.saturating_sub(began), times))
}

fn fresh(session: &mut Session<'_>, source: &[u8]) -> Result<()> {
    const ROW: &str = "put_100MB_fresh";
    const READY: &str = "put_100MB_prefaulted";
    const COST: &str = "prefault_200MB";
    session.begin(ROW);
    let (clock, rounds) = (session.clock(), session.count(15, 3));
    let mut costs = Vec::new();
    let [limits, untouched, ready] = in_turns(
        1,
        rounds,
        [
            &mut || copies::fresh(clock, source),
            &mut || put(ROW, clock, &Store::create(StoreOptions::new(FRESH_CAPACITY))?, source),
            &mut || {
                let start = clock.now();
                let store = Store::create(StoreOptions::new(FRESH_CAPACITY).prefault(PREFAULT))?;
                until(COST, "memory committed", || store.stats().committed_bytes >= PREFAULT as u64)?;
                costs.push(clock.since(start));
                put(READY, clock, &store, source)
            },
        ],
    )?;
    session.emit(NAME, FRESH, Figure::rate(&limits, LARGE), None)?;
    session.emit(NAME, ROW, Figure::rate(&untouched, LARGE), Some(FRESH))?;
    session.emit(NAME, READY, Figure::rate(&ready, LARGE), Some(WARM))?;
    let costs = costs.split_off(costs.len().min(1));
    session.emit(NAME, COST, Figure::rate(&Samples::new(costs), PREFAULT), Some(FRESH))
}
