//! Spill files that are not what was written: an error, never wrong bytes, and no wait.

use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mobula_store::{ObjectId, ObjectState, Store, StoreOptions};

use crate::random::{Budget, Random, first_seed};

const LEN: usize = 300_000;
const LIMIT: Duration = Duration::from_secs(5);

fn id(n: usize) -> ObjectId {
    ObjectId::from_bytes([n as u8 + 1; 16])
}

fn content(n: usize) -> Vec<u8> {
    (0..LEN).map(|i| (i * (n + 3) >> 3) as u8).collect()
}

/// A store of which most objects are on disk.
fn spilled(folder: &Path, objects: usize) -> Store {
    let options = StoreOptions::new(2 << 20).spill_dir(folder).create_timeout(Duration::from_millis(200));
    let store = Store::create(options).unwrap();
    for n in 0..objects {
        store.put(id(n), &content(n)).unwrap();
    }
    let on_disk = store.list().iter().filter(|info| info.state == ObjectState::Spilled).count();
    assert!(on_disk > 2 && !files(folder).is_empty(), "{on_disk} objects on disk");
    store
}

/// Returns the spill files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let inside = |entry: fs::DirEntry| if entry.path().is_dir() { files(&entry.path()) } else { vec![entry.path()] };
    let all = fs::read_dir(folder).into_iter().flatten().flatten().flat_map(inside);
    all.filter(|path| path.file_name().unwrap().as_bytes().starts_with(b"spill-")).collect()
}

/// Gets every object: the right bytes or an error, in time. Returns how many were lost.
fn lost(store: &Store, objects: usize, what: &str) -> usize {
    let mut lost = 0;
    for n in 0..objects {
        let start = Instant::now();
        match store.get(id(n), Some(Duration::from_secs(1))) {
            Ok(view) => assert!(view[..] == content(n)[..], "{what}: object {n} has other bytes"),
            Err(error) => {
                assert!(!error.is_timeout() && !error.to_string().is_empty(), "{what}: object {n}: {error}");
                lost += 1;
            }
        }
        assert!(start.elapsed() < LIMIT, "{what}: object {n} took {:?}", start.elapsed());
    }
    lost
}

/// Ends a damaged store: its objects go, and others come.
fn end(store: &Store, objects: usize, what: &str) {
    (0..objects).for_each(|n| drop(store.delete(id(n))));
    store.put(id(200), b"goes on").unwrap_or_else(|e| panic!("{what}: {e}"));
    assert_eq!(&store.get(id(200), None).unwrap()[..], b"goes on", "{what}");
}

#[test]
fn damaged_files_give_errors() {
    let _alone = crate::alone();
    type Damage = fn(&Path);
    let replace = |with: Damage| with;
    let damages: [(&str, Damage); 7] = [
        ("removed", |path| fs::remove_file(path).unwrap()),
        ("emptied", |path| File::options().write(true).open(path).unwrap().set_len(0).unwrap()),
        ("cut in half", |path| {
            let file = File::options().write(true).open(path).unwrap();
            file.set_len(file.metadata().unwrap().len() / 2).unwrap();
        }),
        ("zeros", |path| {
            let file = File::options().write(true).open(path).unwrap();
            file.write_all_at(&vec![0; file.metadata().unwrap().len() as usize], 0).unwrap();
        }),
        ("a folder", |path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        }),
        (
            "a pipe",
            replace(|path| {
                fs::remove_file(path).unwrap();
                let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
                rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
            }),
        ),
        ("a link to nowhere", |path| {
            fs::remove_file(path).unwrap();
            std::os::unix::fs::symlink("/dev/zero", path).unwrap();
        }),
    ];
    for (what, damage) in damages {
        let folder = tempfile::tempdir().unwrap();
        let store = spilled(folder.path(), 12);
        files(folder.path()).iter().for_each(|path| damage(path));
        assert!(lost(&store, 12, what) > 0, "{what} hurt nothing");
        // What must be written next finds the same.
        let start = Instant::now();
        (20..26).for_each(|n| drop(store.put(id(n), &content(n))));
        assert!(start.elapsed() < LIMIT * 4, "{what}: writing took {:?}", start.elapsed());
        end(&store, 26, what);
    }
}

#[test]
fn flipped_bytes_are_found() {
    let _alone = crate::alone();
    let folder = tempfile::tempdir().unwrap();
    let budget = Budget::new(60);
    let mut round = 0;
    while budget.allows(round) {
        let mut random = Random::new(first_seed() + round);
        let store = spilled(folder.path(), 10);
        for path in files(folder.path()) {
            let file = File::options().read(true).write(true).open(&path).unwrap();
            let len = file.metadata().unwrap().len();
            for _ in 0..1 + random.below(3) {
                // Headers of records are hit as often as their bytes.
                let record = random.below(4) as u64 * (LEN.next_multiple_of(64) as u64 + 64);
                let at = if random.below(2) == 0 {
                    record + random.below(64) as u64
                } else {
                    random.below(len as usize) as u64
                };
                let mut byte = [0];
                if file.read_exact_at(&mut byte, at).is_ok() {
                    file.write_all_at(&[byte[0] ^ 1 << random.below(8)], at).unwrap();
                }
            }
        }
        lost(&store, 10, &format!("seed {}", first_seed() + round));
        end(&store, 10, "flipped bytes");
        round += 1;
    }
}
