//! Many calls: none is lost, their order holds, and what waits costs little.

use super::Counter;
use super::support::{Gate, all_space_back, get, pass, resident_kib, start, stats};

struct Blocked {
    seen: u64,
    expected: u64,
}

#[mobula::actor]
impl Blocked {
    pub fn new(gate: String) -> Self {
        pass(&gate);
        Blocked { seen: 0, expected: 0 }
    }

    /// Counts the calls that come in order.
    pub fn next(&mut self, number: u64) -> u64 {
        self.seen += u64::from(number == self.expected);
        self.expected += 1;
        self.seen
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }
}

const MANY: u64 = 100_000;

#[mobula::test]
fn a_hundred_thousand_calls_wait_for_one_actor_and_run_in_order() {
    let _runtime = start();
    let before = stats();
    let gate = Gate::new();
    let own = std::process::id();
    let resident = resident_kib(own);
    let blocked = Blocked::remote(gate.text()).unwrap();
    let refs: Vec<_> = (0..MANY).map(|number| blocked.next(number).remote()).collect();
    let waiting = resident_kib(own) - resident;
    assert!(waiting < 200 << 10, "{waiting} KiB for {MANY} calls that wait");
    eprintln!("{MANY} calls that wait take {waiting} KiB");
    gate.open();
    let pid = get(&blocked.pid().remote()).unwrap();
    assert!(mobula::get_all(&refs).unwrap().into_iter().eq(1..=MANY));
    let there = resident_kib(pid);
    assert!(there < 200 << 10, "{there} KiB in the actor's process");
    drop((refs, blocked));
    all_space_back(before);
}

#[mobula::test]
fn a_hundred_thousand_calls_whose_refs_are_dropped_all_run() {
    let _runtime = start();
    let counter = Counter::remote(0).unwrap();
    for _ in 0..MANY {
        let _ = counter.add(1).remote();
    }
    assert_eq!(get(&counter.value().remote()).unwrap(), MANY as i64);
}

#[mobula::test]
fn calls_with_arguments_of_a_kilobyte_and_more_flood_no_store() {
    let _runtime = start();
    let sink = Sink::remote().unwrap();
    assert_eq!(get(&sink.take(Vec::new()).remote()).unwrap(), 0);
    let before = stats();
    // 4,000 times 8 KiB: half of the store, if none were given back.
    let refs: Vec<_> = (0..4000).map(|_| sink.take(vec![1u8; 8 << 10]).remote()).collect();
    assert_eq!(mobula::get_all(&refs).unwrap().last(), Some(&(4000 * (8 << 10))));
    drop(refs);
    all_space_back(before);
}

struct Sink {
    taken: usize,
}

#[mobula::actor]
impl Sink {
    pub fn new() -> Self {
        Sink { taken: 0 }
    }

    pub fn take(&mut self, bytes: Vec<u8>) -> usize {
        self.taken += bytes.len();
        self.taken
    }
}

#[mobula::test]
fn a_ref_that_is_held_takes_less_than_a_hundred_bytes() {
    const REFS: usize = 300_000;
    let _runtime = start();
    let counter = Counter::remote(0).unwrap();
    let mut refs = Vec::with_capacity(REFS);
    let batch = |refs: &mut Vec<mobula::ObjectRef<i64>>| {
        refs.extend((0..1_000).map(|_| counter.add(1).remote()));
        assert_eq!(mobula::get(&refs[refs.len() - 1]).unwrap(), refs.len() as i64);
    };
    batch(&mut refs);
    let before = resident_kib(std::process::id());
    while refs.len() < REFS {
        batch(&mut refs);
    }
    let each = (resident_kib(std::process::id()) - before) * 1024 / (REFS as u64 - 1_000);
    assert!(each < 100, "{each} bytes a ref");
}
