//! What the program says about itself, and what it says to nonsense.

use crate::{call, complaint, said};

#[test]
fn every_subcommand_explains_itself() {
    let all = said(&call(&["--help"]));
    for word in ["start", "stop", "status", "stack", "store", "fsck", "bench", "torture", "Exit codes"] {
        assert!(all.contains(word), "{all}");
    }
    let subcommands: [&[&str]; 14] = [
        &["start"],
        &["stop"],
        &["status"],
        &["stack"],
        &["store"],
        &["store", "serve"],
        &["store", "list"],
        &["store", "stats"],
        &["store", "get"],
        &["store", "put"],
        &["store", "delete"],
        &["fsck"],
        &["bench"],
        &["torture"],
    ];
    for subcommand in subcommands {
        let text = said(&call(&[subcommand, &["--help"]].concat()));
        assert!(text.contains("Usage: mobula "), "{text}");
        assert!(text.lines().all(|line| line.len() <= 100), "{text}");
    }
    assert!(said(&call(&["--version"])).starts_with("mobula "));
}

#[test]
fn nonsense_is_refused_with_exit_code_2() {
    let nonsense: [&[&str]; 10] = [
        &[],
        &["stoer"],
        &["start", "--resource", "licence"],
        &["store", "serve"],
        &["store", "serve", "--capacity", "much"],
        &["store", "list"],
        &["store", "get", "--address", "a", "xyz"],
        &["bench", "everything"],
        &["torture", "--seconds", "-1"],
        &["torture", "--workers", "0"],
    ];
    for args in nonsense {
        let output = call(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", complaint(&output));
        assert!(output.stdout.is_empty() && complaint(&output).contains("--help"), "{}", complaint(&output));
    }
}
