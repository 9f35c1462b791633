//! The store against an ordinary map: random sequences of operations by several clients, one of them in a process
//! of its own that is killed now and then. Whatever the store answers, the map knew before.
//!
//! A sequence that fails is cut down to what still fails, and printed with its seed. `MOBULA_FUZZ` is the number
//! of sequences (or seconds: `60s`), `MOBULA_SEED` where they start.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use mobula_store::{
    Deleted, Lifetime, ObjectBuffer, ObjectHold, ObjectId, ObjectOptions, ObjectState, ObjectView, Store, StoreOptions,
};

use crate::{assert_empty, id};

mod map;
mod remote;

use self::map::{Handle, Life, Model, Object};
use self::remote::Remote;

/// Clients of this process; one more is the other process's.
const CLIENTS: usize = 3;
const REMOTE: usize = CLIENTS;
const IDS: u8 = 12;
const CAPACITY: usize = 4 << 20;
/// Below this much in use nothing may be refused for want of memory.
const ROOMY: usize = CAPACITY / 4;
const SIZES: [usize; 8] = [0, 1, 64, 700, 5_000, 14_300, 40_000, 250_000];
const STEPS: usize = 150;

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

/// One operation; what it does depends on nothing but itself and what was done before.
#[derive(Debug, Clone, Copy)]
enum Op {
    Put { client: usize, n: u8, len: usize, counted: bool, children: usize },
    Create { client: usize, n: u8, len: usize, counted: bool },
    Seal(usize),
    SealAll,
    Abort(usize),
    Get { client: usize, n: u8 },
    GetMany { client: usize, from: u8 },
    Hold { client: usize, n: u8 },
    HoldOfView(usize),
    GetOfHold(usize),
    DropView(usize),
    DropHold(usize),
    Delete { client: usize, n: u8 },
    Wait { client: usize, from: u8, count: usize },
    Info { client: usize, n: u8 },
    List { client: usize },
    Evict { client: usize },
    Leave(usize),
    Kill,
    Check,
}

impl Op {
    fn random(random: &mut Random) -> Op {
        let client = random.below(CLIENTS + 1);
        let local = random.below(CLIENTS);
        let n = random.below(IDS as usize) as u8;
        let len = SIZES[random.below(SIZES.len())];
        let counted = random.below(3) == 0;
        let any = random.below(1 << 16);
        match random.below(64) {
            0..=9 => {
                Op::Put { client, n, len, counted, children: if random.below(3) == 0 { random.below(4) } else { 0 } }
            }
            10..=15 => Op::Create { client, n, len, counted },
            16..=19 => Op::Seal(any),
            20 => Op::SealAll,
            21 | 22 => Op::Abort(any),
            23..=30 => Op::Get { client, n },
            31 => Op::GetMany { client: local, from: n },
            32..=34 => Op::Hold { client, n },
            35 => Op::HoldOfView(any),
            36..=37 => Op::GetOfHold(any),
            38..=43 => Op::DropView(any),
            44..=46 => Op::DropHold(any),
            47..=51 => Op::Delete { client: local, n },
            52 | 53 => Op::Wait { client: local, from: n, count: 1 + random.below(3) },
            54..=56 => Op::Info { client: local, n },
            57 | 58 => Op::List { client: local },
            59 => Op::Evict { client: local },
            60 => Op::Leave(local),
            61 => Op::Kill,
            _ => Op::Check,
        }
    }
}

fn options(n: u8, counted: bool) -> ObjectOptions {
    let options = ObjectOptions::new().metadata(&vec![n; usize::from(n % 3) * 5]);
    if counted { options.lifetime(Lifetime::Counted) } else { options }
}

/// Names what an error is.
fn kind(error: &mobula_store::Error) -> &'static str {
    match () {
        () if error.is_exists() => "exists",
        () if error.is_timeout() => "timeout",
        () if error.is_not_found() => "not found",
        () if error.is_not_sealed() => "not sealed",
        () if error.is_store_full() => "full",
        () => "something else",
    }
}

/// The store and the map, side by side.
struct World {
    clients: Vec<Store>,
    remote: Option<Remote>,
    model: Model,
    buffers: Vec<(ObjectBuffer, usize, usize)>,
    views: Vec<(ObjectView, usize, usize)>,
    holds: Vec<(ObjectHold, usize, usize)>,
    /// What the next object is filled with.
    fill: u8,
}

