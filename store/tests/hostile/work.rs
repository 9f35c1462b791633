//! A client that does everything a client can do, whatever comes of it.
//!
//! It expects nothing but this: every call returns, bytes of views lie in the arena, and they are the
//! object's where the damage cannot reach them.

use std::fs;
use std::hint::black_box;
use std::ops::Range;
use std::time::Duration;

use mobula_store::{
    Array, Lifetime, Mailbox, ObjectBuffer, ObjectHold, ObjectId, ObjectOptions, ObjectView, Promise, RingSender, Store,
};

use crate::random::Random;

const IDS: usize = 32;
const SOON: Duration = Duration::from_millis(2);
/// What the objects' sizes are drawn from.
const SIZES: [usize; 12] = [0, 1, 64, 100, 1_000, 4_000, 14_336, 14_400, 50_000, 70_000, 300_000, 1_200_000];

/// Everything that a client has at the moment.
pub(crate) struct Work {
    pub(crate) clients: Vec<Store>,
    buffers: Vec<ObjectBuffer>,
    views: Vec<ObjectView>,
    holds: Vec<ObjectHold>,
    promises: Vec<Promise>,
    sender: Option<RingSender>,
    mailbox: Option<Mailbox>,
    /// Where views may point; nothing is checked if it is empty.
    arena: Vec<Range<usize>>,
    /// Whether views must show what was put.
    strict: bool,
}

impl Work {
    /// Starts with a few objects, if the store can be joined; `strict` says that sealed bytes must be right throughout.
    pub(crate) fn new(store: Store, strict: bool, only_arena: bool, random: &mut Random) -> Option<Work> {
        let other = Store::attach(store.address()).ok()?;
        let arena = if only_arena { mappings("mobula-arena") } else { Vec::new() };
        let sender = store.open_ring(other.client()).ok();
        let mailbox = other.mailbox();
        let clients = vec![store, other];
        let (buffers, views, holds, promises) = Default::default();
        let mut work = Work { clients, buffers, views, holds, promises, sender, mailbox, arena, strict };
        for _ in 0..30 {
            work.put(random);
        }
        Some(work)
    }

    fn client(&self, random: &mut Random) -> Store {
        self.clients[random.below(self.clients.len())].clone()
    }

    fn options(&self, random: &mut Random, n: usize) -> ObjectOptions {
        let mut options = ObjectOptions::new();
        if random.below(3) == 0 {
            options = options.metadata(&vec![n as u8; random.one_of(&[1, 9, 500])]);
        }
        if random.below(3) == 0 {
            options = options.lifetime(Lifetime::Counted);
        }
        if random.below(6) == 0 {
            options = options.notify();
        }
        if random.below(6) == 0 && !self.holds.is_empty() {
            options = options.children(&self.holds[..self.holds.len().min(3)]);
        }
        options
    }

    /// Does one thing and says which.
    pub(crate) fn step(&mut self, random: &mut Random, say: &mut impl FnMut(&str)) {
        let n = random.below(IDS);
        let id = id(n);
        let store = self.client(random);
        match random.below(38) {
            0..=4 => {
                say("put");
                self.put(random);
            }
            5..=7 => {
                say("create");
                let (len, options) = (random.one_of(&SIZES), self.options(random, n));
                if let Ok(mut buffer) = store.create_object_with(id, len, &options) {
                    assert_eq!(buffer.len(), len);
                    buffer.fill(n as u8);
                    self.buffers.push(buffer);
                }
            }
            8 | 9 => {
                say("seal");
                if let Some(buffer) = take(&mut self.buffers, random) {
                    let sealed = buffer.seal();
                    self.keep(sealed.ok());
                }
            }
            10 => {
                say("abort");
                drop(take(&mut self.buffers, random));
            }
            11 => {
                say("seal_all");
                let sealed = store.seal_all(std::mem::take(&mut self.buffers));
                sealed.into_iter().flatten().for_each(|view| self.keep(Some(view)));
            }
            12..=15 => {
                say("get");
                let time = if random.below(4) == 0 { SOON } else { Duration::ZERO };
                self.keep(store.get(id, Some(time)).ok());
            }
            16 => {
                say("get_many");
                let ids: Vec<_> = (0..4).map(|_| self::id(random.below(IDS))).collect();
                let views = store.get_many(&ids, Some(SOON)).unwrap_or_default();
                views.into_iter().for_each(|view| self.keep(view));
            }
            17..=19 => {
                say("drop a view");
                drop(take(&mut self.views, random));
            }
            20 => {
                say("hold");
                self.holds.extend(store.hold(id).ok());
                self.holds.extend(self.views.last().map(ObjectView::hold));
            }
            21 => {
                say("get of a hold");
                if let Some(hold) = take(&mut self.holds, random) {
                    black_box(hold.state());
                    self.keep(hold.get(Some(SOON)).ok());
                }
            }
            22 => {
                say("drop a hold");
                drop(take(&mut self.holds, random));
            }
            23..=25 => {
                say("delete");
                let _ = store.delete(id);
            }
            26 => {
                say("wait");
                let _ = store.wait(&[id, self::id((n + 1) % IDS)], 1 + n % 2, Some(SOON));
            }
            27 => {
                say("contains, exists, info");
                black_box((store.contains(id), store.exists(id), store.info(id)));
            }
            28 => {
                say("list");
                black_box(store.list());
            }
            29 => {
                say("stats");
                black_box(store.stats());
            }
            30 => {
                say("check");
                let _ = store.check();
            }
            31 => {
                say("evict");
                let _ = store.evict(1 + random.below(1 << 20) as u64);
            }
            32 => {
                say("promise");
                self.promises.extend(store.promise(id).ok());
            }
            33 => {
                say("fulfil");
                if let Some(promise) = take(&mut self.promises, random) {
                    drop(promise.hold());
                    let options = self.options(random, n);
                    let known = (0..IDS).find(|&n| self::id(n) == promise.id()).unwrap_or(0);
                    if let Ok(mut buffer) = promise.fulfil(random.one_of(&SIZES), &options.metadata(&[])) {
                        buffer.fill(known as u8);
                        self.buffers.push(buffer);
                    }
                }
            }
            34 => {
                say("attach and detach");
                drop(Store::attach(store.address()));
            }
            35 => {
                say("reap, is_alive");
                let other = self.clients[random.below(2)].client();
                store.reap(other);
                black_box(store.is_alive(other));
                store.wait_reclaim(random.word() as u32, Some(SOON));
            }
            36 => {
                say("array");
                if let Ok(array) = Array::from_shape_in(&store, &[300], &[7u64; 300])
                    && let Ok(mut array) = array.into_mut()
                {
                    array.fill(8);
                    drop(array.seal());
                }
            }
            _ => {
                say("ring");
                if let Some(sender) = &mut self.sender {
                    let frame = vec![9; random.one_of(&[1, 60, 700])];
                    let _ = sender.try_send(&frame, random.below(2) == 0);
                    black_box(sender.taken());
                }
                if let Some(mailbox) = &mut self.mailbox {
                    black_box(mailbox.has_work());
                    mailbox.poll(8, &mut |_, frame| {
                        black_box(frame.iter().map(|&b| u64::from(b)).sum::<u64>());
                    });
                }
            }
        }
        self.look(random);
    }

