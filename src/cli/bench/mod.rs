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
mod sockets;
mod subject;
mod subscriber;
mod swarm;
mod target;
mod topics;
mod wire;

pub use self::arguments::BenchArguments;
use self::findings::Findings;

/// Runs the command; returns what to exit with: 0 when there are findings.
#[must_use]
pub fn run(arguments: &BenchArguments) -> ExitCode {
    match feed::notice_interrupts().and_then(|()| scenarios::run(&arguments.scenario)) {
        Ok(findings) => {
            show(&findings, arguments.scenario.common().output.json);
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("tidings: {why}");
            ExitCode::FAILURE
        }
    }
}

fn show(findings: &Findings, is_json: bool) {
    if is_json {
        match serde_json::to_string(findings) {
            Ok(text) => println!("{text}"),
            Err(error) => eprintln!("tidings: {error}"),
        }
        return;
    }
    println!("{}", findings.summary);
    for (name, value) in &findings.conditions {
        println!("  {name}: {value}");
    }
    for table in &findings.tables {
        println!("\n{}\n{}", table.title, table.columns.join(" | "));
        for row in &table.rows {
            println!("{}", row.join(" | "));
        }
    }
    for remark in &findings.remarks {
        println!("\n! {remark}");
    }
}
