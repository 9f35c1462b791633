//! `map`: the results in the order of the items.

use super::support::{Gate, start};
use super::{hands, pool};

#[mobula::test]
fn results_come_in_the_order_of_the_items() {
    let _runtime = start();
    let mut pool = pool(3);
    let doubled: Vec<_> = pool.map(|hand, x| hand.double(x), 0..1_000).map(Result::unwrap).collect();
    assert_eq!(doubled, (0..1_000).map(|x| 2 * x).collect::<Vec<_>>());
    assert!(!pool.has_next());
    // And again, with refs in place of calls.
    let doubled: Vec<_> = pool.map(|hand, x| hand.double(x).remote(), [7, 8]).map(Result::unwrap).collect();
    assert_eq!(doubled, [14, 16]);
}

#[mobula::test]
fn a_slow_item_does_not_keep_the_others_from_running() {
    let _runtime = start();
    let gate = Gate::new();
    let text = gate.text();
    let hands = hands(2);
    let mut pool = mobula::ActorPool::new(hands.clone());
    // The last item opens the gate that the first one waits for: it runs before any result is given out.
    let items = (0..50).inspect(|&x| {
        if x == 49 {
            gate.open();
        }
    });
    let call = |hand: &mobula::ActorHandle<super::Hand>, x: u64| hand.double_behind(x, (x == 0).then(|| text.clone()));
    let doubled: Vec<_> = pool.map(call, items).map(Result::unwrap).collect();
    assert_eq!(doubled, (0..50).map(|x| 2 * x).collect::<Vec<_>>());
    let done: Vec<_> = hands.iter().map(|hand| hand.done().call().unwrap()).collect();
    assert!(done == [1, 49] || done == [49, 1], "{done:?}");
}

#[mobula::test]
fn an_item_is_taken_when_an_actor_can_have_it() {
    let _runtime = start();
    let mut pool = pool(2);
    let mut taken = 0;
    let endless = std::iter::repeat_with(|| {
        taken += 1;
        taken
    });
    let first: Vec<_> = pool.map(|hand, x| hand.double(x), endless).take(5).map(Result::unwrap).collect();
    assert_eq!(first, [2, 4, 6, 8, 10]);
    assert!((5..=1_010).contains(&taken), "{taken}");
    let none: Vec<_> = pool.map(|hand, x: u64| hand.double(x), []).collect();
    assert!(none.is_empty());
}
