//! Futures of refs and streams, and actors with `async` methods.

#![allow(unreachable_pub, reason = "remote methods are `pub`")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod blocking;
mod cancelled;
mod ends;
mod graphs;
mod lending;
mod limits;
mod methods;
mod refs;
mod streams;
mod timers;
mod waits;

use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Wake};
use std::time::Duration;

use futures::executor;

use self::support::{Scratch, eventually, note, pass};

/// Long enough for a machine under load.
const DEADLINE: Duration = Duration::from_secs(40);

/// An actor whose calls wait for each other.
struct Hall {
    inside: AtomicU32,
}

#[mobula::actor]
impl Hall {
    pub fn new() -> Self {
        Hall { inside: AtomicU32::new(0) }
    }

    pub async fn inside(&self) -> u32 {
        self.inside.load(Ordering::SeqCst)
    }

    /// Waits in front of a gate without blocking; says how many were inside with it.
    pub async fn enter(&self, gate: String) -> u32 {
        let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
        opens(&gate).await;
        self.inside.fetch_sub(1, Ordering::SeqCst);
        inside
    }

    pub async fn add(&self, x: u64, y: u64) -> u64 {
        x + y
    }
}

#[mobula::task]
fn after(gate: String, x: u64) -> u64 {
    pass(&gate);
    x
}

#[mobula::task]
fn fails(gate: String) -> Result<u64, String> {
    pass(&gate);
    Err("it fails".to_owned())
}

/// Waits in front of a gate without blocking.
async fn opens(gate: &str) {
    while !Path::new(gate).exists() {
        mobula::sleep(Duration::from_millis(2)).await;
    }
}

/// Waits for a future on an executor that knows nothing of Mobula, but not for ever.
fn run<F: Future>(future: F) -> F::Output {
    executor::block_on(mobula::timeout(DEADLINE, future)).expect("the future is never ready")
}

/// Counts how often it is woken.
#[derive(Debug, Default)]
struct Wakes(AtomicU32);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Wakes {
    fn count(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }

    /// Polls once.
    fn poll<F: Future>(self: &Arc<Self>, future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(&self.clone().into()))
    }
}

/// Polls once with a waker that nobody looks at.
fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    Arc::new(Wakes::default()).poll(pin!(future))
}

/// Counts the lines of a diary that say so.
fn lines(diary: &Scratch, line: &str) -> usize {
    diary.lines().iter().filter(|noted| *noted == line).count()
}

fn until_noted(diary: &Scratch, line: &str) {
    eventually(line, || lines(diary, line) > 0);
}

/// Notes that it is dropped.
struct Noted(String);

impl Drop for Noted {
    fn drop(&mut self) {
        note(&self.0, "dropped");
    }
}
