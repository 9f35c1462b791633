//! `max_retries`: the end of a worker's process costs one.

use super::support::{Scratch, eventually, get, start, start_with};
use super::{begun, die_until};

#[mobula::task]
fn add(a: u32, b: u32) -> u32 {
    a + b
}

#[mobula::test]
fn a_task_whose_workers_die_runs_again_and_gives_one_result() {
    let _runtime = start();
    let diary = Scratch::new("diary");
    let task = die_until::options().max_retries(2).remote(diary.text(), 3);
    // What depends on it knows nothing of its tries.
    let sum = add::remote(&task, 0);
    let pid = get(&task).unwrap();
    assert_eq!((begun(&diary), get(&sum).unwrap()), (3, pid));
}

#[mobula::test]
fn after_the_last_try_the_worker_has_crashed() {
    let _runtime = start();
    for (retries, words) in [(0, "tried once"), (1, "tried 2 times"), (3, "tried 4 times")] {
        let diary = Scratch::new("diary");
        let task = die_until::options().max_retries(retries).remote(diary.text(), usize::MAX);
        let error = get(&task).unwrap_err();
        assert!(error.is_worker_crashed(), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("die_until") && text.contains("SIGABRT") && text.contains(words), "{text}");
        assert_eq!(begun(&diary), 1 + retries as usize);
    }
}

#[mobula::test]
fn minus_one_tries_for_ever() {
    let _runtime = start();
    let diary = Scratch::new("diary");
    get(&die_until::options().max_retries(-1).remote(diary.text(), 12)).unwrap();
    assert_eq!(begun(&diary), 12);
}

#[mobula::test]
fn one_that_kills_its_workers_holds_up_no_other() {
    let _runtime = start_with(1.0);
    let diary = Scratch::new("diary");
    let deadly = die_until::options().max_retries(-1).remote(diary.text(), 20);
    let others: Vec<_> = (0..100).map(|x| add::options().max_retries(0).remote(x, 1)).collect();
    assert!(mobula::get_all(&others).unwrap().into_iter().eq(1..=100));
    get(&deadly).unwrap();
    eventually("the CPU is free", || mobula::available_resources()["CPU"] == 1.0);
}
