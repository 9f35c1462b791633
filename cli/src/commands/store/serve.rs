//! `mobula store serve`: a process whose only duty is to be a store's node.

use mobula_store::{Eviction, Segment, Store, StoreOptions};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::args::{EvictionPolicy, ServeArgs};
use crate::failure::Failure;
use crate::output::Output;

pub(crate) fn run(args: ServeArgs, out: &mut Output) -> Result<(), Failure> {
    // Before the address is printed: whoever reads it may send a signal at once.
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(Failure::io("could not wait for signals"))?;
    let store = Store::create(options(args))?;
    let told = out.line(store.address()).and_then(|()| out.flush());
    // A script that only wants a store at a chosen address may have closed the pipe.
    told.or_else(|failure| if failure.is_broken_pipe() { Ok(()) } else { Err(failure) })?;
    signals.forever().next();
    drop(store);
    Ok(())
}

fn options(args: ServeArgs) -> StoreOptions {
    let mut options = StoreOptions::new(args.capacity)
        .create_timeout(args.create_timeout)
        .max_clients(args.max_clients)
        .prefault(args.prefault)
        .fallback(args.fallback)
        .eviction(match args.eviction {
            EvictionPolicy::Never => Eviction::Never,
            EvictionPolicy::Lru => Eviction::LeastRecentlyUsed,
        });
    if let Some(address) = args.address {
        options = options.address(address);
    }
    if let Some(name) = args.name {
        options = options.segment(Segment::Named(name));
    }
    if let Some(dir) = args.spill_dir {
        options = options.spill_dir(dir);
    }
    if let Some(objects) = args.max_objects {
        options = options.max_objects(objects);
    }
    options
}
