//! Where everything lies in the control segment.
//!
//! ```text
//!   ctl:  | header | locks | waits | clients | buckets | slots | holds | chunks | pages | rings | ... | readers |
//!         every section starts on a page; zero is a valid "free" value of every word in it
//!
//!   header (one page), byte offsets
//!     0  magic "MOBULA01"      8  version (u32)         16  layout hash
//!    24  uuid, two words       40  length of ctl        48  capacity of the arena
//!    56  slots  64  clients  72  buckets  80  rings  88  pages     (counts)
//!    96  ready: 0 while being made, then 1                 104  options (bits)
//!   128  any-seal sequence (u32 futex)       192  reclaim sequence (u32 futex)
//!   256  space sequence (u32 futex)          384  rings ever used
//!   448  server {generation:32 | index + 1:32}             456  hash of the socket's path
//!   464  default patience of a creation, ns                472  inode of the arena
//!   480  most clients
//!   512  length of the segment's name, then its 64 bytes (zero: anonymous)
//!  1024  place of the object that is being moved            1032  its slot {generation:32 | slot + 1:32}
//!  1088  creations that queue for memory                    1152  last ticket of that queue, cells ever used
//!  1216  clock of least recent use                          1280  freed slots left to the allocator's next owner
//!  1344  whether objects are left to the nested lock's next owner   1408  whether the dead were left to the reaper (u32)
//!  1472  read-only clients, a bit each, four words         1536  knell (u32 futex)
//!  2048  folder for objects on disk (outlet.rs)
//!
//!   client record (256 bytes)
//!     0  word {generation:32 | state:8}       8  pid (u32)
//!    16  start time of the process        24  who tolls the knell (u32)
//!    28  whether it is read-only (u32)
//!   128  bell (u32 futex)                    132  rings opened towards this client (u32)
//!   136  handing over (handover.rs): hint, thread, processor (u32 each)
//!   152  the same: processors of the thread
//!
//!   bucket (64 bytes): 8 entries {tag:16 | generation:16 | slot + 1:32}
//!
//!   slot (128 bytes; a look-up needs the first 64)
//!     0  state {generation:32 | actor + 1:16 | flags:8 | state:8}
//!     8  id, two words          24  place (place.rs)        32  length
//!    40  {children:32 | metadata length:32}                 48  sharers 0..64
//!    56  the other place                                    64  sharers 64..256, three words
//!    88  nested count           96  last use               104  made at (monotonic ns)
//!   112  creator's pid (u32)   116  next free slot + 1 (u32)
//!   120  linked (u32, 0 or 1)  124  next slot that was left + 1 (u32)
//!
//!   queue of creations: 64 bytes a request (queue.rs)
//!   holds: one word per client and slot, {views:32 | holds:32}
//!   chunks: the allocator's header, then one bit per 2 MiB of the arena's file that has been committed
//!   pages: 64 bytes per 16 KiB page of the arena (alloc.rs)
//!   rings: a 256-byte header and RING_BYTES of data each (ring.rs)
//!   readers: what a read-only client writes, 640 KiB a client, on 64 KiB (readers.rs)
//! ```
//!
//! The hash over all of these constants, those of the allocator's and the rings' sections and the
//! pointer width stands in the header; a process that
//! was built with another layout refuses to attach.

use crate::ctl::Ctl;
use crate::readers;
use crate::sync::Ordering;

pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"MOBULA01");
pub(crate) const VERSION: u32 = 3;

