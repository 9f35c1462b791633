//! Snippets of `docs/debugging.md`.

use super::config;

#[mobula::test]
fn debugging() {
    let _runtime = mobula::init(config()).unwrap();
    check().unwrap();
}

fn check() -> mobula::Result<()> {
    for worker in mobula::stack_traces()? {
        println!("{worker}"); // name, pid, and the frames of each thread
    }
    Ok(())
}
