//! An actor that is killed while several of its calls run: each of them is answered, and nothing is left.

use mobula::DeathCause;

use super::support::{Gate, all_space_back, eventually, get, is_alive, signal, start, stats};
use super::{hall, pid_of, threads_of};

#[mobula::test]
fn every_call_is_answered() {
    let _runtime = start();
    let before = stats();
    for by_signal in [true, false] {
        let (hall, gate) = (hall(4), Gate::new());
        let pid = pid_of(&hall);
        let running: Vec<_> = (0..4).map(|_| hall.pass(gate.text()).remote()).collect();
        let queued: Vec<_> = (0..20).map(|_| hall.write().remote()).collect();
        eventually("all four run", || threads_of(pid) == 3);
        if by_signal {
            signal(pid, "KILL");
        } else {
            mobula::kill(&hall).unwrap();
        }
        let deaths = running.iter().map(|one| get(one).unwrap_err());
        let deaths = deaths.chain(queued.iter().map(|one| get(one).unwrap_err()));
        for error in deaths {
            let death = error.actor_death().unwrap();
            assert_eq!(by_signal, matches!(death.cause, DeathCause::Crashed { .. }), "{error}");
        }
        eventually("its process is gone", || !is_alive(pid));
    }
    all_space_back(before);
}
