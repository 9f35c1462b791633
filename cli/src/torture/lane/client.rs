//! Clients that come and go: further ones of the same process, those that can only read, and forked children.

use std::process::ExitCode;
use std::time::Duration;

use mobula_store::{Lifetime, Store};

use super::{Lane, Step, unexpected};
use crate::torture::content::{self, Stamp};
use crate::torture::fork;
use crate::torture::journal::Op;

impl Lane<'_> {
    /// Attaches a further client, or drops the one there is; its views keep it until they go.
    pub(super) fn change_client(&mut self) -> Step {
        if self.guest.is_some() {
            return self.part_with_clients();
        }
        self.guest = admitted(Store::attach(&self.cast.plan.address))?;
        self.count(Op::Attach);
        Ok(())
    }

    /// Drops the further clients. Where places are scarce everything that would keep them goes, too.
    fn part_with_clients(&mut self) -> Step {
        if self.cast.plan.max_clients.is_some() {
            return self.leave();
        }
        (self.guest, self.reader) = (None, None);
        Ok(())
    }

    /// Reads as a client that can do nothing else, and tries to change something.
    pub(super) fn only_read(&mut self) -> Step {
        let Some(reader) = self.reader.clone() else {
            self.reader = admitted(Store::attach_read_only(&self.cast.plan.address))?;
            return Ok(());
        };
        if self.random.one_in(8) {
            return self.part_with_clients();
        }
        self.count(Op::Read);
        let shared = self.some_shared();
        let zero = Some(Duration::ZERO);
        let refusals = [
            reader.create_object(shared, 1).map(drop),
            reader.delete(shared).map(drop),
            reader.promise(shared).map(drop),
            reader.evict(1).map(drop),
        ];
        if let Some(i) = refusals.iter().position(|answer| !matches!(answer, Err(error) if error.is_read_only())) {
            return Err(format!("call {i} of a client that can only read answered {:?}", refusals[i]));
        }
        if let Ok(view) = reader.get(shared, Some(Duration::from_micros(self.random.below(2000)))) {
            let stamp = self.verified(&view)?;
            self.keep_view(view, stamp);
        }
        let Some((id, stamp)) = self.some_kept() else { return Ok(()) };
        match reader.get(id, zero) {
            Ok(view) => {
                self.matches(&view, stamp)?;
                if !reader.contains(id) {
                    return Err(format!("a reader views {id} and does not contain it"));
                }
                self.keep_view(view, stamp);
                Ok(())
            }
            Err(error) if error.is_timeout() && self.may_be_evicted(id, stamp) => self.evicted(id),
            Err(error) => Err(unexpected("a reader's get", id, &error)),
        }
    }

    /// Forks: the child's inherited handles are dead, a client of its own works.
    pub(super) fn fork(&mut self) -> Step {
        let id = self.some_shared();
        let kept = self.some_kept().filter(|(id, stamp)| !self.may_be_evicted(*id, *stamp));
        let view = self.views.first().map(|(view, _)| view.clone());
        let hold = self.holds.first().cloned();
        let store = self.client.clone();
        let stamp = Stamp::new(self.random.index(5000), Lifetime::Counted);
        let address = &self.cast.plan.address;
        let child = || -> Result<(), String> {
            let zero = Some(Duration::ZERO);
            let refusals = [
                store.get(id, zero).map(drop),
                store.create_object(id, 1).map(drop),
                store.delete(id).map(drop),
                store.hold(id).map(drop),
                store.wait(&[id], 1, zero).map(drop),
                store.check().map(drop),
            ];
            if let Some(i) = refusals.iter().position(|answer| !matches!(answer, Err(error) if error.is_forked())) {
                return Err(format!("call {i} of an inherited handle answered {:?}", refusals[i]));
            }
            if hold.as_ref().is_some_and(|hold| !matches!(hold.get(zero), Err(error) if error.is_forked())) {
                return Err("an inherited hold still works".to_owned());
            }
            if !store.list().is_empty() || store.info(id).is_some() || store.stats().capacity_bytes != 0 {
                return Err("an inherited handle still sees the store".to_owned());
            }
            if let Some(view) = &view {
                content::verify(view)?;
            }
            drop((store.clone(), view.clone(), hold.clone()));
            let Some(own) = admitted(Store::attach(address))? else { return Ok(()) };
            if let Some((id, stamp)) = kept {
                let view = own.get(id, zero).map_err(|error| format!("a child's get of {id}: {error}"))?;
                if content::verify(&view)? != stamp {
                    return Err(format!("a child sees another object {id}"));
                }
            }
            if let Ok(mut buffer) = own.create_object_with(id, stamp.len, &stamp.options(Duration::ZERO, 0)) {
                stamp.fill(id, &mut buffer);
                content::verify(&buffer.seal().map_err(|error| format!("a child's seal: {error}"))?)?;
            }
            Ok(())
        };
        let said = |text: &str| {
            let record = crate::torture::journal::Record {
                text: format!("in a forked child: {text}"),
                ..crate::torture::journal::Record::new(crate::torture::journal::Tag::Violation, Op::Fork, self.number)
            };
            let _ = self.journal.put(&record);
        };
        let code = fork::in_child(|| match child() {
            Ok(()) => ExitCode::SUCCESS,
            Err(what) => {
                said(&what);
                ExitCode::FAILURE
            }
        });
        self.count(Op::Fork);
        code.map_err(|what| format!("a forked child {what}"))
    }
}

/// Takes the answer to an attach; `None` while the store has no node, or no place for one more.
fn admitted(answer: mobula_store::Result<Store>) -> Result<Option<Store>, String> {
    match answer {
        Ok(store) => Ok(Some(store)),
        Err(error) if error.is_store_full() || error.is_disconnected() => Ok(None),
        Err(error) => Err(format!("attach answered: {error}")),
    }
}
