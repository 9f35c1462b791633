//! Wrong words in boards while clients work on them: channels, queues of messages and arrays that several fill.
//!
//! Any of their words may be anything: kinds, sizes, counts, positions, laps, owners. Every call ends in time, and what
//! it shows lies in the arena and is no longer than it can be.

use std::fs::{self, File};
use std::hint::black_box;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use mobula_store::{
    ArrayPart, ChannelOptions, ChannelReader, ChannelWriter, MessageQueue, SharedArray, Store, StoreOptions,
    channel_in, transfer,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ctl::watch;
use crate::random::{Budget, Random, first_seed};
use crate::victim::{Notes, Victim, play_if};
use crate::work::mappings;

const STEPS: usize = 60;
const SOON: Duration = Duration::from_millis(1);
/// Enough to see what is wrong.
const FAILURES: usize = 12;
/// The first words of boards.
const KINDS: [&[u8; 8]; 3] = [b"mbchan01", b"mbqueue1", b"parts001"];
/// Where the words lie that a protocol changes, or that say how long something is.
const WORDS: [u64; 24] =
    [8, 16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96, 104, 112, 120, 128, 256, 384, 392, 512, 520, 640, 704, 768];

#[test]
fn damaged_boards_between_two_calls() {
    fuzz("boards::damaged_boards_between_two_calls", true);
}

#[test]
fn damaged_boards_at_any_instant() {
    fuzz("boards::damaged_boards_at_any_instant", false);
}

fn fuzz(part: &str, between: bool) {
    if play_if(part, |notes, first| play(notes, first, between)) {
        return;
    }
    let _alone = crate::alone();
    let budget = Budget::new(78);
    let (mut failures, mut next, first) = (Vec::new(), first_seed(), first_seed());
    while budget.allows(next - first) && failures.len() < FAILURES {
        let victim = Victim::start(part, next);
        next = watch(victim, next, &mut failures, |_| ());
    }
    assert!(failures.is_empty(), "{} of {} rounds failed:\n{}", failures.len(), next - first, failures.join("\n"));
    println!("{} rounds", next - first);
}

/// The child: a store and a board a round, work, and damage between its calls or beside them.
fn play(mut notes: Notes, first: u64, between: bool) {
    for seed in first..first + crate::ctl::ROUNDS {
        notes.round(seed);
        let mut random = Random::new(seed);
        let store = Store::create(StoreOptions::new(1 << 20).max_objects(64).max_clients(4)).unwrap();
        let clients = [store.clone(), Store::attach(store.address()).unwrap()];
        let mut work = Work::new(&clients, seed, &mut random);
        let memory = Memory::of_boards(KINDS[seed as usize % 3]);
        if between {
            for _ in 0..STEPS {
                notes.damaged(&memory.damage(&mut random));
                work.step(&mut random, &mut |what| notes.say(what));
            }
        } else {
            let ended = AtomicBool::new(false);
            thread::scope(|scope| {
                scope.spawn(|| {
                    let mut random = Random::new(!seed);
                    while !ended.load(Ordering::Relaxed) {
                        memory.damage(&mut random);
                        thread::yield_now();
                    }
                });
                for _ in 0..STEPS {
                    work.step(&mut random, &mut |what| notes.say(what));
                }
                ended.store(true, Ordering::Relaxed);
            });
        }
        notes.say("drop all");
        drop(work);
        notes.say("end");
    }
}

/// The boards of a kind in the arena of the newest store of this process.
struct Memory {
    file: File,
    boards: Vec<u64>,
}

impl Memory {
    fn of_boards(kind: &[u8; 8]) -> Memory {
        let is_arena =
            |fd: &fs::DirEntry| fs::read_link(fd.path()).is_ok_and(|to| to.to_string_lossy().contains("mobula-arena"));
        let fds = fs::read_dir("/proc/self/fd").unwrap().flatten().filter(is_arena);
        let files = fds.map(|fd| File::options().read(true).write(true).open(fd.path()).unwrap());
        for file in files {
            let mut bytes = vec![0; 1 << 20];
            let read = file.read_at(&mut bytes, 0).unwrap();
            let found = bytes[..read].chunks(64).enumerate().filter(|(_, line)| line.starts_with(kind));
            let boards: Vec<_> = found.map(|(n, _)| 64 * n as u64).collect();
            if !boards.is_empty() {
                return Memory { file, boards };
            }
        }
        panic!("no board is found: this test must follow their layout");
    }

    /// Damages one word; says which and how.
    fn damage(&self, random: &mut Random) -> String {
        let at = match random.below(5) {
            0 => 8 * random.below(200) as u64,
            _ => random.one_of(&WORDS),
        };
        let place = random.one_of(&self.boards) + at;
        let mut old = [0; 8];
        self.file.read_exact_at(&mut old, place).unwrap();
        let old = u64::from_le_bytes(old);
        let small = random.below(64) as u64;
        let word = match random.below(11) {
            0 => 0,
            1 => u64::MAX,
            2 => random.word(),
            3 => old ^ 1 << random.below(64),
            4 => old ^ 1 << random.below(8),
            5 => old.wrapping_add(small),
            6 => old.wrapping_sub(small),
            7 => small,
            8 => 1 << random.below(64),
            9 => u64::MAX << random.below(64),
            _ => u64::MAX - small,
        };
        self.file.write_all_at(&word.to_le_bytes(), place).unwrap();
        format!("+{at}: {old:#x} -> {word:#x}")
    }
}

/// Everything that is shared in a round; what cannot be opened again is no longer there.
struct Work<'a> {
    clients: &'a [Store; 2],
    arena: Vec<Range<usize>>,
    writer: Option<ChannelWriter<u64>>,
    readers: Vec<ChannelReader<u64>>,
    queues: Vec<MessageQueue>,
    arrays: Vec<SharedArray<u64>>,
    parts: Vec<ArrayPart<u64>>,
}

