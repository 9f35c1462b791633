//! The store against an ordinary map, over random sequences of operations by several clients.

use std::collections::HashMap;
use std::time::Duration;

use mobula_store::{Deleted, ObjectBuffer, ObjectHold, ObjectId, ObjectView, Store, StoreOptions};

use crate::{assert_empty, id};

const CLIENTS: usize = 3;
const IDS: usize = 24;

/// A generator that needs no crate: xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n
    }
}

/// What the store should contain.
#[derive(Default)]
struct Model {
    sealed: HashMap<ObjectId, Vec<u8>>,
    creating: HashMap<ObjectId, bool>,
}

struct World {
    clients: Vec<Store>,
    model: Model,
    buffers: Vec<(ObjectBuffer, Vec<u8>)>,
    views: Vec<(ObjectView, Vec<u8>)>,
    holds: Vec<(ObjectHold, Vec<u8>)>,
}

impl World {
    fn step(&mut self, random: &mut Random) {
        let store = self.clients[random.below(CLIENTS)].clone();
        let id = id(random.below(IDS) as u8);
        match random.below(12) {
            0..=2 => self.create(&store, id, random),
            3 | 4 => self.seal(random),
            5 => self.abort(random),
            6 | 7 => self.get(&store, id),
            8 => self.delete(&store, id),
            9 => self.hold(&store, id),
            10 => self.release(random),
            _ => assert_eq!(store.contains(id), self.model.sealed.contains_key(&id)),
        }
    }

    fn create(&mut self, store: &Store, id: ObjectId, random: &mut Random) {
        let bits = random.below(18);
        let len = random.below(1 << bits);
        let taken = self.model.sealed.contains_key(&id) || self.model.creating.contains_key(&id);
        match store.create_object(id, len) {
            Ok(mut buffer) => {
                assert!(!taken, "{id} was created twice");
                let bytes: Vec<u8> = (0..len).map(|_| random.below(256) as u8).collect();
                buffer.copy_from_slice(&bytes);
                self.model.creating.insert(id, false);
                self.buffers.push((buffer, bytes));
            }
            Err(error) => assert!(error.is_exists() == taken && (taken || error.is_store_full()), "{error}"),
        }
    }

    fn seal(&mut self, random: &mut Random) {
        if self.buffers.is_empty() {
            return;
        }
        let (buffer, bytes) = self.buffers.swap_remove(random.below(self.buffers.len()));
        let id = buffer.id();
        let view = buffer.seal().unwrap();
        if self.model.creating.remove(&id) == Some(false) {
            self.model.sealed.insert(id, bytes.clone());
        }
        self.views.push((view, bytes));
    }

    fn abort(&mut self, random: &mut Random) {
        if !self.buffers.is_empty() {
            let (buffer, _) = self.buffers.swap_remove(random.below(self.buffers.len()));
            self.model.creating.remove(&buffer.id());
        }
    }

    fn get(&mut self, store: &Store, id: ObjectId) {
        match (store.get(id, Some(Duration::ZERO)), self.model.sealed.get(&id)) {
            (Ok(view), Some(bytes)) => {
                assert_eq!(&view[..], bytes);
                self.views.push((view, bytes.clone()));
            }
            (Err(error), None) => assert!(error.is_timeout(), "{error}"),
            (got, expected) => panic!("{id}: got {got:?}, expected {:?} bytes", expected.map(Vec::len)),
        }
    }

    fn delete(&mut self, store: &Store, id: ObjectId) {
        let held = |held: ObjectId, bytes: &Vec<u8>| held == id && Some(bytes) == self.model.sealed.get(&id);
        let in_use = self.views.iter().any(|(v, b)| held(v.id(), b)) || self.holds.iter().any(|(h, b)| held(h.id(), b));
        match store.delete(id) {
            Ok(deleted) => {
                assert!(self.model.sealed.contains_key(&id));
                assert!(in_use || deleted == Deleted::Now, "{id} is used by nobody");
                self.model.sealed.remove(&id);
            }
            Err(error) if error.is_not_sealed() => *self.model.creating.get_mut(&id).unwrap() = true,
            Err(error) => assert!(error.is_not_found() && !self.model.sealed.contains_key(&id), "{error}"),
        }
    }

    fn hold(&mut self, store: &Store, id: ObjectId) {
        if let (Ok(hold), Some(bytes)) = (store.hold(id), self.model.sealed.get(&id)) {
            self.holds.push((hold, bytes.clone()));
        }
    }

    fn release(&mut self, random: &mut Random) {
        if !self.views.is_empty() {
            let (view, bytes) = self.views.swap_remove(random.below(self.views.len()));
            assert_eq!(&view[..], bytes, "a view changed");
        }
        if !self.holds.is_empty() {
            let (hold, bytes) = self.holds.swap_remove(random.below(self.holds.len()));
            assert_eq!(&hold.get(Some(Duration::ZERO)).unwrap()[..], bytes, "a held object changed");
        }
    }
}

#[test]
fn random_operations_agree_with_a_map() {
    for seed in 1..=12u64 {
        let store = Store::create(StoreOptions::new(3 << 20).create_timeout(Duration::ZERO)).unwrap();
        let attached = (1..CLIENTS).map(|_| Store::attach(store.address()).unwrap());
        let clients = std::iter::once(store.clone()).chain(attached).collect();
        let mut world =
            World { clients, model: Model::default(), buffers: Vec::new(), views: Vec::new(), holds: Vec::new() };
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        for step in 0..3_000 {
            world.step(&mut random);
            if step % 250 == 0 {
                store.check().unwrap_or_else(|e| panic!("seed {seed} step {step}: {e}"));
            }
        }
        let World { clients, model, buffers, views, holds } = world;
        drop((buffers, views, holds));
        for id in model.sealed.keys() {
            store.delete(*id).unwrap();
        }
        drop(clients);
        assert_empty(&store);
    }
}
