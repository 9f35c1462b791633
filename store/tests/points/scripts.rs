//! What victims do: together these cover every operation of the store.

use std::time::Duration;

use mobula_store::{
    ChannelReader, ChannelWriter, ClientKey, Deleted, Eviction, Lifetime, Mailbox, MessageQueue, ObjectHold, ObjectId,
    ObjectOptions, ObjectView, SharedArray, Store, StoreOptions, transfer,
};

use crate::channels;
use crate::oracle::{content, eventually, id};
use crate::parts;
use crate::process::{End, ready, say};

/// One script.
pub(crate) struct Script {
    pub(crate) name: &'static str,
    /// The store that it plays in.
    pub(crate) options: fn() -> StoreOptions,
    /// What the survivor does first, and keeps.
    pub(crate) before: fn(&Store) -> Kept,
    /// What the victim does; it calls `ready` right before the part in which it may die.
    pub(crate) child: fn(&str),
}

/// What a survivor keeps while a victim works, and looks at afterwards.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) views: Vec<ObjectView>,
    pub(crate) holds: Vec<ObjectHold>,
    pub(crate) mailbox: Option<Mailbox>,
    pub(crate) reader: Option<ChannelReader<u64>>,
    pub(crate) writer: Option<ChannelWriter<u64>>,
    pub(crate) queue: Option<MessageQueue>,
    pub(crate) array: Option<SharedArray<u64>>,
    /// How many messages were put in it before anybody could die, and not taken.
    pub(crate) waiting: usize,
}

impl Kept {
    /// Everything kept is as it was; what was sent is there, and what victims said to be filled.
    pub(crate) fn examine(mut self, store: &Store, ends: &[End], context: &dyn Fn(&str) -> String) {
        for view in &self.views {
            let n = view.id().as_bytes()[0];
            assert!(view[..] == content(n, view.len()), "{}", context("a view's bytes changed"));
        }
        for hold in &self.holds {
            let n = hold.id().as_bytes()[0];
            let view = hold.get(Some(Duration::ZERO)).unwrap_or_else(|e| panic!("{}", context(&e.to_string())));
            assert!(view[..] == content(n, view.len()), "{}", context("a held object's bytes changed"));
        }
        if let Some(reader) = &mut self.reader {
            channels::examine_reader(reader, context);
        }
        if let Some(writer) = &mut self.writer {
            channels::examine_writer(writer, context);
        }
        if let Some(queue) = &self.queue {
            channels::examine_queue(queue, self.waiting, context);
        }
        if let Some(array) = &self.array {
            parts::examine_array(array, ends, context);
        }
        if let Some(mailbox) = &mut self.mailbox {
            mailbox.poll(8, &mut |_, frame| {
                let id = ObjectId::from_bytes(frame.try_into().expect("sixteen bytes"));
                let hold = store.hold(id).unwrap_or_else(|e| panic!("{}", context(&e.to_string())));
                let view = hold.get(Some(Duration::ZERO)).unwrap_or_else(|e| panic!("{}", context(&e.to_string())));
                assert!(view[..] == content(id.as_bytes()[0], view.len()), "{}", context("sent in part"));
            });
        }
    }
}

/// Finds a script by its name.
pub(crate) fn find(name: &str) -> Script {
    let mut known = all().into_iter().chain([parts::beside_others()]);
    known.find(|script| script.name == name).expect("a known script")
}

/// The store of most scripts.
pub(crate) fn plain() -> StoreOptions {
    StoreOptions::new(4 << 20).max_objects(256).max_clients(8)
}

/// Attaches; a machine that is too busy to answer at once is asked again.
pub(crate) fn attach(address: &str) -> Store {
    let mut attached = None;
    eventually(
        || format!("no store answers at {address}"),
        || {
            attached = Store::attach(address).ok();
            attached.is_some()
        },
    );
    attached.expect("it came true")
}

fn counted() -> ObjectOptions {
    ObjectOptions::new().lifetime(Lifetime::Counted)
}

fn survivor() -> ClientKey {
    ClientKey { index: 0, generation: 0 }
}

fn put(store: &Store, n: u8, len: usize) -> ObjectView {
    store.put(id(n), &content(n, len)).expect("put")
}

pub(crate) fn nothing(_: &Store) -> Kept {
    Kept::default()
}

/// Hands an end of a channel, or what else is shared, to the victim, in object 80.
pub(crate) fn hand_over(store: &Store, end: &impl serde::Serialize) {
    let (bytes, holds) = transfer::encode(|| postcard::to_stdvec(end).expect("encoded"));
    drop(store.put_with(id(80), &bytes, &ObjectOptions::new().children(&holds)).expect("put"));
}

