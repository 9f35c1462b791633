//! Workers are killed at random under a stream of tasks: each is answered once, and nothing is left behind.

use std::collections::HashSet;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::support::{all_space_back, eventually, get, start, stats};

/// How many tasks there are.
const TASKS: u64 = 4_000;

/// How many are under way at a time.
const WINDOW: usize = 200;

/// Some sleep on a child, some have large values.
#[mobula::task(max_retries = -1)]
fn work(number: u64) -> (u64, u32, Vec<u8>) {
    if number % 16 == 7 {
        assert_eq!(mobula::get(&child::remote(number)).unwrap(), number + 1);
    }
    (number, std::process::id(), vec![number as u8; if number % 8 == 3 { 20_000 } else { 10 }])
}

#[mobula::task(max_retries = -1)]
fn child(number: u64) -> u64 {
    number + 1
}

#[mobula::test]
fn every_task_is_answered_once() {
    let _runtime = start();
    let refs: Vec<_> = (0..100).map(work::remote).collect();
    assert_eq!(mobula::get_all(&refs).unwrap().len(), 100);
    drop(refs);
    let before = stats();
    let victims: Mutex<HashSet<u32>> = Mutex::default();
    let done = AtomicBool::new(false);
    let kills = std::thread::scope(|scope| {
        let killer = scope.spawn(|| {
            let mut kills = 0;
            while !done.load(Ordering::SeqCst) {
                let victim = victims.lock().unwrap().iter().next().copied();
                if let Some(pid) = victim {
                    victims.lock().unwrap().remove(&pid);
                    // It may have ended since: a pid is not used again so soon.
                    if super::support::is_alive(pid) {
                        let sent =
                            Command::new("kill").args(["-KILL", &pid.to_string()]).stderr(Stdio::null()).status();
                        kills += u32::from(sent.unwrap().success());
                    }
                }
                std::thread::sleep(std::time::Duration::from_millis(3));
            }
            kills
        });
        let mut refs = std::collections::VecDeque::new();
        for number in 0..TASKS {
            refs.push_back((number, work::remote(number)));
            if refs.len() == WINDOW || number + 1 == TASKS {
                let keep = if number + 1 == TASKS { 0 } else { WINDOW / 2 };
                while refs.len() > keep {
                    let (number, one) = refs.pop_front().unwrap();
                    let (value, pid, bytes) = get(&one).unwrap();
                    assert!(value == number && bytes.iter().all(|&byte| byte == number as u8));
                    victims.lock().unwrap().insert(pid);
                }
            }
        }
        done.store(true, Ordering::SeqCst);
        killer.join().unwrap()
    });
    assert!(kills > 5, "{kills} workers were killed");
    eventually("the CPUs are free", || mobula::available_resources()["CPU"] == 2.0);
    all_space_back(before);
}
