//! What travels in the rings between two processes: calls and their answers.
//!
//! ```text
//!   caller                                   callee
//!     | Call{call, nonce, actor, method, args} ->|  into its executor's queue, args' holds adopted
//!     |<- Done{call, values | error} ------------|  completes the caller's pending entry
//!     |                                          |
//!     | Task{lease, call, function, args} ------>|  into the queue of the lease's seat
//!     |<- Done, or Returned{call} ---------------|  not begun: it waits in the caller's queue again
//!     | Recall{lease} -------------------------->|  return what has not begun
//!     |<- Closed{lease} -------------------------|  nothing more of it begins there
//!     |<- Item{call, value | error} -------------|  the next one of a stream (stream.rs)
//!     | Taken{task, count} --------------------->|  so many items need no place any more
//!     |                                          |
//!     | Cancel{task, how} ---------------------->|  do not begin it, or tell it to stop
//!     | Forget{task} --------------------------->|  it is answered: need not be looked for
//! ```
//!
//! A frame is at most [`MAX_FRAME`] bytes. Integers are LEB128, everything else raw bytes. Each
//! frame lists the ids of the objects inside its values apart from the values' own bytes, so that a
//! receiver takes its holds without decoding a value.
//!
//! - **WK-3** A frame is written and read here only; a frame that is short, long or unknown is
//!   refused as a whole, never half obeyed.
//! - **WK-4** The receiver adopts a hold of every listed id before it gives the frame's space back.

use mobula_scheduler::ids::{ActorId, TaskId};
use mobula_store::{MAX_FRAME, ObjectHold, ObjectId};

const CALL: u8 = 1;
const DONE: u8 = 2;
const FAILED: u8 = 3;
const TASK: u8 = 4;
const RECALL: u8 = 5;
const RETURNED: u8 = 6;
/// A call that says which group it is in.
const GROUPED: u8 = 7;
const CANCEL: u8 = 10;
const FORGET: u8 = 11;
const CLOSED: u8 = 12;
const ITEM: u8 = 13;
/// An item that is an error.
const FAILED_ITEM: u8 = 14;
const TAKEN: u8 = 15;

const INLINE: u8 = 0;
const STORED: u8 = 1;

/// The most bytes that arguments or the values of one answer may take inside a frame, ids included.
pub(crate) const BODY_LIMIT: usize = MAX_FRAME - 256;

/// The first number of an object id: which process's runtime drew it.
pub(crate) type Nonce = u64;

/// Makes the id of a return value, or with [`PUT_INDEX`] of a put object.
pub(crate) fn object_id(nonce: Nonce, call: u64, index: u8) -> ObjectId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&nonce.to_le_bytes());
    bytes[8..].copy_from_slice(&(call << 8 | u64::from(index)).to_le_bytes());
    ObjectId::from_bytes(bytes)
}

/// Returns the nonce and the number that [`object_id`] made an id of.
pub(crate) fn nonce_and_number(id: ObjectId) -> (Nonce, u64) {
    let (mut nonce, mut number) = ([0; 8], [0; 8]);
    nonce.copy_from_slice(&id.as_bytes()[..8]);
    number.copy_from_slice(&id.as_bytes()[8..]);
    (Nonce::from_le_bytes(nonce), u64::from_le_bytes(number) >> 8)
}

/// Returns nonce, number and index that [`object_id`] made an id of.
pub(crate) fn parts(id: ObjectId) -> (Nonce, u64, u8) {
    let (nonce, number) = nonce_and_number(id);
    (nonce, number, id.as_bytes()[8])
}

/// The index of a task's first result; those of an actor's call begin at 0.
pub(crate) const TASK_RESULTS: u8 = 8;

/// The index of objects that come from `put` in [`object_id`].
pub(crate) const PUT_INDEX: u8 = 255;

/// The ids inside a value or argument list, still in the frame.
#[derive(Clone, Copy, Default)]
pub(crate) struct Ids<'a>(&'a [u8]);

impl<'a> Ids<'a> {
    pub(crate) fn iter(self) -> impl Iterator<Item = ObjectId> + 'a {
        self.0.chunks_exact(16).map(|chunk| {
            let mut bytes = [0; 16];
            bytes.copy_from_slice(chunk);
            ObjectId::from_bytes(bytes)
        })
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0.is_empty()
    }
}