/// Takes it.
pub(crate) fn take_over<T: serde::de::DeserializeOwned>(store: &Store) -> T {
    let bytes = store.get(id(80), None).expect("get");
    let end = transfer::decode(store, || postcard::from_bytes(&bytes).expect("decoded"));
    store.delete(id(80)).expect("delete");
    end
}

/// Objects 10, 11 and 12 of the survivor.
fn three(store: &Store) -> Kept {
    for (n, len) in [(10, 1000), (11, 0), (12, 40_000)] {
        drop(put(store, n, len));
    }
    Kept::default()
}

pub(crate) fn all() -> Vec<Script> {
    let mut all = objects();
    all.extend(channels::all());
    all.extend(parts::all());
    all
}

fn objects() -> Vec<Script> {
    vec![
        Script {
            name: "create_write_seal",
            options: plain,
            before: nothing,
            child: |address| {
                let store = attach(address);
                ready(store.client());
                for (n, len) in [(1, 1000), (2, 0), (3, 100_000)] {
                    let options = ObjectOptions::new().metadata(b"some metadata");
                    let mut buffer = store.create_object_with(id(n), len, &options).expect("create");
                    buffer.copy_from_slice(&content(n, len));
                    let view = buffer.seal().expect("seal");
                    say("sealed", n);
                    assert_eq!(view.metadata(), b"some metadata");
                }
            },
        },
        Script {
            name: "put",
            options: plain,
            before: nothing,
            child: |address| {
                let store = attach(address);
                ready(store.client());
                // The last one is too long to be written before it has its id.
                for (n, len) in [(31, 1000), (32, 1000), (33, 100_000), (34, 300_000)] {
                    drop(put(&store, n, len));
                    say("sealed", n);
                }
            },
        },
        Script {
            name: "seal_all",
            options: plain,
            before: nothing,
            child: |address| {
                let store = attach(address);
                ready(store.client());
                let buffers = [1, 41, 42].map(|n| {
                    let mut buffer = store.create_object(id(n), 500).expect("create");
                    buffer.copy_from_slice(&content(n, 500));
                    buffer
                });
                let views = store.seal_all(buffers.into()).expect("seal");
                [1, 41, 42].iter().for_each(|&n| say("sealed", n));
                drop(views);
            },
        },
        Script {
            name: "abort",
            options: plain,
            before: nothing,
            child: |address| {
                let store = attach(address);
                ready(store.client());
                drop(store.create_object(id(51), 3000).expect("create"));
                // Pages from the allocator, kept, taken again; and more than is kept.
                for len in [100_000, 100_000, 300_000] {
                    drop(store.create_object(id(52), len).expect("create"));
                }
                drop(store.promise(id(53)).expect("promise"));
                drop(put(&store, 51, 20));
                say("sealed", 51);
            },
        },
        Script {
            name: "get_and_release",
            options: plain,
            before: three,
            child: |address| {
                let store = attach(address);
                ready(store.client());
                let view = store.get(id(10), Some(Duration::ZERO)).expect("get");
                let hold = view.hold();
                drop(view.clone());
                drop(view);
                drop(hold.get(None).expect("get"));
                let again = store.hold(id(10)).expect("hold");
                drop((hold, again));
                let ids = [id(10), id(99), id(12), id(10)];
                let views = store.get_many(&ids, Some(Duration::ZERO)).expect("get");
                assert_eq!(views.iter().flatten().count(), 3);
            },
        },
        Script {
            name: "wait",
            options: plain,
            before: three,
            child: |address| {
                let store = attach(address);
                ready(store.client());
                let short = Some(Duration::from_millis(2));
                assert_eq!(store.wait(&[id(11), id(99)], 1, None).expect("wait").0, [id(11)]);
                assert_eq!(store.wait(&[id(98), id(99)], 1, short).expect("wait").0, []);
                assert!(store.get(id(98), short).expect_err("nobody makes it").is_timeout());
            },
        },
        Script {
            name: "delete",
            options: plain,
            before: three,
            child: |address| {
                let store = attach(address);
                ready(store.client());
                for n in [10, 11, 12] {
                    say("deleting", n);
                    store.delete(id(n)).expect("delete");
                    say("deleted", n);
                }
            },
        },
        Script {
            name: "delete_in_use",
            options: plain,
            before: |store| {
                three(store);
                Kept { views: vec![store.get(id(12), None).expect("get")], ..Kept::default() }
            },
            child: |address| {
                let store = attach(address);
                let view = store.get(id(10), None).expect("get");
                ready(store.client());
                for n in [10, 12] {
                    say("deleting", n);
                    store.delete(id(n)).expect("delete");
                    say("deleted", n);
                }
                drop(view);
            },
        },
        Script {
            name: "delete_unsealed",
            options: plain,
            before: nothing,
            child: |address| {
                let store = attach(address);
                ready(store.client());
                let mut buffer = store.create_object(id(2), 3000).expect("create");
                buffer.copy_from_slice(&content(2, 3000));
                assert!(store.delete(id(2)).expect_err("not sealed").is_not_sealed());
                say("deleting", 2);
                drop(buffer.seal().expect("seal"));
                say("deleted", 2);
            },
        },
        Script {
            name: "counted",
            options: plain,
            before: |store| {
                let shared = store.put_with(id(65), &content(65, 700), &counted()).expect("put").hold();
                Kept { holds: vec![shared], ..Kept::default() }
            },
            child: |address| {
                let store = attach(address);
                ready(store.client());
                let options = counted().notify();
                let view = store.put_with(id(61), &content(61, 1000), &options).expect("put");
                let hold = view.hold();
                drop(view);
                drop(hold);
                drop(store.put_with(id(62), &content(62, 50_000), &counted()).expect("put"));
                drop(store.hold(id(65)).expect("hold"));
            },
        },
        Script {
            name: "last_release_of_what_the_survivor_held",
            options: plain,
            before: |store| {
                drop(store.put_with(id(10), &content(10, 700), &counted().children(&[])).expect("put").hold());
                drop(put(store, 11, 600));
                Kept::default()
            },
            child: |address| {
                let store = attach(address);
                let view = store.get(id(11), None).expect("get");
                store.delete(id(11)).expect("delete");
                ready(store.client());
                say("deleted", 11);
                drop(view);
            },
        },
        Script {
            name: "children",
            options: plain,
            before: nothing,
            child: |address| {
                let store = attach(address);
                ready(store.client());
                let children: Vec<ObjectHold> = (70..73)
                    .map(|n| store.put_with(id(n), &content(n, 300), &counted()).expect("put").hold())
                    .collect();
                let parent = store.put_with(id(75), &content(75, 1000), &counted().children(&children)).expect("put");
                let outer =
                    store.put_with(id(76), &content(76, 10), &counted().children(&[parent.hold()])).expect("put");
                drop(children);
                drop(parent);
                assert!([70, 71, 72, 75].iter().all(|&n| store.contains(id(n))));
                drop(outer);
                assert!([70, 71, 72, 75, 76].iter().all(|&n| !store.contains(id(n))));
            },
        },
        Script {
            name: "promise",
            options: plain,
            before: nothing,
            child: |address| {
                let store = attach(address);
                ready(store.client());
                let promise = store.promise(id(81)).expect("promise");
                let hold = promise.hold();
                let mut buffer = promise.fulfil(100, &ObjectOptions::new().metadata(b"meta")).expect("fulfil");
                buffer.copy_from_slice(&content(81, 100));
                drop(buffer.seal().expect("seal"));
                drop(hold);
                let promise = store.promise(id(82)).expect("promise");
                let hold = promise.hold();
                drop(promise);
                assert!(hold.get(None).expect_err("lost").is_not_found());
            },
        },
        Script {
            name: "send",
            options: plain,
            before: |store| Kept { mailbox: store.mailbox(), ..Kept::default() },
            child: |address| {
                let store = attach(address);
                let holds = [91, 92].map(|n| store.put_with(id(n), &content(n, 100), &counted()).expect("put").hold());
                ready(store.client());
                let mut ring = store.open_ring(survivor()).expect("open");
                for hold in &holds {
                    ring.try_send(hold.id().as_bytes(), true).expect("send");
                }
                drop(ring);
                let mut ring = store.open_ring(survivor()).expect("open");
                ring.try_send(holds[0].id().as_bytes(), false).expect("send");
                // A death, not an end: neither is dropped.
                std::mem::forget((holds, ring));
            },
        },
        Script {
            name: "receive",
            options: plain,
            before: nothing,
            child: |address| {
                let store = attach(address);
                let other = attach(address);
                let mut ring = other.open_ring(store.client()).expect("open");
                let mut mailbox = store.mailbox().expect("mailbox");
                for _ in 0..3 {
                    ring.try_send(&[5; 500], true).expect("send");
                }
                ready(store.client());
                mailbox.poll(8, &mut |_, frame| assert_eq!(frame, [5; 500]));
                drop(ring);
                mailbox.poll(8, &mut |_, _| panic!("nothing else was sent"));
                drop(mailbox);
                std::mem::forget(other);
            },
        },
        Script {
            name: "attach_work_detach",
            options: plain,
            before: three,
            child: |address| {
                ready(survivor());
                let store = attach(address);
                drop(put(&store, 1, 2000));
                say("sealed", 1);
                let view = store.get(id(10), None).expect("get");
                drop((view, store));
                let store = attach(address);
                say("deleting", 10);
                store.delete(id(10)).expect("delete");
                say("deleted", 10);
                drop(store);
            },
        },
        Script {
            name: "many_small_ones",
            options: plain,
            before: nothing,
            child: |address| {
                let store = attach(address);
                ready(store.client());
                for round in 0..2 {
                    let views: Vec<ObjectView> = (101..181).map(|n| put(&store, n, 3000)).collect();
                    drop(views);
                    (101..181).for_each(|n| {
                        if round == 0 {
                            say("deleting", n);
                        }
                        store.delete(id(n)).map(drop).expect("delete");
                    });
                }
            },
        },
        Script {
            name: "full_store",
            options: plain,
            before: |store| {
                let view = store.put(id(20), &content(20, 3 << 20)).expect("put");
                Kept { views: vec![view], ..Kept::default() }
            },
            child: |address| {
                let store = attach(address);
                ready(store.client());
                let options = ObjectOptions::new().timeout(Duration::from_millis(3));
                let refused = store.create_object_with(id(85), 2 << 20, &options).expect_err("full");
                assert!(refused.is_store_full());
                drop(put(&store, 86, 5000));
                say("sealed", 86);
            },
        },
        Script {
            name: "queue_and_be_served",
            options: plain,
            before: |store| {
                drop(put(store, 20, 3 << 20));
                Kept::default()
            },
            child: |address| {
                let store = attach(address);
                let other = attach(address);
                ready(store.client());
                say("deleting", 20);
                let served = std::thread::scope(|scope| {
                    let asking = scope.spawn(|| {
                        let options = ObjectOptions::new().timeout(Duration::from_secs(10));
                        let mut buffer = store.create_object_with(id(85), 2 << 20, &options).expect("served");
                        buffer.copy_from_slice(&content(85, 2 << 20));
                        buffer.seal().map(drop)
                    });
                    while other.stats().queued_creates == 0 && !asking.is_finished() {
                        std::thread::yield_now();
                    }
                    other.delete(id(20)).expect("delete");
                    asking.join().expect("no panic")
                });
                served.expect("sealed");
                other.delete(id(85)).expect("delete");
            },
        },
        Script {
            name: "evict",
            options: || plain().eviction(Eviction::LeastRecentlyUsed),
            before: |store| {
                (20..30).for_each(|n| drop(put(store, n, 300_000)));
                let view = store.get(id(20), None).expect("get");
                Kept { views: vec![view], ..Kept::default() }
            },
            child: |address| {
                let store = attach(address);
                ready(store.client());
                (20..30).for_each(|n| say("deleting", n));
                drop(put(&store, 31, 1_500_000));
                let evicted = store.evict(400_000).expect("evict");
                assert!(evicted >= 400_000 && store.contains(id(20)));
            },
        },
        Script {
            name: "spill_and_restore",
            options: || plain().spill_dir(std::env::temp_dir().join("mobula-points")),
            before: |store| {
                (20..30).for_each(|n| drop(put(store, n, 300_000)));
                let view = store.get(id(20), None).expect("get");
                Kept { views: vec![view], ..Kept::default() }
            },
            child: |address| {
                let store = attach(address);
                ready(store.client());
                // Makes others go to disk; these come back one by one, in place or not.
                drop(put(&store, 31, 1_500_000));
                say("sealed", 31);
                for n in 20..30 {
                    let view = store.get(id(n), None).expect("get");
                    assert!(view[..] == content(n, 300_000));
                }
                say("deleting", 31);
                store.delete(id(31)).expect("delete");
                say("deleted", 31);
                for n in 20..25 {
                    drop(store.get(id(n), None).expect("get"));
                    say("deleting", n);
                    store.delete(id(n)).expect("delete");
                    say("deleted", n);
                }
            },
        },
        Script {
            name: "fall_back_to_a_file",
            options: || plain().fallback(true),
            before: |store| {
                let view = store.put(id(20), &content(20, 3 << 20)).expect("put");
                Kept { views: vec![view], ..Kept::default() }
            },
            child: |address| {
                let store = attach(address);
                ready(store.client());
                drop(put(&store, 31, 2 << 20));
                say("sealed", 31);
                let view = store.get(id(31), None).expect("get");
                assert!(view[..] == content(31, 2 << 20));
                say("deleting", 31);
                store.delete(id(31)).expect("delete");
                say("deleted", 31);
                drop(view);
                drop(store.put_with(id(32), &content(32, 2 << 20), &counted()).expect("put"));
            },
        },
        Script {
            name: "compact",
            options: plain,
            before: |store| {
                // Every other one of forty goes: half of the store is free, in small pieces.
                (20..60).for_each(|n| drop(put(store, n, 90_000)));
                (20..60).step_by(2).for_each(|n| assert_eq!(store.delete(id(n)).expect("delete"), Deleted::Now));
                Kept::default()
            },
            child: |address| {
                let store = attach(address);
                ready(store.client());
                drop(put(&store, 1, 512 << 10));
                say("sealed", 1);
            },
        },
    ]
}
