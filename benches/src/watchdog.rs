//! Ends a run that hangs, and says where: a benchmark in CI must not wait for ever.

use std::io::Write;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// How long one row may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Watches the row that is being measured.
#[derive(Debug)]
pub(crate) struct Watchdog {
    rows: Option<Sender<&'static str>>,
}

impl Watchdog {
    /// Starts to watch; without a thread there is nobody who watches, and that is all.
    pub(crate) fn new() -> Self {
        let (sender, receiver) = channel();
        let watch = move || {
            let mut row = "the first row";
            loop {
                match receiver.recv_timeout(PATIENCE) {
                    Ok(next) => row = next,
                    Err(RecvTimeoutError::Disconnected) => return,
                    Err(RecvTimeoutError::Timeout) => {
                        let seconds = PATIENCE.as_secs();
                        let _ = writeln!(std::io::stderr(), "{row} took more than {seconds} s: it hangs; giving up");
                        std::process::exit(3);
                    }
                }
            }
        };
        let thread = std::thread::Builder::new().name("bench-watchdog".to_owned()).spawn(watch);
        Watchdog { rows: thread.is_ok().then_some(sender) }
    }

    /// Says that a row begins.
    pub(crate) fn begin(&self, row: &'static str) {
        if let Some(rows) = &self.rows {
            // It only fails if the thread is gone, and then the process is.
            let _ = rows.send(row);
        }
    }
}
