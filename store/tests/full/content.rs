//! What objects contain: every byte follows from the id and the length.

use mobula_store::{ObjectId, ObjectView};

use crate::random::mix;

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Returns the id of an author's object.
pub(crate) fn id(author: u8, number: u64) -> ObjectId {
    let mut bytes = [author; 16];
    bytes[8..].copy_from_slice(&number.to_le_bytes());
    ObjectId::from_bytes(bytes)
}

fn first(id: ObjectId, len: usize) -> u64 {
    id.as_bytes()
        .chunks_exact(8)
        .fold(len as u64, |seed, part| mix(seed ^ part.first_chunk().map_or(0, |word| u64::from_le_bytes(*word))))
}

/// Writes the bytes that an object has.
pub(crate) fn fill(id: ObjectId, data: &mut [u8]) {
    let mut next = first(id, data.len());
    let mut words = data.chunks_exact_mut(8);
    for word in &mut words {
        word.copy_from_slice(&next.to_le_bytes());
        next = next.wrapping_add(STEP);
    }
    let rest = words.into_remainder();
    let len = rest.len();
    rest.copy_from_slice(&next.to_le_bytes()[..len]);
}

/// Looks at every byte of an object; the error says which one is wrong.
pub(crate) fn verify(view: &ObjectView) -> Result<(), String> {
    let mut next = first(view.id(), view.len());
    let (words, rest) = view.as_chunks::<8>();
    for (i, word) in words.iter().enumerate() {
        if u64::from_le_bytes(*word) != next {
            return Err(wrong(view, i * 8, next));
        }
        next = next.wrapping_add(STEP);
    }
    if *rest == next.to_le_bytes()[..rest.len()] { Ok(()) } else { Err(wrong(view, words.len() * 8, next)) }
}

fn wrong(view: &ObjectView, at: usize, right: u64) -> String {
    let (id, len, found) = (view.id(), view.len(), &view[at..view.len().min(at + 8)]);
    format!("object {id} of {len} bytes is wrong at {at}: {found:02x?}, not {right:#018x}")
}