/// Bytes in the frame, or the object that holds them.
pub(crate) enum Body<'a> {
    Inline(&'a [u8], Ids<'a>),
    Stored(ObjectId),
}

/// What a call asks its actor for.
#[derive(Debug, Default)]
pub(crate) struct Method {
    /// The method's number in the class.
    pub(crate) index: u16,
    /// The group that this call is to be in, if not that of its method.
    pub(crate) group: Option<Box<str>>,
}

/// A call of an actor's method.
pub(crate) struct CallFrame<'a> {
    pub(crate) call: u64,
    pub(crate) nonce: Nonce,
    pub(crate) actor: ActorId,
    pub(crate) method: u16,
    pub(crate) depth: u32,
    /// The group that the call asks for.
    pub(crate) group: Option<&'a str>,
    pub(crate) args: Body<'a>,
}

/// A task for a lease.
pub(crate) struct TaskFrame<'a> {
    /// The caller's number of the lease.
    pub(crate) lease: u64,
    pub(crate) nonce: Nonce,
    pub(crate) call: u64,
    /// The function's code in the registry.
    pub(crate) function: u64,
    pub(crate) depth: u32,
    pub(crate) args: Body<'a>,
}

/// One frame, read.
pub(crate) enum Frame<'a> {
    Call(CallFrame<'a>),
    Task(TaskFrame<'a>),
    Recall {
        lease: u64,
        nonce: Nonce,
    },
    Returned {
        call: u64,
    },
    Cancel {
        task: TaskId,
        force: bool,
        recursive: bool,
    },
    Forget {
        task: TaskId,
    },
    Closed {
        lease: u64,
    },
    Done {
        call: u64,
        values: Values<'a>,
    },
    Failed {
        call: u64,
        error: &'a [u8],
    },
    Item {
        call: u64,
        value: Body<'a>,
    },
    FailedItem {
        call: u64,
        error: &'a [u8],
    },
    /// How many items of a stream have been taken in all.
    Taken {
        task: TaskId,
        count: u64,
    },
}

/// The values of an answer, read one by one.
pub(crate) struct Values<'a> {
    left: u8,
    reader: Reader<'a>,
}

impl<'a> Iterator for Values<'a> {
    type Item = Option<Body<'a>>;

    /// Gives the next value; `Some(None)` if the frame is damaged.
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        Some(self.reader.body())
    }
}

/// Reads a frame; `None` if it is damaged.
pub(crate) fn read(frame: &[u8]) -> Option<Frame<'_>> {
    let mut reader = Reader(frame);
    match reader.byte()? {
        kind @ (CALL | GROUPED) => {
            let call = reader.number()?;
            let nonce = u64::from_le_bytes(reader.array()?);
            let actor = ActorId::from_object(ObjectId::from_bytes(reader.array()?));
            let method = u16::try_from(reader.number()?).ok()?;
            let depth = u32::try_from(reader.number()?).ok()?;
            let group = match kind {
                GROUPED => Some(std::str::from_utf8(reader.bytes()?).ok()?),
                _ => None,
            };
            Some(Frame::Call(CallFrame { call, nonce, actor, method, depth, group, args: reader.body()? }))
        }
        TASK => {
            let lease = u64::from_le_bytes(reader.array()?);
            let nonce = u64::from_le_bytes(reader.array()?);
            let call = reader.number()?;
            let function = u64::from_le_bytes(reader.array()?);
            let depth = u32::try_from(reader.number()?).ok()?;
            Some(Frame::Task(TaskFrame { lease, nonce, call, function, depth, args: reader.body()? }))
        }
        RECALL => {
            let lease = u64::from_le_bytes(reader.array()?);
            Some(Frame::Recall { lease, nonce: u64::from_le_bytes(reader.array()?) })
        }
        RETURNED => Some(Frame::Returned { call: reader.number()? }),
        CANCEL => {
            let task = TaskId::from_object(ObjectId::from_bytes(reader.array()?));
            let how = reader.byte()?;
            Some(Frame::Cancel { task, force: how & 1 != 0, recursive: how & 2 != 0 })
        }
        CLOSED => Some(Frame::Closed { lease: u64::from_le_bytes(reader.array()?) }),
        FORGET => Some(Frame::Forget { task: TaskId::from_object(ObjectId::from_bytes(reader.array()?)) }),
        DONE => {
            let call = reader.number()?;
            let left = reader.byte()?;
            Some(Frame::Done { call, values: Values { left, reader } })
        }
        FAILED => {
            let call = reader.number()?;
            Some(Frame::Failed { call, error: reader.bytes()? })
        }
        ITEM => {
            let call = reader.number()?;
            Some(Frame::Item { call, value: reader.body()? })
        }
        FAILED_ITEM => {
            let call = reader.number()?;
            Some(Frame::FailedItem { call, error: reader.bytes()? })
        }
        TAKEN => {
            let task = TaskId::from_object(ObjectId::from_bytes(reader.array()?));
            Some(Frame::Taken { task, count: reader.number()? })
        }
        _ => None,
    }
}

