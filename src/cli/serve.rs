//! `tidings serve`: the server, as a command.

use std::process::ExitCode;

/// The flags of `tidings serve`.
#[derive(Debug, clap::Args)]
pub struct ServeArguments {}

/// Runs the server until it is told to stop.
#[must_use]
pub fn run(_arguments: ServeArguments) -> ExitCode {
    eprintln!("tidings: this build has no server");
    ExitCode::FAILURE
}
