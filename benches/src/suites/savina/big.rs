//! Many to many: everybody pings somebody at random, and goes on when the pong is here.

#![allow(unreachable_pub, reason = "remote methods are `pub`")]

use mobula::prelude::*;

use super::{dismiss, until};
use crate::error::{Result, check};
use crate::limits::Limit;
use crate::session::Session;

#[derive(Debug, Default)]
struct Member {
    all: Vec<ActorHandle<Member>>,
    own: usize,
    random: u64,
    left: u64,
    pinged: u64,
}

#[mobula::actor]
impl Member {
    pub fn new(own: usize) -> Self {
        Member { own, random: own as u64 + 1, ..Member::default() }
    }

    pub fn meet(&mut self, all: Vec<ActorHandle<Member>>) {
        self.all = all;
    }

    pub fn start(&mut self, pings: u64) {
        self.left = pings;
        self.next();
    }

    pub fn ping(&mut self, from: usize) {
        self.pinged += 1;
        if let Some(from) = self.all.get(from) {
            drop(from.pong().remote());
        }
    }

    pub fn pong(&mut self) {
        self.left -= 1;
        self.next();
    }

    /// Returns how many pings are left to be answered, and how many came in.
    pub fn state(&self) -> (u64, u64) {
        (self.left, self.pinged)
    }
}

impl Member {
    fn next(&mut self) {
        if self.left == 0 {
            return;
        }
        // A linear congruence's upper bits are good enough to choose by.
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let others = self.all.len().max(2) - 1;
        let other = (self.own + 1 + (self.random >> 33) as usize % others) % self.all.len().max(1);
        if let Some(other) = self.all.get(other) {
            drop(other.ping(self.own).remote());
        }
    }
}

const MEMBERS: usize = 4;

pub(super) fn measure(session: &mut Session<'_>) -> Result<()> {
    const ROW: &str = "big";
    let pings = session.count(10_000, 200) as u64;
    let members = (0..MEMBERS).map(Member::remote).collect::<mobula::Result<Vec<_>>>()?;
    for member in &members {
        mobula::get(&member.meet(members.clone()).remote())?;
    }
    let states = || {
        let states: Vec<_> = members.iter().map(|member| member.state().remote()).collect();
        mobula::get_all(&states)
    };
    let mut runs = 0;
    super::measure(session, ROW, Limit::Stream, MEMBERS * pings as usize, || {
        runs += 1;
        let started: Vec<_> = members.iter().map(|member| member.start(pings).remote()).collect();
        mobula::get_all(&started)?;
        until(|| Ok(states()?.iter().all(|(left, _)| *left == 0)))
    })?;
    let pinged: u64 = states()?.iter().map(|(_, pinged)| pinged).sum();
    check(ROW, pinged, runs * MEMBERS as u64 * pings)?;
    dismiss(&members)
}
