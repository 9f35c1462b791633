//! Snippets of `docs/async.md`.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use super::config;
use super::support::{Gate, pass};

#[mobula::task]
fn square(x: u64) -> u64 {
    x * x
}

#[mobula::task]
fn numbers(to: u64) -> impl Iterator<Item = u64> {
    0..to
}

#[mobula::task]
fn after(gate: String) -> u64 {
    pass(&gate);
    1
}

async fn squares() -> mobula::Result<u64> {
    let (four, nine) = (square::remote(2), square::remote(3));
    Ok(four.await? + nine.await?)
}

async fn first_three() -> mobula::Result<Vec<u64>> {
    let mut stream = numbers::remote(1_000_000);
    let mut first = Vec::new();
    while let Some(number) = stream.next_async().await {
        first.push(number.await?);
        if first.len() == 3 {
            break;
        }
    }
    Ok(first) // the stream is dropped, and its task ends
}

#[derive(Debug)]
pub struct Cache {
    known: Mutex<HashMap<u64, u64>>,
}

#[mobula::actor]
impl Cache {
    pub fn new() -> Self {
        Cache { known: Mutex::default() }
    }

    pub async fn square(&self, x: u64) -> mobula::Result<u64> {
        if let Some(&known) = self.known.lock().unwrap().get(&x) {
            return Ok(known);
        }
        let made = square::remote(x).await?; // others are served meanwhile
        self.known.lock().unwrap().insert(x, made);
        Ok(made)
    }
}

#[mobula::task]
fn sum_of_squares(to: u64) -> mobula::Result<u64> {
    mobula::block_on(async {
        let mut sum = 0;
        for square in (0..to).map(square::remote).collect::<Vec<_>>() {
            sum += square.await?;
        }
        Ok(sum)
    })
}

#[mobula::test]
fn futures() {
    let _runtime = mobula::init(config()).unwrap();
    check().unwrap();
}

fn check() -> mobula::Result<()> {
    assert_eq!(mobula::block_on(squares())?, 13);
    assert_eq!(mobula::block_on(first_three())?, [0, 1, 2]);

    let gate = Gate::new();
    let never = after::remote(gate.text());
    let late = mobula::block_on(mobula::timeout(Duration::from_millis(5), mobula::get_async(&never)));
    assert!(late.is_err_and(|error| error.is_timeout()));
    gate.open();

    let cache = Cache::remote()?;
    let squares: Vec<_> = (0..100).map(|x| cache.square(x).remote()).collect();
    assert_eq!(mobula::get_all(&squares)?.into_iter().sum::<u64>(), 328_350);

    let text = mobula::block_in_place(|| std::fs::read_to_string("/proc/self/status"));
    assert!(text.is_ok());

    assert_eq!(mobula::get(&sum_of_squares::remote(10_u64))?, 285);
    mobula::get(&never).map(drop)
}
