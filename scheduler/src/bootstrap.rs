//! How a process finds out that it is a worker, and joins its node.
//!
//! A worker is the same program (or another one that holds the same actors) started again by the
//! node, with one end of a socket pair as standard input and a mark in its environment:
//!
//! ```text
//!   MOBULA_WORKER=[template:]<pid of the parent>:<inode of that socket>:<session folder>
//!
//!   worker                                            node
//!     |  take_mark: is my fd 0 the socket of the mark?
//!     |  join: die with the parent; make a one-shot server
//!     | -- [PROTOCOL][pid u32][length u16][name] ----> |   1, over the socket pair
//!     | <-- Welcome -----------------------------------|   2, through the one-shot server (buffered)
//!     | <-- [ADMIT] or [REFUSE][text] -----------------|   3, over the socket pair
//!     |  accept: the Welcome is already there
//! ```
//!
//! A *template* (`template.rs`) joins in the same way and becomes many workers: `join` returns in each
//! of its copies.
//!
//! Step 3 is why nobody ever hangs in `accept`, which knows no timeout: a worker calls it only when
//! the Welcome lies in the socket, and a node that ends shows as an end of file in its place.
//!
//! Invariants:
//! - SC-4: the mark is inert in every process but the one it was made for. Programs that a worker
//!   starts inherit the variable at most, never the socket: it is close-on-exec from `take_mark` on,
//!   and their standard input is another file.
//! - SC-5: a marked process whose parent is gone ends at once. It never goes on as a driver.
//! - SC-6: in a process that took its mark, no later call of [`take_mark`] returns.
//! - SC-7: a worker and its process group die with the node: by the parent-death signal, and by the
//!   end of file on the control link where that signal cannot reach (a wrapper between the two). So does
//!   a template.
//!
//! The variable is removed if no other thread exists yet; otherwise it stays, which harms nobody
//! (SC-4).

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use ipc_channel::ipc::IpcOneShotServer;
use serde::{Deserialize, Serialize};

use crate::protocol::{Envelope, PROTOCOL, Welcome};
use crate::session;
use crate::sys;
use crate::template::{Order, Template};

/// The variable that marks a worker.
pub const MARK: &str = "MOBULA_WORKER";

/// Begins the mark of a template.
const TEMPLATE: &[u8] = b"template:";

/// Step 3: the Welcome lies in the one-shot server.
pub(crate) const ADMIT: u8 = 1;

/// Step 3: the worker may not join, and a text says why.
pub(crate) const REFUSE: u8 = 2;

/// Set once a mark was taken, before standard input is touched.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Why a worker could not join its node.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BootstrapError {
    /// A system call failed.
    #[error("the worker could not {step}")]
    Io {
        /// What it was about to do.
        step: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The node's first message makes no sense.
    #[error("the worker could not read the node's welcome: {0}")]
    Welcome(String),
    /// The node speaks another version of the protocol.
    #[error(
        "the node speaks version {node} of the control protocol and this worker version {PROTOCOL}; build both from the same release of mobula"
    )]
    Version {
        /// The node's version.
        node: u8,
    },
    /// The node does not want this worker.
    #[error("the node refused this worker: {0}")]
    Refused(String),
    /// The node ended before the worker had joined.
    #[error("the node ended before this worker had joined")]
    NodeEnded,
}

impl BootstrapError {
    pub(crate) fn io(step: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| BootstrapError::Io { step, source }
    }
}

/// What the mark says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MarkText {
    /// The process is to be copied, not to be a worker itself.
    pub(crate) template: bool,
    /// The pid that the worker's parent must have; 0 if a wrapper stands between the two.
    pub(crate) parent: u32,
    /// The inode of the socket that is the worker's standard input.
    pub(crate) inode: u64,
    /// The session folder.
    pub(crate) session_dir: PathBuf,
}

impl MarkText {
    pub(crate) fn encode(&self) -> OsString {
        let kind = if self.template { TEMPLATE } else { b"" };
        let mut text = OsString::from_vec(kind.to_vec());
        text.push(format!("{}:{}:", self.parent, self.inode));
        text.push(&self.session_dir);
        text
    }

    pub(crate) fn parse(text: &OsStr) -> Option<Self> {
        let rest = text.as_bytes().strip_prefix(TEMPLATE);
        let template = rest.is_some();
        let mut parts = rest.unwrap_or(text.as_bytes()).splitn(3, |&byte| byte == b':');
        let mut number = || std::str::from_utf8(parts.next()?).ok()?.parse::<u64>().ok();
        let parent = u32::try_from(number()?).ok()?;
        let inode = number()?;
        let session_dir = PathBuf::from(OsString::from_vec(parts.next()?.to_vec()));
        session_dir.is_absolute().then_some(MarkText { template, parent, inode, session_dir })
    }
}

