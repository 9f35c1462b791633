//! Any process that has a ref may cancel, also if it goes at once.

use mobula::ObjectRef;

use super::support::{Gate, Scratch, get, note, pass, start, start_with};
use super::{all_cpus_back, hold, is_cancelled, until_noted};

#[mobula::task]
fn cancel_it(of: Vec<ObjectRef<bool>>, force: bool) -> Result<bool, mobula::Error> {
    mobula::cancel(&of[0], force)?;
    Ok(mobula::get(&of[0]).unwrap_err().is_cancelled())
}

#[mobula::task(max_retries = 0)]
fn cancel_and_die(of: Vec<ObjectRef<bool>>) {
    mobula::cancel(&of[0], false).unwrap();
    std::process::abort()
}

pub struct Maker {}

#[mobula::actor]
impl Maker {
    pub fn new() -> Self {
        Maker {}
    }

    pub fn make(&self, diary: String, gate: String) -> ObjectRef<bool> {
        hold::remote(diary, gate)
    }

    pub fn hold(&self, diary: String, gate: String) -> bool {
        note(&diary, "begun");
        pass(&gate);
        true
    }
}

#[mobula::test]
fn a_task_of_another_process_is_cancelled_there() {
    let _runtime = start_with(4.0);
    let maker = Maker::remote().unwrap();
    for force in [false, true] {
        // Another process made it than this one, and a third one cancels what this one made.
        let (gate, diary) = (Gate::new(), Scratch::new("diary"));
        let made: ObjectRef<bool> = get(&maker.make(diary.text(), gate.text()).remote()).unwrap();
        until_noted(&diary, "begun");
        mobula::cancel(&made, force).unwrap();
        assert!(is_cancelled(&made));
        let own = Scratch::new("diary");
        let task = hold::remote(own.text(), gate.text());
        until_noted(&own, "begun");
        let canceller = cancel_it::remote(vec![task.clone()], force);
        assert!(get(&canceller).unwrap() && is_cancelled(&task));
        gate.open();
        all_cpus_back(4.0);
        // Over by now, here and there.
        mobula::cancel(&made, force).unwrap();
        assert_eq!(diary.lines().len(), if force { 1 } else { 2 });
    }
}

#[mobula::test]
fn force_is_refused_for_an_actors_call_by_whoever_tries() {
    let _runtime = start();
    let maker = Maker::remote().unwrap();
    let (gate, diary) = (Gate::new(), Scratch::new("diary"));
    let call = maker.hold(diary.text(), gate.text()).remote();
    let error = get(&cancel_it::remote(vec![call.clone()], true)).unwrap_err();
    assert!(error.to_string().contains("mobula::kill"), "{error}");
    gate.open();
    assert!(get(&call).unwrap());
}

#[mobula::test]
fn a_canceller_that_dies_has_cancelled() {
    let _runtime = start();
    let (gate, diary) = (Gate::new(), Scratch::new("diary"));
    let task = hold::remote(diary.text(), gate.text());
    until_noted(&diary, "begun");
    assert!(get(&cancel_and_die::remote(vec![task.clone()])).unwrap_err().is_worker_crashed());
    assert!(is_cancelled(&task));
    gate.open();
    all_cpus_back(2.0);
}
