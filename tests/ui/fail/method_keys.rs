// The same for the keys of a method.
struct Keys;

#[mobula::actor]
impl Keys {
    pub fn new() -> Self {
        Keys
    }

    #[mobula::method(num_cpus = 1.0)]
    pub fn unknown(&self) {}

    #[mobula::method(retry_errors = 1, max_task_retries = 1.5, concurrency_group = "")]
    pub fn wrong(&self) {}

    #[mobula::method(max_task_retries = 1)]
    #[mobula::method(retry_errors = true)]
    pub fn twice(&self) {}

    #[mobula::method = 2]
    pub fn value(&self) {}

    #[cfg_attr(unix, mobula::method(num_returns = 2))]
    pub fn conditional(&self) -> (u8, u8) {
        (1, 2)
    }
}

fn main() {}
