// A class without `new`, or with one that makes no actor.
struct Without;

#[mobula::actor]
impl Without {
    pub fn create() -> Self {
        Without
    }
}

struct Receiver;

#[mobula::actor]
impl Receiver {
    pub fn new(&self) -> Self {
        Receiver
    }
}

struct Nothing;

#[mobula::actor]
impl Nothing {
    pub fn new() {}
}

struct Maybe;

#[mobula::actor]
impl Maybe {
    pub fn new() -> Option<Self> {
        None
    }
}

struct Later;

#[mobula::actor]
impl Later {
    pub async fn new<T>(_: &T) -> Self {
        Later
    }
}

struct Other;

#[mobula::actor]
impl Other {
    pub fn new() -> Result<Maybe, String> {
        Ok(Maybe)
    }
}

fn main() {}
