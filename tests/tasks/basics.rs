//! Submission, arguments, results, errors, resources.

use std::collections::BTreeMap;

use super::start;

#[mobula::task]
fn square(x: u64) -> u64 {
    x * x
}

#[mobula::task(num_returns = 2)]
fn divide(a: i64, b: i64) -> Result<(i64, i64), String> {
    if b == 0 { Err("division by zero".into()) } else { Ok((a / b, a % b)) }
}

#[mobula::task]
fn length(bytes: Vec<u8>) -> usize {
    bytes.len()
}

#[mobula::task]
fn assigned() -> BTreeMap<String, f64> {
    mobula::context().assigned_resources()
}

#[mobula::task]
fn fails() -> u64 {
    panic!("it fails")
}

#[mobula::task]
fn greeting(name: String) -> String {
    format!("hello {name} from {}", std::env::var("GREETER").unwrap_or_default())
}

#[mobula::test]
fn a_task_runs_here_and_there() {
    let _runtime = start();
    assert_eq!(square(7), 49);
    assert_eq!(mobula::get(&square::remote(7)).unwrap(), 49);
    let refs: Vec<_> = (0..200).map(square::remote).collect();
    assert!(mobula::get_all(&refs).unwrap().into_iter().eq((0..200).map(|x| x * x)));
}

#[mobula::test]
fn tasks_feed_each_other() {
    let _runtime = start();
    let mut value = square::remote(2);
    for _ in 0..3 {
        value = square::remote(&value);
    }
    assert_eq!(mobula::get(&value).unwrap(), 65_536);
    let (quotient, rest) = divide::remote(17, 5);
    assert_eq!((mobula::get(&quotient).unwrap(), mobula::get(&rest).unwrap()), (3, 2));
    assert_eq!(mobula::get(&length::remote(vec![1; 1 << 20])).unwrap(), 1 << 20);
}

#[mobula::test]
fn a_failure_names_the_function_and_passes_on() {
    let _runtime = start();
    let error = mobula::get(&square::remote(fails::remote())).unwrap_err();
    let failure = error.task_failure().unwrap();
    assert_eq!((failure.function.as_str(), failure.message.as_str()), ("fails", "it fails"));
    let (quotient, _) = divide::remote(1, 0);
    assert!(mobula::get(&quotient).unwrap_err().to_string().contains("division by zero"));
}

#[mobula::test]
fn a_task_holds_what_it_asked_for() {
    let _runtime = start();
    let held = mobula::get(&assigned::remote()).unwrap();
    assert_eq!(held["CPU"], 1.0);
    let held = mobula::get(&assigned::options().num_cpus(0.5).remote()).unwrap();
    assert_eq!(held["CPU"], 0.5);
    let never = assigned::options().num_cpus(64.0);
    assert!(mobula::get(&never.remote()).unwrap_err().is_insufficient_resources());
    assert!(never.try_remote().unwrap_err().is_insufficient_resources());
    assert!(assigned::options().num_cpus(-1.0).try_remote().unwrap_err().is_invalid_argument());
}

#[mobula::test]
fn a_task_gets_its_environment() {
    let _runtime = start();
    let greeter = greeting::options().env("GREETER", "there");
    assert_eq!(mobula::get(&greeter.remote("you")).unwrap(), "hello you from there");
    assert_eq!(mobula::get(&greeting::remote("you")).unwrap(), "hello you from ");
}

#[mobula::test]
fn resources_are_back_after_tasks() {
    let _runtime = start();
    let refs: Vec<_> = (0..50).map(square::remote).collect();
    mobula::get_all(&refs).unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while mobula::available_resources()["CPU"] != 2.0 {
        assert!(std::time::Instant::now() < deadline, "CPUs do not come back");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}