/// Returns the number of the call that an answer belongs to.
pub(crate) fn call_of(frame: &[u8]) -> Option<u64> {
    match read(frame)? {
        Frame::Done { call, .. } | Frame::Failed { call, .. } => Some(call),
        _ => None,
    }
}

/// Says which lease a task goes to; its frame is otherwise the same for all of them.
pub(crate) fn set_lease(task: &mut [u8], lease: u64) {
    if let Some(place) = task.get_mut(1..9) {
        place.copy_from_slice(&lease.to_le_bytes());
    }
}

/// Writes frames into a buffer that is used again and again.
#[derive(Debug, Default)]
pub(crate) struct FrameWriter {
    buffer: Vec<u8>,
}

impl FrameWriter {
    /// Starts a call; the arguments must follow.
    pub(crate) fn call(&mut self, call: u64, nonce: Nonce, actor: ActorId, method: &Method, depth: u32) {
        self.buffer.clear();
        self.buffer.push(if method.group.is_none() { CALL } else { GROUPED });
        self.number(call);
        self.buffer.extend_from_slice(&nonce.to_le_bytes());
        self.buffer.extend_from_slice(actor.object().as_bytes());
        self.number(u64::from(method.index));
        self.number(u64::from(depth));
        if let Some(group) = &method.group {
            self.number(group.len() as u64);
            self.buffer.extend_from_slice(group.as_bytes());
        }
    }

    /// Starts a task for a lease that is yet to be set; the arguments must follow.
    pub(crate) fn task(&mut self, call: u64, nonce: Nonce, function: u64, depth: u32) {
        self.buffer.clear();
        self.buffer.push(TASK);
        self.buffer.extend_from_slice(&[0; 8]);
        self.buffer.extend_from_slice(&nonce.to_le_bytes());
        self.number(call);
        self.buffer.extend_from_slice(&function.to_le_bytes());
        self.number(u64::from(depth));
    }

    /// Writes the wish to have back what a lease has not begun.
    pub(crate) fn recall(&mut self, lease: u64, nonce: Nonce) {
        self.buffer.clear();
        self.buffer.push(RECALL);
        self.buffer.extend_from_slice(&lease.to_le_bytes());
        self.buffer.extend_from_slice(&nonce.to_le_bytes());
    }

    /// Writes that nothing more of a lease begins.
    pub(crate) fn closed(&mut self, lease: u64) {
        self.buffer.clear();
        self.buffer.push(CLOSED);
        self.buffer.extend_from_slice(&lease.to_le_bytes());
    }

    /// Writes that a task has not begun and goes back.
    pub(crate) fn returned(&mut self, call: u64) {
        self.buffer.clear();
        self.buffer.push(RETURNED);
        self.number(call);
    }

    /// Writes that a call is not wanted any more.
    pub(crate) fn cancel(&mut self, task: TaskId, force: bool, recursive: bool) {
        self.buffer.clear();
        self.buffer.push(CANCEL);
        self.buffer.extend_from_slice(task.object().as_bytes());
        self.buffer.push(u8::from(force) | u8::from(recursive) << 1);
    }

