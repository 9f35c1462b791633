//! The scripts of `benches/compare`: their own tests, which need Python and no peer.

use std::process::Command;

#[test]
fn scripts_pass_their_tests() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/compare");
    let tests = Command::new("python3").args(["-B", "-m", "unittest", "test_compare"]).current_dir(folder).output();
    match tests {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
        Err(why) => eprintln!("the scripts of benches/compare were not tested: no python3 here: {why}"),
    }
}
