//! Boards that hold other boards: a list of places, each empty or a child, that changes while they live.
//!
//! ```text
//!   root:  | its bytes | place 0 | place 1 | ...          child: nested count
//!
//!   add:    count, then the place        remove: the place, then the count
//! ```
//!
//! The list stands where the children of any object do, behind its bytes, and is *linked* from the beginning. It changes
//! only under the nested lock. Whoever dies there leaves a count that may be wrong, and a list that says what is right: the
//! next one who takes the lock counts anew (ST-19). So a child is there for as long as its place says so, whoever made it.

use std::cell::RefCell;
use std::time::Duration;

use super::Board;
use crate::holds::Nested;
use crate::slot::SlotRef;

/// The children of a board, while nobody else changes those of any.
pub(crate) struct Children<'a> {
    board: &'a Board,
    nested: &'a Nested<'a>,
    added: RefCell<Vec<SlotRef>>,
    removed: RefCell<Vec<SlotRef>>,
}

impl Board {
    /// Runs `change`; `None` if another process has the lock for longer than `patience`.
    pub(crate) fn with_children<R>(&self, patience: Duration, change: impl FnOnce(&Children<'_>) -> R) -> Option<R> {
        let actor = self.unit.body.actor();
        let nested = actor.nested_lock(patience)?;
        let (added, removed) = Default::default();
        let children = Children { board: self, nested: &nested, added, removed };
        let result = change(&children);
        let Children { added, removed, .. } = children;
        drop(nested);
        for child in added.into_inner() {
            actor.confirm_nested(child);
        }
        for child in removed.into_inner() {
            actor.look(child);
        }
        Some(result)
    }
}

impl Children<'_> {
    /// Returns how many places there are.
    pub(crate) fn places(&self) -> usize {
        self.board.places
    }

    /// Returns the child in a place.
    pub(crate) fn get(&self, place: usize) -> Option<SlotRef> {
        self.nested.child(self.board.place(place)?)
    }

    /// Puts a child that the caller holds into an empty place; false if there is none of that number, or it is taken.
    pub(crate) fn add(&self, place: usize, child: &Board) -> bool {
        let at = child.unit.at;
        let word = self.board.place(place).filter(|word| self.nested.child(word).is_none());
        let Some(word) = word else { return false };
        self.nested.add(word, at);
        self.added.borrow_mut().push(at);
        true
    }

    /// Empties a place.
    pub(crate) fn remove(&self, place: usize) {
        if let Some(child) = self.board.place(place).and_then(|word| self.nested.remove(word)) {
            self.removed.borrow_mut().push(child);
        }
    }

    /// Says whether a place has that child.
    pub(crate) fn has(&self, place: usize, child: &Board) -> bool {
        self.get(place).is_some_and(|at| at == child.unit.at)
    }
}
