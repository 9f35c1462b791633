//! `mobula torture` for a moment: it works, it counts, it leaves nothing, and it repeats a plan.

use serde_json::Value;

use crate::{call, complaint, said};

#[test]
fn two_seconds_without_a_violation() {
    let output = call(&["torture", "--seconds", "2", "--seed", "7", "--workers", "3", "--json"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", complaint(&output));
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["violations"], serde_json::json!([]), "{text}");
    assert_eq!((report["seed"].as_u64(), report["rounds"].as_u64()), (Some(7), Some(1)));
    for counted in ["operations", "worker_kills", "checks", "objects_verified", "bytes_verified", "orphans_verified"] {
        assert!(report[counted].as_u64().unwrap() > 0, "{counted}: {text}");
    }
}

#[test]
fn people_see_what_was_done() {
    let output = call(&["torture", "--seconds", "0.2", "--workers", "1"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", complaint(&output));
    for word in ["seed ", "operations ", "workers ", "verified ", "violations     0"] {
        assert!(text.contains(word), "{text}");
    }
    assert!(complaint(&output).contains("round 0: "), "{}", complaint(&output));
    assert!(said(&call(&["torture", "--help"])).contains("--seed"));
}
