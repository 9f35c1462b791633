//! The one error of the public API: what went wrong, as something that a program can ask about.
//!
//! ```text
//!   store error ----\
//!   config error -----> Error { kind } --postcard--> error object / Done frame --> Error in another process
//!   panic, Err ------/
//! ```
//!
//! Errors are values: a failed call answers with one, a dependent call fails with the same one, and
//! a ref that left its process seals it into the store. So an [`Error`] is cheap to clone and
//! travels whole.
//!
//! - **WK-1** Exactly one predicate of an error is true.
//! - **WK-2** An error crosses processes without loss: the predicate, the text, the failure or death
//!   that it carries are the same on every side (a text above [`MAX_TEXT`] is cut).

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mobula_scheduler::death::{ActorDeath, DeathCause, LostTask};
use mobula_store::ObjectId;
use serde::{Deserialize, Serialize};

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The longest text of an error, in bytes.
pub(crate) const MAX_TEXT: usize = 2000;

/// The longest name or place in an error, in bytes.
const MAX_NAME: usize = 500;

/// Tells what went wrong.
///
/// An error has no public variants; ask it with a predicate. Exactly one of them is true.
///
/// # Examples
///
/// ```
/// # fn look(error: mobula_worker::Error) {
/// if let Some(failure) = error.task_failure() {
///     eprintln!("{} failed in process {}: {}", failure.function, failure.pid, failure.message);
/// }
/// # }
/// ```
#[derive(Clone)]
pub struct Error {
    inner: Arc<Inner>,
}

struct Inner {
    kind: Kind,
    /// Somebody has it who will do something about it.
    read: AtomicBool,
}

/// How a task or method failed by itself: it panicked, or it returned an `Err`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TaskFailure {
    /// The panic's message, or what the `Err` displays as.
    pub message: String,
    /// Where it panicked, as `file:line:column`; `None` for an `Err`.
    pub location: Option<String>,
    /// The function or `Class::method` as people call it.
    pub function: String,
    /// The pid of the process in which it ran.
    pub pid: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    Timeout(String),
    TaskFailed(TaskFailure),
    ActorDied(ActorDeath),
    ActorUnavailable(String),
    WorkerCrashed(String),
    OutOfMemory(String),
    Cancelled(String),
    ObjectLost(String),
    StoreFull(String),
    InsufficientResources(String),
    PendingCallsLimit(String),
    NameTaken(String),
    NotFound(String),
    InvalidArgument(String),
    NotInitialized(String),
    System(String),
    Closed(String),
    PeerDied(String),
    Full(String),
    Empty(String),
    Unfilled(String),
}

/// Matches every kind that is a text and nothing else.
macro_rules! worded {
    ($text:ident) => {
        Kind::Timeout($text)
            | Kind::ActorUnavailable($text)
            | Kind::WorkerCrashed($text)
            | Kind::OutOfMemory($text)
            | Kind::Cancelled($text)
            | Kind::ObjectLost($text)
            | Kind::StoreFull($text)
            | Kind::InsufficientResources($text)
            | Kind::PendingCallsLimit($text)
            | Kind::NameTaken($text)
            | Kind::NotFound($text)
            | Kind::InvalidArgument($text)
            | Kind::NotInitialized($text)
            | Kind::System($text)
            | Kind::Closed($text)
            | Kind::PeerDied($text)
            | Kind::Full($text)
            | Kind::Empty($text)
            | Kind::Unfilled($text)
    };
}

