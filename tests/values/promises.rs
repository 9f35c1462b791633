//! Refs that leave their process before their value is there. Whatever dies, whoever waits hears of it.

use mobula::prelude::*;

use super::support::{Gate, all_space_back, eventually, get, is_alive, pass, signal, start, stats};

struct Player;

#[mobula::actor]
impl Player {
    pub fn new() -> Self {
        Player
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }

    pub fn behind(&self, gate: String, len: usize) -> Vec<u8> {
        pass(&gate);
        vec![7; len]
    }

    pub fn fail_behind(&self, gate: String) -> Result<Vec<u8>, String> {
        pass(&gate);
        Err("in the end".into())
    }

    /// Asks another actor, and gives its ref away while the value is not there.
    pub fn ask(&self, other: ActorHandle<Player>, gate: String) -> Vec<ObjectRef<Vec<u8>>> {
        vec![other.behind(gate, 3).remote()]
    }

    /// Says at the first gate that it waits, and what came of it.
    pub fn await_it(&self, waiting: String, refs: Vec<ObjectRef<Vec<u8>>>) -> Result<Vec<usize>, String> {
        std::fs::write(waiting, "here").unwrap();
        let seen = mobula::get_all(&refs).map_err(|error| {
            let kind = if error.is_object_lost() {
                "lost"
            } else if error.is_actor_died() {
                "died"
            } else if error.is_task_failed() {
                "failed"
            } else {
                "other"
            };
            format!("{kind}: {error}")
        })?;
        Ok(seen.into_iter().map(|bytes| bytes.len()).collect())
    }

    /// Takes the value itself.
    pub fn length(&self, bytes: Vec<u8>) -> usize {
        bytes.len()
    }

    /// Passes a ref on as an argument of another call.
    pub fn pass_on(&self, to: ActorHandle<Player>, refs: Vec<ObjectRef<Vec<u8>>>) -> Result<usize, mobula::Error> {
        mobula::get(&to.length(&refs[0]).remote())
    }
}

/// A player that runs, with its pid.
fn player() -> (ActorHandle<Player>, u32) {
    let player = Player::remote().unwrap();
    let pid = get(&player.pid().remote()).unwrap();
    (player, pid)
}

fn message(error: &mobula::Error) -> &str {
    &error.task_failure().unwrap_or_else(|| panic!("{error:?}")).message
}

#[mobula::test]
fn small_and_large_values_arrive_where_their_refs_went() {
    let _runtime = start();
    let ((slow, _), (reader, _)) = (player(), player());
    let before = stats();
    for len in [0, 3, 1024, 5000, 1_000_000] {
        let (gate, waiting) = (Gate::new(), Gate::new());
        let late = slow.behind(gate.text(), len).remote();
        let seen = reader.await_it(waiting.text(), vec![late.clone(), late.clone()]).remote();
        pass(&waiting.text());
        gate.open();
        assert_eq!(get(&seen).unwrap(), [len, len]);
        assert_eq!(get(&late).unwrap().len(), len);
    }
    all_space_back(before);
}

#[mobula::test]
fn an_error_arrives_where_the_ref_went() {
    let _runtime = start();
    let ((slow, _), (reader, _)) = (player(), player());
    let (gate, waiting) = (Gate::new(), Gate::new());
    let late = slow.fail_behind(gate.text()).remote();
    let seen = reader.await_it(waiting.text(), vec![late]).remote();
    pass(&waiting.text());
    gate.open();
    let error = get(&seen).unwrap_err();
    assert!(message(&error).starts_with("failed: ") && message(&error).contains("in the end"), "{error}");
}

#[mobula::test]
fn the_callees_death_reaches_those_who_wait_elsewhere() {
    let _runtime = start();
    let ((slow, pid), (reader, _)) = (player(), player());
    let (gate, waiting) = (Gate::new(), Gate::new());
    let late = slow.behind(gate.text(), 3).remote();
    let seen = reader.await_it(waiting.text(), vec![late.clone()]).remote();
    pass(&waiting.text());
    signal(pid, "KILL");
    let error = get(&seen).unwrap_err();
    assert!(message(&error).starts_with("died: ") && message(&error).contains("SIGKILL"), "{error}");
    assert!(get(&late).unwrap_err().is_actor_died());
}

