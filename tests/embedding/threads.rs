//! Starting, using and ending a runtime from any thread.

use std::sync::Barrier;

use mobula::prelude::*;

use super::support::{config, get, start};

struct Counter {
    value: i64,
}

#[mobula::actor]
impl Counter {
    pub fn new() -> Self {
        Counter { value: 0 }
    }

    pub fn add(&mut self, by: i64) -> i64 {
        self.value += by;
        self.value
    }
}

#[mobula::task]
fn double(x: i64) -> i64 {
    2 * x
}

#[mobula::test]
fn a_runtime_goes_from_thread_to_thread() {
    let runtime = std::thread::spawn(start).join().unwrap();
    let counter = std::thread::spawn(|| Counter::remote().unwrap()).join().unwrap();
    let call = std::thread::spawn({
        let counter = counter.clone();
        move || counter.add(3).remote()
    });
    let call = call.join().unwrap();
    assert_eq!(std::thread::spawn(move || get(&call).unwrap()).join().unwrap(), 3);
    assert_eq!(get(&counter.add(1).remote()).unwrap(), 4);
    std::thread::spawn(move || drop(runtime)).join().unwrap();
    assert!(!mobula::is_initialized());
}

#[mobula::test]
fn of_many_threads_that_init_one_wins_and_the_others_are_told() {
    let barrier = Barrier::new(6);
    let all = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    mobula::init(config(1.0))
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    let (up, refused): (Vec<_>, Vec<_>) = all.into_iter().partition(|result| result.is_ok());
    assert_eq!((up.len(), refused.len()), (1, 5));
    assert!(refused.into_iter().all(|result| result.unwrap_err().is_invalid_argument()));
    assert_eq!(get(&double::remote(4)).unwrap(), 8);
}

#[mobula::test]
fn many_threads_share_actors_tasks_and_objects() {
    let _runtime = start();
    let counters = [Counter::remote().unwrap(), Counter::remote().unwrap()];
    let shared = mobula::put(&vec![1i64; 5000]).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (counters, shared) = (&counters, &shared);
            scope.spawn(move || {
                for round in 0..50 {
                    let call = counters[thread % 2].add(1).remote();
                    let task = double::remote(round);
                    let own = mobula::put(&vec![thread as i64; 1000]).unwrap();
                    assert_eq!(mobula::get(shared).unwrap()[4999], 1);
                    assert_eq!(get(&task).unwrap(), 2 * round);
                    assert_eq!(mobula::get(&own).unwrap(), vec![thread as i64; 1000]);
                    assert!(get(&call).unwrap() > 0);
                }
            });
        }
    });
    assert_eq!(get(&counters[0].add(0).remote()).unwrap(), 200);
    assert_eq!(get(&counters[1].add(0).remote()).unwrap(), 200);
}

#[mobula::test]
fn the_end_wakes_every_thread_that_waits() {
    let runtime = start();
    let gate = super::support::Gate::new();
    let held: ObjectRef<i64> = hold::remote(gate.text());
    let barrier = Barrier::new(4);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3)
            .map(|how| {
                let (held, barrier) = (held.clone(), &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    match how {
                        0 => mobula::get(&held).map(|_| ()),
                        1 => mobula::wait(&[held], 1, None).map(|_| ()),
                        _ => mobula::as_completed([held]).next().unwrap().map(|_| ()),
                    }
                })
            })
            .collect();
        barrier.wait();
        runtime.shutdown();
        for thread in threads {
            let error = thread.join().unwrap().unwrap_err();
            assert!(error.is_not_initialized(), "{error:?}");
        }
    });
}

#[mobula::task]
fn hold(gate: String) -> i64 {
    super::support::pass(&gate);
    1
}

#[mobula::test]
fn a_thread_that_panics_takes_its_runtime_with_it_and_nothing_else() {
    let panicked = std::thread::spawn(|| {
        let _runtime = start();
        let counter = Counter::remote().unwrap();
        assert_eq!(get(&counter.add(1).remote()).unwrap(), 1);
        let _pending = counter.add(1).remote();
        std::panic::resume_unwind(Box::new("on purpose"));
    });
    assert!(panicked.join().is_err());
    assert!(!mobula::is_initialized());
    let _again = start();
    assert_eq!(get(&double::remote(21)).unwrap(), 42);
}
