//! `mobula store serve` from the address on the first line to the signal that ends it.

use std::os::unix::fs::DirBuilderExt;

use mobula_store::{ObjectId, Store};
use rustix::process::Signal;

use crate::{Served, call, eventually, failed, said};

#[test]
fn it_serves_until_it_is_interrupted_or_terminated() {
    for signal in [Signal::INT, Signal::TERM] {
        let served = Served::start(&[]);
        let address = served.address.clone();
        Store::attach(&address).unwrap().put(ObjectId::random(), b"from a program").unwrap();
        assert!(said(&served.call(&["store", "stats"])).contains("objects"));
        assert!(served.end(signal).success());
        assert!(failed(&call(&["store", "list", "--address", &address])).contains("no store answers"));
        assert!(!std::path::Path::new(&address).exists());
    }
}

#[test]
fn options_reach_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("own");
    std::fs::DirBuilder::new().mode(0o700).create(&own).unwrap();
    let path = own.join("socket").to_string_lossy().into_owned();
    let served =
        Served::start(&["--address", &path, "--max-clients", "4", "--max-objects", "64", "--prefault", "2MiB"]);
    assert_eq!(served.address, path);
    let store = Store::attach(&path).unwrap();
    assert!(store.stats().committed_bytes >= 2 << 20);
    let _others = [Store::attach(&path).unwrap(), Store::attach(&path).unwrap()];
    let refused = failed(&served.call(&["store", "list"]));
    assert!(refused.starts_with("mobula: all 4 places"), "{refused}");
    let taken = failed(&call(&["store", "serve", "--capacity", "1MiB", "--address", &path]));
    assert!(taken.contains("in use by a living store"), "{taken}");
}

#[test]
fn a_named_store_is_found_by_its_name() {
    let name = format!("mobula-cli-test-{}", std::process::id());
    let served = Served::start(&["--name", &name]);
    assert_eq!(served.address, format!("name:{name}"));
    let id = said(&served.call(&["store", "put", "/proc/self/cmdline"]));
    assert!(said(&served.call(&["store", "list"])).contains(id.trim_end()));
    assert!(served.runtime().join("mobula").exists());
    assert!(served.end(Signal::TERM).success());
    let left =
        || [name.clone(), format!("{name}.ctl")].iter().any(|n| std::path::Path::new("/dev/shm").join(n).exists());
    eventually("the segments go with the store", || !left());
}
