//! Processes that are killed before they join their node: nothing of their work has begun.

use std::fs;

use mobula::prelude::*;

use super::support::{Scratch, config, get};

/// Tells whether it runs.
struct Witness;

#[mobula::actor]
impl Witness {
    pub fn new() -> Self {
        Witness
    }

    pub fn here(&self) -> bool {
        true
    }
}

#[mobula::task]
fn here() -> bool {
    true
}

/// Starts each worker through a script.
fn through(script: &Scratch, text: &str) -> Config {
    fs::write(script.path(), text).unwrap();
    config(2.0).worker_wrapper(["sh".to_owned(), script.text()])
}

#[mobula::test]
fn others_are_started_in_their_place() {
    let (script, count) = (Scratch::new("script"), Scratch::new("count"));
    // Of three one gets as far as joining.
    let text = format!(
        "n=$(($(cat {0} 2>/dev/null || echo 0) + 1)); echo $n >{0}; [ $((n % 3)) -eq 0 ] || kill -9 $$; exec \"$@\"",
        count.text()
    );
    let _runtime = mobula::init(through(&script, &text)).unwrap();
    let actors = [Witness::options(), Witness::options().env("A", "1"), Witness::options().max_restarts(1)];
    let actors = actors.map(|options| options.remote().unwrap());
    assert!(actors.iter().all(|actor| get(&actor.here().remote()).unwrap()));
    let tasks = [here::options().max_retries(0), here::options().env("A", "1").max_retries(0)];
    assert!(tasks.iter().all(|task| get(&task.remote()).unwrap()));
}

#[mobula::test]
fn but_not_for_ever() {
    let script = Scratch::new("script");
    let _runtime = mobula::init(through(&script, "kill -9 $$")).unwrap();
    for options in [Witness::options(), Witness::options().env("A", "1")] {
        let error = get(&options.remote().unwrap().here().remote()).unwrap_err();
        assert!(error.is_actor_died() && error.to_string().contains("SIGKILL"), "{error}");
    }
    for options in [here::options(), here::options().env("A", "1")] {
        let error = get(&options.remote()).unwrap_err();
        assert!(error.is_worker_crashed() && error.to_string().contains("SIGKILL"), "{error}");
    }
}
