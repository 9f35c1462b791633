//! Tasks that have processes of their own are tried again as others are.

use super::support::{Scratch, eventually, get, start};
use super::{begun, die_until, fail_until};

#[mobula::task]
fn length(bytes: Vec<u8>, diary: String) -> usize {
    if super::tries(&diary) < 3 {
        std::process::abort();
    }
    bytes.len()
}

#[mobula::test]
fn deaths_cost_a_try() {
    let _runtime = start();
    let own = die_until::options().env("OWN", "1");
    let diary = Scratch::new("diary");
    get(&own.clone().max_retries(2).remote(diary.text(), 3)).unwrap();
    assert_eq!(begun(&diary), 3);
    let diary = Scratch::new("diary");
    let error = get(&own.max_retries(1).remote(diary.text(), 9)).unwrap_err();
    let text = error.to_string();
    assert!(error.is_worker_crashed() && text.contains("die_until") && text.contains("tried 2 times"), "{text}");
    assert_eq!(begun(&diary), 2);
    eventually("the CPUs are free", || mobula::available_resources()["CPU"] == 2.0);
}

#[mobula::test]
fn errors_cost_a_try_if_that_is_wanted() {
    let _runtime = start();
    let own = fail_until::options().env("OWN", "1").max_retries(2);
    let diary = Scratch::new("diary");
    assert_eq!(get(&own.clone().retry_errors(true).remote(diary.text(), 3)).unwrap(), 3);
    let diary = Scratch::new("diary");
    assert!(get(&own.remote(diary.text(), 3)).unwrap_err().is_task_failed());
    assert_eq!(begun(&diary), 1);
}

#[mobula::test]
fn arguments_stay_until_the_last_try() {
    let _runtime = start();
    for size in [100, 10_000, 1 << 20] {
        let (own, shared) = (Scratch::new("diary"), Scratch::new("diary"));
        let dedicated = length::options().env("OWN", "1").remote(vec![1; size], own.text());
        let leased = length::remote(mobula::put(&vec![1; size]).unwrap(), shared.text());
        assert_eq!((get(&dedicated).unwrap(), get(&leased).unwrap()), (size, size));
        assert_eq!((begun(&own), begun(&shared)), (3, 3));
    }
}