pub(crate) const HEADER_BYTES: usize = 4096;
pub(crate) const H_MAGIC: usize = 0;
pub(crate) const H_VERSION: usize = 8;
pub(crate) const H_HASH: usize = 16;
pub(crate) const H_UUID: usize = 24;
pub(crate) const H_CTL_LEN: usize = 40;
pub(crate) const H_CAPACITY: usize = 48;
pub(crate) const H_SLOTS: usize = 56;
pub(crate) const H_CLIENTS: usize = 64;
pub(crate) const H_BUCKETS: usize = 72;
pub(crate) const H_RINGS: usize = 80;
pub(crate) const H_PAGES: usize = 88;
pub(crate) const H_READY: usize = 96;
pub(crate) const H_OPTIONS: usize = 104;
pub(crate) const H_ANY_SEAL: usize = 128;
pub(crate) const H_RECLAIMED: usize = 192;
pub(crate) const H_SPACE: usize = 256;
pub(crate) const H_RINGS_EVER: usize = 384;
pub(crate) const H_SERVER: usize = 448;
pub(crate) const H_ADDRESS: usize = 456;
pub(crate) const H_PATIENCE: usize = 464;
pub(crate) const H_ARENA: usize = 472;
pub(crate) const H_MOST_CLIENTS: usize = 480;
pub(crate) const H_NAME: usize = 512;
pub(crate) const H_MOVE_PLACE: usize = 1024;
pub(crate) const H_MOVE_SLOT: usize = 1032;
pub(crate) const H_QUEUED: usize = 1088;
pub(crate) const H_TICKET: usize = 1152;
pub(crate) const H_LRU: usize = 1216;
pub(crate) const H_LEFT_FREE: usize = 1280;
pub(crate) const H_LEFT_NESTED: usize = 1344;
pub(crate) const H_READERS: usize = 1472;
pub(crate) const H_LEFT_REAP: usize = 1408;
pub(crate) const H_KNELL: usize = 1536;
pub(crate) const H_DIR: usize = 2048;

/// A lock has a line of its own.
pub(crate) const LOCK_BYTES: usize = 64;
/// How many shards the index is locked in.
pub(crate) const SHARDS: usize = if cfg!(loom) { 1 } else { 64 };
/// The locks of the allocator, of nested references, of reaping and of moving stand before the shards.
pub(crate) const LOCKS: usize = SHARDS + 4;
/// How many creations can queue for memory at once.
pub(crate) const QUEUE_CELLS: usize = 1024;
pub(crate) const QUEUE_BYTES: usize = 64;
/// How many words waiters are hashed on.
pub(crate) const WAIT_WORDS: usize = if cfg!(loom) { 2 } else { 1024 };
pub(crate) const WAIT_BYTES: usize = 64;

pub(crate) const CLIENT_BYTES: usize = 256;
pub(crate) const C_WORD: usize = 0;
pub(crate) const C_PID: usize = 8;
pub(crate) const C_START: usize = 16;
pub(crate) const C_TOLLER: usize = 24;
pub(crate) const C_READER: usize = 28;
pub(crate) const C_BELL: usize = 128;
pub(crate) const C_OPENED: usize = 132;
pub(crate) const C_HAND_HINT: usize = 136;
pub(crate) const C_HAND_TID: usize = 140;
pub(crate) const C_HAND_CPU: usize = 144;
pub(crate) const C_HAND_MASK: usize = 152;
/// The set of sharers in a slot has this many bits.
pub(crate) const MAX_CLIENTS: usize = 256;

pub(crate) const BUCKET_BYTES: usize = 64;
pub(crate) const BUCKET_ENTRIES: usize = 8;

pub(crate) const SLOT_BYTES: usize = 128;
pub(crate) const SLOT_WORDS: usize = SLOT_BYTES / 8;
pub(crate) const S_STATE: usize = 0;
pub(crate) const S_ID: usize = 8;
pub(crate) const S_PLACE: usize = 24;
pub(crate) const S_LEN: usize = 32;
pub(crate) const S_META: usize = 40;
pub(crate) const S_SHARERS: usize = 48;
pub(crate) const S_OTHER_PLACE: usize = 56;
pub(crate) const S_SHARERS_MORE: usize = 64;
pub(crate) const S_NESTED: usize = 88;
pub(crate) const S_USED: usize = 96;
pub(crate) const S_MADE: usize = 104;
pub(crate) const S_PID: usize = 112;
pub(crate) const S_NEXT: usize = 116;
pub(crate) const S_LINKED: usize = 120;
pub(crate) const S_LEFT: usize = 124;

/// The allocator's unit.
pub(crate) const PAGE: usize = 16 << 10;
/// The unit in which memory is committed.
pub(crate) const CHUNK: usize = 2 << 20;
pub(crate) const PAGE_DESC_BYTES: usize = 64;
/// The allocator's header before the commit bits.
pub(crate) const ALLOC_HEADER_BYTES: usize = 4096;

