//! How long objects live: as long as a ref, a queued call or another object names them, and no longer.

use mobula::prelude::*;

use super::support::{Gate, all_space_back, eventually, get, is_alive, pass, signal, start, stats};

struct Worker {
    kept: Vec<ObjectRef<Vec<u8>>>,
}

#[mobula::actor]
impl Worker {
    pub fn new() -> Self {
        Worker { kept: Vec::new() }
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }

    pub fn behind(&self, gate: String) -> i64 {
        pass(&gate);
        1
    }

    pub fn large(&self, len: usize) -> Vec<u8> {
        vec![1; len]
    }

    pub fn length(&self, bytes: Vec<u8>) -> usize {
        bytes.len()
    }

    pub fn put_and_keep(&mut self, count: usize) -> Vec<ObjectRef<Vec<u8>>> {
        self.kept = (0..count).map(|_| mobula::put(&vec![1u8; 50_000]).unwrap()).collect();
        self.kept.clone()
    }

    pub fn fail_with(&self, _bytes: Vec<u8>) -> Result<Vec<u8>, String> {
        Err("after all".into())
    }
}

#[mobula::task]
fn large(len: usize) -> Vec<u8> {
    vec![1; len]
}

#[mobula::test]
fn all_kinds_of_objects_give_their_space_back() {
    let _runtime = start();
    let worker = Worker::remote().unwrap();
    get(&worker.pid().remote()).unwrap();
    let before = stats();
    for _ in 0..3 {
        let refs: Vec<_> = (0..50).map(|_| mobula::put(&vec![1u8; 10_000]).unwrap()).collect();
        let lengths: Vec<_> = refs.iter().map(|object| worker.length(object).remote()).collect();
        assert_eq!(mobula::get_all(&lengths).unwrap(), vec![10_000; 50]);
        let results: Vec<_> = (0..50).map(|_| worker.large(10_000).remote()).collect();
        assert_eq!(mobula::get_all(&results).unwrap().len(), 50);
        let failed: Vec<_> = results.iter().map(|object| worker.fail_with(object).remote()).collect();
        for object in &failed {
            assert!(get(object).unwrap_err().is_task_failed());
        }
        let tasks: Vec<_> = (0..20).map(|_| large::remote(10_000)).collect();
        assert_eq!(mobula::get_all(&tasks).unwrap().len(), 20);
        let nested = mobula::put(&refs).unwrap();
        drop((refs, lengths, results, failed, tasks));
        assert_eq!(mobula::get(&nested).unwrap().len(), 50);
    }
    all_space_back(before);
}

#[mobula::test]
fn results_whose_refs_are_dropped_unread_leave_nothing() {
    let _runtime = start();
    let (worker, slow) = (Worker::remote().unwrap(), Worker::remote().unwrap());
    get(&worker.pid().remote()).unwrap();
    get(&slow.pid().remote()).unwrap();
    let before = stats();
    // Dropped before the call runs, while it runs, and after its result has come.
    let gate = Gate::new();
    let _held = slow.behind(gate.text()).remote();
    for _ in 0..20 {
        let _ = slow.large(100_000).remote();
        let _ = worker.large(100_000).remote();
        let _ = large::remote(100_000);
    }
    gate.open();
    let last = (worker.large(100_000).remote(), slow.large(100_000).remote());
    mobula::wait(&[last.0.clone(), last.1.clone()], 2, None).unwrap();
    drop(last);
    drop(_held);
    all_space_back(before);
}

#[mobula::test]
fn an_argument_is_held_until_its_call_has_run() {
    let _runtime = start();
    let worker = Worker::remote().unwrap();
    get(&worker.pid().remote()).unwrap();
    let before = stats();
    let gate = Gate::new();
    let held = worker.behind(gate.text()).remote();
    let object = mobula::put(&vec![1u8; 100_000]).unwrap();
    let call = worker.length(&object).remote();
    drop(object);
    gate.open();
    assert_eq!(get(&call).unwrap(), 100_000);
    drop((held, call));
    all_space_back(before);
}

#[mobula::test]
fn a_ref_in_a_queued_call_is_freed_though_the_actor_is_killed() {
    let _runtime = start();
    let before = stats();
    let worker = Worker::remote().unwrap();
    let gate = Gate::new();
    let _held = worker.behind(gate.text()).remote();
    let object = mobula::put(&vec![1u8; 100_000]).unwrap();
    let calls: Vec<_> = (0..100).map(|_| worker.length(&object).remote()).collect();
    drop(object);
    mobula::kill(&worker).unwrap();
    for call in &calls {
        assert!(get(call).unwrap_err().is_actor_died());
    }
    drop((calls, _held, worker));
    all_space_back(before);
}

#[mobula::test]
fn what_a_process_put_outlives_it_and_what_only_it_held_does_not() {
    let _runtime = start();
    let worker = Worker::remote().unwrap();
    let pid = get(&worker.pid().remote()).unwrap();
    let before = stats();
    let mut refs = get(&worker.put_and_keep(10).remote()).unwrap();
    refs.truncate(5);
    assert!(stats().used_bytes >= before.used_bytes + 500_000);
    signal(pid, "KILL");
    eventually("the process ends", || !is_alive(pid));
    assert_eq!(mobula::get_all(&refs).unwrap(), vec![vec![1u8; 50_000]; 5]);
    assert!(get(&worker.pid().remote()).unwrap_err().is_actor_died());
    drop(refs);
    all_space_back(before);
}

#[mobula::test]
fn refs_dropped_anywhere_do_no_harm() {
    thread_local! {
        static LATE: std::cell::RefCell<Vec<ObjectRef<Vec<u8>>>> = const { std::cell::RefCell::new(Vec::new()) };
    }
    let runtime = start();
    let before = stats();
    let object = mobula::put(&vec![1u8; 100_000]).unwrap();
    // In the destructors of another thread, and while one unwinds.
    let clones = [object.clone(), object.clone()];
    std::thread::spawn(move || LATE.with(|slot| slot.borrow_mut().extend(clones))).join().unwrap();
    let clone = object.clone();
    let panicked = std::thread::spawn(move || {
        let _clone = clone;
        std::panic::resume_unwind(Box::new("on purpose"));
    });
    assert!(panicked.join().is_err());
    assert_eq!(mobula::get(&object).unwrap().len(), 100_000);
    drop(object);
    all_space_back(before);
    // After the end, and in this thread's own destructors.
    let late = [mobula::put(&vec![1u8; 100_000]).unwrap(), mobula::put(&vec![1u8; 3]).unwrap()];
    let worker = Worker::remote().unwrap();
    let pending = worker.large(10).remote();
    LATE.with(|slot| slot.borrow_mut().extend(late));
    runtime.shutdown();
    drop((pending, worker));
}
