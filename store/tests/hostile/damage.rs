//! Wrong words in the control segment of a store, wherever it is.
//!
//! The places are computed from the counts in the header as `layout.rs` does it; a layout that this
//! file does not know fails at once, so that the damage always meets what it is meant for.

use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use crate::random::Random;

/// What is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    Header,
    Locks,
    Waits,
    Clients,
    Buckets,
    Slots,
    Holds,
    Alloc,
    Pages,
    Rings,
    Queue,
    Disk,
    Anything,
}

impl Section {
    pub(crate) const ALL: [Section; 13] = [
        Section::Header,
        Section::Locks,
        Section::Waits,
        Section::Clients,
        Section::Buckets,
        Section::Slots,
        Section::Holds,
        Section::Alloc,
        Section::Pages,
        Section::Rings,
        Section::Queue,
        Section::Disk,
        Section::Anything,
    ];

    /// Says whether sealed bytes must stay right whatever these words say.
    ///
    /// The others are the truth about memory (places, lengths, states), about who needs it (holds,
    /// clients), or the allocator's account of what is free: wrong words there give a block to two
    /// objects, or an object another block, but always one of the arena.
    pub(crate) fn is_harmless(self) -> bool {
        matches!(self, Section::Locks | Section::Waits | Section::Buckets | Section::Rings | Section::Queue)
    }
}

/// Words of the header that processes use after they have attached.
const HEADER_WORDS: [u64; 20] =
    [104, 128, 192, 256, 384, 448, 456, 464, 472, 480, 512, 1024, 1032, 1088, 1152, 1160, 1216, 1280, 1344, 2048];
/// Fields of a slot.
const SLOT_WORDS: [u64; 15] = [0, 0, 8, 16, 24, 24, 32, 40, 48, 56, 64, 88, 96, 112, 120];

/// A ring's header and data.
const RING: u64 = 256 + (64 << 10);

/// The control segment of one store.
pub(crate) struct Ctl {
    file: File,
    slots: u64,
    clients: u64,
    buckets: u64,
    rings: u64,
    pages: u64,
    starts: [u64; 13],
}

impl Ctl {
    /// Opens the segment of a process by its name among the process's descriptors; the newest if there are several.
    pub(crate) fn of_process(pid: u32) -> Option<Ctl> {
        let is_ctl =
            |fd: &fs::DirEntry| fs::read_link(fd.path()).is_ok_and(|to| to.to_string_lossy().contains("mobula-ctl"));
        let folder = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
        let newest =
            folder.flatten().filter(is_ctl).max_by_key(|fd| fd.file_name().to_string_lossy().parse::<u32>().ok())?;
        Ctl::open(File::options().read(true).write(true).open(newest.path()).ok()?)
    }

    /// `None` while the header is not there yet.
    pub(crate) fn open(file: File) -> Option<Ctl> {
        let word = |at| read(&file, at);
        if word(96) != 1 {
            return None;
        }
        let (len, slots, clients, buckets) = (word(40), word(56), word(64), word(72));
        let (rings, pages) = (word(80), word(88));
        let chunks = (2 * pages * (16 << 10) + (2 << 20)).div_ceil(2 << 20).div_ceil(64) * 8;
        let sections = [
            4096,
            68 * 64,
            1024 * 64,
            clients * 256,
            buckets * 64,
            slots * 128,
            clients * slots * 8,
            4096 + chunks,
            pages * 64,
            rings * RING,
            1024 * 64,
            64 + 4096 * 24,
        ];
        let mut starts = [0; 13];
        for (i, bytes) in sections.into_iter().enumerate() {
            starts[i + 1] = starts[i] + bytes.next_multiple_of(4096);
        }
        // Behind them lie the areas of readers, which start at a large page.
        let areas = starts[12].next_multiple_of(64 << 10) + clients * 640 * 1024;
        assert!((areas..areas + (1 << 20)).contains(&len), "the layout has changed; this test must follow it");
        Some(Ctl { file, slots, clients, buckets, rings, pages, starts })
    }

