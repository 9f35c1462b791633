//! The command line as clap reads it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use mobula_store::ObjectId;

use crate::size;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  it failed, or something is wrong with the store
  2  the command line made no sense";

/// Starts nodes of Mobula; serves, looks into, checks, measures and tortures its stores
#[derive(Debug, Parser)]
#[command(name = "mobula", version, max_term_width = 100, after_help = EXIT_CODES, disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// What to do
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a node that drivers attach to, and print its session folder
    Start(StartArgs),
    /// End a node with all of its workers
    Stop(StopArgs),
    /// Print a node's drivers, resources, actors and store
    Status(StatusArgs),
    /// Print what the threads of a node's workers are doing, running or stuck
    Stack(StackArgs),
    /// Serve a store, or look into one and change it
    #[command(subcommand)]
    Store(StoreCommand),
    /// Hold a store against all of its invariants
    Fsck(FsckArgs),
    /// Measure Mobula beside the limits of this machine
    Bench(BenchArgs),
    /// Let many processes use a store at random while they are killed, and check every byte
    Torture(TortureArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Create a store, print its address and serve it until SIGINT or SIGTERM
    Serve(ServeArgs),
    /// List all objects: id, state, sizes, holders, age
    List(LookArgs),
    /// Print the store's figures
    Stats(LookArgs),
    /// Write an object's bytes to standard output
    Get(GetArgs),
    /// Store a file or standard input as an object and print its id
    Put(PutArgs),
    /// Delete an object
    Delete(DeleteArgs),
    /// Write a store's shared words, without the objects' bytes, to a file for `mobula fsck`
    Dump(DumpArgs),
}

/// What is not given comes from the MOBULA_* variables, or is the default of this machine.
#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    /// CPUs that its drivers share [default: those that this process may use]
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) num_cpus: Option<f64>,
    /// GPUs that its drivers share [default: none]
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) num_gpus: Option<f64>,
    /// A resource of its own kind; may be given more than once
    #[arg(long, value_name = "NAME=AMOUNT", value_parser = resource)]
    pub(crate) resource: Vec<(String, f64)>,
    /// Room for objects, as 512MiB or 4G [default: 30 % of the memory]
    #[arg(long, value_name = "SIZE", value_parser = size::parse_bytes)]
    pub(crate) object_store_memory: Option<usize>,
    /// The most processes that one driver's tasks may occupy [default: twice the CPUs, at least 4]
    #[arg(long, value_name = "N")]
    pub(crate) max_processes: Option<usize>,
    /// Stay in the foreground until SIGINT or SIGTERM
    #[arg(long)]
    pub(crate) block: bool,
    /// Set in the process that goes into the background
    #[arg(long, hide = true)]
    pub(crate) detach: bool,
}

fn resource(text: &str) -> Result<(String, f64), String> {
    let (name, amount) = text.split_once('=').ok_or("it must be NAME=AMOUNT, as licence=2")?;
    let amount = amount.parse().map_err(|_| format!("{amount:?} is no amount"))?;
    Ok((name.to_owned(), amount))
}

/// Where the node is.
#[derive(Debug, Args)]
pub(crate) struct NodeAt {
    /// Session folder of the node; auto is the newest one of this user that lives
    #[arg(long, value_name = "DIR|auto", env = "MOBULA_ADDRESS", default_value = "auto")]
    pub(crate) address: String,
}

#[derive(Debug, Args)]
pub(crate) struct StackArgs {
    #[command(flatten)]
    pub(crate) at: NodeAt,
    /// Print JSON for programs
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    #[command(flatten)]
    pub(crate) at: NodeAt,
    /// Kill it, also if it does not answer or lives inside a driver's process
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) at: NodeAt,
    /// Print JSON for programs
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Room for objects, as 4096, 64MiB or 1.5G (KiB and K are 1024 bytes, KB is 1000)
    #[arg(long, value_name = "SIZE", value_parser = size::parse_bytes)]
    pub(crate) capacity: usize,
    /// Path of the attach socket, in an existing folder of mode 0700 [default: fresh and private]
    #[arg(long, value_name = "PATH")]
    pub(crate) address: Option<String>,
    /// Use named shared memory; others find the store as name:NAME
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// How many objects there can be [default: 65536, or capacity / 4 KiB if that is more]
    #[arg(long, value_name = "N")]
    pub(crate) max_objects: Option<usize>,
    /// How many clients can be attached
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub(crate) max_clients: usize,
    /// How long a creation waits for memory unless it says otherwise
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = size::parse_seconds)]
    pub(crate) create_timeout: Duration,
    /// Commit and map this much memory ahead of use
    #[arg(long, value_name = "SIZE", default_value = "0", value_parser = size::parse_bytes)]
    pub(crate) prefault: usize,
    /// Which objects go to make room for new ones
    #[arg(long, value_enum, value_name = "POLICY", default_value_t = EvictionPolicy::Never)]
    pub(crate) eviction: EvictionPolicy,
    /// Folder for objects that do not fit into memory [default: they stay there]
    #[arg(long, value_name = "DIR")]
    pub(crate) spill_dir: Option<PathBuf>,
    /// Use a file instead of memory for what finds no room
    #[arg(long)]
    pub(crate) fallback: bool,
}

