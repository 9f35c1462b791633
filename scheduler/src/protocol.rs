//! The control protocol between the node and its processes.
//!
//! ```text
//!   process                                   node
//!     | -- name of a one-shot server ---------> |   over the inherited descriptor (worker) or the control socket (driver)
//!     | <------------- Welcome{..} ------------ |   first ipc-channel message; carries both directions of the link
//!     | -- Ready{client, registry} -----------> |   after attaching the store
//!     | <------------- Refused / work --------- |
//! ```
//!
//! Every message travels in an [`Envelope`] whose first byte is [`PROTOCOL`]: postcard is not
//! self-describing, so a peer of another version must be recognised before its body is decoded.
//! The control plane introduces processes to each other; calls themselves go from caller to callee
//! through shared-memory rings, or sockets of their own, and never pass here. Results of tasks go from the worker straight
//! to the caller, too.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use ipc_channel::ipc::{IpcBytesSender, IpcReceiver, IpcSender};
use mobula_store::{ClientKey, ObjectId};
use serde::{Deserialize, Serialize};

use crate::config::{CallPath, Waiting};
use crate::death::{ActorDeath, LostTask};
use crate::ids::{ActorId, ProcessId, TaskId};
use crate::stacks::{ThreadStack, WorkerStacks};

mod specs;
mod status;

pub use self::specs::{ActorName, ActorSpec, Granted, Holder, LeaseSpec, NameClaim, Payload, RegistryKey, TaskSpec};
pub use self::status::{ActorStatus, DriverStatus, NodeStatus};

/// The version of this protocol; the first byte of every message.
pub const PROTOCOL: u8 = 4;

/// Wraps a message body in the protocol's version byte.
#[derive(Debug, Serialize, Deserialize)]
pub struct Envelope<T> {
    /// Always [`PROTOCOL`] for messages of this version.
    pub version: u8,
    /// The message.
    pub body: T,
}

impl<T> Envelope<T> {
    /// Wraps `body` for sending.
    pub fn new(body: T) -> Self {
        Envelope { version: PROTOCOL, body }
    }
}

/// A message to the node with the process that sends it.
pub type FromProcess = Envelope<(ProcessId, ToNode)>;

/// Introduces the node to a process that has just joined.
#[derive(Debug, Serialize, Deserialize)]
pub struct Welcome {
    /// The id by which the node knows the process.
    pub process: ProcessId,
    /// The node's id in hex.
    pub node_id: String,
    /// The pid of the process that holds the node.
    pub node_pid: u32,
    /// The folder of this session: sockets and logs.
    pub session_dir: PathBuf,
    /// Where further drivers join.
    pub control_address: String,
    /// Where the store is attached.
    pub store_address: String,
    /// The namespace of the driver that this process works for.
    pub namespace: String,
    /// The hash of the registry of the driver that this process works for; zero in a driver.
    pub registry_hash: u64,
    /// True if the process runs the same executable file as its driver: then the registries must agree.
    pub same_executable: bool,
    /// The number of GPUs in the node's totals.
    pub num_gpus: f64,
    /// The variables that tell libraries how many threads to start, as far as the user has not set them.
    pub thread_variables: Vec<String>,
    /// How the process waits for calls and answers.
    pub waiting: Waiting,
    /// What calls and their answers travel through.
    pub call_path: CallPath,
    /// The most leases of one demand that it is useful to ask for at once.
    pub most_leases: usize,
    /// Where the process receives.
    pub inbox: IpcReceiver<Envelope<ToProcess>>,
    /// Where the process sends.
    pub node: IpcSender<FromProcess>,
}

/// What the workers of a driver of another process are started with, beside the descriptors that it has sent before: its
/// executable (or that of its workers), its working directory, and the pipe that leads to its stderr.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Leader {
    /// The namespace of its actors' names.
    pub namespace: String,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Its environment.
    pub vars: Vec<(OsString, OsString)>,
    /// Environment variables for its workers, beside its own.
    pub env: Vec<(String, String)>,
    /// A command that its workers are started through.
    pub wrapper: Vec<String>,
    /// The workers' executable, if it is not the driver's own.
    pub foreign: Option<String>,
    /// Whether workers may be copies of a process that has started.
    pub forks: bool,
    /// Whether what its workers print goes to its stderr, too.
    pub log_to_driver: bool,
    /// The most processes that its tasks may occupy; `None`: what the node was started with.
    pub max_processes: Option<usize>,
}

