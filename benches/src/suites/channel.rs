//! Channels between this process and an actor, one value after the other.
//!
//! | row | what is timed |
//! |---|---|
//! | `channel_hop_8B` | a value there and one back, divided by two: a hop one way |
//! | `channel_hop_64B` .. `channel_hop_4MB` | the same; of larger values the first and the last element are written and read |
//! | `channel_stream_8B` | 1,000 values one way, by 1,000 |
//! | `channel_broadcast_4` | a value to four readers, until the last has answered |
//! | `value_channel_hop` | a number and a text of 20 bytes, encoded, there and back, divided by two |
//!
//! A hop is written in place and read in place, so it is as long for 4 MB as for 8 bytes.

#![allow(unreachable_pub, reason = "remote methods are `pub`")]

use mobula::prelude::*;
use mobula::{ChannelOptions, ChannelReader, ChannelWriter, Receiver, Sender};

use crate::error::{Result, check};
use crate::limits::{BATCH, Limit};
use crate::sample::warmed;
use crate::session::{Figure, Session};

pub(crate) const NAME: &str = "channel";

const STORE_BYTES: usize = 256 << 20;
const READERS: usize = 4;

/// Runs the suite.
pub(crate) fn run(session: &mut Session<'_>) -> Result<()> {
    session.limits(NAME, &[Limit::SpinRtt, Limit::Stream])?;
    session.begin("channel_hop_8B");
    let runtime = mobula::init(Config::new().num_cpus(2.0).object_store_memory(STORE_BYTES))?;
    for (row, words) in [
        ("channel_hop_8B", 1),
        ("channel_hop_64B", 8),
        ("channel_hop_4KB", 512),
        ("channel_hop_1MB", 131_072),
        ("channel_hop_4MB", 524_288),
    ] {
        hop(session, row, words)?;
    }
    stream(session)?;
    broadcast(session)?;
    values(session)?;
    runtime.shutdown();
    Ok(())
}

type Text = (u64, String);

/// The other side.
struct Mirror;

#[mobula::actor]
impl Mirror {
    pub fn new() -> Self {
        Mirror
    }

    /// Sends back one more than comes, in the first and the last element.
    pub fn reflect(&self, mut from: ChannelReader<u64>, mut to: ChannelWriter<u64>) -> mobula::Result<()> {
        loop {
            match from.read() {
                Ok(value) => to.write_len(value.len(), |place| mark(place, value[0] + 1))?,
                Err(error) if error.is_closed() => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    pub fn reflect_texts(&self, from: Receiver<Text>, mut to: Sender<Text>) -> mobula::Result<()> {
        for text in from {
            let (number, text) = text?;
            to.send(&(number + 1, text))?;
        }
        Ok(())
    }
}

fn mark(place: &mut [u64], number: u64) {
    if let Some(last) = place.last_mut() {
        *last = number;
    }
    place[0] = number;
}

fn pair(slots: usize, len: usize) -> Result<(ChannelWriter<u64>, ChannelReader<u64>)> {
    let (writer, mut readers) = mobula::channel(&ChannelOptions::new().slots(slots).len(len))?;
    Ok((writer, readers.remove(0)))
}

fn hop(session: &mut Session<'_>, row: &'static str, words: usize) -> Result<()> {
    session.begin(row);
    let mirror = Mirror::remote()?;
    let ((mut there, from), (to, mut back)) = (pair(2, words)?, pair(2, words)?);
    let reflected = mirror.reflect(from, to).remote();
    let samples = warmed(session.clock(), session.count(100_000, 5_000), |i| {
        there.write(|place| mark(place, i as u64))?;
        let value = back.read()?;
        check(row, (value[0], value[words - 1]), (i as u64 + 1, i as u64 + 1))
    })?;
    there.close();
    mobula::get(&reflected)?;
    session.emit(NAME, row, Figure::of(&samples.divided_by(2)), Some(Limit::SpinRtt.name()))
}

fn stream(session: &mut Session<'_>) -> Result<()> {
    const ROW: &str = "channel_stream_8B";
    session.begin(ROW);
    let mirror = Mirror::remote()?;
    // Values come back, so that this side knows when all have arrived.
    let ((mut there, from), (to, mut back)) = (pair(2 * BATCH, 1)?, pair(2 * BATCH, 1)?);
    let reflected = mirror.reflect(from, to).remote();
    let samples = warmed(session.clock(), session.count(2_000, 50), |_| {
        (0..BATCH as u64).try_for_each(|number| there.send(number))?;
        (1..=BATCH as u64).try_for_each(|number| check(ROW, back.recv()?, number))
    })?;
    there.close();
    mobula::get(&reflected)?;
    session.emit(NAME, ROW, Figure::per_second(&samples.divided_by(BATCH)), Some(Limit::Stream.name()))
}

fn broadcast(session: &mut Session<'_>) -> Result<()> {
    const ROW: &str = "channel_broadcast_4";
    session.begin(ROW);
    let mirrors = (0..READERS).map(|_| Mirror::remote()).collect::<mobula::Result<Vec<_>>>()?;
    let (mut there, readers) = mobula::channel::<u64>(&ChannelOptions::new().slots(2).readers(READERS))?;
    let (mut answers, mut reflected) = (Vec::new(), Vec::new());
    for (mirror, from) in mirrors.iter().zip(readers) {
        let (to, back) = pair(2, 1)?;
        reflected.push(mirror.reflect(from, to).remote());
        answers.push(back);
    }
    let samples = warmed(session.clock(), session.count(10_000, 300), |i| {
        there.send(i as u64)?;
        answers.iter_mut().try_for_each(|back| check(ROW, back.recv()?, i as u64 + 1))
    })?;
    there.close();
    mobula::get_all(&reflected)?;
    session.emit(NAME, ROW, Figure::of(&samples), Some(Limit::SpinRtt.name()))
}

fn values(session: &mut Session<'_>) -> Result<()> {
    const ROW: &str = "value_channel_hop";
    session.begin(ROW);
    let mirror = Mirror::remote()?;
    let options = ChannelOptions::new().slots(2).len(100);
    let (mut there, mut from) = mobula::value_channel::<Text>(&options)?;
    let (to, mut back) = mobula::value_channel::<Text>(&options)?;
    let reflected = mirror.reflect_texts(from.remove(0), to).remote();
    let mut text = (0, "twenty bytes of text".to_owned());
    let samples = warmed(session.clock(), session.count(100_000, 5_000), |i| {
        text.0 = i as u64;
        there.send(&text)?;
        check(ROW, back[0].recv()?.0, i as u64 + 1)
    })?;
    there.close();
    mobula::get(&reflected)?;
    session.emit(NAME, ROW, Figure::of(&samples.divided_by(2)), Some(Limit::SpinRtt.name()))
}
