//! Results: the refs that a caller gets, and the values that a callee writes.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use mobula_store::ObjectHold;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::core::Core;
use crate::error::Error;
use crate::frames::{self, TASK_RESULTS};
use crate::objects;
use crate::panics::CallError;
use crate::pending::CallRefs;
use crate::refs::{ObjectRef, Outcome, RefInner, Unanswered};
use crate::stream::Outlet;
use crate::value;

/// One result: `ObjectRef<T>`.
pub struct One<T>(PhantomData<fn() -> T>);

/// Several results: a tuple of refs for the tuple `T`.
pub struct Many<T>(PhantomData<fn() -> T>);

impl<T> fmt::Debug for One<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("One")
    }
}

impl<T> fmt::Debug for Many<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Many")
    }
}

/// How the refs of a call are made.
pub(crate) enum Birth<'a> {
    /// They wait for the answer of a call.
    Pending(&'a Arc<Core>, u64),
    /// They wait for the answer of a task.
    Task(&'a Arc<Core>, u64),
    /// They failed before anything was sent.
    Failed(Option<&'a Arc<Core>>, u64, &'a Error),
}

impl Birth<'_> {
    #[inline]
    fn make(&self, index: u8) -> (RefInner, Option<Unanswered>) {
        match self {
            Birth::Pending(core, call) => {
                let (inner, unanswered) = RefInner::pending(core, frames::object_id(core.nonce(), *call, index));
                (inner, Some(unanswered))
            }
            Birth::Task(core, call) => {
                let id = frames::object_id(core.nonce(), *call, TASK_RESULTS + index);
                let (inner, unanswered) = RefInner::pending(core, id);
                (inner, Some(unanswered))
            }
            Birth::Failed(core, call, error) => {
                let id = frames::object_id(core.map_or(0, |core| core.nonce()), *call, index);
                (RefInner::settled(core.map(|core| &**core), id, Outcome::Failed((*error).clone())), None)
            }
        }
    }
}

/// Ties the type of a call's results to its refs. Implemented for [`One`] and [`Many`].
#[expect(private_interfaces, reason = "sealed: only this crate calls `make`")]
pub trait Returns {
    /// The refs that the caller gets.
    type Refs;

    #[doc(hidden)]
    fn make(birth: Birth<'_>) -> (Self::Refs, CallRefs);

    /// How many refs there are; 0 for a stream, whose refs come one by one.
    #[doc(hidden)]
    const COUNT: u8;

    /// Says how many items of a stream may wait; of no use for others.
    #[doc(hidden)]
    fn bound(_refs: &mut Self::Refs, _window: u64) {}
}

#[expect(private_interfaces, reason = "see the trait")]
impl<T> Returns for One<T> {
    type Refs = ObjectRef<T>;

    const COUNT: u8 = 1;

    fn make(birth: Birth<'_>) -> (Self::Refs, CallRefs) {
        let (inner, unanswered) = birth.make(0);
        (ObjectRef::new(inner), CallRefs::One(unanswered))
    }
}

/// Waits for the results of a call. Implemented where [`Returns`] is and the results can be decoded.
pub trait Fetch: Returns {
    /// The results.
    type Values;

    #[doc(hidden)]
    fn fetch(refs: Self::Refs) -> crate::Result<Self::Values>;
}

impl<T: DeserializeOwned> Fetch for One<T> {
    type Values = T;

