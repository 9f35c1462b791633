//! A forked child is not its parent (paragraph 16).

use std::time::{Duration, Instant};

use mobula_store::{Lifetime, ObjectOptions, Store};

use crate::{assert_empty, id, store};

/// Runs `child` in a forked process and says whether all of its checks held.
#[allow(unsafe_code)]
fn in_child(child: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child only runs `child` and leaves by `_exit`; glibc keeps its allocator usable over a fork.
    match unsafe { libc::fork() } {
        0 => {
            let code = i32::from(!child());
            // SAFETY: ends the child without running the parent's destructors or the test harness.
            unsafe { libc::_exit(code) }
        }
        pid => {
            assert!(pid > 0, "fork");
            let mut status = 0;
            // SAFETY: waits for our own child; the status is a local.
            assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
            status == 0
        }
    }
}

#[test]
fn inherited_handles_refuse_and_their_drops_do_nothing() {
    let store = store();
    let view = store.put_with(id(1), b"parent's", &ObjectOptions::new().lifetime(Lifetime::Counted)).unwrap();
    let hold = view.hold();
    let buffer = store.create_object(id(2), 10).unwrap();
    let other = Store::attach(store.address()).unwrap();
    let mut ring = store.open_ring(other.client()).unwrap();
    let held = (store.clone(), view.clone(), hold.clone(), other.clone());
    let ok = in_child(move || {
        let (store, view, hold, other) = held;
        let refused = [
            store.get(id(1), None).unwrap_err(),
            store.put(id(3), b"x").unwrap_err(),
            store.delete(id(1)).unwrap_err(),
            store.hold(id(1)).unwrap_err(),
            hold.get(None).unwrap_err(),
            other.check().unwrap_err(),
        ];
        let readable = &view[..] == b"parent's";
        let silent = store.list().is_empty() && store.info(id(1)).is_none() && store.stats().capacity_bytes == 0;
        let fresh = Store::attach(store.address()).is_ok_and(|fresh| fresh.put(id(4), b"child's").is_ok());
        drop((store, view, hold, other));
        refused.iter().all(|e| e.is_forked()) && readable && silent && fresh
    });
    assert!(ok, "a check in the child failed");
    assert_eq!(&view[..], b"parent's");
    assert_eq!(&store.get(id(4), None).unwrap()[..], b"child's");
    buffer.seal().unwrap();
    ring.try_send(b"still open", false).unwrap();
    drop((view, hold, ring, other));
    store.delete(id(2)).unwrap();
    store.delete(id(4)).unwrap();
    assert_empty(&store);
}

#[test]
fn children_join_what_was_mapped_before_the_fork() {
    let store = store();
    drop(store.put(id(1), b"parent's").unwrap());
    Store::premap(store.address()).unwrap();
    let clients = store.stats().clients;
    for child in [10, 11] {
        let address = store.address().to_owned();
        let ok = in_child(move || {
            let Ok(own) = Store::attach(&address) else { return false };
            let seen = own.get(id(1), None).is_ok_and(|view| &view[..] == b"parent's");
            let threads = std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
            let other = Store::attach(&address);
            seen && threads == 1 && other.is_ok() && own.put(id(child), b"child's").is_ok() && own.check().is_ok()
        });
        assert!(ok, "a check in the child failed");
        assert_eq!(&store.get(id(child), None).unwrap()[..], b"child's");
    }
    // Also without a fork, once; nobody is a client because of the mapping alone.
    let own = Store::attach(store.address()).unwrap();
    drop(own.get(id(1), None).unwrap());
    drop(own);
    let deadline = Instant::now() + Duration::from_secs(20);
    while store.stats().clients != clients {
        assert!(Instant::now() < deadline, "the children are reaped");
        std::thread::sleep(Duration::from_millis(1));
    }
    for key in [1, 10, 11] {
        store.delete(id(key)).unwrap();
    }
    assert_empty(&store);
    // Here, since what is mapped last counts.
    let error = Store::premap("/nonexistent/store").unwrap_err();
    assert!(error.is_disconnected(), "{error}");
    Store::premap(store.address()).unwrap();
    let address = store.address().to_owned();
    drop(store);
    assert!(Store::attach(&address).unwrap_err().is_disconnected());
}

#[test]
fn an_inherited_reader_refuses_and_its_drops_do_nothing() {
    let store = store();
    drop(store.put(id(1), b"parent's").unwrap());
    let reader = Store::attach_read_only(store.address()).unwrap();
    let view = reader.get(id(1), None).unwrap();
    let held = (reader.clone(), view.clone(), view.hold());
    let ok = in_child(move || {
        let (reader, view, hold) = held;
        let refused = [
            reader.get(id(1), None).unwrap_err(),
            reader.put(id(2), b"x").unwrap_err(),
            hold.get(None).unwrap_err(),
            reader.check().unwrap_err(),
        ];
        let readable = &view[..] == b"parent's";
        let silent = reader.list().is_empty() && reader.stats().capacity_bytes == 0;
        let fresh = Store::attach_read_only(reader.address()).is_ok_and(|fresh| fresh.contains(id(1)));
        drop((reader, view, hold));
        refused.iter().all(|e| e.is_forked()) && readable && silent && fresh
    });
    assert!(ok, "a check in the child failed");
    let holders = store.info(id(1)).unwrap().holders;
    assert!(holders.len() == 1 && (holders[0].pid, holders[0].views) == (std::process::id(), 1), "{holders:?}");
    drop((view, reader));
    store.delete(id(1)).unwrap();
    assert_empty(&store);
}

#[test]
fn a_child_draws_other_ids() {
    let store = store();
    let _ = mobula_store::ObjectId::random();
    let drawn = in_child(|| {
        let fresh = Store::attach(store.address());
        fresh.is_ok_and(|fresh| fresh.put(mobula_store::ObjectId::random(), b"").is_ok())
    });
    assert!(drawn);
    assert!(store.put(mobula_store::ObjectId::random(), b"").is_ok(), "the child had the same id");
}
