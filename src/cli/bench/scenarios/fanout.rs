//! Messages to many subscribers: how long each and the last one waits, and what a delivery costs.

use super::{EACH, LAST, describe_pace, describe_subscribers, latency_plot, linear_plot, number};
use crate::cli::bench::answer::Answers;
use crate::cli::bench::arguments::{CrowdArguments, FanoutArguments};
use crate::cli::bench::feed::{Feed, connect_all};
use crate::cli::bench::findings::{Findings, Table};
use crate::cli::bench::latency::Latencies;
use crate::cli::bench::ledger::Ledger;
use crate::cli::bench::machine::make_room;
use crate::cli::bench::schedule::Schedule;
use crate::cli::bench::subject::{Subject, Usage};
use crate::cli::bench::topics::Topics;
use crate::cli::bench::wire::Wire;

/// Runs it.
pub(super) fn run(arguments: &FanoutArguments) -> Result<Findings, String> {
    let FanoutArguments { crowd, pace, common } = arguments;
    let CrowdArguments { wire: wires, subscribers } = crowd;
    make_room(*subscribers, pace.publishers)?;
    let subject = Subject::start("fanout", common, &[])?;
    for &wire in wires {
        subject.target.subscribe_address(wire)?;
    }
    let mut findings = Findings::of("fanout", common, &subject);
    let (extent, speed) = (pace.extent(), pace.pace(5.0));
    findings.condition("subscribers", describe_subscribers(wires, *subscribers));
    findings.condition("pace", describe_pace(speed, extent));

    let clock = subject.clock();
    let topics = Topics::new(&common.topic, 1);
    let mut swarm = subject.swarm(topics)?;
    let mut ledger = Ledger::new();
    for index in 0..*subscribers {
        swarm.add(wires[index % wires.len()], 0);
    }
    connect_all(&mut swarm, &mut ledger)?;
    swarm.open_links(pace.publishers, Answers::new)?;
    let mut feed = Feed::new(common.size, 1);
    feed.warm_up(&mut swarm, &mut ledger)?;
    subject.settle(&mut swarm, &mut ledger)?;

    let meter = subject.meter();
    let mut schedule = Schedule::new(speed, extent, clock.now());
    let ending = feed.run(&mut swarm, &mut ledger, &mut schedule)?;
    let usage = meter.used();

    findings.summary = format!(
        "{} messages to {} subscribers: {} deliveries in {:.1} s.",
        ledger.measured(),
        swarm.members(),
        ledger.deliveries(),
        ledger.seconds()
    );
    report(&mut findings, wires, &ledger, usage);
    findings.doubts("", ending, &ledger, &swarm.tally, usage);
    findings.doubts_about(&subject);
    if swarm.link_reconnects() > 0 {
        findings.remarks.push(format!(
            "The server ended publishers' connections {} times.",
            swarm.link_reconnects()
        ));
    }
    Ok(findings)
}

/// Figures, table and plots.
fn report(findings: &mut Findings, wires: &[Wire], ledger: &Ledger, usage: Usage) {
    let mut all = Latencies::default();
    ledger.each.iter().for_each(|one| all.add(one));
    let mut rows = Vec::new();
    let missing = ledger.missing();
    for wire in Wire::ALL.into_iter().filter(|wire| wires.contains(wire)) {
        let index = wire.index();
        let (each, last) = (&ledger.each[index], &ledger.last_of_wire[index]);
        add_figures(findings, wire.name(), each, last, ledger.seconds(), missing[index]);
        rows.push(row(wire.name(), each, last));
    }
    let missed = missing.iter().sum();
    add_figures(findings, "", &all, &ledger.last, ledger.seconds(), missed);
    if rows.len() > 1 {
        rows.push(row("all", &all, &ledger.last));
    }
    let headings = ["", "deliveries", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms"];
    let last_headings = ["last p50 ms", "last p99 ms", "last max ms"];
    findings.tables.push(Table {
        title: "Latency from publish to each subscriber, and to the last one".to_owned(),
        columns: headings.iter().chain(&last_headings).map(ToString::to_string).collect(),
        rows,
    });
    let cost = usage.server.map(|server| server * 1e6 / all.count() as f64);
    if let Some(cost) = cost {
        findings.figure("cpu_us_per_delivery", "", cost);
        if let [wire] = wires {
            findings.figure("cpu_us_per_delivery", wire.name(), cost);
        }
    }
    findings.tables.push(Table {
        title: "Throughput and cost".to_owned(),
        columns: ["", "deliveries/s", "server CPU µs/delivery", "server CPU s", "generator CPU s"]
            .map(str::to_owned)
            .to_vec(),
        rows: vec![vec![
            "all".to_owned(),
            number(all.count() as f64 / ledger.seconds()),
            cost.map_or_else(|| "unknown".to_owned(), number),
            usage.server.map_or_else(|| "unknown".to_owned(), number),
            number(usage.generator),
        ]],
    });
    findings.usage(usage);
    let mut series: Vec<_> = Wire::ALL
        .into_iter()
        .filter(|wire| ledger.each[wire.index()].count() > 0)
        .map(|wire| ledger.each[wire.index()].series(wire.name()))
        .collect();
    series.push(ledger.last.series("last subscriber"));
    findings.plots.push(latency_plot("Latency from publish to each subscriber", series));
    let over_time = vec![ledger.over_time("deliveries")];
    findings.plots.push(linear_plot(
        "Deliveries over time",
        "seconds",
        "deliveries per second",
        over_time,
    ));
}

fn add_figures(
    findings: &mut Findings,
    of: &str,
    each: &Latencies,
    last: &Latencies,
    seconds: f64,
    missed: u64,
) {
    findings.figure("deliveries", of, each.count() as f64);
    findings.figure("deliveries_per_second", of, each.count() as f64 / seconds);
    findings.figures.extend(each.figures(of, &EACH));
    findings.figures.extend(last.figures(of, &LAST));
    findings.figure("missed", of, missed as f64);
}

fn row(name: &str, each: &Latencies, last: &Latencies) -> Vec<String> {
    let mut row = vec![name.to_owned(), each.count().to_string()];
    row.extend(EACH.iter().map(|&(_, percent)| number(each.percentile_us(percent) / 1e3)));
    // Of fewer than a hundred messages the 99th percentile is but the maximum.
    row.extend(LAST.iter().map(|&(_, percent)| match percent {
        99.0 if last.count() < 100 => number(f64::NAN),
        percent => number(last.percentile_us(percent) / 1e3),
    }));
    row
}
