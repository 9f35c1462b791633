//! A name stands for one actor of a namespace.

use mobula::prelude::*;

use super::Counter;
use super::support::{Gate, config, get, pass, start};

struct Other;

#[mobula::actor(max_pending_calls = 2)]
impl Other {
    pub fn new() -> Self {
        Other
    }

    pub fn pass(&self, gate: String) -> u32 {
        pass(&gate);
        std::process::id()
    }
}

#[mobula::test]
fn an_actor_is_found_by_its_name() {
    let _runtime = start();
    let counter = Counter::options().name("global").remote(1).unwrap();
    let found: ActorHandle<Counter> = mobula::get_actor("global").unwrap();
    assert_eq!(ActorHandle::id(&found), ActorHandle::id(&counter));
    assert_eq!(format!("{found:?}"), format!("{counter:?}"));
    assert_eq!(get(&found.add(1).remote()).unwrap(), 2);
    assert_eq!(get(&counter.add(1).remote()).unwrap(), 3);
    // From another process, which is in the driver's namespace.
    let other = Counter::remote(0).unwrap();
    assert_eq!(get(&other.namespace().remote()).unwrap(), mobula::context().namespace());
    let found = get(&other.find("global").remote()).unwrap();
    assert_eq!(get(&found.add(1).remote()).unwrap(), 4);
    // And by itself.
    assert_eq!(ActorHandle::id(&get(&found.find("global").remote()).unwrap()), ActorHandle::id(&counter));
}

#[mobula::test]
fn a_name_is_taken_as_long_as_its_actor_lives() {
    let _runtime = start();
    let counter = Counter::options().name("global").remote(0).unwrap();
    for _ in 0..3 {
        let error = Counter::options().name("global").remote(0).unwrap_err();
        assert!(error.is_name_taken(), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("`global`") && text.contains("Counter"), "{text}");
        assert!(text.contains(&ActorHandle::id(&counter).to_string()), "{text}");
    }
    let error = Other::options().name("global").remote().unwrap_err();
    assert!(error.is_name_taken(), "{error:?}");
    let maker = Counter::remote(0).unwrap();
    let error = get(&maker.make("global", 0).remote()).unwrap_err();
    assert!(error.is_task_failed() && error.to_string().contains("`global`"), "{error:?}");
    assert_eq!(get(&counter.add(1).remote()).unwrap(), 1);
    // One without a name, and one with another, are no matter.
    let (nameless, second) = (Counter::remote(5).unwrap(), Counter::options().name("second").remote(7).unwrap());
    assert_eq!(get(&nameless.add(1).remote()).unwrap() + get(&second.add(1).remote()).unwrap(), 14);
}

#[mobula::test]
fn a_name_counts_in_its_namespace() {
    let _runtime = mobula::init(config(2.0).namespace("here")).unwrap();
    let here = Counter::options().name("global").remote(1).unwrap();
    let there = Counter::options().name("global").namespace("there").remote(2).unwrap();
    assert_eq!(mobula::context().namespace(), "here");
    let value = |counter: &ActorHandle<Counter>| get(&counter.add(0).remote()).unwrap();
    assert_eq!(value(&mobula::get_actor("global").unwrap()), 1);
    assert_eq!(value(&mobula::get_actor_in("there", "global").unwrap()), 2);
    assert_eq!(value(&mobula::get_actor_in("here", "global").unwrap()), 1);
    let error = mobula::get_actor_in::<Counter>("nowhere", "global").unwrap_err();
    assert!(error.is_not_found() && error.to_string().contains("`nowhere`"), "{error:?}");
    let error = Counter::options().name("global").namespace("here").remote(0).unwrap_err();
    assert!(error.is_name_taken() && error.to_string().contains("`here`"), "{error:?}");
    // What an actor makes is in the namespace of the driver.
    get(&there.make("made", 3).remote()).unwrap();
    assert_eq!(value(&mobula::get_actor("made").unwrap()), 3);
    drop(here);
}

