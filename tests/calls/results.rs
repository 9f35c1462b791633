//! Several results, `put`, `get`, `wait`.

use std::time::Duration;

use mobula::prelude::*;

use super::{Counter, start};

struct Player;

#[mobula::actor]
impl Player {
    pub fn new() -> Self {
        Player
    }

    #[mobula::method(num_returns = 3)]
    pub fn stats(&self) -> (String, u32, Vec<u8>) {
        ("Ada".into(), 36, vec![7; 2000])
    }

    #[mobula::method(num_returns = 2)]
    pub fn maybe(&self, ok: bool) -> Result<(i64, i64), String> {
        if ok { Ok((1, 2)) } else { Err("not today".into()) }
    }

    pub fn sleep(&self, millis: u64) -> u64 {
        std::thread::sleep(Duration::from_millis(millis));
        millis
    }
}

#[mobula::test]
fn several_results_are_several_refs() {
    let _runtime = start();
    let player = Player::remote().unwrap();
    let (name, age, goals) = player.stats().remote();
    assert_eq!(mobula::get(&goals).unwrap(), vec![7; 2000]);
    assert_eq!(mobula::get(&age).unwrap(), 36);
    assert_eq!(mobula::get(&name).unwrap(), "Ada");
    let (a, b) = player.maybe(true).remote();
    assert_eq!((mobula::get(&a).unwrap(), mobula::get(&b).unwrap()), (1, 2));
    let (a, b) = player.maybe(false).remote();
    for error in [mobula::get(&a).unwrap_err(), mobula::get(&b).unwrap_err()] {
        assert!(error.is_task_failed() && error.to_string().contains("not today"), "{error}");
    }
}

#[mobula::test]
fn put_and_get_give_the_value_back() {
    let _runtime = start();
    let small = mobula::put(&vec!["a".to_string()]).unwrap();
    assert_eq!(mobula::get(&small).unwrap(), ["a"]);
    let large = mobula::put(&vec![3u64; 100_000]).unwrap();
    assert_eq!(mobula::get(&large).unwrap(), vec![3; 100_000]);
    assert_eq!(mobula::get_all(&[small.clone(), small]).unwrap().len(), 2);
}

#[mobula::test]
fn get_timeout_gives_up_and_zero_only_looks() {
    let _runtime = start();
    let player = Player::remote().unwrap();
    let late = player.sleep(300).remote();
    assert!(mobula::get_timeout(&late, Duration::ZERO).unwrap_err().is_timeout());
    assert!(mobula::get_timeout(&late, Duration::from_millis(5)).unwrap_err().is_timeout());
    assert_eq!(mobula::get(&late).unwrap(), 300);
    assert_eq!(mobula::get_timeout(&late, Duration::ZERO).unwrap(), 300);
}

#[mobula::test]
fn wait_returns_the_ready_ones_in_input_order() {
    let _runtime = start();
    let (fast, slow) = (Player::remote().unwrap(), Player::remote().unwrap());
    let refs = [slow.sleep(200).remote(), fast.sleep(0).remote(), fast.sleep(1).remote()];
    let (ready, pending) = mobula::wait(&refs, 2, None).unwrap();
    assert_eq!(ready, &refs[1..]);
    assert_eq!(pending, &refs[..1]);
    let (ready, pending) = mobula::wait(&refs, 3, Some(Duration::ZERO)).unwrap();
    assert_eq!((ready.len(), pending.len()), (2, 1));
    let (ready, _) = mobula::wait(&refs, 3, None).unwrap();
    assert_eq!(ready, refs);
    assert!(mobula::wait(&refs, 0, None).unwrap_err().is_invalid_argument());
    assert!(mobula::wait(&refs, 4, None).unwrap_err().is_invalid_argument());
    let twice = [refs[0].clone(), refs[0].clone()];
    assert!(mobula::wait(&twice, 1, None).unwrap_err().is_invalid_argument());
    let none: [ObjectRef<u64>; 0] = [];
    assert_eq!(mobula::wait(&none, 0, None).unwrap(), (Vec::new(), Vec::new()));
}

#[mobula::test]
fn as_completed_gives_each_ref_once() {
    let _runtime = start();
    let counter = Counter::remote(0).unwrap();
    let refs: Vec<_> = (0..50).map(|_| counter.add(1).remote()).collect();
    let mut values: Vec<i64> =
        mobula::as_completed(refs).map(|object| mobula::get(&object.unwrap()).unwrap()).collect();
    values.sort_unstable();
    assert!(values.into_iter().eq(1..=50));
}

#[mobula::test]
fn as_completed_hears_of_refs_that_other_processes_settle() {
    let _runtime = start();
    let lender = Lender::remote().unwrap();
    let borrowed = mobula::get(&lender.lend(50).remote()).unwrap();
    let values: Vec<u64> =
        mobula::as_completed(borrowed).map(|object| mobula::get(&object.unwrap()).unwrap()).collect();
    assert_eq!(values.iter().sum::<u64>(), 60);
}

struct Lender {
    players: Vec<ActorHandle<Player>>,
}

#[mobula::actor]
impl Lender {
    pub fn new() -> Self {
        Lender { players: (0..2).map(|_| Player::remote().unwrap()).collect() }
    }

    pub fn lend(&self, millis: u64) -> Vec<ObjectRef<u64>> {
        vec![self.players[0].sleep(millis).remote(), self.players[1].sleep(10).remote()]
    }
}
