//! What the clients of a store do when its server dies, and whoever takes it over.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use mobula_store::{Lifetime, ObjectId, ObjectOptions, Segment, Store, StoreOptions};

use crate::{Actor, eventually, ready_with, signal_to};

const FULL: Option<Duration> = Some(Duration::from_secs(20));

fn id(n: u8) -> ObjectId {
    ObjectId::from_bytes([n; 16])
}

/// A folder for a socket, and the address in it.
pub(crate) struct Home {
    folder: tempfile::TempDir,
    pub(crate) address: String,
}

impl Home {
    pub(crate) fn new() -> Home {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let address = folder.path().join("socket").to_string_lossy().into_owned();
        Home { folder, address }
    }

    fn create(&self) -> mobula_store::Result<Store> {
        create(&self.address, "")
    }
}

/// Creates a store as `how` says: `clients=N`, `capacity=MiB`, `named=NAME`, `spill=DIR`, `default` (a fresh address).
fn create(address: &str, how: &str) -> mobula_store::Result<Store> {
    let value = |key: &str| how.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
    let number = |key: &str, default: usize| value(key).map_or(default, |value| value.parse().unwrap());
    let mut options = StoreOptions::new(number("capacity", 8) << 20).max_clients(number("clients", 256));
    if let Some(name) = value("named") {
        options = options.segment(Segment::Named(name.to_owned()));
    }
    if let Some(dir) = value("spill") {
        options = options.spill_dir(dir);
    }
    if !address.is_empty() {
        options = options.address(address.to_owned());
    }
    Store::create(options)
}

/// Runs in the child; false if the part is nobody's here.
pub(crate) fn play(part: &str, address: &str) -> bool {
    let (part, how) = part.split_once(' ').unwrap_or((part, ""));
    let address = if address.starts_with("name:") { "" } else { address };
    match part {
        // A server with ten sealed objects, views of them, an unsealed one and a counted one.
        "node" => {
            let store = match create(address, how) {
                Ok(store) => store,
                Err(error) => {
                    assert!(error.is_address_in_use(), "{error}");
                    ready_with("in use", ())
                }
            };
            if how.contains("empty") || store.adopted() {
                ready_with(if store.adopted() { "adopted" } else { "empty" }, store);
            }
            let views: Vec<_> = (0..10).map(|n| store.put(id(n), &[n; 50_000]).unwrap()).collect();
            let unsealed = store.create_object(id(100), 50_000).unwrap();
            let counted = ObjectOptions::new().lifetime(Lifetime::Counted);
            let hold = store.put_with(id(101), b"mine", &counted).unwrap().hold();
            ready_with(&format!("{} fresh", store.address()), (views, unsealed, hold, store))
        }
        "node-with-a-child" => {
            let store = create(address, how).unwrap();
            ready_with(&fork_a_sleeper().to_string(), store)
        }
        "come-and-go" => ready_with(&crate::named::come_and_go(how), ()),
        "fill-names" => ready_with(&crate::named::fill(how), ()),
        "threads" => {
            leave_no_thread(address);
            ready_with("", ())
        }
        _ => false,
    }
}

/// A process that is not a child of this one.
struct Stranger(u32);

impl Drop for Stranger {
    fn drop(&mut self) {
        signal_to(self.0, libc::SIGKILL);
    }
}

#[allow(unsafe_code)]
fn fork_a_sleeper() -> i32 {
    // SAFETY: the child only sleeps; it inherits all descriptors.
    match unsafe { libc::fork() } {
        0 => loop {
            // SAFETY: sleeps.
            unsafe { libc::pause() };
        },
        pid => pid,
    }
}

