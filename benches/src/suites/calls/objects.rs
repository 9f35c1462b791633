//! Values that are put and got.
//!
//! | row | what is timed |
//! |---|---|
//! | `put_1KB`, `get_1KB` | `mobula::put` and `get` of a `Vec<u8>`; the ref's drop is not counted |
//! | `put_1KB_text`, `get_1KB_text` | the same of a `String`, which serde hands over in one piece |
//! | `get_10k_refs` | get of a list of 10,000 refs that a task made, with the list's drop |

use std::hint::black_box;

use mobula::prelude::*;
use mobula::serde::{Serialize, de::DeserializeOwned};

use crate::error::{Result, check};
use crate::limits::Limit;
use crate::sample::{Samples, singles};
use crate::session::{Figure, Session};
use crate::suites::cast;

use super::NAME;

const SMALL: usize = 1024;
/// Objects that are alive at once while they are put and read.
const OBJECTS: usize = 100;
/// Refs in one list.
const REFS: u64 = 10_000;

pub(super) fn measure(session: &mut Session<'_>) -> Result<()> {
    const ROW: &str = "get_10k_refs";
    values(session, "put_1KB", "get_1KB", vec![7_u8; SMALL])?;
    values(session, "put_1KB_text", "get_1KB_text", "x".repeat(SMALL))?;
    session.begin(ROW);
    let samples = list_of_refs(session, ROW)?;
    session.emit(NAME, ROW, Figure::of(&samples), None)
}

fn values<T>(session: &mut Session<'_>, put_row: &'static str, get_row: &'static str, value: T) -> Result<()>
where
    T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    session.begin(put_row);
    let clock = session.clock();
    let (mut puts, mut gets) = (Vec::new(), Vec::new());
    for _ in 0..session.count(1_000, 100) {
        let mut refs = Vec::with_capacity(OBJECTS);
        for _ in 0..OBJECTS {
            let start = clock.now();
            let object = mobula::put(black_box(&value))?;
            puts.push(clock.since(start));
            refs.push(object);
        }
        for object in &refs {
            let start = clock.now();
            let got = mobula::get(object)?;
            gets.push(clock.since(start));
            check(get_row, &got, &value)?;
        }
    }
    session.emit(NAME, put_row, Figure::of(&Samples::new(puts)), Some(Limit::Copy1KB.name()))?;
    session.emit(NAME, get_row, Figure::of(&Samples::new(gets)), Some(Limit::Copy1KB.name()))
}

/// Times gets of a list of [`REFS`] refs.
pub(crate) fn list_of_refs(session: &Session<'_>, row: &'static str) -> Result<Samples> {
    let list: ObjectRef<Vec<ObjectRef<u64>>> = cast::many_refs::remote(REFS);
    let first = mobula::get(&list)?;
    check(row, mobula::get(&first[REFS as usize - 1])?, REFS - 1)?;
    drop(first);
    singles(session.clock(), session.count(200, 10), |_| check(row, mobula::get(&list)?.len() as u64, REFS))
}
