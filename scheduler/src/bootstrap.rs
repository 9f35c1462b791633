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
//!     | -- [PROTOCOL][pid u32][length u16][name] ----> |   1, over the socket pair, with the server's socket
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
//! The node has the server's listening socket until it is connected there (step 1), so that it is even if the worker
//! has died meanwhile: a connection that is refused would cost the node a descriptor, which ipc-channel forgets.
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
use std::fs::DirBuilder;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use ipc_channel::ipc::{IpcOneShotServer, IpcSender};
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
pub(crate) struct Link<T> {
    stream: UnixStream,
    server: IpcOneShotServer<Envelope<T>>,
    name: String,
    /// The name that its socket got at first.
    bound: String,
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
        let Link { mut stream, server, name, bound } = match self.role {
            Role::Worker(link) => link?,
            Role::Template(link) => {
                let Link { stream, server, name, bound } = link?;
                return Template::new(self.parent, stream, server, (name, bound), &self.session_dir).serve();
            }
        };
        let mut answer = [0];
        let read = say_hello(&stream, &name, &bound).and_then(|()| stream.read_exact(&mut answer));
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
        let place = session::own_boot_dir(session_dir, std::process::id());
        let made = DirBuilder::new().mode(0o700).create(&place);
        // One of an earlier process with this pid serves as well.
        if let Err(error) = made
            && error.kind() == io::ErrorKind::NotFound
        {
            return Err(BootstrapError::NodeEnded);
        }
        let (server, name, bound) = Link::one_shot(&place)?;
        Ok(Link { stream: UnixStream::from(stream), server, name, bound })
    }

    /// Makes a one-shot server for the node's answer, in a folder of the session.
    pub(crate) fn one_shot(place: &Path) -> Result<(IpcOneShotServer<Envelope<T>>, String, String), BootstrapError> {
        // The one-shot server makes its socket in the temporary folder. A place in the session folder
        // goes with the session, even if this process is killed before it can tidy up. A folder that is
        // gone means that the node is, and would make ipc-channel panic.
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
        if moved {
            return Ok((server, name.clone(), name));
        }
        // With other threads about nobody may touch the environment, so it is moved when it is made.
        let target = place.join(session::short_name());
        std::fs::rename(&name, &target).map_err(BootstrapError::io("move the socket for its node's welcome"))?;
        if let Some(folder) = Path::new(&name).parent() {
            let _ = std::fs::remove_dir(folder);
        }
        Ok((server, target.to_string_lossy().into_owned(), name))
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

/// Says step 1, with the socket of the one-shot server of that name; an empty name says that there is none.
///
/// `bound` is the name that the socket got at first, if it has been moved since.
pub(crate) fn say_hello(stream: &UnixStream, name: &str, bound: &str) -> io::Result<()> {
    let listener = if name.is_empty() { None } else { Some(sys::socket_at(bound)?) };
    let fds: Vec<_> = listener.iter().map(AsFd::as_fd).collect();
    // Nobody has written to the socket before: it takes so few bytes whole.
    sys::send_with_fds(stream, &hello(std::process::id(), name), &fds)
}

/// Encodes step 1.
fn hello(pid: u32, name: &str) -> Vec<u8> {
    let mut bytes = vec![PROTOCOL];
    bytes.extend(pid.to_le_bytes());
    bytes.extend((name.len() as u16).to_le_bytes());
    bytes.extend(name.as_bytes());
    bytes
}

/// What a joining process said in step 1.
#[derive(Debug)]
pub(crate) struct Hello {
    /// Its pid, as it sees it.
    pub(crate) pid: u32,
    /// The name of its one-shot server.
    name: String,
    /// That server's socket.
    listener: Option<OwnedFd>,
}

impl Hello {
    /// True if the process has a one-shot server.
    pub(crate) fn has_server(&self) -> bool {
        !self.name.is_empty()
    }

    /// Connects to the one-shot server, whether its process lives or not.
    pub(crate) fn connect<T: Serialize>(self) -> io::Result<IpcSender<Envelope<T>>> {
        if self.listener.is_none() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "its hello came without the socket of its server"));
        }
        IpcSender::connect(self.name)
    }
}

/// Collects the bytes of step 1 as they come.
#[derive(Debug, Default)]
pub(crate) struct HelloReader {
    bytes: Vec<u8>,
    listener: Option<OwnedFd>,
}

impl HelloReader {
    /// Adds bytes and what came with them; returns the hello when it is whole, or why it will never be one.
    pub(crate) fn push(&mut self, bytes: &[u8], fds: Vec<OwnedFd>) -> Result<Option<Hello>, String> {
        const HEAD: usize = 7;
        self.bytes.extend_from_slice(bytes);
        self.listener = fds.into_iter().next().or(self.listener.take());
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
                let (pid, listener) = (u32::from_le_bytes([p0, p1, p2, p3]), self.listener.take());
                Ok(Some(Hello { pid, name: name.to_owned(), listener }))
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
            assert!(reader.push(&bytes[..cut], Vec::new()).unwrap().is_none());
            let whole = reader.push(&bytes[cut..], Vec::new()).unwrap().unwrap();
            assert_eq!((whole.pid, whole.name.as_str()), (99, "/tmp/name"));
            assert!(whole.connect::<()>().is_err(), "without its socket nobody may try");
        }
    }

    #[test]
    fn hostile_hellos_are_refused() {
        assert!(HelloReader::default().push(&[PROTOCOL + 1], Vec::new()).unwrap_err().contains("version"));
        let mut bytes = hello(1, "ab");
        bytes[7] = 0xff;
        assert!(HelloReader::default().push(&bytes, Vec::new()).is_err());
        assert!(HelloReader::default().push(&hello(1, "a\0b"), Vec::new()).is_err());
        assert!(HelloReader::default().push(&[], Vec::new()).unwrap().is_none());
    }

    #[test]
    fn who_has_the_socket_of_a_server_reaches_it_after_its_end() {
        let (server, name) = IpcOneShotServer::<Envelope<u8>>::new().unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        say_hello(&theirs, &name, &name).unwrap();
        let mut bytes = [0; 512];
        let (count, fds) = sys::recv_with_fds(&ours, &mut bytes).unwrap();
        let hello = HelloReader::default().push(&bytes[..count], fds).unwrap().unwrap();
        // As if it was killed: nobody listens but by the descriptor of the hello, and the file is still there.
        let kept = std::env::temp_dir().join(format!("test-of-mobula-server-{}", std::process::id()));
        std::fs::hard_link(&name, &kept).unwrap();
        drop(server);
        let connected = Hello { name: kept.to_str().unwrap().to_owned(), ..hello }.connect::<u8>();
        let refused = IpcSender::<Envelope<u8>>::connect(kept.to_str().unwrap().to_owned());
        std::fs::remove_file(&kept).unwrap();
        assert!(connected.is_ok());
        assert!(refused.is_err(), "with the hello went the last descriptor of the server");
    }
}
