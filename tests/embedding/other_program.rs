//! A host whose workers are another program, which shares a library of actors with it.

use embedded_actors::Analyser;
use mobula::prelude::*;

use super::support::{config, eventually, example, get, is_alive};

#[mobula::test]
fn a_library_of_actors_runs_in_another_program() {
    // Threads of the host's own are there already, and none of them is run again.
    let busy = std::thread::spawn(|| std::thread::park_timeout(std::time::Duration::from_secs(60)));
    let runtime = mobula::init(config(2.0).worker_exe(example("embedded_worker"))).unwrap();
    let analysers: Vec<_> = (0..3).map(|_| Analyser::remote().unwrap()).collect();
    let samples = Array::from_slice(&[1.0f32, 3.0]).unwrap();
    let sums: Vec<_> = analysers.iter().map(|analyser| analyser.analyse(&samples).remote()).collect();
    for summary in mobula::get_all(&sums).unwrap() {
        assert_eq!((summary.count, summary.mean, summary.low, summary.high), (2, 2.0, 1.0, 3.0));
    }
    assert_eq!(get(&analysers[0].total().remote()).unwrap().count, 2);
    let workers = workers_of(std::process::id());
    assert!(workers.len() >= 3, "{workers:?}");
    assert!(workers.iter().all(|(_, program)| program.ends_with("embedded_worker")), "{workers:?}");
    drop(runtime);
    eventually("all workers are gone", || workers.iter().all(|(pid, _)| !is_alive(*pid)));
    busy.thread().unpark();
    busy.join().unwrap();
}

/// Finds the children of a process with their programs.
fn workers_of(parent: u32) -> Vec<(u32, String)> {
    let pids = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let of = stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse::<u32>().ok()?;
        let program = std::fs::read_link(format!("/proc/{pid}/exe")).ok()?;
        (of == parent).then(|| (pid, program.to_string_lossy().into_owned()))
    })
    .collect()
}
