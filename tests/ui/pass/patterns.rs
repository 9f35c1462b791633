// Parameters may be any pattern and have any name.
#![forbid(unsafe_code)]
#![deny(warnings)]
#![allow(clippy::toplevel_ref_arg, clippy::should_implement_trait)]

use mobula::serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
#[serde(crate = "mobula::serde")]
struct Size {
    width: u32,
    height: u32,
}

struct Patterns {
    total: u64,
}

#[mobula::actor]
impl Patterns {
    pub fn new((start, _): (u64, u64), Size { width, .. }: Size) -> Self {
        Patterns { total: start + u64::from(width) }
    }

    pub fn area(&self, Size { width, height }: Size) -> u32 {
        width * height
    }

    pub fn ignored(&self, _: u8, _: String) {}

    pub fn mutable(&self, mut list: Vec<u8>) -> Vec<u8> {
        list.push(1);
        list
    }

    pub fn bound(&self, whole @ (_, _): (u8, u8), ref text: String) -> (u8, usize) {
        (whole.0, text.len())
    }

    pub fn array(&self, [first, .., last]: [i32; 4]) -> i32 {
        first + last
    }

    // Names that the generated code could have used.
    pub fn names(&mut self, args: u8, out: u8, actor: u8, handle: u8, value: u8, error: u8) -> u8 {
        args + out + actor + handle + value + error
    }

    pub fn raw(&self, r#type: u8, r#fn: u8) -> u8 {
        r#type + r#fn
    }

    pub fn r#loop(&self) -> u64 {
        self.total
    }

    // Names of the traits that the generated types implement.
    pub fn from(&self, as_ref: u8) -> u8 {
        as_ref
    }

    pub fn as_ref(&self) {}

    pub fn deref(&self) {}
}

#[mobula::task]
fn sum((a, b): (u8, u8), x: u8, mut sum: u8) -> u8 {
    sum += a + b + x;
    sum
}

#[allow(dead_code)]
fn shapes() -> mobula::Result<()> {
    let size = || Size { width: 1, height: 2 };
    let patterns = Patterns::remote((1, 2), size())?;
    let _ = patterns.area(size()).remote();
    let _ = patterns.ignored(1, "text").remote();
    let _ = patterns.mutable(vec![]).remote();
    let _ = patterns.bound((1, 2), "text").remote();
    let _ = patterns.array([1, 2, 3, 4]).remote();
    let _ = patterns.names(1, 2, 3, 4, 5, 6).remote();
    let _ = patterns.raw(1, 2).remote();
    let _ = patterns.r#loop().remote();
    let _ = patterns.from(1).remote();
    let _ = patterns.as_ref().remote();
    let _ = patterns.deref().remote();
    let _ = sum::remote((1, 2), 3, 4);
    Ok(())
}

fn main() {}
