//! Shared words as they are outside of models: std's atomics, one layer thick.

use std::sync::atomic::{self, Ordering};

/// Marks that a shared store is done: with the feature `crash-points` the process may end here.
#[inline(always)]
fn stored() {
    #[cfg(feature = "crash-points")]
    super::crash::point();
}

macro_rules! word {
    ($(#[$doc:meta])* $name:ident, $inner:ty, $int:ty) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        #[repr(transparent)]
        pub(crate) struct $name($inner);

        // The set is whole so that a protocol may choose freely; `ctl` hands the words out.
        #[allow(dead_code, reason = "not every build uses every operation")]
        impl $name {
            pub(crate) const fn new(value: $int) -> $name {
                $name(<$inner>::new(value))
            }

            /// Returns the word as std knows it; stores through that are not seen by the seam.
            #[inline(always)]
            pub(crate) const fn as_std(&self) -> &$inner {
                &self.0
            }

            #[inline(always)]
            pub(crate) fn load(&self, order: Ordering) -> $int {
                self.0.load(order)
            }

            #[inline(always)]
            pub(crate) fn store(&self, value: $int, order: Ordering) {
                self.0.store(value, order);
                stored();
            }

            #[inline(always)]
            pub(crate) fn swap(&self, value: $int, order: Ordering) -> $int {
                let old = self.0.swap(value, order);
                stored();
                old
            }

            #[inline(always)]
            pub(crate) fn compare_exchange(
                &self,
                current: $int,
                new: $int,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$int, $int> {
                let old = self.0.compare_exchange(current, new, success, failure)?;
                stored();
                Ok(old)
            }

            #[inline(always)]
            pub(crate) fn compare_exchange_weak(
                &self,
                current: $int,
                new: $int,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$int, $int> {
                let old = self.0.compare_exchange_weak(current, new, success, failure)?;
                stored();
                Ok(old)
            }

            #[inline(always)]
            pub(crate) fn fetch_add(&self, value: $int, order: Ordering) -> $int {
                let old = self.0.fetch_add(value, order);
                stored();
                old
            }

            #[inline(always)]
            pub(crate) fn fetch_sub(&self, value: $int, order: Ordering) -> $int {
                let old = self.0.fetch_sub(value, order);
                stored();
                old
            }

            #[inline(always)]
            pub(crate) fn fetch_and(&self, value: $int, order: Ordering) -> $int {
                let old = self.0.fetch_and(value, order);
                stored();
                old
            }

            #[inline(always)]
            pub(crate) fn fetch_or(&self, value: $int, order: Ordering) -> $int {
                let old = self.0.fetch_or(value, order);
                stored();
                old
            }

            #[inline(always)]
            pub(crate) fn fetch_xor(&self, value: $int, order: Ordering) -> $int {
                let old = self.0.fetch_xor(value, order);
                stored();
                old
            }

            #[inline(always)]
            pub(crate) fn fetch_max(&self, value: $int, order: Ordering) -> $int {
                let old = self.0.fetch_max(value, order);
                stored();
                old
            }

            #[inline(always)]
            pub(crate) fn fetch_min(&self, value: $int, order: Ordering) -> $int {
                let old = self.0.fetch_min(value, order);
                stored();
                old
            }
        }
    };
}

word! {
    /// A shared word of 32 bits, laid out as a plain `u32`: what a futex can sleep on.
    AtomicU32, atomic::AtomicU32, u32
}
word! {
    /// A shared word of 64 bits, laid out as a plain `u64`.
    AtomicU64, atomic::AtomicU64, u64
}

const _: () = assert!(size_of::<AtomicU32>() == 4 && align_of::<AtomicU32>() == 4);
const _: () = assert!(size_of::<AtomicU64>() == 8 && align_of::<AtomicU64>() == 8);
