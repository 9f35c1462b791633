//! Calls that are made and waited for in one step.

use std::time::{Duration, Instant};

use super::{Counter, start};

struct Sleeper;

#[mobula::actor]
impl Sleeper {
    pub fn new() -> Self {
        Sleeper
    }

    /// Says on which processors this thread may run.
    pub fn allowed(&self) -> String {
        allowed()
    }

    #[mobula::method(num_returns = 2)]
    pub fn both(&self, ok: bool) -> Result<(String, u64), String> {
        if ok { Ok(("both".into(), 2)) } else { Err("neither".into()) }
    }

    pub fn large(&self) -> Vec<u64> {
        (0..10_000).collect()
    }

    pub fn late(&self, value: u64) -> u64 {
        std::thread::sleep(Duration::from_millis(30));
        value
    }

    pub fn crash(&self) {
        std::process::abort();
    }
}

fn allowed() -> String {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    status.lines().find(|line| line.starts_with("Cpus_allowed:")).unwrap().to_owned()
}

#[mobula::test]
fn call_gives_what_get_of_remote_gives() {
    let _runtime = start();
    let sleeper = Sleeper::remote().unwrap();
    assert_eq!(sleeper.both(true).call().unwrap(), ("both".to_owned(), 2));
    let error = sleeper.both(false).call().unwrap_err();
    assert!(error.is_task_failed() && error.to_string().contains("neither"), "{error}");
    assert_eq!(sleeper.large().call().unwrap().len(), 10_000);
    let later = sleeper.late(7).remote();
    assert_eq!(sleeper.late(later).call().unwrap(), 7, "an argument that is not there yet");
    let error = sleeper.crash().call().unwrap_err();
    assert!(error.is_actor_died(), "{error}");
    let error = sleeper.late(1).call().unwrap_err();
    assert!(error.is_actor_died(), "{error}");
}

#[mobula::test]
fn call_keeps_the_order_with_remote() {
    let _runtime = start();
    let counter = Counter::remote(0).unwrap();
    for round in 0..200 {
        let before: Vec<_> = (0..round % 7).map(|_| counter.add(1).remote()).collect();
        let sum = counter.add(1).call().unwrap();
        for (i, object) in before.iter().enumerate() {
            assert_eq!(mobula::get(object).unwrap(), sum - (before.len() - i) as i64);
        }
    }
}

#[mobula::test]
fn nobody_stays_on_the_processor_that_was_handed_over() {
    let _runtime = start();
    let sleepers: Vec<_> = (0..4).map(|_| Sleeper::remote().unwrap()).collect();
    let before = allowed();
    for sleeper in &sleepers {
        assert_eq!(sleeper.allowed().call().unwrap(), before);
    }
    for round in 0..300 {
        if round % 3 == 0 {
            // Not to wait for anything: so that both are asleep, wherever they were.
            std::thread::sleep(Duration::from_micros(500 * (round % 5)));
        }
        assert_eq!(sleepers[round as usize % 4].allowed().call().unwrap(), before);
        assert_eq!(allowed(), before);
    }
}

#[mobula::test]
fn threads_that_call_at_once_all_get_their_own() {
    let _runtime = start();
    let sleepers: Vec<_> = (0..3).map(|_| Counter::remote(0).unwrap()).collect();
    let deadline = Instant::now() + Duration::from_secs(60);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let sleepers = &sleepers;
            scope.spawn(move || {
                for i in 0..200 {
                    assert!(Instant::now() < deadline, "gave up waiting");
                    let (one, all) = (&sleepers[(thread + i) % 3], i % 11 == 0);
                    if all {
                        std::thread::sleep(Duration::from_micros(300));
                    }
                    assert!(one.add(1).call().unwrap() > 0);
                }
            });
        }
    });
    let sums: i64 = sleepers.iter().map(|counter| counter.value().call().unwrap()).sum();
    assert_eq!(sums, 800);
}
