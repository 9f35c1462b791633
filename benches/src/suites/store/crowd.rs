//! Many clients.
//!
//! | row | what is timed |
//! |---|---|
//! | `get_c1`, `get_c16`, `get_c128` | get and drop of an object drawn from 1,000, as many clients being attached, each a process |
//! | `delete_1KB_cN_hM` | as `delete_1KB` with N clients that hold views of M other objects between them |
//! | `release_last_shared_cN_hM` | as `release_last_shared`; the process that lets go first is one of the N, and there are two if N is 1 |
//!
//! Rows of one kind stand beside the smallest of them.

use mobula::store::{ObjectView, Store, StoreOptions};

use super::peer::{Peer, Verb};
use super::{DRAWS, NAME, PAIR, SMALL, clients, draw, fill, get, id, short, small};
use crate::error::Result;
use crate::session::{Figure, Session};

/// The numbers of objects to read; those to hold come behind them.
const READ: u64 = 1000;
const HELD: u64 = 100_000;
const CAPACITY: usize = 256 << 20;

/// How many clients there are, this process among them, and the rows.
const CROWDS: [Crowd; 3] = [
    Crowd {
        clients: 1,
        get: "get_c1",
        delete: ["delete_1KB_c1_h0", "delete_1KB_c1_h100k"],
        release: ["release_last_shared_c1_h0", "release_last_shared_c1_h100k"],
    },
    Crowd {
        clients: 16,
        get: "get_c16",
        delete: ["delete_1KB_c16_h0", "delete_1KB_c16_h100k"],
        release: ["release_last_shared_c16_h0", "release_last_shared_c16_h100k"],
    },
    Crowd {
        clients: 128,
        get: "get_c128",
        delete: ["delete_1KB_c128_h0", "delete_1KB_c128_h100k"],
        release: ["release_last_shared_c128_h0", "release_last_shared_c128_h100k"],
    },
];

struct Crowd {
    clients: usize,
    get: &'static str,
    delete: [&'static str; 2],
    release: [&'static str; 2],
}

pub(super) fn measure(session: &mut Session<'_>) -> Result<()> {
    let store = Store::create(StoreOptions::new(CAPACITY).max_objects(2 * HELD as usize))?;
    fill(&store, 0..READ + HELD, SMALL / 16)?;
    let (mut deletes, mut releases) = (Vec::new(), Vec::new());
    for crowd in CROWDS {
        measure_crowd(session, &store, &crowd, &mut deletes, &mut releases)?;
    }
    beside_smallest(session, deletes)?;
    beside_smallest(session, releases)
}

type Rows = Vec<(&'static str, Figure)>;

fn measure_crowd(
    session: &mut Session<'_>,
    store: &Store,
    crowd: &Crowd,
    deletes: &mut Rows,
    releases: &mut Rows,
) -> Result<()> {
    session.begin(crowd.get);
    let mut peers = Peer::start_many(store, crowd.clients - 1)?;
    let drawn = draw(DRAWS, 0, READ);
    let figure = short(session, |i| get(store, drawn[i % DRAWS]))?;
    session.emit(NAME, crowd.get, figure, if crowd.clients == 1 { PAIR } else { Some(CROWDS[0].get) })?;

    let mut views = Vec::new();
    for held in [0, 1] {
        if held == 1 {
            session.begin(crowd.delete[held]);
            views = hold(store, &mut peers)?;
        }
        session.begin(crowd.delete[held]);
        let figures = small::puts_and_deletes(session, store, session.count(1_000, 100))?;
        deletes.push((crowd.delete[held], figures.1));
        session.begin(crowd.release[held]);
        let rounds = session.count(100, 20);
        let release = match peers.first_mut() {
            Some(peer) => small::last_releases(session, store, peer, rounds)?,
            None => small::last_releases(session, store, &mut Peer::start(store)?, rounds)?,
        };
        releases.push((crowd.release[held], release));
        clients(crowd.release[held], store, crowd.clients)?;
    }
    drop(views);
    drop(peers);
    clients(crowd.get, store, 1)
}

/// Shares the views of all objects to hold among this process and its peers.
fn hold(store: &Store, peers: &mut [Peer]) -> Result<Vec<ObjectView>> {
    let clients = peers.len() as u64 + 1;
    for (peer, share) in peers.iter_mut().zip(1..) {
        peer.tell(Verb::View, [READ + share, HELD - share, clients])?;
    }
    let own = (READ..READ + HELD).step_by(clients as usize);
    let views = own.map(|number| Ok(store.get(id(number), None)?)).collect();
    peers.iter_mut().try_for_each(|peer| peer.answer().map(drop))?;
    views
}

/// Emits rows beside the one with the smallest value, which stands beside an atomic pair.
fn beside_smallest(session: &mut Session<'_>, rows: Rows) -> Result<()> {
    let Some(&smallest) = rows.iter().min_by(|a, b| a.1.value.total_cmp(&b.1.value)) else { return Ok(()) };
    session.emit(NAME, smallest.0, smallest.1, PAIR)?;
    let others = rows.into_iter().filter(|row| row.0 != smallest.0);
    others.into_iter().try_for_each(|(row, figure)| session.emit(NAME, row, figure, Some(smallest.0)))
}
