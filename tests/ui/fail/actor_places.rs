// `#[mobula::actor]` where it does not belong.
#[mobula::actor]
struct Struct;

#[mobula::actor]
enum Enum {}

#[mobula::actor]
fn function() {}

#[mobula::actor]
mod module {}

#[mobula::actor]
impl Clone for Struct {
    fn clone(&self) -> Self {
        Struct
    }
}

struct Generic<T>(T);

#[mobula::actor]
impl<T> Generic<T> {
    pub fn new(value: T) -> Self {
        Generic(value)
    }
}

struct Borrowing<'a>(&'a str);

#[mobula::actor]
impl Borrowing<'_> {
    pub fn new() -> Self {
        Borrowing("")
    }
}

trait Trait {}

#[mobula::actor]
impl dyn Trait {
    pub fn new() -> u8 {
        1
    }
}

fn main() {}
