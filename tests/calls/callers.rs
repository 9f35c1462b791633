//! Order of calls by caller, calls in parallel, nothing that waits for the callee.

use mobula::prelude::*;

use super::support::{Gate, Scratch, eventually, get, note, pass};
use super::{Counter, start};

/// Writes down who calls, in the order in which calls run.
struct Diary {
    entries: Vec<(u32, u32)>,
}

#[mobula::actor]
impl Diary {
    pub fn new() -> Self {
        Diary { entries: Vec::new() }
    }

    pub fn write(&mut self, caller: u32, number: u32) {
        self.entries.push((caller, number));
    }

    pub fn entries(&self) -> Vec<(u32, u32)> {
        self.entries.clone()
    }

    pub fn behind(&self, gate: String) -> i64 {
        pass(&gate);
        1
    }
}

/// Calls others.
struct Caller;

#[mobula::actor]
impl Caller {
    pub fn new() -> Self {
        Caller
    }

    pub fn write(&self, diary: ActorHandle<Diary>, caller: u32, count: u32) {
        for number in 0..count {
            let _ = diary.write(caller, number).remote();
        }
    }
}

#[mobula::task]
fn write(diary: ActorHandle<Diary>, caller: u32, count: u32) {
    for number in 0..count {
        let _ = diary.write(caller, number).remote();
    }
}

#[mobula::test]
fn calls_of_each_caller_keep_their_order_among_those_of_others() {
    const COUNT: u32 = 300;
    let _runtime = start();
    let diary = Diary::remote().unwrap();
    let callers: Vec<_> = (0..2).map(|_| Caller::remote().unwrap()).collect();
    let actors: Vec<_> = callers.iter().zip(0..).map(|(caller, me)| caller.write(&diary, me, COUNT).remote()).collect();
    let tasks: Vec<_> = (2..4).map(|me| write::remote(&diary, me, COUNT)).collect();
    std::thread::scope(|scope| {
        for me in 4..8 {
            let diary = diary.clone();
            scope.spawn(move || {
                for number in 0..COUNT {
                    let _ = diary.write(me, number).remote();
                }
            });
        }
    });
    mobula::get_all(&actors).unwrap();
    mobula::get_all(&tasks).unwrap();
    // Each of them has made its calls; when they run is the diary's matter.
    let mut entries = Vec::new();
    eventually("all entries are there", || {
        entries = get(&diary.entries().remote()).unwrap();
        entries.len() == 8 * COUNT as usize
    });
    for me in 0..8 {
        let numbers = entries.iter().filter(|(caller, _)| *caller == me).map(|(_, number)| *number);
        assert!(numbers.eq(0..COUNT), "caller {me}");
    }
}

struct Sleeper {
    number: i64,
}

#[mobula::actor]
impl Sleeper {
    pub fn new(gate: String, number: i64) -> Self {
        pass(&gate);
        Sleeper { number }
    }

    pub fn number(&self) -> i64 {
        self.number
    }
}

/// Everything is made before the gate opens, so nothing can have waited for a constructor.
#[mobula::test]
fn creation_and_calls_return_before_the_constructor_has_run() {
    let _runtime = start();
    let gate = Gate::new();
    let sleepers: Vec<_> = (0..4).map(|number| Sleeper::remote(gate.text(), number).unwrap()).collect();
    let calls: Vec<_> = sleepers.iter().map(|sleeper| sleeper.number().remote()).collect();
    let (ready, pending) = mobula::wait(&calls, 4, Some(std::time::Duration::ZERO)).unwrap();
    assert_eq!((ready.len(), pending.len()), (0, 4));
    let counter = Counter::remote(0).unwrap();
    assert_eq!(get(&counter.add(1).remote()).unwrap(), 1, "others start meanwhile");
    gate.open();
    assert_eq!(mobula::get_all(&calls).unwrap(), [0, 1, 2, 3]);
}

#[mobula::test]
fn calls_return_while_the_actor_is_busy() {
    let _runtime = start();
    let gate = Gate::new();
    let diary = Diary::remote().unwrap();
    let busy = diary.behind(gate.text()).remote();
    for number in 0..1000 {
        let _ = diary.write(0, number).remote();
    }
    let last = diary.entries().remote();
    assert!(mobula::get_timeout(&busy, std::time::Duration::ZERO).unwrap_err().is_timeout());
    gate.open();
    assert_eq!(get(&last).unwrap().len(), 1000);
}

struct Walker;

#[mobula::actor]
impl Walker {
    pub fn new() -> Self {
        Walker
    }

    /// Says that it is here, and waits for the other.
    pub fn meet(&self, here: String, there: String) -> bool {
        note(here, "here");
        pass(&there);
        true
    }
}

#[mobula::task]
fn meet(here: String, there: String) -> bool {
    note(here, "here");
    pass(&there);
    true
}

/// Each waits for the other: they can only return if both run at the same time.
#[mobula::test]
fn actors_and_tasks_run_side_by_side() {
    let _runtime = start();
    let (a, b) = (Scratch::new("a"), Scratch::new("b"));
    let walkers = [Walker::remote().unwrap(), Walker::remote().unwrap()];
    let calls = [walkers[0].meet(a.text(), b.text()).remote(), walkers[1].meet(b.text(), a.text()).remote()];
    assert_eq!(mobula::get_all(&calls).unwrap(), [true, true]);
    let (a, b) = (Scratch::new("a"), Scratch::new("b"));
    let tasks = [meet::remote(a.text(), b.text()), meet::remote(b.text(), a.text())];
    assert_eq!(mobula::get_all(&tasks).unwrap(), [true, true]);
}
