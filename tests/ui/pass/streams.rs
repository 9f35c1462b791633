// Streams: what a task or method returns as `impl Iterator<Item = T>`, whatever else it promises.
#![forbid(unsafe_code)]
#![deny(warnings)]

use std::fmt::Error;

use mobula::prelude::*;

#[mobula::task]
fn plain(to: u64) -> impl Iterator<Item = u64> {
    0..to
}

#[mobula::task(num_cpus = 0.5, stream_backpressure = 10, max_calls = 3)]
fn promising(words: Vec<String>) -> impl ExactSizeIteratorLess + std::iter::Iterator<Item = String> + Send + use<> {
    words.into_iter()
}

trait ExactSizeIteratorLess {}

impl<T> ExactSizeIteratorLess for std::vec::IntoIter<T> {}

#[mobula::task]
fn fallible(to: u8) -> impl Iterator<Item = Result<(u8, String), Error>> {
    (0..to).map(|item| if item == 7 { Err(Error) } else { Ok((item, item.to_string())) })
}

pub struct Shelf {
    books: Vec<String>,
}

#[mobula::actor]
impl Shelf {
    pub fn new() -> Self {
        Shelf { books: Vec::new() }
    }

    pub fn borrowed(&self) -> impl Iterator<Item = String> + '_ {
        self.books.iter().cloned()
    }

    #[mobula::method(stream_backpressure = 2, concurrency_group = "io")]
    pub fn drained(&mut self) -> impl Iterator<Item = mobula::Result<String>> {
        self.books.drain(..).map(Ok)
    }

    pub fn shelves(&self, more: u8) -> impl Iterator<Item = Vec<u8>> + use<> {
        (0..more).map(|count| vec![0; usize::from(count)])
    }
}

fn use_it(shelf: &ActorHandle<Shelf>, to: &ObjectRef<u64>) -> mobula::Result<()> {
    let mut stream: ObjectRefStream<u64> = plain::remote(to);
    let next: Option<ObjectRef<u64>> = stream.next();
    drop((next, stream));
    let _: ObjectRefStream<String> = promising::options().stream_backpressure(5).try_remote(vec!["a".into()])?;
    let _: ObjectRefStream<(u8, String)> = fallible::remote(9);
    let _: ObjectRefStream<String> = shelf.borrowed().remote();
    let _: ObjectRefStream<String> = shelf.drained().stream_backpressure(7).try_remote()?;
    let lengths: mobula::Result<Vec<usize>> =
        shelf.shelves(3).remote().map(|item| Ok(mobula::get(&item)?.len())).collect();
    drop(lengths?);
    // The functions are still there.
    assert_eq!(plain(3).sum::<u64>(), 3);
    Ok(())
}

fn main() {
    let _ = use_it;
}
