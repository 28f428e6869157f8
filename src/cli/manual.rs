//! `tidings man`: manual pages, from the definitions that the help is from.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Command;
use clap_mangen::Man;

const EXAMPLES: &str = "\
Examples:
  tidings man | man -l -                    the page of the command as a whole
  tidings man serve | man -l -
  tidings man --out /usr/local/share/man/man1";

/// The flags of `tidings man`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct ManualArguments {
    /// The subcommand, such as serve, or config check
    #[arg(value_name = "SUBCOMMAND", conflicts_with = "out")]
    subcommand: Vec<String>,
    /// Directory to write a page for each subcommand into
    #[arg(long, value_name = "DIRECTORY")]
    out: Option<PathBuf>,
}

/// Prints or writes pages of `command`. 0 when that is done, 1 when it cannot be.
#[must_use]
pub(crate) fn run(arguments: &ManualArguments, mut command: Command) -> ExitCode {
    // Names of pages and of usages are settled by this.
    command.build();
    let result = match &arguments.out {
        Some(directory) => write_all(&command, directory),
        None => page(&command, &arguments.subcommand).map(super::print),
    };
    result.unwrap_or_else(|error| {
        eprintln!("tidings: {error}");
        ExitCode::FAILURE
    })
}

fn page(mut command: &Command, path: &[String]) -> Result<Vec<u8>, String> {
    for name in path {
        command = command.find_subcommand(name).ok_or_else(|| {
            let names: Vec<_> = command.get_subcommands().map(Command::get_name).collect();
            format!("there is no subcommand {name:?}; there are: {}", names.join(", "))
        })?;
    }
    render(command).map_err(|error| error.to_string())
}

fn render(command: &Command) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let manual = format!("tidings {}", env!("CARGO_PKG_VERSION"));
    Man::new(command.clone()).manual(manual).render(&mut text)?;
    Ok(text)
}

fn write_all(command: &Command, directory: &Path) -> Result<ExitCode, String> {
    let fail = |error: io::Error| format!("{}: {error}", directory.display());
    std::fs::create_dir_all(directory).map_err(fail)?;
    let mut commands = vec![command];
    while let Some(command) = commands.pop() {
        let name = command.get_display_name().unwrap_or(command.get_name());
        let path = directory.join(format!("{name}.1"));
        std::fs::write(&path, render(command).map_err(fail)?).map_err(fail)?;
        commands.extend(command.get_subcommands().filter(|inner| inner.get_name() != "help"));
    }
    Ok(ExitCode::SUCCESS)
}
