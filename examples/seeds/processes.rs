//! A look at the processes behind actors, to see that they end.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// Waits until none of the processes is there any more; false if one still is after 20 s.
pub(crate) fn all_gone(pids: &[u32]) -> bool {
    let deadline = Instant::now() + Duration::from_secs(20);
    while pids.iter().any(|pid| Path::new(&format!("/proc/{pid}")).exists()) {
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(1));
    }
    true
}
