//! Results: the refs that a caller gets, and the values that a callee writes.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use mobula_store::ObjectHold;
use serde::Serialize;

use crate::core::Core;
use crate::error::Error;
use crate::frames;
use crate::panics::CallError;
use crate::pending::CallRefs;
use crate::refs::{ObjectRef, Outcome, RefInner};
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
    /// They failed before anything was sent.
    Failed(Option<&'a Arc<Core>>, u64, &'a Error),
}

impl Birth<'_> {
    fn make(&self, index: u8) -> Arc<RefInner> {
        match self {
            Birth::Pending(core, call) => RefInner::pending(core, frames::object_id(core.nonce(), *call, index)),
            Birth::Failed(core, call, error) => {
                let nonce = core.map_or(0, |core| core.nonce());
                RefInner::settled(*core, frames::object_id(nonce, *call, index), Outcome::Failed((*error).clone()))
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

    #[doc(hidden)]
    const COUNT: u8;
}

#[expect(private_interfaces, reason = "see the trait")]
impl<T> Returns for One<T> {
    type Refs = ObjectRef<T>;

    const COUNT: u8 = 1;

    fn make(birth: Birth<'_>) -> (Self::Refs, CallRefs) {
        let inner = birth.make(0);
        (ObjectRef::new(inner.clone()), CallRefs::One(inner))
    }
}

macro_rules! many {
    ($count:literal: $($name:ident $index:literal),+) => {
        #[expect(private_interfaces, reason = "see the trait")]
        impl<$($name),+> Returns for Many<($($name,)+)> {
            type Refs = ($(ObjectRef<$name>,)+);

            const COUNT: u8 = $count;

            fn make(birth: Birth<'_>) -> (Self::Refs, CallRefs) {
                let inners: Vec<_> = (0..$count).map(|index| birth.make(index)).collect();
                (($(ObjectRef::<$name>::new(inners[$index].clone()),)+), CallRefs::Many(inners))
            }
        }
    };
}

many!(1: A 0);
many!(2: A 0, B 1);
many!(3: A 0, B 1, C 2);
many!(4: A 0, B 1, C 2, D 3);
many!(5: A 0, B 1, C 2, D 3, E 4);
many!(6: A 0, B 1, C 2, D 3, E 4, F 5);
many!(7: A 0, B 1, C 2, D 3, E 4, F 5, G 6);
many!(8: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);

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
    bytes: Vec<u8>,
    ends: Vec<usize>,
    holds: Vec<Vec<ObjectHold>>,
}

impl ReturnWriter {
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

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.holds.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns the bytes of a result and takes its holds.
    pub(crate) fn take(&mut self, index: usize) -> (&[u8], Vec<ObjectHold>) {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        (&self.bytes[start..self.ends[index]], std::mem::take(&mut self.holds[index]))
    }
}
