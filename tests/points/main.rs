//! SIGKILL after every shared store of calls and tasks: a worker of a real runtime dies at its n-th store, for every n
//! or a sample; then everybody else must get on.
//!
//! ```text
//!   driver                                   victim (a worker)
//!     warm up: rings, leases, code
//!     arm n, then calls or tasks -------->     counts its stores, of all its threads
//!                                              SIGKILL by its own hand at the n-th
//!     each one ends: in its value, or in the error that names the death
//!     another actor, other tasks: work; the store is whole, all its space comes back
//! ```
//!
//! | the victim | file |
//! |---|---|
//! | is called: small, large and array arguments, several results | `callee.rs` |
//! | calls another actor | `caller.rs` |
//! | is lent to a caller of tasks, some of which go back to it | `leased.rs` |
//!
//! `MOBULA_POINTS` says how many places to die are taken of each (default 100), or `all`. A first run that nobody ends
//! tells how many there are; what threads store differs from run to run, so a later one may come to its end as well.

#![allow(unreachable_pub, reason = "remote methods are `pub`")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod callee;
mod caller;
mod leased;

use mobula::prelude::*;
use mobula::store::crash;

use support::{descriptors, eventually, get, places};

/// What a victim that is to live counts down from.
const LIVES: u64 = u64::MAX;

/// Runs `round` once for each place to die; it gets the number of stores and says how many the victim made, if it
/// came to its end.
fn every_point(what: &str, mut round: impl FnMut(u64) -> Option<u64>) {
    let stores = round(LIVES).expect("nobody ends the victim");
    assert!(stores > 0, "{what} stores nothing");
    let wanted = match std::env::var("MOBULA_POINTS") {
        Ok(all) if all == "all" => None,
        Ok(points) => Some(points.parse().expect("MOBULA_POINTS is a number or all")),
        Err(_) => Some(100),
    };
    let open = descriptors();
    let (mut killed, mut lived) = (0, 0);
    for n in places(stores, wanted) {
        match round(n) {
            None => killed += 1,
            Some(_) => lived += 1,
        }
    }
    eventually("descriptors of the dead are closed", || descriptors() <= open + 4);
    eprintln!("{what}: {stores} stores, killed after {killed} of them, {lived} came to their end before");
}

/// An outcome that a death of its actor may have.
fn value_or_death<T: serde::de::DeserializeOwned>(object: &ObjectRef<T>, n: u64) -> Option<T> {
    match get(object) {
        Ok(value) => Some(value),
        Err(error) => {
            assert!(error.is_actor_died(), "killed after {n} stores: {error:?}");
            None
        }
    }
}

/// Is called; each answer can be checked.
pub(crate) struct Target;

#[mobula::actor]
impl Target {
    pub fn new() -> Self {
        Target
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }

    /// Lets this process live for so many stores.
    pub fn arm(&self, stores: u64) {
        crash::arm(stores);
    }

    /// Says how many stores are left, and takes the limit back.
    pub fn disarm(&self) -> u64 {
        let left = crash::left();
        crash::arm(0);
        left
    }

    pub fn next(&self, x: u64) -> u64 {
        x + 1
    }

    pub fn longer(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        bytes.push(1);
        bytes
    }

    pub fn doubled(&self, array: Array<f64>) -> Array<f64> {
        Array::from_slice(&array.iter().map(|x| 2.0 * x).collect::<Vec<_>>()).unwrap()
    }

    #[mobula::method(num_returns = 2)]
    pub fn two(&self, x: u64) -> (u64, Vec<u8>) {
        (x, vec![x as u8; 50_000])
    }
}

/// The length of arguments that go through the store.
const LARGE: usize = 40_000;

/// Calls a target in every way; `None` if it has died in between.
fn call_all(target: &ActorHandle<Target>, n: u64) -> Option<()> {
    let array = Array::from_slice(&[2.5f64; 5_000]).unwrap();
    let small: Vec<_> = (0..4).map(|x| target.next(x).try_remote()).collect();
    let large = target.longer(vec![7; LARGE]).try_remote();
    let medium = target.longer(vec![8; 300]).try_remote();
    let doubled = target.doubled(array).try_remote();
    let two = target.two(9).try_remote();
    let again = target.next(10).try_remote();
    // All are looked at, so that each of them ends.
    let mut all = Some(());
    let mut check = |right: Option<bool>| match right {
        Some(right) => assert!(right, "killed after {n} stores: another value"),
        None => all = None,
    };
    for (x, one) in (0..4).zip(&small) {
        check(sent(one, n).and_then(|one| value_or_death(one, n)).map(|value: u64| value == x + 1));
    }
    let longer = |len: usize, byte: u8, value: &[u8]| value.len() == len + 1 && value[..len].iter().all(|b| *b == byte);
    check(sent(&large, n).and_then(|one| value_or_death(one, n)).map(|value| longer(LARGE, 7, &value)));
    check(sent(&medium, n).and_then(|one| value_or_death(one, n)).map(|value| longer(300, 8, &value)));
    check(sent(&doubled, n).and_then(|one| value_or_death(one, n)).map(|value| value[..] == [5.0; 5_000]));
    check(sent(&two, n).and_then(|two| value_or_death(&two.0, n)).map(|value| value == 9));
    check(sent(&two, n).and_then(|two| value_or_death(&two.1, n)).map(|value| value == vec![9; 50_000]));
    check(sent(&again, n).and_then(|one| value_or_death(one, n)).map(|value| value == 11));
    all
}

/// A call that was sent, or was not because the actor is known to be dead.
fn sent<T>(call: &mobula::Result<T>, n: u64) -> Option<&T> {
    match call {
        Ok(refs) => Some(refs),
        Err(error) => {
            assert!(error.is_actor_died(), "killed after {n} stores: {error:?}");
            None
        }
    }
}
