// `main` may return anything that ends a process.
#![forbid(unsafe_code)]
#![deny(warnings)]

#[mobula::main]
fn main() -> Result<std::process::ExitCode, Box<dyn std::error::Error>> {
    use std::process::ExitCode;

    Ok(ExitCode::SUCCESS)
}
