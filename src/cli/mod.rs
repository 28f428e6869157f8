//! The command line: `tidings serve`, `publish`, `subscribe`, `explain`, `health`, `top`, `bench`, `config`.
//!
//! The server's rules stop here. The two clients are blocking programs of their own, each of them
//! the only user of its process: they may wait in a read, sleep and look at the clock.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "blocking programs of their own: they sleep, read clocks and print their results"
)]

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

mod activation;
mod base_url;
pub mod bench;
mod coming_back;
pub mod completions;
pub mod config;
mod event_stream;
pub mod explain;
#[cfg(any(test, fuzzing))]
pub use self::event_stream::fuzz::fuzz_event_stream;
pub mod health;
mod http;
mod http_body;
mod lines;
mod logging;
pub mod manual;
pub mod publish;
mod publish_lines;
pub mod redis;
#[cfg(test)]
mod scripted;
pub mod serve;
mod service;
mod settings;
pub mod subscribe;
pub mod top;

use self::config::ConfigCommand;
use self::settings::Invocation;

const EXAMPLES: &str = "\
Examples:
  tidings                                   serve on the default address
  tidings subscribe news                    wait for what is published to `news`
  tidings publish news 'hello'              publish one message to it
  tail -f app.log | tidings publish logs --lines
  tidings explain http://127.0.0.1:8080/topics/news -H 'Origin: https://example.org'

Without a subcommand the flags are those of `tidings serve`.
`tidings SUBCOMMAND --help` shows flags and examples of each.";

/// A push server: publish to a topic, and everyone who waits on it hears at once.
#[derive(Debug, Parser)]
#[command(name = "tidings", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::ServeArguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server (what `tidings` does by itself)
    Serve(serve::ServeArguments),
    /// Publish one message, or each line of standard input
    Publish(publish::PublishArguments),
    /// Wait on topics and print what is published to them
    Subscribe(subscribe::SubscribeArguments),
    /// Ask a running server what it would do with a request, and why
    Explain(explain::ExplainArguments),
    /// Ask a server whether it is well
    Health(health::HealthArguments),
    /// Measure this server, or another one
    Bench(bench::BenchArguments),
    /// Watch a server at work: connections, rates, the hottest topics, the slowest subscribers
    Top(top::TopArguments),
    /// Show and check the server's settings
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print a shell's completions of this command
    Completions(completions::CompletionsArguments),
    /// Print a manual page, or write all of them
    Man(manual::ManualArguments),
}

/// Runs the command that this process was started with; returns what it should exit with: 0 when
/// the work was done, 1 when it failed, 2 when it was asked for wrongly (clap exits by itself then).
#[must_use]
pub fn run() -> ExitCode {
    let (arguments, matches) = parse(std::env::args_os().collect());
    match arguments.command {
        None | Some(Command::Serve(_)) => serve::run(&Invocation::of_process(innermost(&matches))),
        Some(Command::Publish(arguments)) => publish::run(&arguments),
        Some(Command::Subscribe(arguments)) => subscribe::run(&arguments),
        Some(Command::Explain(arguments)) => explain::run(&arguments),
        Some(Command::Health(arguments)) => health::run(&arguments),
        Some(Command::Bench(arguments)) => bench::run(&arguments),
        Some(Command::Top(arguments)) => top::run(&arguments),
        Some(Command::Config(ConfigCommand::Reference)) => print(settings::reference()),
        Some(Command::Config(command)) => {
            config::run(&command, &Invocation::of_process(innermost(&matches)))
        }
        Some(Command::Completions(arguments)) => completions::run(&arguments, Arguments::command()),
        Some(Command::Man(arguments)) => manual::run(&arguments, Arguments::command()),
    }
}

/// What the command line says, without what the environment does: that is looked at with the file of
/// settings.
fn parse(words: Vec<OsString>) -> (Arguments, ArgMatches) {
    let bare = settings::without_variables(Arguments::command());
    let parsed = bare.try_get_matches_from(&words).and_then(|matches| {
        Arguments::from_arg_matches(&matches).map(|arguments| (arguments, matches))
    });
    parsed.unwrap_or_else(|error| {
        // The help names the variables.
        let error = Arguments::command().try_get_matches_from(words).err().unwrap_or(error);
        error.exit()
    })
}

/// The matches of the subcommand that is run.
fn innermost(matches: &ArgMatches) -> &ArgMatches {
    matches.subcommand().map_or(matches, |(_, inner)| innermost(inner))
}

/// Prints the result of a command. 0 if it went out, or nobody wanted to read it to its end.
fn print(text: impl AsRef<[u8]>) -> ExitCode {
    let mut output = std::io::stdout().lock();
    match output.write_all(text.as_ref()).and_then(|()| output.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            eprintln!("tidings: cannot write: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_do_not_contradict_each_other() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn no_subcommand_is_serve() {
        let arguments = Arguments::try_parse_from(["tidings"]).unwrap();
        assert!(arguments.command.is_none());
    }

    #[test]
    fn publish_and_subscribe_take_their_flags() {
        let line = ["tidings", "publish", "news", "hello", "--event", "edit"];
        let arguments = Arguments::try_parse_from(line).unwrap();
        assert!(matches!(arguments.command, Some(Command::Publish(_))));
        let line = ["tidings", "subscribe", "a,b", "--via", "long-poll", "--count", "3"];
        let arguments = Arguments::try_parse_from(line).unwrap();
        assert!(matches!(arguments.command, Some(Command::Subscribe(_))));
    }

    #[test]
    fn a_payload_is_given_once() {
        let line = ["tidings", "publish", "news", "hello", "--file", "F"];
        assert!(Arguments::try_parse_from(line).is_err());
        let line = ["tidings", "subscribe", "a", "--after", "latest", "--last", "3"];
        assert!(Arguments::try_parse_from(line).is_err());
    }
}
