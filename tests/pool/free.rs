//! Which actors are free; taking them out and putting them in.

use mobula::ActorHandle;

use super::support::{Gate, start};
use super::{hands, pool};

#[mobula::test]
fn an_actor_is_free_when_its_result_is_taken() {
    let _runtime = start();
    let hands = hands(1);
    let mut pool = mobula::ActorPool::new(hands.clone());
    assert!(pool.has_free());
    pool.submit(|hand, x| hand.double(x), 1);
    assert!(!pool.has_free());
    assert!(pool.pop_idle().is_none());
    // Also when it has long been done.
    assert_eq!(hands[0].done().call().unwrap(), 1);
    assert!(!pool.has_free());
    assert_eq!(pool.get_next().unwrap(), 2);
    assert!(pool.has_free());
    let popped = pool.pop_idle().unwrap();
    assert_eq!(ActorHandle::id(&popped), ActorHandle::id(&hands[0]));
    assert!(!pool.has_free() && pool.pop_idle().is_none());
}

#[mobula::test]
fn one_that_is_pushed_has_the_work_that_waits() {
    let _runtime = start();
    let mut pool = pool(1);
    let gate = Gate::new();
    pool.submit(|hand, gate| hand.double_behind(1, Some(gate)), gate.text());
    pool.submit(|hand, x| hand.double(x), 2);
    let another = super::Hand::remote().unwrap();
    pool.push(another.clone()).unwrap();
    assert_eq!(pool.get_next_unordered().unwrap(), 4);
    assert_eq!(another.done().call().unwrap(), 1);
    gate.open();
    assert_eq!(pool.get_next().unwrap(), 2);
    // One that is in the pool, idle or busy, is not taken twice.
    let refused = pool.push(another.clone()).unwrap_err();
    assert!(refused.is_invalid_argument(), "{refused}");
    pool.submit(|hand, x| hand.double(x), 3);
    pool.submit(|hand, x| hand.double(x), 4);
    assert!(pool.push(another).unwrap_err().is_invalid_argument());
    assert_eq!((pool.get_next().unwrap(), pool.get_next().unwrap()), (6, 8));
}

#[mobula::test]
fn a_pool_of_none_runs_nothing_until_it_has_one() {
    let _runtime = start();
    let mut pool = pool(0);
    assert!(!pool.has_free() && pool.pop_idle().is_none());
    pool.submit(|hand, x| hand.double(x), 5);
    assert!(pool.has_next());
    let error = pool.get_next().unwrap_err();
    assert!(error.is_invalid_argument(), "{error}");
    pool.push(super::Hand::remote().unwrap()).unwrap();
    assert_eq!(pool.get_next().unwrap(), 10);
    let mut none = super::pool(0);
    let results: Vec<_> = none.map(|hand, x| hand.double(x), 0..9).collect();
    assert_eq!(results.len(), 1);
    assert!(results[0].as_ref().is_err_and(|error| error.is_invalid_argument()));
}
