//! Stopping processes for a while: they go on even if the supervisor itself is waiting for something
//! that a stopped process has locked.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Signal, pidfd_send_signal};

/// A process that goes on at a time.
type Pause = (Instant, Arc<OwnedFd>);

/// A thread that lets stopped processes go on; dropping it lets all of them go on.
#[derive(Debug)]
pub(crate) struct Pauses {
    to: Option<Sender<Pause>>,
    thread: Option<JoinHandle<()>>,
}

impl Pauses {
    /// Starts the thread.
    pub(crate) fn start() -> io::Result<Pauses> {
        let (to, from) = channel();
        let thread = std::thread::Builder::new().name("pauses".to_owned()).spawn(move || watch(&from))?;
        Ok(Pauses { to: Some(to), thread: Some(thread) })
    }

    /// Stops a process until `time` has passed.
    pub(crate) fn stop(&self, process: &Arc<OwnedFd>, time: Duration) {
        let _ = pidfd_send_signal(process, Signal::STOP);
        let pause = (Instant::now() + time, process.clone());
        if self.to.as_ref().is_none_or(|to| to.send(pause).is_err()) {
            let _ = pidfd_send_signal(process, Signal::CONT);
        }
    }
}

impl Drop for Pauses {
    fn drop(&mut self) {
        self.to = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn watch(from: &Receiver<Pause>) {
    let mut pauses: Vec<Pause> = Vec::new();
    let mut ended = false;
    while !(ended && pauses.is_empty()) {
        let now = Instant::now();
        pauses.retain(|(until, process)| {
            let over = ended || *until <= now;
            if over {
                // It fails if the process has died meanwhile.
                let _ = pidfd_send_signal(process, Signal::CONT);
            }
            !over
        });
        let next = pauses.iter().map(|(until, _)| until.saturating_duration_since(now)).min();
        match from.recv_timeout(next.unwrap_or(Duration::from_secs(3600))) {
            Ok(pause) => pauses.push(pause),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => ended = true,
        }
    }
}
