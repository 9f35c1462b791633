//! `mobula status`: a node with its drivers, resources, actors and store.

use std::collections::BTreeMap;

use mobula_scheduler::attach;
use mobula_scheduler::protocol::{ActorStatus, NodeStatus};
use mobula_store::Store;
use serde::Serialize;

use crate::args::StatusArgs;
use crate::failure::Failure;
use crate::output::Output;
use crate::size;

/// All of it, for programs.
#[derive(Debug, Serialize)]
struct Report {
    node: Node,
    drivers: Vec<Driver>,
    resources: BTreeMap<String, Amounts>,
    tasks: Tasks,
    actors: Vec<Actor>,
    store: Figures,
}

#[derive(Debug, Serialize)]
struct Node {
    id: String,
    pid: u32,
    embedded: bool,
    session_dir: String,
    workers: usize,
}

#[derive(Debug, Serialize)]
struct Driver {
    pid: Option<u32>,
    namespace: String,
    workers: usize,
}

#[derive(Debug, Serialize)]
struct Amounts {
    total: f64,
    available: f64,
}

#[derive(Debug, Serialize)]
struct Tasks {
    waiting: usize,
    running: usize,
}

#[derive(Debug, Serialize)]
struct Actor {
    id: String,
    class: String,
    namespace: Option<String>,
    name: Option<String>,
    pid: Option<u32>,
    detached: bool,
}

#[derive(Debug, Serialize)]
struct Figures {
    capacity_bytes: u64,
    used_bytes: u64,
    objects: u64,
}

pub(crate) fn run(args: &StatusArgs, out: &mut Output) -> Result<(), Failure> {
    let status = attach::status(&args.at.address)?;
    let stats = Store::attach_read_only(&status.store_address)?.stats();
    let store = Figures { capacity_bytes: stats.capacity_bytes, used_bytes: stats.used_bytes, objects: stats.objects };
    let report = report(status, store);
    if args.json { out.json(&report) } else { print(&report, out) }
}

fn report(status: NodeStatus, store: Figures) -> Report {
    let actor = |ActorStatus { actor, class, name, pid, detached }| {
        let (namespace, name) = name.map(|name| (name.namespace, name.name)).unzip();
        Actor { id: actor.to_string(), class, namespace, name, pid, detached }
    };
    let driver = |driver: mobula_scheduler::protocol::DriverStatus| Driver {
        pid: driver.pid,
        namespace: driver.namespace,
        workers: driver.workers,
    };
    let (waiting, running) = status.tasks;
    Report {
        node: Node {
            id: status.node_id,
            pid: status.pid,
            embedded: status.embedded,
            session_dir: status.session_dir.display().to_string(),
            workers: status.workers.len(),
        },
        drivers: status.drivers.into_iter().map(driver).collect(),
        resources: status
            .resources
            .into_iter()
            .map(|(name, total, available)| (name, Amounts { total, available }))
            .collect(),
        tasks: Tasks { waiting, running },
        actors: status.actors.into_iter().map(actor).collect(),
        store,
    }
}

fn print(report: &Report, out: &mut Output) -> Result<(), Failure> {
    let Report { node, drivers, resources, tasks, actors, store } = report;
    let kind = if node.embedded { "inside a driver" } else { "of mobula start" };
    out.line(format!("node {} {kind}, pid {}, {} workers", node.id, node.pid, node.workers))?;
    out.line(format!("session {}", node.session_dir))?;
    let (used, capacity) = (size::bytes(store.used_bytes), size::bytes(store.capacity_bytes));
    out.line(format!("store {used} of {capacity} used, {} objects", store.objects))?;
    out.line(format!("tasks {} running, {} waiting", tasks.running, tasks.waiting))?;
    let pid = |pid: Option<u32>, without: &str| pid.map_or(without.to_owned(), |pid| pid.to_string());
    let rows: Vec<_> = resources
        .iter()
        .map(|(name, Amounts { total, available })| [name.clone(), total.to_string(), available.to_string()])
        .collect();
    out.line("")?;
    out.table(["RESOURCE", "TOTAL", "AVAILABLE"], [false, true, true], &rows)?;
    let rows: Vec<_> = drivers
        .iter()
        .map(|driver| [pid(driver.pid, "gone"), driver.namespace.clone(), driver.workers.to_string()])
        .collect();
    out.line("")?;
    out.table(["DRIVER", "NAMESPACE", "WORKERS"], [true, false, true], &rows)?;
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let rows: Vec<_> = actors
        .iter()
        .map(|actor| {
            let life = if actor.detached { "detached" } else { "" };
            let pid = pid(actor.pid, "waits");
            [actor.id.clone(), actor.class.clone(), pid, text(&actor.namespace), text(&actor.name), life.to_owned()]
        })
        .collect();
    out.line("")?;
    let right = [false, false, true, false, false, false];
    out.table(["ACTOR", "CLASS", "PID", "NAMESPACE", "NAME", "LIFETIME"], right, &rows)
}
