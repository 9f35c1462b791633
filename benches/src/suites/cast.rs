//! The actors and tasks that several suites use.

#![allow(unreachable_pub, reason = "remote methods are `pub`")]

use std::sync::OnceLock;

use mobula::prelude::*;

use crate::machine::cpus;

/// Does next to nothing, so that its calls cost what calls cost.
#[derive(Debug)]
pub(crate) struct Echo;

#[mobula::actor]
impl Echo {
    pub fn new() -> Self {
        Echo
    }

    pub fn successor(&self, number: u64) -> u64 {
        number + 1
    }

    /// Looks at an array's last number.
    pub fn last(&self, array: Array<f64>) -> f64 {
        array.last().copied().unwrap_or(f64::NAN)
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }

    /// Is at it until the process is killed.
    pub fn nap(&self) {
        std::thread::sleep(std::time::Duration::from_secs(600));
    }
}

/// Calls others from a process of its own.
#[derive(Debug)]
pub(crate) struct Client {
    callees: Vec<ActorHandle<Echo>>,
}

#[mobula::actor]
impl Client {
    pub fn new(callees: Vec<ActorHandle<Echo>>) -> Self {
        Client { callees }
    }

    /// Makes `calls` calls of each callee, one callee after the other, gets all results and counts those
    /// that are right.
    pub fn batch(&self, calls: usize) -> mobula::Result<usize> {
        let refs: Vec<_> =
            self.callees.iter().flat_map(|callee| (0..calls).map(|i| callee.successor(i as u64).remote())).collect();
        count(&refs, |at| (at % calls.max(1)) as u64 + 1)
    }

    /// The same with a ref to an array as argument.
    pub fn batch_with_array(&self, calls: usize) -> mobula::Result<usize> {
        let array = mobula::put(&Array::from_slice(&ARGUMENT)?)?;
        let refs: Vec<_> =
            self.callees.iter().flat_map(|callee| (0..calls).map(|_| callee.last(&array).remote())).collect();
        count(&refs, |_| ARGUMENT[ARGUMENT.len() - 1])
    }

    /// Makes tasks, gets all results and counts those that are right.
    pub fn batch_of_tasks(&self, tasks: usize) -> mobula::Result<usize> {
        let refs: Vec<_> = (0..tasks).map(|i| successor::remote(i as u64)).collect();
        count(&refs, |at| at as u64 + 1)
    }
}

/// The array of `batch_with_array`: one kilobyte.
const ARGUMENT: [f64; 128] = [2.5; 128];

fn count<T: mobula::serde::de::DeserializeOwned + PartialEq>(
    refs: &[ObjectRef<T>],
    right: impl Fn(usize) -> T,
) -> mobula::Result<usize> {
    let mut matches = 0;
    for (at, object) in refs.iter().enumerate() {
        matches += usize::from(mobula::get(object)? == right(at));
    }
    Ok(matches)
}

#[mobula::task]
pub(crate) fn successor(number: u64) -> u64 {
    number + 1
}

/// Makes refs of as many values and hands them out in a list.
#[mobula::task]
pub(crate) fn many_refs(count: u64) -> mobula::Result<Vec<ObjectRef<u64>>> {
    (0..count).map(|i| mobula::put(&i)).collect()
}

/// Puts as many small values.
#[mobula::task]
pub(crate) fn put_small(count: u64) -> mobula::Result<u64> {
    for i in 0..count {
        mobula::put(&i)?;
    }
    Ok(count)
}

/// Puts an array as often, dropping each; a process makes its source once.
#[mobula::task]
pub(crate) fn put_large(times: usize, numbers: usize) -> mobula::Result<usize> {
    static SOURCE: OnceLock<Vec<i64>> = OnceLock::new();
    let source = SOURCE.get_or_init(|| vec![1; numbers]);
    for _ in 0..times {
        Array::from_slice(source)?;
    }
    Ok(times)
}

/// Returns what Ray's microbenchmark calls n, half of the processors, but at least 2 and at most 16.
pub(crate) fn several() -> usize {
    (cpus() / 2).clamp(2, 16)
}

/// Starts actors and waits until all are there.
pub(crate) fn echoes(count: usize) -> mobula::Result<Vec<ActorHandle<Echo>>> {
    let echoes = (0..count).map(|_| Echo::remote()).collect::<mobula::Result<Vec<_>>>()?;
    echoes.iter().try_for_each(|echo| mobula::get(&echo.successor(0).remote()).map(drop))?;
    Ok(echoes)
}

/// Starts actors that call others, and waits until all are there.
pub(crate) fn clients(of: &[Vec<ActorHandle<Echo>>]) -> mobula::Result<Vec<ActorHandle<Client>>> {
    let clients = of.iter().map(|callees| Client::remote(callees.clone())).collect::<mobula::Result<Vec<_>>>()?;
    clients.iter().try_for_each(|client| mobula::get(&client.batch(1).remote()).map(drop))?;
    Ok(clients)
}
