//! What goes on at the same time, and what each of it promises.

use std::thread;
use std::time::{Duration, Instant};

use mobula::prelude::*;

use super::cast::{Ledger, endless, expected_sum, filled, square, sum, tree};
use super::random::Random;

/// Until when the lanes of a round go on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    fn is_over(self) -> bool {
        Instant::now() >= self.0
    }
}

/// How long a value may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(40);

/// How many calls a lane makes before it looks at the answers.
const BATCH: u64 = 60;

/// What the answers of a round were.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) answers: u64,
    pub(crate) deaths: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Tally) {
        self.answers += other.answers;
        self.deaths += other.deaths;
    }

    /// Takes an answer that may be the error of a death, and nothing else.
    fn take<T>(&mut self, answer: mobula::Result<T>) -> Option<T> {
        match answer {
            Ok(value) => {
                self.answers += 1;
                Some(value)
            }
            Err(error) => {
                assert!(is_of_death(&error), "no death explains this: {error:?}");
                self.deaths += 1;
                None
            }
        }
    }
}

/// Says whether the error tells of a death, by itself or as what a task or method passed on.
fn is_of_death(error: &mobula::Error) -> bool {
    let passed_on = |text: &str| ["ended while it ran", "is lost", "died"].iter().any(|words| text.contains(words));
    error.is_actor_died()
        || error.is_worker_crashed()
        || error.is_object_lost()
        || error.task_failure().is_some_and(|failure| passed_on(&failure.message))
}

/// Waits for a value; one that never comes is told with what everybody is doing.
fn get<T: serde::de::DeserializeOwned>(object: &ObjectRef<T>) -> mobula::Result<T> {
    match mobula::get_timeout(object, PATIENCE) {
        Err(error) if error.is_timeout() => {
            for worker in mobula::stack_traces().unwrap_or_default() {
                eprintln!("{worker}");
            }
            panic!("a value never comes: {error}");
        }
        other => other,
    }
}

type Lane = fn(&mut Random, Clock) -> Tally;

const LANES: [(&str, Lane); 8] = [
    ("ledgers", ledgers),
    ("restarted", restarted),
    ("tasks", tasks),
    ("retried", retried),
    ("cancelled", cancelled),
    ("trees", trees),
    ("arrays", arrays),
    ("names", names),
];

/// Runs everything once, so that what stays for good is there before anything is counted.
pub(crate) fn warm_up() {
    let now = Clock(Instant::now());
    for (_, lane) in LANES {
        lane(&mut Random::new(1), now);
    }
}

/// Runs all lanes until their time is over.
pub(crate) fn run(random: &mut Random, end: Instant) -> Tally {
    let clock = Clock(end);
    let lanes: Vec<_> = LANES
        .into_iter()
        .map(|(name, lane)| {
            let mut random = random.fork();
            thread::Builder::new().name(name.into()).spawn(move || lane(&mut random, clock)).unwrap()
        })
        .collect();
    let mut tally = Tally::default();
    for lane in lanes {
        tally.add(&lane.join().unwrap());
    }
    tally
}

/// An actor that is not restarted answers 1, 2, 3, ... until it dies, and then nothing any more: at most once, in order.
fn ledgers(random: &mut Random, clock: Clock) -> Tally {
    let mut tally = Tally::default();
    loop {
        let ledger = Ledger::remote().unwrap();
        let mut next = 1;
        let mut dead = false;
        while !dead {
            let calls: Vec<_> = (0..=random.below(BATCH)).map(|_| ledger.count().remote()).collect();
            for call in &calls {
                match tally.take(get(call)) {
                    Some((_, count)) => {
                        assert!(!dead, "an answer after a death");
                        assert_eq!(count, next, "calls ran twice, not at all, or out of order");
                        next += 1;
                    }
                    None => dead = true,
                }
            }
            if clock.is_over() {
                return tally;
            }
        }
    }
}

/// An actor that is always restarted answers every call, in order, and counts anew in each process.
fn restarted(random: &mut Random, clock: Clock) -> Tally {
    let mut tally = Tally::default();
    let ledger = Ledger::options().max_restarts(-1).max_task_retries(-1).remote().unwrap();
    let mut last = (0, 0);
    loop {
        let calls: Vec<_> = (0..=random.below(BATCH)).map(|_| ledger.count().remote()).collect();
        for call in &calls {
            let (pid, count) = get(call).unwrap();
            let expected = if pid == last.0 { last.1 + 1 } else { 1 };
            assert_eq!(count, expected, "calls ran twice in one process, or out of order");
            last = (pid, count);
            tally.answers += 1;
        }
        if clock.is_over() {
            return tally;
        }
    }
}

