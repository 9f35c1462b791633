//! The bytes of a letter: kind 1, sender's client 2 + 4, position 8 (little-endian), then the frame if it carries one.

use mobula_store::ClientKey;

const HEADER: usize = 15;

/// What a letter is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It carries a frame; its position is the one behind it.
    Frame = 1,
    /// The same, and its sender wants to hear when it has been taken.
    FrameToAcknowledge = 2,
    /// What was sent to its author has been taken up to the position.
    Taken = 3,
    /// What the process had been sent before lies before it.
    Mark = 4,
    /// The process receives no more.
    End = 5,
}

/// A letter that has arrived.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) kind: Kind,
    pub(super) from: ClientKey,
    pub(super) position: u64,
    bytes: Vec<u8>,
}

impl Letter {
    /// Reads a letter; `None` if it is damaged.
    pub(super) fn read(bytes: Vec<u8>) -> Option<Letter> {
        let (header, frame) = bytes.split_first_chunk::<HEADER>()?;
        let [kind, i0, i1, g0, g1, g2, g3, position @ ..] = *header;
        let kind = match kind {
            1 => Kind::Frame,
            2 => Kind::FrameToAcknowledge,
            3 => Kind::Taken,
            4 => Kind::Mark,
            5 => Kind::End,
            _ => return None,
        };
        if matches!(kind, Kind::Frame | Kind::FrameToAcknowledge) == frame.is_empty() {
            return None;
        }
        let index = u16::from_le_bytes([i0, i1]);
        let generation = u32::from_le_bytes([g0, g1, g2, g3]);
        let from = ClientKey { index, generation };
        Some(Letter { kind, from, position: u64::from_le_bytes(position), bytes })
    }

    pub(super) fn frame(&self) -> &[u8] {
        self.bytes.get(HEADER..).unwrap_or_default()
    }
}

/// Writes a letter in place of what the buffer held.
pub(super) fn write(buffer: &mut Vec<u8>, kind: Kind, from: ClientKey, position: u64, frame: &[u8]) {
    buffer.clear();
    buffer.push(kind as u8);
    buffer.extend_from_slice(&from.index.to_le_bytes());
    buffer.extend_from_slice(&from.generation.to_le_bytes());
    buffer.extend_from_slice(&position.to_le_bytes());
    buffer.extend_from_slice(frame);
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: ClientKey = ClientKey { index: 7, generation: 0x0102_0304 };

    #[test]
    fn a_letter_reads_back() {
        let mut bytes = vec![9; 100];
        write(&mut bytes, Kind::FrameToAcknowledge, KEY, u64::MAX - 1, b"frame");
        let letter = Letter::read(bytes).unwrap();
        assert_eq!((letter.kind, letter.from, letter.position), (Kind::FrameToAcknowledge, KEY, u64::MAX - 1));
        assert_eq!(letter.frame(), b"frame");
    }

    #[test]
    fn nonsense_is_refused_as_a_whole() {
        let mut bytes = Vec::new();
        write(&mut bytes, Kind::Frame, KEY, 1, b"f");
        for end in 0..bytes.len() {
            assert!(Letter::read(bytes[..end].to_vec()).is_none(), "cut at {end}");
        }
        for kind in [0, 6, 255] {
            bytes[0] = kind;
            assert!(Letter::read(bytes.clone()).is_none(), "kind {kind}");
        }
        write(&mut bytes, Kind::Taken, KEY, 1, b"more than that");
        assert!(Letter::read(bytes).is_none());
    }
}
