// What a task cannot be.
#[mobula::task]
fn generic<T>(value: T) -> T {
    value
}

#[mobula::task]
async fn later() {}

#[mobula::task]
unsafe fn risky() {}

#[mobula::task]
fn text(text: &str) -> &str {
    text
}

#[mobula::task]
fn opaque(value: impl Copy) -> impl Copy {
    value
}

struct Class;

impl Class {
    #[mobula::task]
    fn method(&self) {}

    #[mobula::task]
    fn associated() -> Self {
        Class
    }
}

#[mobula::task]
struct Item;

#[mobula::task]
impl Class {}

fn main() {}
