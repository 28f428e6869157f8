//! The same feed received in every way there is: what each way costs, and how late it is.

use crate::cli::bench::answer::Answers;
use crate::cli::bench::arguments::CompareArguments;
use crate::cli::bench::clock::{MILLISECOND, SECOND, seconds};
use crate::cli::bench::feed::{Ending, Feed, connect_all, fail, is_interrupted};
use crate::cli::bench::findings::{Findings, Table};
use crate::cli::bench::ledger::Ledger;
use crate::cli::bench::machine::make_room;
use crate::cli::bench::member::Tally;
use crate::cli::bench::schedule::{Extent, Pace, Schedule};
use crate::cli::bench::subject::{Subject, Usage};
use crate::cli::bench::swarm::Swarm;
use crate::cli::bench::topics::Topics;
use crate::cli::bench::wire::Wire;

use super::{comparison, latency_plot, number};

/// What every way has for connecting, whether it needs it or not.
const BEFORE: u64 = SECOND;
/// How long behind the last request the feed begins at the earliest.
const PARKING: u64 = 200 * MILLISECOND;

/// One way to receive.
#[derive(Copy, Clone, Debug)]
struct Way {
    wire: Wire,
    /// Nanoseconds between short polls.
    interval: u64,
}

impl Way {
    fn name(self) -> String {
        match self.wire {
            Wire::ShortPoll => format!("short-poll {} s", seconds(self.interval)),
            wire => wire.name().to_owned(),
        }
    }

    /// What people call it.
    fn title(self) -> String {
        match self.wire {
            Wire::ShortPoll => format!("short poll, every {} s", seconds(self.interval)),
            Wire::LongPoll => "long poll".to_owned(),
            Wire::Sse => "Server-Sent Events".to_owned(),
            Wire::Ndjson => "NDJSON stream".to_owned(),
            Wire::Websocket => "WebSocket".to_owned(),
        }
    }
}

/// What one way took in the time that each has, for each message that reached a client.
#[derive(Clone, Debug)]
pub(super) struct Received {
    pub(super) title: String,
    pub(super) wire: Wire,
    /// Seconds between short polls.
    pub(super) interval: f64,
    pub(super) requests: u64,
    pub(super) connections: u64,
    pub(super) deliveries: u64,
    pub(super) missed: u64,
    pub(super) bytes_up: f64,
    pub(super) bytes_down: f64,
    /// Milliseconds.
    pub(super) latency_p50: f64,
    pub(super) latency_p99: f64,
    /// Microseconds; not a number where it is not known.
    pub(super) cpu: f64,
}

impl Received {
    fn of(way: Way, run: &Run) -> Self {
        let (ledger, tally) = (&run.ledger, &run.tally);
        let deliveries = ledger.deliveries();
        let per_message = |amount: f64| amount / deliveries as f64;
        let latency = |percent| ledger.each[way.wire.index()].percentile_us(percent) / 1e3;
        Self {
            title: way.title(),
            wire: way.wire,
            interval: seconds(way.interval),
            requests: tally.requests,
            connections: tally.connections,
            deliveries,
            missed: ledger.missing().iter().sum(),
            bytes_up: per_message(tally.bytes_up as f64),
            bytes_down: per_message(tally.bytes_down as f64),
            latency_p50: latency(50.0),
            latency_p99: latency(99.0),
            cpu: per_message(run.usage.server.unwrap_or(f64::NAN) * 1e6),
        }
    }

    /// The table's cells behind the name.
    pub(super) fn cells(&self) -> Vec<String> {
        vec![
            self.requests.to_string(),
            self.connections.to_string(),
            number(self.bytes_up),
            number(self.bytes_down),
            number(self.latency_p50),
            number(self.latency_p99),
            number(self.cpu),
        ]
    }

