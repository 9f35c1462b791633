//! What a client is in this process: its mappings and its ties, which handles and units stand on.
//!
//! A [`Body`] is on the heap and goes when the last of both is gone (life.rs). Handles point to it through
//! [`Inner`], units through a [`Ref`], which is a plain address: whoever has one also has a unit that counts.

use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::arena::Arena;
use crate::client::ClientKey;
use crate::error::{ErrorKind, Result};
use crate::holds::{Actor, Looks, Row};
use crate::life::{Life, MINUS_ONE, OfProcess};
use crate::link::Link;
use crate::readers;
use crate::reap;
use crate::shared::Shared;
use crate::slot::{Slot, SlotRef};
use crate::sync::{Ordering, fence};
use crate::sys::fork::Stamp;
use crate::sys::seat::Seat;

/// One client of a store, in its process.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) shared: Arc<Shared>,
    pub(crate) arena: Arc<Arena>,
    pub(crate) looks: Arc<Looks>,
    pub(crate) me: ClientKey,
    /// Where it counts its units.
    pub(crate) row: Row,
    /// Whether its gets count as uses (evict.rs).
    pub(crate) evicts: bool,
    pub(crate) pid: u32,
    /// The process that made this client (sys/fork.rs).
    pub(crate) stamp: Stamp,
    pub(crate) address: String,
    pub(crate) create_timeout: Duration,
    /// Held while a ring is opened: one ring for a pair.
    pub(crate) opening: Mutex<()>,
    /// Whether somebody has the mailbox.
    pub(crate) mailbox_taken: AtomicBool,
    /// What ties this client to the others.
    pub(crate) link: Link,
    pub(crate) life: Life,
}

impl Deref for Body {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.shared
    }
}

impl Body {
    /// Returns this client at work.
    #[inline]
    pub(crate) fn actor(&self) -> Actor<'_> {
        Actor { shared: &self.shared, arena: &self.arena, looks: &self.looks, me: self.me }
    }

    /// Says whether this client was inherited by a forked child: it stands for nothing there.
    #[inline]
    pub(crate) fn is_foreign(&self) -> bool {
        self.stamp.is_foreign()
    }

    /// Refuses to act for the parent of a forked child.
    #[inline]
    pub(crate) fn usable(&self) -> Result<()> {
        if self.is_foreign() { Err(ErrorKind::Forked.into()) } else { Ok(()) }
    }

    /// Refuses to change the store for a client that only reads it, or for the parent of a forked child.
    #[inline]
    pub(crate) fn writable(&self) -> Result<()> {
        self.usable()?;
        if self.is_reader() { Err(ErrorKind::ReadOnly(self.address.clone()).into()) } else { Ok(()) }
    }

    /// Says whether this client only reads.
    #[inline]
    pub(crate) fn is_reader(&self) -> bool {
        self.shared.reader.is_some()
    }

    #[inline]
    pub(crate) fn slot(&self, at: SlotRef) -> Slot<'_> {
        Slot::of(&self.shared, at.index)
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.link.stop();
        if self.is_reader() {
            readers::leave(&self.shared, self.me.index.into());
        } else {
            reap::detach(&self.actor(), self.me);
        }
        // The connection closes after the record is free: the server finds nothing left to do.
        self.link.leave(&self.shared, &self.arena);
    }
}

/// A client's handle, shared by those of one kind.
#[derive(Debug)]
pub(crate) struct Inner(NonNull<Body>);

// SAFETY: a handle is a shared reference to a Body, which is Send and Sync, and may be its end (life.rs).
unsafe impl Send for Inner {}
// SAFETY: as for Send.
unsafe impl Sync for Inner {}

const _: () = {
    const fn both<T: Send + Sync>() {}
    both::<Body>();
};

impl Deref for Inner {
    type Target = Body;

    #[inline]
    fn deref(&self) -> &Body {
        // SAFETY: the body lives as long as this handle counts (ST-31).
        unsafe { self.0.as_ref() }
    }
}

impl Inner {
    /// Makes the first handle of a client.
    pub(crate) fn first(body: Body) -> Arc<Inner> {
        Arc::new(Inner(NonNull::from(Box::leak(Box::new(body)))))
    }

    /// Makes a handle by means of a unit.
    pub(crate) fn again(unit: Ref) -> Arc<Inner> {
        unit.life.bring_back(OfProcess);
        Arc::new(Inner(unit.0))
    }

    /// Counts a unit that was just taken.
    #[inline]
    pub(crate) fn count(&self) -> Ref {
        Seat::with(|seat| self.life.take(seat));
        Ref(self.0)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // In a forked child the client, its threads and its socket are the parent's: all of it stays where it is.
        if !self.is_foreign() && self.life.let_go(OfProcess, Seat::all) {
            end(self.0);
        }
    }
}

/// Where a unit's client is. Only for who has a unit that counts; dropping it does nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ref(NonNull<Body>);

// SAFETY: as for Inner.
unsafe impl Send for Ref {}
// SAFETY: as for Inner.
unsafe impl Sync for Ref {}

impl Deref for Ref {
    type Target = Body;

    #[inline]
    fn deref(&self) -> &Body {
        // SAFETY: the body lives as long as the unit counts that this goes with (ST-31).
        unsafe { self.0.as_ref() }
    }
}

impl Ref {
    /// Takes another unit, by what `unit` does to a hold word, and counts it. In a forked child neither.
    #[inline]
    pub(crate) fn another(self, unit: impl FnOnce(Actor<'_>)) -> Ref {
        if !self.is_foreign() {
            Seat::with(|seat| {
                self.life.sit(seat);
                unit(self.actor());
                if !self.life.stand(seat, 1) {
                    self.life.count_late(OfProcess, 1);
                }
            });
        }
        self
    }

    /// Drops `size` of the client's units of a slot, 0 for one that was passed on, and counts one less.
    ///
    /// Whoever calls it never uses the Ref again. In a forked child nothing happens.
    #[inline(never)]
    pub(crate) fn drop_unit(self, index: u32, size: u64) {
        if self.is_foreign() {
            return;
        }
        let Some(seat) = Seat::mine().filter(|_| size != 0) else { return self.drop_slowly(index, size) };
        self.life.sit(seat);
        let follows = self.row.drop(&self.shared, index, size);
        // Whatever is more than that is a call at the end, so that nothing need be kept for it.
        if follows.is_some() || !self.life.stand(seat, MINUS_ONE) {
            self.drop_more(seat, index, size, follows);
        }
    }

    #[cold]
    #[inline(never)]
    fn drop_slowly(self, index: u32, size: u64) {
        Seat::with(|seat| {
            self.life.sit(seat);
            let follows = match size {
                0 => {
                    fence(Ordering::SeqCst);
                    None
                }
                size => self.row.drop(&self.shared, index, size),
            };
            self.drop_more(seat, index, size, follows);
        });
    }

    #[cold]
    #[inline(never)]
    fn drop_more(self, seat: &Seat, index: u32, size: u64, follows: Option<u64>) {
        if let Some(old) = follows {
            self.actor().dropped(index, size, old);
        }
        if !self.life.stand(seat, MINUS_ONE) && self.life.count_late(OfProcess, MINUS_ONE) {
            end(self.0);
        }
    }
}

/// Ends a client that nobody knows any more.
#[cold]
fn end(body: NonNull<Body>) {
    // SAFETY: it came from a Box (`first`), and the caller is the only one that ever gets here (ST-32).
    drop(unsafe { Box::from_raw(body.as_ptr()) });
}
