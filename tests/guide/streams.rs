//! Snippets of `docs/streams.md`.

use std::time::Duration;

use mobula::prelude::*;

use super::config;

#[mobula::task]
fn squares(to: u64) -> impl Iterator<Item = u64> {
    (0..to).map(|x| x * x)
}

#[mobula::task(stream_backpressure = 2)]
fn frames(count: usize) -> impl Iterator<Item = Array<f32>> {
    (0..count).map(|_| Array::from_slice(&[0.5; 100_000]).expect("room in the store"))
}

#[mobula::task]
fn parsed(lines: Vec<String>) -> impl Iterator<Item = Result<u64, std::num::ParseIntError>> {
    lines.into_iter().map(|line| line.parse())
}

pub struct Library {
    books: Vec<String>,
}

#[mobula::actor]
impl Library {
    pub fn new(books: Vec<String>) -> Self {
        Library { books }
    }

    pub fn titles(&self) -> impl Iterator<Item = String> {
        self.books.iter().map(|book| book.to_uppercase())
    }

    pub fn sell(&mut self) -> impl Iterator<Item = String> {
        self.books.drain(..)
    }
}

#[mobula::test]
fn streams() {
    let _runtime = mobula::init(config()).unwrap();
    check().unwrap();
}

fn check() -> mobula::Result<()> {
    let mut sum = 0;
    for square in squares::remote(10) {
        sum += mobula::get(&square)?; // while the next ones are made
    }
    assert_eq!(sum, 285);

    let mut stream = squares::remote(3);
    while let Some(square) = stream.next_timeout(Duration::from_secs(30))? {
        println!("{}", mobula::get(&square)?);
    }
    assert!(stream.is_done());

    let mut lengths = frames::remote(100).map(|frame| Ok(mobula::get(&frame)?.len()));
    assert!(lengths.all(|length: mobula::Result<usize>| length.is_ok_and(|length| length == 100_000)));

    let lines = ["1", "two", "3"].map(str::to_owned).to_vec();
    let numbers: Vec<_> = parsed::remote(lines).map(|number| mobula::get(&number)).collect();
    assert!(numbers[1].is_err() && numbers[2].as_ref().is_ok_and(|number| *number == 3));

    let library = Library::remote(vec!["dune".to_owned(), "emma".to_owned()])?;
    let first = library.titles().remote().next();
    assert_eq!(first.map(|title| mobula::get(&title)).transpose()?, Some("DUNE".to_owned()));
    let sold = library.sell().stream_backpressure(1).remote();
    assert_eq!(sold.count(), 2);
    Ok(())
}
