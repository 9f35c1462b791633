// All mistakes of one class are told at once.
struct Counter {
    value: i64,
}

#[mobula::actor(max_restart = 2, num_gpus = -1)]
impl Counter {
    pub fn new(start: &i64) -> Self {
        Counter { value: *start }
    }

    pub fn add<T>(&mut self, _: T) -> i64 {
        self.value
    }

    pub async fn clone(self) -> Self {
        self
    }

    #[mobula::method(num_return = 2)]
    pub fn pair(&self) -> (i64, &i64) {
        (self.value, &self.value)
    }

    #[mobula::method]
    fn private(&self) {}
}

fn main() {}
