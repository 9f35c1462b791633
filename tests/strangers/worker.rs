//! The program that the workers of `tests/strangers` run; no example of anything.

#![allow(unreachable_pub, missing_docs, reason = "a program for tests")]

use std::io::Write;

/// Has the name of the driver's class, and another signature.
#[derive(Debug, Default)]
pub struct Shared;

#[mobula::actor]
impl Shared {
    pub fn new() -> Self {
        Shared
    }

    pub fn length(&self, text: Vec<u32>) -> usize {
        text.len()
    }
}

fn main() {
    if let Ok(path) = std::env::var("STRANGER_COUNT") {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        let _ = file.and_then(|mut file| file.write_all(b"started\n"));
    }
    match std::env::var("STRANGER").as_deref() {
        // A program that knows nothing of Mobula in its main.
        Ok("without init") => {
            eprintln!("this is quite another program");
            std::process::exit(3);
        }
        // One that even goes on to use Mobula as if it were a driver.
        Ok("uses without init") => {
            if let Err(error) = Shared::remote() {
                eprintln!("not here: {error}");
            }
            std::process::exit(4);
        }
        _ => {
            // As every program should.
            let _runtime = mobula::init(mobula::Config::new());
        }
    }
}
