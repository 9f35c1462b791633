//! Snippets of `docs/channels.md`.

use mobula::{ChannelOptions, ChannelReader};

use super::config;

#[mobula::task]
fn watch(mut temperatures: ChannelReader<f32>) -> mobula::Result<f32> {
    let mut highest = f32::MIN;
    loop {
        match temperatures.read() {
            Ok(place) => highest = place.iter().copied().fold(highest, f32::max), // read where it was written
            Err(end) if end.is_closed() => return Ok(highest),
            Err(error) => return Err(error.into()),
        }
    }
}

#[mobula::test]
fn channels() {
    let _runtime = mobula::init(config()).unwrap();
    check().unwrap();
}

fn check() -> mobula::Result<()> {
    let options = ChannelOptions::new().slots(4).len(1000).readers(2);
    let (mut writer, readers) = mobula::channel::<f32>(&options)?;
    let watchers: Vec<_> = readers.into_iter().map(watch::remote).collect(); // ends travel like any value
    for day in 0..10 {
        writer.write(|place| place.fill(day as f32))?; // once, however many read it
    }
    writer.write_slice(&[0.5, 11.5])?;
    writer.close();
    assert_eq!(mobula::get_all(&watchers)?, [11.5, 11.5]);

    let (mut sender, mut receivers) = mobula::value_channel::<(u32, String)>(&ChannelOptions::new().len(200))?;
    sender.send(&(1, "one".to_owned()))?;
    sender.close();
    assert_eq!(receivers.remove(0).collect::<mobula::Result<Vec<_>>>()?, [(1, "one".to_owned())]);
    Ok(())
}