    /// Writes that a call that was not wanted any more is answered.
    pub(crate) fn forget(&mut self, task: TaskId) {
        self.buffer.clear();
        self.buffer.push(FORGET);
        self.buffer.extend_from_slice(task.object().as_bytes());
    }

    /// Starts an answer of `count` values, which must follow.
    pub(crate) fn done(&mut self, call: u64, count: u8) {
        self.buffer.clear();
        self.buffer.push(DONE);
        self.number(call);
        self.buffer.push(count);
    }

    /// Writes an answer that is an error.
    pub(crate) fn failed(&mut self, call: u64, error: &[u8]) {
        self.buffer.clear();
        self.buffer.push(FAILED);
        self.number(call);
        self.number(error.len() as u64);
        self.buffer.extend_from_slice(error);
    }

    /// Starts an item of a stream, whose value must follow.
    pub(crate) fn item(&mut self, call: u64) {
        self.buffer.clear();
        self.buffer.push(ITEM);
        self.number(call);
    }

    /// Writes an item of a stream that is an error.
    pub(crate) fn failed_item(&mut self, call: u64, error: &[u8]) {
        self.buffer.clear();
        self.buffer.push(FAILED_ITEM);
        self.number(call);
        self.number(error.len() as u64);
        self.buffer.extend_from_slice(error);
    }

    /// Writes how many items of a stream have been taken in all.
    pub(crate) fn taken(&mut self, task: TaskId, count: u64) {
        self.buffer.clear();
        self.buffer.push(TAKEN);
        self.buffer.extend_from_slice(task.object().as_bytes());
        self.number(count);
    }

    /// Adds a body with its bytes in the frame.
    pub(crate) fn inline(&mut self, bytes: &[u8], ids: impl ExactSizeIterator<Item = ObjectId>) {
        self.buffer.push(INLINE);
        self.number(bytes.len() as u64);
        self.buffer.extend_from_slice(bytes);
        self.number(ids.len() as u64);
        for id in ids {
            self.buffer.extend_from_slice(id.as_bytes());
        }
    }

    /// Adds arguments: the object that they were put into, if they were, else themselves.
    pub(crate) fn args(&mut self, spilled: Option<&ObjectHold>, bytes: &[u8], holds: &[ObjectHold]) {
        match spilled {
            Some(hold) => self.stored(hold.id()),
            None => self.inline(bytes, holds.iter().map(ObjectHold::id)),
        }
    }

    /// Adds a body that lies in the store.
    pub(crate) fn stored(&mut self, id: ObjectId) {
        self.buffer.push(STORED);
        self.buffer.extend_from_slice(id.as_bytes());
    }