/// What a worker process was started with: its way to the node.
#[derive(Debug)]
#[must_use = "a process that took its mark is a worker and must join"]
pub struct Mark {
    parent: u32,
    session_dir: PathBuf,
    role: Role,
}

/// What a marked process is to be, with the ways by which it reaches its node.
enum Role {
    Worker(Result<Link<Welcome>, BootstrapError>),
    Template(Result<Link<Order>, BootstrapError>),
}

/// The two ways by which the node is reached.
struct Link<T> {
    stream: UnixStream,
    server: IpcOneShotServer<Envelope<T>>,
    name: String,
}

impl std::fmt::Debug for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Role::Worker(_) => "Worker",
            Role::Template(_) => "Template",
        })
    }
}

/// Finds out whether this process was started as a worker, and takes the mark if so.
///
/// Call it before other threads exist where possible: only then is the variable removed. In a worker
/// it moves standard input away and puts `/dev/null` there.
///
/// A call in a process that has already taken its mark never returns: several threads of a test
/// harness may come here, and none of them may go on as a driver. Where user code may call it, ask
/// [`is_worker`] first. In a worker whose parent is gone the process ends.
pub fn take_mark() -> Option<Mark> {
    if is_worker() {
        park_forever();
    }
    let text = MarkText::parse(&std::env::var_os(MARK)?)?;
    if sys::socket_inode(io::stdin()) != Some(text.inode) {
        // Another thread may have taken the mark, and standard input with it, since the first look.
        if is_worker() {
            park_forever();
        }
        return None;
    }
    if TAKEN.swap(true, Ordering::SeqCst) {
        park_forever();
    }
    check_parent(text.parent);
    sys::change_env(MARK, None);
    let dir = &text.session_dir;
    let role = if text.template { Role::Template(Link::open(dir)) } else { Role::Worker(Link::open(dir)) };
    Some(Mark { parent: text.parent, session_dir: text.session_dir, role })
}

/// Returns true if this process has taken a mark: it is a worker, whoever asks.
pub fn is_worker() -> bool {
    TAKEN.load(Ordering::SeqCst)
}

impl Mark {
    /// Joins the node: returns its Welcome when the worker has been admitted.
    ///
    /// In a template it returns only in the copies that are made of the process, once in each.
    ///
    /// Call it on a thread that lives as long as the process: the kernel forgets the request to die
    /// with the parent when the thread that made it ends.
    ///
    /// # Errors
    ///
    /// Fails if the node has ended, refuses the worker or speaks another version of the protocol, and
    /// if the system refuses what is needed. The worker should print the error and exit.
    pub fn join(self) -> Result<Welcome, BootstrapError> {
        if self.parent != 0 {
            sys::die_with_parent().map_err(BootstrapError::io("ask to die with its node"))?;
            // The parent may have died before the request was in place.
            check_parent(self.parent);
        }
        let Link { mut stream, server, name } = match self.role {
            Role::Worker(link) => link?,
            Role::Template(link) => {
                let Link { stream, server, name } = link?;
                return Template::new(self.parent, stream, server, name, &self.session_dir).serve();
            }
        };
        let mut answer = [0];
        let read = stream.write_all(&hello(std::process::id(), &name)).and_then(|()| stream.read_exact(&mut answer));
        match read {
            Ok(()) => {}
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
                ) =>
            {
                return Err(BootstrapError::NodeEnded);
            }
            Err(source) => {
                return Err(BootstrapError::Io { step: "talk to its node", source });
            }
        }
        if answer[0] != ADMIT {
            let mut text = String::new();
            // A node that dies while it speaks leaves a shorter text.
            let _ = stream.take(64 * 1024).read_to_string(&mut text);
            return Err(BootstrapError::Refused(text));
        }
        let (_, envelope) = server.accept().map_err(|error| BootstrapError::Welcome(error.to_string()))?;
        if envelope.version != PROTOCOL {
            return Err(BootstrapError::Version { node: envelope.version });
        }
        Ok(envelope.body)
    }
}

