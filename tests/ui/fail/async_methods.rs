// What `async` does not go with.
use std::rc::Rc;
use std::sync::Mutex;

struct Class;

#[mobula::actor]
impl Class {
    pub async fn new() -> Self {
        Class
    }

    pub async fn wait(&self) {}

    pub fn change(&mut self) {}

    pub async fn change_later(&mut self) {}

    pub async fn stream(&self) -> impl Iterator<Item = u8> {
        0..3
    }
}

#[mobula::task]
async fn later(x: u8) -> u8 {
    x
}

struct Stays;

#[mobula::actor]
impl Stays {
    pub fn new() -> Self {
        Stays
    }

    // Its future has to change threads.
    pub async fn keep(&self, x: u8) -> u8 {
        let kept = Rc::new(x);
        std::future::ready(()).await;
        *kept
    }
}

struct NotShared {
    value: Rc<Mutex<u8>>,
}

#[mobula::actor]
impl NotShared {
    pub fn new() -> Self {
        NotShared { value: Rc::default() }
    }

    pub async fn value(&self) -> u8 {
        *self.value.lock().unwrap()
    }
}

fn main() {}