/// A task gives its result, or says that its worker died.
fn tasks(random: &mut Random, clock: Clock) -> Tally {
    let mut tally = Tally::default();
    loop {
        let from = random.below(1 << 20);
        let squares: Vec<_> = (from..=from + random.below(BATCH)).map(|x| (x, square::remote(x))).collect();
        for (x, result) in &squares {
            if let Some(value) = tally.take(get(result)) {
                assert_eq!(value, x * x);
            }
        }
        if clock.is_over() {
            return tally;
        }
    }
}

/// A task that is tried for ever gives its result, whoever dies.
fn retried(random: &mut Random, clock: Clock) -> Tally {
    let mut tally = Tally::default();
    let always = square::options().max_retries(-1);
    loop {
        let from = random.below(1 << 20);
        let squares: Vec<_> = (from..=from + random.below(BATCH)).map(|x| (x, always.remote(x))).collect();
        for (x, result) in &squares {
            assert_eq!(get(result).unwrap(), x * x);
            tally.answers += 1;
        }
        if clock.is_over() {
            return tally;
        }
    }
}

/// What is cancelled never gives a value, and is not waited for.
fn cancelled(random: &mut Random, clock: Clock) -> Tally {
    let mut tally = Tally::default();
    loop {
        let results: Vec<_> = (0..=random.below(6)).map(|_| endless::remote()).collect();
        for result in &results {
            mobula::cancel(result, random.below(4) == 0).unwrap();
        }
        for result in &results {
            let error = get(result).unwrap_err();
            assert!(error.is_cancelled() || is_of_death(&error), "{error:?}");
            tally.answers += 1;
        }
        if clock.is_over() {
            return tally;
        }
    }
}

/// Tasks that wait for tasks.
fn trees(random: &mut Random, clock: Clock) -> Tally {
    let mut tally = Tally::default();
    loop {
        let depth = random.below(4) as u32;
        if let Some(leaves) = tally.take(get(&tree::remote(depth))) {
            assert_eq!(leaves, 1 << depth);
        }
        if clock.is_over() {
            return tally;
        }
    }
}

/// Arrays go from process to process; whoever dies, what they hold stays, and goes when nobody has it.
fn arrays(random: &mut Random, clock: Clock) -> Tally {
    let mut tally = Tally::default();
    loop {
        let ledger = Ledger::remote().unwrap();
        loop {
            let (seed, len) = (random.below(1 << 30), random.below(40_000) as usize);
            let array = filled(seed, len).unwrap();
            let stored = mobula::put(&array).unwrap();
            let answers = [
                ledger.keep(&array).remote(),
                sum::remote(&array),
                ledger.read(vec![stored.clone(), stored]).remote(),
                // Made there and read elsewhere: it outlives its maker.
                sum::remote(ledger.make(seed, len).remote()),
            ];
            let expected = expected_sum(seed, len);
            let mut dead = false;
            for (place, answer) in answers.iter().enumerate() {
                match tally.take(get(answer)) {
                    Some(value) if place == 2 => assert_eq!(value, expected.wrapping_mul(2)),
                    Some(value) => assert_eq!(value, expected),
                    None => dead |= place != 1,
                }
            }
            if clock.is_over() {
                return tally;
            }
            if dead {
                break;
            }
        }
    }
}

/// Whoever has the name answers; when it died another one gets it.
fn names(random: &mut Random, clock: Clock) -> Tally {
    let mut tally = Tally::default();
    let options = ["one", "two", "three"].map(|name| Ledger::options().name(name).get_if_exists(true));
    loop {
        let made = options[random.below(3) as usize].remote();
        if let Some(ledger) = tally.take(made) {
            let calls: Vec<_> = (0..random.below(BATCH)).map(|_| ledger.count().remote()).collect();
            let counts: Vec<_> = calls.iter().filter_map(|call| tally.take(get(call))).collect();
            assert!(counts.windows(2).all(|two| two[1].1 == two[0].1 + 1), "{counts:?}");
        }
        if clock.is_over() {
            return tally;
        }
    }
}
