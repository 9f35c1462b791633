//! The binary as CI and programs run it.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::BTreeMap;
use std::process::{Command, Output};

fn bench(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mobula-bench")).args(args).output().unwrap()
}

/// Runs a suite and returns the raw fields of each row by its name.
fn rows(suite: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    let output = bench(&[suite, "--json", "--quick"]);
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    let rows: BTreeMap<_, _> = out.lines().map(fields).map(|row| (row["row"].clone(), row)).collect();
    assert_eq!(rows.len(), out.lines().count(), "a row stands twice: {out}");
    for row in rows.values() {
        assert_eq!(row["suite"], suite);
        assert!(row["value"].parse::<f64>().unwrap() > 0.0, "{row:?}");
        if row["limit_row"] != "null" {
            assert_eq!(row["limit"], rows[&row["limit_row"]]["value"], "{row:?}");
        }
    }
    rows
}

/// Takes a line apart; no value of ours holds a comma or a colon.
fn fields(line: &str) -> BTreeMap<String, String> {
    let inner = line.strip_prefix('{').and_then(|line| line.strip_suffix('}')).unwrap();
    let plain = |text: &str| text.trim_matches('"').to_owned();
    inner
        .split(',')
        .map(|field| field.split_once(':').unwrap())
        .map(|(key, value)| (plain(key), plain(value)))
        .collect()
}

#[test]
fn the_store_suite_has_its_rows() {
    let rows = rows("store");
    for name in ["get_200KB", "contains", "put_1KB", "delete_1KB", "limit_spawn_hello", "limit_futex_rtt"] {
        let row = &rows[name];
        assert_eq!(row["unit"], "ns");
        let percentile = |key: &str| row[key].parse::<f64>().unwrap();
        assert!(percentile("p50") <= percentile("p99"), "{row:?}");
    }
    for name in ["put_100MB_warm", "limit_memcpy_1t"] {
        assert_eq!(rows[name]["unit"], "GB/s");
    }
    assert_eq!(rows["put_100MB_warm"]["limit_row"], "limit_memcpy_1t");
}

#[test]
fn the_calls_suite_has_its_rows() {
    let rows = rows("calls");
    for name in ["actor_call_sync_hot", "actor_call_sync_asleep", "tasks_sync", "put_1KB", "get_1KB"] {
        assert_eq!(rows[name]["unit"], "ns");
    }
    assert_eq!(rows["1_1_actor_calls_async"]["unit"], "1/s");
    assert_eq!(rows["array_100MB_put"]["unit"], "GB/s");
}

#[test]
fn the_startup_suite_has_its_rows() {
    let rows = rows("startup");
    for name in ["init", "actor_creation_warm", "actor_creation_1", "shutdown"] {
        assert_eq!(rows[name]["unit"], "ns");
    }
    assert_eq!(rows["idle_pss"]["unit"], "MB");
    assert_eq!((rows["idle_pss"]["p50"].as_str(), rows["idle_pss"]["limit"].as_str()), ("null", "null"));
}

#[test]
fn a_table_names_suite_machine_and_limit() {
    let output = bench(&["store", "--quick"]);
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{out}");
    assert!(out.contains("CPUs") && out.contains("limit row") && out.contains("\nstore "), "{out}");
}

#[test]
fn what_cannot_be_run_is_said() {
    let output = bench(&["stoer"]);
    assert_eq!(output.status.code(), Some(2));
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(err.contains("\"stoer\"") && err.contains("usage:"), "{err}");
    let child = bench(&[mobula_bench::CHILD, "nonsense"]);
    assert_eq!(child.status.code(), Some(1));
    assert!(String::from_utf8(child.stderr).unwrap().contains("nonsense"));
    let help = bench(&["--help"]);
    assert!(help.status.success() && String::from_utf8(help.stdout).unwrap().contains("--quick"));
}
