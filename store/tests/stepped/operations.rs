//! The operations that a child is killed in, and what must be true afterwards.

use std::time::Duration;

use mobula_store::{ClientKey, Lifetime, ObjectHold, ObjectId, ObjectOptions, Store};

use crate::trace::stand;

/// Puts a finding into words: which operation was killed where.
pub(crate) type Context<'a> = &'a dyn Fn(&str) -> String;

/// One operation with its surroundings.
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    /// Whether the store evicts the least recently used objects.
    pub(crate) evicts: bool,
    /// What the survivor does first.
    pub(crate) before: fn(&Store),
    /// What the child does; it calls `stand` right before the part that is stepped.
    pub(crate) child: fn(&Store),
    /// What the survivor finds, and how it tidies up what may be there.
    pub(crate) after: fn(&Store, Context<'_>),
}

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
    vec![
        Operation {
            name: "create_seal_small",
            evicts: false,
            before: nothing,
            child: |store| {
                stand();
                store.put(id(1), &[7; 1000]).expect("put");
            },
            after: |store, context| whole_or_absent(store, 1, &[7; 1000], context),
        },
        Operation {
            name: "create_seal_pages",
            evicts: false,
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
            name: "abort",
            evicts: false,
            before: nothing,
            child: |store| {
                let buffer = store.create_object(id(1), 3000).expect("create");
                stand();
                drop(buffer);
            },
            after: |store, context| whole_or_absent(store, 1, &[], context),
        },
        Operation {
            name: "get_release",
            evicts: false,
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
            name: "delete",
            evicts: false,
            before: put_one,
            child: |store| {
                stand();
                store.delete(id(1)).expect("delete");
            },
            after: |store, context| whole_or_absent(store, 1, &[7; 1000], context),
        },
        Operation {
            name: "last_release_of_a_deleted_object",
            evicts: false,
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
            name: "last_release_of_a_counted_object",
            evicts: false,
            before: nothing,
            child: |store| {
                let view = store.put_with(id(1), &[7; 1000], &counted()).expect("put");
                stand();
                drop(view);
            },
            after: |_, _| {},
        },
        Operation {
            name: "parent_with_children",
            evicts: false,
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
            name: "promise_fulfil",
            evicts: false,
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
            name: "send_a_hold",
            evicts: false,
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
            name: "receive_a_frame",
            evicts: false,
            before: nothing,
            child: |store| {
                let other = Store::attach(store.address()).expect("attach");
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
            name: "queue_and_give_up",
            evicts: false,
            before: fill,
            child: |store| {
                stand();
                let options = ObjectOptions::new().timeout(Duration::from_micros(200));
                assert!(store.create_object_with(id(1), 100_000, &options).is_err());
            },
            after: |store, context| {
                assert_eq!(store.stats().queued_creates, 0, "{}", context("a request is left in the queue"));
                store.delete(id(2)).unwrap_or_else(|e| panic!("{}", context(&e.to_string())));
                whole_or_absent(store, 1, &[], context);
            },
        },
        Operation {
            name: "evict_for_room",
            evicts: true,
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
            name: "detach",
            evicts: false,
            before: put_one,
            child: |store| {
                let other = Store::attach(store.address()).expect("attach");
                stand();
                drop(other);
            },
            after: |store, context| whole_or_absent(store, 1, &[7; 1000], context),
        },
    ]
}
