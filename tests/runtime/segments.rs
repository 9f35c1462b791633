//! How the store's memory is found: by descriptor, or by name on request.

use std::path::PathBuf;

use mobula::Segment;

use super::{Pinger, config};

/// Lists the names in the folder of shared memory that hold `part`.
fn names(part: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir("/dev/shm").into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.to_string_lossy().contains(part)).collect()
}

#[mobula::test]
fn a_named_store_is_there_under_its_name_and_goes_with_its_runtime() {
    let name = format!("mobula-test-{}", std::process::id());
    for _ in 0..2 {
        let runtime = mobula::init(config().segment(Segment::Named(name.clone()))).unwrap();
        assert!(!names(&name).is_empty(), "{:?}", names(""));
        let pinger = Pinger::remote().unwrap();
        assert_eq!(mobula::get(&pinger.ping().remote()).unwrap(), 1);
        let object = mobula::put(&vec![1u8; 100_000]).unwrap();
        assert_eq!(mobula::get(&object).unwrap().len(), 100_000);
        drop(runtime);
        assert!(names(&name).is_empty(), "{:?}", names(&name));
    }
}

#[mobula::test]
fn an_anonymous_store_has_no_name() {
    let _runtime = mobula::init(config()).unwrap();
    let _object = mobula::put(&vec![1u8; 100_000]).unwrap();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    assert!(maps.contains("/memfd:mobula") && !maps.contains("/dev/shm/"), "{maps}");
}
