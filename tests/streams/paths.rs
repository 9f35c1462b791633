//! The same through ipc-channel.

use mobula::CallPath;

use super::support::{Scratch, config, get};
use super::{count, next, noted, until_noted, values};

#[mobula::test]
fn streams_come_through_channels() {
    let _runtime = mobula::init(config(2.0).call_path(CallPath::IpcChannel)).unwrap();
    assert_eq!(values(count::remote(5000)), (0..5000).collect::<Vec<_>>());
    assert_eq!(values(count::options().stream_backpressure(1).remote(50)), (0..50).collect::<Vec<_>>());
    let diary = Scratch::new("diary");
    let mut stream = noted::remote(diary.text(), u64::MAX);
    assert_eq!(get(&next(&mut stream).unwrap()).unwrap(), 0);
    drop(stream);
    until_noted(&diary, "dropped");
}
