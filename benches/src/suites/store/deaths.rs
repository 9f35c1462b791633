//! The death of a client.
//!
//! | row | what is timed |
//! |---|---|
//! | `reap_10k` | from the SIGKILL of a client that alone holds 10,000 counted objects of 1 KB until objects and memory are free and it is no client any more; looked for every 0.1 ms or so. `limit_kill_seen` is the part that the kernel takes |

use mobula::store::Store;

use super::peer::{Peer, Verb};
use super::{NAME, PAIR, SMALL, clients, until};
use crate::error::{Result, check};
use crate::sample::Samples;
use crate::session::{Figure, Session};

const OBJECTS: u64 = 10_000;
const FIRST: u64 = 1 << 41;

pub(super) fn measure(session: &mut Session<'_>, store: &Store) -> Result<()> {
    const ROW: &str = "reap_10k";
    session.begin(ROW);
    clients(ROW, store, 1)?;
    let state = || {
        let stats = store.stats();
        (stats.objects, stats.used_bytes, stats.clients)
    };
    let (before, clock, mut times) = (state(), session.clock(), Vec::new());
    for _ in 0..session.count(30, 4) {
        let mut peer = Peer::start(store)?;
        peer.ask(Verb::Make, [FIRST, OBJECTS, SMALL as u64])?;
        check(ROW, state().0, before.0 + OBJECTS)?;
        let start = clock.now();
        peer.kill()?;
        until(ROW, "everything back", || state() == before)?;
        times.push(clock.since(start));
    }
    session.emit(NAME, ROW, Figure::of(&Samples::new(times)), PAIR)
}
