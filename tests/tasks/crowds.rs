//! Many tasks, and tasks in tasks, on few CPUs.

use std::path::Path;

use super::support::{Scratch, eventually, get, note, start_with};

#[mobula::task]
fn square(x: u64) -> u64 {
    x * x
}

#[mobula::task]
fn add(a: u64, b: u64) -> u64 {
    a + b
}

#[mobula::task]
fn depth(left: u32) -> u32 {
    if left == 0 { 0 } else { 1 + mobula::get(&depth::remote(left - 1)).unwrap() }
}

/// Notes when it begins and ends, and waits for a child between.
#[mobula::task]
fn parent(diary: String, number: u64) -> u64 {
    note(Path::new(&diary), "+");
    let child = mobula::get(&square::remote(number)).unwrap();
    note(Path::new(&diary), "-");
    child
}

/// Reads how many were active at most, from what they have noted.
fn most_active(diary: &Scratch) -> i64 {
    let mut active = 0;
    let steps = diary.lines().into_iter().map(|line| if line == "+" { 1 } else { -1 });
    let most = steps.map(|step| {
        active += step;
        active
    });
    most.max().unwrap()
}

#[mobula::test]
fn a_thousand_tasks_all_run() {
    let _runtime = start_with(2.0);
    let refs: Vec<_> = (0..1000).map(square::remote).collect();
    assert!(mobula::get_all(&refs).unwrap().into_iter().eq((0..1000).map(|x| x * x)));
    eventually("the CPUs come back", || mobula::available_resources()["CPU"] == 2.0);
}

#[mobula::test]
fn a_thousand_tasks_with_a_child_each_on_one_cpu_keep_few_active() {
    let _runtime = start_with(1.0);
    let diary = Scratch::new("diary");
    let refs: Vec<_> = (0..1000).map(|number| parent::remote(diary.text(), number)).collect();
    assert!(mobula::get_all(&refs).unwrap().into_iter().eq((0..1000).map(|x| x * x)));
    let most = most_active(&diary);
    eprintln!("{most} parents were active at most");
    assert!(most < 20, "{most} parents were active at the same time");
}

#[mobula::test]
fn a_chain_of_tasks_a_thousand_deep_completes_on_one_cpu() {
    let _runtime = start_with(1.0);
    assert_eq!(get(&depth::remote(1000)).unwrap(), 1000);
    assert_eq!(get(&square::remote(5)).unwrap(), 25);
}

#[mobula::test]
fn a_chain_of_a_thousand_arguments_completes() {
    let _runtime = start_with(2.0);
    let mut sum = square::remote(0);
    for number in 1..=1000 {
        sum = add::remote(&sum, number);
    }
    assert_eq!(get(&sum).unwrap(), 500_500);
}

#[mobula::test]
fn a_tree_of_arguments_completes() {
    let _runtime = start_with(2.0);
    let mut layer: Vec<_> = (0..256).map(square::remote).collect();
    while layer.len() > 1 {
        layer = layer.chunks(2).map(|pair| add::remote(&pair[0], &pair[1])).collect();
    }
    assert_eq!(get(&layer[0]).unwrap(), (0..256u64).map(|x| x * x).sum::<u64>());
}

#[mobula::test]
fn a_task_whose_ref_is_dropped_still_runs() {
    let _runtime = start_with(1.0);
    let diary = Scratch::new("diary");
    for number in 0..20 {
        let _ = parent::remote(diary.text(), number);
    }
    eventually("all of them run", || diary.lines().iter().filter(|line| *line == "-").count() == 20);
}
