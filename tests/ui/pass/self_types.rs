// `Self` means the actor, and receivers may be written with a type.
#![forbid(unsafe_code)]
#![deny(warnings)]
#![allow(clippy::needless_arbitrary_self_type)]

use mobula::prelude::*;
use mobula::serde::{Deserialize, Serialize};

trait Shape {
    type Area;
}

#[derive(Serialize, Deserialize, Clone, Default)]
#[serde(crate = "mobula::serde")]
struct Node {
    next: Option<Box<Node>>,
}

impl Shape for Node {
    type Area = f32;
}

impl Node {
    const LEN: usize = 2;
}

#[mobula::actor]
impl Node {
    pub fn new(next: Option<Self>) -> Self {
        Self { next: next.map(Box::new) }
    }

    pub fn link(self: &mut Self, next: Box<Self>) -> Self {
        self.next = Some(next);
        (*self).clone()
    }

    pub fn peers(self: &Self, peers: Vec<ActorHandle<Self>>) -> Option<ActorHandle<Self>> {
        peers.into_iter().next()
    }

    pub fn area(&self, sides: [f32; Self::LEN]) -> <Self as Shape>::Area {
        sides.iter().product()
    }

    #[mobula::method(num_returns = 2)]
    pub fn both(&self) -> Result<(Self, Vec<Self>), String> {
        Ok(Default::default())
    }
}

mod deeper {
    pub(crate) enum Choice {
        One,
    }

    pub(crate) struct Generic<T>(pub(crate) T);
}

// A path to the type.
#[mobula::actor]
impl deeper::Choice {
    pub fn new() -> deeper::Choice {
        deeper::Choice::One
    }

    pub fn same(&self) -> bool {
        matches!(self, Self::One)
    }
}

// One type of a generic family.
#[mobula::actor]
impl deeper::Generic<u8> {
    pub fn new(value: u8) -> Self {
        deeper::Generic(value)
    }

    pub fn value(&self) -> u8 {
        self.0
    }
}

#[allow(dead_code)]
fn shapes() -> mobula::Result<()> {
    let node = Node::remote(None)?;
    let _: ObjectRef<Node> = node.link(Box::new(Node::default())).remote();
    let _: ObjectRef<Option<ActorHandle<Node>>> = node.peers(vec![node.clone()]).remote();
    let _: ObjectRef<f32> = node.area([1.0, 2.0]).remote();
    let _: (ObjectRef<Node>, ObjectRef<Vec<Node>>) = node.both().remote();
    let _ = deeper::Choice::remote()?.same().remote();
    let _ = deeper::Generic::<u8>::remote(1)?.value().remote();
    Ok(())
}

fn main() {}
