//! What can never fit.

use super::support::{config, get};

struct Holder;

#[mobula::actor(num_cpus = 1.0)]
impl Holder {
    pub fn new() -> Self {
        Holder
    }

    pub fn ping(&self) -> i64 {
        1
    }
}

struct Wide;

#[mobula::actor(num_gpus = 2.0)]
impl Wide {
    pub fn new() -> Self {
        Wide
    }
}

#[mobula::task]
fn ping() -> i64 {
    1
}

#[mobula::task(num_cpus = 3.0)]
fn wide() -> i64 {
    1
}

#[mobula::test]
fn an_actor_that_can_never_fit_is_an_error_at_remote_that_names_what_is_short() {
    let _runtime = mobula::init(config(2.0).resource("licence", 1.0)).unwrap();
    let refused = |options: mobula::ActorOptions<Holder>| {
        let error = options.remote().unwrap_err();
        assert!(error.is_insufficient_resources(), "{error:?}");
        error.to_string()
    };
    for (options, name) in [
        (Holder::options().num_cpus(2.0001), "CPU"),
        (Holder::options().num_gpus(0.5), "GPU"),
        (Holder::options().resource("licence", 1.0001), "licence"),
        (Holder::options().resource("dragons", 0.0001), "dragons"),
        (Holder::options().resource("licence", 1.0).resource("gold", 3.0), "gold"),
    ] {
        let text = refused(options);
        assert!(text.contains(name) && text.contains("Holder"), "{name}: {text}");
    }
    let error = Wide::remote().unwrap_err();
    assert!(error.is_insufficient_resources() && error.to_string().contains("GPU"), "{error}");
    // What just fits is placed, and nothing was taken by what did not.
    let holder = Holder::options().num_cpus(2.0).resource("licence", 1.0).remote().unwrap();
    assert_eq!(get(&holder.ping().remote()).unwrap(), 1);
}

#[mobula::test]
fn what_waits_for_resources_is_no_error_and_holds_up_nobody() {
    let _runtime = mobula::init(config(1.0)).unwrap();
    let first = Holder::remote().unwrap();
    assert_eq!(get(&first.ping().remote()).unwrap(), 1);
    let waiting = Holder::remote().unwrap();
    let call = waiting.ping().remote();
    let free = Holder::options().num_cpus(0.0).remote().unwrap();
    assert_eq!(get(&free.ping().remote()).unwrap(), 1, "one that fits goes first");
    assert!(mobula::get_timeout(&call, std::time::Duration::ZERO).unwrap_err().is_timeout());
    mobula::kill(&first).unwrap();
    assert_eq!(get(&call).unwrap(), 1);
}

#[mobula::test]
fn a_task_that_can_never_fit_fails_at_once() {
    let _runtime = mobula::init(config(2.0)).unwrap();
    for (options, name) in [
        (ping::options().num_cpus(2.5), "CPU"),
        (ping::options().num_gpus(1.0), "GPU"),
        (ping::options().resource("dragons", 1.0), "dragons"),
    ] {
        for error in [get(&options.remote()).unwrap_err(), options.try_remote().unwrap_err()] {
            assert!(error.is_insufficient_resources(), "{error:?}");
            assert!(error.to_string().contains(name) && error.to_string().contains("ping"), "{error}");
        }
    }
    assert!(get(&wide::remote()).unwrap_err().is_insufficient_resources());
    assert_eq!(get(&ping::remote()).unwrap(), 1);
}

#[mobula::test]
fn amounts_without_sense_are_refused_at_remote() {
    let _runtime = mobula::init(config(2.0)).unwrap();
    for bad in [-1.0, f64::NAN, f64::INFINITY] {
        for error in [
            Holder::options().num_cpus(bad).remote().unwrap_err(),
            Holder::options().resource("licence", bad).remote().unwrap_err(),
            ping::options().num_cpus(bad).try_remote().unwrap_err(),
            get(&ping::options().resource("licence", bad).remote()).unwrap_err(),
        ] {
            assert!(error.is_invalid_argument(), "{bad}: {error:?}");
        }
    }
    for error in [
        Holder::options().num_gpus(1.5).remote().unwrap_err(),
        Holder::options().resource("", 1.0).remote().unwrap_err(),
        Holder::options().env("A=B", "").remote().unwrap_err(),
        Holder::options().max_concurrency(0).remote().unwrap_err(),
        Holder::options().max_pending_calls(0).remote().unwrap_err(),
        Holder::options().max_restarts(-2).remote().unwrap_err(),
        Holder::options().max_task_retries(-2).remote().unwrap_err(),
        ping::options().max_retries(-2).try_remote().unwrap_err(),
        ping::options().env("", "").try_remote().unwrap_err(),
    ] {
        assert!(error.is_invalid_argument(), "{error:?}");
    }
}
