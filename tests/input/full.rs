//! Stores that are too small.

use mobula::prelude::*;

use super::support::{all_space_back, get, stats};

const STORE: usize = 4 << 20;
const TOO_LARGE: usize = 8 << 20;

fn start() -> Runtime {
    mobula::init(Config::new().num_cpus(2.0).object_store_memory(STORE)).unwrap()
}

struct Maker;

#[mobula::actor]
impl Maker {
    pub fn new() -> Self {
        Maker
    }

    pub fn bytes(&self, len: usize) -> Vec<u8> {
        vec![7; len]
    }

    pub fn array(&self, len: usize) -> Result<Array<u8>, mobula::Error> {
        Ok(Array::from_slice(&vec![7; len])?)
    }

    pub fn length(&self, bytes: Vec<u8>) -> usize {
        bytes.len()
    }

    #[mobula::method(num_returns = 2)]
    pub fn pair(&self, len: usize) -> (i64, Vec<u8>) {
        (1, vec![7; len])
    }
}

#[mobula::task]
fn bytes(len: usize) -> Vec<u8> {
    vec![7; len]
}

#[mobula::task]
fn length(bytes: Vec<u8>) -> usize {
    bytes.len()
}

/// Asserts that an error tells what was asked for and what there is.
fn is_full(error: &mobula::Error) {
    assert!(error.is_store_full(), "{error:?}");
    let text = error.to_string();
    let capacity = stats().capacity_bytes;
    assert!(text.contains(&format!("capacity {capacity} bytes")), "{text}");
    // The value with its frame: a few bytes more than it has elements.
    assert!(text.contains("of 83886"), "the size that was asked for: {text}");
    assert!(text.contains("free "), "{text}");
}

#[mobula::test]
fn an_object_that_is_larger_than_the_store_is_an_error_with_figures() {
    let _runtime = start();
    let before = stats();
    let large = vec![7u8; TOO_LARGE];
    is_full(&mobula::put(&large).unwrap_err());
    is_full(&Array::from_slice(&large).unwrap_err().into());
    is_full(&ArrayMut::<u8>::with_len(TOO_LARGE).unwrap_err().into());
    is_full(&ArrayMut::<u64>::zeros(&[TOO_LARGE / 8]).unwrap_err().into());
    all_space_back(before);
    // A smaller one still goes in.
    assert_eq!(mobula::get(&mobula::put(&vec![7u8; STORE / 4]).unwrap()).unwrap().len(), STORE / 4);
}

#[mobula::test]
fn an_argument_that_is_larger_than_the_store_fails_its_call() {
    let _runtime = start();
    let maker = Maker::remote().unwrap();
    assert_eq!(get(&maker.length(vec![1]).remote()).unwrap(), 1);
    is_full(&get(&maker.length(vec![7u8; TOO_LARGE]).remote()).unwrap_err());
    is_full(&get(&length::remote(vec![7u8; TOO_LARGE])).unwrap_err());
    assert_eq!(get(&maker.length(vec![1, 2]).remote()).unwrap(), 2);
}

#[mobula::test]
fn a_result_that_is_larger_than_the_store_fails_its_call() {
    let _runtime = start();
    let maker = Maker::remote().unwrap();
    is_full(&get(&maker.bytes(TOO_LARGE).remote()).unwrap_err());
    is_full(&get(&bytes::remote(TOO_LARGE)).unwrap_err());
    // The method's own `?`: its message is passed on.
    let error = get(&maker.array(TOO_LARGE).remote()).unwrap_err();
    assert!(error.is_task_failed() && error.to_string().contains("capacity"), "{error:?}");
    let (one, large) = maker.pair(TOO_LARGE).remote();
    is_full(&get(&large).unwrap_err());
    assert!(get(&one).is_err(), "results of one call come together");
    assert_eq!(get(&maker.bytes(100_000).remote()).unwrap().len(), 100_000);
    assert_eq!(get(&bytes::remote(100_000)).unwrap().len(), 100_000);
}

#[mobula::test]
fn a_store_full_of_refs_tells_who_holds_and_works_again_afterwards() {
    let _runtime = start();
    let before = stats();
    let mut kept = Vec::new();
    let error = loop {
        match mobula::put(&vec![7u8; 500_000]) {
            Ok(object) => kept.push(object),
            Err(error) => break error,
        }
    };
    assert!(kept.len() >= 5, "{} objects went in", kept.len());
    assert!(error.is_store_full(), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(&format!("pid {} holds", std::process::id())), "{text}");
    // What is in is whole.
    for object in &kept {
        assert_eq!(mobula::get(object).unwrap(), vec![7u8; 500_000]);
    }
    // Small values need no room.
    assert_eq!(mobula::get(&mobula::put(&1).unwrap()).unwrap(), 1);
    kept.clear();
    all_space_back(before);
    assert!(mobula::put(&vec![7u8; 500_000]).is_ok());
}
