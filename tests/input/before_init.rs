//! Everything that can be called while nothing is initialised.

use std::time::Duration;

use mobula::prelude::*;

use super::support::start;

struct Pinger;

#[mobula::actor]
impl Pinger {
    pub fn new() -> Self {
        Pinger
    }

    pub fn ping(&self) -> i64 {
        1
    }
}

#[mobula::task]
fn one() -> i64 {
    1
}

/// Asserts that each function says that there is no runtime, or does nothing.
fn nothing_works() {
    let refused = |error: mobula::Error| assert!(error.is_not_initialized(), "{error:?}");
    assert!(!mobula::is_initialized());
    refused(mobula::put(&1).unwrap_err());
    refused(Pinger::remote().unwrap_err());
    refused(Pinger::options().num_cpus(1.0).remote().unwrap_err());
    refused(Pinger::options().name("global").remote().unwrap_err());
    refused(mobula::get_actor::<Pinger>("global").unwrap_err());
    refused(mobula::get_actor_in::<Pinger>("here", "global").unwrap_err());
    refused(mobula::list_named_actors(true).unwrap_err());
    refused(one::try_remote().unwrap_err());
    refused(one::options().num_cpus(2.0).try_remote().unwrap_err());

    let failed = one::remote();
    refused(mobula::get(&failed).unwrap_err());
    refused(mobula::get_timeout(&failed, Duration::ZERO).unwrap_err());
    refused(mobula::get_all(std::slice::from_ref(&failed)).unwrap_err());
    refused(mobula::get_all_timeout(std::slice::from_ref(&failed), Duration::ZERO).unwrap_err());
    refused(mobula::wait(std::slice::from_ref(&failed), 1, None).unwrap_err());
    let mut completed = mobula::as_completed([failed]);
    refused(completed.next().unwrap().unwrap_err());
    assert!(completed.next().is_none());

    for error in [
        Array::from_slice(&[1u8]).unwrap_err(),
        Array::from_shape(&[1], &[1u8]).unwrap_err(),
        ArrayMut::<u8>::zeros(&[1]).unwrap_err(),
        ArrayMut::<u8>::with_len(1).unwrap_err(),
    ] {
        assert!(error.is_disconnected(), "{error:?}");
        refused(mobula::Error::from(error));
    }
    assert!(mobula::cluster_resources().is_empty() && mobula::available_resources().is_empty());
    let context = mobula::context();
    assert!(context.node_id().is_empty() && context.worker_id().is_empty() && context.namespace().is_empty());
    assert!(context.actor_id().is_none() && context.task_id().is_none());
    assert!(context.gpu_ids().is_empty() && context.assigned_resources().is_empty());
    assert!(!context.was_reconstructed() && !context.is_cancelled());
    mobula::shutdown();
}

#[mobula::test]
fn use_before_init_and_after_the_end_says_so() {
    nothing_works();
    let runtime = start();
    let pinger = Pinger::remote().unwrap();
    let ping = pinger.ping().remote();
    assert_eq!(mobula::get(&ping).unwrap(), 1);
    drop(runtime);
    nothing_works();
    // What is left of it says so, too.
    for error in [
        mobula::get(&ping).unwrap_err(),
        mobula::get(&pinger.ping().remote()).unwrap_err(),
        pinger.ping().try_remote().unwrap_err(),
        mobula::kill(&pinger).unwrap_err(),
        mobula::wait(std::slice::from_ref(&ping), 1, None).unwrap_err(),
    ] {
        assert!(error.is_not_initialized(), "{error:?}");
    }
}

#[mobula::test]
fn what_belongs_into_an_actor_panics_outside() {
    let _runtime = start();
    let panics = |call: fn()| {
        let payload = std::panic::catch_unwind(call).unwrap_err();
        payload
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| payload.downcast_ref::<&str>().map(|s| s.to_string()))
            .unwrap()
    };
    let said = panics(|| {
        mobula::context().current_actor::<Pinger>();
    });
    assert!(said.contains("Pinger") && said.contains("outside an actor"), "{said}");
    let said = panics(|| mobula::exit_actor());
    assert!(said.contains("outside an actor"), "{said}");
}
