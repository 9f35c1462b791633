//! Queues of messages of 64 bytes between processes.
//!
//! | row | what is timed |
//! |---|---|
//! | `queue_1_1` | this process puts one message after the other, an actor takes one after the other; by their number |
//! | `queue_1_1_batches` | the same, 100 at a time on both sides |
//! | `queue_unbounded_1_1` | `queue_1_1` over a queue without a bound |
//! | `queue_2_2` | two actors put, two take |
//! | `queue_values_1_1` | numbers and texts of 20 bytes, encoded, one after the other |
//!
//! `value` is messages a second; p50 and p99 are a run's time by its messages.

#![allow(unreachable_pub, reason = "remote methods are `pub`")]

use mobula::Queue;
use mobula::prelude::*;
use mobula::store::MessageQueue;

use crate::error::{Result, check};
use crate::limits::Limit;
use crate::sample::singles;
use crate::session::{Figure, Session};

pub(crate) const NAME: &str = "queue";

const BYTES: usize = 64;
const PLACES: usize = 4096;
const BATCH: usize = 100;

/// Runs the suite.
pub(crate) fn run(session: &mut Session<'_>) -> Result<()> {
    session.limits(NAME, &[Limit::Stream])?;
    session.begin("queue_1_1");
    let runtime = mobula::init(Config::new().num_cpus(2.0).object_store_memory(64 << 20))?;
    let bounded = || MessageQueue::new(PLACES, BYTES);
    one_to_one(session, "queue_1_1", 1, bounded)?;
    one_to_one(session, "queue_1_1_batches", BATCH, bounded)?;
    one_to_one(session, "queue_unbounded_1_1", 1, || MessageQueue::unbounded(BYTES))?;
    many_to_many(session)?;
    values(session)?;
    runtime.shutdown();
    Ok(())
}

type Text = (u64, String);

/// Puts or takes in a process of its own.
struct Hand;

#[mobula::actor]
impl Hand {
    pub fn new() -> Self {
        Hand
    }

    pub fn ready(&self) {}

    /// Takes so many messages, at most `batch` at a time; counts those that are right.
    pub fn take(&self, queue: MessageQueue, count: usize, batch: usize) -> mobula::Result<usize> {
        let (mut taken, mut right) = (0, 0);
        let mut look =
            |message: &[u8]| right += usize::from(message.len() == BYTES && message[0] == message[BYTES - 1]);
        while taken < count {
            if batch == 1 {
                queue.get(None, &mut look)?;
                taken += 1;
            } else {
                taken += queue.get_many(batch.min(count - taken), None, &mut look)?;
            }
        }
        Ok(right)
    }

    pub fn put(&self, queue: MessageQueue, count: usize) -> mobula::Result<()> {
        Ok(put(&queue, count, 1)?)
    }

    /// Adds up the numbers of so many values.
    pub fn take_values(&self, queue: Queue<Text>, count: usize) -> mobula::Result<u64> {
        (0..count).try_fold(0, |sum, _| Ok(sum + queue.get()?.0))
    }
}

fn put(queue: &MessageQueue, count: usize, batch: usize) -> mobula::store::Result<()> {
    if batch == 1 {
        return (0..count).try_for_each(|n| queue.put(&[n as u8; BYTES], None));
    }
    let messages: Vec<_> = (0..batch).map(|n| [n as u8; BYTES]).collect();
    let mut left = count;
    while left > 0 {
        left -= queue.put_many(messages.iter().take(left).map(|message| &message[..]), None)?;
    }
    Ok(())
}

fn hands(count: usize) -> Result<Vec<ActorHandle<Hand>>> {
    let hands = (0..count).map(|_| Hand::remote()).collect::<mobula::Result<Vec<_>>>()?;
    let ready: Vec<_> = hands.iter().map(|hand| hand.ready().remote()).collect();
    mobula::get_all(&ready)?;
    Ok(hands)
}

fn one_to_one(
    session: &mut Session<'_>,
    row: &'static str,
    batch: usize,
    make: impl Fn() -> mobula::store::Result<MessageQueue>,
) -> Result<()> {
    session.begin(row);
    let count = session.count(500_000, 20_000);
    let taker = hands(1)?.remove(0);
    let queue = make()?;
    let samples = singles(session.clock(), session.count(12, 2), |_| {
        let taken = taker.take(queue.clone(), count, batch).remote();
        put(&queue, count, batch)?;
        check(row, mobula::get(&taken)?, count)
    })?;
    session.emit(NAME, row, Figure::per_second(&samples.divided_by(count)), Some(Limit::Stream.name()))
}

fn many_to_many(session: &mut Session<'_>) -> Result<()> {
    const ROW: &str = "queue_2_2";
    session.begin(ROW);
    let count = session.count(200_000, 10_000);
    let hands = hands(4)?;
    let queue = MessageQueue::new(PLACES, BYTES)?;
    let samples = singles(session.clock(), session.count(12, 2), |_| {
        let taken: Vec<_> = hands[..2].iter().map(|hand| hand.take(queue.clone(), count, 1).remote()).collect();
        let put: Vec<_> = hands[2..].iter().map(|hand| hand.put(queue.clone(), count).remote()).collect();
        mobula::get_all(&put)?;
        check(ROW, mobula::get_all(&taken)?, vec![count; 2])
    })?;
    session.emit(NAME, ROW, Figure::per_second(&samples.divided_by(2 * count)), Some(Limit::Stream.name()))
}

fn values(session: &mut Session<'_>) -> Result<()> {
    const ROW: &str = "queue_values_1_1";
    session.begin(ROW);
    let count = session.count(200_000, 10_000);
    let taker = hands(1)?.remove(0);
    let queue = Queue::<Text>::with_value_bytes(PLACES, BYTES)?;
    let mut text = (0, "twenty bytes of text".to_owned());
    let samples = singles(session.clock(), session.count(12, 2), |_| {
        let taken = taker.take_values(queue.clone(), count).remote();
        for n in 0..count as u64 {
            text.0 = n;
            queue.put(&text)?;
        }
        check(ROW, mobula::get(&taken)?, (0..count as u64).sum::<u64>())
    })?;
    session.emit(NAME, ROW, Figure::per_second(&samples.divided_by(count)), Some(Limit::Stream.name()))
}
