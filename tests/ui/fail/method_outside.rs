// `#[mobula::method]` where nothing is remote.
struct Plain;

impl Plain {
    #[mobula::method(num_returns = 2)]
    pub fn pair(&self) -> (u8, u8) {
        (1, 2)
    }
}

#[mobula::method]
fn free() {}

struct Class;

#[mobula::actor]
impl Class {
    #[mobula::method(max_task_retries = 1)]
    pub fn new() -> Self {
        Class
    }

    #[mobula::method(max_task_retries = 1)]
    fn private(&self) {}

    #[mobula::method(max_task_retries = 1)]
    pub fn associated() {}
}

fn main() {}
