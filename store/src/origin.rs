//! What the header says about where a store is served, and by whom.
//!
//! The server's word names the client in whose name the server works (`adopt.rs`, `guard.rs`); it is
//! zero while nobody serves, and names the dead after a kill. Address, patience, inode of the arena and
//! name are written once, before the segment is ready, and never change: they are what an adopter
//! recognises the segments by, and the options that stand.

use std::time::Duration;

use crate::client::{self, ClientKey};
use crate::ctl::Ctl;
use crate::layout::{H_ADDRESS, H_ARENA, H_MOST_CLIENTS, H_NAME, H_PATIENCE, H_SERVER};
use crate::segment;
use crate::shared::Shared;
use crate::sync::Ordering;

/// What a store is from its creation on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    /// Hash of the socket's path.
    pub(crate) address: u64,
    /// How long a creation waits for memory by default.
    pub(crate) patience: Duration,
    /// Inode of the arena's file.
    pub(crate) arena: u64,
    /// How many clients there may be; the table may have more places.
    pub(crate) clients: usize,
    /// The name of the segment, if it has one.
    pub(crate) name: Option<String>,
}

impl Origin {
    /// Writes it into the header of a segment that is not ready yet.
    pub(crate) fn write(&self, ctl: &Ctl) {
        let put = |at: usize, value: u64| ctl.u64(at).store(value, Ordering::Relaxed);
        put(H_ADDRESS, self.address);
        put(H_PATIENCE, u64::try_from(self.patience.as_nanos()).unwrap_or(u64::MAX));
        put(H_ARENA, self.arena);
        put(H_MOST_CLIENTS, self.clients as u64);
        let name = self.name.as_deref().unwrap_or("").as_bytes();
        for (i, word) in name.chunks(8).enumerate() {
            let mut bytes = [0; 8];
            bytes[..word.len()].copy_from_slice(word);
            put(H_NAME + 8 + 8 * i, u64::from_le_bytes(bytes));
        }
        put(H_NAME, name.len() as u64);
    }

    /// Reads it from the header of a segment that is ready.
    pub(crate) fn read(ctl: &Ctl) -> Origin {
        let get = |at: usize| ctl.u64(at).load(Ordering::Relaxed);
        let bytes: Vec<u8> = (0..segment::MAX_NAME / 8).flat_map(|i| get(H_NAME + 8 + 8 * i).to_le_bytes()).collect();
        let len = usize::try_from(get(H_NAME)).unwrap_or(usize::MAX);
        // Whatever stands there becomes part of a path only if it could have been given as a name.
        let name = bytes.get(..len).and_then(|name| std::str::from_utf8(name).ok()).map(str::to_owned);
        Origin {
            address: get(H_ADDRESS),
            patience: Duration::from_nanos(get(H_PATIENCE)),
            arena: get(H_ARENA),
            clients: usize::try_from(get(H_MOST_CLIENTS)).unwrap_or(usize::MAX),
            name: name.filter(|name| segment::check_name(name).is_ok()),
        }
    }
}

/// Returns the client in whose name the store is served; it may be dead.
pub(crate) fn server(shared: &Shared) -> Option<ClientKey> {
    // SYNC server: pairs with the exchanges of `serve` and `retire`.
    from_word(shared.ctl.u64(H_SERVER).load(Ordering::Acquire))
}

/// Returns the client that serves the store if its process lives.
pub(crate) fn living_server(shared: &Shared) -> Option<ClientKey> {
    server(shared)
        .filter(|server| client::is_attached(shared, *server) && !client::is_dead(shared, server.index.into()))
}

/// Says that the store is served by `me` from now on.
pub(crate) fn serve(shared: &Shared, me: ClientKey) {
    // SYNC server: who sees it sees the client's record.
    shared.ctl.u64(H_SERVER).store(to_word(me), Ordering::Release);
}

/// Says that `me` serves no longer.
pub(crate) fn retire(shared: &Shared, me: ClientKey) {
    // SYNC server: an adopter that sees it sees what the server did last.
    let _ = shared.ctl.u64(H_SERVER).compare_exchange(to_word(me), 0, Ordering::Release, Ordering::Relaxed);
}

fn to_word(client: ClientKey) -> u64 {
    u64::from(client.generation) << 32 | (u64::from(client.index) + 1)
}

fn from_word(word: u64) -> Option<ClientKey> {
    let index = u16::try_from((word & 0xffff_ffff).checked_sub(1)?).ok()?;
    Some(ClientKey { index, generation: (word >> 32) as u32 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::HEADER_BYTES;

    #[test]
    fn an_origin_is_read_as_it_was_written() {
        let origin =
            Origin { address: u64::MAX, patience: Duration::from_millis(7), arena: 42, clients: 5, name: None };
        let named = Origin { name: Some("n".repeat(segment::MAX_NAME)), ..origin.clone() };
        for origin in [origin, named] {
            let ctl = Ctl::heap(HEADER_BYTES);
            origin.write(&ctl);
            assert_eq!(Origin::read(&ctl), origin);
        }
    }

    #[test]
    fn nonsense_is_no_name() {
        for (len, word) in [(3, u64::from_le_bytes(*b"../\0\0\0\0\0")), (u64::MAX, 0), (8, u64::MAX)] {
            let ctl = Ctl::heap(HEADER_BYTES);
            ctl.u64(H_NAME).store(len, Ordering::Relaxed);
            ctl.u64(H_NAME + 8).store(word, Ordering::Relaxed);
            assert_eq!(Origin::read(&ctl).name, None);
        }
    }

    #[test]
    fn any_client_can_stand_in_the_word_and_zero_is_nobody() {
        assert_eq!(from_word(0), None);
        for client in [ClientKey { index: 0, generation: 0 }, ClientKey { index: 255, generation: u32::MAX }] {
            assert_eq!(from_word(to_word(client)), Some(client));
        }
    }
}
