//! An actor that is killed at random moments while several callers use it.
//!
//! Every call is answered exactly once, runs at most as often as its retries allow, and what was answered with a value
//! has run. `MOBULA_STORM_SECONDS` says how long; `MOBULA_STORM_SEED` repeats the draws of another run.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use mobula::prelude::*;

use super::support::{Scratch, all_space_back, get, note, start_with, stats};

/// Notes every run of every call.
struct Target {
    notes: String,
}

#[mobula::actor]
impl Target {
    pub fn new(notes: String) -> Self {
        note(&notes, &format!("new {}", std::process::id()));
        Target { notes }
    }

    pub fn run(&self, caller: u64, call: u64, retries: i32) -> u64 {
        note(&self.notes, &format!("run {caller} {call} {retries}"));
        call
    }

    /// Fails each time.
    pub fn fail(&self, caller: u64, call: u64, retries: i32) -> Result<u64, String> {
        note(&self.notes, &format!("run {caller} {call} {retries}"));
        Err("as ever".into())
    }
}

/// What callers have heard of their calls.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Heard {
    values: u64,
    unavailable: u64,
    failed: u64,
    died: u64,
}

struct Xorshift(u64);

impl Xorshift {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

/// Calls until the time is over; checks what each call says. Gives the numbers of the calls that gave values.
fn call_until(target: &ActorHandle<Target>, caller: u64, seed: u64, time: Duration) -> (Heard, Vec<u64>) {
    let mut random = Xorshift(seed ^ caller.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let (mut heard, mut values) = (Heard::default(), Vec::new());
    let begin = Instant::now();
    let mut call = 0;
    while begin.elapsed() < time {
        let burst: Vec<_> = (0..=random.next(64))
            .map(|_| {
                call += 1;
                let retries = random.next(4) as i32 - 1;
                if random.next(8) == 0 && retries >= 0 {
                    (call, target.fail(caller, call, retries).max_task_retries(retries).retry_errors(true).remote())
                } else {
                    (call, target.run(caller, call, retries).max_task_retries(retries).remote())
                }
            })
            .collect();
        for (call, reference) in burst {
            match get(&reference) {
                Ok(value) => {
                    assert_eq!(value, call);
                    heard.values += 1;
                    values.push(call);
                }
                Err(error) if error.is_actor_unavailable() => heard.unavailable += 1,
                Err(error) if error.is_task_failed() => heard.failed += 1,
                Err(error) if error.is_actor_died() => heard.died += 1,
                Err(error) => panic!("call {call} of caller {caller}: {error:?}"),
            }
        }
    }
    (heard, values)
}

#[mobula::task(num_cpus = 0.5)]
fn caller(target: ActorHandle<Target>, caller: u64, seed: u64, ms: u64) -> (Heard, Vec<u64>) {
    call_until(&target, caller, seed, Duration::from_millis(ms))
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[mobula::test]
fn every_call_is_answered_once_and_the_counts_are_right() {
    let seconds = variable("MOBULA_STORM_SECONDS").unwrap_or(3);
    let seed = variable("MOBULA_STORM_SEED").unwrap_or_else(|| u64::from(std::process::id()) << 20 | 12345);
    println!("MOBULA_STORM_SEED={seed}");
    let _runtime = start_with(4.0);
    let before = stats();
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut random = Xorshift(seed | 1);
    let mut all = Heard::default();
    while Instant::now() < end {
        let notes = Scratch::new("storm");
        // Few enough that the pauses stay short; in some rounds it dies for good.
        let restarts = 4;
        let kills = 2 + random.next(4);
        let target = Target::options().max_restarts(restarts).remote(notes.text()).unwrap();
        let ms = 600;
        let others: Vec<_> =
            (1..=2).map(|number| caller::remote(&target, number, seed + random.next(1000), ms)).collect();
        let (own, killed) = std::thread::scope(|scope| {
            let own = scope.spawn(|| call_until(&target, 0, seed, Duration::from_millis(ms)));
            let mut killed = 0;
            for _ in 0..kills {
                std::thread::sleep(Duration::from_micros(random.next(60_000)));
                let last = notes.lines().iter().rev().find_map(|line| line.strip_prefix("new ")?.parse::<u32>().ok());
                if let Some(pid) = last
                    && std::process::Command::new("kill")
                        .args(["-KILL", &pid.to_string()])
                        .output()
                        .unwrap()
                        .status
                        .success()
                {
                    killed += 1;
                }
            }
            (own.join().unwrap(), killed)
        });
        let mut heard = vec![own];
        heard.extend(others.iter().map(|other| get(other).unwrap()));
        check(&notes, &heard);
        let news = notes.lines().iter().filter(|line| line.starts_with("new ")).count();
        assert!(news <= restarts as usize + 1 && news <= killed + 1, "{news} processes after {killed} kills");
        for (heard, _) in &heard {
            all.values += heard.values;
            all.unavailable += heard.unavailable;
            all.failed += heard.failed;
            all.died += heard.died;
        }
        drop(target);
    }
    println!("{all:?}");
    all_space_back(before);
}

/// Compares what the actor has run with what its callers have heard.
fn check(notes: &Scratch, heard: &[(Heard, Vec<u64>)]) {
    let mut runs: HashMap<(u64, u64), (i32, i32)> = HashMap::new();
    for line in notes.lines() {
        if let Some(rest) = line.strip_prefix("run ") {
            let numbers: Vec<i64> = rest.split(' ').map(|number| number.parse().unwrap()).collect();
            let run = runs.entry((numbers[0] as u64, numbers[1] as u64)).or_default();
            *run = (run.0 + 1, numbers[2] as i32);
        }
    }
    for (&(caller, call), &(times, retries)) in &runs {
        assert!(
            retries < 0 || times <= retries + 1,
            "call {call} of {caller} ran {times} times with {retries} retries"
        );
    }
    for (caller, (_, values)) in heard.iter().enumerate() {
        for call in values {
            assert!(runs.contains_key(&(caller as u64, *call)), "call {call} of {caller} gave a value and has not run");
        }
    }
}
