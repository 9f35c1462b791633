//! `mobula store list` and `stats`, for people and for programs.

use std::process;

use mobula_store::{ObjectId, Store};
use serde_json::Value;

use crate::{Served, said};

#[test]
fn a_list_names_every_object_and_its_holders() {
    let served = Served::start(&[]);
    let header = said(&served.call(&["store", "list"]));
    assert!(header.starts_with("ID ") && header.lines().count() == 1, "{header}");

    let store = Store::attach(&served.address).unwrap();
    let [a, b, c] = [1u8, 2, 3].map(|n| ObjectId::from_bytes([n; 16]));
    let view = store.put(a, &[0; 5000]).unwrap();
    let _hold = view.hold();
    drop(store.put(b, b"").unwrap());
    let _buffer = store.create_object(c, 3 << 20).unwrap();

    let pid = process::id();
    let list = said(&served.call(&["store", "list"]));
    let rows: Vec<&str> = list.lines().skip(1).collect();
    assert_eq!(rows.len(), 3, "{list}");
    let row = |id: ObjectId| *rows.iter().find(|row| row.starts_with(&id.to_string())).unwrap();
    assert!(row(a).contains("sealed") && row(a).contains("4.9 KiB") && row(a).ends_with(&format!("{pid}:1/1")));
    assert!(row(b).contains(" 0 B") && row(b).ends_with('-'));
    assert!(row(c).contains("created") && row(c).contains("3.0 MiB"));

    let lines = said(&served.call(&["store", "list", "--json"]));
    let objects: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let object = objects.iter().find(|object| object["id"] == a.to_string()).unwrap();
    assert_eq!((object["len"].as_u64(), object["state"].as_str()), (Some(5000), Some("sealed")));
    assert_eq!(object["holders"], serde_json::json!([{ "pid": pid, "views": 1, "holds": 1 }]));
}

#[test]
fn stats_add_up() {
    let served = Served::start(&[]);
    let store = Store::attach(&served.address).unwrap();
    let _view = store.put(ObjectId::random(), &[0; 1 << 20]).unwrap();
    let stats: Value = serde_json::from_str(&said(&served.call(&["store", "stats", "--json"]))).unwrap();
    let n = |name: &str| stats[name].as_u64().unwrap();
    assert_eq!(n("used_bytes") + n("free_bytes"), n("capacity_bytes"));
    assert!(n("capacity_bytes") >= 4 << 20 && n("used_bytes") >= 1 << 20);
    assert_eq!((n("objects"), n("unsealed_objects"), n("queued_creates")), (1, 0, 0));
    // The node, this process, and the one that asks.
    assert_eq!(n("clients"), 3);
    let text = said(&served.call(&["store", "stats"]));
    assert!(text.lines().any(|line| line.starts_with("capacity ") && line.ends_with("MiB")), "{text}");
    assert!(text.lines().any(|line| line.starts_with("objects ") && line.ends_with(" 1")), "{text}");
}
