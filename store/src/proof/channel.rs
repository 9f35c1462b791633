//! Channels: every reader sees every value once, whole and in order, and nobody waits for an end that is over.
//!
//! Faults that were put into the protocol, and the models that failed then: going past a dead reader without the exchange
//! to PASSED (its heir); no second look behind the writer's end (the end, killed writer); a place too much of room (two
//! readers, killed reader); an owner that counts as alive whatever happened (killed reader); `tail` or a head stored
//! without Release (all but the owners); an end that is stored and not exchanged (owners). What is not seen: a writer that
//! does not look at the count of endings, since with one place it looks each time.

use loom::sync::Arc;
use loom::thread;

use super::{crashes, explore_within, key, segment};
use crate::channel::H_WRITER;
use crate::channel::words::{Memory, Over, Reading, Refused, Words, Writing};
use crate::client::{self, ClientKey};
use crate::id::ObjectId;
use crate::layout::{C_WORD, PAGE};
use crate::shared::Shared;
use crate::sync::{AtomicU64, Ordering, mortal, payload, timeouts};
use crate::waits::{self, On};

/// Where the channel's words stand in the modelled segment, and where its values do.
const BASE: usize = 1 << 20;
const VALUES: usize = BASE + 2048;

/// The clients of the writer and of the readers.
const WRITER: u16 = 0;
const READER: u16 = 1;
const OTHER: u16 = 2;
const HEIR: u16 = 3;

/// A channel in a modelled segment.
struct Model {
    shared: Shared,
    places: u64,
    readers: usize,
}

impl Memory for Model {
    fn word(&self, at: usize) -> &AtomicU64 {
        self.shared.ctl.u64(BASE + at)
    }

    fn is_attached(&self, client: ClientKey) -> bool {
        client::is_attached(&self.shared, client)
    }

    fn has_ticket(&self, _at: usize) -> bool {
        true
    }
}

fn on() -> On {
    On::Object(ObjectId::from_bytes([1; 16]))
}

impl Model {
    fn new(places: u64, readers: usize) -> Arc<Model> {
        payload::watch(2);
        Arc::new(Model { shared: segment(4), places, readers })
    }

    fn words(&self) -> Words<'_, Model> {
        Words { memory: self, places: self.places, readers: self.readers }
    }

    /// A value's place, and where loom looks for races on it: each has a page of its own.
    fn place(&self, position: u64) -> (&AtomicU64, usize) {
        let place = (position & (self.places - 1)) as usize;
        (self.shared.ctl.u64(VALUES + 64 * place), place * PAGE)
    }

    fn wake(&self) {
        waits::wake(&self.shared, on());
    }

    fn writer(&self) -> Writing {
        self.words().claim(H_WRITER, key(WRITER)).unwrap();
        Writing::resume(&self.words())
    }

    /// Writes a value. As [`crate::ChannelWriter`] does it.
    fn write(&self, writer: &mut Writing, value: u64) -> Result<(), Over> {
        if writer.must_look(&self.words()) {
            let limit = waits::wait(&self.shared, on(), None, || writer.look(&self.words())).unwrap()?;
            writer.found(limit);
        }
        let (word, page) = self.place(writer.position);
        payload::written(page, 8);
        word.store(value, Ordering::Relaxed);
        writer.publish(&self.words());
        self.wake();
        Ok(())
    }

    fn reader(&self, place: usize, by: u16) -> Result<Reading, Refused> {
        let at = self.words().reader(place);
        self.words().claim(at, key(by))?;
        Ok(Reading::resume(&self.words(), at))
    }

    /// Reads a value and gives its place back. As [`crate::ChannelReader`] does it.
    fn read(&self, reader: &mut Reading, place: usize) -> Result<u64, Over> {
        if reader.must_look() {
            let tail = waits::wait(&self.shared, on(), None, || reader.look(&self.words())).unwrap()?;
            reader.found(tail);
        }
        let (word, page) = self.place(reader.position);
        payload::read(page, 8);
        let value = word.load(Ordering::Relaxed);
        reader.advance(&self.words(), self.words().reader(place));
        self.wake();
        Ok(value)
    }

    /// Reads to the end.
    fn read_out(&self, place: usize, by: u16) -> (Vec<u64>, Over) {
        let mut reader = self.reader(place, by).unwrap();
        let mut values = Vec::new();
        loop {
            match self.read(&mut reader, place) {
                Ok(value) => values.push(value),
                Err(over) => return (values, over),
            }
        }
    }

    fn end(&self, at: usize, by: u16) {
        assert!(self.words().end(at, Some(key(by))));
        self.wake();
    }

    /// A client's process is gone, and that was noticed.
    fn reap(&self, client: u16) {
        let at = self.shared.layout.client(client.into());
        self.shared.ctl.u64(at + C_WORD).store(client::word(1, client::FREE), Ordering::SeqCst);
        waits::wake_everybody(&self.shared);
    }
}

