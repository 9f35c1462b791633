// What a stream cannot be.
struct Plain;

#[mobula::task]
fn unfit(to: u8) -> impl Iterator<Item = Plain> {
    (0..to).map(|_| Plain)
}

#[mobula::task]
fn borrowed(to: u8) -> impl Iterator<Item = &'static str> {
    (0..to).map(|_| "")
}

#[mobula::task(num_returns = 2)]
fn counted(to: u8) -> impl Iterator<Item = (u8, u8)> {
    (0..to).map(|item| (item, item))
}

#[mobula::task(max_retries = 3, retry_errors = true)]
fn retried(to: u8) -> impl Iterator<Item = u8> {
    0..to
}

#[mobula::task(stream_backpressure = 3)]
fn single(to: u8) -> u8 {
    to
}

#[mobula::task(stream_backpressure = 0)]
fn placeless(to: u8) -> impl Iterator<Item = u8> {
    0..to
}

#[mobula::task]
async fn later(to: u8) -> impl Iterator<Item = u8> {
    0..to
}

#[mobula::task]
fn nameless(to: u8) -> impl Iterator {
    0..to
}

struct Class;

#[mobula::actor]
impl Class {
    pub fn new() -> impl Iterator<Item = Self> {
        std::iter::empty()
    }

    #[mobula::method(max_task_retries = 1)]
    pub fn retried(&self) -> impl Iterator<Item = u8> {
        0..3
    }
}

// Streams stay where they are.
#[mobula::task]
fn passed(stream: mobula::ObjectRefStream<u8>) -> usize {
    stream.count()
}

fn main() {}
