//! `mobula stack`: what the threads of all workers of a node are doing.

use mobula_scheduler::attach;

use crate::args::StackArgs;
use crate::failure::Failure;
use crate::output::Output;

pub(crate) fn run(args: &StackArgs, out: &mut Output) -> Result<(), Failure> {
    let workers = attach::stacks(&args.at.address)?;
    if args.json {
        return out.json(&workers);
    }
    workers.iter().try_for_each(|worker| out.line(worker.to_string().trim_end()))
}
