//! Code inside actors and tasks that itself creates, calls, gets.

use mobula::prelude::*;

use super::Counter;
use super::support::{Gate, eventually, get, is_alive, pass, start_with};

/// Knows itself from its constructor on.
struct Node {
    me: ActorHandle<Node>,
    id: String,
    children: Vec<ActorHandle<Node>>,
}

#[mobula::actor]
impl Node {
    pub fn new(depth: u32, width: u32) -> Result<Self, mobula::Error> {
        let me: ActorHandle<Node> = mobula::context().current_actor();
        let id = mobula::context().actor_id().unwrap().to_string();
        // A call to itself, made before it exists, runs when it does.
        let _ = me.note_self().remote();
        let children = (0..if depth == 0 { 0 } else { width })
            .map(|_| Node::remote(depth - 1, width))
            .collect::<mobula::Result<_>>()?;
        Ok(Node { me, id, children })
    }

    pub fn note_self(&mut self) {
        self.id.push('!');
    }

    pub fn id(&self) -> String {
        self.id.clone()
    }

    pub fn me(&self) -> ActorHandle<Node> {
        self.me.clone()
    }

    /// Counts itself and all below, waiting inside the method.
    pub fn count(&self) -> Result<u32, mobula::Error> {
        let below: Vec<_> = self.children.iter().map(|child| child.count().remote()).collect();
        Ok(1 + mobula::get_all(&below)?.into_iter().sum::<u32>())
    }

    pub fn pids(&self) -> Result<Vec<u32>, mobula::Error> {
        let below: Vec<_> = self.children.iter().map(|child| child.pids().remote()).collect();
        let mut pids: Vec<u32> = mobula::get_all(&below)?.into_iter().flatten().collect();
        pids.push(std::process::id());
        Ok(pids)
    }
}

#[mobula::test]
fn an_actor_knows_itself_inside_its_constructor() {
    let _runtime = start_with(2.0);
    let node = Node::remote(0, 0).unwrap();
    let id = ActorHandle::id(&node).to_string();
    // Its own calls and those of others are not ordered among each other.
    eventually("its call to itself runs", || get(&node.id().remote()).unwrap() == format!("{id}!"));
    let me = get(&node.me().remote()).unwrap();
    assert_eq!(ActorHandle::id(&me), ActorHandle::id(&node));
    assert_eq!(get(&me.count().remote()).unwrap(), 1);
}

#[mobula::test]
fn actors_create_actors_and_get_inside_methods_on_one_cpu() {
    let _runtime = start_with(1.0);
    let root = Node::remote(2, 3).unwrap();
    assert_eq!(get(&root.count().remote()).unwrap(), 13);
    let pids = get(&root.pids().remote()).unwrap();
    assert_eq!(pids.len(), 13);
    drop(root);
    eventually("the whole family ends with its last handle", || pids.iter().all(|&pid| !is_alive(pid)));
}

struct Boss;

#[mobula::actor(num_cpus = 1.0)]
impl Boss {
    pub fn new() -> Self {
        Boss
    }

    pub fn tasks(&self, count: i64) -> Result<i64, mobula::Error> {
        let squares: Vec<_> = (0..count).map(|x| square::options().num_cpus(0.5).remote(x)).collect();
        Ok(mobula::get_all(&squares)?.into_iter().sum())
    }

    pub fn relay(&self, counter: ActorHandle<Counter>, by: i64) -> Result<i64, mobula::Error> {
        mobula::get(&counter.add(by).remote())
    }

    pub fn by_task(&self, counter: ActorHandle<Counter>, by: i64) -> Result<i64, mobula::Error> {
        mobula::get(&add::options().num_cpus(0.5).remote(&counter, by))
    }
}

#[mobula::task]
fn square(x: i64) -> i64 {
    x * x
}

#[mobula::task]
fn add(counter: ActorHandle<Counter>, by: i64) -> Result<i64, mobula::Error> {
    mobula::get(&counter.add(by).remote())
}

#[mobula::task]
fn make(start: i64) -> Result<(ActorHandle<Counter>, i64), mobula::Error> {
    let counter = Counter::remote(start)?;
    let first = mobula::get(&counter.add(1).remote())?;
    Ok((counter, first))
}

#[mobula::test]
fn tasks_call_actors_and_actors_call_tasks() {
    let _runtime = start_with(1.5);
    let (boss, counter) = (Boss::remote().unwrap(), Counter::remote(0).unwrap());
    assert_eq!(get(&boss.tasks(10).remote()).unwrap(), 285);
    assert_eq!(get(&boss.relay(&counter, 5).remote()).unwrap(), 5);
    assert_eq!(get(&boss.by_task(&counter, 5).remote()).unwrap(), 10);
    assert_eq!(get(&add::options().num_cpus(0.5).remote(&counter, 1)).unwrap(), 11);
}

#[mobula::test]
fn an_actor_that_a_task_made_goes_on_when_the_task_has_ended() {
    let _runtime = start_with(1.0);
    let (counter, first) = get(&make::remote(41)).unwrap();
    assert_eq!(first, 42);
    for _ in 0..5 {
        assert_eq!(get(&square::remote(3)).unwrap(), 9);
    }
    assert_eq!(get(&counter.add(1).remote()).unwrap(), 43);
}

struct Waiter;

#[mobula::actor]
impl Waiter {
    pub fn new() -> Self {
        Waiter
    }

    /// Waits for a value with every function that waits.
    pub fn ways(&self, gate: String, slow: ActorHandle<Slow>) -> Result<Vec<i64>, mobula::Error> {
        let refs = [slow.behind(gate.clone(), 1).remote(), slow.behind(gate.clone(), 2).remote()];
        let early = mobula::get_timeout(&refs[0], std::time::Duration::ZERO);
        assert!(early.is_err_and(|error| error.is_timeout()));
        std::fs::write(gate, "open").unwrap();
        let (ready, _) = mobula::wait(&refs, 2, None)?;
        let mut seen = mobula::get_all(&ready)?;
        for object in mobula::as_completed(refs) {
            seen.push(mobula::get(&object?)?);
        }
        Ok(seen)
    }
}

struct Slow;

#[mobula::actor]
impl Slow {
    pub fn new() -> Self {
        Slow
    }

    pub fn behind(&self, gate: String, value: i64) -> i64 {
        pass(&gate);
        value
    }
}

#[mobula::test]
fn every_way_to_wait_works_inside_a_method() {
    let _runtime = start_with(1.0);
    let gate = Gate::new();
    let (waiter, slow) = (Waiter::remote().unwrap(), Slow::remote().unwrap());
    let mut seen = get(&waiter.ways(gate.text(), slow).remote()).unwrap();
    seen[2..].sort_unstable();
    assert_eq!(seen, [1, 2, 1, 2]);
}