impl World {
    fn new() -> World {
        let store = Store::create(StoreOptions::new(CAPACITY).create_timeout(Duration::ZERO)).unwrap();
        let attached = (1..CLIENTS).map(|_| Store::attach(store.address()).unwrap());
        let clients = std::iter::once(store.clone()).chain(attached).collect();
        let (buffers, views, holds) = Default::default();
        World { clients, remote: None, model: Model::default(), buffers, views, holds, fill: 0 }
    }

    fn remote(&mut self) -> &mut Remote {
        let address = self.clients[0].address().to_owned();
        self.remote.get_or_insert_with(|| Remote::start(&address))
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Put { client, n, len, counted, children } => self.put(client, n, len, counted, children),
            Op::Create { client, n, len, counted } => self.create(client, n, len, counted),
            Op::Seal(any) if !self.buffers.is_empty() => {
                let (buffer, client, object) = self.buffers.swap_remove(any % self.buffers.len());
                self.model.seal(object);
                self.views.push((buffer.seal().unwrap(), client, object));
            }
            Op::SealAll => {
                let all = std::mem::take(&mut self.buffers);
                let (buffers, whose): (Vec<_>, Vec<_>) = all.into_iter().map(|(b, c, o)| (b, (c, o))).unzip();
                let views = self.clients[0].seal_all(buffers).unwrap();
                assert_eq!(views.len(), whose.len());
                for (view, (client, object)) in views.into_iter().zip(whose) {
                    self.model.seal(object);
                    self.views.push((view, client, object));
                }
            }
            Op::Abort(any) if !self.buffers.is_empty() => {
                let (buffer, client, object) = self.buffers.swap_remove(any % self.buffers.len());
                buffer.abort();
                self.model.abort(client, object);
            }
            Op::Get { client, n } => self.get(client, n),
            Op::GetMany { client, from } => {
                let ns: Vec<u8> = (0..4).map(|i| (from + i * i) % IDS).collect();
                let ids: Vec<ObjectId> = ns.iter().map(|&n| id(n)).collect();
                let views = self.clients[client].get_many(&ids, Some(Duration::ZERO)).unwrap();
                for (n, view) in ns.into_iter().zip(views) {
                    assert_eq!(view.is_some(), self.model.is_sealed(n), "get_many of {n}");
                    view.into_iter().for_each(|view| self.viewed(client, n, view));
                }
            }
            Op::Hold { client, n } => self.hold(client, n),
            Op::HoldOfView(any) if !self.views.is_empty() => {
                let (view, client, object) = &self.views[any % self.views.len()];
                let (hold, client, object) = (view.hold(), *client, *object);
                self.model.take(client, object, false);
                self.holds.push((hold, client, object));
            }
            Op::GetOfHold(any) if !self.holds.is_empty() => {
                let (hold, client, object) = &self.holds[any % self.holds.len()];
                let (got, client, object) = (hold.get(Some(Duration::ZERO)), *client, *object);
                let expected = match self.model.objects[&object].life {
                    Life::Creating { .. } => "timeout",
                    Life::Sealed => "ok",
                    Life::Lost => "not found",
                };
                assert_eq!(got.as_ref().map_or_else(kind, |_| "ok"), expected, "get of a hold of {object}");
                if let Ok(view) = got {
                    self.model.take(client, object, true);
                    self.compare(&view, object);
                    self.views.push((view, client, object));
                }
            }
            Op::DropView(any) if !self.views.is_empty() => {
                let (view, client, object) = self.views.swap_remove(any % self.views.len());
                self.compare(&view, object);
                drop(view);
                self.model.release(client, object, true);
            }
            Op::DropHold(any) if !self.holds.is_empty() => {
                let (hold, client, object) = self.holds.swap_remove(any % self.holds.len());
                drop(hold);
                self.model.release(client, object, false);
            }
            Op::Delete { client, n } => self.delete(client, n),
            Op::Wait { client, from, count } => {
                let ns: Vec<u8> = (0..4).map(|i| (from + i) % IDS).collect();
                let ids: Vec<ObjectId> = ns.iter().map(|&n| id(n)).collect();
                let (ready, pending) = self.clients[client].wait(&ids, count, Some(Duration::ZERO)).unwrap();
                let sealed: Vec<ObjectId> =
                    ns.iter().filter(|&&n| self.model.is_sealed(n)).map(|&n| id(n)).take(count).collect();
                assert_eq!(ready, sealed);
                assert_eq!(pending, ids.into_iter().filter(|id| !sealed.contains(id)).collect::<Vec<_>>());
            }
            Op::Info { client, n } => self.info(client, n),
            Op::List { client } => self.list(client),
            Op::Evict { client } => assert_eq!(self.clients[client].evict(1 << 20).unwrap(), 0),
            Op::Leave(client) => {
                self.buffers.retain(|(_, c, _)| *c != client);
                self.views.retain(|(_, c, _)| *c != client);
                self.holds.retain(|(_, c, _)| *c != client);
                self.model.end(client);
                if client > 0 {
                    self.clients[client] = Store::attach(self.clients[0].address()).unwrap();
                }
            }
            Op::Kill => {
                let Some(remote) = self.remote.take() else { return };
                let (key, pid) = (remote.key, remote.child.id());
                drop(remote);
                self.model.end(REMOTE);
                self.clients[0].reap(key);
                // Another reaper may be at it: it is done when nothing shows the dead one any more.
                let since = Instant::now();
                while self.listed(0) != self.expected_list() || self.shows(pid) {
                    assert!(since.elapsed() < Duration::from_secs(20), "a dead client is not undone: {key:?}");
                    std::thread::yield_now();
                }
            }
            Op::Check => {
                self.clients[0].check().unwrap_or_else(|e| panic!("{e}"));
            }
            Op::Seal(_) | Op::Abort(_) | Op::HoldOfView(_) | Op::GetOfHold(_) | Op::DropView(_) | Op::DropHold(_) => {}
        }
    }

    /// Says what must come of a creation; `None` if it depends on how memory lies.
    fn expected(&self, n: u8, len: usize) -> Option<&'static str> {
        match self.model.named(n) {
            Some(_) => Some("exists"),
            None if self.model.bytes() + len < ROOMY => Some("ok"),
            None => None,
        }
    }

    /// Holds an answer against the map's; says whether the creation worked.
    fn created(&self, what: &str, n: u8, len: usize, said: &str) -> bool {
        match self.expected(n, len) {
            Some(expected) => assert_eq!(said, expected, "{what} {n} of {len} bytes"),
            None => assert!(said == "ok" || said == "full", "{what} {n} of {len} bytes: {said}"),
        }
        said == "ok"
    }

    fn object(&mut self, n: u8, len: usize, counted: bool, life: Life) -> Object {
        self.fill = self.fill.wrapping_add(1);
        let (bytes, metadata) = (vec![self.fill; len], vec![self.fill; usize::from(self.fill % 3) * 5]);
        Object { n, bytes, metadata, counted, life, doomed: false, children: Vec::new() }
    }

    fn put(&mut self, client: usize, n: u8, len: usize, counted: bool, children: usize) {
        let mut object = self.object(n, len, counted, Life::Sealed);
        if client == REMOTE {
            let line = format!("put {} {len} {} {}", n, self.fill, u8::from(counted));
            let said = self.remote().ask(&line);
            if self.created("a remote put of", n, len, &said) {
                self.model.add(object, REMOTE);
            }
            return;
        }
        let inside = &self.holds[..children.min(self.holds.len())];
        object.children = inside.iter().map(|(_, _, child)| *child).collect();
        let holds: Vec<ObjectHold> = inside.iter().map(|(hold, _, _)| hold.clone()).collect();
        let options = options(self.fill, counted).children(&holds);
        let put = self.clients[client].put_with(id(n), &object.bytes, &options);
        drop(holds);
        if self.created("put", n, len, put.as_ref().map_or_else(kind, |_| "ok")) {
            let at = self.model.add(object, client);
            self.views.push((put.unwrap(), client, at));
        }
    }

    fn create(&mut self, client: usize, n: u8, len: usize, counted: bool) {
        let object = self.object(n, len, counted, Life::Creating { deleted: false });
        if client == REMOTE {
            let line = format!("create {} {len} {} {}", n, self.fill, u8::from(counted));
            let said = self.remote().ask(&line);
            if self.created("a remote creation of", n, len, &said) {
                self.model.add(object, REMOTE);
            }
            return;
        }
        let made = self.clients[client].create_object_with(id(n), len, &options(self.fill, counted));
        if self.created("a creation of", n, len, made.as_ref().map_or_else(kind, |_| "ok")) {
            let mut buffer = made.unwrap();
            buffer.copy_from_slice(&object.bytes);
            let at = self.model.add(object, client);
            self.buffers.push((buffer, client, at));
        }
    }

    fn get(&mut self, client: usize, n: u8) {
        let expected = if self.model.is_sealed(n) { "ok" } else { "timeout" };
        if client == REMOTE {
            let named = self.model.named(n);
            let fill = named.map_or(0, |at| self.model.objects[&at].bytes.first().copied().unwrap_or(0));
            assert_eq!(self.remote().ask(&format!("get {n} {fill}")), expected, "a remote get of {n}");
            if let Some(at) = named.filter(|_| expected == "ok") {
                self.model.take(REMOTE, at, true);
            }
            return;
        }
        let got = self.clients[client].get(id(n), Some(Duration::ZERO));
        assert_eq!(got.as_ref().map_or_else(kind, |_| "ok"), expected, "get of {n}");
        got.into_iter().for_each(|view| self.viewed(client, n, view));
    }

    /// Keeps a view of what an id stands for.
    fn viewed(&mut self, client: usize, n: u8, view: ObjectView) {
        let at = self.model.named(n).expect("a sealed object");
        self.model.take(client, at, true);
        self.compare(&view, at);
        self.views.push((view, client, at));
    }

    fn compare(&self, view: &ObjectView, object: usize) {
        let object = &self.model.objects[&object];
        assert!(view[..] == object.bytes[..] && view.metadata() == object.metadata, "object {} has changed", object.n);
    }

    fn hold(&mut self, client: usize, n: u8) {
        let named = self.model.named(n);
        let expected = if named.is_some() { "ok" } else { "not found" };
        if client == REMOTE {
            assert_eq!(self.remote().ask(&format!("hold {n}")), expected, "a remote hold of {n}");
        } else {
            let hold = self.clients[client].hold(id(n));
            assert_eq!(hold.as_ref().map_or_else(kind, |_| "ok"), expected, "hold of {n}");
            self.holds.extend(hold.ok().zip(named).map(|(hold, at)| (hold, client, at)));
        }
        named.into_iter().for_each(|at| self.model.take(client, at, false));
    }

    fn delete(&mut self, client: usize, n: u8) {
        let said = match self.clients[client].delete(id(n)) {
            Ok(Deleted::Now) => "now",
            Ok(Deleted::AtLastRelease) => "at last release",
            Err(error) => kind(&error),
        };
        let Some(at) = self.model.named(n) else { return assert_eq!(said, "not found", "delete of {n}") };
        let in_use = self.model.is_used(at);
        let object = self.model.objects.get_mut(&at).expect("a named object");
        let expected = match &mut object.life {
            Life::Creating { deleted } => {
                *deleted = true;
                "not sealed"
            }
            _ => {
                object.doomed = true;
                if in_use { "at last release" } else { "now" }
            }
        };
        assert_eq!(said, expected, "delete of {n}");
        self.model.settle();
    }

    fn info(&self, client: usize, n: u8) {
        let (info, named) = (self.clients[client].info(id(n)), self.model.named(n));
        assert_eq!(self.clients[client].exists(id(n)), named.is_some(), "exists of {n}");
        assert_eq!(self.clients[client].contains(id(n)), self.model.is_sealed(n), "contains of {n}");
        assert_eq!(info.is_some(), named.is_some(), "info of {n}");
        let (Some(info), Some(at)) = (info, named) else { return };
        let object = &self.model.objects[&at];
        assert_eq!((info.len, info.metadata_len), (object.bytes.len() as u64, object.metadata.len() as u64));
        let mut rows: Vec<(u32, u32)> = info.holders.iter().map(|holder| (holder.views, holder.holds)).collect();
        let count = |client: usize, view: bool| {
            let is_it = |h: &&Handle| h.client == client && h.object == at && h.view == view;
            self.model.handles.iter().filter(is_it).count() as u32
        };
        let expected = (0..=REMOTE).map(|client| (count(client, true), count(client, false)));
        let mut expected: Vec<(u32, u32)> = expected.filter(|row| *row != (0, 0)).collect();
        rows.sort_unstable();
        expected.sort_unstable();
        assert_eq!(rows, expected, "holders of {n}");
    }

    /// Says whether a process holds anything.
    fn shows(&self, pid: u32) -> bool {
        self.clients[0].list().iter().any(|info| info.holders.iter().any(|holder| holder.pid == pid))
    }

    fn listed(&self, client: usize) -> Vec<(ObjectId, u64, String)> {
        let listed = self.clients[client].list().into_iter();
        let mut listed: Vec<_> = listed.map(|i| (i.id, i.len, format!("{:?}", i.state))).collect();
        listed.sort();
        listed
    }

    fn expected_list(&self) -> Vec<(ObjectId, u64, String)> {
        let state = |object: &Object| match object.life {
            _ if object.doomed => ObjectState::Deleted,
            Life::Creating { .. } => ObjectState::Created,
            _ => ObjectState::Sealed,
        };
        let objects = self.model.objects.values();
        let mut expected: Vec<_> =
            objects.map(|o| (id(o.n), o.bytes.len() as u64, format!("{:?}", state(o)))).collect();
        expected.sort();
        expected
    }

    fn list(&self, client: usize) {
        let expected = self.expected_list();
        assert_eq!(self.listed(client), expected);
        let stats = self.clients[client].stats();
        let creating = self.model.objects.values().filter(|o| matches!(o.life, Life::Creating { .. })).count();
        assert_eq!((stats.objects, stats.unsealed_objects), (expected.len() as u64, creating as u64));
        assert_eq!(stats.clients, (CLIENTS + usize::from(self.remote.is_some())) as u64);
        assert_eq!(stats.used_bytes + stats.free_bytes, stats.capacity_bytes);
    }

    /// Lets everything go: nothing may be left.
    fn end(mut self) {
        self.step(Op::Kill);
        (0..CLIENTS).for_each(|client| self.step(Op::Leave(client)));
        self.list(0);
        let left: Vec<u8> = self.model.objects.values().map(|object| object.n).collect();
        left.into_iter().for_each(|n| self.delete(0, n));
        self.clients.truncate(1);
        assert_empty(&self.clients[0]);
    }
}

