// Whether an actor's calls can run on several threads is found out from its type, without `unsafe` and without a word
// from the user.
#![forbid(unsafe_code)]
#![deny(warnings)]

use std::cell::Cell;
use std::rc::Rc;

use mobula::Actor;
use mobula::prelude::*;

struct Plain {
    value: u32,
    itself: Option<ActorHandle<Plain>>,
}

#[mobula::actor]
impl Plain {
    pub fn new() -> Self {
        Plain { value: 0, itself: Some(mobula::context().current_actor()) }
    }

    pub fn value(&self) -> u32 {
        self.value + u32::from(self.itself.is_none())
    }

    pub fn add(&mut self) {
        self.value += 1;
    }
}

struct NotSync(Cell<u32>);

#[mobula::actor]
impl NotSync {
    pub fn new() -> Self {
        NotSync(Cell::new(0))
    }

    pub fn value(&self) -> u32 {
        self.0.get()
    }
}

struct NotSend(Rc<u32>);

#[mobula::actor]
impl NotSend {
    pub fn new() -> Self {
        NotSend(Rc::new(0))
    }

    pub fn value(&self) -> u32 {
        *self.0
    }
}

struct Unit;

#[mobula::actor]
impl Unit {
    pub fn new() -> Self {
        Unit
    }
}

/// The user's own trait of that constant does not get in the way.
#[allow(dead_code)]
trait Share {
    const SHARE: u32 = 7;
}

impl<T> Share for T {}

fn main() {
    assert!(Plain::class().share.is_some());
    assert!(NotSync::class().share.is_none());
    assert!(NotSend::class().share.is_none());
    assert!(Unit::class().share.is_some());
    assert!(Plain::class().needs_drop && NotSend::class().needs_drop);
    assert!(!NotSync::class().needs_drop && !Unit::class().needs_drop);
}
