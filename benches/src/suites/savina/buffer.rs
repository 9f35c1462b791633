//! A bounded buffer: producers are told when there is room, consumers when there is an item.

#![allow(unreachable_pub, reason = "remote methods are `pub`")]

use std::collections::VecDeque;

use mobula::prelude::*;

use super::{dismiss, until};
use crate::error::{Result, check};
use crate::limits::Limit;
use crate::session::Session;

#[derive(Debug, Default)]
struct Manager {
    producers: Vec<ActorHandle<Producer>>,
    consumers: Vec<ActorHandle<Consumer>>,
    items: VecDeque<u64>,
    /// Producers that have made an item and were not told to make another one.
    waiting: VecDeque<usize>,
    idle: VecDeque<usize>,
    most: usize,
    consumed: u64,
}

#[mobula::actor]
impl Manager {
    pub fn new() -> Self {
        Manager::default()
    }

    pub fn meet(&mut self, producers: Vec<ActorHandle<Producer>>, consumers: Vec<ActorHandle<Consumer>>) {
        self.idle = (0..consumers.len()).collect();
        (self.producers, self.consumers) = (producers, consumers);
    }

    pub fn start(&self, items: u64) {
        self.producers.iter().for_each(|producer| drop(producer.start(items).remote()));
    }

    /// Takes an item.
    pub fn offer(&mut self, item: u64, producer: usize) {
        match self.idle.pop_front() {
            Some(consumer) => drop(self.consumers[consumer].consume(item).remote()),
            None => self.items.push_back(item),
        }
        self.most = self.most.max(self.items.len());
        if self.items.len() + self.producers.len() > ROOM {
            self.waiting.push_back(producer);
        } else {
            drop(self.producers[producer].produce().remote());
        }
    }

    /// Hears that a consumer is through with an item.
    pub fn done(&mut self, consumer: usize) {
        self.consumed += 1;
        match self.items.pop_front() {
            Some(item) => drop(self.consumers[consumer].consume(item).remote()),
            None => self.idle.push_back(consumer),
        }
        if let Some(producer) = self.waiting.pop_front() {
            drop(self.producers[producer].produce().remote());
        }
    }

    /// Returns how many items were consumed, and how many there were at once at most.
    pub fn state(&self) -> (u64, usize) {
        (self.consumed, self.most)
    }
}

#[derive(Debug)]
struct Producer {
    own: usize,
    manager: ActorHandle<Manager>,
    left: u64,
}

#[mobula::actor]
impl Producer {
    pub fn new(own: usize, manager: ActorHandle<Manager>) -> Self {
        Producer { own, manager, left: 0 }
    }

    pub fn start(&mut self, items: u64) {
        self.left = items;
        self.next();
    }

    pub fn produce(&mut self) {
        self.next();
    }
}

impl Producer {
    fn next(&mut self) {
        if self.left > 0 {
            drop(self.manager.offer(self.left, self.own).remote());
            self.left -= 1;
        }
    }
}

#[derive(Debug)]
struct Consumer {
    own: usize,
    manager: ActorHandle<Manager>,
    sum: u64,
}

#[mobula::actor]
impl Consumer {
    pub fn new(own: usize, manager: ActorHandle<Manager>) -> Self {
        Consumer { own, manager, sum: 0 }
    }

    pub fn consume(&mut self, item: u64) {
        self.sum += item;
        drop(self.manager.done(self.own).remote());
    }

    pub fn sum(&self) -> u64 {
        self.sum
    }
}

/// Items that the manager keeps at most.
const ROOM: usize = 8;
const PRODUCERS: usize = 2;
const CONSUMERS: usize = 2;

pub(super) fn measure(session: &mut Session<'_>) -> Result<()> {
    const ROW: &str = "bounded_buffer";
    let each = session.count(10_000, 200) as u64;
    let manager = Manager::remote()?;
    let producers = (0..PRODUCERS).map(|own| Producer::remote(own, &manager)).collect::<mobula::Result<Vec<_>>>()?;
    let consumers = (0..CONSUMERS).map(|own| Consumer::remote(own, &manager)).collect::<mobula::Result<Vec<_>>>()?;
    mobula::get(&manager.meet(producers.clone(), consumers.clone()).remote())?;
    let mut items = 0;
    super::measure(session, ROW, Limit::Stream, each as usize * PRODUCERS, || {
        items += each * PRODUCERS as u64;
        drop(manager.start(each).remote());
        until(|| Ok(mobula::get(&manager.state().remote())?.0 == items))
    })?;
    let sums: Vec<_> = consumers.iter().map(|consumer| consumer.sum().remote()).collect();
    let runs = items / (each * PRODUCERS as u64);
    check(ROW, mobula::get_all(&sums)?.iter().sum(), runs * PRODUCERS as u64 * each * (each + 1) / 2)?;
    let (_, most) = mobula::get(&manager.state().remote())?;
    check(ROW, most <= ROOM, true)?;
    dismiss(&producers)?;
    dismiss(&consumers)?;
    dismiss(&[manager])
}
