//! Streams and the end of the runtime.

use super::support::{Gate, get, start};
use super::{count, gated, next};

#[mobula::test]
fn a_shutdown_ends_open_streams() {
    let runtime = start();
    let gate = Gate::new();
    let mut paused = count::options().stream_backpressure(2).remote(u64::MAX);
    let mut held = gated::remote(1, gate.text());
    assert_eq!(get(&next(&mut held).unwrap()).unwrap(), 0);
    let first = next(&mut paused).unwrap();
    assert_eq!(get(&first).unwrap(), 0);
    let dropped_late = count::remote(u64::MAX);
    let reader = std::thread::spawn(move || {
        let last = held.next().unwrap();
        assert!(held.next().is_none());
        mobula::get(&last).unwrap_err()
    });
    runtime.shutdown();
    assert!(reader.join().unwrap().is_not_initialized());
    assert!(mobula::get(&first).unwrap_err().is_not_initialized());
    // Whatever had arrived cannot be read any more, and it ends.
    assert!(paused.by_ref().all(|item| mobula::get(&item).unwrap_err().is_not_initialized()));
    assert!(paused.is_done());
    drop((paused, dropped_late));
    let mut stream = count::remote(3);
    let failed = stream.next().unwrap();
    assert!(mobula::get(&failed).unwrap_err().is_not_initialized() && stream.next().is_none());
}

#[mobula::test]
fn the_next_runtime_knows_nothing_of_them() {
    let first = start();
    let mut old = count::options().stream_backpressure(1).remote(u64::MAX);
    assert!(next(&mut old).is_some());
    first.shutdown();
    let _second = start();
    assert_eq!(super::values(count::remote(3)), [0, 1, 2]);
    drop(old);
    assert_eq!(super::values(count::remote(3)), [0, 1, 2]);
}
