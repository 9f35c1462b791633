//! When actors end: the last handle wherever it is, queued calls first.

use mobula::DeathCause;
use mobula::prelude::*;

use super::support::{Gate, Scratch, eventually, get, is_alive, note, pass, start};

/// Writes what happens to it into a file.
struct Scribe {
    path: String,
}

#[mobula::actor]
impl Scribe {
    pub fn new(path: String) -> Self {
        Scribe { path }
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }

    pub fn behind(&self, gate: String) {
        pass(&gate);
    }

    pub fn write(&self, line: String) {
        note(&self.path, &line);
    }

    pub fn hang(&self) {
        loop {
            std::thread::park();
        }
    }
}

impl Drop for Scribe {
    fn drop(&mut self) {
        note(&self.path, "dropped");
    }
}

#[mobula::test]
fn the_last_handle_lets_queued_calls_run_and_then_drops_the_actor() {
    let _runtime = start();
    let (gate, file) = (Gate::new(), Scratch::new("lines"));
    let scribe = Scribe::remote(file.text()).unwrap();
    let pid = get(&scribe.pid().remote()).unwrap();
    let _ = scribe.behind(gate.text()).remote();
    for number in 0..200 {
        let _ = scribe.write(number.to_string()).remote();
    }
    drop(scribe);
    assert!(is_alive(pid) && file.lines().is_empty());
    gate.open();
    eventually("the actor ends", || !is_alive(pid));
    let mut lines = file.lines();
    assert_eq!(lines.pop().as_deref(), Some("dropped"));
    assert!(lines.iter().map(|line| line.parse::<u32>().unwrap()).eq(0..200), "{lines:?}");
}

#[mobula::test]
fn an_actor_dropped_before_it_has_started_still_runs_its_calls() {
    let _runtime = start();
    let file = Scratch::new("lines");
    let scribe = Scribe::remote(file.text()).unwrap();
    for number in 0..10 {
        let _ = scribe.write(number.to_string()).remote();
    }
    drop(scribe);
    eventually("its calls run", || file.lines().len() == 11);
    assert_eq!(file.lines()[10], "dropped");
}

#[mobula::test]
fn kill_runs_no_destructor_and_nothing_that_is_queued() {
    let _runtime = start();
    let (gate, file) = (Gate::new(), Scratch::new("lines"));
    let scribe = Scribe::remote(file.text()).unwrap();
    let pid = get(&scribe.pid().remote()).unwrap();
    let running = scribe.behind(gate.text()).remote();
    let queued = scribe.write("never").remote();
    mobula::kill(&scribe).unwrap();
    gate.open();
    assert!(!is_alive(pid));
    for object in [&running, &queued] {
        let error = get(object).unwrap_err();
        assert!(matches!(error.actor_death().unwrap().cause, DeathCause::Killed), "{error:?}");
    }
    assert!(file.lines().is_empty(), "{:?}", file.lines());
    mobula::kill(&scribe).unwrap();
    assert!(get(&scribe.pid().remote()).unwrap_err().is_actor_died());
}

struct Shelf {
    kept: Vec<ActorHandle<Scribe>>,
}

#[mobula::actor]
impl Shelf {
    pub fn new() -> Self {
        Shelf { kept: Vec::new() }
    }

    pub fn keep(&mut self, scribes: Vec<ActorHandle<Scribe>>) -> usize {
        self.kept.extend(scribes);
        self.kept.len()
    }

    pub fn clear(&mut self) {
        self.kept.clear();
    }

    pub fn give(&self) -> Vec<ActorHandle<Scribe>> {
        self.kept.clone()
    }
}

#[mobula::task]
fn use_it(scribe: ActorHandle<Scribe>, line: String) -> Result<ActorHandle<Scribe>, mobula::Error> {
    mobula::get(&scribe.write(line).remote())?;
    Ok(scribe)
}

#[mobula::test]
fn handles_in_arguments_objects_actors_and_results_all_count() {
    let _runtime = start();
    let file = Scratch::new("lines");
    let shelf = Shelf::remote().unwrap();
    let scribe = Scribe::remote(file.text()).unwrap();
    let pid = get(&scribe.pid().remote()).unwrap();
    // Into an object, and out of it.
    let stored = mobula::put(&vec![scribe]).unwrap();
    let back = mobula::get(&stored).unwrap();
    drop(stored);
    get(&back[0].write("from an object").remote()).unwrap();
    // Through a task.
    let returned = get(&use_it::remote(&back[0], "from a task")).unwrap();
    drop(back);
    // Into an actor.
    assert_eq!(get(&shelf.keep(vec![returned]).remote()).unwrap(), 1);
    assert!(is_alive(pid));
    let from_shelf = shelf.give().remote();
    get(&shelf.clear().remote()).unwrap();
    // Now only a result that nobody has read has it.
    let last = get(&from_shelf).unwrap();
    get(&last[0].write("from a result").remote()).unwrap();
    assert_eq!(file.lines(), ["from an object", "from a task", "from a result"]);
    drop(from_shelf);
    assert!(is_alive(pid));
    drop(last);
    eventually("the actor ends with its last handle", || !is_alive(pid));
    assert_eq!(file.lines().len(), 4, "its destructor has run");
}

#[mobula::test]
fn a_handle_in_a_queued_call_keeps_the_actor() {
    let _runtime = start();
    let (gate, file) = (Gate::new(), Scratch::new("lines"));
    let other = Scratch::new("other");
    let busy = Scribe::remote(other.text()).unwrap();
    let _ = busy.behind(gate.text()).remote();
    let scribe = Scribe::remote(file.text()).unwrap();
    let pid = get(&scribe.pid().remote()).unwrap();
    let shelf = Shelf::remote().unwrap();
    // Waits in the queue of another actor, behind one that waits for the gate.
    let late = busy.pid().remote();
    let kept = shelf_behind::remote(&shelf, vec![scribe], late);
    assert!(is_alive(pid));
    gate.open();
    assert_eq!(get(&kept).unwrap(), 1);
    assert!(is_alive(pid));
    get(&shelf.clear().remote()).unwrap();
    eventually("the actor ends", || !is_alive(pid));
}

#[mobula::task]
fn shelf_behind(
    shelf: ActorHandle<Shelf>,
    scribes: Vec<ActorHandle<Scribe>>,
    _late: u32,
) -> Result<usize, mobula::Error> {
    mobula::get(&shelf.keep(scribes).remote())
}

#[mobula::test]
fn the_end_of_the_runtime_does_not_wait_for_actors() {
    let file = Scratch::new("lines");
    let runtime = start();
    let scribe = Scribe::remote(file.text()).unwrap();
    let pid = get(&scribe.pid().remote()).unwrap();
    let hanging = scribe.hang().remote();
    drop(runtime);
    assert!(!is_alive(pid));
    assert!(mobula::get(&hanging).unwrap_err().is_not_initialized());
    assert!(file.lines().is_empty(), "it was killed");
}