macro_rules! predicates {
    ($($(#[$doc:meta])* $name:ident $pattern:ident;)*) => {
        impl Error {
            $(
                $(#[$doc])*
                pub fn $name(&self) -> bool {
                    matches!(self.kind(), Kind::$pattern(_))
                }
            )*
        }
    };
}

predicates! {
    /// Returns true if the time that the caller gave ran out.
    is_timeout Timeout;
    /// Returns true if the task or method panicked or returned an `Err`; see [`Error::task_failure`].
    is_task_failed TaskFailed;
    /// Returns true if the actor is dead for good; see [`Error::actor_death`].
    is_actor_died ActorDied;
    /// Returns true if the actor is being restarted.
    is_actor_unavailable ActorUnavailable;
    /// Returns true if the worker process ended while it ran the task.
    is_worker_crashed WorkerCrashed;
    /// Returns true if the worker process was killed because memory was short.
    is_out_of_memory OutOfMemory;
    /// Returns true if the call was cancelled.
    is_cancelled Cancelled;
    /// Returns true if the object's value can never arrive, because its maker is gone.
    is_object_lost ObjectLost;
    /// Returns true if the object store has no room.
    is_store_full StoreFull;
    /// Returns true if the node's totals can never satisfy what was asked for.
    is_insufficient_resources InsufficientResources;
    /// Returns true if `max_pending_calls` was reached.
    is_pending_calls_limit PendingCallsLimit;
    /// Returns true if the actor's name belongs to a living actor.
    is_name_taken NameTaken;
    /// Returns true if there is no such thing.
    is_not_found NotFound;
    /// Returns true if a value makes no sense where it was given.
    is_invalid_argument InvalidArgument;
    /// Returns true if no runtime is up, or the one that this handle belongs to has ended.
    is_not_initialized NotInitialized;
    /// Returns true if the operating system or the shared store failed in a way that is nobody's argument.
    is_system System;
    /// Returns true if a channel or queue was closed: nothing more comes, or is taken.
    is_closed Closed;
    /// Returns true if the other side of a channel is gone without having closed it.
    is_peer_died PeerDied;
    /// Returns true if a channel or queue has no room and was not to be waited for.
    is_full Full;
    /// Returns true if a channel or queue has nothing and was not to be waited for.
    is_empty Empty;
    /// Returns true if parts of an array that is filled together are not filled.
    is_unfilled Unfilled;
}

impl Error {
    /// Returns how the task or method failed, if that is what happened.
    pub fn task_failure(&self) -> Option<&TaskFailure> {
        match self.kind() {
            Kind::TaskFailed(failure) => Some(failure),
            _ => None,
        }
    }

    /// Returns who died and why, if that is what happened.
    pub fn actor_death(&self) -> Option<&ActorDeath> {
        match self.kind() {
            Kind::ActorDied(death) => Some(death),
            _ => None,
        }
    }

    fn new(mut kind: Kind) -> Self {
        kind.cut();
        Error { inner: Arc::new(Inner { kind, read: AtomicBool::new(false) }) }
    }

    fn kind(&self) -> &Kind {
        &self.inner.kind
    }

    /// Notes that somebody has this error, and returns it to them.
    pub(crate) fn read(&self) -> Self {
        self.inner.read.store(true, Ordering::Relaxed);
        self.clone()
    }

    /// Notes that somebody has this error, and returns it as one that nobody has read: it is another call's now.
    pub(crate) fn passed_on(&self) -> Self {
        self.inner.read.store(true, Ordering::Relaxed);
        Error { inner: Arc::new(Inner { kind: self.kind().clone(), read: AtomicBool::new(false) }) }
    }

    /// True if nobody has it, and it is no end that the program has brought about itself.
    pub(crate) fn is_unread(&self) -> bool {
        let intended = match self.kind() {
            Kind::Cancelled(_) | Kind::NotInitialized(_) => true,
            Kind::ActorDied(death) => {
                !matches!(death.cause, DeathCause::Crashed { .. } | DeathCause::CreationFailed(_))
            }
            _ => false,
        };
        !intended && !self.inner.read.load(Ordering::Relaxed)
    }

    /// True if there is no other handle of this error.
    pub(crate) fn is_last(&self) -> bool {
        Arc::strong_count(&self.inner) == 1
    }

    /// True for two handles of one error.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    pub(crate) fn timeout(text: impl Into<String>) -> Self {
        Error::new(Kind::Timeout(text.into()))
    }

    pub(crate) fn actor_died(death: ActorDeath) -> Self {
        match death.cause {
            DeathCause::OutOfMemory(_) => Error::new(Kind::OutOfMemory(death.to_string())),
            _ => Error::new(Kind::ActorDied(death)),
        }
    }

    pub(crate) fn actor_unavailable(text: impl Into<String>) -> Self {
        Error::new(Kind::ActorUnavailable(text.into()))
    }

    pub(crate) fn task_failed(function: String, message: String, location: Option<String>) -> Self {
        Error::new(Kind::TaskFailed(TaskFailure { message, location, function, pid: std::process::id() }))
    }

    pub(crate) fn invalid_argument(text: impl Into<String>) -> Self {
        Error::new(Kind::InvalidArgument(text.into()))
    }

    pub(crate) fn cancelled(text: impl Into<String>) -> Self {
        Error::new(Kind::Cancelled(text.into()))
    }

    pub(crate) fn insufficient_resources(text: impl Into<String>) -> Self {
        Error::new(Kind::InsufficientResources(text.into()))
    }

    pub(crate) fn not_found(text: impl Into<String>) -> Self {
        Error::new(Kind::NotFound(text.into()))
    }

    pub(crate) fn not_initialized(text: impl Into<String>) -> Self {
        Error::new(Kind::NotInitialized(text.into()))
    }

    pub(crate) fn object_lost(id: ObjectId) -> Self {
        Error::new(Kind::ObjectLost(format!("object {id} is lost: the process that was to make its value has ended")))
    }

    pub(crate) fn system(text: impl Into<String>) -> Self {
        Error::new(Kind::System(text.into()))
    }

    pub(crate) fn closed(text: impl Into<String>) -> Self {
        Error::new(Kind::Closed(text.into()))
    }

    pub(crate) fn full(text: impl Into<String>) -> Self {
        Error::new(Kind::Full(text.into()))
    }

    pub(crate) fn name_taken(text: impl Into<String>) -> Self {
        Error::new(Kind::NameTaken(text.into()))
    }

    pub(crate) fn pending_calls_limit(class: &str, actor: mobula_scheduler::ids::ActorId, calls: u32) -> Self {
        Error::new(Kind::PendingCallsLimit(format!(
            "{calls} calls of this process to actor {class} {actor} are unanswered, as many as its max_pending_calls allows: get results before calling again"
        )))
    }

    /// Makes the error of a task that will never answer; `tries` tells how often it may have begun.
    pub(crate) fn lost_task(function: &str, tries: u32, reason: LostTask) -> Self {
        match reason {
            LostTask::WorkerCrashed { pid, status } => Error::new(Kind::WorkerCrashed(format!(
                "the worker process {pid} ended while it ran {function}: {status} ({})",
                match tries {
                    0 | 1 => "tried once".to_owned(),
                    _ => format!("tried {tries} times"),
                }
            ))),
            LostTask::EndedByForce { pid } => Error::new(Kind::WorkerCrashed(format!(
                "the worker process {pid} was ended while it ran {function}, because another task in it was cancelled by force"
            ))),
            LostTask::Cancelled => Error::cancelled(format!("{function} was cancelled")),
            LostTask::NoWorker(message) => {
                Error::new(Kind::WorkerCrashed(format!("no worker could run {function}: {message}")))
            }
            LostTask::OutOfMemory(message) => Error::new(Kind::OutOfMemory(format!("{function} was lost: {message}"))),
            LostTask::Infeasible(message) => {
                Error::insufficient_resources(format!("{function} can never run here: {message}"))
            }
            other => Error::system(format!("{function} was lost: {other:?}")),
        }
    }

    /// Adds what was being done to an error of the store about object `id`.
    pub(crate) fn from_store(error: &mobula_store::Error, what: &str) -> Self {
        let text = format!("{what}: {error}");
        let kind = if error.is_timeout() {
            Kind::Timeout
        } else if error.is_store_full() {
            Kind::StoreFull
        } else if error.is_not_found() {
            Kind::ObjectLost
        } else if error.is_invalid_argument() {
            Kind::InvalidArgument
        } else if error.is_disconnected() {
            Kind::NotInitialized
        } else if error.is_closed() {
            Kind::Closed
        } else if error.is_peer_died() {
            Kind::PeerDied
        } else if error.is_full() {
            Kind::Full
        } else if error.is_empty() {
            Kind::Empty
        } else if error.is_unfilled() {
            Kind::Unfilled
        } else {
            Kind::System
        };
        Error::new(kind(text))
    }

    /// Encodes the error for a frame or an error object.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        postcard::to_stdvec(self.kind()).unwrap_or_default()
    }

    /// Decodes what [`Error::to_bytes`] made; bytes that are none give an error that says so.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        match postcard::from_bytes(bytes) {
            Ok(kind) => Error::new(kind),
            Err(_) => Error::system("an error arrived that cannot be read: was it sent by another version of Mobula?"),
        }
    }
}

