//! Cancelling a stream by name, and the call that reads one.

use super::support::{Gate, Scratch, get, start};
use super::{all_cpus_back, gated, lines, next, note, noted, until_error, until_noted};

/// Reads a stream to its end, and notes how that was.
#[mobula::task]
fn read(diary: String, making: String, gate: String) {
    let mut stream = noted::options().stream_backpressure(1).remote(making, 3);
    let first = stream.next().unwrap();
    note(&diary, &format!("{:?}", mobula::get(&first).ok()));
    let mut held = gated::remote(0, gate);
    note(&diary, "waits");
    let got = held.next().unwrap();
    let cancelled = mobula::get(&got).is_err_and(|error| error.is_cancelled());
    note(&diary, if cancelled { "cancelled" } else { "something else" });
    note(&diary, if held.next().is_none() { "at its end" } else { "more" });
}

#[mobula::test]
fn the_error_comes_behind_what_has_arrived() {
    let _runtime = start();
    let diary = Scratch::new("diary");
    let mut stream = noted::options().stream_backpressure(3).remote(diary.text(), 100);
    assert_eq!(get(&next(&mut stream).unwrap()).unwrap(), 0);
    stream.cancel(false).unwrap();
    until_noted(&diary, "dropped");
    let (items, error) = until_error(stream);
    assert!(items <= 3 && error.is_cancelled(), "{items} {error}");
    assert!(lines(&diary, "made") <= 4);
    all_cpus_back(2.0);
}

#[mobula::test]
fn by_force_its_worker_is_killed() {
    let _runtime = start();
    let gate = Gate::new();
    let mut stream = gated::remote(1, gate.text());
    assert_eq!(get(&next(&mut stream).unwrap()).unwrap(), 0);
    stream.cancel(true).unwrap();
    // Nobody opens the gate.
    let (items, error) = until_error(stream);
    assert!(items == 0 && error.is_cancelled(), "{items} {error}");
    all_cpus_back(2.0);
}

#[mobula::test]
fn a_stream_that_has_ended_is_none_to_cancel() {
    let _runtime = start();
    let mut stream = super::count::remote(1);
    assert_eq!(get(&next(&mut stream).unwrap()).unwrap(), 0);
    assert!(next(&mut stream).is_none());
    stream.cancel(false).unwrap();
    stream.cancel(true).unwrap();
    assert!(stream.is_done());
}

#[mobula::test]
fn who_reads_in_a_cancelled_call_gets_no_more() {
    let _runtime = start();
    let (diary, making) = (Scratch::new("diary"), Scratch::new("making"));
    let gate = Gate::new();
    let reader = read::remote(diary.text(), making.text(), gate.text());
    until_noted(&diary, "waits");
    mobula::cancel(&reader, false).unwrap();
    until_noted(&diary, "at its end");
    assert_eq!(diary.lines(), ["Some(0)", "waits", "cancelled", "at its end"]);
    // Its other stream was cancelled with it.
    until_noted(&making, "dropped");
    // For the one that waits there.
    gate.open();
    all_cpus_back(2.0);
}
