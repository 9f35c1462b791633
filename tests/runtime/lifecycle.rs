//! `init`, `shutdown`, and what can be asked meanwhile.

use mobula::prelude::*;

use super::{Pinger, config};

#[mobula::test]
fn a_runtime_tells_where_it_is() {
    assert!(!mobula::is_initialized());
    let runtime = mobula::init(config().resource("license", 3.0)).unwrap();
    assert!(mobula::is_initialized());
    let info = runtime.info();
    assert_eq!(info.pid, std::process::id());
    assert!(!info.node_id.is_empty() && !info.store_address.is_empty() && info.session_dir.is_dir());
    let totals = mobula::cluster_resources();
    assert_eq!((totals["CPU"], totals["license"]), (2.0, 3.0));
    assert_eq!(mobula::available_resources(), totals);
    let session = info.session_dir.clone();
    drop(runtime);
    assert!(!mobula::is_initialized() && !session.exists());
    assert!(mobula::cluster_resources().is_empty());
}

#[mobula::test]
fn init_may_follow_a_shutdown() {
    for round in 0..3 {
        let runtime = mobula::init(config()).unwrap();
        let pinger = Pinger::remote().unwrap();
        assert_eq!(mobula::get(&pinger.ping().remote()).unwrap(), 1);
        match round {
            0 => runtime.shutdown(),
            1 => mobula::shutdown(),
            _ => drop(runtime),
        }
        assert!(!mobula::is_initialized());
        let error = mobula::get(&pinger.ping().remote()).unwrap_err();
        assert!(error.is_not_initialized(), "{error}");
    }
}

#[mobula::test]
fn refs_and_arrays_of_an_earlier_runtime() {
    let runtime = mobula::init(config()).unwrap();
    let object = mobula::put(&5i64).unwrap();
    let array = Array::from_slice(&[1.0f64; 1000]).unwrap();
    runtime.shutdown();
    assert!(mobula::get(&object).unwrap_err().is_not_initialized());
    assert_eq!(array[999], 1.0, "arrays stay readable");
    let _again = mobula::init(config()).unwrap();
    assert!(mobula::get(&object).unwrap_err().is_not_initialized());
    assert_eq!(array[0], 1.0);
}

#[mobula::test]
fn a_second_init_is_an_error_unless_ignored() {
    let first = mobula::init(config()).unwrap();
    assert!(mobula::init(config()).unwrap_err().is_invalid_argument());
    let second = mobula::init(Config::new().ignore_reinit_error(true)).unwrap();
    assert_eq!(first.info(), second.info());
    drop(first);
    assert!(mobula::is_initialized(), "the last guard ends it");
    drop(second);
    assert!(!mobula::is_initialized());
}

#[mobula::test]
fn an_actor_knows_where_it_is() {
    let runtime = mobula::init(config().namespace("here")).unwrap();
    let pinger = Pinger::remote().unwrap();
    let (node, worker, in_actor, in_task, namespace) = mobula::get(&pinger.context().remote()).unwrap();
    assert_eq!(node, runtime.info().node_id);
    assert!(in_actor && in_task && namespace == "here");
    let own = mobula::context();
    assert!(own.actor_id().is_none() && own.task_id().is_none());
    assert!(!worker.is_empty() && worker != own.worker_id());
}

#[mobula::test]
fn shutdown_does_not_wait_for_calls() {
    let runtime = mobula::init(config()).unwrap();
    let slow = sleep_long::remote();
    let waiting = std::thread::spawn(move || mobula::get(&slow));
    let pinger = Pinger::remote().unwrap();
    assert_eq!(mobula::get(&pinger.ping().remote()).unwrap(), 1);
    runtime.shutdown();
    let error = waiting.join().unwrap().unwrap_err();
    assert!(error.is_not_initialized(), "{error}");
}

#[mobula::task]
fn sleep_long() -> i64 {
    std::thread::sleep(std::time::Duration::from_secs(1000));
    0
}
