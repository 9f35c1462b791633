// Types that cannot go to another process: the error stands at the type.
use std::fmt::Debug;
use std::sync::Mutex;
use std::thread::JoinHandle;

struct Plain;

#[derive(Debug)]
struct NotDisplay;

struct Class;

#[mobula::actor]
impl Class {
    pub fn new(plain: Plain) -> Result<Self, NotDisplay> {
        drop(plain);
        Err(NotDisplay)
    }

    pub fn parameter(&self, handle: JoinHandle<()>) {
        drop(handle);
    }

    pub fn result(&self) -> Option<Plain> {
        None
    }

    pub fn error(&self) -> Result<u8, NotDisplay> {
        Err(NotDisplay)
    }
}

#[mobula::task]
fn task(value: Box<dyn Debug>) -> Mutex<Plain> {
    drop(value);
    Mutex::new(Plain)
}

fn main() {}
