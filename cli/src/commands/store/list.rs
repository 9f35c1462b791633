//! `mobula store list`: one line for each object.

use mobula_store::{Holder, ObjectInfo, ObjectState, Store};
use serde::Serialize;

use crate::args::At;
use crate::failure::Failure;
use crate::output::Output;
use crate::size;

/// An object as programs read it.
#[derive(Debug, Serialize)]
struct Line {
    id: String,
    state: &'static str,
    len: u64,
    metadata_len: u64,
    creator_pid: u32,
    holders: Vec<HolderLine>,
    age_seconds: f64,
}

#[derive(Debug, Serialize)]
struct HolderLine {
    pid: u32,
    views: u32,
    holds: u32,
}

pub(crate) fn run(at: &At, out: &mut Output) -> Result<(), Failure> {
    let store = Store::attach_read_only(&at.address)?;
    let mut objects = store.list();
    objects.sort_by_key(|info| (std::cmp::Reverse(info.age), info.id));
    if at.json {
        return objects.iter().try_for_each(|info| out.json(&line(info)));
    }
    let rows: Vec<_> = objects.iter().map(row).collect();
    out.table(
        ["ID", "STATE", "SIZE", "METADATA", "AGE", "CREATOR", "HOLDERS (PID:VIEWS/HOLDS)"],
        [false, false, true, true, true, true, false],
        &rows,
    )
}

fn row(info: &ObjectInfo) -> [String; 7] {
    let holder = |h: &Holder| format!("{}:{}/{}", h.pid, h.views, h.holds);
    let holders: Vec<String> = info.holders.iter().map(holder).collect();
    [
        info.id.to_string(),
        state(info.state).to_owned(),
        size::bytes(info.len),
        size::bytes(info.metadata_len),
        size::age(info.age),
        info.creator_pid.to_string(),
        if holders.is_empty() { "-".to_owned() } else { holders.join(" ") },
    ]
}

fn line(info: &ObjectInfo) -> Line {
    Line {
        id: info.id.to_string(),
        state: state(info.state),
        len: info.len,
        metadata_len: info.metadata_len,
        creator_pid: info.creator_pid,
        holders: info.holders.iter().map(|h| HolderLine { pid: h.pid, views: h.views, holds: h.holds }).collect(),
        age_seconds: info.age.as_secs_f64(),
    }
}

fn state(state: ObjectState) -> &'static str {
    match state {
        ObjectState::Created => "created",
        ObjectState::Sealed => "sealed",
        ObjectState::Spilled => "spilled",
        ObjectState::Deleted => "deleted",
        _ => "unknown",
    }
}
