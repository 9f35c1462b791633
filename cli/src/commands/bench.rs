//! `mobula bench`: the figures of mobula-bench.

use mobula_bench::{Options, Suite};

use crate::args::{BenchArgs, BenchSuite};
use crate::failure::Failure;

pub(crate) fn run(args: &BenchArgs) -> Result<(), Failure> {
    let asked = |suite: &Suite| args.suites.iter().any(|&asked| covers(asked, *suite));
    let mut options = Options::new().json(args.json).quick(args.quick);
    options = Suite::ALL.into_iter().filter(asked).fold(options, Options::suite);
    options = args.against.iter().fold(options, Options::against);
    if let Some(path) = &args.html {
        options = options.html(path);
    }
    mobula_bench::run(&options).map_err(Failure::Other)
}

fn covers(asked: BenchSuite, suite: Suite) -> bool {
    match asked {
        BenchSuite::Store => suite == Suite::Store,
        BenchSuite::Calls => suite == Suite::Calls,
        BenchSuite::Tasks => suite == Suite::Tasks,
        BenchSuite::Ps => suite == Suite::ParameterServer,
        BenchSuite::Ray => suite == Suite::Ray,
        BenchSuite::Savina => suite == Suite::Savina,
        BenchSuite::Startup => suite == Suite::Startup,
        BenchSuite::All => true,
    }
}
