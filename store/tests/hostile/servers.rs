//! A server that is none, or lies: joining it is an error within a second, and leaves nothing open.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use mobula_store::{Store, StoreOptions};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

use crate::random::{Budget, Random, first_seed};
use crate::socket::{descriptors, send};

/// What an attach may take, and what the machine may be late.
const LIMIT: Duration = Duration::from_millis(1_000 + 500);

/// Joins a server that does `serve` with each connection.
fn join(serve: impl Fn(&mut UnixStream) + Sync) -> (Result<Store, mobula_store::Error>, Duration) {
    join_as(|address| Store::attach(address), serve)
}

fn join_as(
    attach: impl Fn(&str) -> Result<Store, mobula_store::Error>,
    serve: impl Fn(&mut UnixStream) + Sync,
) -> (Result<Store, mobula_store::Error>, Duration) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::scope(|scope| {
        let server = scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut hello = [0; 32];
            let _ = stream.read_exact(&mut hello);
            serve(&mut stream);
            stream
        });
        let start = Instant::now();
        let joined = attach(&path.to_string_lossy());
        let took = start.elapsed();
        drop(server.join());
        (joined, took)
    })
}

/// Joins and expects an error in time and nothing left behind.
fn refuses(what: &str, serve: impl Fn(&mut UnixStream) + Sync) {
    let before = descriptors();
    let (joined, took) = join(serve);
    let error = joined.map(|_| ()).expect_err(what);
    assert!(took < LIMIT, "{what}: {error} after {took:?}");
    assert!(!error.to_string().is_empty() && !error.is_timeout(), "{what}: {error}");
    assert!(descriptors() <= before, "{what} leaves descriptors open");
}

/// An answer that lets client 0 in.
fn welcome(ctl_len: u64, capacity: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[8..16].copy_from_slice(&ctl_len.to_le_bytes());
    bytes[16..24].copy_from_slice(&capacity.to_le_bytes());
    bytes
}

/// A file of a length that can change no more.
fn memfd(len: u64) -> File {
    let file = unsealed(len);
    fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW).unwrap();
    file
}

fn unsealed(len: u64) -> File {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = File::from(memfd_create("hostile-segment", flags).unwrap());
    file.set_len(len).unwrap();
    file
}

/// A copy of a living store's control segment; its length and the store's capacity.
struct Copy {
    ctl: File,
    len: u64,
    capacity: u64,
}

fn copy() -> Copy {
    let store = Store::create(StoreOptions::new(1 << 20).max_objects(64).max_clients(4)).unwrap();
    let dump = tempfile::NamedTempFile::new().unwrap();
    store.dump(dump.path()).unwrap();
    let bytes = std::fs::read(dump.path()).unwrap();
    let ctl = memfd(bytes.len() as u64);
    ctl.write_all_at(&bytes, 0).unwrap();
    Copy { ctl, len: bytes.len() as u64, capacity: store.stats().capacity_bytes }
}

#[test]
fn answers_without_sense_are_refused() {
    let _alone = crate::alone();
    for len in (0..70).chain([4_096, 300_000]) {
        for fill in [0, 1, 2, 3, 255] {
            refuses("an answer of bytes alone", |stream| drop(stream.write_all(&vec![fill; len])));
        }
    }
    refuses("silence", |stream| {
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let _ = stream.read(&mut [0; 1]);
    });
    refuses("an answer byte by byte, for ever", |stream| {
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        for _ in 0..12 {
            let _ = stream.write(&[0]);
            let _ = stream.read(&mut [0; 1]);
        }
    });
}