/// No kernel has larger pages.
const LARGEST_PAGE: usize = 64 << 10;

/// Header and data of a ring.
pub(crate) const RING_HEADER_BYTES: usize = 256;
pub(crate) const RING_BYTES: usize = 64 << 10;

/// A place has room for smaller page numbers only (place.rs).
const MAX_PAGES: usize = 1 << 30;
/// More slots than anybody can ask for (create.rs).
const MAX_SLOTS: usize = 16 << 20;

/// The places of the sections, derived from the counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) slots: usize,
    pub(crate) clients: usize,
    pub(crate) buckets: usize,
    pub(crate) rings: usize,
    pub(crate) pages: usize,
    pub(crate) capacity: usize,
    pub(crate) locks_at: usize,
    pub(crate) waits_at: usize,
    pub(crate) clients_at: usize,
    pub(crate) buckets_at: usize,
    pub(crate) slots_at: usize,
    pub(crate) holds_at: usize,
    pub(crate) alloc_at: usize,
    pub(crate) pages_at: usize,
    pub(crate) rings_at: usize,
    pub(crate) queue_at: usize,
    pub(crate) disk_at: usize,
    pub(crate) readers_at: usize,
    pub(crate) len: usize,
}

impl Layout {
    /// Lays out a store for `capacity` bytes (rounded up to pages), `slots` objects and `clients`.
    pub(crate) fn new(capacity: usize, slots: usize, clients: usize) -> Option<Layout> {
        let pages = capacity.checked_add(PAGE - 1)? / PAGE;
        let slots = slots.max(64).checked_next_power_of_two()?;
        if pages >= MAX_PAGES || slots > MAX_SLOTS {
            return None;
        }
        let clients = clients.clamp(1, MAX_CLIENTS).next_power_of_two();
        let buckets = (slots / 4).max(SHARDS * 2);
        let rings = (clients * 8).next_power_of_two();
        let mut at = HEADER_BYTES;
        let mut section = |bytes: usize| -> Option<usize> {
            let start = at;
            at = at.checked_add(bytes.checked_add(4095)? & !4095)?;
            Some(start)
        };
        let locks_at = section(LOCKS * LOCK_BYTES)?;
        let waits_at = section(WAIT_WORDS * WAIT_BYTES)?;
        let clients_at = section(clients * CLIENT_BYTES)?;
        let buckets_at = section(buckets * BUCKET_BYTES)?;
        let slots_at = section(slots * SLOT_BYTES)?;
        let holds_at = section(clients.checked_mul(slots)?.checked_mul(8)?)?;
        let alloc_at =
            section(ALLOC_HEADER_BYTES + (2 * pages.checked_mul(PAGE)? + CHUNK).div_ceil(CHUNK).div_ceil(64) * 8)?;
        let pages_at = section(pages.checked_mul(PAGE_DESC_BYTES)?)?;
        let rings_at = section(rings * (RING_HEADER_BYTES + RING_BYTES))?;
        let queue_at = section(QUEUE_CELLS * QUEUE_BYTES)?;
        let disk_at = section(crate::disk::SECTION_BYTES)?;
        // Each area is mapped by itself, on whatever pages the kernel has.
        let readers_at = section(clients * readers::AREA + LARGEST_PAGE)?.checked_next_multiple_of(LARGEST_PAGE)?;
        Some(Layout {
            slots,
            clients,
            buckets,
            rings,
            pages,
            capacity: pages.checked_mul(PAGE)?,
            locks_at,
            waits_at,
            clients_at,
            buckets_at,
            slots_at,
            holds_at,
            alloc_at,
            pages_at,
            rings_at,
            queue_at,
            disk_at,
            readers_at,
            len: at,
        })
    }

    /// Returns the first page of the scratch, which shares no chunk with the arena proper (compact.rs).
    pub(crate) fn scratch(&self) -> usize {
        self.pages.next_multiple_of(CHUNK / PAGE)
    }

