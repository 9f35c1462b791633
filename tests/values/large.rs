//! Large arguments and results, the store's space back afterwards.

use mobula::prelude::*;

use super::support::{all_space_back, get, stats};

const MB: usize = 1_000_000;

fn start() -> Runtime {
    mobula::init(Config::new().num_cpus(2.0).object_store_memory(360 << 20)).unwrap()
}

struct Carrier;

#[mobula::actor]
impl Carrier {
    pub fn new() -> Self {
        Carrier
    }

    pub fn back(&self, bytes: Vec<u8>) -> Vec<u8> {
        bytes
    }

    pub fn ends(&self, array: Array<f32>) -> (f32, f32, usize) {
        (array[0], array[array.len() - 1], array.len())
    }

    pub fn make(&self, len: usize) -> Array<f32> {
        let mut draft = ArrayMut::with_len(len).unwrap();
        draft.fill(2.5);
        draft.seal().unwrap()
    }
}

#[mobula::task]
fn back(bytes: Vec<u8>) -> Vec<u8> {
    bytes
}

#[mobula::task]
fn total(array: Array<f32>) -> f64 {
    array.iter().map(|value| f64::from(*value)).sum()
}

#[mobula::test]
fn a_megabyte_goes_both_ways_and_its_space_comes_back() {
    let _runtime = start();
    let carrier = Carrier::remote().unwrap();
    let bytes: Vec<u8> = (0..MB).map(|index| (index % 251) as u8).collect();
    assert_eq!(get(&carrier.back(bytes.clone()).remote()).unwrap(), bytes);
    let before = stats();
    for _ in 0..20 {
        assert!(get(&carrier.back(bytes.clone()).remote()).unwrap() == bytes);
        assert!(get(&back::remote(bytes.clone())).unwrap() == bytes);
    }
    all_space_back(before);
}

#[mobula::test]
fn a_hundred_megabytes_go_as_an_array_both_ways() {
    let _runtime = start();
    let carrier = Carrier::remote().unwrap();
    let len = 100 * MB / 4;
    let made = carrier.make(len).remote();
    assert_eq!(get(&carrier.ends(&made).remote()).unwrap(), (2.5, 2.5, len));
    let array = get(&made).unwrap();
    assert_eq!((array.len(), array[len / 2]), (len, 2.5));
    assert_eq!(get(&total::remote(&array)).unwrap(), 2.5 * len as f64);
    let before = stats();
    let mut draft = ArrayMut::<f32>::with_len(len).unwrap();
    draft.fill(1.5);
    let own = draft.seal().unwrap();
    assert_eq!(get(&carrier.ends(&own).remote()).unwrap(), (1.5, 1.5, len));
    drop(own);
    all_space_back(before);
}

#[mobula::test]
fn space_comes_back_however_often_it_is_filled() {
    let _runtime = start();
    let carrier = Carrier::remote().unwrap();
    get(&carrier.make(1).remote()).unwrap();
    let before = stats();
    // Together three times what the store holds.
    for round in 0..12 {
        let array = get(&carrier.make(100 * MB / 4).remote()).unwrap();
        assert_eq!(array[round], 2.5);
    }
    all_space_back(before);
}
