// `num_returns` against what the signature says.
type Pair = (u8, u8);

struct Counts;

#[mobula::actor]
impl Counts {
    pub fn new() -> Self {
        Counts
    }

    #[mobula::method(num_returns = 3)]
    pub fn too_few(&self) -> (u8, u8) {
        (1, 2)
    }

    #[mobula::method(num_returns = 2)]
    pub fn too_many(&self) -> Result<(u8, u8, u8), String> {
        Ok((1, 2, 3))
    }

    #[mobula::method(num_returns = 2)]
    pub fn not_written_out(&self) -> Pair {
        (1, 2)
    }

    #[mobula::method(num_returns = 2)]
    pub fn nothing(&self) {}

    #[mobula::method(num_returns = 0)]
    pub fn zero(&self) {}

    #[mobula::method(num_returns = 9)]
    pub fn nine(&self) -> (u8, u8, u8, u8, u8, u8, u8, u8, u8) {
        (1, 2, 3, 4, 5, 6, 7, 8, 9)
    }

    #[mobula::method(num_returns = "two")]
    pub fn text(&self) {}
}

#[mobula::task(num_returns = 2)]
fn task() -> u8 {
    1
}

fn main() {}
