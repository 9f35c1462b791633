//! Streams of methods: they may borrow the actor, and take their place among its calls.

use mobula::prelude::*;

use super::support::{Gate, all_space_back, get, pass, start, stats};
use super::{next, values};

pub struct Shelf {
    books: Vec<String>,
    given: usize,
}

#[mobula::actor]
impl Shelf {
    pub fn new(books: Vec<String>) -> Self {
        Shelf { books, given: 0 }
    }

    /// Borrows the actor.
    pub fn titles(&self) -> impl Iterator<Item = String> + '_ {
        self.books.iter().cloned()
    }

    /// Changes it from item to item.
    pub fn give(&mut self, most: usize) -> impl Iterator<Item = Result<String, std::fmt::Error>> {
        std::iter::from_fn(move || {
            let book = self.books.pop()?;
            self.given += 1;
            Some(if book.is_empty() { Err(std::fmt::Error) } else { Ok(book) })
        })
        .take(most)
    }

    /// Owns what it needs.
    pub fn lengths(&self) -> impl Iterator<Item = usize> + use<> {
        let lengths: Vec<_> = self.books.iter().map(String::len).collect();
        lengths.into_iter()
    }

    pub fn given(&self) -> usize {
        self.given
    }

    pub fn until(&self, gate: String) -> impl Iterator<Item = u32> {
        (0..2).inspect(move |&item| {
            if item == 1 {
                pass(&gate);
            }
        })
    }

    /// A stream of its own.
    pub fn own(&self, me: ActorHandle<Shelf>) -> Vec<usize> {
        let lengths: mobula::Result<Vec<_>> = me.lengths().remote().map(|item| mobula::get(&item)).collect();
        lengths.unwrap()
    }
}

fn shelf() -> Vec<String> {
    ["one", "two", "three", "four"].map(str::to_owned).to_vec()
}

#[mobula::test]
fn methods_may_borrow_and_change_the_actor() {
    let _runtime = start();
    let actor = Shelf::remote(shelf()).unwrap();
    assert_eq!(values(actor.titles().remote()), shelf());
    assert_eq!(values(actor.lengths().remote()), [3, 3, 5, 4]);
    assert_eq!(values(actor.give(3).try_remote().unwrap()), ["four", "three", "two"]);
    assert_eq!(get(&actor.given().remote()).unwrap(), 3);
    assert_eq!(values(actor.titles().remote()), ["one"]);
}

#[mobula::test]
fn other_calls_wait_until_it_has_ended() {
    let _runtime = start();
    let (gate, actor) = (Gate::new(), Shelf::remote(shelf()).unwrap());
    let mut stream = actor.until(gate.text()).remote();
    assert_eq!(get(&next(&mut stream).unwrap()).unwrap(), 0);
    let given = actor.given().remote();
    assert!(mobula::get_timeout(&given, std::time::Duration::ZERO).unwrap_err().is_timeout());
    gate.open();
    assert_eq!(get(&given).unwrap(), 0);
    assert_eq!(values(stream), [1]);
}

#[mobula::test]
fn an_actor_of_several_threads_makes_several_at_once() {
    let _runtime = start();
    let gate = Gate::new();
    let actor = Shelf::options().max_concurrency(3).remote(shelf()).unwrap();
    let mut streams: Vec<_> = (0..2).map(|_| actor.until(gate.text()).remote()).collect();
    for stream in &mut streams {
        assert_eq!(get(&next(stream).unwrap()).unwrap(), 0);
    }
    assert_eq!(values(actor.titles().remote()), shelf());
    gate.open();
    for stream in streams {
        assert_eq!(values(stream), [1]);
    }
    assert_eq!(get(&actor.own(&actor).remote()).unwrap(), [3, 3, 5, 4]);
}

#[mobula::test]
fn a_stream_keeps_its_actor() {
    let _runtime = start();
    let before = stats();
    let gate = Gate::new();
    let actor = Shelf::remote(shelf()).unwrap();
    let mut stream = actor.until(gate.text()).remote();
    drop(actor);
    assert_eq!(get(&next(&mut stream).unwrap()).unwrap(), 0);
    gate.open();
    assert_eq!(values(stream), [1]);
    all_space_back(before);
}
