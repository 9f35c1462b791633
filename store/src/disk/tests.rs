//! Files and folders of real stores, with the table on the heap.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::*;
use crate::ctl::Ctl;
use crate::sync::{AtomicU64, Ordering};

const UUID: [u64; 2] = [0x1111_2222_3333_4444, 5];

struct Fixture {
    base: TempDir,
    ctl: Ctl,
    disk: Disk,
}

impl Fixture {
    fn new() -> Fixture {
        let base = TempDir::new().unwrap();
        let disk = Disk::create(base.path(), UUID).unwrap();
        Fixture { base, ctl: Ctl::heap(SECTION_BYTES), disk }
    }

    fn table(&self) -> Table<'_> {
        Table::new(&self.ctl, 0)
    }

    fn write(&self, object: &Object) -> Record {
        self.disk.write(self.table(), &object.head, &object.payload).unwrap()
    }

    fn read(&self, record: Record, object: &Object) -> Result<Vec<u8>, DiskError> {
        let mut bytes = vec![0xee; object.payload.len()];
        self.disk.read(record, &object.head, &mut bytes).map(|()| bytes)
    }

    fn release(&self, record: Record, object: &Object) {
        self.disk.release(self.table(), record, &object.head, || true);
    }

    /// Lists the files of the store besides `alive`.
    fn files(&self) -> Vec<String> {
        let mut names = names(self.disk.path());
        names.retain(|name| name != "alive");
        names
    }

    fn file_of(&self, record: Record) -> PathBuf {
        self.disk.path().join(format!("spill-{}", record.file()))
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

struct Object {
    head: Head,
    payload: Vec<u8>,
}

/// Makes an object whose sizes and bytes follow from `seed`.
fn object(seed: u64, len: u64) -> Object {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&seed.to_le_bytes());
    let head = Head {
        id: ObjectId::from_bytes(id),
        generation: (seed * 7) as u32,
        len,
        meta_len: (seed % 5) as u32,
        children: (seed % 3) as u32,
    };
    let mut random = Random(seed + 1);
    let payload = (0..head.payload().unwrap()).map(|_| random.next() as u8).collect();
    Object { head, payload }
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        let x = self.0 ^ self.0 >> 33;
        x.wrapping_mul(0xff51_afd7_ed55_8ccd) >> 24
    }
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::yield_now();
    }
}

#[test]
fn records_of_all_sizes_come_back_read_and_mapped() {
    let store = Fixture::new();
    let lens = [0, 1, 63, 64, 65, 4096, 100_000, STRETCH as u64, STRETCH as u64 + 1, 3_000_001];
    let objects: Vec<_> = lens.iter().enumerate().map(|(i, len)| object(i as u64, *len)).collect();
    let records: Vec<_> = objects.iter().map(|o| store.write(o)).collect();
    assert_eq!(store.files(), ["spill-1"]);
    for (record, object) in records.iter().zip(&objects) {
        assert_eq!(Record::from_word(record.to_word()), Some(*record));
        assert_eq!(store.read(*record, object).unwrap(), object.payload);
        let mapped = store.disk.map(*record, &object.head).unwrap();
        assert_eq!(*mapped, object.payload);
        assert!(mapped.as_ptr().addr().is_multiple_of(64));
        assert!(store.table().counts(*record));
    }
    let spilled = store.table().spilled();
    assert_eq!(spilled.objects, lens.len() as u64);
    assert_eq!(spilled.bytes, fs::metadata(store.file_of(records[0])).unwrap().len().next_multiple_of(64));
}

#[test]
fn the_last_record_takes_its_file_along_and_a_mapping_stays() {
    let store = Fixture::new();
    let (one, two) = (object(1, 1000), object(2, 5000));
    let (first, second) = (store.write(&one), store.write(&two));
    let mapped = store.disk.map(second, &two.head).unwrap();
    store.release(first, &one);
    assert_eq!(store.files(), ["spill-1"]);
    // Somebody else took it out of its slot: nothing to give back.
    store.disk.release(store.table(), second, &two.head, || false);
    assert_eq!(store.read(second, &two).unwrap(), two.payload);
    store.release(second, &two);
    assert_eq!(store.files(), [""; 0]);
    assert_eq!(store.table().spilled(), Spilled::default());
    assert_eq!(*mapped, two.payload);
    assert!(store.read(second, &two).unwrap_err().is_damaged());
    // A new file has a new number.
    let again = store.write(&one);
    assert_eq!((again.file(), again.offset()), (2, 0));
    assert_eq!(store.read(again, &one).unwrap(), one.payload);
}

