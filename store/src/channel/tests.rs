use std::time::Duration;

use super::*;
use crate::options::StoreOptions;

fn store() -> Store {
    Store::create(StoreOptions::new(1 << 20)).expect("a store")
}

#[test]
fn positions_may_be_any_number() {
    let store = store();
    let (mut writer, mut readers) = channel_in::<u64>(&store, &ChannelOptions::new().slots(2)).unwrap();
    let board = store.list().into_iter().find_map(|object| Board::open(&store, object.id, KIND).ok());
    let board = board.expect("the channel's");
    for at in [H_TAIL, READERS + R_HEAD] {
        board.u64(at).store(u64::MAX - 1, Ordering::Relaxed);
    }
    for n in 0..6 {
        // Beyond the last number the slowest head is not smaller than the position: it must only not fail.
        let _ = writer.write_timeout(1, Duration::ZERO, |slot| slot[0] = n);
        let _ = readers[0].read_timeout(Duration::ZERO).map(drop);
    }
}

/// A type that no channel is made for, though a board may say that it is one of it.
#[repr(C, align(128))]
#[derive(Clone, Copy)]
struct Wide([u8; 128]);

// SAFETY: bytes without padding, of which any are a `Wide`.
unsafe impl bytemuck::Zeroable for Wide {}
// SAFETY: as for Zeroable.
unsafe impl Pod for Wide {}

fn forged<T: Pod>(store: &Store) -> Result<Ring> {
    let words =
        [(H_PLACES, 2), (H_BYTES, 128), (H_READERS, 1), (H_ELEMENT, size_of::<T>() as u64), (H_TYPE, type_hash::<T>())];
    Ring::of::<T>(Board::create(store, KIND, 4096, 4096, &words, ObjectOptions::new())?)
}

#[test]
fn elements_that_no_channel_can_have_are_refused() {
    let store = store();
    assert!(forged::<u64>(&store).is_ok());
    assert!(forged::<Wide>(&store).unwrap_err().is_invalid_argument());
    assert!(forged::<[u64; 0]>(&store).unwrap_err().is_invalid_argument());
}
