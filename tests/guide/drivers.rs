//! Snippets of `docs/drivers.md`.

use std::process::Command;

use mobula::prelude::*;

use super::config;
use super::support::run;

/// Says that a process is the second driver.
const ROLE: &str = "MOBULA_GUIDE_DRIVER";

mobula::test_support!();

struct Board {
    lines: Vec<String>,
}

#[mobula::actor]
impl Board {
    pub fn new() -> Self {
        Board { lines: Vec::new() }
    }

    pub fn write(&mut self, line: String) -> usize {
        self.lines.push(line);
        self.lines.len()
    }
}

fn join(address: &str) -> mobula::Result<()> {
    let _runtime = mobula::init(Config::new().address(address).namespace("team"))?; // "auto", or a folder
    let board: ActorHandle<Board> = mobula::get_actor("board")?; // made by another driver
    board.write("from here").call()?;
    Ok(())
}

fn leave_behind() -> mobula::Result<()> {
    Board::options().name("board").namespace("team").lifetime(Lifetime::Detached).remote()?;
    Ok(()) // no handle is kept
}

#[mobula::test]
fn a_second_driver_finds_what_the_first_one_has_left() {
    // This process is the node, and its own first driver.
    let runtime = mobula::init(config()).unwrap();
    leave_behind().unwrap();
    let address = runtime.info().session_dir.clone();
    let mut second = Command::new("/proc/self/exe");
    second.args(["--exact", "drivers::second_driver", "--nocapture"]);
    let ran = run(second.env(ROLE, address));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let board: ActorHandle<Board> = mobula::get_actor_in("team", "board").unwrap();
    assert_eq!(board.write("from the first").call().unwrap(), 2);
}

#[test]
fn second_driver() {
    if let Ok(address) = std::env::var(ROLE) {
        join(&address).unwrap();
    }
}
