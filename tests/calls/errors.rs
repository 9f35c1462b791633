//! `Err`, panics, failed constructors, failed arguments, options.

use super::{Counter, start};

struct Faulty;

#[mobula::actor]
impl Faulty {
    pub fn new(fail: u8) -> Result<Self, String> {
        match fail {
            0 => Ok(Faulty),
            1 => Err("the constructor refuses".into()),
            _ => panic!("the constructor panics"),
        }
    }

    pub fn fail(&self) -> Result<i64, String> {
        Err("it is an error".into())
    }

    pub fn panic(&self) -> i64 {
        panic!("it is a panic");
    }

    pub fn fine(&self) -> i64 {
        7
    }

    pub fn exit(&self) -> i64 {
        mobula::exit_actor()
    }
}

#[mobula::test]
fn an_err_and_a_panic_are_the_callers_and_the_actor_lives() {
    let _runtime = start();
    let faulty = Faulty::remote(0).unwrap();
    let error = mobula::get(&faulty.fail().remote()).unwrap_err();
    let failure = error.task_failure().unwrap();
    assert_eq!((failure.message.as_str(), failure.function.as_str()), ("it is an error", "Faulty::fail"));
    assert!(failure.location.is_none() && failure.pid != std::process::id());

    let error = mobula::get(&faulty.panic().remote()).unwrap_err();
    let failure = error.task_failure().unwrap();
    assert_eq!(failure.message, "it is a panic");
    assert!(failure.location.as_deref().unwrap().contains("errors.rs:"), "{failure:?}");
    assert!(error.to_string().contains("Faulty::panic"), "{error}");

    assert_eq!(mobula::get(&faulty.fine().remote()).unwrap(), 7);
}

#[mobula::test]
fn a_call_whose_argument_failed_fails_with_the_same_error() {
    let _runtime = start();
    let (faulty, counter) = (Faulty::remote(0).unwrap(), Counter::remote(0).unwrap());
    let failed = faulty.fail().remote();
    let dependent = counter.add(&failed).remote();
    let chained = counter.add(&dependent).remote();
    let behind = counter.add(1).remote();
    for object in [&dependent, &chained] {
        let error = mobula::get(object).unwrap_err();
        assert_eq!(error.task_failure().unwrap().message, "it is an error");
    }
    assert_eq!(mobula::get(&behind).unwrap(), 1, "the failed calls did not run");
}

#[mobula::test]
fn a_failed_constructor_kills_the_actor_with_its_message() {
    let _runtime = start();
    for (how, text) in [(1, "the constructor refuses"), (2, "the constructor panics")] {
        let faulty = Faulty::remote(how).unwrap();
        let error = mobula::get(&faulty.fine().remote()).unwrap_err();
        assert!(error.is_actor_died(), "{error}");
        assert!(matches!(error.actor_death().unwrap().cause, mobula::DeathCause::CreationFailed(_)), "{error:?}");
        assert!(error.to_string().contains(text), "{error}");
        assert!(error.to_string().contains("Faulty"), "{error}");
    }
}

#[mobula::test]
fn exit_actor_ends_it_and_all_calls_behind() {
    let _runtime = start();
    let faulty = Faulty::remote(0).unwrap();
    let before = faulty.fine().remote();
    let exit = faulty.exit().remote();
    let behind = faulty.fine().remote();
    assert_eq!(mobula::get(&before).unwrap(), 7);
    for object in [&exit, &behind] {
        let error = mobula::get(object).unwrap_err();
        assert!(matches!(error.actor_death().unwrap().cause, mobula::DeathCause::Exited), "{error:?}");
    }
}

#[mobula::test]
fn options_without_sense_are_refused_at_remote() {
    let _runtime = start();
    let refused = |options: mobula::ActorOptions<Counter>| options.remote(0).unwrap_err();
    assert!(refused(Counter::options().num_cpus(-1.0)).is_invalid_argument());
    assert!(refused(Counter::options().num_gpus(1.5)).is_invalid_argument());
    assert!(refused(Counter::options().resource("", 1.0)).is_invalid_argument());
    assert!(refused(Counter::options().max_concurrency(0)).is_invalid_argument());
    let error = refused(Counter::options().num_cpus(1000.0));
    assert!(error.is_insufficient_resources() && error.to_string().contains("CPU"), "{error}");
    let error = refused(Counter::options().resource("dragons", 1.0));
    assert!(error.is_insufficient_resources() && error.to_string().contains("dragons"), "{error}");
}
