//! Snippets of `docs/tasks.md`.

use std::time::Duration;

use super::config;

#[mobula::task]
fn word_count(text: String) -> usize {
    text.split_whitespace().count()
}

#[mobula::task(num_returns = 2)]
fn divide(a: i64, b: i64) -> Result<(i64, i64), String> {
    if b == 0 {
        return Err(format!("{a} divided by zero"));
    }
    Ok((a / b, a % b))
}

#[mobula::task]
fn fibonacci(n: u64) -> mobula::Result<u64> {
    if n < 2 {
        return Ok(n);
    }
    let (a, b) = (fibonacci::remote(n - 1), fibonacci::remote(n - 2));
    Ok(mobula::get(&a)? + mobula::get(&b)?)
}

#[mobula::test]
fn tasks() {
    let _runtime = mobula::init(config()).unwrap();
    check().unwrap();
}

fn check() -> mobula::Result<()> {
    let count = word_count::remote("the quick brown fox"); // at once
    assert_eq!(mobula::get(&count)?, 4);
    assert_eq!(word_count("runs here".into()), 2); // the function itself is still there

    let (quotient, rest) = divide::remote(17, 5);
    let (again, _) = divide::remote(&quotient, &rest); // runs when both are there
    assert_eq!(mobula::get(&again)?, 1);

    let (failed, _) = divide::remote(1, 0);
    let (never_run, _) = divide::remote(&failed, 2);
    let error = mobula::get(&never_run).unwrap_err(); // the error of its argument
    assert!(error.to_string().contains("1 divided by zero"));

    let texts = ["one", "one two", "one two three"];
    let refs: Vec<_> = texts.iter().map(|&text| word_count::remote(text)).collect();
    let (ready, pending) = mobula::wait(&refs, 2, Some(Duration::from_secs(10)))?;
    assert_eq!((ready.len(), pending.len()), (2, 1)); // both in input order
    assert_eq!(mobula::get_all(&refs)?, [1, 2, 3]); // fails at the first error

    let mut words = 0;
    for count in mobula::as_completed(refs) {
        words += mobula::get(&count?)?; // whichever is there first
    }
    assert_eq!(words, 6);

    assert_eq!(mobula::get(&fibonacci::remote(9))?, 34);

    let heavy = word_count::options().num_cpus(2.0); // may be used again
    assert_eq!(mobula::get(&heavy.remote("a b"))?, 2);
    let impossible = word_count::options().num_cpus(1e6).try_remote("a b");
    assert!(impossible.is_err_and(|error| error.is_insufficient_resources()));
    Ok(())
}