/// Moves a handle to another client, as a message does, if the board still makes sense.
fn moved<T: Serialize + DeserializeOwned>(handle: &T, to: &Store) -> Option<T> {
    let (bytes, _holds) = transfer::encode(|| postcard::to_stdvec(handle).unwrap());
    transfer::decode(to, || postcard::from_bytes(&bytes).ok())
}

impl Work<'_> {
    fn new<'a>(clients: &'a [Store; 2], seed: u64, random: &mut Random) -> Work<'a> {
        let arena = mappings("mobula-arena");
        let (readers, queues, arrays, parts) = Default::default();
        let mut work = Work { clients, arena, writer: None, readers, queues, arrays, parts };
        match seed % 3 {
            0 => {
                let options = ChannelOptions::new().slots(4).len(9).readers(1 + random.below(2));
                let (writer, readers) = channel_in(&clients[0], &options).unwrap();
                (work.writer, work.readers) = (Some(writer), readers);
            }
            1 => {
                let queue = MessageQueue::new_in(&clients[0], 64, 30).unwrap();
                work.queues = vec![moved(&queue, &clients[1]).unwrap(), queue];
            }
            _ => {
                let array = SharedArray::new_in(&clients[0], &[60], 7).unwrap();
                work.arrays = vec![moved(&array, &clients[1]).unwrap(), array];
            }
        }
        work
    }

    /// Does one thing and says which.
    fn step(&mut self, random: &mut Random, say: &mut impl FnMut(&str)) {
        let to = &self.clients[random.below(2)];
        let time = random.one_of(&[Duration::ZERO, Duration::ZERO, SOON]);
        let arena = &self.arena;
        if let Some(writer) = &mut self.writer {
            match random.below(12) {
                0 => {
                    say("move the writer");
                    if let Some(again) = moved(writer, to) {
                        self.writer = Some(again);
                    }
                }
                1 => {
                    say("taken");
                    black_box(writer.taken());
                }
                n => {
                    say("write");
                    let len = n % (writer.max_len() + 1);
                    let _ = writer.write_timeout(len, time, |slot| {
                        assert_eq!(slot.len(), len);
                        assert_inside(arena, slot);
                        slot.fill(7);
                    });
                }
            }
        }
        if !self.readers.is_empty() {
            let n = random.below(self.readers.len());
            match random.below(12) {
                0 => {
                    say("move a reader");
                    if let Some(again) = moved(&self.readers[n], to) {
                        self.readers[n] = again;
                    }
                }
                1 => {
                    say("is_closed");
                    black_box(self.readers[n].is_closed());
                }
                _ => {
                    say("read");
                    // That of the board as it was when the handle was made.
                    let most = self.readers[n].max_len();
                    if let Ok(value) = self.readers[n].read_timeout(time) {
                        assert!(value.len() <= most);
                        assert_inside(arena, &value);
                    }
                }
            }
        }
        if !self.queues.is_empty() {
            let n = random.below(self.queues.len());
            let queue = &self.queues[n];
            match random.below(24) {
                0 => {
                    say("open the queue");
                    if let Some(again) = moved(queue, to) {
                        self.queues[n] = again;
                    }
                }
                1 => {
                    say("len, close");
                    black_box((queue.len(), queue.is_closed(), format!("{queue:?}")));
                    queue.close();
                }
                2..=5 => {
                    say("put_many");
                    let _ = queue.put_many([&[1; 30][..], &[2; 7], &[]], Some(time));
                }
                6..=9 => {
                    say("get_many");
                    let _ = queue.get_many(3, Some(time), |message| assert_inside(arena, message));
                }
                10..=16 => {
                    say("put");
                    let _ = queue.put(&[n as u8; 20], Some(time));
                }
                _ => {
                    say("get");
                    let _ = queue.get(Some(time), |message| {
                        assert!(message.len() <= queue.max_len());
                        assert_inside(arena, message);
                    });
                }
            }
        }
        if !self.arrays.is_empty() {
            self.step_of_arrays(random, time, say);
        }
    }

    fn step_of_arrays(&mut self, random: &mut Random, time: Duration, say: &mut impl FnMut(&str)) {
        let n = random.below(self.arrays.len());
        let array = &self.arrays[n];
        match random.below(12) {
            0 => {
                say("open the array");
                if let Some(again) = moved(array, &self.clients[random.below(2)]) {
                    self.arrays[n] = again;
                }
            }
            1 => {
                say("unfilled, wait");
                black_box((array.unfilled(), format!("{array:?}")));
                let _ = array.wait(Some(time));
            }
            2 => {
                say("seal");
                if let Ok(sealed) = array.seal() {
                    assert_inside(&self.arena, &sealed);
                }
            }
            3 => {
                say("finish");
                if let Some(part) = self.parts.pop() {
                    let _ = part.finish();
                }
            }
            4 => {
                say("give back");
                drop(self.parts.pop());
            }
            what => {
                say("claim");
                let part = match what {
                    5 | 6 => array.part(random.below(8)).ok(),
                    7 => array.part_timeout(random.below(8), Some(time)).ok(),
                    8 | 9 => array.wait_part(Some(time)).ok().flatten(),
                    _ => array.next_part().ok().flatten(),
                };
                if let Some(mut part) = part {
                    part.fill(9);
                    assert_inside(&self.arena, &part);
                    self.parts.push(part);
                }
            }
        }
        self.parts.truncate(3);
    }
}

/// The bytes of a slice lie in the arena; each is read.
fn assert_inside<T: Copy + Into<u64>>(arena: &[Range<usize>], slice: &[T]) {
    let at = slice.as_ptr_range();
    let (start, end) = (at.start as usize, at.end as usize);
    let inside = |range: &Range<usize>| range.start <= start && end <= range.end;
    assert!(slice.is_empty() || arena.iter().any(inside), "{start:x}..{end:x} is outside");
    black_box(slice.iter().fold(0, |sum: u64, &element| sum ^ element.into()));
}
