//! ipc-channel's own figures for the rows of the suites `calls` and `startup`.
//!
//! | row | what is timed |
//! |---|---|
//! | `actor_call_sync_hot` | a number sent to another process and one received from it |
//! | `actor_call_sync_hot:polling` | the same, both sides trying to receive all the time |
//! | `actor_call_sync_asleep`, `.._oversubscribed` | both asleep before, or with four processes in turn |
//! | `1_1_actor_calls_async` | 1,000 numbers, at most [`WINDOW`] without an answer |
//! | `actor_call_1MB_array` | an `IpcSharedMemory` that exists already, and a number back |
//! | `actor_call_1MB_array_put` | the same, made for the call |
//! | `actor_call_1MB_array_put:bytes` | 1 MB through a channel of bytes, and a number back |
//! | `kill_actor_to_error` | SIGKILL of a process that has not answered, until the channel says so |
//! | `actor_creation_1`, `actor_creation_10` | processes that connect to a one-shot server, until each has answered |

mod channels;

use std::process::ExitCode;

use ipc_channel::ipc::IpcSharedMemory;
use mobula_bench::{Error, Figure, IDLE, Result, Samples, Session, check};
use parts::{Call, FEW, MEGABYTE, Peer, asleep, creations, hot, in_turn, pipelined};

use channels::{Bytes, Kind, Numbers, Remote, Shared};

const NAME: &str = "ipc-channel";

/// What the sockets behind the channels take before both sides wait for each other.
const WINDOW: usize = 250;

fn main() -> ExitCode {
    Peer { name: NAME, suites: &[("calls", calls), ("startup", startup)], play }.run()
}

/// The other side: `KIND SERVER`.
fn play(args: &[String]) -> Result<()> {
    match args {
        [kind, server] => channels::play(kind, server),
        _ => Err(Error::Child { role: "the other side", what: format!("cannot {}", args.join(" ")) }),
    }
}

fn calls(session: &mut Session<'_>) -> Result<()> {
    const HOT: &str = "actor_call_sync_hot";
    const HOT_POLLING: &str = "actor_call_sync_hot:polling";
    let mut numbers = Numbers::connect(Remote::start(Kind::Numbers)?)?;
    hot(session, NAME, HOT, FEW, |i| numbers.call(HOT, i as u64))?;
    let mut polling = Numbers::connect(Remote::start(Kind::Polling)?)?.polling();
    hot(session, NAME, HOT_POLLING, FEW, |i| polling.call(HOT_POLLING, i as u64))?;
    drop(polling);
    asleep(session, NAME, numbers)?;
    in_turn(session, NAME, || Numbers::connect(Remote::start(Kind::Numbers)?))?;
    pipelined(session, NAME, "1_1_actor_calls_async", WINDOW, Numbers::connect(Remote::start(Kind::Numbers)?)?)?;
    arrays(session)?;
    deaths(session)
}

fn arrays(session: &mut Session<'_>) -> Result<()> {
    const EXISTING: &str = "actor_call_1MB_array";
    const MADE: &str = "actor_call_1MB_array_put";
    const COPIED: &str = "actor_call_1MB_array_put:bytes";
    const COUNT: (usize, usize) = (3_000, 200);
    let source: Vec<u8> = (0..MEGABYTE).map(|i| (i % 251) as u8).collect();
    let last = source.last().copied().map_or(0, u64::from);
    let mut shared = Shared::connect()?;
    let existing = IpcSharedMemory::from_bytes(&source);
    hot(session, NAME, EXISTING, COUNT, |_| check(EXISTING, shared.last(existing.clone())?, last))?;
    hot(session, NAME, MADE, COUNT, |_| check(MADE, shared.last(IpcSharedMemory::from_bytes(&source))?, last))?;
    let mut bytes = Bytes::connect()?;
    hot(session, NAME, COPIED, COUNT, |_| check(COPIED, bytes.last(&source)?, last))
}

fn deaths(session: &mut Session<'_>) -> Result<()> {
    const ROW: &str = "kill_actor_to_error";
    session.begin(ROW);
    let clock = session.clock();
    let mut times = Vec::new();
    for _ in 0..session.count(100, 10) {
        let mut victim = Numbers::connect(Remote::start(Kind::Numbers)?)?;
        victim.call(ROW, 1)?;
        victim.send(channels::NAP)?;
        // It is on its way to its nap, and this side should be quiet.
        std::thread::sleep(IDLE);
        let start = clock.now();
        victim.kill()?;
        let answer = victim.answer();
        times.push(clock.since(start));
        check(ROW, answer.is_err(), true)?;
    }
    session.emit(NAME, ROW, Figure::of(&Samples::new(times)), None)
}

fn startup(session: &mut Session<'_>) -> Result<()> {
    creations(session, NAME, || Remote::start(Kind::Numbers), Numbers::connect)
}
