//! `mobula store stats`: the store's figures.

use mobula_store::Store;

use crate::args::At;
use crate::failure::Failure;
use crate::output::Output;
use crate::size;

pub(crate) fn run(at: &At, out: &mut Output) -> Result<(), Failure> {
    let stats = Store::attach_read_only(&at.address)?.stats();
    let sizes = [
        ("capacity_bytes", stats.capacity_bytes),
        ("used_bytes", stats.used_bytes),
        ("free_bytes", stats.free_bytes),
        ("largest_free_bytes", stats.largest_free_bytes),
        ("committed_bytes", stats.committed_bytes),
        ("spilled_bytes", stats.spilled_bytes),
        ("fallback_bytes", stats.fallback_bytes),
    ];
    let counts = [
        ("objects", stats.objects),
        ("unsealed_objects", stats.unsealed_objects),
        ("spilled_objects", stats.spilled_objects),
        ("clients", stats.clients),
        ("queued_creates", stats.queued_creates),
    ];
    if at.json {
        let all = sizes.into_iter().chain(counts).map(|(name, n)| (name.to_owned(), n.into()));
        return out.json(&all.collect::<serde_json::Map<_, _>>());
    }
    let name = |name: &str| name.trim_end_matches("_bytes").replace('_', " ");
    let sizes = sizes.map(|(what, n)| (name(what), size::bytes(n)));
    let counts = counts.map(|(what, n)| (name(what), n.to_string()));
    sizes.into_iter().chain(counts).try_for_each(|(what, n)| out.line(format!("{what:<18}{n:>12}")))
}
