//! What a caller learns of an actor's death.
//!
//! `kill_actor_to_error`: from the SIGKILL of a process that runs a call to that call's error out of `get`.

use rustix::process::{Pid, Signal, kill_process};

use crate::error::{Error, Result, check};
use crate::limits::{IDLE, Limit};
use crate::sample::Samples;
use crate::session::{Figure, Session};
use crate::suites::cast;

use super::NAME;

const ROW: &str = "kill_actor_to_error";

pub(super) fn measure(session: &mut Session<'_>) -> Result<()> {
    session.begin(ROW);
    let clock = session.clock();
    let mut times = Vec::new();
    for _ in 0..session.count(100, 10) {
        for echo in cast::echoes(1)? {
            let pid = mobula::get(&echo.pid().remote())?;
            let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
            let pid = pid.ok_or_else(|| Error::Wrong { row: ROW, got: "0".into(), expected: "a pid".into() })?;
            let nap = echo.nap().remote();
            // It is on its way to its nap, and this side should be as quiet as a caller that waits.
            std::thread::sleep(IDLE);
            let start = clock.now();
            kill_process(pid, Signal::KILL).map_err(Error::os("kill an actor's process"))?;
            let answer = mobula::get(&nap);
            times.push(clock.since(start));
            check(ROW, answer.err().map(|error| error.is_actor_died()), Some(true))?;
        }
    }
    session.emit(NAME, ROW, Figure::of(&Samples::new(times)), Some(Limit::KillSeen.name()))
}
