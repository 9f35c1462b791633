//! Simulators: two copies of one environment, each in a process of its own.

use mobula::prelude::*;
use serde::{Deserialize, Serialize};

use super::gym::{self, Pong};
use super::time;

/// What an environment answers to an action.
#[derive(Serialize, Deserialize)]
pub struct Step {
    /// The screen. It is drawn into shared memory, where the driver reads it.
    pub observation: Array<u8>,
    pub reward: f64,
    pub done: bool,
    /// Steps since the last reset.
    pub episode_frame_number: u32,
}

pub struct GymEnvironment {
    env: Pong,
}

#[mobula::actor]
impl GymEnvironment {
    /// An unknown name is the error of whoever calls the environment.
    pub fn new(name: String) -> Result<Self, String> {
        Ok(GymEnvironment { env: gym::make(&name)? })
    }

    pub fn step(&mut self, action: u32) -> mobula::Result<Step> {
        let (reward, done) = self.env.step(action);
        let mut screen = ArrayMut::<u8>::zeros(&gym::SHAPE)?;
        self.env.render(&mut screen);
        Ok(Step { observation: screen.seal()?, reward, done, episode_frame_number: self.env.frame() })
    }

    pub fn reset(&mut self) {
        self.env.reset();
    }
}

fn show(name: &str, step: &Step) {
    let Step { observation, reward, done, episode_frame_number } = step;
    println!(
        "{name}: observation {:?}, reward {reward}, done {done}, frame {episode_frame_number}",
        observation.shape()
    );
}

/// Returns the last steps of both: the first of a second game, and the fourth of a first.
pub(crate) fn run() -> mobula::Result<[Step; 2]> {
    let _runtime = mobula::init(time::scaled(Config::new()))?;

    let a1 = GymEnvironment::remote("Pong-v0")?;
    let a2 = GymEnvironment::remote("Pong-v0")?;

    // Both step at the same time.
    for action in [0, 2, 3] {
        let (step1, step2) = (a1.step(action).remote(), a2.step(action).remote());
        show("a1", &mobula::get(&step1)?);
        show("a2", &mobula::get(&step2)?);
    }

    // What one does is nothing to the other.
    a1.reset().remote();
    let step1 = mobula::get(&a1.step(0).remote())?;
    let step2 = mobula::get(&a2.step(0).remote())?;
    show("a1", &step1);
    show("a2", &step2);
    Ok([step1, step2])
}
