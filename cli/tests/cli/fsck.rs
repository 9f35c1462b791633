//! `mobula fsck` of a living store and of a dump.

use mobula_store::{ObjectId, Store};
use serde_json::Value;

use crate::{Served, call, failed, said};

#[test]
fn a_sound_store_is_clean() {
    let served = Served::start(&[]);
    let store = Store::attach(&served.address).unwrap();
    let _view = store.put(ObjectId::random(), b"0123456789").unwrap();
    let text = said(&served.call(&["fsck"]));
    assert!(text.starts_with("clean: 1 objects, 2 clients, "), "{text}");
    let verdict: Value = serde_json::from_str(&said(&call(&["fsck", &served.address, "--json"]))).unwrap();
    assert_eq!((verdict["clean"].as_bool(), verdict["objects"].as_u64()), (Some(true), Some(1)));
    assert_eq!(verdict["violations"], serde_json::json!([]));
}

#[test]
fn what_is_no_store_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    assert!(failed(&call(&["fsck", missing.to_str().unwrap()])).contains("no store answers"));
    let garbage = folder.path().join("garbage");
    std::fs::write(&garbage, [7; 10_000]).unwrap();
    for path in [folder.path(), &garbage] {
        let output = call(&["fsck", path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
    }
}

#[test]
fn a_dump_is_checked_like_the_store() {
    let served = Served::start(&[]);
    let store = Store::attach(&served.address).unwrap();
    store.put(ObjectId::random(), b"0123456789").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let dump = folder.path().join("dump");
    said(&served.call(&["store", "dump", dump.to_str().unwrap()]));
    let text = said(&call(&["fsck", dump.to_str().unwrap()]));
    assert!(text.starts_with("clean: 1 objects, 2 clients, "), "{text}");
}
