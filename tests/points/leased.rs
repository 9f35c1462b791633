//! The victim is a worker that a caller of tasks has been lent.

use std::path::Path;
use std::time::Duration;

use mobula::store::crash;

use super::every_point;
use super::support::{Gate, Scratch, all_space_back, eventually, get, is_alive, note, pass, start_with, stats};

/// How many tasks there are while the victim lives dangerously.
const TASKS: u64 = 40;

#[mobula::task]
fn square(x: u64) -> u64 {
    x * x
}

/// Lets this process live for so many stores, until the gate opens; then it notes how many are left.
#[mobula::task(max_retries = 0)]
fn arm(stores: u64, gate: String, left: String) -> u32 {
    std::thread::spawn(move || {
        pass(&gate);
        let stores = crash::left();
        crash::arm(0);
        note(Path::new(&left), &stores.to_string());
    });
    crash::arm(stores);
    std::process::id()
}

/// Notes that it has begun; some have large values, some hold up the others, which go back.
#[mobula::task(max_retries = 0)]
fn noted(diary: String, number: u64, bytes: Vec<u8>) -> (u64, Vec<u8>) {
    note(Path::new(&diary), &number.to_string());
    if number % 16 == 10 {
        // Longer than a tick: its caller wants the others back.
        std::thread::sleep(Duration::from_millis(4));
    }
    if number % 16 == 14 {
        // Sleeps on a task of its own, through a lease of its worker.
        assert_eq!(mobula::get(&square::remote(number)).unwrap(), number * number);
    }
    (number, bytes)
}

fn size(number: u64) -> usize {
    if number % 8 == 3 { 20_000 } else { 10 }
}

#[mobula::test]
fn a_leased_worker_dies_at_any_store() {
    let _runtime = start_with(1.0);
    let warm = || {
        let refs: Vec<_> = (0..200).map(square::remote).collect();
        assert!(mobula::get_all(&refs).unwrap().into_iter().eq((0..200).map(|x| x * x)));
    };
    warm();
    let before = stats();
    every_point("a worker that is lent", |n| {
        warm();
        let diary = Scratch::new("diary");
        std::fs::write(diary.text(), "").unwrap();
        let (gate, left) = (Gate::new(), Scratch::new("left"));
        let armed = arm::remote(n, gate.text(), left.text());
        let refs: Vec<_> =
            (0..TASKS).map(|number| noted::remote(diary.text(), number, vec![number as u8; size(number)])).collect();
        let mut lost = 0;
        let mut crashed = |what: &str, error: mobula::Error| {
            assert!(error.is_worker_crashed(), "killed after {n} stores: {what}: {error:?}");
            lost += 1;
        };
        let victim = get(&armed).map_err(|error| crashed("arm", error)).ok();
        let mut answered = Vec::new();
        for (number, one) in (0..TASKS).zip(&refs) {
            match get(one) {
                Ok((value, bytes)) => {
                    assert!(value == number && bytes == vec![number as u8; size(number)]);
                    answered.push(number);
                }
                Err(error) => crashed(&format!("task {number}"), error),
            }
        }
        assert!(lost <= 1, "killed after {n} stores: {lost} tasks are lost");
        let mut begun: Vec<u64> = diary.lines().iter().map(|line| line.parse().unwrap()).collect();
        begun.sort_unstable();
        assert!(begun.windows(2).all(|two| two[0] != two[1]), "killed after {n} stores: one ran twice: {begun:?}");
        assert!(answered.iter().all(|number| begun.contains(number)), "killed after {n} stores: {begun:?}");
        gate.open();
        let noted = || left.lines().first().map(|left| left.parse::<u64>().unwrap());
        if let Some(pid) = victim {
            eventually("the victim says what is left to it, or is dead", || noted().is_some() || !is_alive(pid));
        }
        warm();
        drop((armed, refs));
        all_space_back(before);
        noted().map(|left| n - left)
    });
}
