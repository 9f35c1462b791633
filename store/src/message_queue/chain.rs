//! Queues without a bound: rings one behind the other, each made when the one before it is full.
//!
//! ```text
//!   root:  | bytes | closed | oldest | made |      the ids of rings follow from the root's: number 0, 1, 2 ...
//!             children: ring 4, ring 5, ring 6
//!                         |               |
//!                 consumers take    producers put
//!                 ring 4: over      ring 6: not over
//! ```
//!
//! ```text
//!   root:   0  kind     16  bytes of a message    128  closed: 1    256  oldest    384  made    512  places for rings
//! ```
//!
//! The root is what handles are of, and holds the rings (board/children.rs): so a ring is there however its maker ends.
//! Rings `oldest` to `made - 1` are in use.
//!
//! *A ring is full.* Whoever meets that makes the next one, twice as large if so many wait, or opens the one that somebody has made and
//! not brought in. Under the lock of children, if `made` is what it was: the ring becomes a child; the one before is *over*;
//! `made` grows. Where its maker dies in between the next one who meets the full ring does what is left: each step is
//! done or not.
//!
//! *A ring is over*, as a bounded queue is closed: a producer looks at that after it has its cell, and gives it up. So
//! what is in the ring is all there will be, and consumers go on to the next one when it is drained.
//!
//! *A ring is drained.* Who finds that moves `oldest` and takes the child out. If it dies before, or somebody else has the
//! lock, the next one does: who has the lock takes out whatever is not in use. A handle keeps the rings that it used last.
//!
//! The steps from ring to ring are in [`handover`], over whatever rings there are.
//!
//! - **ST-Q5** Nobody puts into a ring before all older ones are over, and nobody takes from it before they are drained. So
//!   ST-Q3 holds across rings.
//! - **ST-Q6** What was put is in a ring that the root holds: it is a child before `made` says that it is there.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use super::cells::{NoRoom, Seen};
use super::handover::{self, Head, Line};
use super::ring::{Ring, stride};
use super::{FEWEST, H_BYTES, H_CLOSED, H_HEAD as R_OLDEST, H_TAIL as R_MADE, RING_KIND, ROOT_KIND};
use crate::board::Board;
use crate::board::children::Children;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{HASH, ObjectId};
use crate::options::ObjectOptions;
use crate::store::Store;
use crate::sync::{AtomicU64, Ordering};

/// How many rings are in use at most; each is twice as large as the one before it, up to a part of the store.
const RINGS: usize = 64;
const PART: usize = 32;

const ROOT_BYTES: usize = 512;

/// How long who grows a queue waits for others that change children before it looks again, and how often.
const PATIENCE: Duration = Duration::from_millis(30);
const TRIES: u32 = 32;

/// The rings, as one handle knows them.
pub(super) struct Chain {
    pub(super) root: Board,
    pub(super) bytes: usize,
    /// Where it puts, and where it takes.
    put: RwLock<Option<Arc<Link>>>,
    get: RwLock<Option<Arc<Link>>>,
}

/// A ring and its number.
pub(super) struct Link {
    number: u64,
    pub(super) ring: Ring,
}

impl handover::Link for Arc<Link> {
    #[inline]
    fn number(&self) -> u64 {
        self.number
    }

    #[inline]
    fn is_over(&self) -> bool {
        self.ring.is_over()
    }

    #[inline]
    fn put(&self, message: &[u8], is_over: impl Fn() -> bool) -> Result<(), NoRoom> {
        self.ring.put(message, is_over)
    }

    #[inline]
    fn claim(&self, ended: bool) -> Seen {
        self.ring.cells().claim_message(ended)
    }
}

impl Chain {
    /// Makes a queue for messages of up to `bytes` bytes.
    pub(super) fn create(store: &Store, bytes: usize) -> Result<Self> {
        let options = ObjectOptions { places: RINGS, ..ObjectOptions::new() };
        let words = [(H_BYTES, bytes as u64)];
        let root = Board::create_as(store, ObjectId::random(), ROOT_KIND, ROOT_BYTES, ROOT_BYTES, &words, options)?;
        if stride(bytes).is_none() {
            return Err(Error::invalid(format!("messages of {bytes} bytes are beyond memory")));
        }
        while word(&root, R_MADE) == 0 {
            bring(&root, bytes, None, FEWEST)?;
        }
        Chain::of(root)
    }

