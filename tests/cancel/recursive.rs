//! What a cancelled task has submitted is cancelled, too.

use mobula::{CancelOptions, ObjectRef};

use super::support::{Gate, Scratch, eventually, get, note, pass, start, start_with};
use super::{all_cpus_back, exists, hold, is_cancelled, say, until_noted};

/// Submits one of its kind, down to one that waits in front of the gate; waits for it in front of a gate itself.
#[mobula::task]
fn tree(depth: u32, diary: String, gate: String) -> bool {
    if depth == 0 {
        note(&diary, "leaf");
        pass(&gate);
    } else {
        let _below = tree::remote(depth - 1, diary.clone(), gate.clone());
        pass(&gate);
    }
    let cancelled = mobula::context().is_cancelled();
    note(&diary, &format!("{depth} {cancelled}"));
    cancelled
}

/// Submits tasks that wait for its own end, more than there are CPUs for, and keeps them.
#[mobula::task]
fn submit_many(diary: String, ran: String, gate: String) -> bool {
    let refs: Vec<ObjectRef<bool>> =
        (0..100).map(|x| say::options().num_cpus(2.0).remote(ran.clone(), x.to_string())).collect();
    note(&diary, "submitted");
    pass(&gate);
    note(&diary, &format!("{}", refs.iter().all(|one| mobula::get(one).is_err_and(|error| error.is_cancelled()))));
    true
}

#[mobula::test]
fn down_to_the_last_grandchild() {
    let _runtime = start_with(4.0);
    let (gate, diary) = (Gate::new(), Scratch::new("diary"));
    let task = tree::remote(3, diary.text(), gate.text());
    until_noted(&diary, "leaf");
    mobula::cancel(&task, false).unwrap();
    assert!(is_cancelled(&task));
    // The others hear of it one after the other.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(std::time::Duration::from_millis(200));
            gate.open();
        });
    });
    for depth in 0..=3 {
        until_noted(&diary, &format!("{depth} true"));
    }
    all_cpus_back(4.0);
}

#[mobula::test]
fn what_has_not_begun_never_does() {
    let _runtime = start();
    let (gate, diary, ran) = (Gate::new(), Scratch::new("diary"), Scratch::new("ran"));
    let task = submit_many::remote(diary.text(), ran.text(), gate.text());
    until_noted(&diary, "submitted");
    mobula::cancel(&task, false).unwrap();
    gate.open();
    eventually("it has ended", || diary.lines().len() == 2);
    assert_eq!(diary.lines()[1], "true");
    all_cpus_back(2.0);
    assert!(!exists(&ran));
}

#[mobula::test]
fn unless_that_is_not_wanted() {
    let _runtime = start_with(4.0);
    let (gate, diary) = (Gate::new(), Scratch::new("diary"));
    let task = tree::remote(1, diary.text(), gate.text());
    until_noted(&diary, "leaf");
    mobula::cancel_with(&task, CancelOptions { force: false, recursive: false }).unwrap();
    assert!(is_cancelled(&task));
    gate.open();
    until_noted(&diary, "1 true");
    until_noted(&diary, "0 false");
    // A cancelled one is no reason for others to be.
    assert!(!get(&hold::remote(Scratch::new("diary").text(), gate.text())).unwrap());
}
