//! Functions of the store by themselves, one process: what changes when one of them does.
//!
//! ```sh
//! cargo bench -p mobula-bench --bench objects
//! ```
//!
//! `mobula bench store` has the figures that count: several processes, limits beside them, targets.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark that cannot go on ends")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use mobula::store::{Array, ArrayMut, ObjectId, Store, StoreOptions};

const CAPACITY: usize = 64 << 20;
const SMALL: usize = 1024;
const LARGE: usize = 1_000_000;

fn store() -> Store {
    Store::create(StoreOptions::new(CAPACITY)).unwrap()
}

fn reads(criterion: &mut Criterion) {
    let store = store();
    let (there, missing) = (ObjectId::random(), ObjectId::random());
    drop(store.put(there, &[7; SMALL]).unwrap());
    let mut group = criterion.benchmark_group("read");
    group.bench_function("get", |bencher| {
        bencher.iter(|| store.get(black_box(there), Some(Duration::ZERO)).unwrap().len());
    });
    let view = store.get(there, Some(Duration::ZERO)).unwrap();
    group.bench_function("get_viewed", |bencher| {
        bencher.iter(|| store.get(black_box(there), Some(Duration::ZERO)).unwrap().len());
    });
    group.bench_function("clone_view", |bencher| bencher.iter(|| black_box(view.clone()).len()));
    group.bench_function("contains", |bencher| bencher.iter(|| store.contains(black_box(there))));
    group.bench_function("contains_missing", |bencher| bencher.iter(|| store.contains(black_box(missing))));
    group.bench_function("random_id", |bencher| bencher.iter(ObjectId::random));
    group.finish();
}

fn writes(criterion: &mut Criterion) {
    let store = store();
    let id = ObjectId::random();
    let mut group = criterion.benchmark_group("write");
    for (name, size) in [("put_delete_1KB", SMALL), ("put_delete_1MB", LARGE)] {
        let data = vec![7_u8; size];
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                drop(store.put(id, black_box(&data)).unwrap());
                store.delete(id).unwrap()
            });
        });
    }
    group.finish();
}

fn arrays(criterion: &mut Criterion) {
    let store = store();
    let numbers = vec![1.5_f64; LARGE / size_of::<f64>()];
    let shape = [numbers.len()];
    let mut group = criterion.benchmark_group("array");
    group.throughput(Throughput::Bytes(LARGE as u64));
    group.bench_function("from_shape_1MB", |bencher| {
        bencher.iter(|| Array::from_shape_in(&store, &shape, black_box(&numbers)).unwrap().len());
    });
    group.bench_function("seal_1MB_unwritten", |bencher| {
        bencher.iter(|| ArrayMut::<f64>::uninit_in(&store, &shape).unwrap().seal().unwrap().len());
    });
    group.bench_function("into_mut_1MB", |bencher| {
        let make = || Array::from_shape_in(&store, &shape, &numbers).unwrap();
        bencher.iter_batched(make, |array| array.into_mut().unwrap().len(), BatchSize::PerIteration);
    });
    group.finish();
}

criterion_group! {
    name = objects;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = reads, writes, arrays
}
criterion_main!(objects);
