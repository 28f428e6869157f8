//! Publishing: one request at a time, several under way, many messages in each; alone and with subscribers.

use super::{EACH, latency_plot, number};
use crate::cli::bench::answer::Answers;
use crate::cli::bench::arguments::{PublishArguments, Way};
use crate::cli::bench::clock::seconds;
use crate::cli::bench::feed::{Ending, Feed, connect_all, fail, is_interrupted};
use crate::cli::bench::findings::{Findings, Table};
use crate::cli::bench::ledger::Ledger;
use crate::cli::bench::machine::make_room;
use crate::cli::bench::member::Tally;
use crate::cli::bench::schedule::{Extent, Pace, Schedule};
use crate::cli::bench::subject::{Subject, Usage};
use crate::cli::bench::swarm::Swarm;
use crate::cli::bench::topics::Topics;

impl Way {
    const fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Pipelined => "pipelined",
            Self::Batch => "batch",
        }
    }
}

/// Runs it.
pub(super) fn run(arguments: &PublishArguments) -> Result<Findings, String> {
    let common = &arguments.common;
    make_room(arguments.subscribers.unwrap_or(0), 1)?;
    let mut audiences = vec![0];
    audiences.extend(arguments.subscribers);
    let subject = Subject::start("publish", common, &[])?;
    let ways = ways(arguments, &subject)?;
    let mut findings = Findings::of("publish", common, &subject);
    findings.condition("pipelined", format!("{} requests under way", arguments.outstanding));
    findings.condition("batch", format!("{} messages a request", arguments.lines));
    let length = match arguments.messages {
        Some(messages) => format!("{messages} messages"),
        None => format!("{} s", seconds(arguments.duration)),
    };
    findings.condition("each way", length);
    let mut all = Usage::none();
    let (mut rows, mut series) = (Vec::new(), Vec::new());
    let each = audiences.iter().flat_map(|&count| ways.iter().map(move |&way| (count, way)));
    for (subscribers, way) in each {
        let Some(one) = findings.keep(publish(arguments, &subject, way, subscribers))? else {
            break;
        };
        all = all.plus(one.usage);
        let of = match subscribers {
            0 => way.name().to_owned(),
            count => format!("{} with {count} subscribers", way.name()),
        };
        rows.push(one.report(&of, &mut findings));
        series.push(one.ledger.answers.series(&of));
        if subscribers > 0 && !arguments.until_delivered {
            one.report_deliveries(&of, subscribers, &mut findings);
        }
        findings.doubts(&of, one.ending, &one.ledger, &one.tally, one.publishing);
        if matches!(one.ending, Ending::Interrupted | Ending::Failed) {
            break;
        }
    }
    findings.doubts_about(&subject);
    findings.summary = match arguments.until_delivered {
        true => "Publishes as fast as they are delivered, on one connection.".to_owned(),
        false => "Publishes as fast as they are answered, on one connection.".to_owned(),
    };
    findings.tables.push(Table {
        title: "Publishing; latency is from sending a request to its answer".to_owned(),
        columns: [
            "",
            "messages/s",
            "server CPU µs/message",
            "p50 µs",
            "p90 µs",
            "p99 µs",
            "p99.9 µs",
            "max µs",
        ]
        .map(str::to_owned)
        .to_vec(),
        rows,
    });
    findings.plots.push(latency_plot("Latency from publish to its answer", series));
    findings.usage(all);
    Ok(findings)
}

/// The ways that were asked for, or all that the server has.
fn ways(arguments: &PublishArguments, subject: &Subject) -> Result<Vec<Way>, String> {
    let has_batches = subject.target.takes_batches();
    if arguments.way.contains(&Way::Batch) && !has_batches {
        return Err(
            "this server takes no batches, as far as is known: leave out --way batch".into()
        );
    }
    if !arguments.way.is_empty() {
        return Ok(arguments.way.clone());
    }
    let mut ways = vec![Way::Single, Way::Pipelined];
    ways.extend(has_batches.then_some(Way::Batch));
    Ok(ways)
}

