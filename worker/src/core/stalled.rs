//! What found no room and is tried again by the service thread, which ticks as long as there is any.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};

use super::{Core, lock};
use crate::deferred::{Deferred, Dependent, Work};
use crate::outbox::Peer;
use crate::route::Route;

/// Routes and peers whose ring was full, submissions for which the store was full.
#[derive(Default)]
pub(super) struct Stalled {
    routes: Vec<Arc<Route>>,
    peers: Vec<Arc<Peer>>,
    deferred: Vec<Arc<Deferred>>,
}

impl Stalled {
    fn add_route(&mut self, route: Arc<Route>) {
        if !self.routes.iter().any(|other| Arc::ptr_eq(other, &route)) {
            self.routes.push(route);
        }
    }

    fn add_peer(&mut self, peer: Arc<Peer>) {
        if !self.peers.iter().any(|other| Arc::ptr_eq(other, &peer)) {
            self.peers.push(peer);
        }
    }

    fn is_empty(&self) -> bool {
        self.routes.is_empty() && self.peers.is_empty() && self.deferred.is_empty()
    }
}

impl Core {
    /// Has a route flushed again soon: its ring was full.
    pub(crate) fn add_stalled(&self, route: &Arc<Route>) {
        let mut stalled = lock(&self.stalled);
        stalled.add_route(route.clone());
        self.note_stalled(stalled);
    }

    /// Has a peer's answers sent again soon: its ring was full.
    pub(super) fn add_stalled_peer(&self, peer: &Arc<Peer>) {
        let mut stalled = lock(&self.stalled);
        stalled.add_peer(peer.clone());
        self.note_stalled(stalled);
    }

    /// Has a submission tried again soon: the store was full.
    pub(crate) fn add_deferred(&self, deferred: Arc<Deferred>) {
        let mut stalled = lock(&self.stalled);
        stalled.deferred.push(deferred);
        self.note_stalled(stalled);
    }

    /// Has the service thread tick, if it does not yet.
    fn note_stalled(&self, guard: MutexGuard<'_, Stalled>) {
        let first = !self.has_stalled.swap(true, Ordering::SeqCst);
        drop(guard);
        if first {
            self.pump.kick_service();
        }
    }

    /// Sends what found its ring full before, as far as there is room now.
    pub(crate) fn flush_stalled(&self) {
        if !self.has_stalled.load(Ordering::SeqCst) {
            return;
        }
        let stalled = std::mem::take(&mut *lock(&self.stalled));
        if stalled.is_empty() {
            // Another thread is at it and will say what is left.
            return;
        }
        let Stalled { routes, peers, deferred } = stalled;
        let mut work = Work::default();
        work.add(deferred.into_iter().map(Dependent::Deferred).collect());
        let routes: Vec<_> = routes.into_iter().filter(|route| !route.flush(self, &mut work)).collect();
        work.run(self);
        let peers: Vec<_> = peers.into_iter().filter(|peer| !peer.flush()).collect();
        let mut stalled = lock(&self.stalled);
        routes.into_iter().for_each(|route| stalled.add_route(route));
        peers.into_iter().for_each(|peer| stalled.add_peer(peer));
        if stalled.is_empty() {
            self.has_stalled.store(false, Ordering::SeqCst);
        } else {
            self.note_stalled(stalled);
        }
    }
}
