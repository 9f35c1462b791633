//! Actors that die have no more work; the others do what is left.

use mobula::ActorHandle;

use super::support::{Gate, eventually, start};
use super::{Hand, hands, pool};

/// Kills an actor, and waits until this process has heard of it.
fn kill(hand: &ActorHandle<Hand>) {
    mobula::kill(hand).unwrap();
    eventually("the death is known", || hand.done().try_remote().is_err());
}

#[mobula::test]
fn its_item_is_the_error_and_the_others_go_on() {
    let _runtime = start();
    let mut pool = pool(3);
    let results: Vec<_> = pool.map(|hand, x| hand.double_but(x, 20), 0..100).collect();
    for (x, result) in (0..100).zip(&results) {
        match result {
            Ok(doubled) => assert_eq!(*doubled, 2 * x),
            Err(error) => assert!(x == 20 && error.is_actor_died(), "{x}: {error}"),
        }
    }
    assert_eq!(results.iter().filter(|result| result.is_err()).count(), 1);
    assert_eq!((0..3).filter_map(|_| pool.pop_idle()).count(), 2, "the dead one has left the pool");
}

#[mobula::test]
fn one_that_dies_idle_has_no_work() {
    let _runtime = start();
    let hands = hands(2);
    let mut pool = mobula::ActorPool::new(hands.clone());
    kill(&hands[1]);
    let doubled: Vec<_> = pool.map_unordered(|hand, x| hand.double(x), 0..20).map(Result::unwrap).collect();
    assert_eq!(doubled.len(), 20);
    kill(&hands[0]);
    assert!(!pool.has_free() && pool.pop_idle().is_none());
}

#[mobula::test]
fn when_none_is_left_what_waits_fails() {
    let _runtime = start();
    let hands = hands(1);
    let mut pool = mobula::ActorPool::new(hands.clone());
    let gate = Gate::new();
    pool.submit(|hand, gate| hand.double_behind(1, Some(gate)), gate.text());
    pool.submit(|hand, x| hand.double(x), 2);
    pool.submit(|hand, x| hand.double(x), 3);
    mobula::kill(&hands[0]).unwrap();
    for _ in 0..2 {
        let error = pool.get_next().unwrap_err();
        assert!(error.is_actor_died(), "{error}");
    }
    // A new one takes over.
    pool.push(super::Hand::remote().unwrap()).unwrap();
    assert_eq!(pool.get_next().unwrap(), 6);
    assert!(pool.get_next().unwrap_err().is_not_found());
}

#[mobula::test]
fn a_map_whose_actors_are_dead_ends() {
    let _runtime = start();
    let mut pool = pool(2);
    let results: Vec<_> = pool.map(|hand, x| hand.double_but(x, x), 0..10).collect();
    assert_eq!(results.len(), 10);
    assert!(results.iter().all(|result| result.as_ref().is_err_and(|error| error.is_actor_died())));
}
