//! The operations that a child is killed in, and what must be true afterwards.

use std::path::Path;
use std::time::Duration;

use mobula_store::{
    Array, ClientKey, Eviction, Lifetime, ObjectHold, ObjectId, ObjectOptions, ObjectState, Store, StoreOptions,
};

use crate::trace::{attach, eventually, stand};

/// Puts a finding into words: which operation was killed where.
pub(crate) type Context<'a> = &'a dyn Fn(&str) -> String;

/// One operation with its surroundings.
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    /// The store that it happens in; the folder is its own.
    pub(crate) options: fn(&Path) -> StoreOptions,
    /// What the survivor does first.
    pub(crate) before: fn(&Store),
    /// What the child does; it calls `stand` right before the part that is stepped.
    pub(crate) child: fn(&Store),
    /// What the survivor finds, and how it tidies up what may be there.
    pub(crate) after: fn(&Store, Context<'_>),
}

const PAGE: usize = 16 << 10;

fn id(n: u8) -> ObjectId {
    ObjectId::from_bytes([n; 16])
}

fn counted() -> ObjectOptions {
    ObjectOptions::new().lifetime(Lifetime::Counted)
}

fn survivor() -> ClientKey {
    ClientKey { index: 0, generation: 0 }
}

/// An object that may or may not be there, but never in part: whole if it is, and gone after this.
fn whole_or_absent(store: &Store, n: u8, bytes: &[u8], context: Context<'_>) {
    if let Ok(view) = store.get(id(n), Some(Duration::ZERO)) {
        assert!(&view[..] == bytes, "{}", context("an object is there in part"));
        drop(view);
        let _ = store.delete(id(n));
    }
    store.put(id(n), b"the id can be used").unwrap_or_else(|e| panic!("{}", context(&e.to_string())));
    store.delete(id(n)).unwrap_or_else(|e| panic!("{}", context(&e.to_string())));
}

/// The store of most operations.
pub(crate) fn small(_: &Path) -> StoreOptions {
    StoreOptions::new(4 << 20).max_objects(256).max_clients(8)
}

/// A store that is full soon.
fn tight(_: &Path) -> StoreOptions {
    StoreOptions::new(16 * PAGE).max_objects(64).max_clients(8)
}

fn spilling(dir: &Path) -> StoreOptions {
    tight(dir).spill_dir(dir)
}

/// Content that differs everywhere, so that bytes in the wrong place are noticed.
fn content(n: u8, len: usize) -> Vec<u8> {
    (0..len).map(|i| n.wrapping_mul(31).wrapping_add((i / 64 + i) as u8)).collect()
}

/// Fills a tight store with objects of a quarter.
fn four_quarters(store: &Store) {
    for n in 1..=4 {
        drop(store.put(id(n), &content(n, 4 * PAGE)).expect("put"));
    }
}

fn all_four_are_whole(store: &Store, context: Context<'_>) {
    for n in 1..=4 {
        let view = store.get(id(n), Some(Duration::ZERO)).unwrap_or_else(|e| panic!("{}", context(&e.to_string())));
        assert!(view[..] == content(n, 4 * PAGE), "{}", context(&format!("object {n} has other bytes")));
    }
    for n in 1..=4 {
        store.delete(id(n)).unwrap_or_else(|e| panic!("{}", context(&e.to_string())));
    }
}

/// What the child creates when there is no room; its bytes are not looked at.
fn half(store: &Store) {
    drop(store.create_object(id(100), 8 * PAGE).expect("create").seal().expect("seal"));
}

fn half_or_nothing(store: &Store, context: Context<'_>) {
    if let Ok(view) = store.get(id(100), Some(Duration::ZERO)) {
        assert_eq!(view.len(), 8 * PAGE, "{}", context("an object is there in part"));
    }
    let _ = store.delete(id(100));
}

fn nothing(_: &Store) {}

fn put_one(store: &Store) {
    store.put(id(1), &[7; 1000]).expect("put");
}

/// Leaves less than a hundred thousand bytes free.
fn fill(store: &Store) {
    store.put(id(2), &vec![2; (4 << 20) - 65_536]).expect("put");
}

fn children(store: &Store) -> Vec<ObjectHold> {
    (10..13).map(|n| store.put_with(id(n), &[n; 300], &counted()).expect("put").hold()).collect()
}

pub(crate) fn all() -> Vec<Operation> {
    let mut all = objects();
    all.extend(crate::boards::all());
    all
}

