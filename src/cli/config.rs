//! `tidings config`: what settings come to, and what is wrong with them, without a server.

use std::process::ExitCode;

use clap::Subcommand;

use super::serve::{self, ServeArguments};
use super::settings::{Complaints, Invocation, Settings};

const CHECK_EXAMPLES: &str = "\
Examples:
  tidings config check                         what `tidings serve` would be run with here
  tidings config check --config tidings.toml   a file, before it is put into its place

Exit code 0 if a server would start with these settings, 1 if not.";

const PRINT_EXAMPLES: &str = "\
Examples:
  tidings config print                         every setting, and where its value came from
  tidings config print --log-age 60 >tidings.toml";

/// The subcommands of `tidings config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Say what is wrong with file, environment and flags: each mistake with its place
    #[command(after_help = CHECK_EXAMPLES)]
    Check(Box<ServeArguments>),
    /// Print every setting as a file, with where its value came from
    #[command(after_help = PRINT_EXAMPLES)]
    Print(Box<ServeArguments>),
    /// Print the table of settings that is in docs/operating.md
    Reference,
}

/// Runs `check` or `print`. 0 if the settings are good, 1 if not.
#[must_use]
pub(crate) fn run(command: &ConfigCommand, invocation: &Invocation) -> ExitCode {
    let settings = invocation.load().and_then(|settings| match serve::check(&settings) {
        Ok(()) => Ok(settings),
        Err(error) => Err(vec![error]),
    });
    match settings {
        Err(complaints) => {
            tell(&complaints);
            ExitCode::FAILURE
        }
        Ok(settings) if matches!(command, ConfigCommand::Print(_)) => {
            tell(&settings.warnings);
            super::print(settings.to_toml())
        }
        Ok(settings) => {
            tell(&settings.warnings);
            super::print(summary(&settings))
        }
    }
}

fn summary(settings: &Settings) -> String {
    let file = settings.file.as_ref().map(|path| path.display().to_string());
    let topics = settings.topics.len();
    format!("{}: good, with {topics} [[topic]]\n", file.as_deref().unwrap_or("no file"))
}

/// Says on standard error what is wrong.
pub(super) fn tell(complaints: &Complaints) {
    for complaint in complaints {
        eprintln!("tidings: {complaint}");
    }
}
