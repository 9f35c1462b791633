//! Snippets of `docs/actors.md`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mobula::prelude::*;

use super::config;

#[derive(Default)]
struct Inbox {
    messages: HashMap<String, Vec<String>>,
}

#[mobula::actor]
impl Inbox {
    pub fn new() -> Self {
        Inbox::default()
    }

    /// Remote, like every `pub` method with `&self` or `&mut self`.
    pub fn deliver(&mut self, to: String, text: String) -> usize {
        let messages = self.messages.entry(to).or_default();
        messages.push(text);
        messages.len()
    }

    /// An `Err` is the caller's; the actor lives on.
    pub fn read(&self, who: String) -> Result<Vec<String>, String> {
        self.messages.get(&who).cloned().ok_or_else(|| format!("{who} has no messages"))
    }

    /// Three refs instead of one.
    #[mobula::method(num_returns = 3)]
    pub fn sizes(&self) -> (usize, usize, bool) {
        let texts = self.messages.values().flatten();
        (self.messages.len(), texts.count(), self.messages.is_empty())
    }
}

#[mobula::test]
fn calls() {
    let _runtime = mobula::init(config()).unwrap();
    check_calls().unwrap();
}

fn check_calls() -> mobula::Result<()> {
    let inbox = Inbox::remote()?; // at once: its process starts behind the handle
    let first = inbox.deliver("Ada", "hello").remote(); // at once: an ObjectRef<usize>
    let second = inbox.deliver("Ada", "are you there?").remote();
    assert_eq!(mobula::get(&second)?, 2); // waits; calls of one caller run in the order made
    assert_eq!(mobula::get(&first)?, 1);

    // The same in one step, and faster where the actor sleeps.
    assert_eq!(inbox.deliver("Bob", "hello").call()?, 1);

    let error = inbox.read("Carol").call().unwrap_err();
    assert!(error.is_task_failed());
    assert_eq!(error.task_failure().unwrap().message, "Carol has no messages");
    assert_eq!(inbox.read("Bob").call()?, ["hello"]); // it lives on

    let (people, texts, empty) = inbox.sizes().remote();
    assert_eq!(mobula::get_all(&[people, texts])?, [2, 3]);
    assert!(!mobula::get(&empty)?);
    Ok(())
}

#[mobula::task]
fn write(inbox: ActorHandle<Inbox>, name: String) -> mobula::Result<usize> {
    inbox.deliver(name, "from a task").call()
}

struct Team {
    members: Vec<ActorHandle<Member>>,
}

struct Member {
    team: ActorHandle<Team>,
}

#[mobula::actor]
impl Member {
    pub fn new(team: ActorHandle<Team>) -> Self {
        Member { team }
    }

    /// Calls back; the handle that it was given does not keep the team alive.
    pub fn colleagues(&self) -> ObjectRef<usize> {
        self.team.size().remote()
    }
}

#[mobula::actor]
impl Team {
    pub fn new(size: usize) -> mobula::Result<Self> {
        let this = mobula::context().current_actor::<Team>(); // weak, and it works in `new`
        let members = (0..size).map(|_| Member::remote(&this)).collect::<mobula::Result<_>>()?;
        Ok(Team { members })
    }

    pub fn size(&self) -> usize {
        self.members.len()
    }

    pub fn ask(&self) -> ObjectRef<ObjectRef<usize>> {
        self.members[0].colleagues().remote()
    }
}

#[mobula::test]
fn handles() {
    let _runtime = mobula::init(config()).unwrap();
    check_handles().unwrap();
}

fn check_handles() -> mobula::Result<()> {
    let inbox = Inbox::remote()?;
    let written = write::remote(&inbox, "Ada"); // handles travel like values
    assert_eq!(mobula::get(&written)?, 1);
    let team = Team::remote(3)?;
    let answer = mobula::get(&mobula::get(&team.ask().call()?)?)?;
    assert_eq!(answer, 3);
    Ok(())
}

#[mobula::test]
fn ends() {
    let _runtime = mobula::init(config()).unwrap();
    check_ends().unwrap();
}

fn check_ends() -> mobula::Result<()> {
    let inbox = Inbox::remote()?;
    let last = inbox.deliver("Ada", "still delivered").remote();
    drop(inbox); // the last handle: what was called runs, then the actor ends
    assert_eq!(mobula::get(&last)?, 1);

    let inbox = Inbox::remote()?;
    mobula::kill(&inbox)?; // at once, without destructors; back when the process is gone
    let error = inbox.deliver("Ada", "too late").call().unwrap_err();
    assert!(error.is_actor_died());
    Ok(())
}

#[mobula::test]
fn names() {
    let _runtime = mobula::init(config()).unwrap();
    check_names().unwrap();
}

fn check_names() -> mobula::Result<()> {
    let _inbox = Inbox::options().name("inbox").get_if_exists(true).remote()?;
    let found: ActorHandle<Inbox> = mobula::get_actor("inbox")?; // from any process of the namespace
    assert_eq!(found.deliver("Ada", "by name").call()?, 1);

    let inbox = Inbox::options().max_pending_calls(2).remote()?;
    let slow = mobula::put(&"Ada".to_string())?;
    let calls: Vec<_> = (0..100).map(|_| inbox.deliver(&slow, "x").try_remote()).collect();
    let refused = calls.iter().filter(|call| call.as_ref().is_err_and(|e| e.is_pending_calls_limit()));
    println!("{} calls were refused while two were unanswered", refused.count());
    Ok(())
}

struct Shop {
    sold: AtomicU32,
}

#[mobula::actor(max_concurrency = 4, concurrency_groups(health = 1))]
impl Shop {
    pub fn new() -> Self {
        Shop { sold: AtomicU32::new(0) }
    }

    /// Up to four of these run at once.
    pub fn sell(&self) -> u32 {
        self.sold.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Alone: it waits for those that run, and those that come later wait for it.
    pub fn close(&mut self) -> u32 {
        std::mem::take(self.sold.get_mut())
    }

    /// Answers even while four customers are stuck.
    #[mobula::method(concurrency_group = "health")]
    pub fn is_open(&self) -> bool {
        true
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        println!("{} sold since the last time", self.sold.get_mut()); // the shutdown hook
    }
}

#[mobula::test]
fn several_calls_at_once() {
    let _runtime = mobula::init(config()).unwrap();
    check_shop().unwrap();
}

fn check_shop() -> mobula::Result<()> {
    let shop = Shop::options().shutdown_timeout(Duration::from_secs(5)).remote()?;
    let sales: Vec<_> = (0..10).map(|_| shop.sell().remote()).collect();
    let urgent = shop.sell().concurrency_group("health").remote(); // one call in another group
    assert!(shop.is_open().call()?);
    mobula::get_all(&sales)?;
    mobula::get(&urgent)?;
    assert_eq!(shop.close().call()?, 11);
    Ok(())
}
