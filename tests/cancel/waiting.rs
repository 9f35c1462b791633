//! What has not begun never runs, wherever it waits.

use super::support::{Gate, Scratch, get, start_with};
use super::{all_cpus_back, exists, hold, is_cancelled, say, until_noted};

#[mobula::task]
fn square(x: u64) -> u64 {
    x * x
}

#[mobula::task]
fn say_after(diary: String, _value: bool) -> bool {
    super::note(&diary, "ran");
    true
}

#[mobula::test]
fn in_the_queue_of_its_caller() {
    let _runtime = start_with(1.0);
    let (gate, diary, ran) = (Gate::new(), Scratch::new("diary"), Scratch::new("ran"));
    let first = hold::remote(diary.text(), gate.text());
    until_noted(&diary, "begun");
    let refs: Vec<_> = (0..1_000).map(|x| say::remote(ran.text(), x.to_string())).collect();
    // Every third stays; those in the middle go first.
    for (x, one) in refs.iter().enumerate().rev().filter(|(x, _)| x % 3 != 0) {
        mobula::cancel(one, false).unwrap();
        assert!(is_cancelled(one), "{x}");
    }
    gate.open();
    assert!(!get(&first).unwrap());
    for one in refs.iter().step_by(3) {
        assert!(get(one).unwrap());
    }
    let expected: Vec<_> = (0..1_000).step_by(3).map(|x| x.to_string()).collect();
    let mut lines = ran.lines();
    lines.sort_by_key(|line| line.parse::<u32>().unwrap());
    assert_eq!(lines, expected);
    drop((first, refs));
    all_cpus_back(1.0);
}

#[mobula::test]
fn in_a_worker_behind_another_one() {
    let _runtime = start_with(1.0);
    for round in 0..20 {
        // Many small tasks have the lease take some ahead; a long one is then in front of those.
        for _ in 0..5 {
            let refs: Vec<_> = (0..500).map(square::remote).collect();
            assert_eq!(mobula::get_all(&refs).unwrap().len(), 500);
        }
        let (gate, diary, ran) = (Gate::new(), Scratch::new("diary"), Scratch::new("ran"));
        let first = hold::remote(diary.text(), gate.text());
        let refs: Vec<_> = (0..50).map(|x| say::remote(ran.text(), x.to_string())).collect();
        for one in &refs[..49] {
            mobula::cancel(one, round % 2 == 0).unwrap();
        }
        gate.open();
        assert!(refs[..49].iter().all(is_cancelled));
        assert!(get(&refs[49]).unwrap() && !get(&first).unwrap());
        assert_eq!(ran.lines(), ["49"], "round {round}");
    }
    all_cpus_back(1.0);
}

#[mobula::test]
fn for_its_arguments() {
    let _runtime = start_with(1.0);
    let (gate, diary, ran) = (Gate::new(), Scratch::new("diary"), Scratch::new("ran"));
    let value = hold::remote(diary.text(), gate.text());
    let waiting = say_after::remote(ran.text(), &value);
    let own_process = say_after::options().env("OWN", "1").remote(ran.text(), &value);
    // One that waits for a cancelled one fails with it.
    let behind = say_after::remote(ran.text(), &waiting);
    for one in [&waiting, &own_process] {
        mobula::cancel(one, true).unwrap();
        assert!(is_cancelled(one));
    }
    assert!(is_cancelled(&behind));
    gate.open();
    assert!(!get(&value).unwrap());
    assert!(get(&say_after::remote(diary.text(), &value)).unwrap());
    assert!(!exists(&ran));
    all_cpus_back(1.0);
}

#[mobula::test]
fn many_in_any_order_at_the_same_price() {
    let _runtime = start_with(1.0);
    let (gate, diary) = (Gate::new(), Scratch::new("diary"));
    let first = hold::remote(diary.text(), gate.text());
    let refs: Vec<_> = (0..50_000_u64).map(square::remote).collect();
    // 7919 and 50,000 have no divisor in common.
    for x in 0..50_000 {
        mobula::cancel(&refs[x * 7919 % 50_000], false).unwrap();
    }
    assert!(refs.iter().all(is_cancelled));
    gate.open();
    assert!(!get(&first).unwrap());
    assert_eq!(get(&square::remote(3)).unwrap(), 9);
    all_cpus_back(1.0);
}
