//! What a store and an object can be asked to be.

use std::path::PathBuf;
use std::time::Duration;

use crate::object::ObjectHold;

/// What the segments are made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Segment {
    /// Memory without a name: the kernel frees it with the last process that maps it.
    #[default]
    Anonymous,
    /// Named shared memory: `<name>` and `<name>.ctl`, found by name by any process of the user.
    ///
    /// A name outlives a creator that was killed: the next creation of the name adopts the store if one of
    /// its clients lives, and replaces it otherwise. Its memory is what the system has for named segments,
    /// which is little in many containers.
    Named(String),
}

/// Which objects may go to make room for new ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Eviction {
    /// None: a sealed object stays until it is deleted or, if it is counted, released.
    #[default]
    Never,
    /// The least recently used of those that stay until they are deleted, if nobody views or holds them and no
    /// other object contains them. A view that is made is a use.
    LeastRecentlyUsed,
}

/// Describes a store that is to be created.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    pub(crate) capacity: usize,
    pub(crate) address: Option<String>,
    pub(crate) address_is_new: bool,
    pub(crate) segment: Segment,
    pub(crate) create_timeout: Duration,
    pub(crate) max_objects: Option<usize>,
    pub(crate) max_clients: usize,
    pub(crate) prefault: usize,
    pub(crate) eviction: Eviction,
    pub(crate) spill_dir: Option<PathBuf>,
    pub(crate) fallback: bool,
}

impl StoreOptions {
    /// Asks for room for `capacity` bytes of objects, rounded up.
    pub fn new(capacity: usize) -> Self {
        StoreOptions {
            capacity,
            address: None,
            address_is_new: false,
            segment: Segment::Anonymous,
            create_timeout: Duration::from_secs(2),
            max_objects: None,
            max_clients: 256,
            prefault: 0,
            eviction: Eviction::Never,
            spill_dir: None,
            fallback: false,
        }
    }

    /// Chooses the path of the attach socket, in an existing folder of mode 0700.
    pub fn address(mut self, address: String) -> Self {
        self.address = Some(address);
        self
    }

    /// Says that no store was ever at the address, as in a folder that was made for this one: then nobody looks through the
    /// open files of all processes for a store to take over, which takes milliseconds.
    pub fn new_address(mut self) -> Self {
        self.address_is_new = true;
        self
    }

    /// Chooses what the segments are made of.
    pub fn segment(mut self, segment: Segment) -> Self {
        self.segment = segment;
        self
    }

    /// Sets how long a creation waits for memory (default 2 s).
    pub fn create_timeout(mut self, timeout: Duration) -> Self {
        self.create_timeout = timeout;
        self
    }

    /// Sets how many objects there can be (default: at least 65,536 and capacity / 4 KiB, at most 4 M).
    pub fn max_objects(mut self, objects: usize) -> Self {
        self.max_objects = Some(objects);
        self
    }

    /// Sets how many clients there can be (default and most: 256).
    pub fn max_clients(mut self, clients: usize) -> Self {
        self.max_clients = clients;
        self
    }

    /// Commits and maps this many bytes ahead of use (default 0).
    pub fn prefault(mut self, bytes: usize) -> Self {
        self.prefault = bytes;
        self
    }

    /// Chooses whether objects go to make room for new ones (default: never); all clients obey.
    pub fn eviction(mut self, eviction: Eviction) -> Self {
        self.eviction = eviction;
        self
    }

    /// Chooses a folder for objects that do not fit into memory (default: none, they stay there).
    ///
    /// Once four fifths of the capacity are taken, sealed objects that nobody views move there in the background, the
    /// least recently used first, until it is three quarters. A get brings them back or reads them in place.
    pub fn spill_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.spill_dir = Some(dir.into());
        self
    }

    /// Allows creations that find no room to use a file instead of memory (default: not allowed).
    pub fn fallback(mut self, allowed: bool) -> Self {
        self.fallback = allowed;
        self
    }
}

/// How long an object stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lifetime {
    /// Until it is deleted, whoever dies.
    #[default]
    UntilDeleted,
    /// Until its last view or hold anywhere is dropped or that process dies.
    Counted,
}

/// Describes an object that is to be created.
#[derive(Debug, Clone, Default)]
pub struct ObjectOptions {
    pub(crate) metadata: Vec<u8>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) lifetime: Lifetime,
    pub(crate) children: Vec<ObjectHold>,
    pub(crate) notify: bool,
    /// The bytes stay writable after the seal (board.rs).
    pub(crate) mutable: bool,
    /// Places for children that it gets later (board/children.rs).
    pub(crate) places: usize,
}

impl ObjectOptions {
    /// The most bytes of metadata that an object can have.
    pub const MAX_METADATA: usize = 64 << 10;

    /// Returns how many children are listed behind its bytes.
    pub(crate) fn listed(&self) -> usize {
        self.children.len() + self.places
    }

    /// Describes an object without metadata that stays until it is deleted.
    pub fn new() -> Self {
        Self::default()
    }

    /// Attaches up to 64 KiB of metadata.
    pub fn metadata(mut self, metadata: &[u8]) -> Self {
        self.metadata = metadata.to_vec();
        self
    }

    /// Sets how long this creation waits for memory; zero does not queue.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets how long the object stays.
    pub fn lifetime(mut self, lifetime: Lifetime) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Names the objects that this one refers to: it holds them as long as it exists.
    pub fn children(mut self, children: &[ObjectHold]) -> Self {
        self.children = children.to_vec();
        self
    }

    /// Counts the object's end in the store's reclaim sequence ([`Store::wait_reclaim`](crate::Store::wait_reclaim)).
    pub fn notify(mut self) -> Self {
        self.notify = true;
        self
    }
}
