// The class of the first page: creation, calls, options, several returns.
#![forbid(unsafe_code)]
#![deny(warnings)]

use mobula::prelude::*;

struct Counter {
    value: i64,
}

#[mobula::actor]
impl Counter {
    pub fn new(start: i64) -> Self {
        Counter { value: start }
    }

    pub fn add(&mut self, by: i64) -> i64 {
        self.value += by;
        self.value
    }

    pub fn fail(&self) -> Result<i64, String> {
        Err("no".into())
    }

    pub fn reset(&mut self) {
        self.value = 0;
    }

    #[mobula::method(num_returns = 3)]
    pub fn stats(&self) -> (String, u32, i64) {
        (String::new(), 1, self.value)
    }
}

#[allow(dead_code)]
fn shapes() -> mobula::Result<()> {
    let counter: ActorHandle<Counter> = Counter::remote(0)?;
    let first: ObjectRef<i64> = counter.add(5).remote();
    let _: ObjectRef<i64> = counter.add(&first).remote();
    let _: ObjectRef<i64> = counter.add(first).remote();
    let _: ObjectRef<i64> = counter.add(-5).try_remote()?;
    let _: ObjectRef<i64> = counter.fail().remote();
    let _: ObjectRef<()> = counter.reset().remote();
    let (name, age, goals) = counter.stats().remote();
    let _: (ObjectRef<String>, ObjectRef<u32>, ObjectRef<i64>) = (name, age, goals);
    let (_, _, _) = counter.stats().try_remote()?;
    let _ = counter.add(1).retry_errors(true).remote();

    let options: mobula::ActorOptions<Counter> = Counter::options();
    let options = options.name("global").max_restarts(3);
    let global = options.remote(0)?;
    let again = options.remote(7)?;
    let call = global.clone().add(1);
    let _ = (global, again);
    let _ = call.remote();
    Ok(())
}

fn main() {}