impl Kind {
    /// Cuts all texts, so that every error fits into a message.
    fn cut(&mut self) {
        match self {
            Kind::TaskFailed(failure) => {
                cut(&mut failure.message, MAX_TEXT);
                cut(&mut failure.function, MAX_NAME);
                if let Some(place) = &mut failure.location {
                    cut(place, MAX_NAME);
                }
            }
            Kind::ActorDied(death) => {
                cut(&mut death.class, MAX_NAME);
                if let DeathCause::CreationFailed(text) | DeathCause::Crashed { status: text } = &mut death.cause {
                    cut(text, MAX_TEXT);
                }
            }
            worded!(text) => cut(text, MAX_TEXT),
        }
    }
}

/// Cuts a text to `most` bytes at a character boundary.
fn cut(text: &mut String, most: usize) {
    if text.len() > most {
        let mut end = most;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str(" ...");
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind() {
            Kind::TaskFailed(failure) => fmt::Display::fmt(failure, f),
            Kind::ActorDied(death) => fmt::Display::fmt(death, f),
            worded!(text) => f.write_str(text),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.kind(), f)
    }
}

impl std::error::Error for Error {}

impl fmt::Display for TaskFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.location {
            Some(place) => {
                write!(f, "{} panicked at {place} in process {}: {}", self.function, self.pid, self.message)
            }
            None => write!(f, "{} failed in process {}: {}", self.function, self.pid, self.message),
        }
    }
}

