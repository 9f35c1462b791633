// A class has one marked block.
struct Twice;

#[mobula::actor]
impl Twice {
    pub fn new() -> Self {
        Twice
    }
}

#[mobula::actor]
impl Twice {
    pub fn more(&self) {}
}

fn main() {}