fn objects() -> Vec<Operation> {
    vec![
        Operation {
            options: small,
            name: "create_seal_small",
            before: nothing,
            child: |store| {
                stand();
                store.put(id(1), &[7; 1000]).expect("put");
            },
            after: |store, context| whole_or_absent(store, 1, &[7; 1000], context),
        },
        Operation {
            options: small,
            name: "create_seal_pages",
            before: nothing,
            child: |store| {
                let mut buffer = store.create_object(id(2), 10).expect("create");
                buffer.fill(1);
                stand();
                drop(store.create_object(id(1), 100_000).expect("create").seal().expect("seal"));
                drop(buffer.seal().expect("seal"));
            },
            after: |store, context| {
                if let Ok(view) = store.get(id(1), Some(Duration::ZERO)) {
                    assert_eq!(view.len(), 100_000, "{}", context("an object is there in part"));
                }
                let _ = store.delete(id(1));
                whole_or_absent(store, 2, &[1; 10], context);
            },
        },
        Operation {
            options: small,
            name: "abort",
            before: nothing,
            child: |store| {
                let buffer = store.create_object(id(1), 3000).expect("create");
                stand();
                drop(buffer);
            },
            after: |store, context| whole_or_absent(store, 1, &[], context),
        },
        Operation {
            options: small,
            name: "get_release",
            before: put_one,
            child: |store| {
                stand();
                let view = store.get(id(1), Some(Duration::ZERO)).expect("get");
                std::hint::black_box(view.hold());
                drop(view);
            },
            after: |store, context| whole_or_absent(store, 1, &[7; 1000], context),
        },
        Operation {
            options: small,
            name: "delete",
            before: put_one,
            child: |store| {
                stand();
                store.delete(id(1)).expect("delete");
            },
            after: |store, context| whole_or_absent(store, 1, &[7; 1000], context),
        },
        Operation {
            options: small,
            name: "last_release_of_a_deleted_object",
            before: put_one,
            child: |store| {
                let view = store.get(id(1), Some(Duration::ZERO)).expect("get");
                store.delete(id(1)).expect("delete");
                stand();
                drop(view);
            },
            after: |store, context| whole_or_absent(store, 1, &[], context),
        },
        Operation {
            options: small,
            name: "last_release_of_a_counted_object",
            before: nothing,
            child: |store| {
                let view = store.put_with(id(1), &[7; 1000], &counted()).expect("put");
                stand();
                drop(view);
            },
            after: |_, _| {},
        },
        Operation {
            options: small,
            name: "parent_with_children",
            before: |store| drop(children(store)),
            child: |store| {
                let children = children(store);
                stand();
                let parent = store.put_with(id(1), &[7; 1000], &counted().children(&children)).expect("put");
                drop(children);
                drop(parent);
            },
            after: |_, _| {},
        },
        Operation {
            options: small,
            name: "promise_fulfil",
            before: nothing,
            child: |store| {
                stand();
                let promise = store.promise(id(1)).expect("promise");
                let hold = promise.hold();
                let mut buffer = promise.fulfil(100, &ObjectOptions::new().metadata(b"meta")).expect("fulfil");
                buffer.fill(3);
                drop(buffer.seal().expect("seal"));
                drop(hold);
            },
            after: |_, _| {},
        },
        Operation {
            options: small,
            name: "send_a_hold",
            before: nothing,
            child: |store| {
                let hold = store.put_with(id(1), &[9; 100], &counted()).expect("put").hold();
                stand();
                let mut ring = store.open_ring(survivor()).expect("open");
                ring.try_send(id(1).as_bytes(), true).expect("send");
                // A death, not an end: neither is dropped.
                std::mem::forget((hold, ring));
            },
            after: |store, context| {
                let mut mailbox = store.mailbox().expect("mailbox");
                let mut adopted = None;
                mailbox.poll(8, &mut |_, frame| {
                    let id = ObjectId::from_bytes(frame.try_into().expect("sixteen bytes"));
                    adopted = Some(store.hold(id).unwrap_or_else(|e| panic!("{}", context(&e.to_string()))));
                });
                if let Some(hold) = adopted {
                    assert!(
                        hold.get(None).expect("sealed").iter().all(|&b| b == 9),
                        "{}",
                        context("a sent object is there in part")
                    );
                }
            },
        },
        Operation {
            options: small,
            name: "receive_a_frame",
            before: nothing,
            child: |store| {
                let other = attach(store.address());
                let mut ring = other.open_ring(store.client()).expect("open");
                let mut mailbox = store.mailbox().expect("mailbox");
                ring.try_send(&[5; 500], true).expect("send");
                stand();
                mailbox.poll(8, &mut |_, frame| assert_eq!(frame, [5; 500]));
                drop(mailbox);
                std::mem::forget((ring, other));
            },
            after: |_, _| {},
        },
        Operation {
            options: small,
            name: "queue_and_give_up",
            before: fill,
            child: |store| {
                stand();
                let options = ObjectOptions::new().timeout(Duration::from_micros(200));
                assert!(store.create_object_with(id(1), 100_000, &options).is_err());
            },
            after: |store, context| {
                eventually(&context("a request is left in the queue"), || store.stats().queued_creates == 0);
                store.delete(id(2)).unwrap_or_else(|e| panic!("{}", context(&e.to_string())));
                whole_or_absent(store, 1, &[], context);
            },
        },
        Operation {
            options: |dir| small(dir).eviction(Eviction::LeastRecentlyUsed),
            name: "evict_for_room",
            before: |store| {
                for n in 10..14 {
                    store.put(id(n), &[n; 1000]).expect("put");
                }
                fill(store);
                for n in 10..14 {
                    drop(store.get(id(n), Some(Duration::ZERO)).expect("get"));
                }
            },
            child: |store| {
                stand();
                // Nothing is copied: each byte would be an instruction.
                drop(store.create_object(id(1), 60_000).expect("create").seal().expect("seal"));
                drop(store.create_object(id(3), 60_000).expect("create").seal().expect("seal"));
            },
            after: |store, context| {
                for n in 10..14 {
                    whole_or_absent(store, n, &[n; 1000], context);
                }
                for n in 1..4 {
                    let _ = store.delete(id(n));
                }
            },
        },
        Operation {
            options: small,
            name: "detach",
            before: put_one,
            child: |store| {
                let other = attach(store.address());
                stand();
                drop(other);
            },
            after: |store, context| whole_or_absent(store, 1, &[7; 1000], context),
        },
        Operation {
            options: small,
            name: "into_mut",
            before: nothing,
            child: |store| {
                let array = Array::from_shape_in(store, &[250], &[7_u32; 250]).expect("an array");
                stand();
                let mut writable = array.into_mut().expect("in place");
                writable[0] = 8;
                drop(writable.seal().expect("seal"));
            },
            after: |_, _| {},
        },
        Operation {
            options: tight,
            name: "compaction_by_a_creation",
            before: |store| {
                // Pieces of one page and of cells, with holes between them.
                for n in 1..=13 {
                    drop(store.put(id(n), &content(n, PAGE)).expect("put"));
                }
                for n in 20..=60 {
                    drop(store.put(id(n), &content(n, 1000)).expect("put"));
                }
                for n in (1..=13).filter(|n| n % 3 != 1).chain((20..=60).filter(|n| n % 4 != 0)) {
                    store.delete(id(n)).expect("delete");
                }
            },
            child: |store| {
                stand();
                half(store);
            },
            after: |store, context| {
                let left = (1..=13).filter(|n| n % 3 == 1).map(|n| (n, PAGE));
                for (n, len) in left.chain((20..=60).filter(|n| n % 4 == 0).map(|n| (n, 1000))) {
                    let view = store
                        .get(id(n), Some(Duration::ZERO))
                        .unwrap_or_else(|e| panic!("{}", context(&e.to_string())));
                    assert!(view[..] == content(n, len), "{}", context(&format!("object {n} has other bytes")));
                    drop(view);
                    store.delete(id(n)).unwrap_or_else(|e| panic!("{}", context(&e.to_string())));
                }
                half_or_nothing(store, context);
            },
        },
        Operation {
            options: spilling,
            name: "spill_by_a_creation",
            before: four_quarters,
            child: |store| {
                stand();
                half(store);
            },
            after: |store, context| {
                half_or_nothing(store, context);
                all_four_are_whole(store, context);
            },
        },
        Operation {
            options: spilling,
            name: "restore_by_a_get",
            before: |store| {
                four_quarters(store);
                store.evict(u64::MAX).expect("spill");
                assert_eq!(store.info(id(2)).expect("it is there").state, ObjectState::Spilled);
            },
            child: |store| {
                stand();
                assert_eq!(store.get(id(2), Some(Duration::ZERO)).expect("get").len(), 4 * PAGE);
                assert_eq!(store.info(id(2)).expect("it is there").state, ObjectState::Sealed);
            },
            after: all_four_are_whole,
        },
        Operation {
            options: spilling,
            name: "last_release_of_a_spilled_object",
            before: nothing,
            child: |store| {
                let hold = store.put_with(id(1), &content(1, 4 * PAGE), &counted()).expect("put").hold();
                store.evict(u64::MAX).expect("spill");
                stand();
                drop(hold);
            },
            after: |_, _| {},
        },
        Operation {
            options: |dir| tight(dir).fallback(true),
            name: "creation_in_a_file",
            before: four_quarters,
            child: |store| {
                stand();
                half(store);
                store.delete(id(100)).expect("delete");
            },
            after: |store, context| {
                half_or_nothing(store, context);
                all_four_are_whole(store, context);
            },
        },
        Operation {
            options: tight,
            name: "creation_that_queues_in_vain",
            before: four_quarters,
            child: |store| {
                let options = ObjectOptions::new().timeout(Duration::from_millis(400));
                stand();
                let refused = store.create_object_with(id(100), 8 * PAGE, &options);
                assert!(refused.is_err_and(|e| e.is_store_full()));
            },
            after: |store, context| {
                eventually(&context("the dead queues"), || store.stats().queued_creates == 0);
                all_four_are_whole(store, context);
                // Nobody comes first.
                half(store);
                half_or_nothing(store, context);
            },
        },
    ]
}
