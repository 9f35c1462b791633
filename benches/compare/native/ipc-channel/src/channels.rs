//! Two channels to another process, there and back.
//!
//! ```text
//!   caller                                     other side
//!   IpcOneShotServer <---- Hello {to, from} ---- IpcSender::connect(its name)
//!   to.send(message) ------------------------->  inbox.recv()
//!   from.recv()      <-------------------------  answers.send(number)
//! ```
//!
//! Dropping `to` ends the other side.

use std::time::Duration;

use ipc_channel::TryRecvError;
use ipc_channel::ipc::{
    self, IpcBytesReceiver, IpcBytesSender, IpcOneShotServer, IpcReceiver, IpcSender, IpcSharedMemory,
};
use mobula_bench::{Error, Result};
use parts::{Call, Part, failed};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The number that the other side never answers.
pub(crate) const NAP: u64 = u64::MAX - 1;

/// What the other side takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Numbers; it sleeps until one comes.
    Numbers,
    /// Numbers; it tries to receive one all the time.
    Polling,
    /// Shared memory.
    Shared,
    /// Bytes.
    Bytes,
}

impl Kind {
    const ALL: [(Kind, &str); 4] =
        [(Kind::Numbers, "numbers"), (Kind::Polling, "polling"), (Kind::Shared, "shared"), (Kind::Bytes, "bytes")];

    fn name(self) -> &'static str {
        Kind::ALL.into_iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }
}

/// The first message: where to send, where answers come from.
type Hello<S> = (S, IpcReceiver<u64>);

/// A process that was started and has not connected yet.
pub(crate) struct Remote<S> {
    part: Part,
    server: IpcOneShotServer<Hello<S>>,
}

impl<S: Serialize + DeserializeOwned> Remote<S> {
    /// Starts a process and does not wait for it.
    pub(crate) fn start(kind: Kind) -> Result<Self> {
        let (server, name) = IpcOneShotServer::new().map_err(failed("make a one-shot server"))?;
        Ok(Remote { part: Part::start(&[kind.name(), &name])?, server })
    }

    /// Waits for its first message.
    fn accept(mut self) -> Result<(Part, Hello<S>)> {
        // Without it nobody would notice a process that ends before it connects.
        self.part.wait_ready()?;
        let (_, hello) = self.server.accept().map_err(failed("accept"))?;
        Ok((self.part, hello))
    }
}

/// The other side.
pub(crate) fn play(kind: &str, server: &str) -> Result<()> {
    let unknown = || Error::Child { role: "the other side", what: format!("cannot {kind}") };
    let (answers, from) = ipc::channel().map_err(failed("make a channel"))?;
    let (kind, _) = Kind::ALL.into_iter().find(|(_, name)| *name == kind).ok_or_else(unknown)?;
    match kind {
        Kind::Numbers | Kind::Polling => {
            let (to, inbox) = ipc::channel::<u64>().map_err(failed("make a channel"))?;
            hello(server, (to, from))?;
            serve(&answers, || receive(&inbox, kind == Kind::Polling), |number| number + 1)
        }
        Kind::Shared => {
            let (to, inbox) = ipc::channel().map_err(failed("make a channel"))?;
            hello(server, (to, from))?;
            serve(&answers, || receive(&inbox, false), |memory: IpcSharedMemory| last(&memory))
        }
        Kind::Bytes => {
            let (to, inbox): (IpcBytesSender, IpcBytesReceiver) =
                ipc::bytes_channel().map_err(failed("make a channel"))?;
            hello(server, (to, from))?;
            serve(&answers, || inbox.recv().map_err(failed("receive bytes")), |bytes| last(&bytes))
        }
    }
}

fn hello<S: Serialize>(server: &str, message: Hello<S>) -> Result<()> {
    let sender = IpcSender::connect(server.to_owned()).map_err(failed("connect"))?;
    sender.send(message).map_err(failed("say hello"))?;
    Part::ready()
}

/// Answers until there is nobody to answer.
fn serve<T>(answers: &IpcSender<u64>, receive: impl Fn() -> Result<T>, answer: impl Fn(T) -> u64) -> Result<()> {
    while let Ok(message) = receive() {
        match answer(message) {
            number if number == NAP + 1 => std::thread::sleep(Duration::from_secs(600)),
            number => answers.send(number).map_err(failed("answer"))?,
        }
    }
    Ok(())
}

fn receive<T: Serialize + DeserializeOwned>(inbox: &IpcReceiver<T>, polling: bool) -> Result<T> {
    if !polling {
        return inbox.recv().map_err(failed("receive"));
    }
    loop {
        match inbox.try_recv() {
            Err(TryRecvError::Empty) => {}
            other => return other.map_err(failed("receive")),
        }
    }
}

fn last(bytes: &[u8]) -> u64 {
    bytes.last().copied().map_or(0, u64::from)
}

/// A process that takes numbers.
pub(crate) struct Numbers {
    to: IpcSender<u64>,
    from: IpcReceiver<u64>,
    polling: bool,
    part: Part,
}

impl Numbers {
    /// Waits for the other side.
    pub(crate) fn connect(remote: Remote<IpcSender<u64>>) -> Result<Self> {
        let (part, (to, from)) = remote.accept()?;
        Ok(Numbers { to, from, polling: false, part })
    }

    /// Lets this side try to receive all the time, too.
    pub(crate) fn polling(self) -> Self {
        Numbers { polling: true, ..self }
    }

    /// Kills the other side.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.part.kill()
    }
}

impl Call for Numbers {
    fn send(&mut self, number: u64) -> Result<()> {
        self.to.send(number).map_err(failed("send"))
    }

    fn answer(&mut self) -> Result<u64> {
        receive(&self.from, self.polling)
    }
}

/// A process that takes shared memory.
pub(crate) struct Shared {
    to: IpcSender<IpcSharedMemory>,
    from: IpcReceiver<u64>,
    _part: Part,
}

impl Shared {
    /// Starts the other side.
    pub(crate) fn connect() -> Result<Self> {
        let (part, (to, from)) = Remote::start(Kind::Shared)?.accept()?;
        Ok(Shared { to, from, _part: part })
    }

    /// Sends memory and returns its last byte from the other side.
    pub(crate) fn last(&mut self, memory: IpcSharedMemory) -> Result<u64> {
        self.to.send(memory).map_err(failed("send memory"))?;
        receive(&self.from, false)
    }
}

/// A process that takes bytes.
pub(crate) struct Bytes {
    to: IpcBytesSender,
    from: IpcReceiver<u64>,
    _part: Part,
}

impl Bytes {
    /// Starts the other side.
    pub(crate) fn connect() -> Result<Self> {
        let (part, (to, from)) = Remote::start(Kind::Bytes)?.accept()?;
        Ok(Bytes { to, from, _part: part })
    }

    /// Sends bytes and returns the last one from the other side.
    pub(crate) fn last(&mut self, bytes: &[u8]) -> Result<u64> {
        self.to.send(bytes).map_err(failed("send bytes"))?;
        receive(&self.from, false)
    }
}
