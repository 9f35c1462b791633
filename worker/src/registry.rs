//! The classes and task functions of this executable, found at link time and looked up by name.
//!
//! - **WK-17** A name stands for one entry: two of the same name are refused at start-up.
//! - **WK-18** Two processes agree on an entry if its name and signature are equal; the hash over
//!   all entries, sorted by name, says so for the whole registry.

use std::collections::HashMap;
use std::sync::OnceLock;

use mobula_scheduler::protocol::RegistryKey;

use crate::definition::{ActorClass, Entry, TaskFunction};
use crate::error::{Error, Result};

/// How many names a message about an unknown one lists.
const NAMES_SHOWN: usize = 8;

/// All entries of this executable, by name.
pub(crate) struct Registry {
    entries: Vec<(RegistryKey, Entry)>,
    /// Where an entry's static lies, to its place in `entries`.
    by_address: HashMap<usize, usize>,
    /// The functions by their codes.
    by_code: HashMap<u64, &'static TaskFunction>,
    hash: u64,
}

/// Returns the registry, built at the first use.
///
/// # Errors
///
/// If two entries have the same name.
pub(crate) fn registry() -> Result<&'static Registry> {
    static REGISTRY: OnceLock<Result<Registry>> = OnceLock::new();
    REGISTRY
        .get_or_init(|| Registry::build(inventory::iter::<Entry>.into_iter().copied()))
        .as_ref()
        .map_err(Error::clone)
}

impl Registry {
    fn build(entries: impl Iterator<Item = Entry>) -> Result<Self> {
        let mut entries: Vec<_> = entries.map(|entry| (key(&entry), entry)).collect();
        entries.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        if let Some(pair) = entries.windows(2).find(|pair| pair[0].0.name == pair[1].0.name) {
            return Err(Error::invalid_argument(format!(
                "{} and {} are both registered as `{}`: give one of the types another name or module",
                describe(&pair[0].1),
                describe(&pair[1].1),
                pair[0].0.name
            )));
        }
        let hash = entries.iter().fold(BASIS, |hash, (key, _)| mix(hash, key));
        let mut by_code = HashMap::new();
        for (key, entry) in &entries {
            if let Entry::Task(function) = entry
                && let Some(other) = by_code.insert(code(key), *function)
            {
                return Err(Error::invalid_argument(format!(
                    "the tasks {} and {} have the same code by chance: give one of them another name",
                    other.name, function.name
                )));
            }
        }
        let by_address = entries.iter().enumerate().map(|(place, (_, entry))| (address(entry), place)).collect();
        Ok(Registry { entries, by_address, by_code, hash })
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn keys(&self) -> Vec<RegistryKey> {
        self.entries.iter().map(|(key, _)| key.clone()).collect()
    }

    /// Returns the key of an entry that this executable holds.
    pub(crate) fn key_of(&self, entry: Entry) -> RegistryKey {
        match self.by_address.get(&address(&entry)) {
            Some(place) => self.entries[*place].0.clone(),
            None => key(&entry),
        }
    }

    pub(crate) fn class(&self, wanted: &RegistryKey) -> Result<&'static ActorClass> {
        match self.find(wanted)? {
            Entry::Actor(class) => Ok(class),
            Entry::Task(_) => Err(Error::not_found(format!("`{}` is a task, not an actor class", wanted.name))),
        }
    }

    pub(crate) fn function(&self, wanted: &RegistryKey) -> Result<&'static TaskFunction> {
        match self.find(wanted)? {
            Entry::Task(function) => Ok(function),
            Entry::Actor(_) => Err(Error::not_found(format!("`{}` is an actor class, not a task", wanted.name))),
        }
    }

    /// Returns the function of a code; the code of an entry is the same in every executable.
    #[inline]
    pub(crate) fn function_of(&self, code: u64) -> Result<&'static TaskFunction> {
        self.by_code.get(&code).copied().ok_or_else(|| {
            Error::not_found(
                "the task is not in the worker's executable, or has another signature there: build both from the same source",
            )
        })
    }

    fn find(&self, wanted: &RegistryKey) -> Result<Entry> {
        let place = self
            .entries
            .binary_search_by(|(key, _)| key.name.as_str().cmp(&wanted.name))
            .map_err(|_| self.unknown(&wanted.name))?;
        let (key, entry) = &self.entries[place];
        if key.signature != wanted.signature {
            return Err(Error::not_found(format!(
                "`{}` has other signatures in the worker's executable than in the caller's: build both from the same source",
                wanted.name
            )));
        }
        Ok(*entry)
    }

    fn unknown(&self, name: &str) -> Error {
        let mut known: Vec<_> = self.entries.iter().take(NAMES_SHOWN).map(|(key, _)| key.name.as_str()).collect();
        if self.entries.len() > NAMES_SHOWN {
            known.push("...");
        }
        Error::not_found(if known.is_empty() {
            format!("`{name}` is not in the worker's executable, which has no actor classes or tasks at all")
        } else {
            format!("`{name}` is not in the worker's executable, which has: {}", known.join(", "))
        })
    }
}

