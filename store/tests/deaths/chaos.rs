//! Several processes work at random on the same few objects while one after the other is killed.

use std::time::{Duration, Instant};

use mobula_store::{Lifetime, ObjectHold, ObjectId, ObjectOptions, ObjectView, Store, StoreOptions};

use crate::{Actor, eventually};

const IDS: u64 = 40;
const CHILDREN: usize = 3;
/// How many processes are killed unless `MOBULA_KILLS` says otherwise.
const KILLS: usize = 40;

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }
}

fn id(n: u64) -> ObjectId {
    ObjectId::from_bytes(u128::from(n).to_le_bytes())
}

/// Every byte of an object follows from its id and length, so that any reader can verify it.
fn byte(id: ObjectId, len: usize) -> u8 {
    id.as_bytes()[0].wrapping_mul(31).wrapping_add(len as u8)
}

fn verify(view: &ObjectView) {
    let expected = byte(view.id(), view.len());
    assert!(view.iter().all(|&b| b == expected), "object {} is damaged", view.id());
}

/// Runs in the child until it is killed.
pub(crate) fn play(store: &Store) -> ! {
    let mut random = Random(u64::from(std::process::id()) << 20 | 1);
    let mut views: Vec<ObjectView> = Vec::new();
    let mut holds: Vec<ObjectHold> = Vec::new();
    println!("\nready");
    loop {
        let id = id(random.below(IDS));
        match random.below(10) {
            0..=3 => {
                let bits = random.below(17);
                let len = random.below(1 << bits) as usize;
                let lifetime = if random.below(2) == 0 { Lifetime::Counted } else { Lifetime::UntilDeleted };
                let take = holds.len().min(random.below(3) as usize);
                let options = ObjectOptions::new().lifetime(lifetime).timeout(Duration::ZERO).children(&holds[..take]);
                if let Ok(mut buffer) = store.create_object_with(id, len, &options) {
                    buffer.fill(byte(id, len));
                    if random.below(8) > 0 {
                        views.extend(buffer.seal());
                    }
                }
            }
            4..=6 => {
                if let Ok(view) = store.get(id, Some(Duration::ZERO)) {
                    verify(&view);
                    if random.below(3) == 0 {
                        holds.push(view.hold());
                    }
                    views.push(view);
                }
            }
            7 => drop(store.delete(id)),
            8 => {
                if let Ok(promise) = store.promise(id)
                    && let Ok(mut buffer) = promise.fulfil(100, &ObjectOptions::new())
                {
                    buffer.fill(byte(id, 100));
                    views.extend(buffer.seal());
                }
            }
            _ => {
                views.truncate(random.below(8) as usize);
                holds.truncate(random.below(8) as usize);
            }
        }
    }
}

#[test]
fn killing_at_random_never_loses_damages_or_leaks() {
    let store = Store::create(StoreOptions::new(4 << 20).max_objects(4096)).unwrap();
    let mut children: Vec<Actor> = (0..CHILDREN).map(|_| Actor::start("chaos", &store)).collect();
    let kills = std::env::var("MOBULA_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(KILLS);
    let start = Instant::now();
    let mut verified = 0;
    for kill in 0..kills {
        // A random while, spent on work of our own.
        for n in 0..(kill as u64 * 7919) % 4000 {
            if let Ok(view) = store.get(id(n % IDS), Some(Duration::ZERO)) {
                verify(&view);
                verified += 1;
            }
        }
        store.check().unwrap_or_else(|e| panic!("beside living clients, before kill {kill}: {e}"));
        children.remove(0).kill();
        children.push(Actor::start("chaos", &store));
    }
    drop(children);
    eventually("the dead are reaped", || store.stats().clients == 1);
    store.check().unwrap();
    eventually("everything comes back", || {
        for info in store.list() {
            let _ = store.delete(info.id);
        }
        (store.stats().objects, store.stats().used_bytes) == (0, 0)
    });
    store.check().unwrap();
    println!("{kills} kills, {verified} objects verified here, {:?}", start.elapsed());
}