    /// Returns how many pages a place can name: the arena and as much scratch.
    #[inline]
    pub(crate) fn places(&self) -> usize {
        self.scratch() + self.pages
    }

    /// Returns how long the arena's file is; the scratch has no memory most of the time.
    pub(crate) fn arena_len(&self) -> usize {
        self.places() * PAGE
    }

    /// Writes the header of a fresh segment; `ready` last.
    pub(crate) fn publish(&self, ctl: &Ctl, uuid: [u64; 2]) {
        let put = |at: usize, value: u64| ctl.u64(at).store(value, Ordering::Relaxed);
        put(H_MAGIC, MAGIC);
        ctl.u32(H_VERSION).store(VERSION, Ordering::Relaxed);
        put(H_HASH, hash());
        put(H_UUID, uuid[0]);
        put(H_UUID + 8, uuid[1]);
        put(H_CTL_LEN, self.len as u64);
        put(H_CAPACITY, self.capacity as u64);
        put(H_SLOTS, self.slots as u64);
        put(H_CLIENTS, self.clients as u64);
        put(H_BUCKETS, self.buckets as u64);
        put(H_RINGS, self.rings as u64);
        put(H_PAGES, self.pages as u64);
        // SYNC ready: pairs with the Acquire load in `read`.
        ctl.u64(H_READY).store(1, Ordering::Release);
    }

    /// Reads the layout of a published segment, or says in words why it cannot be used.
    pub(crate) fn read(ctl: &Ctl) -> Result<Layout, String> {
        if ctl.len() < HEADER_BYTES {
            return Err(format!("the control segment has {} bytes, too few for a header", ctl.len()));
        }
        // SYNC ready: pairs with the Release store in `publish`.
        if ctl.u64(H_READY).load(Ordering::Acquire) != 1 {
            return Err("the control segment is not ready".to_owned());
        }
        let get = |at: usize| ctl.u64(at).load(Ordering::Relaxed);
        if get(H_MAGIC) != MAGIC {
            return Err(format!("the control segment starts with {:#018x}, which is not a store", get(H_MAGIC)));
        }
        let version = ctl.u32(H_VERSION).load(Ordering::Relaxed);
        if version != VERSION || get(H_HASH) != hash() {
            return Err(format!(
                "the store has layout {version}/{:016x}, this program was built for {VERSION}/{:016x}",
                get(H_HASH),
                hash()
            ));
        }
        let count = |at: usize| usize::try_from(get(at)).unwrap_or(usize::MAX);
        let layout = Layout::new(count(H_CAPACITY), count(H_SLOTS), count(H_CLIENTS))
            .filter(|l| l.capacity == count(H_CAPACITY) && l.slots == count(H_SLOTS) && l.clients == count(H_CLIENTS))
            .filter(|l| l.buckets == count(H_BUCKETS) && l.rings == count(H_RINGS) && l.pages == count(H_PAGES))
            .filter(|l| l.len == count(H_CTL_LEN) && l.len <= ctl.len());
        layout.ok_or_else(|| "the header of the control segment contradicts itself".to_owned())
    }

    /// Returns where a client's record starts; any index is brought inside.
    #[inline]
    pub(crate) fn client(&self, index: usize) -> usize {
        self.clients_at + (index & (self.clients - 1)) * CLIENT_BYTES
    }

    /// Returns where a slot starts; any index is brought inside.
    #[inline]
    pub(crate) fn slot(&self, index: u32) -> usize {
        self.slots_at + (index as usize & (self.slots - 1)) * SLOT_BYTES
    }

    /// Returns where a client's hold word of a slot stands.
    #[inline]
    pub(crate) fn hold(&self, client: usize, slot: u32) -> usize {
        self.holds_at + ((client & (self.clients - 1)) * self.slots + (slot as usize & (self.slots - 1))) * 8
    }

    /// Returns where a bucket starts; any index is brought inside.
    #[inline]
    pub(crate) fn bucket(&self, index: usize) -> usize {
        self.buckets_at + (index & (self.buckets - 1)) * BUCKET_BYTES
    }

    /// Returns where the area of a read-only client starts.
    #[inline]
    pub(crate) fn reader(&self, client: usize) -> usize {
        self.readers_at + (client & (self.clients - 1)) * readers::AREA
    }

