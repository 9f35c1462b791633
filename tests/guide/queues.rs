//! Snippets of `docs/queues.md`.

use mobula::Queue;

use super::config;

#[mobula::task]
fn produce(queue: Queue<(u32, String)>, from: u32) -> mobula::Result<()> {
    (from..from + 10).try_for_each(|n| queue.put(&(n, n.to_string())))
}

#[mobula::task]
fn consume(queue: Queue<(u32, String)>) -> mobula::Result<usize> {
    let mut taken = 0;
    while let Ok(values) = queue.get_many(100) {
        taken += values.len(); // one or more; is_closed ends it
    }
    Ok(taken)
}

#[mobula::test]
fn queues() {
    // Two consumers wait while two producers run.
    let _runtime = mobula::init(config().num_cpus(4.0)).unwrap();
    check().unwrap();
}

fn check() -> mobula::Result<()> {
    let queue = Queue::<(u32, String)>::new(1000)?; // room for as many values
    let consumers = [consume::remote(queue.clone()), consume::remote(queue.clone())];
    let producers = [produce::remote(queue.clone(), 0), produce::remote(queue.clone(), 10)];
    mobula::get_all(&producers)?;
    queue.close(); // what is there is taken, then consumers are told
    assert_eq!(mobula::get_all(&consumers)?.iter().sum::<usize>(), 20);
    assert!(queue.put(&(1, String::new())).is_err_and(|error| error.is_closed()));

    let log = Queue::<u64>::unbounded_with_value_bytes(16)?;
    (0..100_000).try_for_each(|n| log.put(&n))?; // nobody takes any yet
    assert_eq!((log.len(), log.get()?), (100_000, 0));
    Ok(())
}
