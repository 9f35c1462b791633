//! rkyv archives.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use mobula_store::rkyv::{ArchivedView, put, put_with};
use mobula_store::{Lifetime, ObjectId, ObjectOptions, Store};
use rkyv::{Archive, Deserialize, Serialize};

use crate::{assert_empty, assert_pins, id, store};

#[derive(Archive, Serialize, Deserialize, Debug, PartialEq)]
#[rkyv(derive(Debug))]
struct Model {
    name: String,
    layers: Vec<Layer>,
    tags: BTreeMap<String, u32>,
    shared: (Rc<String>, Rc<String>),
    wide: Option<i128>,
}

#[derive(Archive, Serialize, Deserialize, Debug, PartialEq)]
#[rkyv(derive(Debug))]
enum Layer {
    Dense { weights: Vec<f32>, bias: f64 },
    Relu,
}

fn model() -> Model {
    let name = Rc::new("a name that is written once and pointed at twice".to_owned());
    Model {
        name: "small".to_owned(),
        layers: vec![Layer::Dense { weights: vec![0.25; 100], bias: 1.5 }, Layer::Relu],
        tags: (0..20).map(|n| (format!("tag {n}"), n)).collect(),
        shared: (name.clone(), name),
        wide: Some(-1),
    }
}

#[test]
fn an_archive_is_read_where_it_lies() {
    let store = store();
    let value = model();
    let written = put(&store, id(1), &value).unwrap();
    assert_eq!(written.as_ptr() as usize % 64, 0);
    assert_eq!(written[..], rkyv::to_bytes::<rkyv::rancor::Error>(&value).unwrap()[..]);
    drop(written);

    let other = Store::attach(store.address()).unwrap();
    let view = other.get(id(1), None).unwrap();
    let memory = view.as_ptr_range();
    let archive = ArchivedView::<Model>::new(view).unwrap();
    let ArchivedLayer::Dense { weights, bias } = &archive.layers[0] else { panic!("another layer") };
    assert_eq!((weights.len(), bias.to_native()), (100, 1.5));
    assert!(memory.contains(&weights.as_ptr().cast()));
    assert!(memory.contains(&archive.name.as_ptr()));
    assert_eq!(archive.shared.0.as_ptr(), archive.shared.1.as_ptr());
    assert_eq!(archive.tags.get("tag 7").unwrap().to_native(), 7);
    assert_eq!(rkyv::deserialize::<Model, rkyv::rancor::Error>(&*archive).unwrap(), value);
    assert_pins(&store, id(1), archive);
}

#[test]
fn an_archive_takes_options_and_goes_elsewhere() {
    fn shared<T: Send + Sync + 'static>(value: T) -> T {
        value
    }
    let store = store();
    let options = ObjectOptions::new().metadata(b"v1").lifetime(Lifetime::Counted);
    let view = put_with(&store, id(1), &vec![1u64; 1000], &options).unwrap();
    assert_eq!(view.metadata(), b"v1");
    let archive = shared(ArchivedView::<Vec<u64>>::new(view).unwrap());
    let sum = std::thread::spawn(move || archive.iter().map(|n| n.to_native()).sum::<u64>());
    assert_eq!(sum.join().unwrap(), 1000);
    assert_empty(&store);
}

#[test]
fn a_root_without_bytes_is_an_archive() {
    let store = store();
    let view = put(&store, id(1), &()).unwrap();
    assert!(view.is_empty());
    assert_eq!(*ArchivedView::<()>::new(view).unwrap(), ());
}

/// A value that is one element longer each time it is serialised.
struct Growing(Cell<usize>);

impl Archive for Growing {
    type Archived = rkyv::Archived<Vec<u8>>;
    type Resolver = rkyv::Resolver<Vec<u8>>;

    fn resolve(&self, resolver: Self::Resolver, out: rkyv::Place<Self::Archived>) {
        rkyv::vec::ArchivedVec::resolve_from_len(self.0.get(), resolver, out);
    }
}

impl<S: rkyv::rancor::Fallible + rkyv::ser::Writer + rkyv::ser::Allocator + ?Sized> Serialize<S> for Growing {
    fn serialize(&self, serializer: &mut S) -> Result<Self::Resolver, S::Error> {
        self.0.set(self.0.get() + 1000);
        rkyv::vec::ArchivedVec::serialize_from_slice(&vec![1u8; self.0.get()], serializer)
    }
}