    /// Returns the frame.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.buffer.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.buffer.push(value as u8);
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (first, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(first)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.number()?).ok()?;
        self.take(len)
    }

    fn body(&mut self) -> Option<Body<'a>> {
        match self.byte()? {
            INLINE => {
                let bytes = self.bytes()?;
                let count = usize::try_from(self.number()?).ok()?;
                Some(Body::Inline(bytes, Ids(self.take(count.checked_mul(16)?)?)))
            }
            STORED => Some(Body::Stored(ObjectId::from_bytes(self.array()?))),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actor() -> ActorId {
        ActorId::from_object(ObjectId::from_bytes([9; 16]))
    }

    #[test]
    fn items_and_their_count_read_back() {
        let mut writer = FrameWriter::default();
        writer.item(300);
        writer.inline(b"item", [ObjectId::from_bytes([1; 16])].into_iter());
        let Some(Frame::Item { call: 300, value: Body::Inline(b"item", ids) }) = read(writer.bytes()) else {
            panic!("not an item")
        };
        assert_eq!(ids.iter().count(), 1);
        writer.failed_item(301, b"error");
        assert!(matches!(read(writer.bytes()), Some(Frame::FailedItem { call: 301, error: b"error" })));
        let task = TaskId::from_object(ObjectId::from_bytes([3; 16]));
        writer.taken(task, 1 << 40);
        let Some(Frame::Taken { task: read_task, count }) = read(writer.bytes()) else { panic!("not a count") };
        assert_eq!((read_task, count), (task, 1 << 40));
    }

    #[test]
    fn a_call_reads_back() {
        let ids = [ObjectId::from_bytes([1; 16]), ObjectId::from_bytes([2; 16])];
        let mut writer = FrameWriter::default();
        writer.call(300, 77, actor(), &Method { index: 5, group: None }, 2);
        writer.inline(b"args", ids.iter().copied());
        let Some(Frame::Call(call)) = read(writer.bytes()) else { panic!("not a call") };
        assert_eq!((call.call, call.nonce, call.actor, call.method, call.depth), (300, 77, actor(), 5, 2));
        assert_eq!(call.group, None);
        let Body::Inline(bytes, found) = call.args else { panic!("not inline") };
        assert_eq!(bytes, b"args");
        assert_eq!(found.iter().collect::<Vec<_>>(), ids);
    }

    #[test]
    fn a_task_reads_back_with_the_lease_that_was_set_last() {
        let mut writer = FrameWriter::default();
        writer.task(300, 77, u64::MAX, 2);
        writer.inline(b"args", [].into_iter());
        let mut frame = writer.bytes().to_vec();
        set_lease(&mut frame, 8);
        set_lease(&mut frame, 9);
        let Some(Frame::Task(task)) = read(&frame) else { panic!("not a task") };
        assert_eq!((task.lease, task.nonce, task.call, task.function, task.depth), (9, 77, 300, u64::MAX, 2));
        assert!(matches!(task.args, Body::Inline(b"args", _)));
        for end in 0..frame.len() {
            assert!(read(&frame[..end]).is_none(), "cut at {end}");
        }
    }

    #[test]
    fn what_goes_back_reads_back() {
        let mut writer = FrameWriter::default();
        writer.returned(300);
        assert!(matches!(read(writer.bytes()), Some(Frame::Returned { call: 300 })));
        writer.recall(5, 77);
        assert!(matches!(read(writer.bytes()), Some(Frame::Recall { lease: 5, nonce: 77 })));
        writer.closed(5);
        assert!(matches!(read(writer.bytes()), Some(Frame::Closed { lease: 5 })));
        let id = TaskId::random();
        writer.cancel(id, true, false);
        assert!(
            matches!(read(writer.bytes()), Some(Frame::Cancel { task, force: true, recursive: false }) if task == id)
        );
        assert!(read(&writer.bytes()[..17]).is_none());
        writer.forget(id);
        assert!(matches!(read(writer.bytes()), Some(Frame::Forget { task }) if task == id));
        assert_eq!(parts(object_id(77, 300, 9)), (77, 300, 9));
    }

    #[test]
    fn an_answer_reads_back() {
        let mut writer = FrameWriter::default();
        writer.done(1, 2);
        writer.inline(b"", [].into_iter());
        writer.stored(ObjectId::from_bytes([3; 16]));
        let Some(Frame::Done { call: 1, mut values }) = read(writer.bytes()) else { panic!("not an answer") };
        assert!(matches!(values.next(), Some(Some(Body::Inline(b"", _)))));
        assert!(matches!(values.next(), Some(Some(Body::Stored(_)))));
        assert!(values.next().is_none());
    }

    #[test]
    fn every_cut_of_a_frame_is_refused_or_read_as_damaged() {
        let mut writer = FrameWriter::default();
        writer.call(u64::MAX, 77, actor(), &Method { index: 5, group: Some("io".into()) }, 2);
        writer.inline(b"args", [ObjectId::from_bytes([1; 16])].into_iter());
        assert!(matches!(read(writer.bytes()), Some(Frame::Call(CallFrame { group: Some("io"), .. }))));
        for end in 0..writer.bytes().len() {
            assert!(read(&writer.bytes()[..end]).is_none(), "cut at {end}");
        }
    }

    #[test]
    fn hostile_bytes_do_not_panic() {
        let mut state = 1u64;
        for len in 0..200 {
            let bytes: Vec<u8> = (0..len)
                .map(|i| {
                    state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    if i == 0 { (state >> 60) as u8 % 8 } else { (state >> 56) as u8 }
                })
                .collect();
            if let Some(Frame::Done { values, .. }) = read(&bytes) {
                let _ = values.take_while(Option::is_some).count();
            }
        }
    }
}