    /// Returns where a wait word stands.
    #[inline]
    pub(crate) fn wait(&self, index: usize) -> usize {
        self.waits_at + (index & (WAIT_WORDS - 1)) * WAIT_BYTES
    }

    /// Returns where a lock stands.
    pub(crate) fn lock(&self, index: usize) -> usize {
        self.locks_at + (index % LOCKS) * LOCK_BYTES
    }

    /// Returns where a request of the queue of creations starts; any index is brought inside.
    pub(crate) fn request(&self, index: usize) -> usize {
        self.queue_at + (index & (QUEUE_CELLS - 1)) * QUEUE_BYTES
    }

    /// Returns where a page's description starts; any index is brought inside.
    #[inline]
    pub(crate) fn page(&self, index: usize) -> usize {
        self.pages_at + index.min(self.pages - 1) * PAGE_DESC_BYTES
    }

    /// Returns where a ring's header starts; any index is brought inside.
    #[inline]
    pub(crate) fn ring(&self, index: usize) -> usize {
        self.rings_at + (index & (self.rings - 1)) * (RING_HEADER_BYTES + RING_BYTES)
    }
}

/// Returns the hash of everything that two processes must agree on.
pub(crate) const fn hash() -> u64 {
    const FACTS: &[usize] = &[
        VERSION as usize,
        size_of::<usize>(),
        HEADER_BYTES,
        H_MAGIC,
        H_VERSION,
        H_HASH,
        H_UUID,
        H_CTL_LEN,
        H_CAPACITY,
        H_SLOTS,
        H_CLIENTS,
        H_BUCKETS,
        H_RINGS,
        H_PAGES,
        H_READY,
        H_ANY_SEAL,
        H_RECLAIMED,
        H_SPACE,
        H_RINGS_EVER,
        H_SERVER,
        H_ADDRESS,
        H_PATIENCE,
        H_ARENA,
        H_MOST_CLIENTS,
        H_NAME,
        H_OPTIONS,
        H_MOVE_PLACE,
        H_MOVE_SLOT,
        H_QUEUED,
        H_TICKET,
        H_LRU,
        H_LEFT_FREE,
        H_LEFT_NESTED,
        H_READERS,
        H_LEFT_REAP,
        H_KNELL,
        H_DIR,
        LOCK_BYTES,
        SHARDS,
        LOCKS,
        WAIT_WORDS,
        WAIT_BYTES,
        CLIENT_BYTES,
        C_WORD,
        C_PID,
        C_START,
        C_TOLLER,
        C_READER,
        C_BELL,
        C_OPENED,
        C_HAND_HINT,
        C_HAND_TID,
        C_HAND_CPU,
        C_HAND_MASK,
        MAX_CLIENTS,
        BUCKET_BYTES,
        BUCKET_ENTRIES,
        SLOT_BYTES,
        S_STATE,
        S_ID,
        S_PLACE,
        S_LEN,
        S_META,
        S_SHARERS,
        S_OTHER_PLACE,
        S_SHARERS_MORE,
        S_NESTED,
        S_USED,
        S_MADE,
        S_PID,
        S_NEXT,
        S_LINKED,
        S_LEFT,
        QUEUE_CELLS,
        QUEUE_BYTES,
        PAGE,
        CHUNK,
        PAGE_DESC_BYTES,
        ALLOC_HEADER_BYTES,
        RING_HEADER_BYTES,
        RING_BYTES,
    ];
    let hash = fold(0xcbf2_9ce4_8422_2325, FACTS);
    let hash = fold(hash, crate::alloc::LAYOUT);
    let hash = fold(hash, crate::disk::LAYOUT);
    let hash = fold(hash, crate::index::LAYOUT);
    let hash = fold(hash, crate::queue::LAYOUT);
    let hash = fold(hash, crate::readers::LAYOUT);
    fold(hash, crate::ring::LAYOUT)
}

const fn fold(mut hash: u64, facts: &[usize]) -> u64 {
    let mut i = 0;
    while i < facts.len() {
        hash = (hash ^ facts[i] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        i += 1;
    }
    hash
}
