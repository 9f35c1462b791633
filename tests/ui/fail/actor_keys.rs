// Each key that is unknown, misplaced, repeated, or has a value of the wrong kind or range.
struct Unknown;

#[mobula::actor(max_restart = 2)]
impl Unknown {
    pub fn new() -> Self {
        Unknown
    }
}

struct Misplaced;

#[mobula::actor(name = "global", resource = 1.0)]
impl Misplaced {
    pub fn new() -> Self {
        Misplaced
    }
}

struct Repeated;

#[mobula::actor(num_cpus = 1.0, num_cpus = 2.0)]
impl Repeated {
    pub fn new() -> Self {
        Repeated
    }
}

struct Wrong;

#[mobula::actor(
    num_cpus = -1.0,
    num_gpus = 1.5,
    max_restarts = -2,
    max_task_retries = "three",
    max_concurrency = 0,
    max_pending_calls = 1.5
)]
impl Wrong {
    pub fn new() -> Self {
        Wrong
    }
}

struct Grouped;

#[mobula::actor(concurrency_groups(io = 2, "health" = 1))]
impl Grouped {
    pub fn new() -> Self {
        Grouped
    }
}

struct NoList;

#[mobula::actor(concurrency_groups = 2)]
impl NoList {
    pub fn new() -> Self {
        NoList
    }
}

struct BadGroups;

#[mobula::actor(concurrency_groups(io = 0, health = 1, health = 2), shutdown_timeout = 0)]
impl BadGroups {
    pub fn new() -> Self {
        BadGroups
    }
}

struct NotLiteral;

const CPUS: f64 = 1.0;

#[mobula::actor(num_cpus = CPUS)]
impl NotLiteral {
    pub fn new() -> Self {
        NotLiteral
    }
}

struct NoValue;

#[mobula::actor(num_cpus)]
impl NoValue {
    pub fn new() -> Self {
        NoValue
    }
}

struct NoKey;

#[mobula::actor(2)]
impl NoKey {
    pub fn new() -> Self {
        NoKey
    }
}

struct NoPath;

#[mobula::actor(crate = 7)]
impl NoPath {
    pub fn new() -> Self {
        NoPath
    }
}

fn main() {}