#[test]
fn ten_thousand_records_share_a_file() {
    let store = Fixture::new();
    let objects: Vec<_> = (0..10_000).map(|i| object(i, i % 300)).collect();
    let records: Vec<_> = objects.iter().map(|o| store.write(o)).collect();
    assert_eq!(store.files(), ["spill-1"]);
    assert_eq!(store.table().spilled().objects, 10_000);
    for (record, object) in records.iter().zip(&objects) {
        assert_eq!(store.read(*record, object).unwrap(), object.payload);
    }
    for (record, object) in records.iter().zip(&objects) {
        assert_eq!(store.files(), ["spill-1"]);
        store.release(*record, object);
    }
    assert_eq!(store.files(), [""; 0]);
}

#[test]
fn every_damaged_byte_is_noticed() {
    let store = Fixture::new();
    let (before, victim, after) = (object(1, 700), object(4, 700_000), object(3, 10));
    let records = [&before, &victim, &after].map(|o| store.write(o));
    let file = fs::OpenOptions::new().read(true).write(true).open(store.file_of(records[1])).unwrap();
    let mut random = Random(1);
    let header = 0..HEAD_BYTES as u64;
    let ends = HEAD_BYTES as u64 + victim.payload.len() as u64;
    let sampled: Vec<_> = (0..200).map(|_| HEAD_BYTES as u64 + random.next() % victim.payload.len() as u64).collect();
    for at in header.chain(sampled).chain([ends - 1]) {
        let at = records[1].offset() + at;
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 1 << (random.next() % 8)], at).unwrap();
        let read = store.read(records[1], &victim).unwrap_err();
        assert!(read.is_damaged(), "byte {at}: {read}");
        let mapped = store.disk.map(records[1], &victim.head).unwrap_err();
        assert!(mapped.is_damaged(), "byte {at}: {mapped}");
        file.write_all_at(&byte, at).unwrap();
    }
    assert_eq!(store.read(records[1], &victim).unwrap(), victim.payload);
    assert_eq!(store.read(records[0], &before).unwrap(), before.payload);
    assert_eq!(store.read(records[2], &after).unwrap(), after.payload);
}

#[test]
fn a_record_of_another_object_or_store_is_refused() {
    let store = Fixture::new();
    let (one, two) = (object(3, 64), object(6, 64));
    let (first, second) = (store.write(&one), store.write(&two));
    let error = store.read(first, &Object { head: two.head, payload: one.payload.clone() }).unwrap_err();
    assert!(error.is_damaged(), "{error}");
    assert!(store.read(second, &one).unwrap_err().is_damaged());
    let other = Disk::create(store.base.path(), [7, 7]).unwrap();
    fs::copy(store.file_of(first), other.path().join("spill-1")).unwrap();
    let mut bytes = vec![0; one.payload.len()];
    let error = other.read(first, &one.head, &mut bytes).unwrap_err();
    assert!(error.is_damaged() && error.to_string().contains("another store"), "{error}");
}

