//! Many topics, few subscribers each: memory of a topic that nothing happens in, and whether their number
//! makes a message dearer.

use std::sync::Arc;

use crate::cli::bench::answer::Answers;
use crate::cli::bench::arguments::TopicsArguments;
use crate::cli::bench::clock::seconds;
use crate::cli::bench::feed::{Ending, Feed, connect_all, is_interrupted};
use crate::cli::bench::findings::{Findings, Series, Table};
use crate::cli::bench::ledger::Ledger;
use crate::cli::bench::machine::make_room;
use crate::cli::bench::schedule::{Extent, Pace, Schedule};
use crate::cli::bench::subject::{Subject, Usage};
use crate::cli::bench::swarm::Swarm;
use crate::cli::bench::target::Preset;
use crate::cli::bench::topics::Topics;

use super::{linear_plot, number};

/// Requests under way on each of the connections that begin topics.
const BEGINS_UNDER_WAY: usize = 64;
/// Connections that begin topics.
const BEGINNERS: usize = 4;
/// Steps of the plot of memory.
const STEPS: u32 = 10;
/// Topics without which memory says nothing about one.
const TOPICS_TOLD_APART: f64 = 900.0;
/// Publishes under way when nobody is subscribed.
const PIPELINED: u32 = 16;

/// Runs it.
pub(super) fn run(arguments: &TopicsArguments) -> Result<Findings, String> {
    let TopicsArguments { topics: counts, active, subscribers, duration, wire, common } = arguments;
    make_room(*subscribers, BEGINNERS)?;
    let most = counts.iter().copied().max().ok_or("give numbers of topics: --topics 1,1000")?;
    let mut findings = None;
    let mut all = Usage::none();
    let (mut rows, mut memory) = (Vec::new(), Vec::new());
    for &count in counts {
        let subject = start(arguments, count)?;
        let findings = findings.get_or_insert_with(|| Findings::of("topics", common, &subject));
        let Some(one) = findings.keep(measure(arguments, &subject, count))? else { break };
        findings.doubts_about(&subject);
        all = all.plus(one.publishing).plus(one.delivering);
        let of = count.to_string();
        let publish = one.publishing.server.map(|cpu| cpu * 1e6 / one.publishes as f64);
        let delivery = one.delivering.server.map(|cpu| cpu * 1e6 / one.deliveries as f64);
        findings.figure("missed", &of, one.missed as f64);
        findings.figure("refused", &of, one.refused as f64);
        findings.figure("cpu_us_per_publish", &of, publish.unwrap_or(f64::NAN));
        findings.figure("cpu_us_per_delivery", &of, delivery.unwrap_or(f64::NAN));
        let cost = |cost: Option<f64>| cost.map_or_else(|| "unknown".to_owned(), number);
        rows.push(vec![of.clone(), cost(publish), cost(delivery), number(one.bytes_each())]);
        if count == most {
            findings.figure("bytes_per_idle_topic", "", one.bytes_each());
            findings.figure("topics_begun_per_second", "", f64::from(count) / one.began_in);
            memory = one.memory;
        }
        findings.remarks.extend(one.remarks);
        if is_interrupted() {
            findings.remarks.push("Interrupted: these are the findings so far.".to_owned());
            break;
        }
    }
    let mut findings = findings.ok_or("give numbers of topics: --topics 1,1000")?;
    findings.condition("active", format!("up to {active} of the topics, spread among all"));
    findings.condition(
        "subscribers",
        format!("{subscribers} ({wire}), in equal parts of the active topics"),
    );
    findings.condition("each step", format!("{} s", seconds(*duration)));
    findings.summary = format!("Publishing and delivering while there are up to {most} topics.");
    let columns = ["topics", "CPU µs/publish, alone", "CPU µs/delivery", "bytes per idle topic"];
    findings.tables.push(Table {
        title: "What a message costs among many topics".to_owned(),
        columns: columns.map(str::to_owned).to_vec(),
        rows,
    });
    let series = vec![Series { name: "server".to_owned(), points: memory }];
    let plot = linear_plot("Memory of the server", "topics", "resident megabytes", series);
    findings.plots.push(plot);
    findings.usage(all);
    Ok(findings)
}

/// A server that has room for so many topics and forgets none meanwhile. Of one worker, unless something else
/// was said: a topic that is asked for on another worker than its own has a replica there.
fn start(arguments: &TopicsArguments, count: u32) -> Result<Subject, String> {
    let target = &arguments.common.target;
    let topics_max = (count.saturating_mul(2)).max(100_000).to_string();
    let mut flags = vec!["--topic-idle", "86400", "--topics-max", &topics_max];
    if !target.server_flag.iter().any(|flag| flag.contains("--workers")) {
        flags.extend(["--workers", "1"]);
    }
    Subject::start("topics", &arguments.common, &flags)
}

/// What so many topics took.
struct Measured {
    /// Topics and the server's resident megabytes.
    memory: Vec<(f64, f64)>,
    /// Seconds in which the topics were begun.
    began_in: f64,
    publishes: u64,
    publishing: Usage,
    deliveries: u64,
    delivering: Usage,
    missed: u64,
    refused: u64,
    remarks: Vec<String>,
}

