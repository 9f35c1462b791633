// Classes and tasks that come out of a macro by example.
#![forbid(unsafe_code)]
#![deny(warnings)]

macro_rules! class {
    ($name:ident, $ty:ty, $output:ty, $restarts:expr, $method:ident($($parameter:ident: $kind:ty),*)) => {
        struct $name($ty);

        #[mobula::actor(max_restarts = $restarts)]
        impl $name {
            pub fn new(value: $ty) -> Self {
                $name(value)
            }

            pub fn $method(&self, $($parameter: $kind),*) -> $output {
                let value = &self.0;
                let _ = ($($parameter,)*);
                Ok(value.clone())
            }
        }
    };
}

class!(Text, String, Result<String, String>, 3, text(value: u8, args: Vec<u8>));
class!(Number, u8, std::io::Result<u8>, -1, number());

macro_rules! task {
    ($name:ident, $count:literal) => {
        #[mobula::task(num_returns = $count)]
        fn $name(value: u8) -> (u8, u8) {
            (value, value)
        }
    };
}

task!(pair, 2);

// Nobody uses what these make, which is no mistake of the macros' users.
mod unused {
    pub struct Class;

    #[mobula::actor]
    impl Class {
        pub fn new() -> Self {
            Class
        }

        pub fn method(&self) {}
    }

    #[mobula::task]
    pub fn task() {}
}

#[allow(dead_code)]
fn shapes() -> mobula::Result<()> {
    let _ = Text::remote("text")?.text(1, vec![]).remote();
    let _ = Number::remote(1)?.number().remote();
    let (_, _) = pair::remote(1);
    Ok(())
}

fn main() {}