/// What a process tells the node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ToNode {
    /// The process has attached the store and can take work.
    Ready {
        /// Its pid.
        pid: u32,
        /// Its client of the store.
        client: ClientKey,
        /// The hash over its whole registry.
        registry_hash: u64,
        /// The entries, sent by drivers always and by workers if the hash differs from the driver's.
        registry: Vec<RegistryKey>,
    },
    /// I take frames here; sent before `Ready` by a process of a runtime whose calls travel through ipc-channel.
    Listens(IpcBytesSender),
    /// Tell me where this process takes frames, and it where I do; answered by `Introduced`, unless it is gone.
    Introduce(ClientKey),
    /// I shall create this actor later, when its arguments are there; sent before its handle leaves me.
    ///
    /// Optional: it lets those who watch the actor meanwhile hear of it if I die before.
    ExpectActor {
        /// Which one.
        actor: ActorId,
        /// Its class as people call it.
        class_name: String,
    },
    /// Give the actor that I shall create this name; answered by `Answer::Done`, `Named` or `NameTaken`, or by `Later`
    /// and one of these.
    ///
    /// With `Done` the actor is expected as after `ExpectActor`, and the sender a watcher of it. Its life must have begun.
    ClaimName {
        /// The name and who is to have it.
        claim: NameClaim,
        /// The number to answer with.
        request: u64,
    },
    /// Who has this name? Answered by `Answer::Named` or `NotFound`.
    FindActor {
        /// The name.
        name: ActorName,
        /// The number to answer with.
        request: u64,
    },
    /// Which names are taken? Answered by `Answer::Names`.
    ListNames {
        /// Only those of this namespace.
        namespace: Option<String>,
        /// The number to answer with.
        request: u64,
    },
    /// Create an actor; the sender becomes its owner and a watcher of it.
    CreateActor(ActorSpec),
    /// Submit a task that needs a process of its own; the sender becomes its owner.
    SubmitTask(TaskSpec),
    /// Lend me a worker for tasks; answered by `LeaseGranted` or `LeaseLost`, which may take any time.
    AskLease(LeaseSpec),
    /// I need this lease no more, granted or not: none of its tasks is under way.
    ReturnLease(TaskId),
    /// A worker's answer to `EndLease`: true if the lease is over, false if one of its tasks runs; then a second one
    /// follows when that has ended.
    LeaseEnded {
        /// Which one.
        lease: TaskId,
        /// Nothing of it runs here, and nothing will.
        over: bool,
    },
    /// What the worker's lease runs now, as people call it, for the names of its lines of output.
    Runs {
        /// Which lease.
        lease: TaskId,
        /// The function.
        function_name: String,
    },
    /// What my workers are started with; said once, before `Ready`, by a driver of another process.
    Lead(Box<Leader>),
    /// I go, and my process lives on; answered by `Answer::Done` when my workers are gone, but for those of detached actors.
    Leave {
        /// The number to answer with.
        request: u64,
    },
    /// Tell me where this actor is, now and whenever that changes.
    WatchActor(ActorId),
    /// Kill an actor now; answered by `ToProcess::Reply` when its process is gone and reaped.
    KillActor {
        /// Which one.
        actor: ActorId,
        /// True if it may be restarted, as after a crash.
        restart: bool,
        /// The number to answer with.
        request: u64,
    },
    /// A worker has run the constructor of its actor.
    ActorStarted {
        /// Which one.
        actor: ActorId,
    },
    /// The constructor returned an error or panicked, and the worker exits; or the creator of an expected actor
    /// gives it up because an argument failed.
    ActorFailed {
        /// Which one.
        actor: ActorId,
        /// The message for `CreationFailed`.
        message: String,
    },
    /// The actor has called `exit_actor`; `ActorEnded` follows when all that it has said was taken.
    ActorLeaving(ActorId),
    /// Nothing keeps the actor from ending by itself any more; its process is killed if neither this comes again nor it
    /// ends within that time.
    ActorEnding {
        /// Which one.
        actor: ActorId,
        /// True for `exit_actor`.
        exited: bool,
        /// How long it has.
        within: Duration,
    },
    /// The actor ends by itself: `exit_actor`, or everything was run after `EndActor`; the worker exits.
    ActorEnded {
        /// Which one.
        actor: ActorId,
        /// True for `exit_actor`.
        exited: bool,
    },
    /// The worker has run the task and sent its results to the caller.
    TaskFinished(TaskId),
    /// The sender's own task, which it has submitted here, is not wanted any more: one that has not begun is lost
    /// (`LostTask::Cancelled`), one that runs hears of it.
    CancelTask {
        /// Which one.
        task: TaskId,
        /// Kill its process if it runs.
        force: bool,
        /// What it has submitted is cancelled, too.
        recursive: bool,
    },
    /// Have the process that made this object's id cancel the call that is to make its value.
    Cancel {
        /// The object.
        object: ObjectId,
        /// Kill the process in which the task runs.
        force: bool,
        /// What it has submitted is cancelled, too.
        recursive: bool,
    },
    /// The worker kills itself now, because the caller of a leased task that runs in it has cancelled that by force.
    EndsByForce,
    /// A function has run as often in the worker as it may in one process: it begins no further task and wants to
    /// retire when those are over that run.
    WornOut,
    /// The thread of the task or lease waits for other work and lends its CPUs.
    Blocked(TaskId),
    /// The thread of the task or lease goes on.
    Unblocked(TaskId),
    /// Print this on the driver's stderr; of a worker it is a line of its stderr.
    Say {
        /// What is said.
        text: String,
        /// True: even if the driver does not want what workers print.
        aloud: bool,
    },
    /// What are all threads of all workers doing? Answered by `Answer::Stacks`.
    AskStacks {
        /// The number to answer with.
        request: u64,
    },
    /// A worker's answer to `TellStacks`.
    Stacks {
        /// The number of the inquiry.
        inquiry: u64,
        /// Its threads.
        threads: Vec<ThreadStack>,
    },
    /// Asks for the resource maps; answered by `ToProcess::Reply`.
    Resources {
        /// The number to answer with.
        request: u64,
    },
}

