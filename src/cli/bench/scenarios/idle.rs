//! Connections that only wait: memory for each of them, and the CPU of doing nothing.

use crate::cli::bench::arguments::IdleArguments;
use crate::cli::bench::clock::{SECOND, seconds};
use crate::cli::bench::feed::{connect_all, is_interrupted};
use crate::cli::bench::findings::{Findings, Series, Table};
use crate::cli::bench::ledger::Ledger;
use crate::cli::bench::machine::make_room;
use crate::cli::bench::subject::{Subject, Usage};
use crate::cli::bench::topics::Topics;
use crate::cli::bench::wire::Wire;

use super::{linear_plot, number};

/// Steps from few connections to many, for the plot.
const STEPS: usize = 5;

/// Runs it.
pub(super) fn run(arguments: &IdleArguments) -> Result<Findings, String> {
    let IdleArguments { wire: wires, few, subscribers, duration, common } = arguments;
    make_room(*subscribers)?;
    if few >= subscribers {
        return Err(format!("--few {few} has to be less than --subscribers {subscribers}"));
    }
    let mut findings = None;
    let mut all = Usage { server: Some(0.0), generator: 0.0 };
    let (mut rows, mut series) = (Vec::new(), Vec::new());
    for &wire in wires {
        let subject = Subject::start("idle", common, &[])?;
        subject.target.subscribe_address(wire)?;
        let findings = findings.get_or_insert_with(|| Findings::of("idle", common, &subject));
        if wires.len() > 1 && !subject.is_own() && rows.is_empty() {
            findings.remarks.push(
                "All wires were measured on one server: what it keeps of earlier connections makes later \
                 ones look cheaper. Measure one wire at a time, each on a fresh server."
                    .to_owned(),
            );
        }
        let one = rest(arguments, &subject, wire)?;
        all = all.plus(one.usage);
        let (bytes, name) = (one.bytes_each(*few), wire.name());
        let share = one.usage.server.unwrap_or(f64::NAN) / one.rested * 100.0;
        findings.figure("bytes_per_connection", name, bytes);
        findings.figure("cpu_at_rest_percent", name, share);
        rows.push(vec![name.to_owned(), number(bytes), number(share)]);
        if one.lost > 0 {
            findings.remarks.push(format!("{wire}: {} connections were lost.", one.lost));
        }
        let points = one.memory.iter().map(|&(count, bytes)| (count as f64, bytes / 1e6));
        series.push(Series { name: name.to_owned(), points: points.collect() });
        if is_interrupted() {
            findings.remarks.push("Interrupted: these are the findings so far.".to_owned());
            break;
        }
    }
    let mut findings = findings.ok_or("give a wire: --wire sse")?;
    findings.condition("connections", format!("{few} to {subscribers} of each wire"));
    findings.condition("rest", format!("{} s, heartbeats and pings included", seconds(*duration)));
    findings.summary = format!("{subscribers} connections that wait for messages and get none.");
    findings.tables.push(Table {
        title: "Idle connections".to_owned(),
        columns: ["", "bytes each", "CPU at rest, % of a core"].map(str::to_owned).to_vec(),
        rows,
    });
    findings.plots.push(linear_plot(
        "Memory of the server",
        "connections",
        "resident megabytes",
        series,
    ));
    findings.usage(all);
    Ok(findings)
}

/// What waiting on one wire took.
struct Rested {
    /// Connections and the server's resident bytes.
    memory: Vec<(usize, f64)>,
    usage: Usage,
    /// Seconds of rest.
    rested: f64,
    lost: usize,
}

impl Rested {
    /// Bytes for each connection: what those beyond the first `few` added.
    fn bytes_each(&self, few: usize) -> f64 {
        let at = |count: usize| self.memory.iter().find(|&&(other, _)| other == count);
        match (at(few), self.memory.last()) {
            (Some(&(few, low)), Some(&(many, high))) => (high - low) / (many - few) as f64,
            _ => f64::NAN,
        }
    }
}

fn rest(arguments: &IdleArguments, subject: &Subject, wire: Wire) -> Result<Rested, String> {
    let IdleArguments { few, subscribers, duration, common, .. } = arguments;
    let process = subject.need_process()?;
    let clock = subject.clock();
    let topics = Topics::new(&common.topic, 1);
    let mut swarm = subject.swarm(topics)?;
    let mut ledger = Ledger::new();
    let mut memory = vec![(0, process.memory_bytes().unwrap_or(f64::NAN))];
    for step in 0..STEPS {
        let count = few + (subscribers - few) * step / (STEPS - 1);
        (swarm.members()..count).for_each(|_| swarm.add(wire, 0));
        connect_all(&mut swarm, &mut ledger)?;
        subject.settle(&mut swarm, &mut ledger)?;
        if is_interrupted() {
            break;
        }
        memory.push((count, process.memory_bytes().unwrap_or(f64::NAN)));
    }
    let (meter, began) = (subject.meter(), clock.now());
    while clock.now() < began + duration && !is_interrupted() {
        swarm.turn(&mut ledger, Some((began + duration).min(clock.now() + SECOND)))?;
    }
    let rested = seconds(clock.now() - began);
    Ok(Rested { memory, usage: meter.used(), rested, lost: swarm.tally.lost })
}