impl Measured {
    /// What the last nine tenths of the topics added, each.
    fn bytes_each(&self) -> f64 {
        match (self.memory.get(1), self.memory.last()) {
            // Of fewer, memory does not show a difference.
            (Some(&(few, low)), Some(&(many, high))) if many - few >= TOPICS_TOLD_APART => {
                (high - low) * 1e6 / (many - few)
            }
            _ => f64::NAN,
        }
    }
}

fn measure(arguments: &TopicsArguments, subject: &Subject, count: u32) -> Result<Measured, String> {
    let TopicsArguments { active, subscribers, duration, common, .. } = arguments;
    let clock = subject.clock();
    let topics = Topics::new(&common.topic, count.max(2));
    let mut swarm = subject.swarm(topics)?;
    let mut ledger = Ledger::new();
    let began = clock.now();
    let memory = begin_topics(subject, &mut swarm, &mut ledger, count)?;
    let began_in = seconds(clock.now() - began);
    let mut remarks = Vec::new();
    if subject.target.preset != Preset::Tidings {
        remarks.push("Topics were begun by publishing a message to each.".to_owned());
    }

    // Each active topic has a message before it is measured what another one costs.
    let active = count.min(*active);
    let mut feed = Feed::new(common.size, active).spread_over(count);
    swarm.open_links(1, Answers::new)?;
    feed.publish_only(&mut swarm, &mut ledger, u64::from(active))?;
    ledger.give_up();
    subject.settle(&mut swarm, &mut ledger)?;
    let mut publishing = Ledger::new();
    let extent = Extent::Time(*duration);
    let mut schedule = Schedule::new(Pace::Outstanding(PIPELINED), extent, clock.now());
    let meter = subject.meter();
    let first = feed.run(&mut swarm, &mut publishing, &mut schedule)?;
    let published = meter.used();

    let stride = count / active;
    for index in 0..*subscribers {
        swarm.add(arguments.wire, index as u32 % active * stride);
    }
    let mut ledger = Ledger::new();
    connect_all(&mut swarm, &mut ledger)?;
    feed.warm_up(&mut swarm, &mut ledger)?;
    subject.settle(&mut swarm, &mut ledger)?;
    // One at a time: several under way would share writes where there is one topic, and not among many.
    let mut schedule = Schedule::new(Pace::Outstanding(1), extent, clock.now());
    let meter = subject.meter();
    let second = feed.run(&mut swarm, &mut ledger, &mut schedule)?;
    let delivered = meter.used();
    let missing: u64 = ledger.missing().iter().sum();
    if let Some(why) = &swarm.tally.failure {
        return Err(why.clone());
    }
    if missing > 0 || first == Ending::Stalled || second == Ending::Stalled {
        remarks.push(format!("{count} topics: {missing} deliveries are missing."));
    }
    let refused = ledger.refused + publishing.refused;
    if refused > 0 {
        remarks.push(format!("{count} topics: {refused} publishes were refused."));
    }
    Ok(Measured {
        memory,
        began_in,
        publishes: publishing.published(),
        publishing: published,
        deliveries: ledger.deliveries(),
        delivering: delivered,
        missed: missing,
        refused,
        remarks,
    })
}

/// Begins all topics; returns how memory grew with them, from a tenth of them on.
fn begin_topics(
    subject: &Subject,
    swarm: &mut Swarm,
    ledger: &mut Ledger,
    count: u32,
) -> Result<Vec<(f64, f64)>, String> {
    let is_silent = subject.target.preset == Preset::Tidings;
    swarm.open_links(BEGINNERS, if is_silent { Answers::to_head } else { Answers::new })?;
    let target = Arc::clone(&subject.target);
    let mut memory = Vec::new();
    let mut next = 0;
    for step in 0..=STEPS {
        swarm.progress().phase("beginning topics", u64::from(count));
        let end = (u64::from(count) * u64::from(step) / u64::from(STEPS)) as u32;
        while (next < end || swarm.outstanding() > 0) && !is_interrupted() {
            while next < end && swarm.outstanding() < BEGINNERS * BEGINS_UNDER_WAY {
                let (name, now) = (swarm.topics().name(next).into_owned(), swarm.clock().now());
                let link = swarm.idlest().ok_or("there is no publisher")?;
                link.push(0, 0, now, |out| match is_silent {
                    true => target.encode_begin(&name, out),
                    false => target.encode_publish(&name, b"begin", out),
                });
                next += 1;
            }
            swarm.flush();
            swarm.progress().set(u64::from(next));
            swarm.turn(ledger, None)?;
        }
        subject.settle(swarm, ledger)?;
        let bytes = subject.memory_bytes();
        memory.push((f64::from(next), bytes.unwrap_or(f64::NAN) / 1e6));
    }
    match ledger.refused {
        0 => Ok(memory),
        refused => Err(format!("{refused} of {count} topics were refused by the server")),
    }
}
