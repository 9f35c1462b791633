//! What a caller learns of an actor's death.
//!
//! - `kill_actor_to_error`: from the SIGKILL of a process that runs a call to that call's error out of `get`.
//! - `restart_to_result`: from the SIGKILL of a process to the first result of the next one, of a call made at once.

use rustix::process::{Pid, Signal, kill_process};

use crate::error::{Error, Result, check};
use crate::limits::{IDLE, Limit};
use crate::sample::Samples;
use crate::session::{Figure, Session};
use crate::suites::cast;

use super::NAME;

const ROW: &str = "kill_actor_to_error";

const RESTART: &str = "restart_to_result";

pub(super) fn measure(session: &mut Session<'_>) -> Result<()> {
    death(session)?;
    restart(session)
}

fn death(session: &mut Session<'_>) -> Result<()> {
    session.begin(ROW);
    let clock = session.clock();
    let mut times = Vec::new();
    for _ in 0..session.count(100, 10) {
        for echo in cast::echoes(1)? {
            let pid = pid_of(ROW, &echo)?;
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

fn restart(session: &mut Session<'_>) -> Result<()> {
    session.begin(RESTART);
    let clock = session.clock();
    let mut times = Vec::new();
    for number in 0..session.count(100, 10) as u64 {
        // Another one each time: the second restart of an actor that has lived for a moment would wait.
        let echo = cast::Echo::options().max_restarts(1).remote()?;
        let pid = pid_of(RESTART, &echo)?;
        std::thread::sleep(IDLE);
        let start = clock.now();
        kill_process(pid, Signal::KILL).map_err(Error::os("kill an actor's process"))?;
        let next = mobula::get(&echo.successor(number).max_task_retries(1).remote())?;
        times.push(clock.since(start));
        check(RESTART, next, number + 1)?;
    }
    session.emit(NAME, RESTART, Figure::of(&Samples::new(times)), Some(Limit::KillSeen.name()))
}

fn pid_of(row: &'static str, echo: &mobula::ActorHandle<cast::Echo>) -> Result<Pid> {
    let pid = mobula::get(&echo.pid().remote())?;
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.ok_or_else(|| Error::Wrong { row, got: "0".into(), expected: "a pid".into() })
}