#[test]
fn wrong_descriptors_are_refused() {
    let _alone = crate::alone();
    let Copy { ctl, len, capacity } = copy();
    let whole = memfd(4 * capacity + (8 << 20));
    let null = File::open("/dev/null").unwrap();
    let zero = File::options().read(true).write(true).open("/dev/zero").unwrap();
    let folder = File::open("/proc/self").unwrap();
    let (pipe, _writer) = std::io::pipe().unwrap();
    let read_only = |file: &File| {
        use std::os::fd::AsRawFd;
        File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap()
    };
    let (short, empty, half) = (memfd(len / 2), memfd(0), memfd(capacity));
    half.write_all_at(&[0; 8], 0).unwrap();
    let header_only = memfd(len);
    // All is as it should be, but somebody could shorten the file while it is mapped.
    let (loose_ctl, loose_arena) = (unsealed(len), unsealed(4 * capacity + (8 << 20)));
    let mut bytes = vec![0; len as usize];
    ctl.read_exact_at(&mut bytes, 0).unwrap();
    loose_ctl.write_all_at(&bytes, 0).unwrap();
    let no_longer = unsealed(len);
    no_longer.write_all_at(&bytes, 0).unwrap();
    fcntl_add_seals(&no_longer, SealFlags::GROW).unwrap();
    let (ctl_ro, whole_ro) = (read_only(&ctl), read_only(&whole));
    let offers: &[(&str, &[BorrowedFd<'_>])] = &[
        ("no descriptors", &[]),
        ("one descriptor", &[ctl.as_fd()]),
        ("null devices", &[null.as_fd(), null.as_fd()]),
        ("zero devices", &[zero.as_fd(), zero.as_fd()]),
        ("folders", &[folder.as_fd(), folder.as_fd()]),
        ("pipes", &[pipe.as_fd(), pipe.as_fd()]),
        ("a read-only ctl", &[ctl_ro.as_fd(), whole.as_fd()]),
        ("a read-only arena", &[ctl.as_fd(), whole_ro.as_fd()]),
        ("an arena of its capacity, without its scratch", &[ctl.as_fd(), half.as_fd()]),
        ("an empty arena", &[ctl.as_fd(), empty.as_fd()]),
        ("a ctl that is shorter than its header says", &[short.as_fd(), whole.as_fd()]),
        ("a ctl of zeros", &[header_only.as_fd(), whole.as_fd()]),
        ("twice the arena", &[whole.as_fd(), whole.as_fd()]),
        ("a ctl for an arena", &[ctl.as_fd(), ctl.as_fd()]),
        ("a ctl that can change its length", &[loose_ctl.as_fd(), whole.as_fd()]),
        ("a ctl that can be shortened", &[no_longer.as_fd(), whole.as_fd()]),
        ("an arena that can change its length", &[ctl.as_fd(), loose_arena.as_fd()]),
    ];
    for (what, fds) in offers {
        refuses(what, |stream| send(stream, &welcome(len, capacity), fds));
    }
    for (ctl_len, capacity) in
        [(0, 0), (len, 0), (0, capacity), (u64::MAX, capacity), (len, u64::MAX), (8, 8), (len - 8, capacity)]
    {
        let what = format!("a ctl of {ctl_len} and an arena of {capacity} bytes");
        refuses(&what, |stream| send(stream, &welcome(ctl_len, capacity), &[ctl.as_fd(), whole.as_fd()]));
    }
    for (what, fds) in &offers[offers.len() - 3..] {
        let (joined, _) = join(|stream| send(stream, &welcome(len, capacity), fds));
        let error = joined.map(|_| ()).expect_err(what);
        assert!(error.is_corrupt() && error.to_string().contains("whose length can change"), "{what}: {error}");
    }
    let other = memfd(len);
    let (joined, _) = join_as(
        |address| Store::attach_read_only(address),
        |stream| send(stream, &welcome(len, capacity), &[ctl.as_fd(), whole.as_fd(), other.as_fd()]),
    );
    let error = joined.map(|_| ()).expect_err("an area in another file");
    assert!(error.is_corrupt() && error.to_string().contains("not a part of ctl"), "{error}");
    // More descriptors than anybody asked for must not stay, whatever becomes of the rest.
    let before = descriptors();
    let (joined, _) = join(|stream| send(stream, &welcome(len, capacity), &[null.as_fd(); 12]));
    assert!(joined.is_err() && descriptors() <= before);
}

#[test]
fn headers_without_sense_are_refused() {
    let _alone = crate::alone();
    let Copy { ctl, len, capacity } = copy();
    let whole = memfd(4 * capacity + (8 << 20));
    let mut header = [0; 128];
    ctl.read_exact_at(&mut header, 0).unwrap();
    let budget = Budget::new(150);
    let mut round = 0;
    while budget.allows(round) {
        let mut random = Random::new(first_seed() + round);
        let mut bytes = header;
        // Magic, version, hash, length, capacity, counts, ready.
        let at = random.one_of(&[0, 8, 16, 40, 48, 56, 64, 72, 80, 88, 96]);
        let old = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        let wrong = match random.below(5) {
            0 => old ^ 1 << random.below(32),
            1 => u64::MAX - random.below(1 << 16) as u64,
            2 => 1 << random.below(64),
            3 => old.wrapping_mul(2),
            _ => random.word(),
        };
        let wrong = if wrong == old { !old } else { wrong };
        bytes[at..at + 8].copy_from_slice(&wrong.to_le_bytes());
        ctl.write_all_at(&bytes, 0).unwrap();
        // The answer goes along with the lie.
        let told = if at == 48 { wrong } else { capacity };
        let what = format!("{wrong:#x} at {at} of the header");
        refuses(&what, |stream| send(stream, &welcome(len, told), &[ctl.as_fd(), whole.as_fd()]));
        round += 1;
    }
}

#[test]
fn a_server_that_does_not_accept_is_given_up() {
    let _alone = crate::alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let before = descriptors();
    let start = Instant::now();
    // The first ones fill the queue of connections.
    for _ in 0..3 {
        let start = Instant::now();
        assert!(Store::attach(path.to_string_lossy()).is_err());
        assert!(start.elapsed() < LIMIT, "{:?}", start.elapsed());
    }
    assert!(start.elapsed() < 3 * LIMIT && descriptors() <= before);
    drop(listener);
}
