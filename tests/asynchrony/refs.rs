//! Refs as futures: on any executor, of values, errors, deaths and other processes.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use futures::executor::ThreadPool;
use futures::future::{self, Either};
use mobula::prelude::*;

use super::support::{Gate, eventually, get, pass, signal, start};
use super::{Hall, Wakes, after, fails, poll_once, run};

struct Clerk;

#[mobula::actor]
impl Clerk {
    pub fn new() -> Self {
        Clerk
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }

    pub fn hold(&self, gate: String) -> u32 {
        pass(&gate);
        7
    }

    #[mobula::method(num_returns = 2)]
    pub fn two(&self) -> (u32, String) {
        (1, "two".to_owned())
    }

    /// Gives a ref of a call that this process has made, and that is not done.
    pub fn made(&self, gate: String) -> Vec<ObjectRef<u64>> {
        vec![after::remote(gate, 9)]
    }
}

#[mobula::test]
fn a_ref_is_awaited_by_value_by_reference_and_as_a_call() {
    let _runtime = start();
    let (hall, gate) = (Hall::remote().unwrap(), Gate::new());
    let object = after::remote(gate.text(), 5);
    assert!(poll_once(mobula::get_async(&object)).is_pending());
    gate.open();
    assert_eq!(run(async { (&object).await }).unwrap(), 5);
    assert_eq!(run(mobula::get_async(&object)).unwrap(), 5);
    assert_eq!(run(async { object.await }).unwrap(), 5);
    assert_eq!(run(async { hall.add(2, 3).await }).unwrap(), 5);
    let put = mobula::put(&vec![1_u8; 100_000]).unwrap();
    assert_eq!(run(async { put.await }).unwrap().len(), 100_000);
    let clerk = Clerk::remote().unwrap();
    let (one, two) = clerk.two().remote();
    assert_eq!(run(async { (one.await.unwrap(), two.await.unwrap()) }), (1, "two".to_owned()));
}

#[mobula::test]
fn many_refs_are_awaited_on_a_pool_without_a_thread_for_each() {
    let _runtime = start();
    let hall = Hall::remote().unwrap();
    let pool = ThreadPool::builder().pool_size(2).create().unwrap();
    let gate = Gate::new();
    let entered: Vec<_> = (0..500).map(|_| hall.enter(gate.text()).remote()).collect();
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
    let before = threads();
    let (sender, receiver) = std::sync::mpsc::channel();
    for object in entered {
        let sender = sender.clone();
        pool.spawn_ok(async move { sender.send(object.await.unwrap()).unwrap() });
    }
    // All of them wait now, in the actor and here.
    eventually("all are inside", || get(&hall.inside().remote()).unwrap() == 500);
    assert!(threads() <= before + 1, "at most the thread of timers");
    gate.open();
    let mut seen: Vec<u32> = receiver.iter().take(500).collect();
    seen.sort_unstable();
    assert!(seen.into_iter().eq(1..=500));
}

#[mobula::test]
fn errors_come_out_as_those_of_get() {
    let _runtime = start();
    let gate = Gate::new();
    let object = fails::remote(gate.text());
    let failure = mobula::get_async(&object);
    gate.open();
    let error = run(failure).unwrap_err();
    assert!(error.is_task_failed() && error.to_string().contains("it fails"), "{error}");
    let gate = Gate::new();
    let object = after::remote(gate.text(), 1);
    let future = mobula::get_async(&object);
    mobula::cancel(&object, false).unwrap();
    assert!(run(future).unwrap_err().is_cancelled());
    gate.open();
}

#[mobula::test]
fn who_waits_is_woken_once_by_whatever_ends_the_wait() {
    let _runtime = start();
    let (clerk, gate) = (Clerk::remote().unwrap(), Gate::new());
    let pid = clerk.pid().call().unwrap();
    let (answered, killed) = (clerk.hold(gate.text()).remote(), clerk.hold("/nowhere".to_owned()).remote());
    let (first, second) = (Arc::new(Wakes::default()), Arc::new(Wakes::default()));
    let (mut answered, mut killed) = (pin!(mobula::get_async(&answered)), pin!(mobula::get_async(&killed)));
    assert!(first.poll(answered.as_mut()).is_pending());
    assert!(second.poll(killed.as_mut()).is_pending());
    gate.open();
    eventually("the answer wakes", || first.count() == 1);
    assert!(matches!(first.poll(answered.as_mut()), Poll::Ready(Ok(7))));
    assert_eq!(second.count(), 0);
    signal(pid, "KILL");
    eventually("the death wakes", || second.count() == 1);
    assert!(matches!(second.poll(killed.as_mut()), Poll::Ready(Err(error)) if error.is_actor_died()));
    assert_eq!((first.count(), second.count()), (1, 1));
}

