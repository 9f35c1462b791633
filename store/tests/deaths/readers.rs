//! Read-only clients in processes of their own: what they have mapped, and what is left when somebody dies.

use std::fs;
use std::io::Read;
use std::time::Duration;

use mobula_store::{Deleted, ObjectId, Store, StoreOptions};

use crate::nodes::Home;
use crate::{Actor, eventually, ready_with, store};

const FULL: Option<Duration> = Some(Duration::from_secs(20));

fn id(n: u8) -> ObjectId {
    ObjectId::from_bytes([n; 16])
}

/// Runs in the child; false if the part is nobody's here.
pub(crate) fn play(part: &str, address: &str) -> bool {
    let attach = || Store::attach_read_only(address).unwrap();
    match part {
        "reader-maps" => {
            let reader = attach();
            let view = reader.get(id(1), None).unwrap();
            ready_with(&format!("{} {}", writable_mappings(), writable_files()), (view, reader))
        }
        "reader-views" => {
            let reader = attach();
            let views = [id(1), id(2)].map(|id| reader.get(id, FULL).unwrap());
            ready_with("", (views, reader))
        }
        // Drops its view of the first and waits for two more, one after the other, and leaves.
        "reader-drops" => {
            let reader = attach();
            let view = reader.get(id(1), FULL).unwrap();
            let rest = std::thread::spawn(move || {
                assert_eq!(reader.get(id(17), FULL).unwrap()[..], [7; 50_000]);
                assert_eq!(view[..], [1; 50_000]);
                drop(view);
                reader.get(id(18), FULL).unwrap();
            });
            ready_with("", rest)
        }
        "reader-writes" => {
            let reader = attach();
            let view = reader.get(id(1), None).unwrap();
            write_to(view.as_ptr().cast_mut());
            ready_with("wrote", view)
        }
        "reader-at-random" => crate::chaos::play(&attach()),
        _ => false,
    }
}

#[allow(unsafe_code)]
fn write_to(byte: *mut u8) {
    // SAFETY: it is what is tested that the process does not survive this.
    unsafe { byte.write_volatile(9) };
}

/// Lists the lengths of what this process has mapped of stores to write, in KiB.
fn writable_mappings() -> String {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let mine = maps.lines().filter(|line| line.contains("mobula") && line.contains("memfd"));
    let lens = mine.filter(|line| line.split(' ').nth(1).unwrap().contains('w')).map(|line| {
        let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let at = |hex| usize::from_str_radix(hex, 16).unwrap();
        ((at(end) - at(start)) >> 10).to_string()
    });
    lens.collect::<Vec<_>>().join(",")
}

/// Counts the files of stores that this process can write to.
fn writable_files() -> usize {
    let files = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let of_stores =
        files.filter(|file| fs::read_link(file.path()).is_ok_and(|to| to.to_string_lossy().contains("mobula-")));
    let writable = of_stores.filter(|file| {
        let mut info = String::new();
        let path = format!("/proc/self/fdinfo/{}", file.file_name().to_string_lossy());
        fs::File::open(path).unwrap().read_to_string(&mut info).unwrap();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim().to_owned();
        i32::from_str_radix(&flags, 8).unwrap() & libc::O_ACCMODE != libc::O_RDONLY
    });
    writable.filter(|file| fs::read_link(file.path()).is_ok_and(|to| to.to_string_lossy().contains("memfd"))).count()
}

#[test]
fn a_reader_has_one_small_mapping_to_write_and_no_file() {
    let store = store();
    store.put(id(1), &[1; 50_000]).unwrap();
    let reader = Actor::start("reader-maps", &store);
    assert_eq!(reader.said(), "640 0");
}

#[test]
fn a_reader_that_writes_through_a_view_dies_and_hurts_nobody() {
    let store = store();
    store.put(id(1), &[1; 50_000]).unwrap();
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.stderr(std::process::Stdio::null());
    assert!(Actor::spawn(command, "reader-writes", store.address()).is_none());
    assert_eq!(store.get(id(1), None).unwrap()[..], [1; 50_000]);
    eventually("the reader is reaped", || store.stats().clients == 1);
    store.check().unwrap();
}

#[test]
fn what_a_killed_reader_viewed_is_free() {
    let store = store();
    for n in [1, 2] {
        store.put(id(n), &[n; 50_000]).unwrap();
    }
    for _ in 0..3 {
        let reader = Actor::start("reader-views", &store);
        assert_eq!(store.info(id(1)).unwrap().holders[0].pid, reader.pid());
        assert_eq!(store.delete(id(1)).unwrap(), Deleted::AtLastRelease);
        store.put(id(1), &[1; 50_000]).unwrap();
        reader.kill();
        eventually("its place is free", || store.stats().clients == 1);
        eventually("its views are gone", || store.stats().objects == 2);
        eventually("nothing is held", || store.list().iter().all(|info| info.holders.is_empty()));
        store.check().unwrap();
    }
}

