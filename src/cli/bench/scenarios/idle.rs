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
    make_room(*subscribers, 0)?;
    if few >= subscribers {
        return Err(format!("--few {few} has to be less than --subscribers {subscribers}"));
    }
    let mut findings = None;
    let mut all = Usage::none();
    let (mut rows, mut series, mut open) = (Vec::new(), Vec::new(), 0);
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
        let Some(one) = findings.keep(rest(arguments, &subject, wire))? else { break };
        findings.doubts_about(&subject);
        all = all.plus(one.usage);
        let name = wire.name();
        let bytes = match one.bytes_each() {
            Some(bytes) => bytes,
            None if is_interrupted() => f64::NAN,
            None => {
                let (open, faults) = (one.open(), &one.faults);
                return Err(format!(
                    "only {open} connections ({wire}) are open, no more than the first few{faults}"
                ));
            }
        };
        let share = one.usage.server.unwrap_or(f64::NAN) / one.rested * 100.0;
        findings.figure("bytes_per_connection", name, bytes);
        findings.figure("cpu_at_rest_percent", name, share);
        rows.push(vec![name.to_owned(), number(bytes), number(share)]);
        if one.lost > 0 {
            let (open, faults) = (one.open(), &one.faults);
            findings.remarks.push(format!(
                "{wire}: only {open} of {subscribers} connections are open, and measured{faults}."
            ));
        }
        open += one.open();
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
    findings.summary = format!("{open} connections that wait for messages and get none.");
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
    /// Connections that were open, and the server's resident bytes.
    memory: Vec<(usize, f64)>,
    usage: Usage,
    /// Seconds of rest.
    rested: f64,
    lost: usize,
    /// Why they were lost.
    faults: String,
}

impl Rested {
    /// Bytes for each connection: what those beyond the first step's added; `None` when there are none.
    fn bytes_each(&self) -> Option<f64> {
        match (self.memory.get(1), self.memory.last()) {
            (Some(&(few, low)), Some(&(many, high))) if many > few => {
                Some((high - low) / (many - few) as f64)
            }
            _ => None,
        }
    }

    /// Connections that were open in the end.
    fn open(&self) -> usize {
        self.memory.last().map_or(0, |&(open, _)| open)
    }
}

fn rest(arguments: &IdleArguments, subject: &Subject, wire: Wire) -> Result<Rested, String> {
    let IdleArguments { few, subscribers, duration, common, .. } = arguments;
    subject.need_process()?;
    let clock = subject.clock();
    let topics = Topics::new(&common.topic, 1);
    let mut swarm = subject.swarm(topics)?;
    let mut ledger = Ledger::new();
    let mut memory = vec![(0, subject.memory_bytes().unwrap_or(f64::NAN))];
    for step in 0..STEPS {
        let count = few + (subscribers - few) * step / (STEPS - 1);
        (swarm.members()..count).for_each(|_| swarm.add(wire, 0));
        connect_all(&mut swarm, &mut ledger)?;
        subject.settle(&mut swarm, &mut ledger)?;
        if is_interrupted() {
            break;
        }
        memory.push((swarm.tally.open, subject.memory_bytes().unwrap_or(f64::NAN)));
    }
    swarm.progress().phase("at rest", 0);
    let (meter, began) = (subject.meter(), clock.now());
    while clock.now() < began + duration && !is_interrupted() {
        swarm.turn(&mut ledger, Some((began + duration).min(clock.now() + SECOND)))?;
    }
    let rested = seconds(clock.now() - began);
    let (lost, faults) = (swarm.tally.lost, swarm.tally.describe_faults());
    Ok(Rested { memory, usage: meter.used(), rested, lost, faults })
}
