//! The node of a round: the process that creates the store, or adopts that of a node that has died, and lets others
//! in. It may be killed.

use std::io::{Read, Write};

use mobula_store::Store;

use crate::torture::plan::Plan;

/// What the node says once others can attach to a store that it has made.
pub(crate) const CREATED: &str = "created";
/// The same of a store that was there.
pub(crate) const ADOPTED: &str = "adopted";

/// Plays the node until its standard input ends or it is killed.
pub(crate) fn play(plan: &Plan) -> Result<(), String> {
    let store = Store::create(plan.options()).map_err(|error| format!("create answered: {error}"))?;
    let said = if store.adopted() { ADOPTED } else { CREATED };
    let mut out = std::io::stdout();
    writeln!(out, "{said}").and_then(|()| out.flush()).map_err(|error| format!("cannot say so: {error}"))?;
    let _ = std::io::stdin().read(&mut [0]);
    store.check().map_err(|error| format!("check at the end answered: {error}"))?;
    Ok(())
}