/// What the node tells a process.
#[derive(Debug, Serialize, Deserialize)]
pub enum ToProcess {
    /// The process may not join: the message says why. A worker prints it and exits.
    Refused(String),
    /// Become the process of this actor (pool worker with nothing else to do).
    StartActor {
        /// The actor.
        spec: ActorSpec,
        /// What it holds.
        granted: Granted,
        /// Counts the processes that this actor has had, from 1.
        incarnation: u32,
    },
    /// The last strong handle is gone: run what is queued, then end.
    EndActor(ActorId),
    /// Run a task.
    RunTask {
        /// The task.
        spec: TaskSpec,
        /// What it holds.
        granted: Granted,
        /// True: run it on a fresh thread beside the blocked task of this worker.
        nested: bool,
    },
    /// Tasks of a lease are about to come through the ring of its caller, or have come already.
    RunLease {
        /// Which lease.
        lease: TaskId,
        /// What its tasks hold.
        granted: Granted,
        /// True: run them on a fresh thread beside the blocked task of this worker.
        nested: bool,
    },
    /// The lease is over: its caller has returned it, or has died; answered by `LeaseEnded`.
    EndLease(TaskId),
    /// A worker for tasks that was asked for.
    LeaseGranted {
        /// Which lease.
        lease: TaskId,
        /// The worker's client of the store: tasks go there through a ring.
        client: ClientKey,
    },
    /// A lease will not be granted, or its worker has died. The first of its unanswered tasks may have begun, the
    /// others have not.
    LeaseLost {
        /// Which lease.
        lease: TaskId,
        /// Why.
        reason: LostTask,
    },
    /// Others wait for what the lease holds: return it as soon as may be.
    RecallLease(TaskId),
    /// The actor runs in this process. The constructor of its first one may still be running, that of a later one has
    /// run.
    ActorUp {
        /// The actor.
        actor: ActorId,
        /// Its class, for checks and messages.
        class: RegistryKey,
        /// The process's client of the store.
        client: ClientKey,
        /// Its pid.
        pid: u32,
        /// Counts the processes that this actor has had, from 1.
        incarnation: u32,
    },
    /// A process of the actor has ended, and it is going to have another one, if nothing comes between: `ActorUp` or
    /// `ActorDown` follows. Sent once to each watcher, also to those that ask meanwhile.
    ActorRestarting {
        /// What the process died of.
        death: ActorDeath,
        /// Which of its processes, counted from 1.
        incarnation: u32,
        /// False if its constructor had not run: then it has begun no call.
        begun: bool,
    },
    /// The actor is dead for good. Sent once to each watcher, also to those that ask afterwards.
    ActorDown(ActorDeath),
    /// A submitted task will never answer.
    TaskLost {
        /// The caller's number of the call.
        call: u64,
        /// Why.
        reason: LostTask,
    },
    /// Where another process takes frames: one that was asked for, or that is about to send some.
    Introduced {
        /// Its client of the store.
        client: ClientKey,
        /// The way there.
        sender: IpcBytesSender,
        /// How many processes had been told before.
        seat: u32,
    },
    /// A process has ended and its client of the store has been reaped; sent to everybody.
    ProcessGone(ClientKey),
    /// Answers a request.
    Reply {
        /// The number of the request.
        request: u64,
        /// The answer.
        answer: Answer,
    },
    /// The task that runs here, or is about to, is not wanted any more.
    CancelTask {
        /// Which one.
        task: TaskId,
        /// What it has submitted is cancelled, too.
        recursive: bool,
    },
    /// Another process wants the call cancelled that this one has made and that is to make this object's value.
    Cancel {
        /// The object.
        object: ObjectId,
        /// Kill the process in which the task runs.
        force: bool,
        /// What it has submitted is cancelled, too.
        recursive: bool,
    },
    /// The process has run the one task that it was started for: deliver what is under way (frames in
    /// outboxes, holds not yet taken over), then exit. Results of ended processes stay readable.
    Retire,
    /// Tell what all your threads are doing; answered by `Stacks` with this number.
    TellStacks(u64),
    /// The runtime ends: exit at once.
    Shutdown,
}

/// An answer to a request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Answer {
    /// It is done.
    Done,
    /// There is no such thing.
    NotFound,
    /// The resource maps: name, total, available.
    Resources(Vec<(String, f64, f64)>),
    /// This actor has the name.
    Named(Holder),
    /// The name is not to be had: this actor has it.
    NameTaken(Holder),
    /// The names that are taken.
    Names(Vec<ActorName>),
    /// What the workers are doing.
    Stacks(Vec<WorkerStacks>),
    /// The answer takes time: another reply with the same number follows.
    Later,
}
