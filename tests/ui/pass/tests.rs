// Tests in processes of their own, with what else stands on a test. (This file is compiled without
// `--test`, where a test leaves nothing behind.)
#![forbid(unsafe_code)]
#![deny(warnings)]

#[mobula::test]
fn plain() {}

/// Fails on purpose.
#[mobula::test]
#[should_panic(expected = "on purpose")]
fn panics() {
    panic!("on purpose");
}

#[mobula::test]
#[ignore = "slow"]
fn fallible() -> mobula::Result<()> {
    Ok(())
}

mod inner {
    #[mobula::test]
    fn plain() -> std::process::ExitCode {
        std::process::ExitCode::SUCCESS
    }
}

fn main() {}
