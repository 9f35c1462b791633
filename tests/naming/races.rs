//! Many who want the same name at once.

use std::collections::HashSet;
use std::sync::Barrier;

use mobula::ActorId;
use mobula::prelude::*;

use super::support::{all_space_back, get, start, start_with, stats};
use super::{Counter, end_behind, until_free};

/// How many callers there are.
const CALLERS: usize = 100;

/// Has a hundred threads do something at the same moment.
fn at_once<T: Send>(work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let barrier = Barrier::new(CALLERS);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..CALLERS)
            .map(|number| {
                let (barrier, work) = (&barrier, &work);
                scope.spawn(move || {
                    barrier.wait();
                    work(number)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn take(name: &str, start: i64) -> ActorHandle<Counter> {
    Counter::options().name(name).get_if_exists(true).remote(start).unwrap()
}

#[mobula::test]
fn a_hundred_threads_get_the_same_actor() {
    let _runtime = start();
    for round in 0..3 {
        let name = format!("global{round}");
        let before = stats();
        let handles = at_once(|number| take(&name, number as i64));
        let ids: HashSet<ActorId> = handles.iter().map(ActorHandle::id).collect();
        assert_eq!(ids.len(), 1);
        let sums: Vec<_> = handles.iter().map(|handle| handle.add(1).remote()).collect();
        let sums = mobula::get_all(&sums).unwrap();
        assert_eq!(sums.last().unwrap() - sums[0], CALLERS as i64 - 1);
        drop(handles);
        until_free(&name);
        all_space_back(before);
    }
}

#[mobula::test]
fn of_a_hundred_who_create_one_does() {
    let _runtime = start();
    let made = at_once(|number| Counter::options().name("global").remote(number as i64));
    let (won, lost): (Vec<_>, Vec<_>) = made.into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, CALLERS - 1));
    for error in lost.into_iter().filter_map(Result::err) {
        assert!(error.is_name_taken(), "{error:?}");
    }
}

#[mobula::test]
fn actors_and_tasks_get_the_same_actor() {
    let _runtime = start_with(4.0);
    let callers: Vec<_> = (0..4).map(|_| Counter::remote(0).unwrap()).collect();
    let wait_for = take("other", 0);
    get(&wait_for.add(1).remote()).unwrap();
    let mut pids: Vec<ObjectRef<u32>> = Vec::new();
    for number in 0..CALLERS as i64 {
        let caller = &callers[number as usize % callers.len()];
        pids.push(if number % 2 == 0 { caller.take("global", number).remote() } else { take_once::remote("global") });
    }
    let all: HashSet<u32> = mobula::get_all(&pids).unwrap().into_iter().collect();
    // The task that created it may have ended, and it belongs to the driver then.
    assert_eq!(all.len(), 1, "{all:?}");
}

#[mobula::task]
fn take_once(name: String) -> Result<u32, mobula::Error> {
    let counter = Counter::options().name(name).get_if_exists(true).remote(0)?;
    mobula::get(&counter.pid().remote())
}

#[mobula::test]
fn a_hundred_who_wait_for_an_end_get_one_new_actor() {
    let _runtime = start();
    let gate = super::support::Gate::new();
    let first = take("global", 0);
    let old = ActorHandle::id(&first);
    let held_up = end_behind(first, "global", &gate);
    let handles = at_once(|number| {
        if number == 0 {
            gate.open();
        }
        take("global", 1)
    });
    let ids: HashSet<ActorId> = handles.iter().map(ActorHandle::id).collect();
    assert!(ids.len() == 1 && !ids.contains(&old));
    get(&held_up).unwrap();
    for handle in &handles {
        get(&handle.pid().remote()).unwrap();
    }
}

#[mobula::test]
fn handles_come_and_go_and_every_one_that_was_given_serves() {
    let _runtime = start();
    // Each drops the last handle now and then, so that others meet an actor that ends.
    at_once(|_| {
        for _ in 0..5 {
            let counter = take("global", 0);
            get(&counter.add(1).remote()).unwrap();
        }
    });
    until_free("global");
}