/// A value that is shorter the second time.
struct Shrinking(Cell<bool>);

impl Archive for Shrinking {
    type Archived = rkyv::Archived<Vec<u8>>;
    type Resolver = (rkyv::Resolver<Vec<u8>>, usize);

    fn resolve(&self, (resolver, len): Self::Resolver, out: rkyv::Place<Self::Archived>) {
        rkyv::vec::ArchivedVec::resolve_from_len(len, resolver, out);
    }
}

impl<S: rkyv::rancor::Fallible + rkyv::ser::Writer + rkyv::ser::Allocator + ?Sized> Serialize<S> for Shrinking {
    fn serialize(&self, serializer: &mut S) -> Result<Self::Resolver, S::Error> {
        let len = if self.0.replace(true) { 10 } else { 1000 };
        Ok((rkyv::vec::ArchivedVec::serialize_from_slice(&vec![1u8; len], serializer)?, len))
    }
}

#[test]
fn what_cannot_be_written_leaves_nothing() {
    let store = store();
    for error in [
        put(&store, id(1), &Growing(Cell::new(0))).unwrap_err(),
        put(&store, id(1), &Shrinking(Cell::new(false))).unwrap_err(),
    ] {
        assert!(error.is_invalid_argument() && error.to_string().contains(&id(1).to_string()), "{error}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
    assert!(put(&store, id(1), &vec![0u8; 16 << 20]).unwrap_err().is_store_full());
    put(&store, id(1), &1u8).unwrap();
    assert!(put(&store, id(1), &1u8).unwrap_err().is_exists());
    store.delete(id(1)).unwrap();
    assert_empty(&store);
}

#[test]
fn another_thing_is_an_error() {
    let store = store();
    for wrong in [&[][..], &[0; 3], &[0xff; 200], b"no archive at all, whatever it may be, since nobody archived it"] {
        let error = ArchivedView::<Model>::new(store.put(id(1), wrong).unwrap()).unwrap_err();
        assert!(error.is_invalid_argument() && error.to_string().contains(&id(1).to_string()), "{error}");
        assert!(!error.to_string().contains('\n'), "{error}");
        store.delete(id(1)).unwrap();
    }
    assert_empty(&store);
}

#[test]
fn no_damage_makes_a_panic() {
    let store = store();
    let written = put(&store, id(1), &model()).unwrap();
    let read = |bytes: &[u8]| {
        let id = ObjectId::random();
        let view = store.put(id, bytes).unwrap();
        store.delete(id).unwrap();
        // What passes can be read whole.
        if let Ok(archive) = ArchivedView::<Model>::new(view) {
            assert!(!format!("{:?}", *archive).is_empty());
        }
    };
    for len in 0..written.len() {
        read(&written[..len]);
    }
    let mut damaged = written.to_vec();
    for at in 0..damaged.len() {
        for byte in [0, 1, 0x7f, 0x80, 0xff, written[at] ^ 1, written[at].wrapping_add(4)] {
            damaged[at] = byte;
            read(&damaged);
        }
        damaged[at] = written[at];
    }
}

#[derive(Archive, Serialize)]
#[rkyv(serialize_bounds(__S: rkyv::ser::Writer))]
#[rkyv(bytecheck(bounds(__C: rkyv::validation::ArchiveContext, __C::Error: rkyv::rancor::Source)))]
struct Chain {
    #[rkyv(omit_bounds)]
    next: Option<Box<Chain>>,
}

#[test]
fn a_chain_of_too_many_links_is_an_error() {
    let chain = |links| (1..links).fold(Chain { next: None }, |next, _| Chain { next: Some(Box::new(next)) });
    let store = store();
    let view = put(&store, id(1), &chain(200)).unwrap();
    let archive = ArchivedView::<Chain>::new(view).unwrap();
    assert_eq!(std::iter::successors(Some(&*archive), |link| link.next.as_deref()).count(), 200);

    let error = ArchivedView::<Chain>::new(put(&store, id(2), &chain(2000)).unwrap()).unwrap_err();
    assert!(error.is_invalid_argument(), "{error}");
}
