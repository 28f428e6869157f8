//! `tidings bench`: a load generator, for this server and for others.
//!
//! `arguments` says what is wanted, `subject` which server it is wanted of; a scenario opens a `swarm` of
//! subscribers and publishers, lets a `feed` publish on a `schedule`, and makes `findings` of what the
//! `ledger` holds then. `payload`, `answer`, `frames`, `subscriber` and `publisher` are bytes in, values
//! out: no sockets, no clock.

use std::process::ExitCode;

mod answer;
mod arguments;
mod clock;
mod examples;
mod fault;
mod feed;
pub mod findings;
mod frames;
mod latency;
mod ledger;
mod link;
mod machine;
mod member;
mod own_server;
mod payload;
mod process;
mod publisher;
mod received;
mod scenarios;
mod schedule;
mod show;
mod sockets;
mod subject;
mod subscriber;
mod swarm;
mod target;
mod topics;
mod wire;

pub use self::arguments::BenchArguments;
use self::arguments::OutputArguments;
use self::findings::Findings;
use self::show::Form;

/// Runs the command; returns what to exit with: 0 when there are findings.
#[must_use]
pub fn run(arguments: &BenchArguments) -> ExitCode {
    let output = &arguments.scenario.common().output;
    let found = feed::notice_interrupts().and_then(|()| scenarios::run(&arguments.scenario));
    let wrong = match found {
        Ok(findings) => show(&findings, output),
        Err(why) => vec![why],
    };
    for why in &wrong {
        eprintln!("tidings: {why}");
    }
    if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints the findings before anything else that may fail; returns what went wrong.
fn show(findings: &Findings, output: &OutputArguments) -> Vec<String> {
    let form = match output {
        OutputArguments { json: true, .. } => Form::Json,
        OutputArguments { markdown: true, .. } => Form::Markdown,
        _ => Form::Text,
    };
    let mut wrong = Vec::new();
    wrong.extend(findings.failure.clone());
    if let Err(error) = show::print(findings, form) {
        wrong.push(format!("cannot print the findings: {error}"));
    }
    if let Some((path, page)) = &findings.page
        && let Err(error) = std::fs::write(path, page)
    {
        wrong.push(format!(
            "cannot write {}: {error}; name another file with --write",
            path.display()
        ));
    }
    if let Some(path) = &output.report {
        wrong.extend(show::write_report(path, std::slice::from_ref(findings)).err());
    }
    wrong
}