/// What publishing one way took.
struct Published {
    ledger: Ledger,
    tally: Tally,
    /// From the first publish to the last answer, or to the last delivery if that was waited for.
    seconds: f64,
    /// In that time.
    publishing: Usage,
    /// Until everything was delivered that is.
    usage: Usage,
    ending: Ending,
}

impl Published {
    /// Adds the figures; returns the table's row.
    fn report(&self, of: &str, findings: &mut Findings) -> Vec<String> {
        let ledger = &self.ledger;
        let count = ledger.published();
        let rate = count as f64 / self.seconds;
        findings.figure("publishes_per_second", of, rate);
        let cost = self.usage.server.map(|cpu| cpu * 1e6 / count as f64);
        findings.figure("cpu_us_per_publish", of, cost.unwrap_or(f64::NAN));
        findings.figures.extend(ledger.answers.figures(of, &EACH));
        let mut row = vec![of.to_owned(), number(rate)];
        row.push(cost.map_or_else(|| "unknown".to_owned(), number));
        row.extend(EACH.iter().map(|&(_, percent)| number(ledger.answers.percentile_us(percent))));
        row
    }

    /// What came of it, which nobody waited for: who falls behind the log has a gap.
    fn report_deliveries(&self, of: &str, subscribers: usize, findings: &mut Findings) {
        let (came, due) = (self.ledger.deliveries(), self.ledger.published() * subscribers as u64);
        findings.figure("deliveries", of, came as f64);
        findings.figure("missed", of, due.saturating_sub(came) as f64);
        if came < due {
            findings.remarks.push(format!(
                "{of}: {came} of {due} deliveries were made: publishing did not wait for subscribers, and who \
                 falls behind what a topic retains has a gap. --until-delivered waits for them."
            ));
        }
    }
}

fn publish(
    arguments: &PublishArguments,
    subject: &Subject,
    way: Way,
    subscribers: usize,
) -> Result<Published, String> {
    let PublishArguments { common, wire, .. } = arguments;
    let clock = subject.clock();
    let topics = Topics::new(&common.topic, 1);
    let mut swarm = subject.swarm(topics)?;
    let mut ledger = Ledger::new();
    if subscribers > 0 {
        subject.target.subscribe_address(*wire)?;
        (0..subscribers).for_each(|_| swarm.add(*wire, 0));
        connect_all(&mut swarm, &mut ledger)?;
    }
    swarm.open_links(1, Answers::new)?;
    Feed::new(common.size, 1).warm_up(&mut swarm, &mut ledger)?;
    subject.settle(&mut swarm, &mut ledger)?;
    let (outstanding, lines) = match way {
        Way::Single => (1, 1),
        Way::Pipelined => (arguments.outstanding, 1),
        Way::Batch => (1, arguments.lines),
    };
    let requests = |messages: u64| messages.div_ceil(u64::from(lines));
    let extent = match arguments.messages {
        Some(messages) => Extent::Count(requests(messages)),
        None => Extent::Time(arguments.duration),
    };
    let meter = subject.meter();
    let mut schedule = Schedule::new(Pace::Outstanding(outstanding), extent, clock.now());
    let mut feed = Feed::new(common.size, 1).in_batches(lines);
    if !arguments.until_delivered {
        feed = feed.answers_only();
    }
    let mut ending = feed.run(&mut swarm, &mut ledger, &mut schedule)?;
    let publishing = meter.used();
    let has_rest = subscribers > 0 && ending == Ending::Complete && !arguments.until_delivered;
    if has_rest && let Err(why) = deliver_rest(subject, &mut swarm, &mut ledger) {
        ending = fail(&mut swarm, &ledger, why)?;
    }
    let usage = meter.used();
    let seconds = match arguments.until_delivered {
        true => ledger.seconds(),
        false => ledger.publishing_seconds(),
    };
    let tally = swarm.tally.clone();
    Ok(Published { ledger, tally, seconds, publishing, usage, ending })
}

/// Turns until nothing is delivered any more.
fn deliver_rest(subject: &Subject, swarm: &mut Swarm, ledger: &mut Ledger) -> Result<(), String> {
    let mut before = None;
    while before.replace(ledger.deliveries()) != Some(ledger.deliveries()) && !is_interrupted() {
        subject.settle(swarm, ledger)?;
    }
    Ok(())
}
