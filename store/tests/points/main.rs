//! SIGKILL after every shared store: a child plays a script and dies at its n-th store, for every n;
//! then the survivors' store must be whole.
//!
//! ```text
//!   parent: store, objects         victim (this binary again)
//!     start -------------------->    attach, prepare, "ready"
//!     a thread waits for id 1
//!     "go n" ------------------->    arm(n), the script ...    says what it has done, line by line
//!     wait for its end           <-  SIGKILL by its own hand at the n-th store
//!     clients gone, check() clean, what was said to be done is done, the rest whole or absent,
//!     the waiter ends, all memory comes back
//! ```
//!
//! [`scripts`] lists what victims do; [`oracle`] what must be true afterwards; [`several`] has the
//! cases with more than one victim: the reaper, the node (the store's creator), two at once; [`channels`] has
//! channels and queues, [`parts`] arrays that several fill together.
//!
//! Short scripts are killed at every store. Of long ones `MOBULA_POINTS` places are taken (default
//! 60), or every one with `MOBULA_POINTS=all`.

#![allow(clippy::print_stdout, missing_docs)]

mod channels;
mod oracle;
mod parts;
mod process;
mod scripts;
mod several;

use mobula_store::Store;
use process::Victim;
use scripts::Script;

/// Scripts with at most so many stores are killed at every one of them.
const SHORT: u64 = 150;

fn main() {
    if process::is_victim() {
        process::play();
    }
    if std::env::args().any(|arg| arg == "--list") {
        return;
    }
    let filter: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let wanted = |name: &str| filter.is_empty() || filter.iter().any(|f| name.contains(f.as_str()));
    let mut passed = 0;
    for script in scripts::all().iter().filter(|script| wanted(script.name)) {
        let (stores, killed) = every_point(script);
        println!("test points::{} ... ok ({stores} stores, killed after {killed} of them)", script.name);
        passed += 1;
    }
    for (name, case) in several::ALL.iter().filter(|(name, _)| wanted(name)) {
        println!("test points::{name} ... ok ({})", case());
        passed += 1;
    }
    println!("\n{passed} passed, 0 failed");
}

/// Chooses the places to die among `stores`.
fn places(stores: u64) -> Vec<u64> {
    let wanted = match std::env::var("MOBULA_POINTS") {
        Ok(all) if all == "all" => stores,
        Ok(points) => points.parse().expect("MOBULA_POINTS is a number or all"),
        Err(_) => 60,
    };
    let stride = if stores <= SHORT { 1 } else { (stores / wanted.max(1)).max(1) };
    // Moves on within the stride, so that a loop in the code is not always met at the same place.
    (1..=stores).step_by(stride as usize).map(|n| (n + n * 7 % stride).min(stores)).collect()
}

/// Lets a script run to its end once, then kills it at its stores.
fn every_point(script: &Script) -> (u64, usize) {
    let stores = one(script, u64::MAX).expect("nobody kills it");
    let places = places(stores);
    for &n in &places {
        one(script, n);
    }
    (stores, places.len())
}

/// Plays a script that ends after `n` stores; returns how many it makes, if it came to its end.
fn one(script: &Script, n: u64) -> Option<u64> {
    let store = Store::create((script.options)()).expect("a store");
    let kept = (script.before)(&store);
    let victim = Victim::start(script.name, store.address());
    let waiter = oracle::Waiter::start(&store);
    let end = victim.go(n).wait();
    let stores = end.stores();
    let context = |what: &str| format!("{} killed after {n} stores: {what}", script.name);
    oracle::examine(&store, 1, &[end], waiter, kept, &context);
    stores
}
