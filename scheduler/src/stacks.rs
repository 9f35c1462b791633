//! What the threads of workers are doing, as people read it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The stacks of one worker process; prints itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WorkerStacks {
    /// Its pid.
    pub pid: u32,
    /// What it runs, as people call it.
    pub name: String,
    /// Its threads, the one with the lowest number first.
    pub threads: Vec<ThreadStack>,
    /// Why it has not told its stacks, if it has not.
    pub trouble: Option<String>,
}

/// The stack of one thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ThreadStack {
    /// Its number.
    pub tid: u32,
    /// Its name.
    pub name: String,
    /// Where it is, the innermost function first: `function at file:line`.
    pub frames: Vec<String>,
    /// Why its stack is not known, if it is not.
    pub trouble: Option<String>,
}

impl WorkerStacks {
    pub(crate) fn new(pid: u32, name: String, threads: Vec<ThreadStack>) -> Self {
        WorkerStacks { pid, name, threads, trouble: None }
    }

    pub(crate) fn without(pid: u32, name: String, trouble: String) -> Self {
        WorkerStacks { pid, name, threads: Vec::new(), trouble: Some(trouble) }
    }
}

impl ThreadStack {
    /// Makes the stack of a thread out of what is known of it.
    pub fn new(tid: u32, name: String, frames: Vec<String>, trouble: Option<String>) -> Self {
        ThreadStack { tid, name, frames, trouble }
    }
}

impl fmt::Display for WorkerStacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} pid={}", self.name, self.pid)?;
        if let Some(trouble) = &self.trouble {
            writeln!(f, "  no stacks: {trouble}")?;
        }
        self.threads.iter().try_for_each(|thread| write!(f, "{thread}"))
    }
}

impl fmt::Display for ThreadStack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  thread {} {}", self.tid, self.name)?;
        if let Some(trouble) = &self.trouble {
            writeln!(f, "    no stack: {trouble}")?;
        }
        self.frames.iter().enumerate().try_for_each(|(index, frame)| writeln!(f, "    {index:>2}: {frame}"))
    }
}
