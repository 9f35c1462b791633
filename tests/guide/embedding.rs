//! Snippets of `docs/embedding.md`.

use std::path::PathBuf;

use mobula::Config;

struct Greeter;

#[mobula::actor]
impl Greeter {
    pub fn new() -> Self {
        Greeter
    }

    pub fn greet(&self, name: String) -> String {
        format!("hello {name}")
    }
}

fn main() -> mobula::Result<()> {
    let _runtime = mobula::init(Config::new().num_cpus(2.0))?;
    assert_eq!(Greeter::remote()?.greet("Ada").call()?, "hello Ada");
    Ok(())
}

#[mobula::test]
fn a_whole_program() {
    main().unwrap();
}

fn start(worker: PathBuf) -> mobula::Result<mobula::Runtime> {
    mobula::init(Config::new().worker_exe(worker))
}

#[mobula::test]
fn a_worker_program_that_is_none() {
    assert!(start("/no/such/program".into()).is_err_and(|error| error.is_invalid_argument()));
}

#[mobula::test]
fn again() {
    check_again().unwrap();
}

fn check_again() -> mobula::Result<()> {
    let first = mobula::init(Config::new().num_cpus(1.0))?;
    assert!(mobula::init(Config::new()).is_err()); // one at a time
    first.shutdown(); // all workers gone and reaped
    let _second = mobula::init(Config::new().num_cpus(2.0))?;
    assert_eq!(mobula::cluster_resources()["CPU"], 2.0);
    Ok(())
}

#[mobula::test]
fn greets() -> mobula::Result<()> {
    let _runtime = mobula::init(Config::new().num_cpus(1.0))?;
    assert_eq!(Greeter::remote()?.greet("Bob").call()?, "hello Bob");
    Ok(())
}
