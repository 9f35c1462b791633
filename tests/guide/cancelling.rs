//! Snippets of `docs/cancelling.md`.

use super::config;

#[mobula::task]
fn search(from: u64) -> Option<u64> {
    for candidate in from.. {
        if mobula::context().is_cancelled() {
            return None; // nobody waits for it any more
        }
        if candidate == u64::MAX {
            return Some(candidate);
        }
    }
    None
}

#[mobula::task]
fn parent() -> mobula::Result<Option<u64>> {
    mobula::get(&search::remote(1)) // is_cancelled, if this task is cancelled
}

#[mobula::task]
fn deaf() {
    loop {
        std::thread::park();
    }
}

#[mobula::test]
fn cancelling() {
    let _runtime = mobula::init(config()).unwrap();
    check().unwrap();
}

fn check() -> mobula::Result<()> {
    let found = search::remote(7);
    mobula::cancel(&found, false)?;
    assert!(mobula::get(&found).is_err_and(|error| error.is_cancelled()));

    let found = parent::remote();
    mobula::cancel(&found, false)?; // and what it has submitted
    assert!(mobula::get(&found).is_err_and(|error| error.is_cancelled()));

    let never = deaf::remote();
    mobula::cancel(&never, true)?; // kills its worker; a cancelled task is never tried again
    assert!(mobula::get(&never).is_err_and(|error| error.is_cancelled()));
    Ok(())
}
