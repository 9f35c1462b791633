//! The worker's program never joins.

use super::support::{Scratch, get};
use super::{Shared, config};

/// Starts an actor in a program that never joins; returns what went wrong and how often it was started.
fn try_actor(role: &str) -> (String, usize) {
    let count = Scratch::new("count");
    let runtime = mobula::init(config(role).env("STRANGER_COUNT", count.text())).unwrap();
    let error = match Shared::remote() {
        Ok(shared) => get(&shared.length("four").remote()).unwrap_err(),
        Err(error) => error,
    };
    drop(runtime);
    (error.to_string(), count.lines().len())
}

/// The node tries again a few times; each try is one process, which starts no others.
const FEW: usize = 8;

#[mobula::test]
fn a_program_without_init_is_named_with_a_hint_and_no_flood_of_processes() {
    let (text, starts) = try_actor("without init");
    assert!(text.contains("exit status 3") && text.contains("mobula::init"), "{text}");
    assert!(text.contains("quite another program"), "its last words are told: {text}");
    assert!((1..=FEW).contains(&starts), "{starts} processes were started");
}

#[mobula::test]
fn a_program_that_uses_mobula_without_init_starts_nothing() {
    let (text, starts) = try_actor("uses without init");
    assert!(text.contains("exit status 4") && text.contains("not here: no runtime is up"), "{text}");
    assert!((1..=FEW).contains(&starts), "{starts} processes were started");
}