#[mobula::test]
fn only_the_last_waker_is_called() {
    let _runtime = start();
    let gate = Gate::new();
    let object = after::remote(gate.text(), 1);
    let mut future = pin!(mobula::get_async(&object));
    let (first, second) = (Arc::new(Wakes::default()), Arc::new(Wakes::default()));
    assert!(first.poll(future.as_mut()).is_pending());
    assert!(second.poll(future.as_mut()).is_pending());
    gate.open();
    eventually("it is woken", || second.count() == 1);
    assert_eq!(first.count(), 0);
    assert!(matches!(second.poll(future.as_mut()), Poll::Ready(Ok(1))));
}

#[mobula::test]
fn futures_that_are_dropped_are_woken_no_more_and_harm_nobody() {
    let _runtime = start();
    let gate = Gate::new();
    let object = after::remote(gate.text(), 3);
    let wakes = Arc::new(Wakes::default());
    // As a program does that selects in a loop.
    for _ in 0..10_000 {
        let mut future = pin!(mobula::get_async(&object));
        assert!(wakes.poll(future.as_mut()).is_pending());
    }
    assert_eq!(Arc::strong_count(&wakes), 1, "a waker was kept");
    gate.open();
    assert_eq!(get(&object).unwrap(), 3);
    assert_eq!(wakes.count(), 0);
}

#[mobula::test]
fn the_first_of_two_is_selected() {
    let _runtime = start();
    let (open, shut) = (Gate::new(), Gate::new());
    let (one, other) = (after::remote(open.text(), 1), after::remote(shut.text(), 2));
    open.open();
    match run(future::select(mobula::get_async(&one), mobula::get_async(&other))) {
        Either::Left((value, _)) => assert_eq!(value.unwrap(), 1),
        Either::Right(_) => panic!("the other one is behind a shut gate"),
    }
    shut.open();
}

#[mobula::test]
fn a_ref_of_another_process_is_awaited_too() {
    let _runtime = start();
    let (clerk, gate) = (Clerk::remote().unwrap(), Gate::new());
    let borrowed = get(&clerk.made(gate.text()).remote()).unwrap();
    let wakes = Arc::new(Wakes::default());
    for _ in 0..1_000 {
        // They leave nothing behind.
        assert!(wakes.poll(pin!(mobula::get_async(&borrowed[0]))).is_pending());
    }
    let mut future = pin!(mobula::get_async(&borrowed[0]));
    assert!(wakes.poll(future.as_mut()).is_pending());
    gate.open();
    eventually("it is woken", || wakes.count() == 1);
    assert!(matches!(wakes.poll(future.as_mut()), Poll::Ready(Ok(9))));
    // The maker of a promise dies.
    let shut = Gate::new();
    let lost = get(&clerk.made(shut.text()).remote()).unwrap();
    let mut future = pin!(mobula::get_async(&lost[0]));
    assert!(wakes.poll(future.as_mut()).is_pending());
    mobula::kill(&clerk).unwrap();
    assert!(run(future).unwrap_err().is_object_lost());
    shut.open();
}

#[mobula::test]
fn the_end_of_the_runtime_wakes_all_who_wait() {
    let runtime = start();
    let (clerk, gate) = (Clerk::remote().unwrap(), Gate::new());
    let borrowed = get(&clerk.made(gate.text()).remote()).unwrap();
    let object = after::remote(gate.text(), 1);
    let wakes = Arc::new(Wakes::default());
    let mut own = pin!(mobula::get_async(&object));
    let mut other = pin!(mobula::get_async(&borrowed[0]));
    let mut all = pin!(mobula::wait_async(std::slice::from_ref(&object), 1, None));
    assert!(wakes.poll(own.as_mut()).is_pending());
    assert!(wakes.poll(other.as_mut()).is_pending());
    assert!(wakes.poll(all.as_mut()).is_pending());
    drop(runtime);
    eventually("all are woken", || wakes.count() == 3);
    assert!(run(own).unwrap_err().is_not_initialized());
    assert!(run(other).unwrap_err().is_not_initialized());
    assert!(run(all).unwrap_err().is_not_initialized());
    assert!(run(mobula::get_async(&object)).unwrap_err().is_not_initialized());
}

#[mobula::test]
fn block_on_waits_as_get_does() {
    let runtime = start();
    let (hall, gate) = (Hall::remote().unwrap(), Gate::new());
    let waits = std::thread::spawn({
        let object = after::remote(gate.text(), 4);
        move || mobula::block_on(async { object.await.unwrap() + 1 })
    });
    for x in 0..1_000 {
        assert_eq!(mobula::block_on(async { hall.add(x, 1).await }).unwrap(), x + 1);
    }
    gate.open();
    assert_eq!(waits.join().unwrap(), 5);
    let shut = Gate::new();
    let object = after::remote(shut.text(), 4);
    let waits = std::thread::spawn(move || mobula::block_on(async { object.await }));
    drop(runtime);
    assert!(waits.join().unwrap().unwrap_err().is_not_initialized());
}
