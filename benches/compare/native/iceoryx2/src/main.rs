//! iceoryx2's own figures for the rows of the suites `calls`, `channel` and `startup`.
//!
//! | row | what is timed |
//! |---|---|
//! | `actor_call_sync_hot` | request and response of 8 bytes, both sides looking for them all the time |
//! | `actor_call_sync_hot:publish-subscribe` | a sample there and one back, in the same way |
//! | `actor_call_sync_hot:event` | request and response, each announced by an event that the other side sleeps for |
//! | `actor_call_sync_asleep`, `.._oversubscribed` | the same, both asleep before, or with four servers in turn |
//! | `1_1_actor_calls_async` | 1,000 requests, at most [`WINDOW`] without a response |
//! | `1_1_actor_calls_async:publish-subscribe` | 1,000 samples, then those that come back |
//! | `actor_call_1MB_array` | a loaned sample of 1 MB, one byte of it written, and a number back |
//! | `actor_call_1MB_array_put` | the same with all of it written |
//! | `channel_hop_8B` | half of a sample there and one back |
//! | `channel_hop_1MB`, `channel_hop_4MB` | half of a loaned sample there, one byte of it written, and a number back |
//! | `channel_stream_8B` | as `1_1_actor_calls_async:publish-subscribe` |
//! | `actor_creation_1`, `actor_creation_10` | processes with node, services and ports, until each has answered |
//!
//! Looking for messages all the time takes a processor on each side. Nothing is serialised and nobody counts
//! who still needs a sample but the library itself.

mod ports;

use std::process::ExitCode;

use iceoryx2::prelude::{LogLevel, Node, ipc, set_log_level};
use mobula_bench::{BATCH, Error, Result, Session, check};
use parts::{Call, FEW, MANY, MEGABYTE, Part, Peer, asleep, creations, hop, hot, in_turn, pipelined};

use ports::{Arrays, Requests, Samples, Sleepers, node};

const NAME: &str = "iceoryx2";

/// Requests that have no response yet: with as many it was fastest. Each has to be looked for among all.
const WINDOW: usize = 8;

fn main() -> ExitCode {
    set_log_level(LogLevel::Error);
    Peer { name: NAME, suites: &[("calls", calls), ("channel", channels), ("startup", startup)], play }.run()
}

/// The other side: `WAY TAG ROOM`.
fn play(args: &[String]) -> Result<()> {
    let [way, tag, room] = args else { return Err(unknown(args)) };
    let room = room.parse().map_err(|_| unknown(args))?;
    match way.as_str() {
        Requests::WAY => Requests::serve(tag, room),
        Samples::WAY => Samples::serve(tag, room),
        Sleepers::WAY => Sleepers::serve(tag),
        Arrays::WAY => Arrays::serve(tag),
        _ => Err(unknown(args)),
    }
}

fn unknown(args: &[String]) -> Error {
    Error::Child { role: "the other side", what: format!("cannot {}", args.join(" ")) }
}

fn calls(session: &mut Session<'_>) -> Result<()> {
    const HOT: &str = "actor_call_sync_hot";
    const HOT_SAMPLES: &str = "actor_call_sync_hot:publish-subscribe";
    const HOT_EVENT: &str = "actor_call_sync_hot:event";
    let node = node()?;
    let mut requests = Requests::connect(&node, 1)?;
    hot(session, NAME, HOT, MANY, |i| requests.call(HOT, i as u64))?;
    drop(requests);
    let mut samples = Samples::connect(&node, 1)?;
    hot(session, NAME, HOT_SAMPLES, MANY, |i| samples.call(HOT_SAMPLES, i as u64))?;
    drop(samples);
    let mut sleepers = Sleepers::connect(&node, Sleepers::start()?)?;
    hot(session, NAME, HOT_EVENT, FEW, |i| sleepers.call(HOT_EVENT, i as u64))?;
    asleep(session, NAME, sleepers)?;
    in_turn(session, NAME, || Sleepers::connect(&node, Sleepers::start()?))?;
    pipelined(session, NAME, "1_1_actor_calls_async", WINDOW, Requests::connect(&node, WINDOW)?)?;
    pipelined(session, NAME, "1_1_actor_calls_async:publish-subscribe", BATCH, Samples::connect(&node, BATCH)?)?;
    arrays(session, &node)
}

fn arrays(session: &mut Session<'_>, node: &Node<ipc::Service>) -> Result<()> {
    const LOANED: &str = "actor_call_1MB_array";
    const COPIED: &str = "actor_call_1MB_array_put";
    let mut arrays = Arrays::connect(node, MEGABYTE)?;
    let source: Vec<u8> = (0..MEGABYTE).map(|i| (i % 251) as u8).collect();
    hot(session, NAME, LOANED, (50_000, 2_000), |i| {
        let last = (i % 251) as u8;
        check(LOANED, arrays.lend(last)?, u64::from(last))
    })?;
    hot(session, NAME, COPIED, (3_000, 200), |_| {
        check(COPIED, Some(arrays.copy(&source)?), source.last().copied().map(u64::from))
    })
}

fn channels(session: &mut Session<'_>) -> Result<()> {
    const HOP: &str = "channel_hop_8B";
    let node = node()?;
    let mut samples = Samples::connect(&node, 1)?;
    hop(session, NAME, HOP, |i| samples.call(HOP, i as u64))?;
    drop(samples);
    for (row, len) in [("channel_hop_1MB", MEGABYTE), ("channel_hop_4MB", 4 * MEGABYTE)] {
        let mut arrays = Arrays::connect(&node, len)?;
        hop(session, NAME, row, |i| {
            let last = (i % 251) as u8;
            check(row, arrays.lend(last)?, u64::from(last))
        })?;
    }
    pipelined(session, NAME, "channel_stream_8B", BATCH, Samples::connect(&node, BATCH)?)
}

fn startup(session: &mut Session<'_>) -> Result<()> {
    let node = node()?;
    creations(session, NAME, Sleepers::start, |started| Sleepers::connect(&node, started))
}

/// Starts the other side.
fn part(way: &str, room: usize) -> Result<(Part, String)> {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let tag = format!("mobula-bench/{}/{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let part = Part::start(&[way, &tag, &room.to_string()])?;
    Ok((part, tag))
}
