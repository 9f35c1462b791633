// The same for the keys of a task.
#[mobula::task(max_restarts = 1)]
fn unknown() {}

#[mobula::task(resource = 1.0)]
fn misplaced() {}

#[mobula::task(num_cpus = "2", max_retries = 5000000000, retry_errors = "yes", max_calls = -1)]
fn wrong() {}

fn main() {}
