//! The template: a process that is ready to be a worker, and is copied for each one.
//!
//! Starting a program costs about a millisecond; copying one that has started, a tenth of that. So a
//! node starts its own executable once more as a *template*. It gets as far as a worker does without
//! knowing what it is for, and then, with its one thread, waits for orders:
//!
//! ```text
//!   node                                              template
//!     | -- page of pids ------------------------------> |   waits in the socket from before the start
//!     | <- hello [PROTOCOL][pid][length][name] -------- |   as any worker's; no name: it cannot be copied
//!     |                                                 |
//!     | -- Order { word, gpus, welcome } -------------> |   ipc-channel, through the one-shot server of that name
//!     | -- [1], with the worker's stdout and stderr --> |
//!     |                        word of the page: pid <- |-- fork --> worker: own group, dies with the node,
//!     | <- [1] ---------------------------------------- |            its output, its GPUs; the welcome is here
//!     | <- Ready -------------------------------------------------- |
//! ```
//!
//! A worker is not the template's child but the node's (`sys/fork.rs`): its exit status, its
//! parent-death signal and the pid that it sees as its parent's are those of a process that the node
//! has started itself. The template's own death costs no worker anything.
//!
//! - SC-21: a template's worker exists if and only if its order's word holds its pid, which is there
//!   before the worker runs. A node that finds a template dead therefore knows all its workers, and
//!   has the orders without a pid carried out in another way.
//! - SC-22: a template has one thread whenever it forks. One that finds more when it is to begin says so
//!   in its hello; later ones make the fork fail.
//! - SC-23: a worker has none of its template's ways to the node, and a template closes its copies of a
//!   worker's before it takes the next order.
//!
//! What differs from a process that was started by itself: memory layout and stack canary are those of
//! the template, and so is whatever static constructors, and code before the worker check, have made.
//! Ids and nonces are drawn anew (the store's pool of random bytes belongs to a pid).

use std::io::{self, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use ipc_channel::ipc::{self, IpcOneShotServer, IpcReceiver};
use mobula_store::Store;
use serde::{Deserialize, Serialize};

use crate::bootstrap::{BootstrapError, check_parent, say_hello};
use crate::protocol::{Envelope, PROTOCOL, Welcome};
use crate::session;
use crate::sys;
use crate::sys::fork::{Forker, Side};
use crate::sys::pids::PidPage;

/// The variable that says which GPUs a process may see.
pub(crate) const GPUS: &str = "CUDA_VISIBLE_DEVICES";

/// What a list of processes calls a template.
const NAME: &std::ffi::CStr = c"mobula-template";

/// Set in a word in place of a pid: the fork failed, and the rest is the system's number for the reason.
pub(crate) const FAILED: u32 = 1 << 31;

/// What the node says to a template to get a worker.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    /// The word of the page that the pid goes to.
    pub(crate) word: u32,
    /// The value of [`GPUS`], if it is to be another one than the template's.
    pub(crate) gpus: Option<String>,
    /// What a worker gets when it joins.
    pub(crate) welcome: Welcome,
}

/// Sends one byte with descriptors; never waits.
pub(crate) fn send_fds(stream: &UnixStream, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    sys::send_with_fds(stream, &[1], fds)
}

/// Receives one byte with its descriptors; `None` at the end.
fn recv_fds(stream: &UnixStream) -> io::Result<Option<Vec<OwnedFd>>> {
    let (count, fds) = sys::recv_with_fds(stream, &mut [0])?;
    Ok((count > 0).then_some(fds))
}

/// The template's side of its link.
pub(crate) struct Template {
    parent: u32,
    stream: UnixStream,
    server: IpcOneShotServer<Envelope<Order>>,
    name: String,
    /// The name that the server's socket got at first.
    bound: String,
    /// Where the store of the session is.
    store_address: String,
}

