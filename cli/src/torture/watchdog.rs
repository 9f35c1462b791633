//! Ends a run whose supervisor hangs: it uses the store itself, and the store may be what hangs.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::torture::content::now_ns;
use crate::torture::process;

/// How long the supervisor may take for one thing.
const LONGEST: Duration = Duration::from_secs(60);

struct State {
    seed: u64,
    json: bool,
    /// When the supervisor was heard last.
    heard: AtomicU64,
    doing: Mutex<String>,
    ended: AtomicBool,
}

/// A thread that looks whether the supervisor goes on.
pub(crate) struct Watchdog {
    state: Arc<State>,
    thread: std::thread::JoinHandle<()>,
}

impl Watchdog {
    /// Starts it.
    pub(crate) fn start(seed: u64, json: bool) -> io::Result<Watchdog> {
        let state = Arc::new(State {
            seed,
            json,
            heard: AtomicU64::new(now_ns()),
            doing: Mutex::default(),
            ended: AtomicBool::new(false),
        });
        let watched = state.clone();
        let thread = std::thread::Builder::new().name("watchdog".to_owned()).spawn(move || watch(&watched))?;
        Ok(Watchdog { state, thread })
    }

    /// Tells it what the supervisor is about to do.
    pub(crate) fn now(&self, what: impl Into<String>) {
        *self.state.doing.lock().unwrap_or_else(PoisonError::into_inner) = what.into();
        self.state.heard.store(now_ns(), Ordering::Relaxed);
    }

    /// Ends it.
    pub(crate) fn end(self) {
        self.state.ended.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        let _ = self.thread.join();
    }
}

fn watch(state: &State) {
    while !state.ended.load(Ordering::Relaxed) {
        std::thread::park_timeout(Duration::from_millis(500));
        let silent = Duration::from_nanos(now_ns().saturating_sub(state.heard.load(Ordering::Relaxed)));
        if silent > LONGEST {
            give_up(state, silent);
        }
    }
}

/// Says what hangs and ends the process; its children die with it.
fn give_up(state: &State, silent: Duration) -> ! {
    let doing = state.doing.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let what = format!("the supervisor has been stuck for {silent:?}: {doing}");
    let pids = std::iter::once(std::process::id()).chain(process::leftovers());
    let evidence: Vec<String> = pids.map(process::describe).collect();
    let (seed, mut out) = (state.seed, std::io::stdout());
    let _ = if state.json {
        writeln!(out, "{}", serde_json::json!({ "seed": seed, "violations": [what], "evidence": evidence }))
    } else {
        writeln!(out, "  {}\nviolation: {what}\nseed {seed}", evidence.join("\n  "))
    };
    let _ = out.flush();
    std::process::exit(1)
}
