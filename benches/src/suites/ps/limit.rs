//! The same training by two threads in one process.
//!
//! ```text
//!   sync     thread 0, 1: gradient --barrier--> thread 0: apply --barrier--> next round
//!   async    thread 0, 1: current version --> gradient --lock--> apply --> new current version
//! ```
//!
//! The buffers are as many as Mobula's objects: two versions and two gradients in rounds, where a version
//! is written while the one before is still read; in iterations a version for the server, one that it
//! writes, and one that each worker reads.

use std::sync::{Arc, Barrier, Mutex, PoisonError, RwLock};

use super::{WORKERS, apply, gradient};
use crate::clock::Clock;

/// Versions that exist at once while workers go at their own pace.
const VERSIONS: usize = 2 + WORKERS;

/// Two threads in rounds.
#[derive(Debug)]
pub(super) struct Synchronous {
    /// The current version and the one that is written next.
    versions: RwLock<[Vec<f64>; 2]>,
    gradients: [Vec<f64>; WORKERS],
}

impl Synchronous {
    pub(super) fn new(numbers: usize) -> Self {
        let buffer = || vec![0.0; numbers];
        Synchronous { versions: RwLock::new([buffer(), buffer()]), gradients: [buffer(), buffer()] }
    }

    pub(super) fn parameters(&mut self) -> &[f64] {
        &self.versions.get_mut().unwrap_or_else(PoisonError::into_inner)[0]
    }

    /// Goes through rounds and returns the nanoseconds that they took.
    pub(super) fn rounds(&mut self, clock: Clock, count: usize) -> f64 {
        let (versions, barrier) = (&self.versions, &Barrier::new(WORKERS));
        let gradients = self.gradients.each_mut().map(Mutex::new);
        let gradients = &gradients;
        let start = clock.now();
        std::thread::scope(|scope| {
            for (number, own) in gradients.iter().enumerate() {
                scope.spawn(move || {
                    for _ in 0..count {
                        gradient(&read(versions)[0], &mut lock(own)[..]);
                        barrier.wait();
                        if number == 0 {
                            let [one, other] = gradients.each_ref().map(lock);
                            let [current, next] = &mut *write(versions);
                            apply(current, &[&one[..], &other[..]], next);
                            std::mem::swap(current, next);
                        }
                        barrier.wait();
                    }
                });
            }
        });
        clock.since(start)
    }
}

/// Two threads, each at its own pace.
#[derive(Debug)]
pub(super) struct Asynchronous {
    server: Mutex<Versions>,
    gradients: [Vec<f64>; WORKERS],
}

#[derive(Debug)]
struct Versions {
    /// The current one comes first.
    all: [Arc<Vec<f64>>; VERSIONS],
    pushes: usize,
}

impl Asynchronous {
    pub(super) fn new(numbers: usize) -> Self {
        let all = std::array::from_fn(|_| Arc::new(vec![0.0; numbers]));
        let gradients = std::array::from_fn(|_| vec![0.0; numbers]);
        Asynchronous { server: Mutex::new(Versions { all, pushes: 0 }), gradients }
    }

    pub(super) fn pushes(&mut self) -> usize {
        self.server.get_mut().unwrap_or_else(PoisonError::into_inner).pushes
    }

    /// Goes through `count` iterations of all threads together and returns the nanoseconds that they took.
    pub(super) fn iterations(&mut self, clock: Clock, count: usize) -> f64 {
        let server = &self.server;
        let start = clock.now();
        std::thread::scope(|scope| {
            for own in &mut self.gradients {
                scope.spawn(move || {
                    for _ in 0..count / WORKERS {
                        let parameters = lock(server).all[0].clone();
                        gradient(&parameters, own);
                        drop(parameters);
                        lock(server).push(own);
                    }
                });
            }
        });
        clock.since(start)
    }
}

impl Versions {
    fn push(&mut self, gradient: &[f64]) {
        let (current, others) = self.all.split_at_mut(1);
        // Each worker reads one at most, so one is left.
        let free = (1..).zip(others).find_map(|(at, version)| Some((at, Arc::get_mut(version)?)));
        if let Some((at, next)) = free {
            apply(&current[0], &[gradient], next);
            self.all.swap(0, at);
            self.pushes += 1;
        }
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
