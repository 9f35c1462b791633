//! Who runs on which processor: handing one over to a sleeper whose answer is waited for, and stepping aside.
//!
//! Waking a thread on another processor takes several times as long as waking it on one's own, and whoever waits for its
//! answer has no use for the processor meanwhile. So a caller that finds its callee asleep may have it woken on the
//! caller's processor, and sleeps at once itself. Both then take turns on one processor.
//!
//! The kernel may also wake a callee on the processor of a caller that goes on looking: one that was busy lately is not
//! searched for idle neighbours. Then the looking keeps the callee from answering. Who is about to look can see that
//! ([`Handover::is_crowded`]), and either sleeps or steps aside.
//!
//! ```text
//!   words of a client's record, beside its bell
//!     hint   u32   who wakes up next had better sleep again after its answer than look for more work
//!     tid    u32   the user thread that parks
//!     cpu    u32   where it lay down, stood up or began to look last
//!     mask   u64   the processors that it may use, while it is kept to one; else 0
//!
//!   sleeper                                  caller, having published a frame and seen USER in the bell
//!   A1 tid, cpu                              B1 hint = 1
//!   U1 .. U5: sleeps                         B2 on the same processor? P4 at once
//!   A2 mask: take it                         B3 mask: 0 -> what the kernel says of tid
//!   A3 was not 0: that is its own again         and the bell's word is as it was, or nothing
//!   A4 cpu                                   B4 keep tid to the caller's processor
//!                                            B5 the bell's word has moved? undo B4
//!   stepping aside, awake                    P4, P5: wake it
//!   D1 mask: 0 -> its own
//!   D2 keep to the others
//!   A2, A3, A4
//! ```
//!
//! Only on the way from its sleep to A3, and from D2 to A3, is a thread kept to a processor; its own code never is.
//!
//! - **HAND-1** Nothing here wakes anybody or takes part in the bell's protocol: all of it can be lost, late or wrong, and
//!   costs time only.
//! - **HAND-2** Nobody stays on one processor. The mask is set before B4, and taken by its owner only, after the bell's
//!   word has moved. If B5 sees the word unmoved, A2 is still ahead and finds the mask; if not, B5 undoes B4. A caller
//!   that is killed after B4 leaves the mask for A2; where the sleeper had been woken by others before that, it does A2
//!   and A3 once more as it lies down. B3 asks the kernel while the sleeper sleeps, not between D2 and A3: the bell's word
//!   says so. (One that is stopped from B3 until the sleeper has lain down again, and killed
//!   between B4 and B5, is the exception.)
//! - **HAND-3** Only the processors that the sleeper was allowed are chosen from, and only where 64 bits can name them.
//!   A hostile peer can name any thread of the same user, which it could move itself.

use crate::bell::Doorbell;
use crate::layout::{C_HAND_CPU, C_HAND_HINT, C_HAND_MASK, C_HAND_TID};
use crate::shared::Shared;
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::sys::processor;

/// No processor.
const NOWHERE: u32 = u32::MAX;

/// The words of one client.
#[derive(Clone, Copy)]
pub(crate) struct Handover<'a> {
    hint: &'a AtomicU32,
    tid: &'a AtomicU32,
    cpu: &'a AtomicU32,
    mask: &'a AtomicU64,
}

impl<'a> Handover<'a> {
    pub(crate) fn of(shared: &'a Shared, index: u16) -> Handover<'a> {
        let (ctl, at) = (&shared.ctl, shared.layout.client(index.into()));
        Handover {
            hint: ctl.u32(at + C_HAND_HINT),
            tid: ctl.u32(at + C_HAND_TID),
            cpu: ctl.u32(at + C_HAND_CPU),
            mask: ctl.u64(at + C_HAND_MASK),
        }
    }

    /// Forgets the client that had the record before.
    pub(crate) fn reset(self) {
        self.hint.store(0, Ordering::Relaxed);
        self.tid.store(0, Ordering::Relaxed);
        self.cpu.store(NOWHERE, Ordering::Relaxed);
        self.mask.store(0, Ordering::Relaxed);
    }

    /// Step A1, by the thread that is about to park.
    pub(crate) fn lie_down(self) {
        self.stand_up();
        self.tid.store(processor::tid(), Ordering::Relaxed);
    }

    /// Steps A2 to A4, by the thread that has parked.
    pub(crate) fn stand_up(self) {
        if self.mask.load(Ordering::SeqCst) != 0 {
            let mask = self.mask.swap(0, Ordering::SeqCst);
            if mask != 0 {
                processor::allow(0, mask);
            }
        }
        self.note_processor();
    }

    fn note_processor(self) -> u32 {
        let here = processor::current();
        self.cpu.store(here, Ordering::Relaxed);
        here
    }

    /// Says whether one of `others`, who are awake, is thought to be on the processor of the calling thread, which is about
    /// to look for frames.
    #[cold]
    pub(crate) fn is_crowded<'b>(self, mut others: impl Iterator<Item = Handover<'b>>) -> bool {
        let here = self.note_processor();
        others.any(|other| other.cpu.load(Ordering::Relaxed) == here)
    }