#[test]
fn short_missing_and_strange_files_are_errors() {
    let store = Fixture::new();
    let object = object(9, 300_000);
    let record = store.write(&object);
    let path = store.file_of(record);
    let whole = fs::metadata(&path).unwrap().len();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    for len in [whole - 1, 4096, 64, 63, 1, 0] {
        file.set_len(len).unwrap();
        assert!(store.read(record, &object).unwrap_err().is_damaged());
        assert!(store.disk.map(record, &object.head).unwrap_err().is_damaged());
    }
    // Long enough again, but only with zeros.
    file.set_len(whole).unwrap();
    assert!(store.read(record, &object).unwrap_err().is_damaged());
    fs::remove_file(&path).unwrap();
    assert!(store.read(record, &object).unwrap_err().is_damaged());
    // Writing goes on elsewhere after its file was taken away.
    store.disk.write(store.table(), &object.head, &object.payload).unwrap_err();
    let again = store.write(&object);
    assert_eq!(store.read(again, &object).unwrap(), object.payload);
    // A link is not followed, a folder is not read.
    fs::remove_file(store.file_of(again)).unwrap();
    std::os::unix::fs::symlink("/dev/zero", store.file_of(again)).unwrap();
    store.read(again, &object).unwrap_err();
    fs::remove_file(store.file_of(again)).unwrap();
    fs::create_dir(store.file_of(again)).unwrap();
    store.read(again, &object).unwrap_err();
    fs::remove_dir(store.file_of(again)).unwrap();
}

#[test]
fn hostile_files_never_give_bytes() {
    let store = Fixture::new();
    let object = object(12, 5000);
    let record = store.write(&object);
    let good = fs::read(store.file_of(record)).unwrap();
    let mut random = Random(77);
    for round in 0..500 {
        let mut bytes = good.clone();
        match round % 3 {
            // Noise all over, noise in one place, another length.
            0 => bytes.iter_mut().for_each(|b| *b = random.next() as u8),
            1 => {
                let at = random.next() as usize % (bytes.len() - 16);
                bytes[at..at + 16].iter_mut().for_each(|b| *b = !*b);
            }
            _ => bytes.truncate(random.next() as usize % bytes.len()),
        }
        fs::write(store.file_of(record), bytes).unwrap();
        assert!(store.read(record, &object).unwrap_err().is_damaged());
        assert!(store.disk.map(record, &object.head).unwrap_err().is_damaged());
    }
    fs::write(store.file_of(record), good).unwrap();
    // Words that no writer made.
    for _ in 0..500 {
        if let Some(record) = Record::from_word(random.next() | random.next() << 40) {
            let head = Head { len: random.next() % 10_000, ..object.head };
            let mut bytes = vec![0; head.payload().unwrap() as usize];
            store.disk.read(record, &head, &mut bytes).unwrap_err();
            store.disk.map(record, &head).unwrap_err();
            store.disk.release(store.table(), record, &head, || true);
        }
    }
    assert_eq!(store.read(record, &object).unwrap(), object.payload);
}

#[test]
fn a_hostile_table_is_survived() {
    let store = Fixture::new();
    let mut random = Random(3);
    for round in 0..40 {
        for at in (0..SECTION_BYTES).step_by(8) {
            let noise = random.next() << 24 ^ random.next();
            let small = if round % 2 == 0 { noise } else { noise % 9 };
            store.ctl.u64(at).store(small, Ordering::Relaxed);
        }
        let object = object(round, 100);
        let written = store.disk.write(store.table(), &object.head, &object.payload);
        if let Ok(record) = written {
            assert_eq!(store.read(record, &object).unwrap(), object.payload);
        }
        store.table().spilled();
        store.disk.recount(store.table(), Vec::new);
        store.table().next_fallback();
    }
}

#[test]
fn what_a_killed_writer_left_is_covered() {
    let store = Fixture::new();
    let (one, two) = (object(1, 10_000), object(2, 20_000));
    let first = store.write(&one);
    // It was killed after the room was counted and some bytes were written.
    let room = store.table().reserve(two.head.units()).unwrap();
    let file = fs::OpenOptions::new().write(true).open(store.file_of(first)).unwrap();
    file.write_all_at(&[0xab; 15_000], room.record.offset() + 64).unwrap();
    store.disk.recount(store.table(), || [(first, one.head)]);
    assert_eq!(store.table().spilled().objects, 1);
    let second = store.write(&two);
    assert_eq!(second, room.record);
    assert_eq!(store.read(first, &one).unwrap(), one.payload);
    assert_eq!(store.read(second, &two).unwrap(), two.payload);
    // It was killed after it made a file.
    store.table().close_current();
    let room = store.table().reserve(1).unwrap();
    assert!(room.fresh);
    fs::write(store.file_of(room.record), b"garbage").unwrap();
    store.disk.recount(store.table(), || [(first, one.head), (second, two.head)]);
    assert_eq!(store.files(), ["spill-1"]);
    // It was killed between taking a record out of its slot and giving it back.
    store.disk.recount(store.table(), || [(first, one.head)]);
    store.release(first, &one);
    assert_eq!(store.files(), [""; 0]);
}