#[test]
fn values_come_whole_and_in_order_and_then_the_end() {
    explore_within(2, || {
        let model = Model::new(1, 1);
        let writer = {
            let model = Arc::clone(&model);
            thread::spawn(move || {
                let mut writer = model.writer();
                (1..=2).for_each(|n| model.write(&mut writer, n).unwrap());
                model.end(H_WRITER, WRITER);
            })
        };
        assert_eq!(model.read_out(0, READER), (vec![1, 2], Over::Closed));
        writer.join().unwrap();
    });
}

#[test]
fn each_of_two_readers_sees_all() {
    explore_within(1, || {
        let model = Model::new(1, 2);
        let readers = [READER, OTHER].map(|by| {
            let model = Arc::clone(&model);
            let place = usize::from(by - READER);
            let mut reader = model.reader(place, by).unwrap();
            thread::spawn(move || (1..=2).for_each(|n| assert_eq!(model.read(&mut reader, place), Ok(n))))
        });
        let mut writer = model.writer();
        (1..=2).for_each(|n| model.write(&mut writer, n).unwrap());
        for reader in readers {
            reader.join().unwrap();
        }
    });
}

#[test]
fn the_writer_goes_on_without_a_reader_that_has_ended() {
    explore_within(2, || {
        let model = Model::new(1, 1);
        let mut reader = model.reader(0, READER).unwrap();
        let other = {
            let model = Arc::clone(&model);
            thread::spawn(move || {
                assert_eq!(model.read(&mut reader, 0), Ok(1));
                model.end(model.words().reader(0), READER);
            })
        };
        let mut writer = model.writer();
        let written = (1..=3).take_while(|&n| model.write(&mut writer, n).is_ok()).count();
        assert!(matches!(written, 1 | 2), "{written} values for a reader of one");
        other.join().unwrap();
        assert_eq!(model.write(&mut writer, 4), Err(Over::Closed));
    });
}

#[test]
fn an_end_that_nobody_has_claimed_or_ended_has_one_owner() {
    explore_within(3, || {
        let model = Model::new(1, 1);
        let others = [READER, OTHER].map(|by| {
            let model = Arc::clone(&model);
            thread::spawn(move || model.reader(0, by).map(drop))
        });
        let ended = model.words().end(model.words().reader(0), None);
        let claims = others.map(|other| other.join().unwrap());
        let owners = claims.iter().filter(|claim| claim.is_ok()).count() + usize::from(ended);
        assert_eq!(owners, 1, "{claims:?}, {ended}");
        let refused = if ended { Refused::Ended } else { Refused::Taken };
        assert!(claims.into_iter().filter_map(Result::err).all(|error| error == refused));
    });
}

#[test]
fn what_a_killed_writer_has_published_is_read() {
    crashes(|stores| {
        timeouts(false);
        let model = Model::new(1, 1);
        let victim = {
            let model = Arc::clone(&model);
            thread::spawn(move || {
                let lived = mortal(stores, || {
                    let mut writer = model.writer();
                    (1..=2).for_each(|n| model.write(&mut writer, n).unwrap());
                    model.end(H_WRITER, WRITER);
                });
                if !lived {
                    model.reap(WRITER);
                }
                lived
            })
        };
        let (values, over) = model.read_out(0, READER);
        let lived = victim.join().unwrap();
        assert!([1, 2].starts_with(&values), "{values:?}");
        match over {
            Over::Closed => assert_eq!(values.len(), 2),
            Over::Died => assert!(!lived),
        }
        lived
    });
}

#[test]
fn a_killed_reader_holds_nobody_up() {
    crashes(|stores| {
        timeouts(false);
        let model = Model::new(1, 2);
        let mut kept = model.reader(0, READER).unwrap();
        let victim = {
            let model = Arc::clone(&model);
            thread::spawn(move || {
                let lived = mortal(stores, || {
                    let mut reader = model.reader(1, OTHER).unwrap();
                    (1..=2).for_each(|n| assert_eq!(model.read(&mut reader, 1), Ok(n)));
                });
                if !lived {
                    model.reap(OTHER);
                }
                lived
            })
        };
        // The other reader keeps up.
        let mut writer = model.writer();
        for n in 1..=2 {
            model.write(&mut writer, n).unwrap();
            assert_eq!(model.read(&mut kept, 0), Ok(n));
        }
        let lived = victim.join().unwrap();
        model.end(model.words().reader(0), READER);
        if !lived {
            assert_eq!(model.write(&mut writer, 3), Err(Over::Died));
        }
        lived
    });
}

#[test]
fn who_takes_the_place_of_a_dead_reader_sees_all_or_is_refused() {
    explore_within(2, || {
        let model = Model::new(1, 2);
        let mut kept = model.reader(0, READER).unwrap();
        model.reader(1, OTHER).unwrap();
        model.reap(OTHER);
        let heir = {
            let model = Arc::clone(&model);
            thread::spawn(move || {
                let mut reader = match model.reader(1, HEIR) {
                    Ok(reader) => reader,
                    Err(refused) => return assert_eq!(refused, Refused::Passed),
                };
                (1..=2).for_each(|n| assert_eq!(model.read(&mut reader, 1), Ok(n)));
            })
        };
        let mut writer = model.writer();
        for n in 1..=2 {
            model.write(&mut writer, n).unwrap();
            assert_eq!(model.read(&mut kept, 0), Ok(n));
        }
        heir.join().unwrap();
    });
}
