//! Plain memory in a model: bytes of the arena, and words that a lock guards.
//!
//! Their values are real and are read and written at once; nobody else runs meanwhile. Beside each page of
//! the arena, and beside all guarded words together, stands a cell of loom's, which fails the model if
//! somebody writes what another reads or writes without a happens-before between them.

use std::cell::RefCell;

use loom::cell::UnsafeCell;

use crate::layout::PAGE;

thread_local!(static PAGES: RefCell<Vec<UnsafeCell<()>>> = const { RefCell::new(Vec::new()) });
thread_local!(static GUARDED: RefCell<Vec<UnsafeCell<()>>> = const { RefCell::new(Vec::new()) });

/// Looks after the first `pages` pages from now on, in this execution.
pub(crate) fn watch(pages: usize) {
    PAGES.set(std::iter::repeat_with(|| UnsafeCell::new(())).take(pages).collect());
}

/// Looks after guarded words from now on, in this execution.
pub(crate) fn guard() {
    GUARDED.set(vec![UnsafeCell::new(())]);
}

/// Looks after nothing any more: the next execution begins.
pub(crate) fn forget() {
    PAGES.take();
    GUARDED.take();
}

/// Hears that bytes are read.
pub(crate) fn read(offset: usize, len: usize) {
    each(offset, len, |page| page.with(|_| ()));
}

/// Hears that bytes are written.
pub(crate) fn written(offset: usize, len: usize) {
    each(offset, len, |page| page.with_mut(|_| ()));
}

pub(super) fn guarded_read() {
    GUARDED.with_borrow(|words| words.iter().for_each(|word| word.with(|_| ())));
}

pub(super) fn guarded_written() {
    GUARDED.with_borrow(|words| words.iter().for_each(|word| word.with_mut(|_| ())));
}

fn each(offset: usize, len: usize, f: impl Fn(&UnsafeCell<()>)) {
    let pages = offset / PAGE..offset.saturating_add(len).div_ceil(PAGE);
    PAGES.with_borrow(|watched| {
        let last = pages.end.min(watched.len());
        watched[pages.start.min(last)..last].iter().for_each(&f);
    });
}
