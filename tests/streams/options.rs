//! Options that make no sense for streams, and streams that cannot be made.

use super::support::{get, start};
use super::{count, plain, until_error, values};

pub struct Spring;

#[mobula::actor]
impl Spring {
    pub fn new() -> Self {
        Spring
    }

    pub fn flow(&self, to: u32) -> impl Iterator<Item = u32> {
        0..to
    }
}

#[mobula::test]
fn what_makes_no_sense_is_refused() {
    let _runtime = start();
    let refused = [
        count::options().stream_backpressure(0).try_remote(3).unwrap_err(),
        count::options().max_retries(3).try_remote(3).unwrap_err(),
        count::options().retry_errors(true).try_remote(3).unwrap_err(),
        plain::options().stream_backpressure(3).try_remote(3).unwrap_err(),
    ];
    assert!(refused.iter().all(|error| error.is_invalid_argument()), "{refused:?}");
    let (items, error) = until_error(count::options().stream_backpressure(0).remote(3));
    assert!(items == 0 && error.is_invalid_argument());
    let spring = Spring::remote().unwrap();
    let refused = [
        spring.flow(3).stream_backpressure(0).try_remote().unwrap_err(),
        spring.flow(3).max_task_retries(-1).try_remote().unwrap_err(),
        spring.flow(3).retry_errors(true).try_remote().unwrap_err(),
    ];
    assert!(refused.iter().all(|error| error.is_invalid_argument()), "{refused:?}");
    let (items, error) = until_error(spring.flow(3).stream_backpressure(0).remote());
    assert!(items == 0 && error.is_invalid_argument());
    assert_eq!(values(spring.flow(3).max_task_retries(0).remote()), [0, 1, 2]);
    assert_eq!(values(count::options().max_retries(0).remote(3)), [0, 1, 2]);
    assert_eq!(get(&plain::remote(3)).unwrap(), 3);
}

#[mobula::test]
fn a_task_with_a_process_of_its_own_streams_too() {
    let _runtime = start();
    let stream = variable::options().env("STREAMED", "yes").stream_backpressure(2).remote(50);
    assert_eq!(values(stream), vec!["yes"; 50]);
}

#[mobula::task]
fn variable(times: usize) -> impl Iterator<Item = String> {
    std::iter::repeat_n(std::env::var("STREAMED").unwrap(), times)
}

#[mobula::test]
fn a_failed_argument_is_the_last_item() {
    let _runtime = start();
    let failed = fails::remote();
    let (items, error) = until_error(count::remote(&failed));
    assert!(items == 0 && error.is_task_failed(), "{error}");
}

#[mobula::task]
fn fails() -> Result<u64, String> {
    Err("no number".into())
}