#[mobula::test]
fn the_death_of_the_one_who_asked_is_a_lost_object_for_all_others() {
    let _runtime = start();
    let ((slow, _), (asker, pid), (reader, _)) = (player(), player(), player());
    let (gate, waiting) = (Gate::new(), Gate::new());
    let refs = get(&asker.ask(&slow, gate.text()).remote()).unwrap();
    let seen = reader.await_it(waiting.text(), refs.clone()).remote();
    let passed_on = slow_reader(&refs);
    pass(&waiting.text());
    let here = std::thread::spawn({
        let refs = refs.clone();
        move || mobula::get(&refs[0])
    });
    signal(pid, "KILL");
    eventually("the process ends", || !is_alive(pid));
    let error = get(&seen).unwrap_err();
    assert!(message(&error).starts_with("lost: "), "{error}");
    assert!(here.join().unwrap().unwrap_err().is_object_lost());
    let error = get(&refs[0]).unwrap_err();
    assert!(error.is_object_lost() && error.to_string().contains(&refs[0].to_string()), "{error}");
    // A call and a task that wait for it as an argument fail with the same error.
    for error in passed_on {
        assert!(error().is_object_lost(), "{:?}", error());
    }
    // Also for those that come later.
    let (reader, _) = player();
    assert!(get(&reader.length(&refs[0]).remote()).unwrap_err().is_object_lost());
    gate.open();
}

/// Has a call and a task wait for a ref as their argument.
fn slow_reader(refs: &[ObjectRef<Vec<u8>>]) -> [Box<dyn Fn() -> mobula::Error>; 2] {
    let (reader, _) = player();
    let call = reader.length(&refs[0]).remote();
    let task = length::remote(&refs[0]);
    [Box::new(move || get(&call).unwrap_err()), Box::new(move || get(&task).unwrap_err())]
}

#[mobula::task]
fn length(bytes: Vec<u8>) -> usize {
    bytes.len()
}

#[mobula::test]
fn a_borrowed_ref_can_be_passed_on_as_an_argument() {
    let _runtime = start();
    let ((slow, _), (middle, _), (last, _)) = (player(), player(), player());
    let gate = Gate::new();
    let late = slow.behind(gate.text(), 2000).remote();
    let seen = middle.pass_on(&last, vec![late]).remote();
    gate.open();
    assert_eq!(get(&seen).unwrap(), 2000);
}

#[mobula::test]
fn promises_whose_refs_are_all_dropped_leave_nothing() {
    let _runtime = start();
    let ((slow, _), (keeper, _)) = (player(), player());
    let before = stats();
    let (gate, waiting) = (Gate::new(), Gate::new());
    for _ in 0..10 {
        let late = slow.behind(gate.text(), 5000).remote();
        let _stored = mobula::put(&late).unwrap();
    }
    let seen = keeper.await_it(waiting.text(), vec![slow.behind(gate.text(), 10).remote()]).remote();
    gate.open();
    assert_eq!(get(&seen).unwrap(), [10]);
    drop(seen);
    all_space_back(before);
}

#[mobula::test]
fn as_completed_over_refs_of_others_gives_each_as_it_comes() {
    let _runtime = start();
    let ((slow, _), (asker, _)) = (player(), player());
    let gates = [Gate::new(), Gate::new()];
    let mut refs = get(&asker.ask(&slow, gates[0].text()).remote()).unwrap();
    refs.extend(get(&asker.ask(&slow, gates[1].text()).remote()).unwrap());
    // One of this process's own among them.
    refs.push(mobula::put(&vec![1u8; 9]).unwrap());
    let mut completed = mobula::as_completed(refs.clone());
    assert_eq!(completed.next().unwrap().unwrap(), refs[2]);
    for (gate, object) in gates.iter().zip(&refs) {
        gate.open();
        assert_eq!(completed.next().unwrap().unwrap(), *object);
    }
    assert!(completed.next().is_none());
}

#[mobula::test]
fn wait_over_refs_of_others() {
    let _runtime = start();
    let ((slow, _), (asker, _)) = (player(), player());
    let gate = Gate::new();
    let refs = get(&asker.ask(&slow, gate.text()).remote()).unwrap();
    let (ready, pending) = mobula::wait(&refs, 1, Some(std::time::Duration::from_millis(5))).unwrap();
    assert_eq!((ready.len(), pending.len()), (0, 1));
    gate.open();
    let (ready, _) = mobula::wait(&refs, 1, None).unwrap();
    assert_eq!(ready, refs);
    assert_eq!(mobula::get_timeout(&refs[0], std::time::Duration::ZERO).unwrap(), [7; 3]);
}

#[mobula::task]
fn child(gate: String) -> i64 {
    pass(&gate);
    7
}

/// Ends while what it has asked for is not there.
#[mobula::task]
fn parent(gate: String) -> Vec<ObjectRef<i64>> {
    vec![child::remote(gate)]
}

#[mobula::test]
fn what_a_task_has_left_pending_still_comes() {
    let _runtime = start();
    // In a worker of the pool, and in one of its own that ends with its task.
    for options in [parent::options(), parent::options().env("OF_ITS", "own")] {
        let gate = Gate::new();
        let refs = get(&options.remote(gate.text())).unwrap();
        gate.open();
        assert_eq!(get(&refs[0]).unwrap(), 7);
    }
}
