// What the runtime is told about a class and a task.
#![forbid(unsafe_code)]
#![deny(warnings)]

use mobula::__private::{ActorClass, Entry, MethodDef, TaskFunction, inventory};
use mobula::{Actor, Task};

struct Counter;

#[mobula::actor(
    num_cpus = 2,
    num_gpus = 0.5,
    max_restarts = -1,
    max_concurrency = 4,
    concurrency_groups(io = 2, r#type = 1),
    shutdown_timeout = 2.5
)]
impl Counter {
    pub fn new(_: i64) -> Self {
        Counter
    }

    pub fn add(&mut self, by: i64) -> i64 {
        by
    }

    #[cfg(any())]
    pub fn absent(&self) {}

    #[mobula::method(num_returns = 2, max_task_retries = 3, retry_errors = true, concurrency_group = "io")]
    pub fn r#loop(&self) -> Result<(u8, u8), String> {
        Ok((1, 2))
    }
}

#[mobula::task(num_cpus = 0.5, max_retries = 5, retry_errors = true, num_returns = 3, max_calls = 9)]
fn split(x: u8) -> (u8, u8, u8) {
    (x, x, x)
}

// The same signature, written in another way: only types and what is present count.
mod same {
    pub struct Counter;

    #[mobula::actor]
    impl Counter {
        pub fn new(start: i64) -> Result<Counter, String> {
            let _ = start;
            Ok(Counter)
        }

        /// Docs.
        pub fn add(&mut self, mut amount: i64) -> i64 {
            amount += 0;
            amount
        }

        #[mobula::method(num_returns = 2)]
        pub fn r#loop(&self, #[cfg(any())] absent: u8) -> Result<(u8, u8), String> {
            Err(String::new())
        }
    }
}

mod other {
    pub struct Counter;

    #[mobula::actor]
    impl Counter {
        pub fn new(_: i64) -> Self {
            Counter
        }

        pub fn add(&mut self, by: i64) -> i64 {
            by
        }

        #[mobula::method(num_returns = 2)]
        pub fn r#loop(&self, #[cfg(not(any()))] _present: u8) -> Result<(u8, u8), String> {
            Ok((1, 2))
        }
    }
}

fn main() {
    let class: &'static ActorClass = Counter::class();
    assert_eq!(class.package, env!("CARGO_PKG_NAME"));
    assert_eq!(class.version, env!("CARGO_PKG_VERSION"));
    assert_eq!((class.type_name)(), std::any::type_name::<Counter>());
    assert_eq!(class.name, "Counter");
    assert_eq!(class.defaults.num_cpus, Some(2.0));
    assert_eq!(class.defaults.num_gpus, Some(0.5));
    assert_eq!(class.defaults.max_restarts, Some(-1));
    assert_eq!(class.defaults.max_task_retries, None);
    assert_eq!(class.defaults.max_concurrency, Some(4));
    assert_eq!(class.defaults.max_pending_calls, None);
    assert_eq!(class.defaults.concurrency_groups, [("io", 2), ("type", 1)]);
    assert_eq!(class.defaults.shutdown_timeout, Some(2.5));

    let [add, second]: &[MethodDef] = class.methods else {
        panic!("{} methods", class.methods.len());
    };
    assert_eq!((add.name, add.num_returns, add.is_exclusive()), ("add", 1, true));
    assert_eq!((add.max_task_retries, add.retry_errors), (None, None));
    assert_eq!(add.concurrency_group, None);
    assert_eq!((second.name, second.num_returns), ("loop", 2));
    assert!(!second.is_exclusive());
    assert_eq!(second.max_task_retries, Some(3));
    assert_eq!(second.retry_errors, Some(true));
    assert_eq!(second.concurrency_group, Some("io"));

    let task: &'static TaskFunction = split::function();
    assert_eq!(task.package, env!("CARGO_PKG_NAME"));
    assert_eq!((task.type_name)(), std::any::type_name::<split>());
    assert_eq!((task.name, task.num_returns), ("split", 3));
    assert_eq!(task.defaults.num_cpus, Some(0.5));
    assert_eq!(task.defaults.num_gpus, None);
    assert_eq!(task.defaults.max_retries, Some(5));
    assert_eq!(task.defaults.retry_errors, Some(true));
    assert_eq!(task.defaults.max_calls, Some(9));
    assert_eq!(format!("{:?}", split {}), "split");

    assert_eq!(class.signature, same::Counter::class().signature);
    assert_ne!(class.signature, other::Counter::class().signature);
    assert_ne!(class.signature, task.signature);

    struct Local;

    #[mobula::actor]
    impl Local {
        pub fn new() -> Self {
            Local
        }
    }

    let mut names = Vec::new();
    for entry in inventory::iter::<Entry>() {
        names.push(match entry {
            Entry::Actor(class) => (class.type_name)(),
            Entry::Task(task) => (task.type_name)(),
        });
    }
    for expected in [
        std::any::type_name::<Counter>(),
        std::any::type_name::<same::Counter>(),
        std::any::type_name::<split>(),
        std::any::type_name::<Local>(),
    ] {
        assert_eq!(names.iter().filter(|name| **name == expected).count(), 1);
    }
    let _ = Counter::remote(1).map(|counter| drop(counter.add(1)));
}