/// Checks in a process of its own that guard and server leave neither threads nor descriptors.
fn leave_no_thread(address: &str) {
    let threads = || {
        let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
        let names = tasks.map(|task| fs::read_to_string(task.path().join("comm")).unwrap_or_default());
        names.filter(|name| name.starts_with("mobula-")).collect::<Vec<_>>()
    };
    let files = || fs::read_dir("/proc/self/fd").unwrap().count();
    let other = Store::attach(address).unwrap();
    drop(other);
    let before = files();
    for _ in 0..3 {
        let clients: Vec<Store> = (0..5).map(|_| Store::attach(address).unwrap()).collect();
        // A thread gives itself its name.
        eventually("there is one guard", || threads() == ["mobula-guard\n"]);
        drop(clients);
        assert_eq!((threads(), files()), (Vec::new(), before));
    }
    // The same with the server in this process, and clients that survive it.
    let home = Home::new();
    let first = home.create().unwrap();
    let clients: Vec<Store> = (0..5).map(|_| Store::attach(&home.address).unwrap()).collect();
    drop(first);
    let second = home.create().unwrap();
    assert!(second.adopted());
    drop((second, clients, home));
    assert_eq!((threads(), files()), (Vec::new(), before));
}

/// Checks that a client of a store can do everything.
fn works(store: &Store) {
    for n in 0..10 {
        assert_eq!(&store.get(id(n), FULL).unwrap()[..], [n; 50_000]);
    }
    let mine = ObjectId::random();
    let view = store.put(mine, &[7; 100_000]).unwrap();
    let waiting = store.clone();
    let late = ObjectId::random();
    let waiter = std::thread::spawn(move || waiting.get(late, FULL).unwrap()[0]);
    store.put(late, &[9]).unwrap();
    assert_eq!(waiter.join().unwrap(), 9);
    assert!(store.wait(&[mine, late], 2, FULL).unwrap().1.is_empty());
    assert!(store.list().iter().any(|info| info.id == mine));
    drop(view);
    store.delete(mine).unwrap();
    store.delete(late).unwrap();
    store.check().unwrap();
}

/// Waits until nothing but the ten sealed objects is left of a dead node.
fn eventually_without_the_dead(store: &Store, clients: u64) {
    eventually("the dead are reaped", || store.stats().clients == clients);
    eventually("what only the dead held is gone", || {
        store.stats().objects == 10 && store.list().iter().all(|info| info.holders.is_empty())
    });
    store.check().unwrap();
}

#[test]
fn clients_go_on_without_a_server_and_nobody_else_gets_in() {
    let home = Home::new();
    let node = Actor::start_at("node", &home.address);
    let store = Store::attach(&home.address).unwrap();
    let kept = store.get(id(3), None).unwrap();
    node.kill();
    let start = Instant::now();
    assert!(Store::attach(&home.address).unwrap_err().is_disconnected());
    println!("an attach was refused after {:?}", start.elapsed());
    eventually("the server's death is noticed", || store.stats().clients == 1);
    assert_eq!(kept[..], [3; 50_000]);
    drop(kept);
    eventually_without_the_dead(&store, 1);
    works(&store);
}

#[test]
fn without_a_server_every_survivor_notices_a_death() {
    let home = Home::new();
    let node = Actor::start_at("node", &home.address);
    let store = Store::attach(&home.address).unwrap();
    let others: Vec<Actor> = (0..3).map(|_| Actor::start_at("views-two", &home.address)).collect();
    assert_eq!(store.stats().clients, 5);
    node.kill();
    eventually("the server's death is noticed", || store.stats().clients == 4);
    for (dead, other) in others.into_iter().enumerate() {
        assert!(store.info(id(0)).unwrap().holders.iter().any(|holder| holder.pid == other.pid()));
        let start = Instant::now();
        other.kill();
        eventually("the death is noticed", || store.stats().clients == 3 - dead as u64);
        println!("a death without a server was noticed after {:?}", start.elapsed());
    }
    eventually_without_the_dead(&store, 1);
    works(&store);
}

