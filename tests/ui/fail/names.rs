// Names that the class or the handle has for itself.
struct Own;

#[mobula::actor]
impl Own {
    pub fn new() -> Self {
        Own
    }

    pub fn remote() -> Self {
        Own
    }

    pub fn options(&self) {}
}

struct Handle;

#[mobula::actor]
impl Handle {
    pub fn new() -> Self {
        Handle
    }

    pub fn clone(&self) -> u8 {
        1
    }

    pub fn to_owned(&self) {}

    pub fn into(&self) {}

    pub fn try_into(&mut self) {}
}

fn main() {}