#[test]
fn records_are_given_back_while_others_are_written_and_counted() {
    const SLOTS: usize = 64;
    const ROUNDS: u64 = 4000;
    let store = Fixture::new();
    let slots: Vec<AtomicU64> = (0..SLOTS).map(|_| AtomicU64::new(0)).collect();
    // What a slot knows of its object; each record has its own here, as a slot's words change only between lives.
    let objects: Mutex<HashMap<u64, u64>> = Mutex::default();
    let head_of = |word: u64| {
        let seed = *objects.lock().unwrap().get(&word)?;
        Some(object(seed, seed % 200))
    };
    let live = || {
        let words: Vec<u64> = slots.iter().map(|slot| slot.load(Ordering::SeqCst)).collect();
        words.into_iter().filter_map(|word| Some((Record::from_word(word)?, head_of(word)?.head))).collect::<Vec<_>>()
    };
    let done = AtomicU64::new(0);
    std::thread::scope(|scope| {
        // One writer at a time: this thread holds the lock that moves.
        scope.spawn(|| {
            let mut random = Random(5);
            for seed in 1..=ROUNDS {
                let slot = &slots[random.next() as usize % SLOTS];
                if slot.load(Ordering::SeqCst) == 0 {
                    let object = object(seed, seed % 200);
                    let record = store.write(&object);
                    objects.lock().unwrap().insert(record.to_word(), seed);
                    slot.store(record.to_word(), Ordering::SeqCst);
                }
                if random.next().is_multiple_of(16) || store.table().is_recount_due() {
                    store.disk.recount(store.table(), live);
                }
            }
            done.store(1, Ordering::SeqCst);
        });
        for seed in [11, 12] {
            let (slots, store, done, head_of) = (&slots, &store, &done, &head_of);
            scope.spawn(move || {
                let mut random = Random(seed);
                while done.load(Ordering::SeqCst) == 0 {
                    let slot = &slots[random.next() as usize % SLOTS];
                    let word = slot.load(Ordering::SeqCst);
                    let (Some(record), Some(object)) = (Record::from_word(word), head_of(word)) else { continue };
                    match store.read(record, &object) {
                        Ok(bytes) => assert_eq!(bytes, object.payload),
                        Err(error) => assert_ne!(slot.load(Ordering::SeqCst), word, "a live record is gone: {error}"),
                    }
                    let take = || slot.compare_exchange(word, 0, Ordering::SeqCst, Ordering::SeqCst).is_ok();
                    store.disk.release(store.table(), record, &object.head, take);
                }
            });
        }
    });
    if store.table().is_recount_due() {
        store.disk.recount(store.table(), live);
    }
    assert_eq!(store.table().spilled().objects, live().len() as u64);
    for slot in &slots {
        let word = slot.swap(0, Ordering::SeqCst);
        if let (Some(record), Some(object)) = (Record::from_word(word), head_of(word)) {
            assert_eq!(store.read(record, &object).unwrap(), object.payload);
            store.release(record, &object);
        }
    }
    assert_eq!(store.files(), [""; 0]);
}

#[test]
fn fallback_files_hold_memory_and_go_by_number() {
    let store = Fixture::new();
    let (number, other) = (store.table().next_fallback(), store.table().next_fallback());
    assert_ne!(number, other);
    let len = 1_000_003;
    let mapping = store.disk.fallback_create(number, len).unwrap();
    assert_eq!(mapping.len(), len);
    assert!(mapping.as_mut_ptr().is_some());
    let path = store.disk.path().join(format!("fallback-{number}"));
    assert!(fs::metadata(&path).unwrap().blocks() * 512 >= len as u64, "its bytes were not allocated");
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(b"end", len as u64 - 3).unwrap();
    let reader = store.disk.fallback_map(number, len, false).unwrap();
    assert_eq!(reader.as_mut_ptr(), None);
    assert!(store.disk.fallback_map(number, len + 1, false).unwrap_err().is_damaged());
    assert!(store.disk.fallback_map(other, len, true).unwrap_err().is_damaged());
    store.disk.fallback_remove(number);
    store.disk.fallback_remove(number);
    assert_eq!(store.files(), [""; 0]);
    assert_eq!(reader.len(), len);
    let error = store.disk.fallback_create(other, usize::MAX / 4).unwrap_err();
    assert!(error.is_full() && error.to_string().contains("bytes are free"), "{error}");
    assert_eq!(store.files(), [""; 0]);
}