    /// Returns the bytes of a section.
    pub(crate) fn section(&self, section: Section) -> Range<u64> {
        let i = section as usize;
        if section == Section::Anything { 0..self.starts[12] } else { self.starts[i]..self.starts[i + 1] }
    }

    pub(crate) fn read(&self, at: u64) -> u64 {
        read(&self.file, at)
    }

    pub(crate) fn write(&self, at: u64, word: u64) {
        let _ = self.file.write_all_at(&word.to_le_bytes(), at & !7);
    }

    /// Damages one word; says which and how.
    pub(crate) fn damage(&self, section: Section, random: &mut Random) -> String {
        let at = self.pick(section, random) & !7;
        let old = self.read(at);
        let mut word = self.nonsense(section, old, random);
        if section == Section::Locks {
            // A lock in the name of a living client is one that a stopped process holds: waiting for it is right.
            word |= 1 << 30;
        }
        self.write(at, word);
        format!("{section:?} {at} (+{}): {old:#x} -> {word:#x}", at - self.section(section).start)
    }

    /// Chooses a word, with a taste for those that are in use.
    fn pick(&self, section: Section, random: &mut Random) -> u64 {
        let Range { start, end } = self.section(section);
        let anywhere = start + random.below((end - start) as usize) as u64;
        // Most stores of these tests use the first few of everything.
        let few = |n: u64, random: &mut Random| random.below(n.min(40) as usize) as u64;
        if random.below(8) == 0 {
            return anywhere;
        }
        match section {
            Section::Header => random.one_of(&HEADER_WORDS),
            Section::Waits | Section::Anything => anywhere,
            Section::Locks => start + if random.below(2) == 0 { few(4, random) * 64 } else { few(68, random) * 64 },
            Section::Clients => start + few(self.clients, random) % 3 * 256 + random.one_of(&[0, 0, 8, 16, 24, 128]),
            Section::Buckets => self.used(start, self.buckets * 8, 8, random),
            Section::Slots => start + few(self.slots, random) * 128 + random.one_of(&SLOT_WORDS),
            Section::Holds => start + (few(2, random) * self.slots + few(self.slots, random)) * 8,
            Section::Alloc => {
                let lists = [0, 8, 16, 24, 32].into_iter().chain((0..12).map(|i| 64 + 8 * i));
                let lists: Vec<u64> = lists.chain((0..27).map(|i| 512 + 8 * i)).chain([4096]).collect();
                start + random.one_of(&lists)
            }
            Section::Pages => {
                let page = if random.below(2) == 0 {
                    few(self.pages, random)
                } else {
                    random.below(self.pages as usize) as u64
                };
                start + page * 64 + random.one_of(&[0, 0, 8, 8, 16, 24, 32, 40, 48, 56])
            }
            Section::Rings => start + few(self.rings, random) % 4 * RING + 8 * few(64, random),
            Section::Queue => start + few(1024, random) % 4 * 64 + 8 * few(8, random),
            Section::Disk => start + random.one_of(&[0, 8, 16, 24, 64, 72, 80, 88, 96, 104, 112, 120, 128]),
        }
    }

    /// Finds a word that is not zero near a random one.
    fn used(&self, start: u64, words: u64, step: u64, random: &mut Random) -> u64 {
        let first = random.below(words as usize) as u64;
        let at = (0..256).map(|i| start + (first + i) % words * step).find(|&at| self.read(at) != 0);
        at.unwrap_or(start + first * step)
    }

    fn nonsense(&self, section: Section, old: u64, random: &mut Random) -> u64 {
        let small = random.below(64) as u64;
        match random.below(12) {
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
            10 => old.rotate_left(32),
            _ => {
                let other = self.section(section);
                self.read(other.start + random.below((other.end - other.start) as usize) as u64 & !7)
            }
        }
    }
}

fn read(file: &File, at: u64) -> u64 {
    let mut bytes = [0; 8];
    let _ = file.read_exact_at(&mut bytes, at & !7);
    u64::from_le_bytes(bytes)
}