/// What a store may throw away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EvictionPolicy {
    /// Nothing: an object stays until it is deleted or, if it is counted, released
    Never,
    /// The least recently used object that nobody views or holds
    Lru,
}

/// Where the store is.
#[derive(Debug, Args)]
pub(crate) struct At {
    /// Address of the store, as `mobula store serve` printed it
    #[arg(long, value_name = "ADDRESS", env = "MOBULA_STORE")]
    pub(crate) address: String,
    /// Print JSON for programs
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LookArgs {
    #[command(flatten)]
    pub(crate) at: At,
}

#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// The object, 32 hex digits
    #[arg(value_name = "ID")]
    pub(crate) id: ObjectId,
    /// Address of the store, as `mobula store serve` printed it
    #[arg(long, value_name = "ADDRESS", env = "MOBULA_STORE")]
    pub(crate) address: String,
    /// How long to wait until it is sealed
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = size::parse_seconds)]
    pub(crate) timeout: Duration,
    /// Write the metadata in place of the data
    #[arg(long)]
    pub(crate) metadata: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PutArgs {
    /// What to store; - is standard input
    #[arg(value_name = "FILE", default_value = "-")]
    pub(crate) file: PathBuf,
    /// The object's id, 32 hex digits [default: a random one]
    #[arg(long, value_name = "ID")]
    pub(crate) id: Option<ObjectId>,
    /// Text to keep beside the data, at most 64 KiB
    #[arg(long, value_name = "TEXT")]
    pub(crate) metadata: Option<String>,
    #[command(flatten)]
    pub(crate) at: At,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// The object, 32 hex digits
    #[arg(value_name = "ID")]
    pub(crate) id: ObjectId,
    #[command(flatten)]
    pub(crate) at: At,
}

#[derive(Debug, Args)]
pub(crate) struct DumpArgs {
    /// The file; one that is there is replaced
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Address of the store, as `mobula store serve` printed it
    #[arg(long, value_name = "ADDRESS", env = "MOBULA_STORE")]
    pub(crate) address: String,
}

#[derive(Debug, Args)]
pub(crate) struct FsckArgs {
    /// Address of a living store, or a file that `mobula store dump` wrote
    #[arg(value_name = "ADDRESS|DUMP", env = "MOBULA_STORE")]
    pub(crate) target: String,
    /// Print JSON for programs
    #[arg(long)]
    pub(crate) json: bool,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchSuite {
    /// The store by itself: get, put, delete
    Store,
    /// Calls and objects of a runtime
    Calls,
    /// Tasks of a runtime, one by one and queued
    Tasks,
    /// A parameter server and two workers
    Ps,
    /// The rows of Ray's microbenchmark, in Ray's names
    Ray,
    /// Benchmarks of the Savina suite for actors
    Savina,
    /// Init, shutdown, creation of actors, memory at rest
    Startup,
    /// All of these
    All,
}

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// What to measure
    #[arg(value_enum, value_name = "SUITE", default_value = "all")]
    pub(crate) suites: Vec<BenchSuite>,
    /// A line of JSON for each row in place of the table
    #[arg(long)]
    pub(crate) json: bool,
    /// Few samples, some seconds: shows that all works and little more
    #[arg(long)]
    pub(crate) quick: bool,
    /// Others' figures and how many times better ours are: files of lines as --json prints them, or peers in
    /// benches/compare (plasma, vineyard, ray, multiprocessing, iceoryx2, ipc-channel), run if installed
    #[arg(long, value_name = "NAME|FILE", value_delimiter = ',')]
    pub(crate) against: Vec<String>,
    /// A page with charts, too
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct TortureArgs {
    /// How long to go on
    #[arg(long, value_name = "N", default_value = "60", value_parser = size::parse_seconds)]
    pub(crate) seconds: Duration,
    /// Repeat the plan of another run: what each worker tries, and when it is killed [default: random]
    #[arg(long, value_name = "S")]
    pub(crate) seed: Option<u64>,
    /// How many worker processes work at a time [default: 2 to 8, drawn for each round]
    #[arg(long, value_name = "W", value_parser = clap::value_parser!(u16).range(1..=48))]
    pub(crate) workers: Option<u16>,
    /// Print the result as a line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_makes_sense() {
        Cli::command().debug_assert();
    }
}
