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
    match found.and_then(|findings| show(&findings, output)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("tidings: {why}");
            ExitCode::FAILURE
        }
    }
}

fn show(findings: &Findings, output: &OutputArguments) -> Result<(), String> {
    let form = match output {
        OutputArguments { json: true, .. } => Form::Json,
        OutputArguments { markdown: true, .. } => Form::Markdown,
        _ => Form::Text,
    };
    show::print(findings, form).map_err(|error| format!("cannot print the findings: {error}"))?;
    match &output.report {
        Some(path) => show::write_report(path, std::slice::from_ref(findings)),
        None => Ok(()),
    }
}
