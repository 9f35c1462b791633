//! `mobula fsck`: a store against its invariants.

use std::os::unix::fs::FileTypeExt;

use mobula_store::{CheckReport, Store};
use serde::Serialize;

use crate::args::FsckArgs;
use crate::failure::Failure;
use crate::output::Output;
use crate::size;

/// The verdict, for programs.
#[derive(Debug, Default, Serialize)]
struct Verdict {
    clean: bool,
    objects: u64,
    clients: u64,
    used_bytes: u64,
    violations: Vec<String>,
}

pub(crate) fn run(args: &FsckArgs, out: &mut Output) -> Result<(), Failure> {
    let file = std::fs::metadata(&args.target).is_ok_and(|meta| !meta.file_type().is_socket());
    let verdict = if file { dumped(&args.target)? } else { live(&args.target)? };
    if args.json {
        out.json(&verdict)?;
    } else if verdict.clean {
        let used = size::bytes(verdict.used_bytes);
        out.line(format!("clean: {} objects, {} clients, {used} used", verdict.objects, verdict.clients))?;
    } else {
        verdict.violations.iter().try_for_each(|what| out.line(what))?;
    }
    if verdict.clean { Ok(()) } else { Err(Failure::Reported) }
}

/// Attaches and checks.
fn live(address: &str) -> Result<Verdict, Failure> {
    verdict(Store::attach(address)?.check())
}

/// Checks what `mobula store dump` wrote.
fn dumped(path: &str) -> Result<Verdict, Failure> {
    verdict(mobula_store::fsck(path))
}

/// The process that attached, to check or to dump, is not counted.
fn verdict(checked: mobula_store::Result<CheckReport>) -> Result<Verdict, Failure> {
    match checked {
        Ok(report) => Ok(Verdict {
            clean: true,
            objects: report.objects,
            clients: report.clients.saturating_sub(1),
            used_bytes: report.used_bytes,
            violations: Vec::new(),
        }),
        Err(error) if error.is_corrupt() => Ok(Verdict { violations: violations(&error), ..Verdict::default() }),
        Err(error) => Err(error.into()),
    }
}

/// The violations of a corrupt store, one each.
fn violations(error: &mobula_store::Error) -> Vec<String> {
    let text = error.to_string();
    let list = text.split_once("corrupt: ").map_or(text.as_str(), |(_, list)| list);
    list.split("; ").map(str::to_owned).collect()
}
