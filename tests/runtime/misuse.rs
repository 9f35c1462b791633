//! What does not work, and how it is said.

use mobula::prelude::*;

use super::{Pinger, config};

#[mobula::test]
fn before_init_everything_says_so() {
    assert!(mobula::put(&1).unwrap_err().is_not_initialized());
    assert!(Pinger::remote().unwrap_err().is_not_initialized());
    assert!(mobula::get(&one::remote()).unwrap_err().is_not_initialized());
    assert!(one::try_remote().unwrap_err().is_not_initialized());
    assert!(Array::from_slice(&[1u8]).is_err());
    assert!(mobula::available_resources().is_empty());
    mobula::shutdown();
}

#[mobula::task]
fn one() -> i64 {
    1
}

#[mobula::test]
fn options_without_sense_are_invalid_arguments() {
    for bad in [
        Config::new().num_cpus(-1.0),
        Config::new().num_cpus(f64::NAN),
        Config::new().num_gpus(1.5),
        Config::new().resource("", 1.0),
    ] {
        let error = mobula::init(bad).unwrap_err();
        assert!(error.is_invalid_argument(), "{error}");
        assert!(!mobula::is_initialized());
    }
}

#[mobula::test]
fn a_worker_cannot_init() {
    let _runtime = mobula::init(config()).unwrap();
    let pinger = Pinger::remote().unwrap();
    let said = mobula::get(&pinger.init_here().remote()).unwrap();
    assert!(said.contains("worker"), "{said}");
}
