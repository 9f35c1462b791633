//! What others see of a child's memory: which of its instructions have changed that.
//!
//! A process that is killed leaves what it wrote into shared mappings and what its system calls did; its registers and
//! its own memory are gone. So two instructions between which neither changed are one place to die.

use std::fs::File;
use std::os::unix::fs::FileExt;

const PAGE: usize = 4096;
/// A page of this process's own is there, or in the swap (the kernel's `pagemap`).
const THERE: u64 = 0b11 << 62;

/// The writable shared mappings of a stopped process, as they were at the last look.
pub(crate) struct SharedMemory {
    pid: i32,
    memory: File,
    pagemap: File,
    mappings: Vec<(u64, u64)>,
    now: Look,
    before: Look,
}

/// Which pages are there, one beside the other together, and what is in them.
#[derive(Default, PartialEq, Eq)]
struct Look {
    runs: Vec<(u64, usize)>,
    bytes: Vec<u8>,
}

impl SharedMemory {
    pub(crate) fn of(pid: i32) -> SharedMemory {
        let open = |name| File::open(format!("/proc/{pid}/{name}")).expect("a file of our own child");
        let (memory, pagemap) = (open("mem"), open("pagemap"));
        let (now, before) = (Look::default(), Look::default());
        let mut shared = SharedMemory { pid, memory, pagemap, mappings: Vec::new(), now, before };
        shared.list();
        shared.has_changed();
        shared
    }

    /// Looks for mappings that have come or gone, which takes a system call of the process.
    pub(crate) fn list(&mut self) {
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", self.pid)).expect("the maps of our own child");
        self.mappings.clear();
        for line in maps.lines() {
            let mut words = line.split(' ');
            let (range, rights) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            if rights.starts_with("rw") && rights.ends_with('s') {
                let (start, end) = range.split_once('-').expect("start and end of a mapping");
                let number = |text| u64::from_str_radix(text, 16).expect("an address");
                self.mappings.push((number(start), number(end)));
            }
        }
    }

    /// Says whether a byte is another one than at the last look.
    pub(crate) fn has_changed(&mut self) -> bool {
        std::mem::swap(&mut self.now, &mut self.before);
        self.now.runs.clear();
        for &(start, end) in &self.mappings {
            self.now.find(&self.pagemap, start, end);
        }
        let len = self.now.runs.iter().map(|(_, len)| len).sum();
        self.now.bytes.resize(len, 0);
        let mut rest = &mut self.now.bytes[..];
        for &(at, len) in &self.now.runs {
            let (run, behind) = rest.split_at_mut(len);
            self.memory.read_exact_at(run, at).expect("the memory of our own child");
            rest = behind;
        }
        self.now != self.before
    }
}

impl Look {
    /// Notes the pages between two addresses that the process has touched: to others it has not written, and looking
    /// at them would make them be there.
    fn find(&mut self, pagemap: &File, start: u64, end: u64) {
        let mut entries = vec![0; (end - start) as usize / PAGE * 8];
        pagemap.read_exact_at(&mut entries, start / PAGE as u64 * 8).expect("the pagemap of our own child");
        let (entries, _) = entries.as_chunks::<8>();
        for (i, _) in entries.iter().enumerate().filter(|(_, entry)| u64::from_le_bytes(**entry) & THERE != 0) {
            let at = start + (i * PAGE) as u64;
            match self.runs.last_mut() {
                Some((begin, len)) if *begin + *len as u64 == at => *len += PAGE,
                _ => self.runs.push((at, PAGE)),
            }
        }
    }
}
