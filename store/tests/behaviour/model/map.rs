//! The map that the store is compared with: which objects there are, and who holds them.

use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    Creating {
        deleted: bool,
    },
    Sealed,
    /// Its creator gave up.
    Lost,
}

/// What the map knows of an object; its number never names another one.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) n: u8,
    pub(super) bytes: Vec<u8>,
    pub(super) metadata: Vec<u8>,
    pub(super) counted: bool,
    pub(super) life: Life,
    /// Deleted or lost: it goes with its last handle.
    pub(super) doomed: bool,
    pub(super) children: Vec<usize>,
}

/// What one unit of a client stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Handle {
    pub(super) client: usize,
    pub(super) object: usize,
    pub(super) view: bool,
}

/// The map: objects that exist, and who holds them.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) objects: BTreeMap<usize, Object>,
    pub(super) handles: Vec<Handle>,
    pub(super) next: usize,
}

impl Model {
    /// Finds the object that an id stands for.
    pub(super) fn named(&self, n: u8) -> Option<usize> {
        self.objects.iter().find(|(_, object)| object.n == n && !object.doomed).map(|(&at, _)| at)
    }

    pub(super) fn is_sealed(&self, n: u8) -> bool {
        self.named(n).is_some_and(|at| self.objects[&at].life == Life::Sealed)
    }

    pub(super) fn add(&mut self, object: Object, client: usize) -> usize {
        self.next += 1;
        self.objects.insert(self.next, object);
        self.take(client, self.next, true);
        self.next
    }

    pub(super) fn take(&mut self, client: usize, object: usize, view: bool) {
        self.handles.push(Handle { client, object, view });
    }

    pub(super) fn release(&mut self, client: usize, object: usize, view: bool) {
        let handle = Handle { client, object, view };
        let at = self.handles.iter().position(|h| *h == handle).expect("a handle that was taken");
        self.handles.swap_remove(at);
        self.settle();
    }

    pub(super) fn is_used(&self, object: usize) -> bool {
        self.handles.iter().any(|handle| handle.object == object)
            || self.objects.values().any(|parent| parent.children.contains(&object))
    }

    /// Removes what nothing keeps any more, and what only that kept.
    pub(super) fn settle(&mut self) {
        while let Some(at) = self.objects.keys().copied().find(|&at| self.goes(at)) {
            self.objects.remove(&at);
        }
    }

    pub(super) fn goes(&self, at: usize) -> bool {
        let object = &self.objects[&at];
        (object.doomed || object.counted && object.life == Life::Sealed) && !self.is_used(at)
    }

    pub(super) fn seal(&mut self, object: usize) {
        let object = self.objects.get_mut(&object).expect("an object that is being created");
        object.doomed |= object.life == Life::Creating { deleted: true };
        object.life = Life::Sealed;
    }

    pub(super) fn abort(&mut self, client: usize, object: usize) {
        let it = self.objects.get_mut(&object).expect("an object that is being created");
        (it.life, it.doomed) = (Life::Lost, true);
        self.release(client, object, true);
    }

    /// Ends a client with all that it has.
    pub(super) fn end(&mut self, client: usize) {
        let own: Vec<Handle> = self.handles.iter().copied().filter(|handle| handle.client == client).collect();
        for handle in own {
            match self.objects[&handle.object].life {
                // The creator's unit is a view; nobody else has one before the seal.
                Life::Creating { .. } if handle.view => self.abort(client, handle.object),
                _ => self.release(client, handle.object, handle.view),
            }
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.objects.values().map(|object| object.bytes.len() + object.metadata.len() + 100).sum()
    }
}
