//! Streams of refs as streams of the `futures` crates.

use std::pin::pin;
use std::sync::Arc;

use futures::stream::{FusedStream, StreamExt};
use mobula::ObjectRefStream;

use super::support::{Gate, Scratch, eventually, note, pass, start, start_with};
use super::{Noted, Wakes, lines, run, until_noted};

#[mobula::task]
fn count(to: u64) -> impl Iterator<Item = u64> {
    0..to
}

/// Waits in front of a gate before each item, and notes its end.
#[mobula::task(stream_backpressure = 4)]
fn gated(gates: Vec<String>, diary: String) -> impl Iterator<Item = u64> {
    let noted = Noted(diary);
    gates.into_iter().zip(0..).map(move |(gate, item)| {
        pass(&gate);
        note(&noted.0, "made");
        item
    })
}

#[mobula::task]
fn breaks(after: u64) -> impl Iterator<Item = u64> {
    (0..).inspect(move |&item| assert!(item < after, "it breaks"))
}

#[mobula::test]
fn all_items_come_in_their_order_and_then_the_end() {
    let _runtime = start();
    let mut stream = count::remote(5_000);
    let mut next = 0;
    run(async {
        while let Some(item) = stream.next_async().await {
            assert_eq!(item.await.unwrap(), next);
            next += 1;
        }
    });
    assert_eq!(next, 5_000);
    assert!(stream.is_terminated() && run(stream.next_async()).is_none());
    let sum =
        run(StreamExt::then(count::remote(100), |item| async { item.await.unwrap() })
            .fold(0, async |sum, item| sum + item));
    assert_eq!(sum, 4_950);
}

#[mobula::test]
fn who_waits_is_woken_by_an_item_an_error_and_the_end() {
    let _runtime = start();
    let (gates, diary) = ([Gate::new(), Gate::new()], Scratch::new("diary"));
    let mut stream = gated::remote(gates.iter().map(Gate::text).collect::<Vec<_>>(), diary.text());
    let wakes = Arc::new(Wakes::default());
    let poll = |stream: &mut ObjectRefStream<u64>| wakes.poll(pin!(stream.next_async()));
    for (made, gate) in gates.iter().enumerate() {
        assert!(poll(&mut stream).is_pending());
        gate.open();
        eventually("an item wakes", || wakes.count() as usize == made + 1);
        assert!(poll(&mut stream).is_ready());
    }
    // The end may be there already.
    if poll(&mut stream).is_pending() {
        eventually("the end wakes", || wakes.count() == 3);
    }
    assert!(run(stream.next_async()).is_none());
    let items: Vec<_> = run(breaks::remote(3).into_stream().collect());
    assert_eq!(items.len(), 4);
    let error = mobula::get(&items[3]).unwrap_err();
    assert!(error.is_task_failed() && error.to_string().contains("it breaks"), "{error}");
}

#[mobula::test]
fn a_stream_that_is_dropped_while_it_is_waited_for_ends_its_maker() {
    let _runtime = start();
    let (gates, diary) = ([Gate::new(), Gate::new()], Scratch::new("diary"));
    let mut stream = gated::remote(gates.iter().map(Gate::text).collect::<Vec<_>>(), diary.text());
    gates[0].open();
    assert!(run(stream.next_async()).is_some());
    let wakes = Arc::new(Wakes::default());
    assert!(wakes.poll(pin!(stream.next_async())).is_pending());
    drop(stream);
    assert_eq!(Arc::strong_count(&wakes), 1);
    gates[1].open();
    until_noted(&diary, "dropped");
    assert!(lines(&diary, "made") <= 2, "at most the item that it was at");
}

#[mobula::test]
fn the_end_of_the_runtime_is_the_last_item() {
    let runtime = start();
    let (gate, diary) = (Gate::new(), Scratch::new("diary"));
    let mut stream = gated::remote(vec![gate.text()], diary.text());
    let wakes = Arc::new(Wakes::default());
    assert!(wakes.poll(pin!(stream.next_async())).is_pending());
    drop(runtime);
    eventually("it is woken", || wakes.count() == 1);
    let last = run(stream.next_async()).unwrap();
    assert!(mobula::get(&last).unwrap_err().is_not_initialized());
    assert!(run(stream.next_async()).is_none());
}

/// Reads another task's stream on an executor that knows nothing of Mobula.
#[mobula::task]
fn reads(to: u64) -> u64 {
    run(count::remote(to).into_stream().fold(0, async |sum, item| sum + item.await.unwrap()))
}

#[mobula::test]
fn a_task_that_waits_for_items_lends_the_only_cpu() {
    let _runtime = start_with(1.0);
    assert_eq!(super::support::get(&reads::remote(3_000)).unwrap(), 4_498_500);
    eventually("the CPU is free", || mobula::available_resources()["CPU"] == 1.0);
}
