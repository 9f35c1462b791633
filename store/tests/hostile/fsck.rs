//! Dumps: what is whole is found whole, and whatever else a file holds is an error.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use mobula_store::{ObjectId, ObjectOptions, Store, StoreOptions, fsck};

use crate::damage::{Ctl, Section};
use crate::random::{Budget, Random, first_seed};

/// A store with objects of several kinds, dumped.
fn dumped(path: &Path) -> Store {
    let store = Store::create(StoreOptions::new(4 << 20).max_objects(128).max_clients(4)).unwrap();
    for n in 0..20 {
        store.put(ObjectId::from_bytes([n; 16]), &vec![n; 1 + usize::from(n) * 3_000]).unwrap();
    }
    store.dump(path).unwrap();
    store
}

#[test]
fn a_dump_says_what_the_store_says() {
    let _alone = crate::alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dump");
    let store = dumped(&path);
    assert_eq!(fsck(&path).unwrap(), store.check().unwrap());
    // One in which an object contains another.
    let hold = store.hold(ObjectId::from_bytes([3; 16])).unwrap();
    store.put_with(ObjectId::from_bytes([99; 16]), b"parent", &ObjectOptions::new().children(&[hold])).unwrap();
    store.dump(&path).unwrap();
    let before = fs::read(&path).unwrap();
    assert_eq!(fsck(&path).unwrap().objects, 21);
    assert!(fs::read(&path).unwrap() == before, "a check changes nothing");
    // Dumps have holes where nothing was ever written.
    use std::os::unix::fs::MetadataExt;
    let large = Store::create(StoreOptions::new(64 << 20)).unwrap();
    large.dump(&path).unwrap();
    let dump = fs::metadata(&path).unwrap();
    assert!(dump.blocks() * 512 < dump.len() / 2, "{} of {} bytes", dump.blocks() * 512, dump.len());
    assert_eq!(fsck(&path).unwrap().objects, 0);
}

#[test]
fn files_that_are_no_dumps_are_errors() {
    let _alone = crate::alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dump");
    assert!(fsck(&path).is_err());
    assert!(fsck(folder.path()).is_err() && fsck("/dev/zero").is_err() && fsck("/dev/null").is_err());
    for bytes in [&b""[..], b"MOBULA01", &[0; 5_000], &[255; 70_000]] {
        fs::write(&path, bytes).unwrap();
        assert!(fsck(&path).unwrap_err().is_corrupt());
    }
    fs::remove_file(&path).unwrap();
    let pipe = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &path, pipe, rustix::fs::Mode::RUSR, 0).unwrap();
    assert!(fsck(&path).is_err());
    fs::remove_file(&path).unwrap();
    let store = dumped(&path);
    let len = fs::metadata(&path).unwrap().len();
    for len in [len - 1, len / 2, 4_096, len + 4_096] {
        File::options().write(true).open(&path).unwrap().set_len(len).unwrap();
        assert!(fsck(&path).unwrap_err().is_corrupt());
    }
    drop(store);
}

#[test]
fn damaged_dumps_are_judged() {
    let _alone = crate::alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dump");
    let budget = Budget::new(300);
    let (mut round, mut found) = (0, 0);
    let store = dumped(&path);
    let whole = fs::read(&path).unwrap();
    while budget.allows(round) {
        let mut random = Random::new(first_seed() + round);
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let ctl = Ctl::open(file.try_clone().unwrap()).unwrap();
        let section = random.one_of(&Section::ALL);
        for _ in 0..1 + random.below(3) {
            ctl.damage(section, &mut random);
        }
        found += u64::from(fsck(&path).is_err());
        file.write_all_at(&whole, 0).unwrap();
        round += 1;
    }
    assert!(found > 0, "none of {round} damages was found");
    // What is held in a dump is free in its copy.
    let file = File::options().read(true).write(true).open(&path).unwrap();
    let ctl = Ctl::open(file).unwrap();
    let locks = ctl.section(Section::Locks);
    (0..68).for_each(|lock| ctl.write(locks.start + lock * 64, 1));
    assert_eq!(fsck(&path).unwrap(), store.check().unwrap());
}
