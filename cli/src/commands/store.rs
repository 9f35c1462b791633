//! `mobula store`: serving a store, and using one from a shell.

mod list;
mod objects;
mod serve;
mod stats;

use mobula_store::Store;

use crate::args::StoreCommand;
use crate::failure::Failure;
use crate::output::Output;

/// Runs a subcommand of `mobula store`.
pub(crate) fn run(command: StoreCommand, out: &mut Output) -> Result<(), Failure> {
    match command {
        StoreCommand::Serve(args) => serve::run(args, out),
        StoreCommand::List(args) => list::run(&args.at, out),
        StoreCommand::Stats(args) => stats::run(&args.at, out),
        StoreCommand::Get(args) => objects::get(&args, out),
        StoreCommand::Put(args) => objects::put(&args, out),
        StoreCommand::Delete(args) => objects::delete(&args, out),
        StoreCommand::Dump(args) => Ok(Store::attach(&args.address)?.dump(&args.file)?),
    }
}
