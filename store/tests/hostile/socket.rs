//! Nonsense on the attach socket: the server goes on letting others in, and keeps nothing of it.

use std::fs;
use std::io::{IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use mobula_store::{ObjectId, Store, StoreOptions};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use crate::random::{Budget, Random, first_seed};

/// What an honest process says first (src/handshake.rs).
const JOIN: [u8; 8] = *b"mobula2\0";
const HELLO: usize = 32;

/// Sends bytes with descriptors.
pub(crate) fn send(stream: &UnixStream, bytes: &[u8], fds: &[BorrowedFd<'_>]) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(16))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        assert!(control.push(SendAncillaryMessage::ScmRights(fds)));
    }
    let _ = sendmsg(stream, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL);
}

/// Returns how many descriptors of sockets and segments this process has.
pub(crate) fn descriptors() -> usize {
    let fds = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let kind = |fd: fs::DirEntry| fs::read_link(fd.path()).unwrap_or_default().to_string_lossy().into_owned();
    fds.map(kind)
        .filter(|kind| ["socket:", "pipe:", "memfd:", "pidfd", "hostile-"].iter().any(|k| kind.contains(k)))
        .count()
}

/// Waits until `condition` holds.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(30), "{what} did not come true");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// An honest process joins, works and leaves.
fn assert_serves(store: &Store, n: u64) {
    let other = Store::attach(store.address()).unwrap();
    let mut bytes = [0xaa; 16];
    bytes[..8].copy_from_slice(&n.to_le_bytes());
    let id = ObjectId::from_bytes(bytes);
    other.put(id, b"served").unwrap();
    assert_eq!(&store.get(id, None).unwrap()[..], b"served");
    store.delete(id).unwrap();
}

/// Says something that is no hello, or half of one, or one and more.
fn say(stream: &mut UnixStream, random: &mut Random) {
    let len = random.one_of(&[0, 1, 6, 7, 8, 9, 31, 32, 33, 64, 4_096, 70_000]);
    let mut bytes: Vec<u8> = (0..len).map(|_| random.word() as u8).collect();
    if random.below(2) == 0 {
        let magic = len.min(8);
        bytes[..magic].copy_from_slice(&JOIN[..magic]);
        // A kind of hello that there is or is not; a rejoin of nobody.
        bytes.iter_mut().skip(7).take(1).for_each(|kind| *kind = random.one_of(&[0, 1, 1, 2, 255]));
    }
    match random.below(3) {
        0 => {
            let null = fs::File::open("/dev/null").unwrap();
            let fds: Vec<_> = (0..random.below(15)).map(|_| null.as_fd()).collect();
            send(stream, &bytes, &fds);
        }
        1 => bytes.chunks(1 + len / 7).for_each(|piece| drop(stream.write(piece))),
        _ => drop(stream.write(&bytes)),
    }
}

#[test]
fn the_server_survives_what_it_hears() {
    let _alone = crate::alone();
    let store = Store::create(StoreOptions::new(1 << 20).max_clients(64)).unwrap();
    assert_serves(&store, 0);
    let before = descriptors();
    let budget = Budget::new(60);
    let mut round = 0;
    while budget.allows(round) {
        let mut random = Random::new(first_seed() + round);
        let mut open: Vec<UnixStream> = Vec::new();
        for _ in 0..20 {
            let Ok(mut stream) = UnixStream::connect(store.address()) else { continue };
            stream.set_nonblocking(true).unwrap();
            say(&mut stream, &mut random);
            // Some never read their answer and never say more.
            if random.below(3) == 0 {
                open.push(stream);
            }
        }
        assert_serves(&store, round);
        drop(open);
        round += 1;
    }
    eventually("what strangers left is closed", || descriptors() <= before);
    eventually("no stranger is a client", || store.stats().clients == 1);
    store.check().unwrap();
}

#[test]
fn many_silent_connections_keep_nobody_out() {
    let _alone = crate::alone();
    let store = Store::create(StoreOptions::new(1 << 20)).unwrap();
    let before = descriptors();
    let half = |_| {
        let mut stream = UnixStream::connect(store.address()).ok()?;
        stream.set_nonblocking(true).ok()?;
        stream.write_all(&JOIN[..5]).ok()?;
        Some(stream)
    };
    // More than the server hears at once.
    let silent: Vec<UnixStream> = (0..600).filter_map(half).collect();
    eventually("an honest process gets in", || Store::attach(store.address()).is_ok());
    assert_serves(&store, 1);
    drop(silent);
    eventually("what they left is closed", || descriptors() <= before);
    assert_eq!(HELLO, 32);
}
