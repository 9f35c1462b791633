//! Segments with a name: who removes it, and a small file system for them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use mobula_store::{ObjectId, Segment, Store, StoreOptions};

use crate::{Actor, eventually};

struct Name(String);

impl Name {
    fn new(what: &str) -> Name {
        Name(format!("mobula-test-{what}-{}", std::process::id()))
    }

    fn address(&self) -> String {
        format!("name:{}", self.0)
    }

    fn part(&self) -> String {
        format!("node named={}", self.0)
    }

    fn files(&self) -> [PathBuf; 2] {
        [&self.0, &format!("{}.ctl", self.0)].map(|name| Path::new("/dev/shm").join(name))
    }

    fn exists(&self) -> bool {
        self.files().iter().any(|file| file.exists())
    }

    fn create(&self) -> mobula_store::Result<Store> {
        Store::create(StoreOptions::new(8 << 20).segment(Segment::Named(self.0.clone())))
    }
}

fn id(n: u8) -> ObjectId {
    ObjectId::from_bytes([n; 16])
}

#[test]
fn the_name_of_a_dead_server_is_adopted_with_its_store() {
    let name = Name::new("adopted");
    let node = Actor::start_at(&name.part(), &name.address());
    let store = Store::attach(name.address()).unwrap();
    node.kill();
    assert!(name.exists());
    let adopter = name.create().unwrap();
    assert!(adopter.adopted());
    assert_eq!(adopter.stats().clients, 2);
    assert_eq!(adopter.get(id(4), None).unwrap()[..], [4; 50_000]);
    Store::attach(name.address()).unwrap();
    assert!(name.create().unwrap_err().is_address_in_use());
    drop((store, adopter));
    assert!(!name.exists());
}

#[test]
fn a_name_is_adopted_after_a_tidy_end_and_at_another_address() {
    let name = Name::new("tidy");
    let first = name.create().unwrap();
    first.put(id(1), b"kept").unwrap();
    let client = Store::attach(name.address()).unwrap();
    drop(first);
    assert!(!name.exists());
    let home = crate::nodes::Home::new();
    let options = StoreOptions::new(1 << 20).segment(Segment::Named(name.0.clone())).address(home.address.clone());
    let second = Store::create(options).unwrap();
    assert!(second.adopted());
    assert_eq!(&second.get(id(1), None).unwrap()[..], b"kept");
    drop((client, second));
    assert!(!name.create().unwrap().adopted());
}

#[test]
fn the_last_client_of_a_dead_server_removes_the_names() {
    let name = Name::new("last");
    let node = Actor::start_at(&name.part(), &name.address());
    let clients = [(); 2].map(|()| Store::attach(name.address()).unwrap());
    node.kill();
    let [one, other] = clients;
    drop(one);
    assert!(name.exists());
    drop(other);
    assert!(!name.exists());
}

#[test]
fn names_without_survivors_are_replaced() {
    let name = Name::new("replaced");
    let node = Actor::start_at(&name.part(), &name.address());
    node.kill();
    assert!(name.exists());
    let store = name.create().unwrap();
    assert!(!store.adopted() && store.list().is_empty());
    drop(store);
    assert!(!name.exists());
}

#[test]
fn a_named_store_leaves_nothing_in_the_runtime_folder() {
    let name = Name::new("clean");
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env("XDG_RUNTIME_DIR", folder.path());
    let actor = Actor::spawn(command, &format!("come-and-go {}", name.0), &name.address()).unwrap();
    assert_eq!(actor.said(), "[]");
}

/// Runs in the child: what is left in the runtime folder after a tidy end.
pub(crate) fn come_and_go(name: &str) -> String {
    let store = Store::create(StoreOptions::new(1 << 20).segment(Segment::Named(name.to_owned()))).unwrap();
    drop(Store::attach(store.address()).unwrap());
    drop(store);
    let folder = PathBuf::from(std::env::var_os("XDG_RUNTIME_DIR").unwrap()).join("mobula");
    format!("{:?}", std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path()).collect::<Vec<_>>())
}

#[test]
fn a_small_file_system_for_names_is_an_error_and_never_a_signal() {
    let name = Name::new("small");
    let mut command = Command::new("unshare");
    let script = "mount -t tmpfs -o size=64m tmpfs /dev/shm && exec \"$0\" \"$@\"";
    command.args(["-m", "--propagation=private", "sh", "-c", script]).arg(std::env::current_exe().unwrap());
    let may = Command::new("unshare").args(["-m", "sh", "-c", "mount -t tmpfs tmpfs /dev/shm"]).output();
    if !may.is_ok_and(|output| output.status.success()) {
        println!("not tested: this user may not mount a file system of its own");
        return;
    }
    let actor = Actor::spawn(command, &format!("fill-names {}", name.0), &name.address());
    println!("{}", actor.expect("it ended in good order").said());
}

/// Runs in the child, where 64 MB are all that named segments can have.
pub(crate) fn fill(name: &str) -> String {
    let options = |mib: usize| {
        StoreOptions::new(mib << 20).create_timeout(Duration::ZERO).segment(Segment::Named(name.to_owned()))
    };
    let too_many = Store::create(options(256).max_objects(1 << 20)).unwrap_err();
    assert!(too_many.to_string().contains("table"), "{too_many}");
    let store = Store::create(options(1024)).unwrap();
    let mut clients = vec![store];
    // Half of the memory by objects, the rest by tables of clients.
    let mut objects = 0;
    while clients[0].stats().used_bytes < 24 << 20 {
        clients[0].put(ObjectId::random(), &[1; 1 << 20]).unwrap();
        objects += 1;
    }
    let refused = loop {
        match Store::attach(clients[0].address()) {
            Ok(client) => clients.push(client),
            Err(error) => break error,
        }
    };
    assert!(refused.is_store_full(), "{refused}");
    for client in &clients {
        let full = client.put(ObjectId::random(), &[2; 4 << 20]).unwrap_err();
        assert!(full.is_store_full(), "{full}");
        for to in &clients {
            let _ = client.open_ring(to.client());
        }
    }
    eventually("the refused are forgotten", || clients[0].stats().clients == clients.len() as u64);
    clients[0].check().unwrap();
    format!("{objects} objects of 1 MiB and {} clients fit, then: {refused}", clients.len())
}
