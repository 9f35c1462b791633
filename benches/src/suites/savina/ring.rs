//! A ball in a ring of players: `ping_pong` with two, `thread_ring` with more.

#![allow(unreachable_pub, reason = "remote methods are `pub`")]

use mobula::prelude::*;

use super::{dismiss, until};
use crate::error::{Result, check};
use crate::limits::Limit;
use crate::session::Session;

#[derive(Debug, Default)]
struct Player {
    next: Option<ActorHandle<Player>>,
    caught: u64,
    is_over: bool,
}

#[mobula::actor]
impl Player {
    pub fn new() -> Self {
        Player::default()
    }

    pub fn meet(&mut self, next: ActorHandle<Player>) {
        self.next = Some(next);
    }

    /// Throws the ball on unless it has been thrown often enough.
    pub fn catch(&mut self, left: u64) {
        self.caught += 1;
        match &self.next {
            Some(next) if left > 0 => drop(next.catch(left - 1).remote()),
            _ => self.is_over = true,
        }
    }

    /// Says whether the ball came to rest here, and forgets it.
    pub fn is_over(&mut self) -> bool {
        std::mem::take(&mut self.is_over)
    }

    pub fn caught(&self) -> u64 {
        self.caught
    }
}

pub(super) fn measure(session: &mut Session<'_>, row: &'static str, players: usize) -> Result<()> {
    let rounds = session.count(20_000, 400);
    let players = (0..players).map(|_| Player::remote()).collect::<mobula::Result<Vec<_>>>()?;
    for (player, next) in players.iter().zip(players.iter().cycle().skip(1)) {
        mobula::get(&player.meet(next).remote())?;
    }
    // Two throws are a round; with an even number of throws and players the first one catches the last.
    let throws = 2 * rounds as u64 / players.len() as u64 * players.len() as u64;
    let mut runs = 0;
    super::measure(session, row, Limit::SpinRtt, throws as usize / 2, || {
        runs += 1;
        drop(players[0].catch(throws).remote());
        until(|| mobula::get(&players[0].is_over().remote()))
    })?;
    let caught = players.iter().map(|player| mobula::get(&player.caught().remote()));
    let caught = caught.sum::<mobula::Result<u64>>()?;
    check(row, caught, runs * (throws + 1))?;
    dismiss(&players)
}
