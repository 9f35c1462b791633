//! A shared-memory store of immutable objects that no process's death can hurt.
//!
//! ```text
//!   process A          process B          process C
//!      |  put             |  get             |  get
//!      v                  v                  v
//!   +------------------------------+   +-------------------------------+
//!   | ctl: index, slots, holds ... |   | arena: payload, nothing else  |
//!   |      words, one CAS a step   |   | read-only for whoever reads   |
//!   +------------------------------+   +-------------------------------+
//! ```
//!
//! Any process of the user attaches by address, maps both segments and works on them itself: there
//! is no server on the way of an operation. `get` of a sealed object takes two cache lines and no
//! system call. What a process was doing when it died, at whatever instruction, is undone by a
//! survivor.
//!
//! The store knows bytes, ids and processes; it has never heard of actors. The layers above compose
//! its recoverable parts: counted objects ([`Lifetime::Counted`], [`ObjectHold`], [`Promise`]),
//! message rings and doorbells ([`RingSender`], [`Mailbox`], [`Bell`]).
//!
//! # Examples
//!
//! ```
//! use mobula_store::{Array, ObjectId, Store, StoreOptions};
//!
//! # fn main() -> mobula_store::Result<()> {
//! let store = Store::create(StoreOptions::new(64 << 20))?;
//! let id = ObjectId::random();
//! store.put(id, b"immutable from now on")?;
//!
//! let reader = Store::attach(store.address())?;
//! assert_eq!(&reader.get(id, None)?[..9], b"immutable");
//! # Ok(())
//! # }
//! ```
//!
//! # Where things are
//!
//! | module | concept | invariants |
//! |---|---|---|
//! | `layout`, `ctl`, `sync` | where every shared word lies; words and how they change | ST-1 |
//! | `client` | who is attached | ST-2, ST-3 |
//! | `create`, `attach`, `server` | making a store, joining it, letting others in | |
//! | `address`, `handshake`, `origin`, `link` | where that happens, what is said, what stays of it | |
//! | `adopt`, `guard` | taking over the store of a dead server; going on without one | ST-A1 |
//! | `lock` | locks that survive their owners | ST-4, ST-5 |
//! | `slot`, `place` | the states of an object; where its bytes are | ST-7 to ST-9 |
//! | `index` | from ids to slots | ST-10, ST-11 |
//! | `waits` | sleeping until something is sealed | ST-12 |
//! | `segment`, `arena`, `copy` | backings; payload, committed before use; large copies | ST-6, ST-6a |
//! | `alloc`, `magazine` | memory and slots; what a client keeps for its next creations | ST-13 to ST-15 |
//! | `body`, `life` | what handles and units of a client stand on; until when | ST-31, ST-32 |
//! | `lookup` | the way of a get | |
//! | `inner`, `search` | the steps of a creation; its search for memory | |
//! | `queue`, `evict`, `room` | who comes first; what goes; what is moved to make room | ST-23 to ST-25 |
//! | `moves`, `compact`, `thaw` | another place for an object; one free run of several; writable again | ST-21, ST-22 |
//! | `board` | objects whose bytes stay writable | ST-B1 to ST-B3 |
//! | `channel` | one writer, some readers, values where they are | ST-C1 to ST-C4 |
//! | `message_queue` | messages of any number of producers and consumers | ST-Q1 to ST-Q4 |
//! | `parts`, `shared_array` | arrays that several processes fill | ST-P1 to ST-P3 |
//! | `disk`, `outlet` | spilled objects and files of last resort; what the creator allowed | ST-D1 to ST-D3 |
//! | `trim`, `ahead`, `large` | giving idle memory back; to disk ahead of need; large pages for many objects | ST-27, ST-33 |
//! | `holds` | who holds what, when an object goes | ST-16 to ST-19 |
//! | `reap` | undoing the dead | ST-12, ST-20 |
//! | `readers` | clients that can change nothing but an area of their own | ST-28 to ST-30 |
//! | `ring`, `bell` | messages and wake-ups between processes | ST-R1 to ST-R7, BELL-1 to BELL-5 |
//! | `object`, `array`, `borrow`, `transfer` | what processes have in hand, here and in other crates | |
//! | `report`, `check`, `fsck` | what people ask; all invariants held against the words, living or dumped | |

#![deny(unsafe_code)]
#[cfg(not(target_os = "linux"))]
compile_error!(
    "mobula-store needs Linux: memfd, futex and pidfd have no equal elsewhere; run it in a Linux container or virtual machine"
);

mod address;
mod adopt;
mod ahead;
mod alloc;
#[allow(unsafe_code, reason = "the mappings of payload")]
mod arena;
mod array;
mod attach;
mod bell;
#[allow(unsafe_code, reason = "words of objects that stay writable")]
mod board;
#[allow(unsafe_code, reason = "addresses of clients, kept by counts")]
mod body;
mod borrow;
#[allow(unsafe_code, reason = "places of channels as slices")]
mod channel;
mod check;
mod client;
mod compact;
mod copy;
mod create;
#[allow(unsafe_code, reason = "the mapping of the shared words")]
mod ctl;
mod current;
mod disk;
mod error;
mod evict;
mod fsck;
mod guard;
mod handover;
mod handshake;
mod holds;
mod host;
mod id;
mod index;
mod inner;
mod knell;
mod large;
mod layout;
mod life;
mod link;
mod lock;
mod lookup;
mod magazine;
#[allow(unsafe_code, reason = "messages in their cells")]
mod message_queue;
mod moves;
#[allow(unsafe_code, reason = "slices of sealed and of owned memory")]
mod object;
mod options;
mod origin;
mod outlet;
mod parts;
mod place;
mod premap;
#[cfg(all(test, loom))]
mod proof;
mod queue;
mod readers;
mod reap;
mod report;
mod ring;
mod room;
mod search;
mod segment;
mod server;
mod shared;
#[allow(unsafe_code, reason = "slices of parts that have one owner")]
mod shared_array;
mod slot;
mod store;
mod sync;
#[allow(unsafe_code, reason = "system calls")]
mod sys;
mod thaw;
pub mod transfer;
mod trim;
mod waits;

pub use array::{Array, ArrayMut};
pub use bell::{Bell, Role};
#[cfg(feature = "arrow")]
pub use borrow::arrow;
#[cfg(feature = "rkyv")]
pub use borrow::rkyv;
pub use channel::{ChannelGuard, ChannelOptions, ChannelReader, ChannelWriter, channel, channel_in};
pub use check::CheckReport;
pub use client::ClientKey;
pub use current::{current, set_current};
pub use error::{Error, Result};
pub use fsck::fsck;
#[cfg(loom)]
#[doc(hidden)]
pub use host::modelled;
pub use id::{ObjectId, ParseObjectIdError};
pub use knell::Knell;
pub use message_queue::MessageQueue;
pub use object::{HoldState, ObjectBuffer, ObjectHold, ObjectView, Promise};
pub use options::{Eviction, Lifetime, ObjectOptions, Segment, StoreOptions};
pub use report::{Holder, ObjectInfo, ObjectState, StoreStats};
pub use ring::{MAX_FRAME, Mailbox, RingError, RingSender, SendError};
pub use shared_array::{ArrayPart, SharedArray};
pub use store::{Deleted, Store};
#[cfg(feature = "crash-points")]
#[doc(hidden)]
pub use sync::crash;
