//! Snippets of `docs/faults.md`.

use std::error::Error as _;

use super::config;

struct Parser;

#[mobula::actor]
impl Parser {
    pub fn new() -> Self {
        Parser
    }

    pub fn parse(&self, text: String) -> Result<i64, std::num::ParseIntError> {
        text.parse()
    }

    pub fn third(&self, items: Vec<u8>) -> u8 {
        items[2]
    }

    pub fn crash(&self) {
        std::process::abort()
    }
}

#[mobula::test]
fn faults() {
    let _runtime = mobula::init(config()).unwrap();
    check().unwrap();
}

fn check() -> mobula::Result<()> {
    let parser = Parser::remote()?;
    let error = parser.parse("seven").call().unwrap_err();
    match error.task_failure() {
        Some(failure) => {
            assert_eq!(failure.function, "Parser::parse");
            assert_eq!(failure.message, "invalid digit found in string");
        }
        None => return Err(error),
    }

    let error = parser.third(vec![1, 2]).call().unwrap_err();
    let failure = error.task_failure().unwrap();
    assert!(failure.location.as_ref().unwrap().contains(".rs:")); // where it panicked
    assert!(failure.message.starts_with("index out of bounds"));

    let error = parser.crash().call().unwrap_err();
    let death = error.actor_death().unwrap();
    assert!(matches!(&death.cause, mobula::DeathCause::Crashed { status } if status.contains("SIGABRT")));
    assert!(error.source().is_none()); // the text has everything, once
    Ok(())
}