    /// Opens the rings of a root.
    pub(super) fn of(root: Board) -> Result<Self> {
        let bytes = usize::try_from(root.u64(H_BYTES).load(Ordering::Relaxed)).unwrap_or(usize::MAX);
        let made = word(&root, R_MADE);
        if stride(bytes).is_none() || root.len() < ROOT_BYTES || made == 0 {
            return Err(Error::invalid(format!("queue {} contradicts itself", root.id())));
        }
        Ok(Chain { bytes, put: RwLock::default(), get: RwLock::default(), root })
    }

    /// Closes the queue; says whether that is new.
    pub(super) fn close(&self) -> bool {
        self.root.u64(H_CLOSED).swap(1, Ordering::SeqCst) == 0
    }

    /// Puts a message that is not too long; false if the queue is closed.
    ///
    /// # Errors
    ///
    /// If there is no memory for another ring; [`is_timeout`](Error::is_timeout) if a process that changes children of
    /// any object is stopped.
    pub(super) fn put(&self, message: &[u8]) -> Result<bool> {
        handover::put(self, message)
    }

    /// Claims the next message.
    ///
    /// # Errors
    ///
    /// If a ring cannot be opened; [`is_corrupt`](Error::is_corrupt).
    pub(super) fn claim(&self) -> Result<Head<Arc<Link>>> {
        handover::claim(self)
    }

    /// Returns the ring in a place, which is that of `number` if the place is empty.
    fn link(&self, place: &RwLock<Option<Arc<Link>>>, number: fn(&Board) -> u64) -> Result<Arc<Link>> {
        loop {
            if let Some(link) = read(place) {
                return Ok(link);
            }
            replace(place, open_at(&self.root, self.bytes, || number(&self.root))?);
        }
    }

    /// Returns about how many messages wait.
    pub(super) fn len(&self) -> usize {
        let get = read(&self.get);
        let (oldest, made) = (oldest(&self.root), word(&self.root, R_MADE));
        // A hostile root may say anything.
        let numbers = oldest..made.min(oldest.saturating_add(RINGS as u64));
        let len = |number: u64| match number {
            number if get.as_ref().is_some_and(|get| get.number == number) => {
                get.as_ref().map_or(0, |get| get.ring.len())
            }
            number => open(&self.root, self.bytes, number).map_or(0, |link| link.ring.len()),
        };
        numbers.map(len).sum()
    }
}

impl Line for Chain {
    type Link = Arc<Link>;
    type Error = Error;

    #[inline]
    fn is_closed(&self) -> bool {
        word(&self.root, H_CLOSED) != 0
    }

    #[inline]
    fn made(&self) -> u64 {
        word(&self.root, R_MADE)
    }

    #[inline]
    fn putting(&self) -> Result<Arc<Link>> {
        self.link(&self.put, newest)
    }

    #[inline]
    fn taking(&self) -> Result<Arc<Link>> {
        self.link(&self.get, oldest)
    }

    fn grow(&self, full: &Arc<Link>) -> Result<()> {
        if self.made() <= full.number + 1 {
            let most = self.root.store_bytes() / PART / stride(self.bytes).unwrap_or(usize::MAX).max(1);
            // A consumer that stands still at a message makes a ring full that has hardly any.
            let cells = full.ring.cells as usize;
            let wanted = if full.ring.len() >= cells / 2 { cells.saturating_mul(2) } else { cells };
            let cells = wanted.min(most).max(FEWEST);
            bring(&self.root, self.bytes, Some(full), cells)?;
        }
        replace(&self.put, open_at(&self.root, self.bytes, || newest(&self.root))?);
        Ok(())
    }

    fn leave(&self, drained: &Arc<Link>) -> Result<()> {
        let next = handover::retire(self.root.u64(R_OLDEST), drained.number);
        // If somebody else has the lock they do it, or the next one.
        let _ = self.root.with_children(Duration::ZERO, |children| sweep(&self.root, children));
        replace(&self.get, open_at(&self.root, self.bytes, || oldest(&self.root).max(next))?);
        Ok(())
    }

    #[cold]
    fn nonsense(&self, link: &Arc<Link>) -> Error {
        link.ring.nonsense()
    }

    fn wake(&self) {
        self.root.wake();
    }
}

impl Clone for Chain {
    fn clone(&self) -> Self {
        let (put, get) = (RwLock::new(read(&self.put)), RwLock::new(read(&self.get)));
        Chain { root: self.root.clone(), bytes: self.bytes, put, get }
    }
}

fn word(root: &Board, at: usize) -> u64 {
    let word: &AtomicU64 = root.u64(at);
    word.load(Ordering::SeqCst)
}

fn oldest(root: &Board) -> u64 {
    word(root, R_OLDEST)
}

