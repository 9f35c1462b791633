// Classes and tasks inside a function's body, of the same name as others outside.
#![forbid(unsafe_code)]
#![deny(warnings)]

struct Counter;

#[mobula::actor]
impl Counter {
    pub fn new() -> Self {
        Counter
    }
}

#[allow(dead_code)]
fn first() -> mobula::Result<()> {
    #[derive(mobula::serde::Serialize, mobula::serde::Deserialize)]
    #[serde(crate = "mobula::serde")]
    struct Step(i64);

    struct Counter(i64);

    #[mobula::actor(max_restarts = -1)]
    impl Counter {
        pub fn new(start: Step) -> Self {
            Counter(start.0)
        }

        pub fn add(&mut self, by: Step) -> Step {
            self.0 += by.0;
            Step(self.0)
        }
    }

    #[mobula::task]
    fn double(step: Step) -> Step {
        Step(step.0 * 2)
    }

    let counter = Counter::remote(Step(1))?;
    let step = double::remote(counter.add(Step(2)).remote());
    let _ = counter.add(step).remote();
    Ok(())
}

#[allow(dead_code)]
fn second() -> mobula::Result<()> {
    #[mobula::task]
    fn double(x: u8) -> u8 {
        x * 2
    }

    let _ = double::remote(1);
    let _ = Counter::remote()?;
    Ok(())
}

fn main() {}
