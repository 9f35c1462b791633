//! A driver that does what its standard input says; see `main.rs`.

#![allow(unreachable_pub, missing_docs, reason = "remote methods are `pub`")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::print_stdout, reason = "it answers there")]

pub mod counter;

use std::collections::HashMap;
use std::io::BufRead;

use mobula::prelude::*;

use counter::{Counter, hang, worker_pid};

/// A class that no other program has.
#[derive(Debug, Default)]
pub struct Special;

#[mobula::actor]
impl Special {
    pub fn new() -> Self {
        Special
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }
}

/// What the driver has.
#[derive(Default)]
struct Driver {
    runtime: Option<Runtime>,
    counters: HashMap<String, ActorHandle<Counter>>,
    special: Option<ActorHandle<Special>>,
    hanging: Vec<ObjectRef<u32>>,
}

fn config() -> Config {
    let config = Config::new();
    match std::env::var("DRIVER_NAMESPACE") {
        Ok(namespace) if !namespace.is_empty() => config.namespace(namespace),
        _ => config,
    }
}

fn main() -> mobula::Result<()> {
    let runtime = mobula::init(config()).inspect_err(|error| {
        println!("refused system={} not_found={} {error}", error.is_system(), error.is_not_found());
    })?;
    let mut driver = Driver { runtime: Some(runtime), ..Driver::default() };
    println!("attached");
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        match driver.obey(&words) {
            Ok(answer) => println!("{answer}"),
            Err(error) => println!("error {error}"),
        }
    }
    Ok(())
}

impl Driver {
    fn obey(&mut self, words: &[&str]) -> mobula::Result<String> {
        match *words {
            ["create", name] => {
                let counter = Counter::options().name(name).remote(0)?;
                self.keep(name, counter)
            }
            ["detach", name] => {
                let options = Counter::options().name(name).lifetime(Lifetime::Detached).max_restarts(-1);
                let counter = options.remote(0)?;
                self.keep(name, counter)
            }
            // Nobody keeps a handle, and nobody waits.
            ["leave behind", name] | ["detach-only", name] => {
                let _ = Counter::options().name(name).lifetime(Lifetime::Detached).remote(0)?;
                Ok("done".into())
            }
            ["drop", name] => {
                self.counters.remove(name);
                Ok("dropped".into())
            }
            ["special"] => {
                let special = Special::remote()?;
                let pid = mobula::get(&special.pid().remote())?;
                self.special = Some(special);
                Ok(pid.to_string())
            }
            ["add", namespace, name, by] => {
                let counter: ActorHandle<Counter> = mobula::get_actor_in(namespace, name)?;
                Ok(mobula::get(&counter.add(by.parse::<i64>().unwrap()).remote())?.to_string())
            }
            ["find", name] => {
                let counter: ActorHandle<Counter> = mobula::get_actor(name)?;
                Ok(mobula::get(&counter.pid().remote())?.to_string())
            }
            ["kill", name] => {
                let counter: ActorHandle<Counter> = mobula::get_actor(name)?;
                mobula::kill(&counter)?;
                Ok("killed".into())
            }
            ["names"] => {
                let names = mobula::list_named_actors(true)?;
                Ok(names.iter().map(|name| format!("{}/{}", name.namespace, name.name)).collect::<Vec<_>>().join(" "))
            }
            ["tasks", count] => {
                let refs: Vec<_> = (0..count.parse::<usize>().unwrap()).map(|_| worker_pid::remote()).collect();
                let mut pids = mobula::get_all(&refs)?;
                pids.sort_unstable();
                pids.dedup();
                Ok(pids.iter().map(u32::to_string).collect::<Vec<_>>().join(" "))
            }
            ["hang"] => {
                self.hanging.push(hang::remote());
                Ok("hangs".into())
            }
            ["where", name] => {
                let counter = &self.counters[name];
                let var = mobula::get(&counter.var("DRIVER_SECRET").remote())?.unwrap_or_default();
                let folder = mobula::get(&counter.folder().remote())?;
                let exe = mobula::get(&counter.exe().remote())?;
                let arguments = mobula::get(&counter.arguments().remote())?;
                Ok(format!("{var}|{folder}|{exe}|{}", arguments[1..].join(",")))
            }
            ["print", name, text] => {
                mobula::get(&self.counters[name].print(text).remote())?;
                Ok("printed".into())
            }
            ["print-much", name, lines] => {
                mobula::get(&self.counters[name].print_much(lines.parse::<u32>().unwrap()).remote())?;
                Ok("printed".into())
            }
            ["resources"] => Ok(format!("{:?}", mobula::available_resources())),
            ["leave"] => {
                drop(self.runtime.take());
                Ok("left".into())
            }
            ["attach"] => {
                self.runtime = Some(mobula::init(config())?);
                Ok("attached".into())
            }
            ["session"] => match &self.runtime {
                Some(runtime) => Ok(runtime.info().session_dir.display().to_string()),
                None => Ok("none".into()),
            },
            ["birth", name] => Ok(mobula::get(&self.counters[name].give_birth().remote())?.to_string()),
            ["delegate", name] => Ok(mobula::get(&self.counters[name].delegate().remote())?.to_string()),
            ["pid", name] => Ok(mobula::get(&self.counters[name].pid().remote())?.to_string()),
            _ => Ok(format!("what is {words:?}?")),
        }
    }

    fn keep(&mut self, name: &str, counter: ActorHandle<Counter>) -> mobula::Result<String> {
        let pid = mobula::get(&counter.pid().remote())?;
        self.counters.insert(name.to_owned(), counter);
        Ok(pid.to_string())
    }
}
