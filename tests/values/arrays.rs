//! Arrays across processes: the same memory everywhere, aligned, in structs, behind refs.

use std::collections::BTreeMap;

use mobula::bytemuck::{Pod, Zeroable};
use mobula::prelude::*;
use serde::{Deserialize, Serialize};

use super::support::{all_space_back, get, start, stats};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Batch {
    name: String,
    features: Array<f32>,
    labels: Option<Array<u8>>,
    more: BTreeMap<String, Vec<Array<i16>>>,
}

/// A type of the user's, of an odd size.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[repr(C)]
#[bytemuck(crate = "mobula::bytemuck")]
struct Pixel {
    red: u8,
    green: u8,
    blue: u8,
}

struct Keeper {
    kept: Vec<Array<f32>>,
}

#[mobula::actor]
impl Keeper {
    pub fn new() -> Self {
        Keeper { kept: Vec::new() }
    }

    pub fn batch(&self, batch: Batch) -> Batch {
        batch
    }

    pub fn pixels(&self, pixels: Array<Pixel>) -> Vec<usize> {
        let mut seen = pixels.shape().to_vec();
        seen.push(pixels.iter().map(|pixel| usize::from(pixel.blue)).sum());
        seen
    }

    pub fn alignment(&self, array: Array<u8>) -> usize {
        array.as_ptr().addr() % 64
    }

    pub fn keep(&mut self, array: Array<f32>) -> usize {
        self.kept.push(array);
        self.kept.len()
    }

    pub fn sums(&self) -> Vec<f32> {
        self.kept.iter().map(|array| array.iter().sum()).collect()
    }

    pub fn forget(&mut self) {
        self.kept.clear();
    }

    pub fn private_kib(&self) -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    pub fn fill(&self, rows: usize, columns: usize) -> Array<f64> {
        let mut draft = ArrayMut::zeros(&[rows, columns]).unwrap();
        for (index, element) in draft.iter_mut().enumerate() {
            *element = index as f64;
        }
        draft.seal().unwrap()
    }
}

#[mobula::test]
fn arrays_inside_structs_maps_and_options_come_through() {
    let _runtime = start();
    let keeper = Keeper::remote().unwrap();
    let batch = Batch {
        name: "first".into(),
        features: Array::from_shape(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap(),
        labels: Some(Array::from_slice(&[0, 1]).unwrap()),
        more: BTreeMap::from([("x".into(), vec![Array::from_slice(&[-1]).unwrap(), Array::from_slice(&[]).unwrap()])]),
    };
    assert_eq!(get(&keeper.batch(batch.clone()).remote()).unwrap(), batch);
    let put = mobula::put(&batch).unwrap();
    let again = mobula::get(&put).unwrap();
    assert_eq!(again, batch);
    assert_eq!(again.features.as_ptr(), batch.features.as_ptr(), "no copy was made");
    assert_eq!(get(&keeper.batch(&put).remote()).unwrap().features.shape(), [2, 3]);
}

#[mobula::test]
fn elements_of_the_users_own_type() {
    let _runtime = start();
    let keeper = Keeper::remote().unwrap();
    let pixels = vec![Pixel { red: 1, green: 2, blue: 3 }; 100];
    let array = Array::from_shape(&[5, 20], &pixels).unwrap();
    assert_eq!(get(&keeper.pixels(&array).remote()).unwrap(), [5, 20, 300]);
}

#[mobula::test]
fn every_array_is_aligned_in_every_process() {
    let _runtime = start();
    let keeper = Keeper::remote().unwrap();
    for len in [1, 3, 63, 64, 65, 1000, 4097, 100_001] {
        let array = Array::from_slice(&vec![1u8; len]).unwrap();
        assert_eq!(array.as_ptr().addr() % 64, 0, "{len} bytes, here");
        assert_eq!(get(&keeper.alignment(&array).remote()).unwrap(), 0, "{len} bytes, there");
    }
}

#[mobula::test]
fn an_array_that_an_actor_keeps_outlives_everything_else() {
    let _runtime = start();
    let before = stats();
    {
        let keeper = Keeper::remote().unwrap();
        for index in 0..3 {
            let array = Array::from_slice(&vec![index as f32; 100_000]).unwrap();
            assert_eq!(get(&keeper.keep(&array).remote()).unwrap(), index + 1);
        }
        assert!(stats().used_bytes >= before.used_bytes + 1_200_000);
        assert_eq!(get(&keeper.sums().remote()).unwrap(), [0.0, 100_000.0, 200_000.0]);
        get(&keeper.forget().remote()).unwrap();
    }
    all_space_back(before);
}

#[mobula::test]
fn a_reader_has_no_copy() {
    let _runtime = start();
    let keeper = Keeper::remote().unwrap();
    let before = get(&keeper.private_kib().remote()).unwrap();
    let array = Array::from_slice(&vec![1.0f32; 8 << 20]).unwrap();
    get(&keeper.keep(&array).remote()).unwrap();
    assert_eq!(get(&keeper.sums().remote()).unwrap().len(), 1);
    let after = get(&keeper.private_kib().remote()).unwrap();
    assert!(after < before + (16 << 10), "32 MiB read, private memory {before} KiB before and {after} KiB after");
}

#[mobula::test]
fn an_array_written_in_place_elsewhere_arrives_whole() {
    let _runtime = start();
    let keeper = Keeper::remote().unwrap();
    let array = get(&keeper.fill(100, 70).remote()).unwrap();
    assert_eq!(array.shape(), [100, 70]);
    assert!(array.iter().enumerate().all(|(index, element)| *element == index as f64));
    let maker = keeper;
    drop(maker);
    assert_eq!(array[6999], 6999.0, "it does not need its maker");
}

#[mobula::test]
fn arrays_outlive_their_runtime_on_other_threads_too() {
    let runtime = start();
    let array = Array::from_slice(&[5u64; 10_000]).unwrap();
    let clone = array.clone();
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    let reader = std::thread::spawn(move || {
        receiver.recv().unwrap();
        clone.iter().sum::<u64>()
    });
    runtime.shutdown();
    sender.send(()).unwrap();
    assert_eq!(reader.join().unwrap(), 50_000);
    let _again = start();
    let other = Array::from_slice(&[6u64; 10_000]).unwrap();
    assert_eq!((array[9_999], other[9_999]), (5, 6));
}
