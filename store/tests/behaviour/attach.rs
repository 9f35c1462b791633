//! Attaching by address (paragraph 1).

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use mobula_store::{Store, StoreOptions};

use crate::{id, store};

#[test]
fn each_attach_is_a_client_of_its_own() {
    let store = store();
    let others: Vec<Store> = (0..5).map(|_| Store::attach(store.address()).unwrap()).collect();
    assert_eq!(store.stats().clients, 6);
    store.put(id(1), b"seen by all").unwrap();
    for other in &others {
        assert_eq!(&other.get(id(1), None).unwrap()[..], b"seen by all");
    }
    let view = others[0].get(id(1), None).unwrap();
    drop(others);
    assert_eq!(store.stats().clients, 2, "a view keeps its client");
    drop(view);
    assert_eq!(store.stats().clients, 1);
    for _ in 0..600 {
        Store::attach(store.address()).unwrap();
    }
    store.check().unwrap();
}

#[test]
fn the_socket_lies_in_a_private_folder_and_goes_with_the_store() {
    let store = store();
    let socket = Path::new(store.address()).to_owned();
    let folder = socket.parent().unwrap().to_owned();
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    drop(store);
    assert!(!socket.exists() && !folder.exists());
}

#[test]
fn bad_addresses_are_errors_within_a_second() {
    let store = store();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "no socket").unwrap();
    let stale = folder.path().join("stale");
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    let long = format!("/tmp/{}", "x".repeat(200));
    let nul = "/tmp/\0x".to_owned();
    let bad = [
        String::new(),
        "no/such/socket".into(),
        "with space".into(),
        long,
        nul,
        "name:no-such-store".into(),
        "name:../x".into(),
    ];
    let paths = [file, stale, folder.path().to_owned()].map(|p| p.to_string_lossy().into_owned());
    for address in bad.iter().chain(&paths) {
        let start = Instant::now();
        assert!(Store::attach(address).is_err(), "{address:?}");
        assert!(start.elapsed() < Duration::from_secs(1), "{address:?}");
    }
    drop(store);
}

#[test]
fn a_foreign_socket_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(&[0; 100]).unwrap();
        let (stream, _) = listener.accept().unwrap();
        stream
    });
    let address = path.to_string_lossy();
    assert!(Store::attach(&address).unwrap_err().is_disconnected());
    let start = Instant::now();
    assert!(Store::attach(&address).unwrap_err().is_disconnected());
    assert!(start.elapsed() < Duration::from_secs(2));
    drop(server.join());
}

#[test]
fn hostile_and_idle_connections_delay_nobody() {
    let store = store();
    let idle: Vec<UnixStream> = (0..100).map(|_| UnixStream::connect(store.address()).unwrap()).collect();
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 8], &[255; 4000]] {
        let _ = UnixStream::connect(store.address()).unwrap().write_all(garbage);
    }
    let other = Store::attach(store.address()).unwrap();
    other.put(id(1), b"x").unwrap();
    assert_eq!(store.stats().clients, 2);
    drop(idle);
}

#[test]
fn a_living_address_is_in_use_and_a_stale_one_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let address = folder.path().join("store").to_string_lossy().into_owned();
    let options = || StoreOptions::new(1 << 20).address(address.clone());
    let store = Store::create(options()).unwrap();
    assert_eq!(store.address(), address);
    assert!(Store::create(options()).unwrap_err().is_address_in_use());
    drop(store);
    drop(std::os::unix::net::UnixListener::bind(&address).unwrap());
    Store::create(options()).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    assert!(Store::create(options()).unwrap_err().is_invalid_argument());
}

#[test]
fn nothing_is_taken_over_at_a_new_address() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let address = folder.path().join("store").to_string_lossy().into_owned();
    let options = || StoreOptions::new(1 << 20).address(address.clone()).new_address();
    let store = Store::create(options()).unwrap();
    assert!(Store::create(options()).unwrap_err().is_address_in_use());
    let survivor = Store::attach(&address).unwrap();
    drop(store);
    let fresh = Store::create(options()).unwrap();
    assert!(!fresh.adopted() && fresh.stats().clients == 1);
    drop(survivor);
}

#[test]
fn nothing_but_a_socket_is_taken_for_a_leftover() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let path = folder.path().join("precious");
    fs::write(&path, "kept").unwrap();
    let address = path.to_string_lossy().into_owned();
    assert!(Store::create(StoreOptions::new(1 << 20).address(address)).is_err());
    assert_eq!(fs::read(&path).unwrap(), b"kept");
}

#[test]
fn too_many_clients_is_an_error_that_names_the_limit() {
    let store = Store::create(StoreOptions::new(1 << 20).max_clients(5)).unwrap();
    let clients: Vec<Store> = (0..4).map(|_| Store::attach(store.address()).unwrap()).collect();
    let error = Store::attach(store.address()).unwrap_err();
    assert!(
        error.is_store_full()
            && error.to_string().contains("all 5 places")
            && error.to_string().contains("max_clients"),
        "{error}"
    );
    drop(clients);
    Store::attach(store.address()).unwrap();
}

#[test]
fn options_without_sense_are_errors() {
    for options in
        [StoreOptions::new(0), StoreOptions::new(1 << 20).max_clients(0), StoreOptions::new(1 << 20).max_objects(0)]
    {
        assert!(Store::create(options).unwrap_err().is_invalid_argument());
    }
    assert!(Store::create(StoreOptions::new(usize::MAX)).is_err());
}

#[test]
fn clients_come_and_go_from_many_threads() {
    let store = store();
    std::thread::scope(|s| {
        for thread in 0..4u8 {
            let address = store.address().to_owned();
            s.spawn(move || {
                for round in 0..60u8 {
                    let client = Store::attach(&address).unwrap();
                    let id = mobula_store::ObjectId::random();
                    let view = client.put(id, &[thread ^ round; 3000]).unwrap();
                    client.delete(id).unwrap();
                    assert_eq!(view[2999], thread ^ round);
                }
            });
        }
    });
    assert_eq!(store.stats().clients, 1);
    crate::assert_empty(&store);
}