/// A process that is killed when the test is over, however it ends.
struct Victim(Option<Child>);

impl Victim {
    fn output(mut self) -> Output {
        self.0.take().unwrap().wait_with_output().unwrap()
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

/// Runs a test of this binary that is otherwise ignored in a process of its own.
fn child(shell: &str, test: &str, base: &Path) -> Victim {
    let mut child = Command::new("sh");
    child.arg("-c").arg(format!("{shell} exec \"$0\" \"$@\"")).arg(std::env::current_exe().unwrap());
    child.args(["--ignored", "--exact", &format!("disk::tests::{test}")]);
    child.env("DISK_TEST_BASE", base).stdout(Stdio::piped()).stderr(Stdio::piped());
    Victim(Some(child.spawn().unwrap()))
}

fn child_base() -> PathBuf {
    std::env::var_os("DISK_TEST_BASE").expect("only as a child").into()
}

#[test]
fn a_full_disk_costs_nothing_but_the_write() {
    let base = TempDir::new().unwrap();
    // The limit on file sizes is the one kind of full disk that needs no privilege.
    let child = child("trap '' XFSZ; ulimit -f 512;", "child_fills_the_disk", base.path());
    let output = child.output();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(names(base.path()), [""; 0]);
}

#[test]
#[ignore = "run by a_full_disk_costs_nothing_but_the_write"]
fn child_fills_the_disk() {
    let base = child_base();
    let (ctl, disk) = (Ctl::heap(SECTION_BYTES), Disk::create(&base, UUID).unwrap());
    let table = Table::new(&ctl, 0);
    let objects: Vec<_> = (0..).map(|seed| object(seed, 100_000)).take(64).collect();
    let mut records = Vec::new();
    let error = objects.iter().find_map(|o| disk.write(table, &o.head, &o.payload).map(|r| records.push(r)).err());
    let error = error.expect("the limit was never reached");
    assert!(error.is_full(), "{error}");
    let live = records.len();
    assert!(live > 0);
    // The space of the part that was written is back, and all that was acknowledged can be read.
    let end = records[live - 1].offset() + objects[live - 1].head.units() * 64;
    assert!(fs::metadata(disk.path().join("spill-1")).unwrap().len() <= end);
    assert_eq!(table.spilled().objects, live as u64);
    for (record, object) in records.iter().zip(&objects) {
        let mut bytes = vec![0; object.payload.len()];
        disk.read(*record, &object.head, &mut bytes).unwrap();
        assert_eq!(bytes, object.payload);
    }
    // A record that never fits leaves no file behind; one that does is written to a new file.
    let large = object(1, 1_000_000);
    assert!(disk.write(table, &large.head, &large.payload).unwrap_err().is_full());
    assert_eq!(names(disk.path()), ["alive", "spill-1"]);
    let small = object(2, 1000);
    assert_ne!(disk.write(table, &small.head, &small.payload).unwrap().file(), 1);
}

#[test]
fn the_folder_is_private_and_goes_with_its_last_user() {
    let base = TempDir::new().unwrap();
    // The folder above is made, too.
    let nested = base.path().join("a/b");
    let disk = Disk::create(&nested, UUID).unwrap();
    assert_eq!(disk.path(), nested.join(ObjectId::from_words(UUID).to_string()));
    assert_eq!(fs::metadata(disk.path()).unwrap().mode() & 0o777, 0o700);
    let other = Disk::open(&nested, UUID).unwrap();
    drop(disk);
    let third = Disk::open(&nested, UUID).unwrap();
    drop(other);
    assert_eq!(names(&nested).len(), 1);
    drop(third);
    assert_eq!(names(&nested), [""; 0]);
    Disk::open(&nested, UUID).unwrap_err();
    Disk::create(Path::new("/dev/null/x"), UUID).unwrap_err();
}

#[test]
fn folders_of_dead_stores_are_removed_and_nothing_else() {
    let base = TempDir::new().unwrap();
    let at = |name: &str| base.path().join(name);
    let make = |name: &str, files: &[&str]| {
        fs::create_dir(at(name)).unwrap();
        files.iter().for_each(|file| fs::write(at(name).join(file), b"x").unwrap());
    };
    let (dead, foreign, mixed) = ("0".repeat(32), "1".repeat(32), "2".repeat(32));
    make(&dead, &["alive", "spill-1", "spill-77", "fallback-3"]);
    make(&format!("{dead}.mobula-0"), &[]);
    make(&format!("{dead}.mobula-7"), &["alive", "spill-3"]);
    // Not ours: no `alive`, another name, another kind of file; and what is ours but holds a foreign file.
    make(&foreign, &["spill-1"]);
    make("3333", &["alive"]);
    make(&format!("{}.mobula-x", "4".repeat(32)), &["alive"]);
    make(&mixed, &["alive", "spill-1", "spill-x", "thesis"]);
    fs::write(at(&"5".repeat(32)), b"x").unwrap();
    std::os::unix::fs::symlink(at("3333"), at(&"6".repeat(32))).unwrap();
    let living = Disk::create(base.path(), UUID).unwrap();
    let disk = Disk::create(base.path(), [8, 8]).unwrap();
    let mut expected = vec![
        foreign.clone(),
        format!("{mixed}.mobula-0"),
        "3333".to_owned(),
        format!("{}.mobula-x", "4".repeat(32)),
        "5".repeat(32),
        "6".repeat(32),
        ObjectId::from_words(UUID).to_string(),
        ObjectId::from_words([8, 8]).to_string(),
    ];
    expected.sort();
    assert_eq!(names(base.path()), expected);
    assert_eq!(names(&at(&foreign)), ["spill-1"]);
    assert_eq!(names(&at(&format!("{mixed}.mobula-0"))), ["spill-x", "thesis"]);
    assert_eq!(names(&at("3333")), ["alive"]);
    drop((living, disk));
}

#[test]
fn a_folder_lives_as_long_as_a_process_that_has_it_open() {
    let base = TempDir::new().unwrap();
    let victim = child("", "child_holds_the_folder", base.path());
    let folder = base.path().join(ObjectId::from_words([9, 9]).to_string());
    wait_until("the child has spilled", || folder.join("spill-1").exists());
    drop(Disk::create(base.path(), UUID).unwrap());
    assert!(folder.join("spill-1").exists(), "the folder of a living store was removed");
    drop(victim);
    assert!(folder.join("spill-1").exists());
    drop(Disk::create(base.path(), UUID).unwrap());
    assert_eq!(names(base.path()), [""; 0]);
}

#[test]
#[ignore = "run by a_folder_lives_as_long_as_a_process_that_has_it_open"]
fn child_holds_the_folder() {
    let base = child_base();
    let (ctl, disk) = (Ctl::heap(SECTION_BYTES), Disk::create(&base, [9, 9]).unwrap());
    let object = object(1, 10);
    disk.write(Table::new(&ctl, 0), &object.head, &object.payload).unwrap();
    loop {
        std::thread::park();
    }
}

#[test]
fn folders_are_made_and_removed_by_many_at_once() {
    let base = TempDir::new().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let base = &base;
            scope.spawn(move || {
                for round in 0..100 {
                    let disk = Disk::create(base.path(), [thread, round]).unwrap();
                    let other = Disk::open(base.path(), [thread, round]).unwrap();
                    let file = disk.path().join("alive");
                    drop(disk);
                    assert!(file.exists());
                    drop(other);
                    // If another thread's cleaner got the lock first, it is still at work.
                    wait_until("the folder is gone", || !file.exists());
                }
            });
        }
    });
    assert_eq!(names(base.path()), [""; 0]);
}