    fn figures(&self) -> [(&'static str, f64); 9] {
        [
            ("requests", self.requests as f64),
            ("connections_opened", self.connections as f64),
            ("deliveries", self.deliveries as f64),
            ("bytes_up_per_message", self.bytes_up),
            ("bytes_down_per_message", self.bytes_down),
            ("latency_p50_us", self.latency_p50 * 1e3),
            ("latency_p99_us", self.latency_p99 * 1e3),
            ("cpu_us_per_message", self.cpu),
            ("missed", self.missed as f64),
        ]
    }
}

/// One way's clients, from the first connect to the end.
struct Run {
    ledger: Ledger,
    tally: Tally,
    usage: Usage,
    ending: Ending,
    /// Seconds that connecting took beyond what each way has for it.
    late: f64,
}

/// The table's columns.
pub(super) const COLUMNS: [&str; 8] = [
    "",
    "requests",
    "connections opened",
    "bytes up per message",
    "bytes down per message",
    "latency p50, ms",
    "latency p99, ms",
    "server CPU per message, µs",
];

/// Runs it.
pub(super) fn run(arguments: &CompareArguments) -> Result<Findings, String> {
    let CompareArguments { wire, short_poll, subscribers, rate, duration, write, common } =
        arguments;
    make_room(*subscribers, 1)?;
    let short = short_poll.iter().map(|&interval| Way { wire: Wire::ShortPoll, interval });
    let other = wire.iter().filter(|&&wire| wire != Wire::ShortPoll);
    let other = other.map(|&wire| Way { wire, interval: SECOND });
    let (mut findings, mut received) = (None, Vec::new());
    let mut all = Usage::none();
    let mut series = Vec::new();
    for way in short.chain(other) {
        let subject = Subject::start("compare", common, &[])?;
        subject.target.subscribe_address(way.wire)?;
        let findings = findings.get_or_insert_with(|| Findings::of("compare", common, &subject));
        let Some(run) = findings.keep(receive(arguments, &subject, way))? else { break };
        let (one, of) = (Received::of(way, &run), way.name());
        all = all.plus(run.usage);
        for (name, value) in one.figures() {
            findings.figure(name, &of, value);
        }
        series.push(run.ledger.each[way.wire.index()].series(&of));
        if run.late > 0.0 {
            findings.remarks.push(format!(
                "{of}: connecting took {:.1} s longer than each way has for it, and is counted.",
                run.late
            ));
        }
        findings.doubts(&of, run.ending, &run.ledger, &run.tally, run.usage);
        findings.doubts_about(&subject);
        received.push(one);
        if matches!(run.ending, Ending::Interrupted | Ending::Failed) {
            break;
        }
    }
    let mut findings = findings.ok_or("give ways to receive: --wire sse, --short-poll 1")?;
    findings.condition("clients", format!("{subscribers} for each way"));
    findings.condition("feed", format!("{rate} messages/s for {} s", seconds(*duration)));
    let (before, after) = (seconds(BEFORE), seconds(after(arguments)));
    findings.condition("each way", format!("{before} s before the feed, and {after} s behind it"));
    findings.summary = format!("The same feed, received by {subscribers} clients in each way.");
    let row = |one: &Received| [vec![one.title.clone()], one.cells()].concat();
    findings.tables.push(Table {
        title: "A message delivered to one client".to_owned(),
        columns: COLUMNS.map(str::to_owned).to_vec(),
        rows: received.iter().map(row).collect(),
    });
    findings.plots.push(latency_plot("Latency from publish to each client", series));
    findings.usage(all);
    if let Some(file) = write {
        let page = comparison::page(&findings, arguments, &received);
        findings.page = Some((file.clone(), page));
    }
    Ok(findings)
}

/// What every way has behind the feed, whether it needs it or not: the longest time in which nobody asks.
pub(super) fn after(arguments: &CompareArguments) -> u64 {
    arguments.short_poll.iter().copied().max().unwrap_or(0)
}

/// The clients' whole stay: they connect, receive the feed, and that is it. Nothing warms up, so that what is
/// counted is what such clients cost; and all ways have the same time, so that what they do in it can be compared.
fn receive(arguments: &CompareArguments, subject: &Subject, way: Way) -> Result<Run, String> {
    let CompareArguments { subscribers, rate, duration, common, .. } = arguments;
    let clock = subject.clock();
    let topics = Topics::new(&common.topic, 1);
    let mut swarm = subject.swarm(topics)?;
    swarm.poll_every(way.interval);
    let mut ledger = Ledger::new();
    swarm.open_links(1, Answers::new)?;
    (0..*subscribers).for_each(|_| swarm.add(way.wire, 0));
    let (meter, began) = (subject.meter(), clock.now());
    connect_all(&mut swarm, &mut ledger)?;
    // A parked poll says nothing: some time behind the last request it has been taken in.
    let begin = (began + BEFORE).max(clock.now() + PARKING);
    turn_until(begin, &mut swarm, &mut ledger)?;
    let mut schedule = Schedule::new(Pace::PerSecond(*rate), Extent::Time(*duration), clock.now());
    let mut feed = Feed::new(common.size, 1);
    let mut ending = feed.run(&mut swarm, &mut ledger, &mut schedule)?;
    if ending == Ending::Complete {
        let end = begin + duration + after(arguments);
        if let Err(why) = turn_until(end, &mut swarm, &mut ledger) {
            ending = fail(&mut swarm, &ledger, why)?;
        }
    }
    let (usage, tally) = (meter.used(), swarm.tally.clone());
    Ok(Run { ledger, tally, usage, ending, late: seconds(begin - began - BEFORE) })
}

fn turn_until(end: u64, swarm: &mut Swarm, ledger: &mut Ledger) -> Result<(), String> {
    swarm.progress().phase("the rest of this way's time", 0);
    while swarm.clock().now() < end && !is_interrupted() {
        swarm.turn(ledger, Some(end))?;
    }
    Ok(())
}
