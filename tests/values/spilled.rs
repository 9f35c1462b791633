//! A runtime with a folder for what does not fit into memory.

use mobula::prelude::*;

use super::support::{Scratch, config, eventually, get, stats};

/// Half as much again as the store of a test: arrays of 2 MiB.
const ARRAYS: usize = 48;
const LEN: usize = 1 << 18;

struct Reader;

#[mobula::actor]
impl Reader {
    pub fn new() -> Self {
        Reader
    }

    pub fn sum(&self, array: Array<f64>) -> f64 {
        array.iter().sum()
    }

    pub fn make(&self, with: f64) -> mobula::Result<Array<f64>> {
        Ok(Array::from_slice(&vec![with; LEN])?)
    }
}

fn text(n: usize) -> String {
    n.to_string().repeat(100_000)
}

#[mobula::test]
fn more_than_fits_into_memory_is_read_back_by_everybody() {
    let folder = Scratch::new("spill");
    std::fs::create_dir(folder.path()).unwrap();
    let runtime = mobula::init(config(2.0).spill_dir(folder.path())).unwrap();
    let reader = Reader::remote().unwrap();
    let mut refs = Vec::new();
    for n in 0..ARRAYS / 2 {
        refs.push(mobula::put(&Array::from_slice(&vec![n as f64; LEN]).unwrap()).unwrap());
        refs.push(reader.make((ARRAYS + n) as f64).remote());
        get(refs.last().unwrap()).unwrap();
    }
    let texts: Vec<_> = (0..10).map(|n| mobula::put(&text(n)).unwrap()).collect();
    assert!(stats().spilled_objects > 0, "{:?}", stats());
    for (at, array) in refs.iter().enumerate() {
        let with = if at % 2 == 0 { at / 2 } else { ARRAYS + at / 2 } as f64;
        assert_eq!(get(&reader.sum(array).remote()).unwrap(), with * LEN as f64);
        assert!(get(array).unwrap().iter().all(|&x| x == with), "array {at}");
    }
    for (n, object) in texts.iter().enumerate() {
        assert!(get(object).unwrap() == text(n), "text {n}");
    }
    drop((refs, texts));
    eventually("what is on disk goes with the last ref", || {
        let stats = stats();
        stats.spilled_objects == 0 && stats.spilled_bytes == 0
    });
    drop(reader);
    drop(runtime);
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().flatten().map(|entry| entry.path()).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[mobula::test]
fn who_waits_without_looking_gets_the_same_answers() {
    let _runtime = mobula::init(config(2.0).waiting(mobula::Waiting::Thrift)).unwrap();
    let reader = Reader::remote().unwrap();
    let arrays: Vec<_> = (0..20).map(|n| reader.make(f64::from(n)).remote()).collect();
    let sums: Vec<_> = arrays.iter().map(|array| reader.sum(array).remote()).collect();
    for (n, sum) in sums.iter().enumerate() {
        assert_eq!(get(sum).unwrap(), (n * LEN) as f64);
    }
}
