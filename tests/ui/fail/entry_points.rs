// `#[mobula::main]` and `#[mobula::test]` where they do not belong.
#[mobula::main]
async fn main() {}

#[mobula::main]
fn other() {}

#[mobula::main]
struct Struct;

#[mobula::main(num_cpus = 1.0)]
fn keys() {}

mod inner {
    #[mobula::main]
    fn main(arguments: Vec<String>) {
        drop(arguments);
    }
}

#[mobula::test]
async fn later() {}

#[mobula::test]
unsafe fn risky() {}

#[mobula::test]
fn generic<T>(value: T) {
    drop(value);
}

#[mobula::test]
#[test]
fn twice() {}

#[mobula::test]
mod module {}
