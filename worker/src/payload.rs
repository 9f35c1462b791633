//! Arguments on their way through the node: inside the message, or in an object of the store.

use std::time::Duration;

use mobula_scheduler::protocol::Payload;
use mobula_store::{ObjectHold, ObjectId, Store};

use crate::arg::Args;
use crate::error::{Error, Result};
use crate::value::{self, Bytes, TAG_VALUE};

/// Arguments above this many bytes go into the store.
const LIMIT: usize = 64 << 10;

const INLINE: u8 = 0;
const STORED: u8 = 1;

/// Packs filled arguments; returns the hold of the object that they were put into, if they were.
pub(crate) fn pack(store: &Store, args: &Args, patience: Option<Duration>) -> Result<(Payload, Option<ObjectHold>)> {
    let (bytes, holds) = args.parts();
    if bytes.len() <= LIMIT {
        let ids = holds.iter().map(ObjectHold::id).collect();
        let mut framed = Vec::with_capacity(bytes.len() + 1);
        framed.push(INLINE);
        framed.extend_from_slice(bytes);
        return Ok((Payload { bytes: framed, ids }, None));
    }
    let hold = value::store_bytes(store, ObjectId::random(), bytes, holds, TAG_VALUE, patience)
        .map_err(|error| Error::from_store(&error, "the arguments"))?;
    let mut framed = vec![STORED];
    framed.extend_from_slice(hold.id().as_bytes());
    Ok((Payload { bytes: framed, ids: vec![hold.id()] }, Some(hold)))
}

/// Arguments where they are used, with holds of everything inside them.
pub(crate) enum Received {
    /// The holds keep alive what the bytes refer to.
    Inline(Bytes, #[expect(dead_code, reason = "held, not read")] Vec<ObjectHold>),
    Stored(ObjectHold),
}

impl Received {
    /// Lends the bytes to `f`.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&[u8]) -> R) -> Result<R> {
        match self {
            Received::Inline(bytes, _) => Ok(f(bytes)),
            Received::Stored(hold) => Ok(f(&value::sealed(hold)?)),
        }
    }
}

/// Takes holds of everything in a payload.
pub(crate) fn receive(store: &Store, payload: &Payload) -> Result<Received> {
    let damaged = || Error::system("arguments arrived damaged");
    let lost = |error| Error::from_store(&error, "an argument");
    let (tag, rest) = payload.bytes.split_first().ok_or_else(damaged)?;
    match *tag {
        INLINE => {
            let holds = payload.ids.iter().map(|id| store.hold(*id)).collect::<Result<_, _>>().map_err(lost)?;
            Ok(Received::Inline(rest.into(), holds))
        }
        STORED => {
            let id: [u8; 16] = rest.try_into().map_err(|_| damaged())?;
            Ok(Received::Stored(store.hold(ObjectId::from_bytes(id)).map_err(lost)?))
        }
        _ => Err(damaged()),
    }
}
