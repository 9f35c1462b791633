//! Who is alive: pids with their start times, and descriptors of processes.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// Returns when a process started, in clock ticks since boot: with the pid it names a process for good.
///
/// `None` if there is no such process, or if it is a zombie (dead, only not reaped yet).
pub(crate) fn start_time(pid: u32) -> Option<u64> {
    let stat = stat(pid)?;
    // The name in parentheses may hold anything; the fields start after the last one.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    let threads: u32 = fields.nth(16)?.parse().ok()?;
    // A first thread that has ended shows as a zombie while the others of its process go on.
    if state == "X" || state == "Z" && threads <= 1 {
        return None;
    }
    fields.nth(1)?.parse().ok()
}

/// Says whether a process has begun to end, by a signal or by itself.
pub(crate) fn is_ending(pid: u32) -> bool {
    const EXITING: u64 = 4;
    let flags = |stat: &str| stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(6)?.parse::<u64>().ok();
    stat(pid).is_some_and(|stat| flags(&stat).is_some_and(|f| f & EXITING != 0))
}

/// Reads what the system says of a process, in one piece: asking it how long that is would take longer than reading it.
fn stat(pid: u32) -> Option<String> {
    // 52 numbers and a name.
    let mut text = [0; 2048];
    let len = File::open(format!("/proc/{pid}/stat")).ok()?.read(&mut text).ok()?;
    Some(String::from_utf8_lossy(text.get(..len)?).into_owned())
}

/// Says whether the process that had this pid and start time still runs.
pub(crate) fn is_alive(pid: u32, start: u64) -> bool {
    start_time(pid) == Some(start)
}

/// Opens a descriptor that becomes readable when the process ends.
pub(crate) fn watch(pid: u32) -> io::Result<OwnedFd> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

/// Says whether the process behind a watching descriptor has ended.
pub(crate) fn has_ended(pidfd: impl AsFd) -> bool {
    wait_end(pidfd, Duration::ZERO)
}

/// Waits for the end of the process behind a watching descriptor; false if it still runs after `limit`.
pub(crate) fn wait_end(pidfd: impl AsFd, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let time = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&time)) {
            Err(rustix::io::Errno::INTR) => {}
            other => return other.is_ok_and(|ready| ready > 0),
        }
    }
}

/// Returns the user that this process acts as.
pub(crate) fn uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_lives_and_no_other_has_its_start_time() {
        let pid = std::process::id();
        let start = start_time(pid).unwrap();
        assert!(is_alive(pid, start) && !is_alive(pid, start + 1));
        assert!(!has_ended(watch(pid).unwrap()));
    }

    #[test]
    fn an_unreaped_child_is_dead() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let start = start_time(child.id());
        assert!(wait_end(watch(child.id()).unwrap(), Duration::from_secs(20)));
        assert!(is_ending(child.id()) && !is_ending(std::process::id()));
        assert_eq!(start_time(child.id()), None, "a zombie, started at {start:?}");
        child.wait().unwrap();
        assert!(watch(child.id()).is_err());
    }

    #[test]
    fn a_process_outlives_its_first_thread() {
        // The first thread of the child leaves while another sleeps on.
        let script = "import ctypes,threading,time\n\
            threading.Thread(target=time.sleep,args=(30,)).start()\n\
            print('ready',flush=True)\n\
            ctypes.CDLL(None).pthread_exit(None)";
        let python =
            std::process::Command::new("python3").args(["-c", script]).stdout(std::process::Stdio::piped()).spawn();
        let Ok(mut child) = python else { return };
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line).unwrap();
        let stat = |pid| super::stat(pid).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while !stat(child.id()).contains(") Z ") && Instant::now() < deadline {
            std::thread::yield_now();
        }
        assert!(start_time(child.id()).is_some(), "{}", stat(child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