#[test]
fn a_new_server_adopts_what_the_living_have() {
    let home = Home::new();
    let node = Actor::start_at("node", &home.address);
    assert!(node.said().ends_with("fresh"));
    let store = Store::attach(&home.address).unwrap();
    let other = Actor::start_at("views-two", &home.address);
    let hold = store.hold(id(101)).unwrap();
    let buffer = store.create_object(id(50), 1000).unwrap();
    let before = store.stats();
    node.kill();
    let adopter = create(&home.address, "capacity=64 clients=7").unwrap();
    // Complete on return.
    assert!(adopter.adopted() && !store.adopted());
    assert_eq!(adopter.stats().clients, 3);
    assert_eq!(adopter.stats().capacity_bytes, before.capacity_bytes);
    assert!(adopter.info(id(100)).is_none(), "the dead server's unsealed object");
    let holders = adopter.info(id(0)).unwrap().holders;
    assert!(holders.len() == 1 && holders[0].pid == other.pid() && holders[0].views == 1);
    assert_eq!(&hold.get(None).unwrap()[..], b"mine");
    adopter.check().unwrap();
    drop(buffer.seal().unwrap());
    assert_eq!(adopter.get(id(50), None).unwrap().len(), 1000);
    adopter.delete(id(50)).unwrap();
    // It serves: others get in, and their deaths and those of the old ones are noticed.
    let newcomer = Actor::start_at("views-two", &home.address);
    assert_eq!(adopter.stats().clients, 4);
    newcomer.kill();
    other.kill();
    drop(hold);
    eventually_without_the_dead(&adopter, 2);
    works(&adopter);
    works(&store);
    assert!(home.create().unwrap_err().is_address_in_use());
    drop(store);
    assert_eq!(adopter.stats().clients, 1);
    drop(adopter);
    assert!(!Path::new(&home.address).exists());
}

#[test]
fn servers_die_one_after_the_other() {
    let home = Home::new();
    let mut node = Actor::start_at("node", &home.address);
    let store = Store::attach(&home.address).unwrap();
    for round in 0..4 {
        node.kill();
        node = Actor::start_at("node capacity=1", &home.address);
        assert_eq!(node.said(), "adopted", "round {round}");
        works(&store);
        // A client that has only ever known this server.
        let newcomer = Actor::start_at("views-two", &home.address);
        // The old one hears of this server's death, too, and of the newcomer's when nobody serves.
        node.signal(libc::SIGKILL);
        eventually("the death of an adopter is noticed", || store.stats().clients == 2);
        newcomer.kill();
        eventually_without_the_dead(&store, 1);
        node = Actor::start_at("node", &home.address);
        assert_eq!(node.said(), "adopted", "round {round}");
    }
    assert_eq!(store.stats().clients, 2);
}

#[test]
fn without_survivors_there_is_a_new_store() {
    let home = Home::new();
    let node = Actor::start_at("node", &home.address);
    node.kill();
    assert!(Path::new(&home.address).exists(), "a stale socket");
    let store = home.create().unwrap();
    assert!(!store.adopted());
    assert_eq!((store.stats().objects, store.stats().clients), (0, 1));
    Store::attach(&home.address).unwrap();
}

#[test]
fn a_living_server_is_in_use_even_without_its_socket() {
    let home = Home::new();
    let node = Actor::start_at("node", &home.address);
    let store = Store::attach(&home.address).unwrap();
    assert!(home.create().unwrap_err().is_address_in_use());
    fs::remove_file(&home.address).unwrap();
    assert!(home.create().unwrap_err().is_address_in_use());
    node.kill();
    assert!(home.create().unwrap().adopted());
    drop(store);
}

#[test]
fn one_of_several_adopters_wins() {
    let home = Home::new();
    let node = Actor::start_at("node", &home.address);
    let store = Store::attach(&home.address).unwrap();
    node.kill();
    let adopters = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..6).map(|_| scope.spawn(|| Actor::start_at("node", &home.address))).collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect::<Vec<_>>()
    });
    let mut said: Vec<&str> = adopters.iter().map(Actor::said).collect();
    said.sort_unstable();
    assert_eq!(said, ["adopted", "in use", "in use", "in use", "in use", "in use"]);
    works(&store);
}

#[test]
fn a_full_table_of_dead_clients_is_adopted() {
    let home = Home::new();
    let node = Actor::start_at("node clients=4", &home.address);
    let stopped = Actor::start_at("views-two", &home.address);
    let others: Vec<Actor> = (0..2).map(|_| Actor::start_at("views-two", &home.address)).collect();
    assert!(Store::attach(&home.address).unwrap_err().is_store_full());
    // The only survivor cannot reap anybody.
    stopped.signal(libc::SIGSTOP);
    others.into_iter().for_each(Actor::kill);
    node.signal(libc::SIGKILL);
    let adopter = loop {
        match home.create() {
            Err(error) if error.is_address_in_use() => continue,
            other => break other.unwrap(),
        }
    };
    assert!(adopter.adopted());
    assert_eq!(adopter.stats().clients, 2);
    works(&adopter);
    stopped.signal(libc::SIGCONT);
    stopped.kill();
    drop(node);
    eventually_without_the_dead(&adopter, 1);
}

