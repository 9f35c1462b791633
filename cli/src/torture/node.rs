//! The node of a round: the process that creates the store, or adopts that of a node that has died, and lets others
//! in. It may be killed.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use mobula_store::Store;

use crate::torture::plan::Plan;

/// What the node says once others can attach to a store that it has made.
pub(crate) const CREATED: &str = "created";
/// The same of a store that was there.
pub(crate) const ADOPTED: &str = "adopted";

/// How long a node waits for a place.
const PLACE: Duration = Duration::from_secs(10);

/// Plays the node until its standard input ends or it is killed.
pub(crate) fn play(plan: &Plan) -> Result<(), String> {
    let store = create(plan)?;
    let said = if store.adopted() { ADOPTED } else { CREATED };
    let mut out = std::io::stdout();
    writeln!(out, "{said}").and_then(|()| out.flush()).map_err(|error| format!("cannot say so: {error}"))?;
    let _ = std::io::stdin().read(&mut [0]);
    store.check().map_err(|error| format!("check at the end answered: {error}"))?;
    Ok(())
}

/// A store whose places are all taken has one for the next node once that of a dead one is free, for which somebody
/// who is stopped may have to go on.
fn create(plan: &Plan) -> Result<Store, String> {
    let begun = Instant::now();
    loop {
        match Store::create(plan.options()) {
            Ok(store) => return Ok(store),
            Err(error) if error.is_store_full() && begun.elapsed() < PLACE => {}
            Err(error) => return Err(format!("create answered after {:?}: {error}", begun.elapsed())),
        }
    }
}