#[test]
fn readers_see_nothing_damaged_while_others_work_and_die() {
    let store = Store::create(StoreOptions::new(4 << 20).max_objects(4096)).unwrap();
    let start = |n| Actor::start(if n % 2 == 0 { "chaos" } else { "reader-at-random" }, &store);
    let mut children: Vec<Actor> = (0..4).map(start).collect();
    for kill in 0..20 {
        eventually("somebody works", || store.list().len() > 3);
        store.check().unwrap_or_else(|e| panic!("beside living clients, before kill {kill}: {e}"));
        let reader = Store::attach_read_only(store.address()).unwrap();
        reader.check().unwrap_or_else(|e| panic!("as a reader sees it, before kill {kill}: {e}"));
        children.iter_mut().for_each(Actor::assert_lives);
        children.remove(0).kill();
        children.push(start(kill));
    }
    drop(children);
    eventually("the dead are reaped", || store.stats().clients == 1);
    eventually("nothing is held", || store.list().iter().all(|info| info.holders.is_empty()));
    eventually("everything comes back", || {
        for info in store.list() {
            let _ = store.delete(info.id);
        }
        (store.stats().objects, store.stats().used_bytes) == (0, 0)
    });
    store.check().unwrap();
}

#[test]
fn a_stopped_reader_delays_nobody() {
    let store = store();
    for n in [1, 2] {
        store.put(id(n), &[n; 50_000]).unwrap();
    }
    let reader = Actor::start("reader-views", &store);
    reader.signal(libc::SIGSTOP);
    assert_eq!(store.delete(id(1)).unwrap(), Deleted::AtLastRelease);
    drop(Store::attach_read_only(store.address()).unwrap());
    store.put(id(1), b"new").unwrap();
    reader.signal(libc::SIGCONT);
    reader.kill();
    eventually("its place is free", || store.stats().clients == 1);
    store.check().unwrap();
}

#[test]
fn without_a_server_the_survivors_do_what_readers_want() {
    let home = Home::new();
    let node = Actor::start_at("node", &home.address);
    let store = Store::attach(&home.address).unwrap();
    let leaves = Actor::start_at("reader-drops", &home.address);
    let dies = Actor::start_at("reader-views", &home.address);
    assert_eq!(store.stats().clients, 4);
    node.kill();
    eventually("the server's death is noticed", || store.stats().clients == 3);
    assert_eq!(store.delete(id(1)).unwrap(), Deleted::AtLastRelease);
    // Woken, it reads, and drops its view.
    drop(store.put(id(17), &[7; 50_000]).unwrap());
    eventually("it drops its view", || {
        store.list().iter().filter(|info| info.id == id(1)).all(|o| o.holders.len() == 1)
    });
    dies.kill();
    eventually("the other's death is noticed", || store.stats().clients == 2);
    eventually("nobody holds the deleted object", || store.list().iter().all(|info| info.id != id(1)));
    drop(store.put(id(18), b"").unwrap());
    eventually("it has left", || store.stats().clients == 1);
    drop(leaves);
    store.check().unwrap();
}

#[test]
fn a_knock_is_heard_without_a_server() {
    let home = Home::new();
    let node = Actor::start_at("node", &home.address);
    let store = Store::attach(&home.address).unwrap();
    let reader = Store::attach_read_only(&home.address).unwrap();
    let view = reader.get(id(1), None).unwrap();
    node.kill();
    eventually("the server's death is noticed", || store.stats().clients == 2);
    assert_eq!(store.delete(id(1)).unwrap(), Deleted::AtLastRelease);
    drop(view);
    eventually("it is gone", || store.list().iter().all(|info| info.id != id(1)));
    drop(reader);
    eventually("it has left", || store.stats().clients == 1);
    store.check().unwrap();
}

#[test]
fn a_store_that_only_a_reader_has_is_adopted() {
    let home = Home::new();
    let node = Actor::start_at("node", &home.address);
    let reader = Store::attach_read_only(&home.address).unwrap();
    let other = Actor::start_at("reader-drops", &home.address);
    let view = reader.get(id(3), None).unwrap();
    node.kill();
    assert_eq!(view[..], [3; 50_000]);
    assert_eq!(reader.get(id(4), None).unwrap()[..], [4; 50_000]);
    assert!(Store::attach_read_only(&home.address).unwrap_err().is_disconnected());
    let adopter = Store::create(StoreOptions::new(1 << 20).address(home.address.clone())).unwrap();
    assert!(adopter.adopted());
    assert_eq!(adopter.stats().clients, 3);
    assert_eq!(adopter.delete(id(3)).unwrap(), Deleted::AtLastRelease);
    let third = Store::attach_read_only(&home.address).unwrap();
    assert!(third.contains(id(4)) && !third.contains(id(3)));
    drop(third);
    assert_eq!(view[..], [3; 50_000]);
    drop(view);
    eventually("the adopter looks", || adopter.list().iter().all(|info| info.id != id(3)));
    drop(adopter.put(id(17), &[7; 50_000]).unwrap());
    drop(adopter.put(id(18), b"").unwrap());
    eventually("the other reader leaves", || adopter.stats().clients == 2);
    drop(reader);
    eventually("and this one", || adopter.stats().clients == 1);
    drop(other);
    adopter.check().unwrap();
}
