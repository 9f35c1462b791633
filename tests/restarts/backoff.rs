//! Actors that end again and again wait before they come back.

use std::time::{Duration, Instant};

use super::Nest;
use super::support::{get, start};

#[mobula::test]
fn short_lives_wait_longer_and_longer() {
    let _runtime = start();
    let nest = Nest::new(-1);
    get(&nest.bird.value().remote()).unwrap();
    for rest in [0, 100, 200, 400] {
        let begin = Instant::now();
        assert!(get(&nest.bird.die(99).remote()).unwrap_err().is_actor_unavailable());
        get(&nest.bird.value().max_task_retries(-1).remote()).unwrap();
        // It may last longer, never shorter.
        assert!(begin.elapsed() >= Duration::from_millis(rest), "{rest} ms: {:?}", begin.elapsed());
    }
}

#[mobula::test]
fn others_are_served_while_an_actor_rests() {
    let _runtime = start();
    let nest = Nest::new(-1);
    for _ in 0..4 {
        get(&nest.bird.value().max_task_retries(-1).remote()).unwrap();
        assert!(get(&nest.bird.die(99).remote()).unwrap_err().is_actor_unavailable());
    }
    let waits = nest.bird.value().max_task_retries(-1).remote();
    for _ in 0..3 {
        let other = Nest::new(0);
        assert_eq!(get(&other.bird.add(1).remote()).unwrap(), 1);
    }
    assert_eq!(get(&waits).unwrap(), 0);
}

#[mobula::test]
fn a_runtime_ends_while_an_actor_rests() {
    let runtime = start();
    let nest = Nest::new(-1);
    for _ in 0..5 {
        get(&nest.bird.value().max_task_retries(-1).remote()).unwrap();
        assert!(get(&nest.bird.die(99).remote()).unwrap_err().is_actor_unavailable());
    }
    let waits = nest.bird.value().max_task_retries(-1).remote();
    runtime.shutdown();
    assert!(mobula::get(&waits).is_err());
}