impl<T: for<'de> Deserialize<'de> + Serialize> Link<T> {
    fn open(session_dir: &Path) -> Result<Self, BootstrapError> {
        let stream = sys::take_stdin().map_err(BootstrapError::io("take its bootstrap socket"))?;
        // The one-shot server makes its socket in the temporary folder. A place in the session folder
        // goes with the session, even if this process is killed before it can tidy up. A folder that is
        // gone means that the node is, and would make ipc-channel panic.
        let place = session::boot_dir(session_dir);
        if !place.is_dir() {
            return Err(BootstrapError::NodeEnded);
        }
        let before = std::env::var_os("TMPDIR");
        let moved = sys::change_env("TMPDIR", Some(place.as_os_str()));
        let made = IpcOneShotServer::new();
        if moved {
            sys::change_env("TMPDIR", before.as_deref());
        }
        let (server, name) = made.map_err(BootstrapError::io("make a socket for its node's welcome"))?;
        Ok(Link { stream: UnixStream::from(stream), server, name })
    }
}

/// Ends a worker whose parent is not the one that made the mark (SC-5).
pub(crate) fn check_parent(parent: u32) {
    if parent != 0 && sys::parent_pid() != parent {
        sys::exit_now(1);
    }
}

fn park_forever() -> ! {
    loop {
        std::thread::park();
    }
}

/// Encodes step 1.
pub(crate) fn hello(pid: u32, name: &str) -> Vec<u8> {
    let mut bytes = vec![PROTOCOL];
    bytes.extend(pid.to_le_bytes());
    bytes.extend((name.len() as u16).to_le_bytes());
    bytes.extend(name.as_bytes());
    bytes
}

/// What a joining process said in step 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hello {
    /// Its pid, as it sees it.
    pub(crate) pid: u32,
    /// The name of its one-shot server.
    pub(crate) name: String,
}

/// Collects the bytes of step 1 as they come.
#[derive(Debug, Default)]
pub(crate) struct HelloReader {
    bytes: Vec<u8>,
}

impl HelloReader {
    /// Adds bytes; returns the hello when it is whole, or why it will never be one.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Option<Hello>, String> {
        const HEAD: usize = 7;
        self.bytes.extend_from_slice(bytes);
        if let Some(&version) = self.bytes.first()
            && version != PROTOCOL
        {
            return Err(format!(
                "it speaks version {version} of the control protocol and its node version {PROTOCOL}; build both from the same release of mobula"
            ));
        }
        let Some(&[_, p0, p1, p2, p3, l0, l1]) = self.bytes.first_chunk::<HEAD>() else {
            return Ok(None);
        };
        let length = usize::from(u16::from_le_bytes([l0, l1]));
        if self.bytes.len() < HEAD + length {
            return Ok(None);
        }
        match std::str::from_utf8(&self.bytes[HEAD..HEAD + length]) {
            Ok(name) if !name.contains('\0') => {
                Ok(Some(Hello { pid: u32::from_le_bytes([p0, p1, p2, p3]), name: name.to_owned() }))
            }
            _ => Err("the name of its one-shot server is no text".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_come_back_as_they_were_made() {
        for template in [false, true] {
            let mark = MarkText { template, parent: 17, inode: 4_711, session_dir: PathBuf::from("/tmp/a:b c") };
            assert_eq!(MarkText::parse(&mark.encode()), Some(mark));
        }
    }

    #[test]
    fn other_texts_are_no_marks() {
        for text in [
            "",
            "1",
            "1:2",
            "1:2:",
            "1:2:relative",
            "x:2:/a",
            "1:x:/a",
            "-1:2:/a",
            "4294967296:2:/a",
            "template:",
            "template:template:1:2:/a",
        ] {
            assert_eq!(MarkText::parse(OsStr::new(text)), None, "{text}");
        }
        assert_eq!(MarkText::parse(OsStr::from_bytes(b"\xff:2:/a")), None);
    }

    #[test]
    fn a_mark_of_another_process_is_inert() {
        // Standard input of a test is no socket with that inode.
        assert_ne!(sys::socket_inode(io::stdin()), Some(u64::MAX));
        assert!(!is_worker());
    }

    #[test]
    fn a_hello_is_read_however_it_is_cut() {
        let bytes = hello(99, "/tmp/name");
        for cut in 0..bytes.len() {
            let mut reader = HelloReader::default();
            assert_eq!(reader.push(&bytes[..cut]), Ok(None));
            let whole = reader.push(&bytes[cut..]).unwrap().unwrap();
            assert_eq!(whole, Hello { pid: 99, name: "/tmp/name".into() });
        }
    }

    #[test]
    fn hostile_hellos_are_refused() {
        assert!(HelloReader::default().push(&[PROTOCOL + 1]).unwrap_err().contains("version"));
        let mut bytes = hello(1, "ab");
        bytes[7] = 0xff;
        assert!(HelloReader::default().push(&bytes).is_err());
        assert!(HelloReader::default().push(&hello(1, "a\0b")).is_err());
        assert_eq!(HelloReader::default().push(&[]), Ok(None));
    }
}
