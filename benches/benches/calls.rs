//! Functions of a runtime, with one actor: putting and getting, encoding, a call, its parts.
//!
//! ```sh
//! cargo bench -p mobula-bench --bench calls
//! ```
//!
//! `mobula bench calls` has the figures that count: limits beside them, targets.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark that cannot go on ends")]
#![allow(unreachable_pub, reason = "remote methods are `pub`")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput};
use mobula::prelude::*;

const NUMBERS: usize = 1000;

struct Echo;

#[mobula::actor]
impl Echo {
    pub fn new() -> Self {
        Echo
    }

    pub fn number(&self, number: u64) -> u64 {
        number
    }

    pub fn numbers(&self, numbers: Vec<u64>) -> usize {
        numbers.len()
    }
}

fn values(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("value");
    let (number, list, text) = (7_u64, vec![7_u64; NUMBERS], "x".repeat(NUMBERS));
    group.bench_function("put_u64", |bencher| bencher.iter(|| mobula::put(black_box(&number)).unwrap()));
    let object = mobula::put(&number).unwrap();
    group.bench_function("get_u64", |bencher| bencher.iter(|| mobula::get(black_box(&object)).unwrap()));
    group.bench_function("clone_ref", |bencher| bencher.iter(|| black_box(&object).clone()));
    group.throughput(Throughput::Elements(NUMBERS as u64));
    group.bench_function("put_1k_u64", |bencher| bencher.iter(|| mobula::put(black_box(&list)).unwrap()));
    let object = mobula::put(&list).unwrap();
    group.bench_function("get_1k_u64", |bencher| bencher.iter(|| mobula::get(black_box(&object)).unwrap()));
    group.throughput(Throughput::Bytes(NUMBERS as u64));
    group.bench_function("put_1KB_text", |bencher| bencher.iter(|| mobula::put(black_box(&text)).unwrap()));
    group.finish();
}

fn calls(criterion: &mut Criterion) {
    let echo = Echo::remote().unwrap();
    let object = mobula::put(&7_u64).unwrap();
    mobula::get(&echo.number(1).remote()).unwrap();
    let mut group = criterion.benchmark_group("call");
    group.bench_function("prepare", |bencher| bencher.iter(|| drop(echo.number(black_box(7)))));
    group.bench_function("remote_and_get", |bencher| {
        bencher.iter(|| mobula::get(&echo.number(black_box(7)).remote()).unwrap());
    });
    group.bench_function("remote_and_get_of_ref", |bencher| {
        bencher.iter(|| mobula::get(&echo.number(black_box(&object)).remote()).unwrap());
    });
    let list = vec![7_u64; NUMBERS];
    group.bench_function("remote_and_get_of_1k_u64", |bencher| {
        let list = || list.clone();
        bencher.iter_batched(list, |list| mobula::get(&echo.numbers(list).remote()).unwrap(), BatchSize::SmallInput);
    });
    group.throughput(Throughput::Elements(NUMBERS as u64));
    group.bench_function("1k_remote_then_get", |bencher| {
        bencher.iter(|| {
            let refs: Vec<_> = (0..NUMBERS as u64).map(|number| echo.number(number).remote()).collect();
            mobula::get_all(&refs).unwrap()
        });
    });
    let ready: Vec<_> = (0..NUMBERS as u64).map(|number| mobula::put(&number).unwrap()).collect();
    group.bench_function("wait_of_1k_ready", |bencher| {
        bencher.iter(|| mobula::wait(&ready, 1, Some(Duration::ZERO)).unwrap().0.len());
    });
    group.finish();
}

#[mobula::main]
fn main() {
    let _runtime = mobula::init(Config::new().num_cpus(1.0)).unwrap();
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    values(&mut criterion);
    calls(&mut criterion);
    criterion.final_summary();
}