    /// Ends everything, in a random order.
    pub(crate) fn end(mut self, random: &mut Random, say: &mut impl FnMut(&str)) {
        say("drop what is left");
        while !self.views.is_empty() || !self.holds.is_empty() || !self.buffers.is_empty() || !self.promises.is_empty()
        {
            drop(take(&mut self.views, random));
            drop(take(&mut self.holds, random));
            drop(take(&mut self.buffers, random));
            drop(take(&mut self.promises, random));
        }
        drop((self.sender.take(), self.mailbox.take()));
        say("detach");
        self.clients.truncate(1);
        say("drop the store");
    }

    fn put(&mut self, random: &mut Random) {
        let n = random.below(IDS);
        let len = random.one_of(&SIZES[..10]);
        let options = self.options(random, n);
        let view = self.client(random).put_with(id(n), &vec![n as u8; len], &options);
        if random.below(3) == 0 {
            self.keep(view.ok());
        }
    }

    fn keep(&mut self, view: Option<ObjectView>) {
        let Some(view) = view else { return };
        self.examine(&view);
        self.views.push(view);
        if self.views.len() > 12 {
            self.views.remove(0);
        }
    }

    /// Reads one of the views that are kept again: its bytes must still be there.
    fn look(&self, random: &mut Random) {
        if !self.views.is_empty() {
            self.examine(&self.views[random.below(self.views.len())]);
        }
    }

    fn examine(&self, view: &ObjectView) {
        let ids = (0..IDS).find(|&n| id(n) == view.id());
        for bytes in [&view[..], view.metadata()] {
            let at = bytes.as_ptr() as usize..bytes.as_ptr() as usize + bytes.len();
            let inside = |range: &Range<usize>| range.start <= at.start && at.end <= range.end;
            assert!(bytes.is_empty() || self.arena.is_empty() || self.arena.iter().any(inside), "{at:x?} is outside");
            // A read of every page; every byte where they must be right.
            if self.strict
                && let Some(n) = ids
            {
                assert!(bytes.iter().all(|&b| b == n as u8), "object {n} has other bytes than were put");
            }
            black_box(bytes.iter().step_by(512).fold(0, |sum, &b| sum ^ b));
        }
    }
}

fn id(n: usize) -> ObjectId {
    ObjectId::from_bytes([n as u8 + 1; 16])
}

fn take<T>(of: &mut Vec<T>, random: &mut Random) -> Option<T> {
    (!of.is_empty()).then(|| of.swap_remove(random.below(of.len())))
}

/// Returns where this process has mapped files of a name.
pub(crate) fn mappings(name: &str) -> Vec<Range<usize>> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let range = |line: &str| {
        let (start, end) = line.split_once(' ')?.0.split_once('-')?;
        Some(usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?)
    };
    maps.lines().filter(|line| line.contains(name)).filter_map(range).collect()
}
