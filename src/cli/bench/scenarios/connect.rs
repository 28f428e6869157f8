//! Subscribers arrive as fast as the server takes them in: how many a second, and what each one costs.

use super::number;
use crate::cli::bench::arguments::ConnectArguments;
use crate::cli::bench::clock::seconds;
use crate::cli::bench::feed::{connect_all, is_interrupted};
use crate::cli::bench::findings::{Findings, Table};
use crate::cli::bench::ledger::Ledger;
use crate::cli::bench::machine::make_room;
use crate::cli::bench::subject::{Subject, Usage};
use crate::cli::bench::topics::Topics;
use crate::cli::bench::wire::Wire;

/// Runs it.
pub(super) fn run(arguments: &ConnectArguments) -> Result<Findings, String> {
    let ConnectArguments { wire: wires, subscribers, common } = arguments;
    make_room(*subscribers, 0)?;
    let mut findings = None;
    let mut all = Usage::none();
    let (mut rows, mut connected, mut asked) = (Vec::new(), 0, 0);
    for &wire in wires {
        let subject = Subject::start("connect", common, &[])?;
        subject.target.subscribe_address(wire)?;
        let findings = findings.get_or_insert_with(|| Findings::of("connect", common, &subject));
        let Some(one) = findings.keep(connect(&subject, wire, *subscribers, &common.topic))? else {
            break;
        };
        findings.doubts_about(&subject);
        all = all.plus(one.usage);
        connected += one.connections;
        asked += subscribers;
        let (rate, name) = (one.connections as f64 / one.seconds, wire.name());
        findings.figure("connections_per_second", name, rate);
        findings.figure("failed", name, one.failed as f64);
        let cost = one.usage.server.map(|cpu| cpu * 1e6 / one.connections as f64);
        if let Some(cost) = cost {
            findings.figure("cpu_us_per_connection", name, cost);
        }
        let cost = cost.map_or_else(|| "unknown".to_owned(), number);
        rows.push(vec![name.to_owned(), number(rate), cost, one.failed.to_string()]);
        findings.remarks.extend(one.remarks);
        if wire.is_poll() {
            findings.remarks.push(format!(
                "{wire}: nothing says when a poll is parked; its connections per second are of requests \
                 sent."
            ));
        }
        if is_interrupted() {
            findings.remarks.push("Interrupted: these are the findings so far.".to_owned());
            break;
        }
    }
    let mut findings = findings.ok_or("give a wire: --wire sse")?;
    findings.condition("subscribers", subscribers.to_string());
    let of = if connected < asked { format!(" of {asked}") } else { String::new() };
    findings.summary =
        format!("{connected}{of} subscribers connected as fast as they were taken in.");
    findings.tables.push(Table {
        title: "Connecting and subscribing".to_owned(),
        columns: ["", "connections/s", "server CPU µs each", "failed"].map(str::to_owned).to_vec(),
        rows,
    });
    findings.usage(all);
    Ok(findings)
}

/// What connecting on one wire took.
struct Connected {
    connections: usize,
    seconds: f64,
    failed: u64,
    usage: Usage,
    remarks: Vec<String>,
}

fn connect(
    subject: &Subject,
    wire: Wire,
    subscribers: usize,
    topic: &str,
) -> Result<Connected, String> {
    let clock = subject.clock();
    let mut swarm = subject.swarm(Topics::new(topic, 1))?;
    let mut ledger = Ledger::new();
    (0..subscribers).for_each(|_| swarm.add(wire, 0));
    let (meter, began) = (subject.meter(), clock.now());
    connect_all(&mut swarm, &mut ledger)?;
    let seconds = seconds(clock.now() - began);
    // A parked poll says nothing: that it was taken in shows in the server being at rest.
    subject.settle(&mut swarm, &mut ledger)?;
    if swarm.tally.open == 0 && swarm.tally.lost > 0 {
        return Err(format!("nobody is subscribed{}", swarm.tally.describe_faults()));
    }
    let usage = meter.used();
    let remarks = swarm.tally.faults.iter();
    let remarks = remarks.map(|(fault, count)| format!("{wire}: {count} connections {fault}."));
    Ok(Connected {
        connections: swarm.tally.open,
        seconds,
        failed: swarm.tally.failed_connects,
        usage,
        remarks: remarks.collect(),
    })
}
