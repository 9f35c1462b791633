//! The folder of a runtime: sockets, places for short-lived sockets of its workers, logs.
//!
//! ```text
//!   mobula-<pid>-<8 hex>/     0700
//!     lock                    locked as long as the node lives
//!     control                 where further drivers join
//!     store                   where the store is attached
//!     boot/                   one-shot servers of processes that are about to join, in a folder each
//!     logs/worker-<pid>.{out,err}   from the first byte on
//! ```
//!
//! A tidy shutdown removes the whole folder, logs included: what workers print has gone to the
//! driver's stderr by then, and a runtime must leave nothing behind. A driver that is killed leaves
//! its folder; the next runtime of the same user removes it. That its node is gone shows in the lock,
//! which the kernel gives up with its process; a pid would mean nothing to another container that
//! shares the temporary folder.

use std::fs::{self, DirBuilder, File, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use mobula_store::ObjectId;
use rustix::fs::{FlockOperation, flock};

use crate::trace::tell;

/// What a socket's path may have beyond the session folder: `/boot/01234567/.tmpXXXXXX/socket`.
const LONGEST_TAIL: usize = 33;

/// How long the drawn part of a name is.
pub(crate) const SHORT_NAME: usize = 8;

/// The longest name of a session folder.
const LONGEST_NAME: usize = PREFIX.len() + 10 + 1 + SHORT_NAME;

/// What a socket's address holds, the closing NUL included.
const LONGEST_SOCKET: usize = 108;

const PREFIX: &str = "mobula-";

const LOCK: &str = "lock";

/// A folder without a lock may be in the making; after this long it is not.
const MAKING: Duration = Duration::from_secs(60);

/// The session folder; [`Session::remove`] takes it away.
#[derive(Debug)]
pub(crate) struct Session {
    dir: PathBuf,
    /// Locked while it is open.
    _lock: File,
}

impl Session {
    /// Makes the folder, below the temporary folder unless that has too long a name for sockets.
    pub(crate) fn create() -> io::Result<Session> {
        let name = format!("{PREFIX}{}-{}", std::process::id(), short_name());
        let base = base();
        sweep(&base);
        let dir = base.join(name);
        let private = |path: &Path| {
            let made = DirBuilder::new().mode(0o700).create(path);
            made.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
        };
        private(&dir)?;
        // It appears locked: one that is there and free means that its node is gone.
        let making = dir.join("lock.new");
        let lock = File::create(&making)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        fs::rename(making, dir.join(LOCK))?;
        let session = Session { dir, _lock: lock };
        private(&session.boot_dir())?;
        private(&session.log_dir())?;
        Ok(session)
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn boot_dir(&self) -> PathBuf {
        boot_dir(&self.dir)
    }

    pub(crate) fn log_dir(&self) -> PathBuf {
        self.dir.join("logs")
    }

    pub(crate) fn control_path(&self) -> PathBuf {
        control_path(&self.dir)
    }

    pub(crate) fn store_path(&self) -> PathBuf {
        store_path(&self.dir)
    }

    /// Removes the folder with everything in it; what is already gone is no fault.
    pub(crate) fn remove(&self) {
        if let Err(error) = fs::remove_dir_all(&self.dir)
            && error.kind() != io::ErrorKind::NotFound
        {
            tell!(Warn, warn, dir = %self.dir.display(), %error, "the session folder stays behind");
        }
    }
}

/// Draws eight hex digits that nobody else has.
pub(crate) fn short_name() -> String {
    let mut name = ObjectId::random().to_string();
    name.truncate(SHORT_NAME);
    name
}

/// Returns the folder that sessions are made in: the temporary one unless that has too long a name for sockets.
pub(crate) fn base() -> PathBuf {
    let base = std::env::temp_dir();
    if !base.is_absolute() || base.as_os_str().len() + LONGEST_NAME + 1 + LONGEST_TAIL >= LONGEST_SOCKET {
        return PathBuf::from("/tmp");
    }
    base
}

/// Lists the sessions of this user in `base` whose node lives, the newest first, and removes the others.
pub(crate) fn living(base: &Path) -> Vec<PathBuf> {
    sweep(base);
    let user = rustix::process::geteuid().as_raw();
    let mut found: Vec<_> = fs::read_dir(base)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(is_session))
        .filter(|entry| entry.metadata().is_ok_and(|data| data.is_dir() && data.uid() == user))
        .filter_map(|entry| {
            let lock = File::open(entry.path().join(LOCK)).ok()?;
            // Nobody writes it, so it is as old as its session.
            let made = lock.metadata().and_then(|data| data.modified()).ok()?;
            is_locked(&lock).then(|| (made, entry.path()))
        })
        .collect();
    found.sort();
    found.into_iter().rev().map(|(_, path)| path).collect()
}

/// True if somebody holds the lock of a session: its node.
pub(crate) fn is_locked(lock: &File) -> bool {
    flock(lock, FlockOperation::NonBlockingLockShared).is_err()
}

/// Returns where drivers of other processes join the session in `dir`.
pub(crate) fn control_path(dir: &Path) -> PathBuf {
    dir.join("control")
}

/// Returns the lock of the session in `dir`.
pub(crate) fn lock_path(dir: &Path) -> PathBuf {
    dir.join(LOCK)
}

/// Returns where the workers of the session in `dir` make their one-shot servers.
pub(crate) fn boot_dir(dir: &Path) -> PathBuf {
    dir.join("boot")
}

/// Returns where the process with this pid makes its own; its node removes it when it has connected, or the process is gone.
pub(crate) fn own_boot_dir(dir: &Path, pid: u32) -> PathBuf {
    boot_dir(dir).join(pid.to_string())
}

/// Returns where the store of the session in `dir` is attached.
pub(crate) fn store_path(dir: &Path) -> PathBuf {
    dir.join("store")
}

/// Removes the session folders in `base` that belong to this user and whose node is gone.
fn sweep(base: &Path) {
    let Ok(entries) = fs::read_dir(base) else {
        return;
    };
    let user = rustix::process::geteuid().as_raw();
    for entry in entries.flatten() {
        if !entry.file_name().to_str().is_some_and(is_session) {
            continue;
        }
        // Links are not followed: what they lead to is nobody's session.
        let Ok(data) = entry.metadata() else {
            continue;
        };
        if data.is_dir() && data.uid() == user && is_left(&entry.path(), &data) {
            // Another process may sweep the same folder at the same time: either way it goes.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn is_left(dir: &Path, data: &Metadata) -> bool {
    match File::open(dir.join(LOCK)) {
        Ok(lock) => !is_locked(&lock),
        Err(_) => data.modified().is_ok_and(|made| made.elapsed().is_ok_and(|age| age > MAKING)),
    }
}

/// Returns true for the names that [`Session::create`] gives.
fn is_session(name: &str) -> bool {
    let parts = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-'));
    parts.is_some_and(|(pid, unique)| {
        pid.parse::<u32>().is_ok() && unique.len() == SHORT_NAME && unique.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_session_folders_are_recognised() {
        assert!(is_session("mobula-12-0123abcd"));
        for other in ["mobula-12", "mobula-x-0123abcd", "mobula-12-0123abc", "nebula-12-0123abcd", "mobula-12-0123abcg"]
        {
            assert!(!is_session(other), "{other}");
        }
    }

    #[test]
    fn folders_of_the_dead_are_swept_and_others_stay() {
        let base = std::env::temp_dir().join(format!("mobula-sweep-test-{}", std::process::id()));
        let names = ["mobula-1-0123abcd", "mobula-2-0123abcd", "mobula-3-0123abcd", "mobula-notes"];
        let [dead, living, making, foreign] = names.map(|name| base.join(name));
        for dir in [&dead, &living, &making, &foreign] {
            fs::create_dir_all(dir.join("logs")).unwrap();
        }
        File::create(dead.join(LOCK)).unwrap();
        let lock = File::create(living.join(LOCK)).unwrap();
        flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
        sweep(&base);
        assert!(!dead.exists() && living.exists() && making.exists() && foreign.exists());
        fs::remove_dir_all(&base).unwrap();
    }

    #[test]
    fn a_session_goes_entirely() {
        let session = Session::create().unwrap();
        assert_eq!(fs::metadata(session.dir()).unwrap().mode() & 0o777, 0o700);
        assert!(session.boot_dir().is_dir() && session.log_dir().is_dir());
        let socket = session.boot_dir().join("01234567/.tmpABCDEF/socket");
        assert!(socket.as_os_str().len() < LONGEST_SOCKET);
        fs::write(session.log_dir().join("worker-1.out"), "text").unwrap();
        session.remove();
        assert!(!session.dir().exists());
        session.remove();
    }
}
