//! Configurations without sense, in the program and in the environment.

use std::process::Command;

use mobula::{Config, Segment};

use super::support::{config, run};

fn refused(bad: Config) -> String {
    let error = mobula::init(bad).unwrap_err();
    assert!(error.is_invalid_argument(), "{error:?}");
    assert!(!mobula::is_initialized());
    error.to_string()
}

#[mobula::test]
fn each_option_without_sense_is_named() {
    for (bad, name) in [
        (config(-1.0), "CPU"),
        (config(f64::NAN), "CPU"),
        (config(f64::INFINITY), "CPU"),
        (config(1.0).num_gpus(-1.0), "GPU"),
        (config(1.0).num_gpus(1.5), "GPU"),
        (config(1.0).resource("", 1.0), "name"),
        (config(1.0).resource("CPU", 1.0), "CPU"),
        (config(1.0).resource("licence", -1.0), "licence"),
        (config(1.0).object_store_memory(0), "object_store_memory"),
        (config(1.0).object_store_memory(1000), "object_store_memory"),
        (config(1.0).namespace(""), "namespace"),
        (config(1.0).worker_exe("/there/is/no/such/program"), "/there/is/no/such/program"),
        (config(1.0).worker_exe("/"), "worker_exe"),
        (config(1.0).worker_wrapper([""]), "worker_wrapper"),
        (config(1.0).env("", "x"), "env"),
        (config(1.0).env("A=B", "x"), "env"),
        (config(1.0).env("A", "x\0y"), "env"),
        (config(1.0).segment(Segment::Named(String::new())), "segment"),
        (config(1.0).segment(Segment::Named("a/b".into())), "segment"),
        (config(1.0).max_processes(0), "max_processes"),
        (config(1.0).address("relative/folder"), "address"),
        (config(1.0).spill_dir("/dev/null"), "/dev/null"),
    ] {
        let text = refused(bad);
        assert!(text.contains(name), "{name}: {text}");
    }
    // After all of that a good one works.
    drop(mobula::init(config(1.0)).unwrap());
}

#[mobula::test]
fn a_store_larger_than_addresses_is_refused() {
    assert!(mobula::init(config(1.0).object_store_memory(usize::MAX)).is_err());
    assert!(!mobula::is_initialized());
    drop(mobula::init(config(1.0)).unwrap());
}

#[mobula::test]
fn a_second_init_is_refused_and_the_first_goes_on() {
    let first = mobula::init(config(1.0)).unwrap();
    let text = mobula::init(config(1.0)).unwrap_err();
    assert!(text.is_invalid_argument() && text.to_string().contains("ignore_reinit_error"), "{text}");
    let object = mobula::put(&7).unwrap();
    assert_eq!(mobula::get(&object).unwrap(), 7);
    // One that makes no sense is no other matter.
    assert!(mobula::init(config(-1.0)).unwrap_err().is_invalid_argument());
    drop(first);
    drop(mobula::init(config(1.0)).unwrap());
}

/// Plays a program that starts a runtime with what its environment says, and prints how that went.
fn play() -> bool {
    if std::env::var_os("MOBULA_TEST_PLAY").is_none() {
        return false;
    }
    match mobula::init(Config::new()) {
        Ok(_runtime) => eprintln!("up with {:?}", mobula::cluster_resources()),
        Err(error) => eprintln!("refused: {error}"),
    }
    true
}

#[mobula::test]
fn the_environment_is_read_and_its_mistakes_are_named() {
    if play() {
        return;
    }
    let init = |name: &str, value: &str| {
        let mut command = Command::new("/proc/self/exe");
        command.args(["--exact", "config::the_environment_is_read_and_its_mistakes_are_named", "--nocapture"]);
        command.env("MOBULA_TEST_PLAY", "1").env("MOBULA_OBJECT_STORE_MEMORY", "16M").env(name, value);
        run(&mut command).err
    };
    let said = init("MOBULA_NUM_CPUS", "3.5");
    assert!(said.contains("up with") && said.contains("\"CPU\": 3.5"), "{said}");
    let said = init("MOBULA_RESOURCES", "licence=2");
    assert!(said.contains("\"licence\": 2.0"), "{said}");
    for (name, value) in [
        ("MOBULA_NUM_CPUS", "many"),
        ("MOBULA_NUM_CPUS", "-3"),
        ("MOBULA_NUM_GPUS", "0.5x"),
        ("MOBULA_RESOURCES", "licence"),
        ("MOBULA_OBJECT_STORE_MEMORY", "4 elephants"),
        ("MOBULA_LOG_TO_DRIVER", "perhaps"),
        ("MOBULA_LOG_LEVEL", "loud"),
        ("MOBULA_SEGMENT", "somewhere"),
        ("MOBULA_MAX_PROCESSES", "0"),
        ("MOBULA_ENV", "nothing"),
        ("MOBULA_WORKER_EXE", "/there/is/no/such/program"),
    ] {
        let said = init(name, value);
        assert!(said.contains("refused: "), "{name}={value}: {said}");
    }
}
