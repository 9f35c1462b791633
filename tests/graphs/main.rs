//! Graphs: calls of actors that are bound to each other once and run many times.

#![forbid(unsafe_code)]
#![allow(unreachable_pub, reason = "remote methods are `pub`")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod beside;
mod branches;
mod deaths;
mod ends;
mod errors;
mod flight;
mod refused;
mod values;

use mobula::prelude::*;

use self::support::pass;

/// Works on numbers.
pub(crate) struct Hand {
    done: u64,
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

    pub fn add(&mut self, x: u64, y: u64) -> u64 {
        self.done += 1;
        x + y
    }

    pub fn odd(&mut self, x: u64) -> Result<u64, String> {
        if x % 2 == 1 { Ok(x) } else { Err(format!("{x} is even")) }
    }

    pub fn behind(&mut self, x: u64, gate: String) -> u64 {
        pass(&gate);
        x
    }

    pub fn panics_at(&mut self, x: u64, bad: u64) -> u64 {
        assert!(x != bad, "{bad} is bad");
        x
    }

    pub fn dies_at(&mut self, x: u64, deadly: u64) -> u64 {
        if x == deadly {
            std::process::abort();
        }
        x
    }

    pub fn exits_at(&mut self, x: u64, last: u64) -> u64 {
        if x == last {
            mobula::exit_actor();
        }
        x
    }

    #[mobula::method(num_returns = 2)]
    pub fn both(&mut self, x: u64) -> (u64, String) {
        (x + 1, x.to_string())
    }

    pub fn text(&mut self, text: String) -> String {
        text + "!"
    }

    pub fn sum(&mut self, numbers: Array<u64>) -> u64 {
        numbers.iter().sum()
    }

    pub fn numbers(&mut self, count: u64) -> mobula::Result<Array<u64>> {
        Ok(Array::from_slice(&(0..count).collect::<Vec<_>>())?)
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        vec![7; count]
    }

    pub fn len(&mut self, bytes: Vec<u8>) -> usize {
        bytes.len()
    }

    pub fn done(&self) -> u64 {
        self.done
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }
}

/// Makes an actor.
pub(crate) fn hand() -> ActorHandle<Hand> {
    Hand::remote().unwrap()
}
