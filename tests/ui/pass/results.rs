// What a call gives back: `Result` by any path, aliases, several returns, `()` and `!`.
#![forbid(unsafe_code)]
#![deny(warnings)]

use std::fmt::{self, Display};
use std::io;

use mobula::prelude::*;

// Needs only `Display`.
struct Refusal;

impl Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("refused")
    }
}

// An alias of another name is a plain value.
type Outcome = Result<u8, String>;

mod own {
    pub type Result<T> = std::result::Result<T, super::Refusal>;
}

struct Results;

#[mobula::actor]
impl Results {
    pub fn new(path: String) -> io::Result<Self> {
        drop(path);
        Ok(Results)
    }

    pub fn plain(&self) -> Result<u8, Refusal> {
        Ok(1)
    }

    pub fn full(&self) -> std::result::Result<u8, Box<dyn std::error::Error>> {
        Err("no".into())
    }

    pub fn io(&self) -> io::Result<Vec<u8>> {
        Ok(vec![])
    }

    pub fn unit(&self) -> fmt::Result {
        Ok(())
    }

    pub fn own(&self) -> own::Result<Option<u8>> {
        Err(Refusal)
    }

    pub fn runtime(&self) -> mobula::Result<u8> {
        Ok(1)
    }

    pub fn alias(&self) -> Outcome {
        Ok(1)
    }

    // The error stays in the worker, so it may refer to what is static.
    pub fn fixed(&self) -> Result<u8, &'static str> {
        Err("no")
    }

    #[allow(unused_parens)]
    pub fn in_parentheses(&self) -> (Result<u8, String>) {
        Ok(1)
    }

    pub fn maybe(&self) -> Option<Result<u8, String>> {
        None
    }

    pub fn never(&self) -> ! {
        panic!("ends")
    }

    #[mobula::method(num_returns = 1)]
    pub fn one(&self) -> (u8, u8) {
        (1, 2)
    }

    #[mobula::method(num_returns = 2)]
    pub fn two(&self) -> (Vec<u8>, Option<String>) {
        (vec![], None)
    }

    #[mobula::method(num_returns = 2)]
    pub fn two_or_error(&mut self) -> Result<(u8, String), Refusal> {
        Err(Refusal)
    }

    #[mobula::method(num_returns = 2, max_task_retries = -1, retry_errors = true)]
    pub fn two_io(&self) -> io::Result<(u8, String)> {
        Ok((1, String::new()))
    }

    #[mobula::method(concurrency_group = "io")]
    pub fn grouped(&self) {}

    #[mobula::method]
    pub fn bare(&self) {}
}

#[mobula::task(num_returns = 2)]
fn split(text: String) -> Result<(String, String), Refusal> {
    text.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned())).ok_or(Refusal)
}

#[mobula::task]
fn forever() -> ! {
    std::process::exit(1)
}

#[mobula::task]
fn nothing() {}

#[allow(dead_code)]
fn shapes() -> mobula::Result<()> {
    let results = Results::remote("path")?;
    let _: ObjectRef<u8> = results.plain().remote();
    let _: ObjectRef<u8> = results.full().remote();
    let _: ObjectRef<Vec<u8>> = results.io().remote();
    let _: ObjectRef<()> = results.unit().remote();
    let _: ObjectRef<Option<u8>> = results.own().remote();
    let _: ObjectRef<u8> = results.runtime().remote();
    let _: ObjectRef<Result<u8, String>> = results.alias().remote();
    let _: ObjectRef<u8> = results.fixed().remote();
    let _: ObjectRef<u8> = results.in_parentheses().remote();
    let _: ObjectRef<Option<Result<u8, String>>> = results.maybe().remote();
    let _: ObjectRef<()> = results.never().remote();
    let _: ObjectRef<(u8, u8)> = results.one().remote();
    let _: (ObjectRef<Vec<u8>>, ObjectRef<Option<String>>) = results.two().remote();
    let _: (ObjectRef<u8>, ObjectRef<String>) = results.two_or_error().remote();
    let _: (ObjectRef<u8>, ObjectRef<String>) = results.two_io().try_remote()?;
    let _: ObjectRef<()> = results.grouped().remote();
    let _: ObjectRef<()> = results.bare().remote();

    let (_, b): (ObjectRef<String>, ObjectRef<String>) = split::remote("a b");
    let _ = split::try_remote(b)?;
    let _: ObjectRef<()> = forever::remote();
    let _: ObjectRef<()> = nothing::remote();
    Ok(())
}

fn main() {}
