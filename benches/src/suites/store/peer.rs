//! The other process of a measurement: a client that does what it is told.
//!
//! An order is a line, `verb number number number`; the answer is a line as soon as it is done.
//!
//! | order | what the peer does |
//! |---|---|
//! | `put FIRST COUNT BYTES` | puts objects that stay |
//! | `make FIRST COUNT BYTES` | puts counted objects and keeps their views |
//! | `view FIRST COUNT STEP` | gets every STEP-th object and keeps the views |
//! | `drop` | drops all views that it keeps |
//! | `gigabytes FIRST COUNT BYTES` | puts and deletes large objects, one after the other; answers when it began, when it ended and how long each put took, in nanoseconds |
//! | `hammer NUMBER` | answers, then gets and drops one object until it is killed |
//! | `report` | answers, then lists and takes stats until it is killed |

use std::hint::black_box;
use std::io::{self, BufRead};
use std::ops::Range;
use std::process::Stdio;

use mobula::store::{Lifetime, ObjectOptions, ObjectView, Store};

use super::{deleted, fill, get, id};
use crate::child::{self, Child, Role};
use crate::clock::{Clock, monotonic_ns};
use crate::error::{Error, Result};

/// What a peer can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Put,
    Make,
    View,
    Drop,
    Gigabytes,
    Hammer,
    Report,
}

impl Verb {
    const ALL: [(Verb, &str); 7] = [
        (Verb::Put, "put"),
        (Verb::Make, "make"),
        (Verb::View, "view"),
        (Verb::Drop, "drop"),
        (Verb::Gigabytes, "gigabytes"),
        (Verb::Hammer, "hammer"),
        (Verb::Report, "report"),
    ];

    fn name(self) -> &'static str {
        Verb::ALL.into_iter().find(|(verb, _)| *verb == self).map_or("", |(_, name)| name)
    }
}

/// Another process that is attached to a store; dropping it kills it.
#[derive(Debug)]
pub(super) struct Peer {
    child: Child,
}

impl Peer {
    /// Starts a peer; it is attached when it returns.
    pub(super) fn start(store: &Store) -> Result<Self> {
        let mut peers = Self::start_many(store, 1)?;
        peers.pop().ok_or(Error::Child { role: Role::StorePeer.name(), what: "was not started".to_owned() })
    }

    /// Starts many peers at once.
    pub(super) fn start_many(store: &Store, count: usize) -> Result<Vec<Self>> {
        let start = |_| Child::start(Role::StorePeer, &[store.address().to_owned()], Stdio::piped());
        let mut children = (0..count).map(start).collect::<Result<Vec<Child>>>()?;
        children.iter_mut().try_for_each(Child::wait_ready)?;
        Ok(children.into_iter().map(|child| Peer { child }).collect())
    }

    /// Tells the peer to do something and does not wait for it.
    pub(super) fn tell(&mut self, verb: Verb, numbers: [u64; 3]) -> Result<()> {
        let [first, count, bytes] = numbers;
        self.child.tell(&format!("{} {first} {count} {bytes}", verb.name()))
    }

    /// Waits for the answer to what it was told last.
    pub(super) fn answer(&mut self) -> Result<String> {
        self.child.answer()
    }

    /// Tells the peer to do something and waits until it is done.
    pub(super) fn ask(&mut self, verb: Verb, numbers: [u64; 3]) -> Result<String> {
        self.tell(verb, numbers)?;
        self.answer()
    }

    /// Kills the peer and does not wait for its end.
    pub(super) fn kill(&mut self) -> Result<()> {
        self.child.kill()
    }
}

/// The peer's side: attaches to the store at an address and does what it is told.
pub(crate) fn play(args: &[String]) -> Result<()> {
    let store = Store::attach(args.first().map_or("", String::as_str))?;
    child::ready()?;
    let mut kept = Kept { clock: Clock::new(), views: Vec::new(), source: Vec::new() };
    for line in io::stdin().lock().lines() {
        let line = line.map_err(Error::io("read an order"))?;
        let mut words = line.split(' ');
        let name = words.next().unwrap_or_default();
        let verb = Verb::ALL.into_iter().find(|(_, known)| *known == name).map(|(verb, _)| verb);
        let mut number = || words.next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
        let numbers = [number(), number(), number()];
        match verb {
            Some(verb) => child::report(&(act(&store, &mut kept, verb, numbers)? + "\n"))?,
            None => return Err(Error::Child { role: Role::StorePeer.name(), what: format!("cannot {line:?}") }),
        }
    }
    Ok(())
}

/// What a peer has from one order to the next.
struct Kept {
    clock: Clock,
    views: Vec<ObjectView>,
    /// What large objects are copied from: made by the first order, so that all others start at once.
    source: Vec<u8>,
}

fn act(store: &Store, kept: &mut Kept, verb: Verb, numbers: [u64; 3]) -> Result<String> {
    let [first, count, bytes] = numbers;
    let views = &mut kept.views;
    let ids = (first..first + count).map(id);
    match verb {
        Verb::Put => fill(store, first..first + count, bytes as usize)?,
        Verb::Make => {
            let data = vec![7; bytes as usize];
            let counted = ObjectOptions::new().lifetime(Lifetime::Counted);
            for id in ids {
                views.push(store.put_with(id, &data, &counted)?);
            }
        }
        Verb::View => {
            for number in (first..first + count).step_by(bytes.max(1) as usize) {
                views.push(store.get(id(number), Some(super::PATIENCE))?);
            }
        }
        Verb::Drop => views.clear(),
        Verb::Gigabytes => {
            kept.source.resize(bytes as usize, 7);
            return gigabytes(store, kept.clock, first..first + count, &kept.source);
        }
        Verb::Hammer => {
            child::report("\n")?;
            loop {
                get(store, id(first))?;
            }
        }
        Verb::Report => {
            child::report("\n")?;
            loop {
                black_box(store.list());
                black_box(store.stats());
            }
        }
    }
    Ok(String::new())
}

fn gigabytes(store: &Store, clock: Clock, numbers: Range<u64>, source: &[u8]) -> Result<String> {
    let mut text = monotonic_ns().to_string();
    let mut times = Vec::new();
    for number in numbers {
        let start = clock.now();
        let view = store.put(id(number), black_box(source))?;
        times.push(clock.since(start));
        drop(view);
        deleted("put_gigabytes_2_clients", store, id(number))?;
    }
    text.push_str(&format!(" {}", monotonic_ns()));
    for time in times {
        text.push_str(&format!(" {time:.0}"));
    }
    Ok(text)
}