impl Template {
    pub(crate) fn new(
        parent: u32,
        stream: UnixStream,
        server: IpcOneShotServer<Envelope<Order>>,
        (name, bound): (String, String),
        session_dir: &Path,
    ) -> Self {
        let store_address = session::store_path(session_dir).to_string_lossy().into_owned();
        Template { parent, stream, server, name, bound, store_address }
    }

    /// Serves until the node is gone, which ends the process; returns in each worker, with its Welcome.
    pub(crate) fn serve(self) -> Result<Welcome, BootstrapError> {
        let Template { parent, mut stream, server, name, bound, store_address } = self;
        let failed = |step| BootstrapError::io(step);
        let page = recv_fds(&stream).map_err(failed("get its page of pids"))?.and_then(|mut fds| fds.pop());
        let page = PidPage::map(page.ok_or(BootstrapError::NodeEnded)?).map_err(failed("map its page of pids"))?;
        let forker = match Forker::new() {
            Ok(forker) => forker,
            Err(reason) => {
                // The node starts its workers one by one then.
                let _ = say_hello(&stream, "", "");
                let _ = writeln!(io::stderr(), "mobula: this program's workers are not forked: {reason}");
                sys::exit_now(0);
            }
        };
        warm_up(&store_address);
        sys::flush_output();
        let own_name = rustix::thread::name();
        let _ = rustix::thread::set_name(NAME);
        say_hello(&stream, &name, &bound).map_err(failed("talk to its node"))?;
        let mut orders: Option<IpcReceiver<Envelope<Order>>> = None;
        let mut server = Some(server);
        while let Some(output) = recv_fds(&stream).map_err(failed("read its orders"))? {
            let order = match (&orders, server.take()) {
                (Some(orders), _) => orders.recv().map_err(|error| BootstrapError::Welcome(error.to_string()))?,
                // The first order is there, since its output is.
                (None, Some(server)) => {
                    let (receiver, order) =
                        server.accept().map_err(|error| BootstrapError::Welcome(error.to_string()))?;
                    orders = Some(receiver);
                    order
                }
                (None, None) => return Err(BootstrapError::NodeEnded),
            };
            if order.version != PROTOCOL {
                return Err(BootstrapError::Version { node: order.version });
            }
            let Order { word, gpus, welcome } = order.body;
            let word = page.word(word as usize);
            match forker.fork(word) {
                Ok(Side::Child) => {
                    drop((stream, orders, server));
                    let _ = own_name.map(|name| rustix::thread::set_name(&name));
                    become_worker(parent, output, gpus).map_err(failed("become a worker"))?;
                    return Ok(welcome);
                }
                Ok(Side::Parent) => {}
                Err(error) => {
                    let reason = error.raw_os_error().unwrap_or(0).unsigned_abs();
                    // Read by the node when it gets the byte below.
                    word.store(FAILED | reason, std::sync::atomic::Ordering::Release);
                }
            }
            drop((welcome, output));
            stream.write_all(&[1]).map_err(failed("talk to its node"))?;
        }
        sys::exit_now(0)
    }
}

/// Does once what every worker would do for itself.
fn warm_up(store_address: &str) {
    // A worker that does not find it mapped maps it itself, or says why it cannot.
    let _ = Store::premap(store_address);
    // The first message of a process asks the system for the sizes of its buffers.
    if let Ok((sender, receiver)) = ipc::channel::<()>() {
        let _ = sender.send(());
        let _ = receiver.try_recv();
    }
}

/// The first steps of a forked worker.
fn become_worker(parent: u32, output: Vec<OwnedFd>, gpus: Option<String>) -> io::Result<()> {
    rustix::process::setpgid(None, None)?;
    sys::die_with_parent()?;
    // The node may have died before the request was in place.
    check_parent(parent);
    let [out, err] = <[OwnedFd; 2]>::try_from(output).map_err(|_| io::Error::other("it got no output"))?;
    sys::take_output(out, err)?;
    if let Some(gpus) = gpus {
        sys::change_env(GPUS, Some(gpus.as_ref()));
    }
    Ok(())
}