#[mobula::test]
fn a_driver_without_a_namespace_has_one_of_its_own() {
    let runtime = start();
    let first = mobula::context().namespace();
    assert!(!first.is_empty());
    let _counter = Counter::options().name("global").remote(0).unwrap();
    drop(runtime);
    let _runtime = start();
    assert_ne!(mobula::context().namespace(), first);
    assert!(mobula::get_actor::<Counter>("global").unwrap_err().is_not_found());
    assert!(mobula::get_actor_in::<Counter>(&first, "global").unwrap_err().is_not_found());
}

#[mobula::test]
fn an_actor_of_another_class_is_an_invalid_argument() {
    let _runtime = start();
    let _counter = Counter::options().name("global").remote(0).unwrap();
    let wrong = [
        mobula::get_actor::<Other>("global").unwrap_err(),
        Other::options().name("global").get_if_exists(true).remote().unwrap_err(),
    ];
    for error in wrong {
        assert!(error.is_invalid_argument(), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("Counter") && text.contains("Other") && text.contains("`global`"), "{text}");
    }
}

#[mobula::test]
fn names_without_sense_are_invalid_arguments() {
    let _runtime = start();
    let refused = [
        Counter::options().name("").remote(0).unwrap_err(),
        Counter::options().name("a").namespace("").remote(0).unwrap_err(),
        Counter::options().namespace("b").remote(0).unwrap_err(),
        Counter::options().get_if_exists(true).remote(0).unwrap_err(),
        mobula::get_actor::<Counter>("").unwrap_err(),
        mobula::get_actor_in::<Counter>("", "a").unwrap_err(),
    ];
    for error in refused {
        assert!(error.is_invalid_argument(), "{error:?}");
    }
    assert!(mobula::get_actor::<Counter>("nobody").unwrap_err().is_not_found());
    assert!(mobula::list_named_actors(true).unwrap().is_empty(), "nothing that was refused has left a name");
    // Any other text is a name.
    for name in [" ", "a/b\n\0", "\u{1f41f}", &"x".repeat(1 << 20)] {
        let counter = Counter::options().name(name).get_if_exists(false).remote(3).unwrap();
        assert_eq!(get(&mobula::get_actor::<Counter>(name).unwrap().add(0).remote()).unwrap(), 3);
        assert_eq!(mobula::list_named_actors(false).unwrap()[0].name, name);
        mobula::kill(&counter).unwrap();
    }
}

#[mobula::test]
fn what_was_refused_for_another_reason_takes_no_name() {
    let _runtime = start();
    let error = Counter::options().name("global").num_cpus(64.0).remote(0).unwrap_err();
    assert!(error.is_insufficient_resources(), "{error:?}");
    let failed = Counter::options().name("failed").remote(-1).unwrap();
    let error = get(&failed.add(1).remote()).unwrap_err();
    assert!(error.is_actor_died(), "{error:?}");
    assert!(mobula::list_named_actors(true).unwrap().is_empty());
}

#[mobula::test]
fn a_handle_that_was_found_has_the_actors_limit() {
    let _runtime = start();
    let other = Other::options().name("limited").max_pending_calls(3).remote().unwrap();
    // In a process that has not heard of the limit in another way.
    let gate = Gate::new();
    assert_eq!(get(&fill::remote("limited", gate.text())).unwrap(), 3);
    gate.open();
    let taken = Other::options().name("limited").get_if_exists(true).remote().unwrap();
    let second = Gate::new();
    let calls = [(); 3].map(|()| taken.pass(second.text()).try_remote().unwrap());
    assert!(other.pass(second.text()).try_remote().unwrap_err().is_pending_calls_limit());
    second.open();
    for call in &calls {
        get(call).unwrap();
    }
}

/// Makes as many calls as it may.
#[mobula::task]
fn fill(name: String, gate: String) -> Result<usize, mobula::Error> {
    let other: ActorHandle<Other> = mobula::get_actor(&name)?;
    Ok(std::iter::repeat_with(|| other.pass(gate.clone()).try_remote()).map_while(Result::ok).count())
}
