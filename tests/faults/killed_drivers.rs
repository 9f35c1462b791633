//! A driver is killed at any moment; of its processes and its memory nothing is left.

use std::collections::HashSet;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{Victim, eventually, is_alive, start};

/// Tells the process that plays the driver where to say that everything runs.
const ROLE: &str = "MOBULA_TEST_KILLED_DRIVER";

/// Starts this test again as a driver.
fn driver(test: &str, ready: &str) -> Child {
    Command::new("/proc/self/exe")
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(ROLE, ready)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Plays the driver, if this process is one, until it is killed.
fn play() {
    let Ok(ready) = std::env::var(ROLE) else { return };
    let _runtime = start();
    let victims: Vec<_> = (0..3).map(|_| Victim::remote().unwrap()).collect();
    let data = mobula::put(&vec![1u8; 1_000_000]).unwrap();
    let pids: Vec<_> = victims.iter().map(|victim| mobula::get(&victim.pid().remote()).unwrap()).collect();
    let program = mobula::get(&victims[0].start_program().remote()).unwrap();
    let _busy: Vec<_> = victims.iter().map(|victim| victim.hang().remote()).collect();
    let text = pids.iter().chain([&program]).map(ToString::to_string).collect::<Vec<_>>().join(" ");
    std::fs::write(format!("{ready}.new"), text).unwrap();
    std::fs::rename(format!("{ready}.new"), ready).unwrap();
    assert_eq!(mobula::get(&data).unwrap().len(), 1_000_000);
    loop {
        std::thread::park();
    }
}

/// Lists what lies in the folder of named shared memory.
fn shared_memory() -> HashSet<std::ffi::OsString> {
    let entries = std::fs::read_dir("/dev/shm").into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name()).filter(|name| name.to_string_lossy().contains("mobula")).collect()
}

#[mobula::test]
fn a_killed_driver_leaves_no_process_and_no_memory() {
    play();
    let ready = std::env::temp_dir().join(format!("test-of-mobula-driver-{}", std::process::id()));
    let before = shared_memory();
    let test = "killed_drivers::a_killed_driver_leaves_no_process_and_no_memory";
    let mut driver = driver(test, ready.to_str().unwrap());
    eventually("the driver's processes run", || ready.exists());
    let text = std::fs::read_to_string(&ready).unwrap();
    std::fs::remove_file(&ready).unwrap();
    let pids: Vec<u32> = text.split(' ').map(|pid| pid.parse().unwrap()).collect();
    assert!(pids.len() == 4 && pids.iter().all(|&pid| is_alive(pid)), "{text}");
    // Nobody else has the store's memory: when its processes are gone, so is it.
    assert_eq!(shared_memory(), before, "anonymous memory has no names");
    let killed = Instant::now();
    driver.kill().unwrap();
    eventually("its processes are gone", || pids.iter().all(|&pid| !is_alive(pid)));
    eprintln!("from SIGKILL of the driver to the last of its processes: {:?}", killed.elapsed());
    driver.wait().unwrap();
    assert_eq!(shared_memory(), before);
}

/// The moments differ from run to run, `init` among them; what is left is looked for by the guard.
#[mobula::test]
fn a_driver_that_is_killed_at_any_moment_leaves_nothing() {
    play();
    let before = shared_memory();
    let nowhere = std::env::temp_dir().join(format!("test-of-mobula-nowhere-{}", std::process::id()));
    for moment in 0..25 {
        let test = "killed_drivers::a_driver_that_is_killed_at_any_moment_leaves_nothing";
        let mut driver = driver(test, nowhere.to_str().unwrap());
        std::thread::sleep(Duration::from_micros(700 * moment));
        driver.kill().unwrap();
        driver.wait().unwrap();
    }
    let _ = std::fs::remove_file(&nowhere);
    let _ = std::fs::remove_file(nowhere.with_extension("new"));
    assert_eq!(shared_memory(), before);
}