    /// Steps D1 and D2, A2 to A4: moves the calling thread, which is awake, to another processor if it may use one.
    #[cold]
    pub(crate) fn step_aside(self) {
        let mask = processor::allowed(0);
        let others = mask & !1u64.checked_shl(processor::current()).unwrap_or(0);
        if others != 0 && self.mask.compare_exchange(0, mask, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            processor::allow(0, others);
            self.stand_up();
        }
    }

    /// Takes the hint.
    pub(crate) fn take_hint(self) -> bool {
        let hinted = self.hint.load(Ordering::Relaxed) != 0;
        if hinted {
            self.hint.store(0, Ordering::Relaxed);
        }
        hinted
    }

    /// Steps B1 to B5: prepares the sleeper for being woken here; false if it cannot be had on this processor.
    ///
    /// `word` is what the bell said when it said that a user thread sleeps.
    #[cold]
    pub(crate) fn prepare(self, bell: Doorbell<'_>, word: u32) -> bool {
        let (here, tid) = (processor::current(), self.tid.load(Ordering::Relaxed));
        if self.cpu.load(Ordering::Relaxed) != here && !self.bring(bell, word, tid, here) {
            return false;
        }
        self.hint.store(1, Ordering::Relaxed);
        true
    }

    fn bring(self, bell: Doorbell<'_>, word: u32, tid: u32, here: u32) -> bool {
        let one = 1u64.checked_shl(here).unwrap_or(0);
        let mask = if tid == 0 { 0 } else { processor::allowed(tid) };
        // While the bell says so it sleeps, and what the kernel has said is its own.
        if mask & one == 0
            || !bell.is(word)
            || self.mask.compare_exchange(0, mask, Ordering::SeqCst, Ordering::SeqCst).is_err()
        {
            return false;
        }
        processor::allow(tid, one); // B4
        if bell.is(word) {
            return true;
        }
        processor::allow(tid, mask); // B5
        false
    }
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::Ctl;
    use crate::layout::Layout;

    fn shared() -> Shared {
        let layout = Layout::new(1 << 20, 64, 4).unwrap();
        Shared::new(Ctl::heap(layout.len), layout)
    }

    /// The word that a bell has, and one that it has not.
    fn words(bell: Doorbell<'_>) -> (u32, u32) {
        let word = (0..=u32::MAX).find(|word| bell.is(*word)).unwrap();
        (word, word + 8)
    }

    /// Prepares the calling thread, as if it slept on a processor that is none, in a thread of its own.
    fn prepare(shared: &Shared, word: u32) -> bool {
        let handover = Handover::of(shared, 1);
        handover.lie_down();
        handover.cpu.store(u32::MAX, Ordering::Relaxed);
        std::thread::scope(|scope| {
            scope.spawn(|| Handover::of(shared, 1).prepare(Doorbell::of(shared, 1), word)).join().unwrap()
        })
    }

    #[test]
    fn a_sleeper_is_kept_to_a_processor_until_it_stands_up() {
        let shared = shared();
        let (word, _) = words(Doorbell::of(&shared, 1));
        let before = processor::allowed(0);
        assert!(prepare(&shared, word));
        assert_eq!(processor::allowed(0).count_ones(), 1);
        let handover = Handover::of(&shared, 1);
        handover.stand_up();
        assert_eq!(processor::allowed(0), before);
        assert!(handover.take_hint());
        assert!(!handover.take_hint());
    }

    #[test]
    fn who_has_gone_meanwhile_stays_free() {
        let shared = shared();
        let (_, other) = words(Doorbell::of(&shared, 1));
        let before = processor::allowed(0);
        assert!(!prepare(&shared, other));
        assert_eq!(processor::allowed(0), before);
    }

    #[test]
    fn who_steps_aside_is_elsewhere_and_free_to_return() {
        let shared = shared();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (me, other) = (Handover::of(&shared, 1), Handover::of(&shared, 2));
                let before = processor::allowed(0);
                let here = processor::current();
                processor::allow(0, 1 << here);
                me.step_aside();
                assert_eq!(processor::allowed(0), 1 << here, "there is nowhere else");
                other.reset();
                assert!(!me.is_crowded([other].into_iter()));
                other.cpu.store(here, Ordering::Relaxed);
                assert!(me.is_crowded([other].into_iter()));
                processor::allow(0, before);
                if before.count_ones() > 1 {
                    // The kernel may bring it back at any time, but not at each.
                    assert!((0..1_000).any(|_| {
                        let here = processor::current();
                        me.step_aside();
                        me.cpu.load(Ordering::Relaxed) != here
                    }));
                }
                assert_eq!(processor::allowed(0), before);
                assert_eq!(me.mask.load(Ordering::Relaxed), 0);
            });
        });
    }

    #[test]
    fn a_caller_that_dies_half_way_is_made_good_when_the_sleeper_lies_down() {
        let shared = shared();
        let (word, _) = words(Doorbell::of(&shared, 1));
        let before = processor::allowed(0);
        assert!(prepare(&shared, word));
        let handover = Handover::of(&shared, 1);
        handover.lie_down();
        assert_eq!(processor::allowed(0), before);
        handover.reset();
        assert!(!handover.take_hint());
    }
}
