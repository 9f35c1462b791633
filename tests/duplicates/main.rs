//! Two registrations of one name. A binary of its own: they would spoil the registry of every other.

#![allow(unreachable_pub, reason = "remote methods are `pub`")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use mobula::prelude::*;

/// Holds two classes whose type names are the same, since blocks have none.
fn blocks() {
    {
        struct Twin;

        #[mobula::actor]
        impl Twin {
            pub fn new() -> Self {
                Twin
            }

            pub fn first(&self) -> i64 {
                1
            }
        }
    }
    {
        struct Twin;

        #[mobula::actor]
        impl Twin {
            pub fn new() -> Self {
                Twin
            }

            pub fn second(&self) -> i64 {
                2
            }
        }
    }
}

#[mobula::test]
fn a_name_that_is_registered_twice_is_refused_at_start_up() {
    blocks();
    let error = mobula::init(Config::new().num_cpus(1.0)).unwrap_err();
    assert!(error.is_invalid_argument(), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("the actor class Twin") && text.contains("duplicates::blocks::Twin"), "{text}");
    assert!(!mobula::is_initialized());
    // It is the program that is wrong, so asking again does not help.
    assert!(mobula::init(Config::new().num_cpus(1.0)).unwrap_err().is_invalid_argument());
}
