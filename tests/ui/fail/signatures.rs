// What a remote signature cannot have; several mistakes are told at once.
use std::borrow::Cow;
use std::fmt::Display;
use std::rc::Rc;

struct Signatures;

#[mobula::actor]
impl Signatures {
    pub fn new() -> Self {
        Signatures
    }

    pub fn generic<T>(&self, value: T) -> T {
        value
    }

    pub fn lifetime<'a>(&'a self) -> &'a str {
        ""
    }

    pub async fn later(&self) {}

    pub unsafe fn risky(&self) {}

    pub fn consume(self) {}

    pub fn boxed(self: Box<Self>) {}

    pub fn shared(self: Rc<Self>) {}

    pub fn text(&self, text: &str) -> usize {
        text.len()
    }

    pub fn slice(&self, slice: &mut [f32]) -> Option<&Signatures> {
        slice.fill(0.0);
        None
    }

    pub fn borrowed(&self, text: Cow<'_, str>) -> usize {
        text.len()
    }

    pub fn opaque(&self, value: impl Display) -> impl Display {
        value.to_string()
    }

    pub fn error(&self) -> Result<u8, &str> {
        Err("no")
    }

    // None of its own.
    pub fn right(&self, value: u8) -> u8 {
        value
    }
}

fn use_it() -> mobula::Result<()> {
    // What is right is there, so nothing is said about it.
    let _ = Signatures::remote()?.right(1).remote();
    Ok(())
}

fn main() {}