#[test]
fn a_forked_child_keeps_no_dead_server_alive() {
    let home = Home::new();
    let node = Actor::start_at("node-with-a-child", &home.address);
    let _child = Stranger(node.said().parse().unwrap());
    let store = Store::attach(&home.address).unwrap();
    node.kill();
    assert!(Store::attach(&home.address).unwrap_err().is_disconnected());
    eventually("the server's death is noticed", || store.stats().clients == 1);
    let adopter = home.create().unwrap();
    assert!(adopter.adopted());
    Store::attach(&home.address).unwrap();
}

#[test]
fn a_stopped_server_holds_up_no_attach_and_no_place() {
    let home = Home::new();
    let node = Actor::start_at("node", &home.address);
    let store = Store::attach(&home.address).unwrap();
    node.signal(libc::SIGSTOP);
    // A full queue, too.
    let queued: Vec<UnixStream> = std::iter::from_fn(|| connect_at_once(&home.address)).take(10_000).collect();
    for _ in 0..2 {
        let start = Instant::now();
        assert!(Store::attach(&home.address).unwrap_err().is_disconnected());
        println!("a stopped server with {} in its queue: an error after {:?}", queued.len(), start.elapsed());
    }
    drop(queued);
    let start = Instant::now();
    assert!(Store::attach(&home.address).unwrap_err().is_disconnected());
    println!("a stopped server: an error after {:?}", start.elapsed());
    works(&store);
    assert!(home.create().unwrap_err().is_address_in_use());
    node.signal(libc::SIGCONT);
    eventually("it goes on", || Store::attach(&home.address).is_ok());
    eventually("who gave up has no place", || store.stats().clients == 2);
    works(&store);
}

/// Connects without waiting for room in the server's queue.
#[allow(unsafe_code)]
fn connect_at_once(address: &str) -> Option<UnixStream> {
    use std::os::fd::FromRawFd;
    // SAFETY: makes a socket; nothing else is touched.
    let fd = unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0) };
    assert!(fd >= 0);
    // SAFETY: a descriptor that was just made and is nobody else's.
    let stream = unsafe { UnixStream::from_raw_fd(fd) };
    // SAFETY: plain bytes for which zero is a value.
    let mut to: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    to.sun_family = libc::AF_UNIX as libc::sa_family_t;
    for (at, byte) in to.sun_path.iter_mut().zip(address.bytes()) {
        *at = byte as libc::c_char;
    }
    // SAFETY: the address is a local of that size.
    let connected = unsafe { libc::connect(fd, (&raw const to).cast(), size_of_val(&to) as libc::socklen_t) };
    (connected == 0).then_some(stream)
}

#[test]
fn a_stopped_client_holds_up_no_adoption() {
    let home = Home::new();
    let node = Actor::start_at("node", &home.address);
    let stopped = Actor::start_at("views-two", &home.address);
    stopped.signal(libc::SIGSTOP);
    node.kill();
    let adopter = home.create().unwrap();
    assert!(adopter.adopted());
    assert_eq!(adopter.stats().clients, 2);
    works(&adopter);
    stopped.kill();
    eventually_without_the_dead(&adopter, 1);
}

#[test]
fn a_server_that_leaves_in_good_order_can_be_followed() {
    let home = Home::new();
    let first = home.create().unwrap();
    for n in 0..10 {
        first.put(id(n), &[n; 50_000]).unwrap();
    }
    let client = Actor::start_at("views-two", &home.address);
    drop(first);
    assert!(!Path::new(&home.address).exists());
    assert!(Store::attach(&home.address).unwrap_err().is_disconnected());
    let second = home.create().unwrap();
    assert!(second.adopted());
    assert_eq!(second.stats().clients, 2);
    works(&second);
    client.kill();
    eventually_without_the_dead(&second, 1);
    drop(second);
    assert!(!home.create().unwrap().adopted(), "nobody was left");
}

