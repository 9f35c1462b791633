//! Remote classes: three players, an actor each, and a method with three results.

use std::time::Instant;

use mobula::prelude::*;

use super::random::randint;
use super::time;

/// Name, age and goals of a player.
pub(crate) type Stats = (String, u32, u32);

pub struct GoalsScored {
    goals: u32,
    player: String,
    age: u32,
}

#[mobula::actor]
impl GoalsScored {
    pub fn new(player: String, age: u32) -> Self {
        GoalsScored { goals: 0, player, age }
    }

    pub fn score(&mut self, goal: u32) -> u32 {
        self.goals += goal;
        self.goals
    }

    pub fn player(&self) -> String {
        self.player.clone()
    }

    // A call of it gives three refs, each of which can be waited for and passed on alone.
    #[mobula::method(num_returns = 3)]
    pub fn stats(&self) -> (String, u32, u32) {
        (self.player.clone(), self.age, self.goals)
    }
}

fn print_stats(players: &[&ActorHandle<GoalsScored>]) -> mobula::Result<Vec<Stats>> {
    let mut all = Vec::new();
    for actor in players {
        let (player, age, goals) = actor.stats().remote();
        let (player, age, goals) = (mobula::get(&player)?, mobula::get(&age)?, mobula::get(&goals)?);
        println!("Player: ['{player}', {age}, {goals}]");
        all.push((player, age, goals));
    }
    Ok(all)
}

/// Returns what it prints: the players before and after Neymar's three goals more.
pub(crate) fn run() -> mobula::Result<[Vec<Stats>; 2]> {
    let _runtime = mobula::init(time::scaled(Config::new()))?;

    // Both return at once: the processes start, and the methods run, behind the handles and refs.
    let start = Instant::now();
    let ronaldo = GoalsScored::remote("Ronaldo", randint(18, 35))?;
    let neymar = GoalsScored::remote("Neymar", randint(18, 35))?;
    let messi = GoalsScored::remote("Messi", randint(18, 35))?;
    println!("three actors made in {:.3} ms", start.elapsed().as_secs_f64() * 1e3);

    let start = Instant::now();
    ronaldo.score(randint(1, 7)).remote();
    neymar.score(randint(1, 7)).remote();
    messi.score(randint(1, 7)).remote();
    println!("three methods called in {:.3} ms", start.elapsed().as_secs_f64() * 1e3);

    let players = [&ronaldo, &neymar, &messi];
    let before = print_stats(&players)?;

    // 0 + 1 + 2. Nobody waits for these calls: those of one caller to one actor run in order, `stats` behind them.
    for goal in 0..3 {
        neymar.score(goal).remote();
    }
    Ok([before, print_stats(&players)?])
}
