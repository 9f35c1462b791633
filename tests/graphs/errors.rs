//! Errors travel, and the graph goes on.

use mobula::Graph;

use super::hand;
use super::support::start;

#[mobula::test]
fn an_err_is_the_executions_and_no_other_ones() {
    let _runtime = start();
    let (a, b, c) = (hand(), hand(), hand());
    let graph = Graph::<(u64,), _>::compile(|(x,)| {
        let odd = a.odd(&x).bind();
        let doubled = b.double(odd).bind();
        c.add(doubled, x).bind()
    })
    .unwrap();
    for x in 0..100 {
        match graph.execute((x,)).unwrap().get() {
            Ok(sum) => assert!(x % 2 == 1 && sum == 3 * x),
            Err(error) => {
                assert_eq!(x % 2, 0);
                let failure = error.task_failure().unwrap();
                assert_eq!(
                    (failure.message.as_str(), failure.function.as_str()),
                    (&*format!("{x} is even"), "Hand::odd")
                );
            }
        }
    }
    graph.teardown().unwrap();
    assert_eq!(b.done().call().unwrap(), 50, "a step whose argument failed is not run");
}

#[mobula::test]
fn a_panic_is_an_error_too() {
    let _runtime = start();
    let (a, b) = (hand(), hand());
    let graph = Graph::<(u64,), _>::compile(|(x,)| {
        let passed = a.panics_at(x, 7).bind();
        b.double(passed).bind()
    })
    .unwrap();
    for x in 0..20 {
        let result = graph.execute((x,)).unwrap().get();
        match result {
            Ok(doubled) => assert!(x != 7 && doubled == 2 * x),
            Err(error) => assert!(x == 7 && error.to_string().contains("7 is bad"), "{error}"),
        }
    }
}

#[mobula::test]
fn what_another_output_failed_with_is_the_executions() {
    let _runtime = start();
    let (a, b) = (hand(), hand());
    let graph = Graph::<(u64,), _>::compile(|(x,)| (a.double(&x).bind(), b.odd(&x).bind())).unwrap();
    assert_eq!(graph.execute((3,)).unwrap().get().unwrap(), (6, 3));
    assert!(graph.execute((4,)).unwrap().get().unwrap_err().is_task_failed());
    assert_eq!(graph.execute((5,)).unwrap().get().unwrap(), (10, 5));
}