/// Where hashes begin (FNV-1a).
const BASIS: u64 = 0xcbf2_9ce4_8422_2325;

fn mix(hash: u64, key: &RegistryKey) -> u64 {
    let bytes = key.name.bytes().chain([0]).chain(key.signature.to_le_bytes());
    bytes.fold(hash, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Returns the number that stands for an entry in frames.
pub(crate) fn code(key: &RegistryKey) -> u64 {
    mix(BASIS, key)
}

fn address(entry: &Entry) -> usize {
    match entry {
        Entry::Actor(class) => std::ptr::from_ref::<ActorClass>(class).addr(),
        Entry::Task(function) => std::ptr::from_ref::<TaskFunction>(function).addr(),
    }
}

fn key(entry: &Entry) -> RegistryKey {
    let (package, version, type_name, signature) = match entry {
        Entry::Actor(class) => (class.package, class.version, (class.type_name)(), class.signature),
        Entry::Task(function) => (function.package, function.version, (function.type_name)(), function.signature),
    };
    RegistryKey { name: format!("{package} {version} {type_name}"), signature }
}

fn describe(entry: &Entry) -> String {
    match entry {
        Entry::Actor(class) => format!("the actor class {}", class.name),
        Entry::Task(function) => format!("the task {}", function.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::TaskDefaults;

    const fn task(name: &'static str, type_name: fn() -> &'static str, signature: u64) -> TaskFunction {
        TaskFunction {
            package: "p",
            version: "1.0.0",
            type_name,
            name,
            signature,
            defaults: TaskDefaults::NONE,
            num_returns: 1,
            streams: false,
            run: |_, _| Ok(()),
        }
    }

    static A: TaskFunction = task("a", || "p::a", 1);
    static B: TaskFunction = task("b", || "p::b", 2);
    static A_AGAIN: TaskFunction = task("c", || "p::a", 3);

    #[test]
    fn finds_by_name_and_signature() {
        let registry = Registry::build([Entry::Task(&B), Entry::Task(&A)].into_iter()).unwrap();
        let key = registry.key_of(Entry::Task(&A));
        assert_eq!(key.name, "p 1.0.0 p::a");
        assert_eq!(registry.function(&key).unwrap().name, "a");
        assert!(registry.class(&key).is_err());
        let other = RegistryKey { signature: 9, ..key };
        assert!(registry.function(&other).unwrap_err().to_string().contains("other signatures"));
    }

    #[test]
    fn a_duplicate_name_is_refused_naming_both() {
        let error = Registry::build([Entry::Task(&A), Entry::Task(&A_AGAIN)].into_iter()).err().unwrap();
        assert!(error.to_string().contains("task a") && error.to_string().contains("task c"), "{error}");
    }

    #[test]
    fn an_unknown_name_lists_what_there_is() {
        let registry = Registry::build([Entry::Task(&A)].into_iter()).unwrap();
        let error = registry.function(&RegistryKey { name: "x".into(), signature: 0 }).unwrap_err();
        assert!(error.is_not_found() && error.to_string().contains("p::a"), "{error}");
    }

    #[test]
    fn the_hash_does_not_depend_on_the_order_of_submission() {
        let one = Registry::build([Entry::Task(&A), Entry::Task(&B)].into_iter()).unwrap();
        let two = Registry::build([Entry::Task(&B), Entry::Task(&A)].into_iter()).unwrap();
        assert_eq!(one.hash(), two.hash());
        assert_ne!(one.hash(), Registry::build([Entry::Task(&A)].into_iter()).unwrap().hash());
    }
}
