// Names that an imported trait hides: a warning, an error here by the lint level.
#![deny(deprecated)]

struct Hidden;

#[mobula::actor]
impl Hidden {
    pub fn new() -> Self {
        Hidden
    }

    pub fn borrow(&self) {}

    pub fn type_id(&self) {}

    pub fn serialize(&self) {}
}

struct Silenced;

#[mobula::actor]
impl Silenced {
    pub fn new() -> Self {
        Silenced
    }

    #[allow(deprecated)]
    pub fn borrow(&self) {}
}

fn main() {}
