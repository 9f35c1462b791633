//! Counted objects that one lane alone holds: they stay while it does and go with its last hold.

use std::time::{Duration, Instant};

use mobula_store::{Array, ArrayMut, Lifetime, ObjectHold, ObjectId};

use super::{Lane, Step, promptly, unexpected};
use crate::torture::content::{Kind, Stamp};
use crate::torture::journal::Op;

/// How many such objects a lane has at most.
const MOST: usize = 12;
/// Longest array, in elements.
const ELEMENTS: u64 = 4096;

/// Returns what stands at a place of every array.
fn element(place: u64) -> u64 {
    place.wrapping_mul(0x9e37_79b9)
}

/// Checks an array that somebody else made: all is as it should be but for one bit.
pub(super) fn verify_array(array: &Array<u64>) -> Step {
    let wrong: Vec<usize> = (0..array.len()).filter(|&i| array[i] != element(i as u64)).collect();
    match wrong[..] {
        [] => Ok(()),
        [at] if array[at] == element(at as u64) ^ 1 => Ok(()),
        _ => Err(format!("array {} of {} elements is damaged at {wrong:?}", array.id(), array.len())),
    }
}

impl Lane<'_> {
    /// Makes, reads or drops a counted object.
    pub(super) fn work_on_private(&mut self) -> Step {
        match self.random.below(4) {
            0 if !self.private.is_empty() => self.drop_private(),
            1 if !self.private.is_empty() => self.read_private(),
            2 => self.make_family(),
            _ if self.private.len() >= MOST => self.drop_private(),
            _ => match self.make_private(&[])? {
                Some(made) => {
                    self.private.push(made);
                    Ok(())
                }
                None => self.make_room(),
            },
        }
    }

    /// Makes a counted object and keeps a hold of it.
    fn make_private(&mut self, children: &[ObjectHold]) -> Result<Option<(ObjectHold, Stamp)>, String> {
        self.next_private += 1;
        let id = self.key(Kind::Private, self.next_private);
        let stamp = Stamp::new(self.size(), Lifetime::Counted);
        let patience = self.patience();
        let options = stamp.options(patience, self.padding()).children(children);
        let store = self.store();
        let begun = Instant::now();
        let mut buffer = match store.create_object_with(id, stamp.len, &options) {
            Ok(buffer) => buffer,
            Err(error) => return self.refused(&error, id, begun, patience).map(|()| None),
        };
        self.count(Op::Create);
        stamp.fill(id, &mut buffer);
        let view = buffer.seal().map_err(|error| unexpected("seal", id, &error))?;
        self.count(Op::Seal);
        let hold = view.hold();
        self.count(Op::Hold);
        Ok(Some((hold, stamp)))
    }

    fn read_private(&mut self) -> Step {
        let nth = self.random.index(self.private.len());
        let Some((hold, stamp)) = self.private.get(nth).cloned() else { return Ok(()) };
        let view = hold.get(Some(Duration::ZERO)).map_err(|e| unexpected("get of held", hold.id(), &e))?;
        self.count(Op::Get);
        self.matches(&view, stamp)?;
        let store = self.store();
        let other = store.get(hold.id(), Some(Duration::ZERO)).map_err(|e| unexpected("get", hold.id(), &e))?;
        self.matches(&other, stamp)
    }

    /// Drops the last hold of an object; then it must be gone.
    pub(super) fn drop_private(&mut self) -> Step {
        if self.private.is_empty() {
            return Ok(());
        }
        let (hold, stamp) = self.private.swap_remove(self.random.index(self.private.len()));
        let id = hold.id();
        if self.random.one_in(2) {
            let view = hold.get(Some(Duration::ZERO)).map_err(|error| unexpected("get of held", id, &error))?;
            drop(hold);
            self.matches(&view, stamp)?;
        } else {
            drop(hold);
        }
        self.count(Op::Release);
        self.goes(id)
    }

    /// Makes a parent of some children, lets go of them, and sees them go with the parent.
    fn make_family(&mut self) -> Step {
        let mut children = Vec::new();
        for _ in 0..self.random.within(1, 4) {
            children.extend(self.make_private(&[])?);
        }
        let holds: Vec<ObjectHold> = children.iter().map(|(hold, _)| hold.clone()).collect();
        let Some((parent, stamp)) = self.make_private(&holds)? else { return self.make_room() };
        drop(holds);
        // From here on only the parent keeps them.
        let children: Vec<(ObjectId, Stamp)> = children.into_iter().map(|(hold, stamp)| (hold.id(), stamp)).collect();
        let store = self.store();
        for &(id, stamp) in &children {
            let view = store.get(id, Some(Duration::ZERO)).map_err(|e| unexpected("get of a child", id, &e))?;
            self.count(Op::Get);
            self.matches(&view, stamp)?;
        }
        let view = parent.get(Some(Duration::ZERO)).map_err(|e| unexpected("get of a parent", parent.id(), &e))?;
        self.matches(&view, stamp)?;
        drop(view);
        let id = parent.id();
        drop(parent);
        self.count(Op::Release);
        self.goes(id)?;
        children.into_iter().try_for_each(|(id, _)| self.goes(id))
    }

    /// Makes an array, which is counted, and sees it go.
    pub(super) fn make_array(&mut self) -> Step {
        let store = self.store();
        let (rows, columns) = (self.random.within(1, 4) as usize, self.random.below(ELEMENTS) as usize);
        let shape = [rows, columns];
        let data: Vec<u64> = (0..rows as u64 * columns as u64).map(element).collect();
        let made = if self.random.one_in(2) {
            Array::from_shape_in(&store, &shape, &data)
        } else {
            ArrayMut::zeros_in(&store, &shape).and_then(|mut array: ArrayMut<u64>| {
                array.copy_from_slice(&data);
                array.seal()
            })
        };
        let array = match made {
            Ok(array) => array,
            Err(error) if error.is_store_full() => return self.make_room(),
            Err(error) => return Err(format!("an array of {shape:?} could not be made: {error}")),
        };
        self.count(Op::Array);
        let id = array.id();
        let view = store.get(id, Some(Duration::ZERO)).map_err(|error| unexpected("get of an array", id, &error))?;
        let again = Array::<u64>::from_view(view).map_err(|error| unexpected("array", id, &error))?;
        drop(array);
        if again.shape() != shape || again[..] != data[..] {
            return Err(format!("array {id} of {shape:?} is damaged"));
        }
        self.tally.objects += 1;
        self.tally.bytes += 8 * data.len() as u64;
        match self.random.one_in(2) {
            true => self.rewrite_array(again, data),
            false => {
                drop(again);
                self.goes(id)
            }
        }
    }

    /// Makes an array writable: in place if nothing else holds it, else as a copy that leaves the old one as it was.
    fn rewrite_array(&mut self, array: Array<u64>, data: Vec<u64>) -> Step {
        let (old, shape) = (array.id(), array.shape().to_vec());
        let other = self.random.one_in(3).then(|| array.clone());
        let mut writable = match array.into_mut() {
            Ok(writable) => writable,
            Err(error) if error.is_store_full() => return self.make_room(),
            Err(error) => return Err(unexpected("into_mut", old, &error)),
        };
        self.count(Op::IntoMut);
        let changed = self.random.index(data.len().max(1));
        if let Some(element) = writable.get_mut(changed) {
            *element ^= 1;
        }
        let array = match self.random.one_in(4) {
            true => {
                drop(writable);
                None
            }
            false => Some(writable.seal().map_err(|error| unexpected("seal of what was thawed", old, &error))?),
        };
        let differs =
            |array: &Array<u64>| array.iter().zip(&data).enumerate().find(|(_, (a, b))| a != b).map(|(i, _)| i);
        if let Some(other) = other
            && (differs(&other).is_some() || array.as_ref().is_some_and(|array| array.id() == old))
        {
            return Err(format!("array {old} was made writable under somebody's hands"));
        }
        self.goes(old)?;
        let Some(array) = array else { return Ok(()) };
        let id = array.id();
        if array.shape() != shape || array.len() != data.len() || differs(&array) != data.get(changed).map(|_| changed)
        {
            return Err(format!("array {id}, which was {old}, is damaged"));
        }
        drop(array);
        self.goes(id)
    }

    /// Nobody holds it any more: it goes. A reaper may be looking at it and be stopped.
    fn goes(&mut self, id: ObjectId) -> Step {
        let store = self.store();
        promptly(
            || format!("counted object {id}, which nobody holds, has stayed ({:?})", store.info(id)),
            || !store.contains(id) && store.info(id).is_none(),
        )
    }
}
