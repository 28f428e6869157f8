//! `tidings completions`: what a shell needs to complete this command's flags.

use std::process::ExitCode;

use clap::Command;
use clap_complete::Shell;

const EXAMPLES: &str = "\
Examples:
  tidings completions bash >/etc/bash_completion.d/tidings
  tidings completions zsh >/usr/local/share/zsh/site-functions/_tidings
  tidings completions fish >~/.config/fish/completions/tidings.fish";

/// The flags of `tidings completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct CompletionsArguments {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the completions of `command`.
#[must_use]
pub(crate) fn run(arguments: &CompletionsArguments, mut command: Command) -> ExitCode {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "tidings", &mut text);
    super::print(text)
}
