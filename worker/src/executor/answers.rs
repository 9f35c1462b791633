//! Answers: what a call or task has given, on its way to the caller.

use std::sync::Arc;

use mobula_store::{ClientKey, ObjectHold, ObjectId};

use crate::call;
use crate::core::Core;
use crate::error::{Error, Result};
use crate::frames::{self, BODY_LIMIT, Nonce};
use crate::outbox::Peer;
use crate::returns::ReturnWriter;
use crate::value::{self, INLINE_LIMIT, TAG_VALUE};

pub(super) fn answer_error(core: &Core, to: ClientKey, call: u64, error: &Error) {
    call::with_writer(|frame| {
        frame.failed(call, &error.to_bytes());
        core.answer(&core.peer(to), frame.bytes(), Vec::new());
    });
}

/// Sends the results of a call, small ones inside the frame, the others through the store.
///
/// False if the answer waits for room.
pub(super) fn answer(
    core: &Core,
    to: &Arc<Peer>,
    call: u64,
    nonce: Nonce,
    outcome: Result<()>,
    values: &mut ReturnWriter,
) -> bool {
    call::with_writer(|frame| {
        let mut all_holds = Vec::new();
        let written = outcome.and_then(|()| {
            frame.done(call, values.len() as u8);
            let mut room = BODY_LIMIT;
            for index in 0..values.len() {
                let id_index = values.id_index(index);
                let (bytes, holds) = values.take(index);
                let size = bytes.len() + 16 * holds.len();
                // Every value that follows needs room for an id at least.
                if bytes.len() <= INLINE_LIMIT && size + 32 * (values_left(index)) <= room {
                    frame.inline(bytes, holds.iter().map(ObjectHold::id));
                    all_holds.extend(holds);
                    room -= size;
                } else {
                    let id = frames::object_id(nonce, call, id_index);
                    let hold = store_result(core, id, bytes, &holds)?;
                    frame.stored(hold.id());
                    all_holds.push(hold);
                    room -= 32;
                }
            }
            Ok(())
        });
        if let Err(error) = written {
            frame.failed(call, &error.to_bytes());
            all_holds.clear();
        }
        core.answer(to, frame.bytes(), all_holds)
    })
}

/// A call has at most eight results.
const fn values_left(index: usize) -> usize {
    8usize.saturating_sub(index)
}

/// Puts a result into the store under its ref's id, or another one if the caller has promised that
/// id to others already.
fn store_result(core: &Core, id: ObjectId, bytes: &[u8], holds: &[ObjectHold]) -> Result<ObjectHold> {
    match value::store_bytes(core.store(), id, bytes, holds, TAG_VALUE, None) {
        Err(error) if error.is_exists() => {
            value::store_bytes(core.store(), ObjectId::random(), bytes, holds, TAG_VALUE, None)
        }
        other => other,
    }
    .map_err(|error| Error::from_store(&error, "the result of a call"))
}