    fn fetch(refs: ObjectRef<T>) -> crate::Result<T> {
        objects::get(&refs)
    }
}

macro_rules! many {
    ($count:literal: $($name:ident $part:ident $index:literal),+) => {
        #[expect(private_interfaces, reason = "see the trait")]
        impl<$($name),+> Returns for Many<($($name,)+)> {
            type Refs = ($(ObjectRef<$name>,)+);

            const COUNT: u8 = $count;

            fn make(birth: Birth<'_>) -> (Self::Refs, CallRefs) {
                let made = [$(birth.make($index)),+];
                let mut unanswered = Vec::with_capacity($count);
                let [$($part),+] = made.map(|(inner, other)| {
                    unanswered.extend(other);
                    inner
                });
                let refs = ($(ObjectRef::<$name>::new($part),)+);
                (refs, CallRefs::Many(unanswered))
            }
        }

        impl<$($name: DeserializeOwned),+> Fetch for Many<($($name,)+)> {
            type Values = ($($name,)+);

            fn fetch(($($part,)+): Self::Refs) -> crate::Result<Self::Values> {
                Ok(($(objects::get(&$part)?,)+))
            }
        }
    };
}

many!(1: A a 0);
many!(2: A a 0, B b 1);
many!(3: A a 0, B b 1, C c 2);
many!(4: A a 0, B b 1, C c 2, D d 3);
many!(5: A a 0, B b 1, C c 2, D d 3, E e 4);
many!(6: A a 0, B b 1, C c 2, D d 3, E e 4, F f 5);
many!(7: A a 0, B b 1, C c 2, D d 3, E e 4, F f 5, G g 6);
many!(8: A a 0, B b 1, C c 2, D d 3, E e 4, F f 5, G g 6, H h 7);

/// Tells the parts of a `Result`, whatever alias it is written as.
pub trait ResultLike {
    /// What success holds.
    type Ok;
    /// What failure holds.
    type Err;

    /// Returns the plain `Result`.
    ///
    /// # Errors
    ///
    /// The value's own.
    fn into_result(self) -> Result<Self::Ok, Self::Err>;
}

impl<T, E> ResultLike for Result<T, E> {
    type Ok = T;
    type Err = E;

    fn into_result(self) -> Result<T, E> {
        self
    }
}

/// Takes the results of a call where it runs. Used again for the next call.
#[derive(Debug, Default)]
pub struct ReturnWriter {
    /// Where the items of a stream go.
    outlet: Option<Outlet>,
    bytes: Vec<u8>,
    ends: Vec<usize>,
    holds: Vec<Vec<ObjectHold>>,
    /// The index of the first result among the ids of its call.
    first: u8,
}

impl ReturnWriter {
    /// Makes the writer of tasks; the default is that of an actor's calls.
    pub(crate) fn for_tasks() -> Self {
        ReturnWriter { first: TASK_RESULTS, ..ReturnWriter::default() }
    }

    /// Returns the index of a result among the ids of its call.
    pub(crate) fn id_index(&self, index: usize) -> u8 {
        self.first + index as u8
    }

    /// Adds a result.
    ///
    /// # Errors
    ///
    /// If the value cannot be encoded: the caller gets the message.
    pub fn push<T: Serialize + 'static>(&mut self, value: &T) -> Result<(), CallError> {
        let holds = value::encode_into(value, &mut self.bytes).map_err(|error| CallError::result(&error))?;
        self.ends.push(self.bytes.len());
        self.holds.push(holds);
        Ok(())
    }

    /// Has the call that is next be a stream.
    pub(crate) fn open(&mut self, outlet: Outlet) {
        self.outlet = Some(outlet);
    }

    /// Sends each item as it is made, until there is none left or nobody wants any more.
    ///
    /// # Errors
    ///
    /// If an item cannot be sent: the caller gets the message as the last one.
    pub fn stream<T: Serialize + 'static>(
        &mut self,
        window: u64,
        items: impl Iterator<Item = Result<T, CallError>>,
    ) -> Result<(), CallError> {
        match self.outlet.take() {
            Some(outlet) => outlet.send_all(window, items, &mut self.bytes),
            None => Err(CallError::passed_on(Error::system("a stream was made where none was expected"))),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.outlet = None;
        self.bytes.clear();
        self.ends.clear();
        self.holds.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns the bytes of a result.
    pub(crate) fn bytes(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[start..self.ends[index]]
    }

    /// Returns the bytes of a result and takes its holds.
    pub(crate) fn take(&mut self, index: usize) -> (&[u8], Vec<ObjectHold>) {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        (&self.bytes[start..self.ends[index]], std::mem::take(&mut self.holds[index]))
    }
}
