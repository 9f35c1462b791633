//! `counters` and `zero_copy`.

use std::collections::HashSet;

use super::run;

#[mobula::test]
fn counters_count_each_for_itself_and_in_order() {
    let out = run("counters", &[]).succeeded();
    let lists: Vec<_> = out.lines().filter_map(|line| Some(line.split_once('[')?.1)).collect();
    assert_eq!(lists, ["1, 1, 1, 1, 1, 1, 1, 1, 1, 1]", "2, 3, 4, 5, 6]"], "{out}");
}

#[mobula::test]
fn readers_of_one_array_see_the_same_sum_without_a_copy() {
    let out = run("zero_copy", &["--readers", "3", "--mib", "48"]).succeeded();
    let rows: Vec<Vec<&str>> = out
        .lines()
        .filter(|line| line.starts_with("driver") || line.starts_with("reader "))
        .map(|line| line.trim_start_matches("reader ").split_whitespace().collect())
        .collect();
    assert_eq!(rows.len(), 4, "{out}");
    let column = |at: usize| rows.iter().map(|row| row[at]).collect::<HashSet<_>>();
    assert_eq!(column(1).len(), 4, "four processes: {out}");
    assert_eq!(column(3).len(), 1, "one checksum: {out}");
    assert!(column(2).iter().all(|address| address.starts_with("0x") && address.len() > 4), "{out}");
    for row in &rows {
        let private: u64 = row[6].parse().unwrap();
        assert!(private < 24, "{private} MiB of a process's own: {out}");
    }
    assert!(out.contains("one array, 4 processes, the same checksum in all"), "{out}");
}

#[mobula::test]
fn nonsense_on_the_command_line_is_told() {
    let ran = run("zero_copy", &["--readers", "0"]);
    assert_ne!(ran.code, Some(0));
    assert!(ran.err.contains("--readers"), "{}", ran.err);
}
