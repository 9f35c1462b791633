//! What a creation says about calls that run beside each other, and about the actor's end.
//!
//! The class's keys and the options of the creation together give the [`WorkerTraits`]; what makes no sense is refused
//! here, before anything is created.

use std::time::Duration;

use crate::actor::ActorSettings;
use crate::definition::ActorClass;
use crate::error::{Error, Result};
use crate::executor::CallJob;
use crate::traits::WorkerTraits;

/// How many calls of an actor with `async` methods run at once unless somebody says otherwise.
const OF_ASYNC: usize = 1000;

/// Returns what the worker of an actor with these options has to know, or says which of them makes no sense.
pub(crate) fn worker_traits(settings: &ActorSettings, class: &ActorClass) -> Result<WorkerTraits> {
    let defaults = &class.defaults;
    let usual = if class.is_async() { OF_ASYNC } else { 1 };
    let calls = settings.max_concurrency.or(defaults.max_concurrency).unwrap_or(usual);
    if calls == 0 {
        return Err(Error::invalid_argument("max_concurrency must be 1 or more, not 0"));
    }
    let shutdown_timeout = match (settings.shutdown_timeout, defaults.shutdown_timeout) {
        (Some(timeout), _) => timeout,
        (None, Some(seconds)) => Duration::try_from_secs_f64(seconds).unwrap_or_default(),
        (None, None) => WorkerTraits::default().shutdown_timeout,
    };
    if shutdown_timeout.is_zero() {
        return Err(Error::invalid_argument("shutdown_timeout must be more than zero"));
    }
    let traits = WorkerTraits {
        max_concurrency: limit(calls),
        groups: groups(settings, class)?,
        shutdown_timeout,
        is_async: class.is_async(),
    };
    if traits.is_concurrent() && class.share.is_none() {
        return Err(Error::invalid_argument(format!(
            "class {} is not Send + Sync, so its calls cannot run on several threads: it takes neither max_concurrency \
             above 1 nor concurrency groups",
            class.name
        )));
    }
    Ok(traits)
}

/// Returns the groups of the class and of the creation with their limits.
fn groups(settings: &ActorSettings, class: &ActorClass) -> Result<Vec<(String, u32)>> {
    let mut groups: Vec<(String, u32)> = Vec::new();
    let of_class = class.defaults.concurrency_groups.iter().copied();
    let of_creation = settings.groups.iter().map(|(name, calls)| (name.as_str(), *calls));
    for (name, calls) in of_class.chain(of_creation) {
        if name.is_empty() {
            return Err(Error::invalid_argument("the name of a concurrency group must not be empty"));
        }
        match groups.iter_mut().find(|(known, _)| known == name) {
            Some((_, before)) => *before = limit(calls),
            None => groups.push((name.to_owned(), limit(calls))),
        }
    }
    if let Some((name, _)) = groups.iter().find(|(_, calls)| *calls == 0) {
        return Err(Error::invalid_argument(format!("the concurrency group `{name}` must run 1 call or more, not 0")));
    }
    for method in class.methods {
        if let Some(group) = method.concurrency_group
            && !groups.iter().any(|(name, _)| name == group)
        {
            let what = format!("the method {}::{} is in", class.name, method.name);
            return Err(no_group(&what, group, groups.iter().map(|(name, _)| name.as_str())));
        }
    }
    Ok(groups)
}

/// Makes the error of a group that an actor does not have; `what` is in it, or asks for it.
fn no_group<'a>(what: &str, group: &str, known: impl Iterator<Item = &'a str>) -> Error {
    let known: Vec<_> = known.map(|name| format!("`{name}`")).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Error::invalid_argument(format!(
        "{what} the concurrency group `{group}`, which the actor does not have; it has {known}"
    ))
}

/// Makes the error of a call that asks for a group which the actor does not have.
pub(crate) fn call_without_group<'a>(class: &ActorClass, job: &CallJob, known: impl Iterator<Item = &'a str>) -> Error {
    let method = class.methods.get(usize::from(job.method)).map_or("?", |method| method.name);
    let what = format!("a call of {}::{method} asks for", class.name);
    no_group(&what, job.group.as_deref().unwrap_or_default(), known)
}

fn limit(calls: usize) -> u32 {
    u32::try_from(calls).unwrap_or(u32::MAX)
}
