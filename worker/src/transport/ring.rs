//! A line through a ring of the store: opened with the first frame; while the store has no ring to give it counts as full.

use mobula_store::{ClientKey, RingError, RingSender, SendError, Store};

/// The ring towards one process.
pub(crate) struct RingLine {
    key: ClientKey,
    store: Store,
    ring: Option<RingSender>,
}

impl RingLine {
    pub(super) fn new(store: &Store, key: ClientKey) -> Self {
        RingLine { key, store: store.clone(), ring: None }
    }

    #[inline]
    pub(super) fn try_send(&mut self, frame: &[u8], ack: bool) -> Result<u64, SendError> {
        self.ring()?.try_send(frame, ack)
    }

    #[inline]
    pub(super) fn try_send_to_wait(
        &mut self,
        frame: &[u8],
        wish: &mut dyn FnMut() -> bool,
    ) -> Result<(u64, bool), SendError> {
        self.ring()?.try_send_to_wait(frame, wish)
    }

    #[inline]
    pub(super) fn taken(&self) -> u64 {
        self.ring.as_ref().map_or(u64::MAX, RingSender::taken)
    }

    pub(super) fn has_taken(&self, position: u64) -> bool {
        self.ring.as_ref().is_some_and(|ring| ring.taken() >= position)
    }

    #[inline]
    fn ring(&mut self) -> Result<&mut RingSender, SendError> {
        if self.ring.is_none() {
            self.open()?;
        }
        self.ring.as_mut().ok_or(SendError::Full)
    }

    #[cold]
    fn open(&mut self) -> Result<(), SendError> {
        match self.store.open_ring(self.key) {
            Ok(ring) => {
                self.ring = Some(ring);
                Ok(())
            }
            Err(RingError::PeerGone) => Err(SendError::PeerGone),
            // Another one is given back sooner or later.
            Err(error) => {
                tracing::warn!(peer = ?self.key, %error, "no ring to a process yet");
                Err(SendError::Full)
            }
        }
    }
}
