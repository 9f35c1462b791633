// Tasks: the function stays, the struct of the same name is imported with it, options.
#![forbid(unsafe_code)]
#![deny(warnings)]

use mobula::prelude::*;

mod tasks {
    #![deny(missing_docs, unreachable_pub)]

    /// Squares a number.
    #[mobula::task(num_cpus = 2.0, num_gpus = 0.5, max_retries = 5, retry_errors = false)]
    pub(crate) fn square(x: u64) -> u64 {
        x * x
    }

    #[mobula::task(max_calls = 1, max_retries = -1,)]
    pub(super) fn greet(name: String) -> Result<String, std::num::ParseIntError> {
        Ok(name)
    }

    #[mobula::task]
    fn private() {}

    #[allow(dead_code)]
    fn uses_private() {
        private();
        let _ = private::remote();
    }
}

use tasks::{greet, square};

#[mobula::task()]
const fn constant() -> u8 {
    7
}

// A parameter of the task's own name.
#[mobula::task]
fn shadow(shadow: u8) -> u8 {
    shadow
}

#[allow(dead_code)]
fn shapes() -> mobula::Result<()> {
    let here: u64 = square(7);
    let there: ObjectRef<u64> = square::remote(here);
    let there = square::remote(&there);
    let there = square::try_remote(there)?;
    let options: mobula::TaskOptions<square> = square::options().num_gpus(1.0).num_cpus(1.0);
    let _: ObjectRef<u64> = options.remote(there);
    let _: ObjectRef<u64> = options.try_remote(7)?;
    let _: ObjectRef<String> = greet::remote("you");
    let _: Result<String, _> = greet("you".to_owned());
    let _: ObjectRef<u8> = constant::remote();
    let _: ObjectRef<u8> = shadow::remote(constant());
    // What takes a function still takes it.
    let _: Vec<u64> = [1, 2].into_iter().map(square).collect();
    Ok(())
}

fn main() {}
