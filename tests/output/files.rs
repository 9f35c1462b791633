//! What workers print is in files of the session, too, which make room for others when they have grown.

use std::fs;
use std::path::Path;

use super::Speaker;
use super::support::{config, eventually, get};

/// Reads a log file; empty if it is not there.
fn text(path: &Path, name: &str) -> String {
    fs::read_to_string(path.join("logs").join(name)).unwrap_or_default()
}

#[mobula::test]
fn each_stream_has_a_file_with_its_lines_in_order() {
    let runtime = mobula::init(config(2.0).log_to_driver(false)).unwrap();
    let speaker = Speaker::remote().unwrap();
    let pid = get(&speaker.pid().remote()).unwrap();
    get(&speaker.count(100).remote()).unwrap();
    for kind in ["out", "err"] {
        let expected: String = (0..100).map(|number| format!("{kind} {number}\n")).collect();
        let file = format!("worker-{pid}.{kind}");
        eventually("the lines are in the file", || text(&runtime.info().session_dir, &file) == expected);
    }
}

#[mobula::test]
fn files_do_not_grow_beyond_their_size() {
    let config = config(2.0).log_to_driver(false).log_file_size(2048).log_file_backups(2);
    let runtime = mobula::init(config).unwrap();
    let speaker = Speaker::remote().unwrap();
    let pid = get(&speaker.pid().remote()).unwrap();
    get(&speaker.count(1000).remote()).unwrap();
    let dir = &runtime.info().session_dir;
    let file = |end: &str| text(dir, &format!("worker-{pid}.out{end}"));
    eventually("the last line is in the file", || file("").ends_with("out 999\n"));
    let all = file(".2") + &file(".1") + &file("");
    let first: u32 = all.lines().next().unwrap().strip_prefix("out ").unwrap().parse().unwrap();
    assert!(first > 0);
    assert_eq!(all, (first..1000).map(|number| format!("out {number}\n")).collect::<String>());
    assert!([".2", ".1"].iter().all(|end| (1024..=2048).contains(&file(end).len())) && file("").len() <= 2048);
    assert_eq!(file(".3"), "");
}
