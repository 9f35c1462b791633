// Arguments of another type, or too few: the compiler's own words.
use mobula::prelude::*;

struct Counter;

#[mobula::actor]
impl Counter {
    pub fn new(start: i64) -> Self {
        drop(start);
        Counter
    }

    pub fn add(&mut self, by: i64) -> i64 {
        by
    }

    pub fn name(&mut self, name: String) {
        drop(name);
    }
}

#[mobula::task]
fn square(x: u64) -> u64 {
    x * x
}

fn use_it(text: ObjectRef<String>) -> mobula::Result<()> {
    let counter = Counter::remote("zero")?;
    let _ = counter.add("five").remote();
    let _ = counter.add(&text).remote();
    let _ = counter.add().remote();
    let _ = counter.name(5).remote();
    let _ = counter.subtract(5).remote();
    let _: ObjectRef<String> = counter.add(5).remote();
    let _ = square::remote(text);
    Ok(())
}

fn main() {}
