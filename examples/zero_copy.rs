//! One large array, several processes, no copy.
//!
//! ```text
//! cargo run --release --example zero_copy -- --readers 4 --mib 1024
//! ```
//!
//! The driver writes the array in place in shared memory and seals it. Each reader is an actor in a process of its own;
//! it gets the array as an argument and shows at which address it stands there, its checksum, how long reading took and
//! how much memory the process has for itself: a few MiB, whatever the size of the array.

use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::mem::size_of;
use std::process::{self, ExitCode};
use std::time::Instant;

use clap::Parser;
use mobula::prelude::*;
use serde::{Deserialize, Serialize};

/// Bytes a MiB.
const MIB: usize = 1 << 20;

/// Shares one large array among several processes without a copy.
#[derive(Debug, Parser)]
struct Options {
    /// Processes that read the array
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=256))]
    readers: u32,

    /// Size of the array in MiB
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..))]
    mib: u32,
}

/// What a process sees of the array.
#[derive(Debug, Serialize, Deserialize)]
pub struct Sighting {
    pid: u32,
    address: usize,
    checksum: u64,
    seconds: f64,
    /// Anonymous memory of the process, which is what is not shared with anybody.
    private_mib: Option<u64>,
}

impl Sighting {
    fn of(array: &Array<u64>) -> Sighting {
        let start = Instant::now();
        let checksum = checksum(array);
        Sighting {
            pid: process::id(),
            address: array.as_ptr().addr(),
            checksum,
            seconds: start.elapsed().as_secs_f64(),
            private_mib: private_mib(),
        }
    }
}

/// Looks at arrays from another process.
#[derive(Debug, Default)]
pub struct Reader;

#[mobula::actor]
impl Reader {
    /// Starts the reader.
    pub fn new() -> Self {
        Reader
    }

    /// Reads all of `array`.
    pub fn look(&self, array: Array<u64>) -> Sighting {
        Sighting::of(&array)
    }
}

#[mobula::main]
fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("zero_copy: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let bytes = options.mib as usize * MIB;
    let config = Config::new().object_store_memory(bytes + 64 * MIB);
    let _runtime = mobula::init(config)?;
    let mut out = io::stdout().lock();

    let start = Instant::now();
    let mut draft = ArrayMut::<u64>::with_len(bytes / size_of::<u64>())?;
    for (index, value) in draft.iter_mut().enumerate() {
        *value = scrambled(index as u64);
    }
    let array = draft.seal()?;
    let seconds = start.elapsed().as_secs_f64();
    writeln!(out, "wrote {} MiB in place in {seconds:.3} s", options.mib)?;
    writeln!(
        out,
        "{:<8} {:>8} {:>18} {:>18} {:>8} {:>8} {:>12}",
        "process", "pid", "address", "checksum", "seconds", "GB/s", "private MiB"
    )?;

    let own = Sighting::of(&array);
    show(&mut out, "driver", &own, bytes)?;
    let readers = (0..options.readers).map(|_| Reader::remote()).collect::<mobula::Result<Vec<_>>>()?;
    // The argument is the array's name; every reader maps the same memory.
    let seen: Vec<_> = readers.iter().map(|reader| reader.look(&array).remote()).collect();
    let seen = mobula::get_all(&seen)?;
    for (index, sighting) in seen.iter().enumerate() {
        show(&mut out, &format!("reader {index}"), sighting, bytes)?;
    }
    if let Some(other) = seen.iter().find(|sighting| sighting.checksum != own.checksum) {
        return Err(format!("process {} saw other contents than the driver wrote", other.pid).into());
    }
    writeln!(out, "one array, {} processes, the same checksum in all", seen.len() + 1)?;
    Ok(())
}

fn show(out: &mut impl Write, name: &str, seen: &Sighting, bytes: usize) -> io::Result<()> {
    let rate = bytes as f64 / seen.seconds.max(1e-9) / 1e9;
    let private = seen.private_mib.map_or_else(|| String::from("unknown"), |mib| mib.to_string());
    writeln!(
        out,
        "{name:<8.9} {:>8} {:>#18x} {:>#18x} {:>8.3} {rate:>8.1} {private:>12}",
        seen.pid, seen.address, seen.checksum, seen.seconds,
    )
}

/// Mixes an index into a value that differs in all bits from its neighbours'.
fn scrambled(index: u64) -> u64 {
    let mixed = index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}

/// Sums the values up, each turned by its place, so that swapped or missing blocks show.
fn checksum(values: &[u64]) -> u64 {
    // Separate sums go as fast as memory does.
    let (blocks, rest) = values.as_chunks::<8>();
    let mut sums = [0u64; 8];
    for (index, block) in blocks.iter().enumerate() {
        for (sum, value) in sums.iter_mut().zip(block) {
            *sum = sum.wrapping_add(value ^ index as u64);
        }
    }
    sums.iter().chain(rest).fold(values.len() as u64, |all, sum| all.rotate_left(7).wrapping_add(*sum))
}

/// Reads from the kernel how much memory of this process is its own.
fn private_mib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib / 1024)
}