#[test]
fn a_default_address_can_be_adopted_while_others_start() {
    let node = Actor::start_at("node", "");
    let address = node.said().trim_end_matches(" fresh").to_owned();
    let store = Store::attach(&address).unwrap();
    node.kill();
    // It removes what dead servers have left, but not this.
    drop(Store::create(StoreOptions::new(1 << 20)).unwrap());
    let adopter = create(&address, "").unwrap();
    assert!(adopter.adopted());
    drop(Store::create(StoreOptions::new(1 << 20)).unwrap());
    Store::attach(&address).unwrap();
    works(&store);
    drop((store, adopter));
    // Another test's server may be looking at the same folder right now: whoever comes after it removes it.
    eventually("the folder of the dead is removed", || {
        drop(Store::create(StoreOptions::new(1 << 20)).unwrap());
        !Path::new(&address).parent().unwrap().exists()
    });
}

#[test]
fn guards_leave_no_thread_and_no_descriptor() {
    let home = Home::new();
    let store = home.create().unwrap();
    Actor::start_at("threads", store.address()).kill();
    assert!(home.folder.path().exists());
}

#[test]
fn a_client_joins_by_another_way_to_the_same_folder() {
    let home = Home::new();
    let node = Actor::start_at("node", &home.address);
    let store = Store::attach(&home.address).unwrap();
    node.kill();
    let folder = home.folder.path();
    let detour = format!("{}/../{}/socket", folder.display(), folder.file_name().unwrap().to_string_lossy());
    assert!(create(&detour, "").unwrap().adopted());
    drop(store);
}

#[test]
fn servers_are_killed_while_clients_work() {
    let home = Home::new();
    let mut node = Actor::start_at("node empty", &home.address);
    let store = Store::attach(&home.address).unwrap();
    let mut workers: Vec<Actor> = (0..3).map(|_| Actor::start_at("chaos", &home.address)).collect();
    let mut longest = Duration::ZERO;
    for round in 0..12 {
        node.kill();
        if round % 3 == 0 {
            workers.remove(0).kill();
        }
        store.check().unwrap_or_else(|e| panic!("without a server, round {round}: {e}"));
        let start = Instant::now();
        node = Actor::start_at("node empty", &home.address);
        longest = longest.max(start.elapsed());
        assert_eq!(node.said(), "adopted", "round {round}");
        store.check().unwrap_or_else(|e| panic!("adopted, round {round}: {e}"));
        while workers.len() < 3 {
            workers.push(Actor::start_at("chaos", &home.address));
        }
    }
    drop((node, workers));
    eventually("the dead are reaped", || store.stats().clients == 1);
    eventually("everything comes back", || {
        for info in store.list() {
            let _ = store.delete(info.id);
        }
        (store.stats().objects, store.stats().used_bytes) == (0, 0)
    });
    store.check().unwrap();
    println!("a process that adopts was ready after at most {longest:?}");
}

#[test]
fn a_server_that_dies_while_it_spills_loses_nothing_and_the_next_one_goes_on() {
    const MIB: usize = 1 << 20;
    let (home, spilled) = (Home::new(), tempfile::tempdir().unwrap());
    let how = format!("node empty capacity=16 spill={}", spilled.path().display());
    let mut node = Actor::start_at(&how, &home.address);
    let client = Store::attach(&home.address).unwrap();
    let whole = |objects: std::ops::Range<u8>| {
        objects.for_each(|n| assert!(client.get(id(n), FULL).unwrap().iter().all(|&b| b == n), "object {n}"));
        client.check().unwrap();
    };
    for round in 0..6 {
        (0..15).for_each(|n| drop(client.put(id(n), &vec![n; MIB]).unwrap()));
        // In the middle of it, at its start, or when it has not begun.
        eventually("it spills", || client.stats().spilled_objects >= round % 3);
        node.kill();
        whole(0..15);
        node = Actor::start_at(&how, &home.address);
        assert_eq!(node.said(), "adopted");
        drop(client.put(id(15), &vec![15; MIB]).unwrap());
        eventually("the next server spills", || client.stats().used_bytes <= 12 * MIB as u64);
        whole(0..16);
        (0..16).for_each(|n| assert!(client.delete(id(n)).is_ok()));
        eventually("all memory is back", || client.stats().used_bytes == 0 && client.stats().spilled_bytes == 0);
        assert_eq!(client.check().unwrap().objects, 0);
    }
}
