//! Values of any type.

use std::time::Duration;

use mobula::{Array, ChannelOptions};

use super::party;
use super::support::{get, start};

type Text = (u32, String);

fn options() -> ChannelOptions {
    ChannelOptions::new().slots(4).len(500)
}

#[mobula::test]
fn values_go_both_ways() {
    let _runtime = start();
    let (one, two) = (party(), party());
    let (mut sender, mut receivers) = mobula::value_channel::<Text>(&options().readers(2)).unwrap();
    let second = two.texts(receivers.pop().unwrap()).remote();
    let first = one.texts(receivers.pop().unwrap()).remote();
    let texts: Vec<Text> = (0..300).map(|n| (n, "x".repeat(n as usize % 400))).collect();
    texts.iter().for_each(|text| sender.send(text).unwrap());
    sender.close();
    assert_eq!(get(&first).unwrap(), texts);
    assert_eq!(get(&second).unwrap(), texts);
    let (sender, mut receivers) = mobula::value_channel::<Text>(&options()).unwrap();
    let told = one.tell(sender, 200).remote();
    for n in 0..200 {
        assert_eq!(receivers[0].recv().unwrap(), (n, n.to_string()));
    }
    assert!(receivers[0].next().is_none());
    get(&told).unwrap();
}

#[mobula::test]
fn nobody_waits_longer_than_asked() {
    let _runtime = start();
    let (mut sender, mut receivers) = mobula::value_channel::<u32>(&options().slots(1)).unwrap();
    let receiver = &mut receivers[0];
    assert!(receiver.try_recv().unwrap_err().is_empty());
    assert!(receiver.recv_timeout(Duration::from_millis(10)).unwrap_err().is_timeout());
    sender.try_send(&1).unwrap();
    assert!(sender.try_send(&2).unwrap_err().is_full());
    assert!(sender.send_timeout(&2, Duration::from_millis(10)).unwrap_err().is_timeout());
    assert_eq!(receiver.try_recv().unwrap(), 1);
    assert!(!receiver.is_closed());
    drop(sender);
    assert!(receiver.is_closed() && receiver.recv().unwrap_err().is_closed());
}

#[mobula::test]
fn what_does_not_fit_is_refused() {
    let _runtime = start();
    let (mut sender, mut receivers) = mobula::value_channel::<String>(&options()).unwrap();
    let refused = sender.send(&"x".repeat(500)).unwrap_err();
    assert!(refused.is_invalid_argument() && refused.to_string().contains("502 bytes"), "{refused}");
    sender.send(&"x".repeat(498)).unwrap();
    assert_eq!(receivers[0].recv().unwrap().len(), 498);
    let (mut sender, _receivers) = mobula::value_channel::<Array<u8>>(&options()).unwrap();
    let refused = sender.send(&Array::from_slice(&[1u8]).unwrap()).unwrap_err();
    assert!(refused.is_invalid_argument(), "{refused}");
    let bad = mobula::value_channel::<u8>(&options().readers(0)).unwrap_err();
    assert!(bad.is_invalid_argument(), "{bad}");
}
