//! Sending: the line towards each process that this one talks to, and what it left over when it was full.
//!
//! Answers queue here, calls in their [`Route`](crate::route::Route): a call that cannot be sent
//! yet may have to wait for its arguments too, an answer never does.
//!
//! - **WK-13** The holds of an answer stay until the receiver has taken the frame, and so has its
//!   own (`Line::taken`).
//! - **WK-14** Answers to one process leave in the order in which they were made; each call gets one,
//!   if only an error.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use mobula_store::{ClientKey, ObjectHold, SendError};

use crate::error::Error;
use crate::frames::{self, FrameWriter};
use crate::transport::{Line, Transport};

/// A process that this one sends to.
pub(crate) struct Peer {
    key: ClientKey,
    state: Mutex<PeerState>,
}

struct PeerState {
    line: Line,
    backlog: VecDeque<(Vec<u8>, Vec<ObjectHold>)>,
    unacked: VecDeque<(u64, Vec<ObjectHold>)>,
    /// The position after the last frame that was sent.
    sent: u64,
    gone: bool,
}

impl Peer {
    pub(crate) fn new(transport: &Transport, key: ClientKey) -> Self {
        let state = PeerState {
            line: transport.line(key),
            backlog: VecDeque::new(),
            unacked: VecDeque::new(),
            sent: 0,
            gone: false,
        };
        Peer { key, state: Mutex::new(state) }
    }

    pub(crate) fn key(&self) -> ClientKey {
        self.key
    }

    /// Sends a call and returns its position; what does not fit now is the caller's.
    #[inline]
    pub(crate) fn call(&self, frame: &[u8]) -> Result<u64, SendError> {
        let mut state = self.lock();
        state.try_send(frame, false)?;
        Ok(state.sent)
    }

    /// Sends a frame whose sender is woken when it has been taken; returns its position.
    pub(crate) fn tell(&self, frame: &[u8]) -> Result<u64, SendError> {
        let mut state = self.lock();
        state.try_send(frame, true)?;
        Ok(state.sent)
    }

    /// True if the process has taken what [`Peer::tell`] has sent at a position, or never will.
    pub(crate) fn has_heard(&self, position: u64) -> bool {
        self.lock().taken() >= position
    }

    /// True if the process may have taken what was sent at a position, also after its end.
    pub(crate) fn may_have_taken(&self, position: u64) -> bool {
        self.lock().line.may_have_taken(position)
    }

    /// Sends a call if `open` is true under the lock of this process's line; `None` if it is not.
    #[inline]
    pub(crate) fn call_if(&self, open: &AtomicBool, frame: &[u8]) -> Option<Result<(), SendError>> {
        let mut state = self.lock();
        open.load(Ordering::Relaxed).then(|| state.try_send(frame, false))
    }

    /// The same for a call whose answer the thread is going to wait for; says whether the processor was handed over.
    #[inline]
    pub(crate) fn hand_if(
        &self,
        open: &AtomicBool,
        frame: &[u8],
        wish: &mut dyn FnMut() -> bool,
    ) -> Option<Result<bool, SendError>> {
        let mut state = self.lock();
        open.load(Ordering::Relaxed).then(|| {
            let (sent, handed) = state.line.try_send_to_wait(frame, wish)?;
            state.sent = sent;
            Ok(handed)
        })
    }

    /// Sets `open` to false: once this returns, no [`Peer::call_if`] sends before it is true again.
    pub(crate) fn close(&self, open: &AtomicBool) {
        let _guard = self.lock();
        open.store(false, Ordering::Relaxed);
    }

    /// Sends an answer, or keeps it until there is room; false if it was kept.
    pub(crate) fn answer(&self, frame: &[u8], holds: Vec<ObjectHold>) -> bool {
        let mut state = self.lock();
        if !state.unacked.is_empty() {
            state.collect();
        }
        if state.gone {
            return true;
        }
        let left = if state.flush() { state.send(frame, holds) } else { Err(holds) };
        match left {
            Ok(()) => true,
            Err(holds) => {
                state.backlog.push_back((frame.to_vec(), holds));
                false
            }
        }
    }

    /// Sends what waits as far as there is room; true if nothing is left.
    pub(crate) fn flush(&self) -> bool {
        self.lock().flush()
    }

    /// Drops the holds of answers that have arrived; true if none is left, not even of one that waits for room.
    pub(crate) fn collect(&self) -> bool {
        let mut state = self.lock();
        state.collect();
        state.unacked.is_empty() && state.backlog.is_empty()
    }

    /// True if an answer has arrived whose holds are still here.
    pub(crate) fn has_acks(&self) -> bool {
        let state = self.lock();
        let taken = state.taken();
        state.unacked.front().is_some_and(|(position, _)| *position <= taken)
    }

    /// True if everything that was sent arrives even if this process ends now, or never will.
    pub(crate) fn is_delivered(&self) -> bool {
        let state = self.lock();
        let is_held = state.unacked.back().is_some_and(|(position, _)| *position > state.taken());
        state.gone || (state.backlog.is_empty() && !is_held && state.line.delivered() >= state.sent)
    }

    /// The process has ended: nothing will be taken any more.
    pub(crate) fn set_gone(&self) {
        let (backlog, unacked) = {
            let mut state = self.lock();
            state.gone = true;
            (std::mem::take(&mut state.backlog), std::mem::take(&mut state.unacked))
        };
        drop((backlog, unacked));
    }

    /// True if the process is known to have ended.
    pub(crate) fn is_gone(&self) -> bool {
        self.lock().gone
    }

    fn lock(&self) -> MutexGuard<'_, PeerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PeerState {
    #[inline]
    fn try_send(&mut self, frame: &[u8], ack: bool) -> Result<(), SendError> {
        self.sent = self.line.try_send(frame, ack)?;
        Ok(())
    }

    /// Sends an answer; gives the holds back if there is no room.
    fn send(&mut self, frame: &[u8], holds: Vec<ObjectHold>) -> Result<(), Vec<ObjectHold>> {
        match self.try_send(frame, !holds.is_empty()) {
            Ok(()) => {
                if !holds.is_empty() {
                    self.unacked.push_back((self.sent, holds));
                }
                Ok(())
            }
            Err(SendError::Full) => Err(holds),
            Err(SendError::PeerGone) => {
                self.gone = true;
                Ok(())
            }
            Err(SendError::TooLong) => match frames::call_of(frame) {
                Some(call) => {
                    let error = Error::system(format!("the answer of {} bytes fits into no message", frame.len()));
                    let mut short = FrameWriter::default();
                    short.failed(call, &error.to_bytes());
                    self.send(short.bytes(), Vec::new())
                }
                None => Ok(()),
            },
        }
    }

    fn flush(&mut self) -> bool {
        while let Some((frame, holds)) = self.backlog.pop_front() {
            if let Err(holds) = self.send(&frame, holds) {
                self.backlog.push_front((frame, holds));
                break;
            }
        }
        if self.gone {
            self.backlog.clear();
        }
        self.backlog.is_empty()
    }

    fn taken(&self) -> u64 {
        if self.gone { u64::MAX } else { self.line.taken() }
    }

    fn collect(&mut self) {
        let taken = self.taken();
        while self.unacked.front().is_some_and(|(position, _)| *position <= taken) {
            self.unacked.pop_front();
        }
    }
}
