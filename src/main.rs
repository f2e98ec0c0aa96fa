//! Parse, install the crypto provider, run; nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    landfall::cli::run(landfall::cli::Cli::from_process())
}
