// A framework that re-exports Mobula: `crate = path` on every attribute, and no other way to it.
#![forbid(unsafe_code)]
#![deny(warnings)]
#![no_implicit_prelude]

pub mod framework {
    pub use ::mobula as engine;
    pub use ::mobula::{actor, main, method, task, test};
}

// What the generated code must not stumble over.
#[allow(dead_code)]
mod mobula {}
#[allow(dead_code)]
mod core {}
#[allow(dead_code)]
mod std {}
#[allow(dead_code, non_camel_case_types)]
struct usize;
#[allow(dead_code, non_camel_case_types)]
struct u64;
#[allow(dead_code)]
struct Option;
#[allow(dead_code)]
struct Result;
#[allow(dead_code)]
struct Box;

use ::std::clone::Clone;
use framework::engine::ActorHandle;

struct Counter(i64);

#[framework::actor(crate = crate::framework::engine, max_restarts = 1)]
impl Counter {
    pub fn new(start: i64) -> ::std::result::Result<Self, &'static str> {
        ::std::result::Result::Ok(Counter(start))
    }

    #[framework::method(num_returns = 2)]
    pub fn pair(&mut self, by: i64) -> (i64, i64) {
        self.0 += by;
        (self.0, by)
    }

    #[framework::engine::method(max_task_retries = 1)]
    pub fn get(&self) -> i64 {
        self.0
    }
}

struct Other;

#[framework::actor(crate = "crate::framework::engine")]
impl Other {
    pub fn new() -> Self {
        Other
    }

    #[framework::method(num_returns = 2)]
    pub fn pair(&self) -> (u8, u8) {
        (1, 2)
    }
}

#[framework::task(crate = crate::framework::engine)]
fn double(x: i64) -> i64 {
    x * 2
}

#[framework::test(crate = crate::framework::engine)]
fn isolated() {}

#[allow(dead_code)]
fn shapes() -> framework::engine::Result<()> {
    let counter: ActorHandle<Counter> = Counter::remote(0)?;
    let (a, _) = counter.clone().pair(1).remote();
    let _ = double::remote(a);
    let _ = Other::remote()?.pair().remote();
    ::std::result::Result::Ok(())
}

#[framework::main(crate = crate::framework::engine)]
fn main() {}
