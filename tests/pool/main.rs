//! `ActorPool`: actors that share work.

#![forbid(unsafe_code)]
#![allow(unreachable_pub, reason = "remote methods are `pub`")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod deaths;
mod dropped;
mod errors;
mod free;
mod ordered;
mod submitted;
mod timeouts;
mod unordered;

use mobula::ActorPool;
use mobula::prelude::*;

use self::support::{note, pass};

/// Works on numbers.
pub(crate) struct Hand {
    done: u32,
}

#[mobula::actor]
impl Hand {
    pub fn new() -> Self {
        Hand { done: 0 }
    }

    pub fn double(&mut self, x: u64) -> u64 {
        self.done += 1;
        2 * x
    }

    /// Doubles a number once the gate is open; none is open.
    pub fn double_behind(&mut self, x: u64, gate: Option<String>) -> u64 {
        if let Some(gate) = gate {
            pass(&gate);
        }
        self.double(x)
    }

    /// Leaves a note that it has run, and says how often it has.
    pub fn noted(&mut self, x: u64, diary: String) -> u64 {
        note(&diary, &x.to_string());
        self.double(x)
    }

    pub fn odd(&self, x: u64) -> Result<u64, String> {
        if x % 2 == 1 { Ok(x) } else { Err(format!("{x} is even")) }
    }

    /// Ends its process at one number.
    pub fn double_but(&mut self, x: u64, deadly: u64) -> u64 {
        if x == deadly {
            std::process::abort();
        }
        self.double(x)
    }

    pub fn done(&self) -> u32 {
        self.done
    }
}

/// Makes so many actors.
pub(crate) fn hands(count: usize) -> Vec<ActorHandle<Hand>> {
    (0..count).map(|_| Hand::remote().unwrap()).collect()
}

/// Makes a pool of so many actors.
pub(crate) fn pool(count: usize) -> ActorPool<Hand, u64> {
    ActorPool::new(hands(count))
}
