//! Channels between drivers, actors and tasks.

#![forbid(unsafe_code)]
#![allow(unreachable_pub, reason = "remote methods are `pub`")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod arrays;
mod deaths;
mod values;

use mobula::prelude::*;
use mobula::{ChannelOptions, ChannelReader, ChannelWriter, Receiver, Sender};

/// Has ends of channels.
pub(crate) struct Party {
    reader: Option<ChannelReader<f32>>,
    writer: Option<ChannelWriter<f32>>,
}

#[mobula::actor]
impl Party {
    pub fn new() -> Self {
        Party { reader: None, writer: None }
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }

    /// Sums up each of so many values.
    pub fn sums(&mut self, mut reader: ChannelReader<f32>, values: usize) -> mobula::Result<Vec<f32>> {
        let mut sums = Vec::new();
        for _ in 0..values {
            sums.push(reader.read()?.iter().sum());
        }
        Ok(sums)
    }

    /// Takes ends, to use them later.
    pub fn take(&mut self, reader: Option<ChannelReader<f32>>, writer: Option<ChannelWriter<f32>>) {
        (self.reader, self.writer) = (reader, writer);
    }

    /// Gives the ends away.
    pub fn give(&mut self) -> (Option<ChannelReader<f32>>, Option<ChannelWriter<f32>>) {
        (self.reader.take(), self.writer.take())
    }

    /// Passes values on until there are no more; then both ends go.
    pub fn pump(&mut self) -> mobula::Result<usize> {
        let (Some(mut reader), Some(mut writer)) = (self.reader.take(), self.writer.take()) else { return Ok(0) };
        let mut count = 0;
        loop {
            match reader.read() {
                Ok(value) => writer.write_slice(&value)?,
                Err(error) if error.is_closed() => return Ok(count),
                Err(error) => return Err(error.into()),
            }
            count += 1;
        }
    }

    /// Passes on so many values and goes on having both ends.
    pub fn pump_some(&mut self, values: usize) -> mobula::Result<()> {
        let (Some(reader), Some(writer)) = (&mut self.reader, &mut self.writer) else { return Ok(()) };
        for _ in 0..values {
            writer.write_slice(&reader.read()?)?;
        }
        Ok(())
    }

    pub fn texts(&mut self, receiver: Receiver<(u32, String)>) -> mobula::Result<Vec<(u32, String)>> {
        receiver.collect()
    }

    pub fn tell(&mut self, mut sender: Sender<(u32, String)>, count: u32) -> mobula::Result<()> {
        (0..count).try_for_each(|n| sender.send(&(n, n.to_string())))
    }
}

#[mobula::task]
pub(crate) fn fill(mut writer: ChannelWriter<f32>, values: usize) -> mobula::Result<()> {
    for n in 0..values {
        writer.write(|slot| slot.fill(n as f32))?;
    }
    Ok(())
}

/// A channel with one reader.
pub(crate) fn pair(slots: usize, len: usize) -> (ChannelWriter<f32>, ChannelReader<f32>) {
    let (writer, mut readers) = mobula::channel(&ChannelOptions::new().slots(slots).len(len)).unwrap();
    (writer, readers.remove(0))
}

pub(crate) fn party() -> ActorHandle<Party> {
    Party::remote().unwrap()
}
