//! Wrong words in the control segment while clients work on it.
//!
//! In the first test the victim damages its own store between two calls, so that a seed repeats what
//! happened; in the second another process does it at any instant.

use std::time::Duration;

use mobula_store::{Eviction, Store, StoreOptions};

use crate::damage::{Ctl, Section};
use crate::random::{Budget, Random, first_seed};
use crate::victim::{Notes, Victim, play_if};
use crate::work::Work;

/// Rounds of one child: what it leaks ends with it.
pub(crate) const ROUNDS: u64 = 26;
const STEPS: usize = 120;
/// Fewer where the damage goes on all the time: most calls then wait as long as they may.
const STEPS_UNDER_FIRE: usize = 30;
/// Enough to see what is wrong.
const FAILURES: usize = 12;

#[test]
fn damaged_words_between_two_calls() {
    let part = "ctl::damaged_words_between_two_calls";
    if play_if(part, |notes, first| play(notes, first, true)) {
        return;
    }
    let _alone = crate::alone();
    let budget = Budget::new(208);
    let (mut failures, mut next, first) = (Vec::new(), first_seed(), first_seed());
    while budget.allows(next - first) && failures.len() < FAILURES {
        let victim = Victim::start(part, next);
        next = watch(victim, next, &mut failures, |_| ());
    }
    assert!(failures.is_empty(), "{} of {} rounds failed:\n{}", failures.len(), next - first, failures.join("\n"));
    println!("{} rounds", next - first);
}

#[test]
fn damaged_words_at_any_instant() {
    let part = "ctl::damaged_words_at_any_instant";
    if play_if(part, |notes, first| play(notes, first, false)) {
        return;
    }
    let _alone = crate::alone();
    let budget = Budget::new(52);
    let (mut failures, mut next, first) = (Vec::new(), first_seed(), first_seed());
    let mut words = 0u64;
    while budget.allows(next - first) && failures.len() < FAILURES {
        let victim = Victim::start(part, next);
        let mut random = Random::new(next);
        let mut ctl: Option<(u64, Ctl)> = None;
        next = watch(victim, next, &mut failures, |victim| {
            let seed = victim.seed();
            if ctl.as_ref().map(|(of, _)| *of) != seed {
                ctl = seed.and_then(|seed| Some((seed, Ctl::of_process(victim.pid())?)));
            }
            if let Some((seed, ctl)) = &ctl {
                ctl.damage(section(*seed), &mut random);
                words += 1;
            }
        });
    }
    assert!(failures.is_empty(), "{} of {} rounds failed:\n{}", failures.len(), next - first, failures.join("\n"));
    println!("{} rounds, {words} words", next - first);
}

/// Watches a child to its end and returns the seed to go on with.
pub(crate) fn watch(
    mut victim: Victim,
    first: u64,
    failures: &mut Vec<String>,
    mut meanwhile: impl FnMut(&Victim),
) -> u64 {
    loop {
        match victim.poll() {
            None => {
                meanwhile(&victim);
                std::thread::sleep(Duration::from_micros(300));
            }
            Some(Ok(())) => return first + ROUNDS,
            Some(Err(how)) => {
                failures.push(how);
                return victim.seed().unwrap_or(first) + 1;
            }
        }
    }
}

/// Which section a round is about.
fn section(seed: u64) -> Section {
    Section::ALL[seed as usize % Section::ALL.len()]
}

/// The child: a store a round, work, and damage if it is to do that itself.
fn play(mut notes: Notes, first: u64, damages: bool) {
    for seed in first..first + ROUNDS {
        notes.round(seed);
        let mut random = Random::new(seed);
        let section = section(seed);
        let folder = tempfile::tempdir().unwrap();
        let (store, on_disk) = store(seed, folder.path());
        let strict = section.is_harmless() && damages;
        // Under fire a store may be beyond joining before it has begun.
        let Some(mut work) = Work::new(store, strict, !on_disk, &mut random) else { continue };
        let ctl = damages.then(|| Ctl::of_process(std::process::id()).unwrap());
        for step in 0..if damages { STEPS } else { STEPS_UNDER_FIRE } {
            if let Some(ctl) = ctl.as_ref().filter(|_| step % 4 == 0) {
                (0..1 + random.below(2)).for_each(|_| notes.damaged(&ctl.damage(section, &mut random)));
            }
            work.step(&mut random, &mut |what| notes.say(what));
        }
        work.end(&mut random, &mut |what| notes.say(what));
        notes.say("end");
    }
}

/// A small store, of each kind in turn; says whether it has files.
fn store(seed: u64, folder: &std::path::Path) -> (Store, bool) {
    let options = StoreOptions::new(4 << 20).max_objects(128).max_clients(4).create_timeout(Duration::from_millis(3));
    let (options, on_disk) = match seed / Section::ALL.len() as u64 % 4 {
        0 => (options, false),
        1 => (options.eviction(Eviction::LeastRecentlyUsed), false),
        2 => (options.spill_dir(folder), true),
        _ => (options.fallback(true).spill_dir(folder), true),
    };
    (Store::create(options).unwrap(), on_disk)
}
