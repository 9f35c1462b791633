//! The folder of a runtime: sockets, places for short-lived sockets of its workers, logs.
//!
//! ```text
//!   mobula-<pid>-<8 hex>/     0700
//!     lock                    locked as long as the node lives
//!     control                 where further drivers will join (reserved)
//!     store                   where the store is attached
//!     boot/                   one-shot servers of workers that are about to join
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

/// What a socket's path may have beyond the session folder: `/boot/.tmpXXXXXX/socket`.
const LONGEST_TAIL: usize = 32;

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
        let unique = ObjectId::random().to_string();
        let name = format!("{PREFIX}{}-{}", std::process::id(), &unique[..8]);
        let mut base = std::env::temp_dir();
        if !base.is_absolute() || base.as_os_str().len() + name.len() + 1 + LONGEST_TAIL >= LONGEST_SOCKET {
            base = PathBuf::from("/tmp");
        }
        sweep(&base);
        let dir = base.join(name);
        let private = |path: &Path| DirBuilder::new().mode(0o700).create(path);
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
        self.dir.join("control")
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

/// Returns where the workers of the session in `dir` make their one-shot servers.
pub(crate) fn boot_dir(dir: &Path) -> PathBuf {
    dir.join("boot")
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
        Ok(lock) => flock(&lock, FlockOperation::NonBlockingLockShared).is_ok(),
        Err(_) => data.modified().is_ok_and(|made| made.elapsed().is_ok_and(|age| age > MAKING)),
    }
}

/// Returns true for the names that [`Session::create`] gives.
fn is_session(name: &str) -> bool {
    let parts = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-'));
    parts.is_some_and(|(pid, unique)| {
        pid.parse::<u32>().is_ok() && unique.len() == 8 && unique.bytes().all(|byte| byte.is_ascii_hexdigit())
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
        let socket = session.boot_dir().join(".tmpABCDEF/socket");
        assert!(socket.as_os_str().len() < LONGEST_SOCKET);
        fs::write(session.log_dir().join("worker-1.out"), "text").unwrap();
        session.remove();
        assert!(!session.dir().exists());
        session.remove();
    }
}