/// Does a sequence in a store of its own; the text of what went wrong, if anything did.
fn run(ops: &[Op]) -> Result<(), String> {
    let done = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new();
        ops.iter().for_each(|&op| world.step(op));
        world.end();
    }));
    done.map_err(|panic| match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast::<&str>().map_or_else(|_| "a panic".to_owned(), |text| (*text).to_owned()),
    })
}

/// Leaves out what a failure does not need.
fn shrink(mut ops: Vec<Op>) -> Vec<Op> {
    let mut piece = ops.len() / 2;
    while piece > 0 {
        let mut at = 0;
        while at < ops.len() {
            let mut fewer = ops.clone();
            fewer.drain(at..(at + piece).min(ops.len()));
            if run(&fewer).is_err() { ops = fewer } else { at += piece }
        }
        piece /= 2;
    }
    ops
}

#[test]
fn random_operations_agree_with_a_map() {
    let number = |name: &str| std::env::var(name).unwrap_or_default();
    let first = number("MOBULA_SEED").parse().unwrap_or(1u64);
    let fuzz = number("MOBULA_FUZZ");
    let seconds = fuzz.strip_suffix('s').and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
    let sequences = fuzz.parse().unwrap_or(if seconds.is_some() { u64::MAX } else { 40 });
    let start = Instant::now();
    for seed in (first..first.saturating_add(sequences)).take_while(|_| seconds.is_none_or(|s| start.elapsed() < s)) {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let ops: Vec<Op> = (0..STEPS).map(|_| Op::random(&mut random)).collect();
        if let Err(what) = run(&ops) {
            let few = shrink(ops);
            let again = run(&few).err().unwrap_or_else(|| what.clone());
            panic!("seed {seed}: {what}\nshrunk to {} operations ({again}): {few:?}", few.len());
        }
    }
}
