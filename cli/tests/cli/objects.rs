//! `mobula store put`, `get` and `delete`: bytes in, the same bytes out.

use std::io::Read;
use std::process::Stdio;

use mobula_store::Store;

use crate::{Served, failed, feed, mobula, said};

#[test]
fn bytes_come_back_as_they_were() {
    let served = Served::start(&[]);
    let data: Vec<u8> = (0..100_000u32).flat_map(u32::to_le_bytes).collect();
    let file = served.folder.path().join("data");
    std::fs::write(&file, &data).unwrap();
    let from_file = said(&served.call(&["store", "put", file.to_str().unwrap(), "--metadata", "four bytes each"]));
    let get = served.call(&["store", "get", from_file.trim_end()]);
    assert!(get.status.success() && get.stdout == data);
    let metadata = said(&served.call(&["store", "get", from_file.trim_end(), "--metadata"]));
    assert_eq!(metadata, "four bytes each");

    let id = "00112233445566778899aabbccddeeff";
    let piped = feed(&["store", "put", "--address", &served.address, "--id", id, "-", "--json"], b"from a pipe");
    assert_eq!(said(&piped), format!("{{\"id\":\"{id}\",\"len\":11}}\n"));
    assert_eq!(said(&served.call(&["store", "get", id])), "from a pipe");
    let empty = said(&feed(&["store", "put", "--address", &served.address], b""));
    assert_eq!(said(&served.call(&["store", "get", empty.trim_end()])), "");
}

#[test]
fn what_cannot_be_done_is_said() {
    let served = Served::start(&[]);
    let id = "00112233445566778899aabbccddeeff";
    let missing = failed(&served.call(&["store", "get", id, "--timeout", "0.01"]));
    assert_eq!(missing, format!("mobula: object {id} was not sealed within 10ms\n"));
    assert_eq!(failed(&served.call(&["store", "delete", id])), format!("mobula: object {id} does not exist\n"));
    said(&served.call(&["store", "put", "--id", id, "/proc/self/cmdline"]));
    let again = failed(&served.call(&["store", "put", "--id", id, "/proc/self/cmdline"]));
    assert_eq!(again, format!("mobula: object {id} exists already\n"));
    let large = served.folder.path().join("large");
    std::fs::File::create(&large).unwrap().set_len(1 << 40).unwrap();
    let full = failed(&served.call(&["store", "put", large.to_str().unwrap()]));
    assert!(full.contains("can never fit"), "{full}");
    let nowhere = failed(&served.call(&["store", "put", "no such file"]));
    assert!(nowhere.starts_with("mobula: could not open no such file: "), "{nowhere}");
}

#[test]
fn deletion_says_what_it_did() {
    let served = Served::start(&[]);
    let put = || said(&served.call(&["store", "put", "/proc/self/cmdline"])).trim_end().to_owned();
    let id = put();
    assert_eq!(said(&served.call(&["store", "delete", &id])), "");
    let id = put();
    let view = Store::attach(&served.address).unwrap().get(id.parse().unwrap(), None).unwrap();
    assert!(said(&served.call(&["store", "delete", &id])).starts_with("in use"));
    drop(view);
    let id = put();
    let deleted = said(&served.call(&["store", "delete", &id, "--json"]));
    assert_eq!(deleted, format!("{{\"id\":\"{id}\",\"deleted\":\"now\"}}\n"));
    assert_eq!(Store::attach(&served.address).unwrap().stats().objects, 0);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let served = Served::start(&[]);
    let file = served.folder.path().join("data");
    std::fs::write(&file, vec![7; 2 << 20]).unwrap();
    let id = said(&served.call(&["store", "put", file.to_str().unwrap()]));
    let mut get = mobula(&["store", "get", id.trim_end(), "--address", &served.address]);
    let mut child = get.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut few = [0; 10];
    child.stdout.take().unwrap().read_exact(&mut few).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(said(&output), "");
    assert_eq!(few, [7; 10]);
}