impl From<mobula_store::Error> for Error {
    fn from(error: mobula_store::Error) -> Self {
        Error::from_store(&error, "the object store")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Error> {
        let death = ActorDeath {
            actor: mobula_scheduler::ids::ActorId::from_object(ObjectId::from_bytes([7; 16])),
            class: "Counter".into(),
            pid: 4,
            cause: DeathCause::Exited,
        };
        vec![
            Error::timeout("a"),
            Error::task_failed("f".into(), "m".into(), None),
            Error::actor_died(death),
            Error::actor_unavailable("a"),
            Error::lost_task("f", 1, LostTask::OutOfMemory("m".into())),
            Error::invalid_argument("a"),
            Error::insufficient_resources("CPU"),
            Error::not_found("a"),
            Error::not_initialized("a"),
            Error::object_lost(ObjectId::from_bytes([1; 16])),
            Error::system("a"),
            Error::new(Kind::Closed("a".into())),
            Error::new(Kind::PeerDied("a".into())),
            Error::new(Kind::Full("a".into())),
            Error::new(Kind::Empty("a".into())),
            Error::new(Kind::Unfilled("a".into())),
        ]
    }

    #[test]
    fn exactly_one_predicate_is_true() {
        for error in all() {
            let predicates = [
                error.is_timeout(),
                error.is_task_failed(),
                error.is_actor_died(),
                error.is_actor_unavailable(),
                error.is_worker_crashed(),
                error.is_out_of_memory(),
                error.is_cancelled(),
                error.is_object_lost(),
                error.is_store_full(),
                error.is_insufficient_resources(),
                error.is_pending_calls_limit(),
                error.is_name_taken(),
                error.is_not_found(),
                error.is_invalid_argument(),
                error.is_not_initialized(),
                error.is_system(),
                error.is_closed(),
                error.is_peer_died(),
                error.is_full(),
                error.is_empty(),
                error.is_unfilled(),
            ];
            assert_eq!(predicates.iter().filter(|p| **p).count(), 1, "{error:?}");
        }
    }

    #[test]
    fn travels_without_loss() {
        for error in all() {
            let back = Error::from_bytes(&error.to_bytes());
            assert_eq!(back.to_string(), error.to_string());
            assert_eq!(back.kind(), error.kind());
        }
    }

    #[test]
    fn who_has_an_error_has_it_for_all_its_handles() {
        let error = Error::system("a");
        let other = error.clone();
        assert!(error.is_unread() && other.is_same(&error) && !error.is_last());
        let given = error.read();
        assert!(!other.is_unread() && !given.is_unread());
        let next = given.passed_on();
        assert!(next.is_unread() && next.is_last() && !next.is_same(&given));
        assert_eq!(next.to_string(), error.to_string());
    }

    #[test]
    fn ends_that_were_asked_for_need_not_be_read() {
        let died = |cause| {
            let actor = mobula_scheduler::ids::ActorId::from_object(ObjectId::from_bytes([7; 16]));
            Error::actor_died(ActorDeath { actor, class: "A".into(), pid: 1, cause }).is_unread()
        };
        assert!(
            died(DeathCause::Crashed { status: "signal 11".into() }) && died(DeathCause::CreationFailed("x".into()))
        );
        assert!(!died(DeathCause::Killed) && !died(DeathCause::Exited) && !died(DeathCause::NodeDied));
        assert!(!Error::not_initialized("ended").is_unread());
    }

    #[test]
    fn nonsense_bytes_are_an_error_too() {
        assert!(Error::from_bytes(&[255, 255, 255]).is_system());
    }

    #[test]
    fn long_texts_are_cut_at_a_character() {
        let error = Error::task_failed("f".into(), "\u{e9}".repeat(MAX_TEXT), None);
        assert!(error.task_failure().unwrap().message.len() <= MAX_TEXT + 4);
    }
}
