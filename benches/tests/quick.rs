//! The binary as CI and programs run it.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::BTreeMap;
use std::process::{Command, Output};

fn bench(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mobula-bench")).args(args).output().unwrap()
}

/// The raw fields of each row by its name.
type Rows = BTreeMap<String, BTreeMap<String, String>>;

/// Runs a suite and returns its rows.
fn rows(suite: &str) -> Rows {
    let output = bench(&[suite, "--json", "--quick"]);
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    let rows: Rows = out.lines().map(fields).map(|row| (row["row"].clone(), row)).collect();
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

/// Looks whether rows are there, in a unit and beside a limit.
fn beside(rows: &Rows, unit: &str, wanted: &[(&str, &str)]) {
    // One processor has no limits of two.
    let has = |limit: &&str| rows.contains_key(*limit);
    for (name, limit) in wanted {
        let row = rows.get(*name).unwrap_or_else(|| panic!("there is no row {name}"));
        let limit = Some(limit).filter(|limit| has(limit)).unwrap_or(&"null");
        assert_eq!((row["unit"].as_str(), row["limit_row"].as_str()), (unit, *limit), "{row:?}");
    }
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
    let times = "get_200KB get_200KB_hot_alone get_200KB_other_process contains put_1KB delete_1KB \
                 create_seal_100MB release_last_shared reap_10k list_100k stats get_n10 get_n10k get_n1M \
                 get_n100k get_n100k_listed put_1KB_n100k put_1KB_n100k_listed wait_wake limit_futex_wake \
                 get_c1 get_c16 get_c128 limit_atomic_pair limit_spawn_hello limit_futex_rtt limit_kill_seen";
    let crowds = ["delete_1KB", "release_last_shared"]
        .map(|row| ["c1", "c16", "c128"].map(|clients| ["h0", "h100k"].map(|held| format!("{row}_{clients}_{held}"))));
    for name in times.split(' ').filter(|name| !name.is_empty()).chain(crowds.iter().flatten().flatten().map(|s| &**s))
    {
        let row = &rows[name];
        assert_eq!(row["unit"], "ns");
        let percentile = |key: &str| row[key].parse::<f64>().unwrap();
        assert!(percentile("p50") <= percentile("p99"), "{row:?}");
    }
    let rates = [
        ("put_100KB", "limit_memcpy_100KB"),
        ("put_1MB", "limit_memcpy_1MB"),
        ("put_100MB_warm", "limit_copy_best"),
        ("put_gigabytes_2_clients", "limit_put_gigabytes"),
        ("put_100MB_fresh", "limit_fresh_write"),
        ("put_100MB_prefaulted", "put_100MB_warm"),
        ("prefault_200MB", "limit_fresh_write"),
    ];
    beside(&rows, "GB/s", &rates);
    assert_eq!(rows["limit_memcpy_1t"]["unit"], "GB/s");
    assert_eq!(rows["wait_wake"]["limit_row"], "limit_futex_wake");
    let alone = |name: &&String| !name.starts_with("limit_") && rows[*name]["limit_row"] == "null";
    assert_eq!(rows.keys().find(alone), None, "a row stands beside no limit");
}

#[test]
fn the_calls_suite_has_its_rows() {
    let rows = rows("calls");
    let times = [
        ("actor_call_sync_hot", "limit_spin_rtt"),
        ("actor_call_sync_asleep", "limit_futex_rtt"),
        ("actor_call_sync_oversubscribed", "limit_futex_rtt"),
        ("actor_call_1MB_array", "actor_call_sync_hot"),
        ("actor_call_1MB_array_put", "limit_copy_1MB"),
        ("put_1KB", "limit_copy_1KB"),
        ("get_1KB", "limit_copy_1KB"),
        ("get_10k_refs", "null"),
        ("wait_1k_refs", "null"),
        ("as_completed_1k", "null"),
        ("kill_actor_to_error", "limit_kill_seen"),
        ("restart_to_result", "limit_kill_seen"),
    ];
    beside(&rows, "ns", &times);
    let rates = [
        "1_1_actor_calls_async",
        "1_n_actor_calls_async",
        "n_n_actor_calls_async",
        "n_n_actor_calls_with_arg_async",
        "task_stream_items",
        "actor_stream_items",
    ];
    beside(&rows, "1/s", &rates.map(|row| (row, "limit_stream")));
    beside(&rows, "GB/s", &[("array_100MB_put", "limit_memcpy_1t")]);
}

#[test]
fn the_tasks_suite_has_its_rows() {
    let rows = rows("tasks");
    beside(&rows, "ns", &[("tasks_sync", "limit_spin_rtt")]);
    beside(&rows, "1/s", &[("tasks_async", "limit_stream"), ("queued_10k_tasks", "limit_stream")]);
}

#[test]
fn the_ps_suite_has_its_rows() {
    let rows = rows("ps");
    let wanted =
        [("ps_sync_8MB", "limit_ps_8MB"), ("ps_async_8MB", "limit_ps_async_8MB"), ("ps_sync_80MB", "limit_ps_80MB")];
    beside(&rows, "1/s", &wanted);
}

#[test]
fn the_ray_suite_has_its_rows() {
    let rows = rows("ray");
    let calls = "multi_client_put_calls_Plasma_Store single_client_tasks_async multi_client_tasks_async \
                 1_1_actor_calls_async 1_n_actor_calls_async n_n_actor_calls_async n_n_actor_calls_with_arg_async \
                 1_1_async_actor_calls_async 1_1_async_actor_calls_with_args_async \
                 1_n_async_actor_calls_async n_n_async_actor_calls_async";
    beside(&rows, "1/s", &calls.split(' ').map(|row| (row, "limit_stream")).collect::<Vec<_>>());
    let rates = [
        ("single_client_get_calls_Plasma_Store", "limit_atomic_pair"),
        ("single_client_put_calls_Plasma_Store", "limit_atomic_pair"),
        ("single_client_tasks_sync", "limit_spin_rtt"),
        ("1_1_actor_calls_sync", "limit_spin_rtt"),
        ("1_1_async_actor_calls_sync", "limit_spin_rtt"),
        ("single_client_tasks_and_get_batch", "null"),
        ("single_client_get_object_containing_10k_refs", "null"),
        ("single_client_wait_1k_refs", "null"),
    ];
    beside(&rows, "1/s", &rates);
    // They are left out where there is little memory.
    let puts = ["single_client_put_gigabytes", "multi_client_put_gigabytes"].map(|row| (row, "limit_memcpy_1t"));
    let has = |(row, _): &(&str, &str)| rows.contains_key(*row);
    beside(&rows, "GB/s", &puts.into_iter().filter(has).collect::<Vec<_>>());
}

#[test]
fn the_channel_suite_has_its_rows() {
    let rows = rows("channel");
    let hops = "channel_hop_8B channel_hop_64B channel_hop_4KB channel_hop_1MB channel_hop_4MB channel_broadcast_4 \
                value_channel_hop";
    beside(&rows, "ns", &hops.split_whitespace().map(|row| (row, "limit_spin_rtt")).collect::<Vec<_>>());
    beside(&rows, "1/s", &[("channel_stream_8B", "limit_stream")]);
}

#[test]
fn the_queue_suite_has_its_rows() {
    let rows = rows("queue");
    let rates = ["queue_1_1", "queue_1_1_batches", "queue_unbounded_1_1", "queue_2_2", "queue_values_1_1"];
    beside(&rows, "1/s", &rates.map(|row| (row, "limit_stream")));
}

#[test]
fn the_graph_suite_has_its_rows() {
    let rows = rows("graph");
    let rounds = ["graph_1_actor", "graph_chain_4", "graph_scatter_4", "graph_args_8_1B", "graph_args_8_1MB"];
    beside(&rows, "ns", &rounds.map(|row| (row, "limit_spin_rtt")));
    for row in rounds {
        assert!(rows.contains_key(&format!("{row}_calls")), "{row}");
    }
    beside(&rows, "1/s", &[("graph_1_actor_async", "limit_stream")]);
}

#[test]
fn the_savina_suite_has_its_rows() {
    let rows = rows("savina");
    beside(&rows, "1/s", &["ping_pong", "thread_ring"].map(|row| (row, "limit_spin_rtt")));
    let streams = ["counting", "fork_join_throughput", "big", "banking", "bounded_buffer"];
    beside(&rows, "1/s", &streams.map(|row| (row, "limit_stream")));
}

#[test]
fn the_startup_suite_has_its_rows() {
    let rows = rows("startup");
    let spawned = ["actor_creation_1", "actor_creation_10"].map(|row| (row, "limit_spawn_hello"));
    beside(&rows, "ns", &["init", "actor_creation_warm", "shutdown"].map(|row| (row, "null")));
    beside(&rows, "ns", &spawned);
    beside(&rows, "MB", &[("idle_pss", "null")]);
    beside(&rows, "%", &[("idle_cpu", "null")]);
    assert_eq!((rows["idle_pss"]["p50"].as_str(), rows["idle_pss"]["limit"].as_str()), ("null", "null"));
}

#[test]
fn a_table_names_suite_machine_and_limit() {
    let output = bench(&["store", "--quick"]);
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{out}");
    assert!(out.contains("CPUs") && out.contains("limit row") && out.contains("\nstore "), "{out}");
    assert!(out.contains(" target ") && (out.contains(" met ") || out.contains(" missed ")), "{out}");
}

#[test]
fn others_figures_stand_beside_ours_and_on_a_page() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (theirs, page) = (folder.join("ray.1.jsonl"), folder.join("figures.html"));
    std::fs::write(&theirs, r#"{"suite":"ray","row":"tasks_sync","unit":"ns","p50":1665000,"value":1665000}"#).unwrap();
    let (theirs, page) = (theirs.to_str().unwrap(), page.to_str().unwrap());
    let output = bench(&["tasks", "--quick", "--against", &format!("nobody,{theirs}"), "--html", page]);
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{out}");
    assert!(out.contains("no figures of nobody: no such file"), "{out}");
    let row = out.lines().find(|line| line.starts_with("  tasks_sync")).unwrap();
    assert!(row.contains(" ray 1665.0 us (") && row.ends_with("x)"), "{row}");
    let html = std::fs::read_to_string(page).unwrap();
    assert!(html.starts_with("<!DOCTYPE html>") && html.ends_with("</html>\n"), "{html}");
    assert!(html.contains("<h2>tasks</h2>") && html.contains("<svg") && html.contains("ray 1665.0 us"), "{html}");
}

/// Installs a peer that is a program: it prints a line, in which `$1` is the suite, and ends with a status.
fn install(environments: &std::path::Path, name: &str, row: &str, status: i32) {
    use std::os::unix::fs::PermissionsExt;
    let program = environments.join(name).join("bin").join(format!("peer_{name}"));
    let line = format!(r#"{{"suite":"{name}","row":"{row}","unit":"ns","p50":1665000,"value":1665000}}"#);
    std::fs::create_dir_all(program.parent().unwrap()).unwrap();
    std::fs::write(&program, format!("#!/bin/sh\ncat <<END\n{line}\nEND\nexit {status}\n")).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn peers_that_are_programs_are_run_and_missing_ones_named() {
    let environments = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("environments");
    install(&environments, "whole", "tasks_sync:$1$2", 0);
    install(&environments, "half", "tasks_sync", 7);
    let output = Command::new(env!("CARGO_BIN_EXE_mobula-bench"))
        .args(["tasks", "--quick", "--against", "whole,half,iceoryx2,ipc-channel"])
        .env("COMPARE_VENVS", &environments)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{out}");
    let row = out.lines().find(|line| line.starts_with("  tasks_sync")).unwrap();
    assert!(row.contains(" whole:tasks--quick 1665.0 us (") && row.contains(" half 1665.0 us ("), "{row}");
    assert!(out.contains("no figures of some rows of half: it ended with exit status: 7"), "{out}");
    for name in ["iceoryx2", "ipc-channel"] {
        let why = format!("no figures of {name}: not installed: {}", environments.display());
        assert!(out.contains(&why) && out.contains("setup.sh installs it"), "{out}");
    }
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