fn newest(root: &Board) -> u64 {
    word(root, R_MADE).saturating_sub(1)
}

fn read(place: &RwLock<Option<Arc<Link>>>) -> Option<Arc<Link>> {
    place.read().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Puts a newer ring in the place of an older one.
fn replace(place: &RwLock<Option<Arc<Link>>>, link: Link) {
    let mut known = place.write().unwrap_or_else(PoisonError::into_inner);
    if known.as_ref().is_none_or(|known| known.number < link.number) {
        let before = known.replace(Arc::new(link));
        drop(known);
        drop(before);
    }
}

/// Returns the id of a ring.
fn id_of(root: &Board, number: u64) -> ObjectId {
    let [low, high] = root.id().to_words();
    ObjectId::from_words([low, high ^ number.wrapping_add(1).wrapping_mul(HASH[0])])
}

fn open(root: &Board, bytes: usize, number: u64) -> Result<Link> {
    let ring = Ring::of(Board::open(&root.store(), id_of(root, number), RING_KIND)?)?;
    match ring.bytes == bytes {
        true => Ok(Link { number, ring }),
        false => Err(Error::invalid(format!("ring {number} of queue {} is another's", root.id()))),
    }
}

/// Opens the ring of the number that `number` gives, again if it was taken out of use meanwhile.
fn open_at(root: &Board, bytes: usize, number: impl Fn() -> u64) -> Result<Link> {
    let mut wanted = number();
    loop {
        let opened = open(root, bytes, wanted);
        let now = number();
        match opened {
            // One of that id that is opened while the number is in use is the one; later it may be that of somebody
            // who was late to make it (`make`), and drops it.
            Ok(link) if oldest(root) <= wanted => return Ok(link),
            Err(error) if !error.is_not_found() || now <= wanted => return Err(error),
            Ok(_) | Err(_) => wanted = now,
        }
    }
}

/// Makes, or finds, the ring behind `last`, and brings it into use if nobody else has.
fn bring(root: &Board, bytes: usize, last: Option<&Link>, cells: usize) -> Result<()> {
    let number = last.map_or(0, |last| last.number + 1);
    if word(root, R_MADE) != number {
        return Ok(());
    }
    let link = make(root, bytes, number, cells)?;
    let place = number as usize % RINGS;
    for _ in 0..TRIES {
        let brought = root.with_children(PATIENCE, |children| {
            let add = || {
                sweep(root, children);
                children.has(place, &link.ring.board) || children.add(place, &link.ring.board)
            };
            let end = || _ = last.map(|last| last.ring.end());
            handover::bring_in(root.u64(R_MADE), number, add, end)
        });
        match brought {
            Some(true) => {
                // Who waits at the one before goes on.
                root.wake();
                return Ok(());
            }
            Some(false) => {
                return Err(ErrorKind::Full(format!(
                    "queue {} has {RINGS} rings and has no place for more",
                    root.id()
                ))
                .into());
            }
            None if word(root, R_MADE) != number => return Ok(()),
            None => {}
        }
    }
    // Somebody was stopped in there.
    Err(ErrorKind::Late { what: format!("the lock for another ring of queue {}", root.id()), after: PATIENCE * TRIES }
        .into())
}

/// Makes a ring, a smaller one if there is no memory for so many cells, or opens the one that somebody has made.
fn make(root: &Board, bytes: usize, number: u64, mut cells: usize) -> Result<Link> {
    let id = id_of(root, number);
    loop {
        let options = match cells > FEWEST {
            true => ObjectOptions::new().timeout(Duration::ZERO),
            false => ObjectOptions::new(),
        };
        match Ring::create(&root.store(), (id, RING_KIND), cells, bytes, options) {
            Ok(ring) => return Ok(Link { number, ring }),
            Err(error) if error.is_exists() => match open(root, bytes, number) {
                // Its maker has died before it was a child.
                Err(error) if error.is_not_found() => {}
                other => return other,
            },
            Err(error) if error.is_store_full() && cells > FEWEST => cells = (cells / 2).max(FEWEST),
            Err(error) => return Err(error),
        }
    }
}

/// Takes out all children but the rings in use and the one that comes next.
fn sweep(root: &Board, children: &Children<'_>) {
    let (oldest, made) = (word(root, R_OLDEST), word(root, R_MADE));
    let used = made.saturating_sub(oldest);
    for place in 0..children.places() as u64 {
        let ahead = (place + RINGS as u64 - oldest % RINGS as u64) % RINGS as u64;
        if ahead > used {
            children.remove(place as usize);
        }
    }
}
