//! What blocks in an `async` method holds up no other call of the actor.

use super::support::{Gate, eventually, get, pass, start};
use super::{after, opens};

struct Clerk;

#[mobula::actor]
impl Clerk {
    pub fn new() -> Self {
        Clerk
    }

    pub async fn pid(&self) -> u32 {
        std::process::id()
    }

    /// Blocks for a call of its own actor.
    pub async fn asks_itself(&self, depth: u32) -> mobula::Result<u32> {
        let me = mobula::context().current_actor::<Clerk>();
        match depth {
            0 => Ok(0),
            _ => Ok(mobula::get(&me.asks_itself(depth - 1).remote())? + 1),
        }
    }

    /// Blocks, then waits, then blocks again.
    pub async fn mixes(&self, first: String, second: String) -> mobula::Result<u64> {
        let one = mobula::get(&after::remote(first, 1))?;
        opens(&second).await;
        let (ready, _) = mobula::wait(&[after::remote(second, 2)], 1, None)?;
        Ok(one + mobula::get(&ready[0])?)
    }

    /// Blocks where Mobula cannot see it.
    pub async fn stands(&self, gate: String) -> u32 {
        mobula::block_in_place(|| pass(&gate));
        5
    }

    /// Blocks in another executor inside.
    pub async fn nests(&self, gate: String) -> mobula::Result<u64> {
        mobula::block_on(async { after::remote(gate, 3).await })
    }

    pub async fn threads(&self) -> usize {
        std::fs::read_dir("/proc/self/task").unwrap().count()
    }

    pub fn plain(&self, gate: String) -> mobula::Result<u64> {
        mobula::get(&after::remote(gate, 6))
    }
}

#[mobula::test]
fn a_call_may_block_for_others_of_its_actor() {
    let _runtime = start();
    let clerk = Clerk::remote().unwrap();
    for depth in [1, 5, 50] {
        assert_eq!(get(&clerk.asks_itself(depth).remote()).unwrap(), depth);
    }
    let many: Vec<_> = (0..20).map(|_| clerk.asks_itself(10).remote()).collect();
    assert!(many.iter().all(|one| get(one).unwrap() == 10));
}

#[mobula::test]
fn while_some_block_others_come_and_go() {
    let _runtime = start();
    let (clerk, gates) = (Clerk::remote().unwrap(), [Gate::new(), Gate::new()]);
    let stands: Vec<_> = (0..10).map(|_| clerk.stands(gates[0].text()).remote()).collect();
    let mixes = clerk.mixes(gates[0].text(), gates[1].text()).remote();
    let nests = clerk.nests(gates[1].text()).remote();
    let plain = clerk.plain(gates[1].text()).remote();
    for _ in 0..200 {
        get(&clerk.pid().remote()).unwrap();
    }
    gates[0].open();
    assert!(stands.iter().all(|one| get(one).unwrap() == 5));
    gates[1].open();
    assert_eq!((get(&mixes).unwrap(), get(&nests).unwrap(), get(&plain).unwrap()), (3, 3, 6));
}

#[mobula::test]
fn threads_are_there_for_those_that_block_only() {
    let _runtime = start();
    let (clerk, gate) = (Clerk::remote().unwrap(), Gate::new());
    let at_first = get(&clerk.threads().remote()).unwrap();
    for _ in 0..500 {
        get(&clerk.pid().remote()).unwrap();
    }
    assert_eq!(get(&clerk.threads().remote()).unwrap(), at_first);
    let stands: Vec<_> = (0..4).map(|_| clerk.stands(gate.text()).remote()).collect();
    eventually("each has a thread", || get(&clerk.threads().remote()).unwrap() == at_first + 4);
    gate.open();
    assert!(stands.iter().all(|one| get(one).unwrap() == 5));
    // They are used again.
    let gate = Gate::new();
    let stands: Vec<_> = (0..4).map(|_| clerk.stands(gate.text()).remote()).collect();
    get(&clerk.pid().remote()).unwrap();
    gate.open();
    assert!(stands.iter().all(|one| get(one).unwrap() == 5));
    // Some may have been on their way out of their first wait.
    assert!(get(&clerk.threads().remote()).unwrap() <= at_first + 8);
}
