//! A client of no store, for models of what other crates build on bells.
//!
//! Only under `--cfg loom`: the protocol is the store's, its words are loom's.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Host;
use crate::bell::{Bell, Doorbell};
use crate::client::{self, ClientKey};
use crate::ctl::Ctl;
use crate::layout::{C_WORD, Layout};
use crate::shared::Shared;
use crate::sync;

/// The only client of its segment.
struct Alone(Arc<Shared>);

impl Host for Alone {
    fn shared(&self) -> &Arc<Shared> {
        &self.0
    }

    fn key(&self) -> ClientKey {
        ClientKey { index: 0, generation: 0 }
    }

    fn mailbox_dropped(&self) {}

    fn is_foreign(&self) -> bool {
        false
    }

    fn drained(&self, _sender: ClientKey) {}
}

/// Makes the bell of a client whose service thread is in charge.
///
/// `timeouts` says whether sleeps with a timeout end at once; else they end by a wake only.
///
/// # Panics
///
/// If there is no layout for one client, which is a fault of the model.
pub fn bell(timeouts: bool) -> Bell {
    sync::timeouts(timeouts);
    sync::clock::reset();
    let layout = Layout::new(1 << 20, 64, 1).expect("a layout");
    let shared = Shared::new(Ctl::heap(layout.len), layout);
    let word = shared.ctl.u64(shared.layout.client(0) + C_WORD);
    word.store(client::word(0, client::ALIVE), Ordering::Relaxed);
    Doorbell::of(&shared, 0).reset();
    Bell::new(Arc::new(Alone(Arc::new(shared))))
}
