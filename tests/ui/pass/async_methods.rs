//! `async` methods: all that can stand there, beside such that are not `async`.

#![deny(warnings, unused_qualifications)]

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use mobula::ObjectRef;

pub struct Class {
    count: AtomicU64,
    names: Mutex<Vec<String>>,
}

#[mobula::actor(max_concurrency = 10, concurrency_groups(io = 2))]
impl Class {
    pub fn new() -> Self {
        Class { count: AtomicU64::new(0), names: Mutex::default() }
    }

    pub async fn add(&self, by: u64) -> u64 {
        self.count.fetch_add(by, Ordering::SeqCst) + by
    }

    /// With a pattern, and a result of the class's own.
    #[mobula::method(concurrency_group = "io")]
    pub async fn name(&self, (name, times): (String, usize)) -> Result<usize, Box<dyn std::error::Error>> {
        let mut names = self.names.lock().map_err(|_| "somebody has panicked")?;
        names.extend(std::iter::repeat_n(name, times));
        Ok(names.len())
    }

    #[mobula::method(num_returns = 2)]
    pub async fn two(&self) -> (u8, String) {
        (1, String::new())
    }

    pub async fn sum(&self, refs: Vec<ObjectRef<u64>>) -> mobula::Result<u64> {
        let mut sum = 0;
        for object in refs {
            sum += object.await?;
        }
        Ok(sum)
    }

    pub async fn nothing(&self) {}

    pub async fn never(&self) -> ! {
        mobula::exit_actor()
    }

    pub async fn r#in(&self, __out: u8, __actor: u8) -> u8 {
        __out + __actor
    }

    #[cfg(any())]
    pub async fn elsewhere(&self) {}

    pub fn plain(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }
}

async fn calls(class: &mobula::ActorHandle<Class>) -> mobula::Result<u64> {
    let (one, two) = class.two().remote();
    let _: (u8, String) = (one.await?, two.await?);
    let object: ObjectRef<u64> = class.add(1).remote();
    Ok((&object).await? + object.await? + class.plain().await?)
}

fn main() {
    let _ = calls;
}
