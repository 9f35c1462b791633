//! Lending: a task that waits gives its CPUs to others meanwhile.

use std::rc::Rc;

use mobula_scheduler::protocol::ToNode;

use crate::context::{self, Scope};

/// Tells the node that the running task waits, until the guard is dropped; nothing for others.
pub(crate) struct Lending(Option<Rc<Scope>>);

impl Lending {
    pub(crate) fn none() -> Self {
        Lending(None)
    }

    /// Lends the CPUs of the running task.
    pub(crate) fn begin(&mut self) {
        if self.0.is_some() {
            return;
        }
        if let Some(scope) = context::scope()
            && let Some(lends) = scope.lends
        {
            if let Some(key) = scope.seat {
                // First what has not begun goes back: the caller may be waiting for it, and this task for the caller.
                scope.core.executor().sleeps(&scope.core, key, true);
            }
            scope.core.link().send(ToNode::Blocked(lends));
            self.0 = Some(scope);
        }
    }
}

impl Drop for Lending {
    fn drop(&mut self) {
        if let Some(scope) = self.0.take()
            && let Some(lends) = scope.lends
        {
            if let Some(key) = scope.seat {
                scope.core.executor().sleeps(&scope.core, key, false);
            }
            scope.core.link().send(ToNode::Unblocked(lends));
        }
    }
}
