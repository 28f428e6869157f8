//! The same feed received in every way there is: what each way costs, and how late it is.

use crate::cli::bench::answer::Answers;
use crate::cli::bench::arguments::CompareArguments;
use crate::cli::bench::clock::{SECOND, seconds};
use crate::cli::bench::feed::{Ending, Feed, connect_all};
use crate::cli::bench::findings::{Findings, Table};
use crate::cli::bench::ledger::Ledger;
use crate::cli::bench::machine::make_room;
use crate::cli::bench::member::Tally;
use crate::cli::bench::schedule::{Extent, Pace, Schedule};
use crate::cli::bench::subject::{Subject, Usage};
use crate::cli::bench::topics::Topics;
use crate::cli::bench::wire::Wire;

use super::{comparison, latency_plot, number};

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

/// What one way took, from the first connect to the last delivery.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) title: String,
    pub(super) wire: Wire,
    ledger: Ledger,
    pub(super) tally: Tally,
    usage: Usage,
    ending: Ending,
}

impl Received {
    fn per_message(&self, amount: f64) -> f64 {
        amount / self.ledger.deliveries() as f64
    }

    pub(super) fn bytes_up(&self) -> f64 {
        self.per_message(self.tally.bytes_up as f64)
    }

    pub(super) fn bytes_down(&self) -> f64 {
        self.per_message(self.tally.bytes_down as f64)
    }

    pub(super) fn cpu_us(&self) -> f64 {
        self.per_message(self.usage.server.unwrap_or(f64::NAN) * 1e6)
    }

    /// Milliseconds that so many percent of the deliveries do not exceed.
    pub(super) fn latency_ms(&self, percent: f64) -> f64 {
        self.ledger.each[self.wire.index()].percentile_us(percent) / 1e3
    }

    /// The table's cells behind the name.
    pub(super) fn cells(&self) -> Vec<String> {
        vec![
            self.tally.requests.to_string(),
            self.tally.connections.to_string(),
            number(self.bytes_up()),
            number(self.bytes_down()),
            number(self.latency_ms(50.0)),
            number(self.latency_ms(99.0)),
            number(self.cpu_us()),
        ]
    }
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
    make_room(*subscribers)?;
    let short = short_poll.iter().map(|&interval| Way { wire: Wire::ShortPoll, interval });
    let other = wire.iter().filter(|&&wire| wire != Wire::ShortPoll);
    let other = other.map(|&wire| Way { wire, interval: SECOND });
    let (mut findings, mut received) = (None, Vec::<Received>::new());
    let mut all = Usage { server: Some(0.0), generator: 0.0 };
    let mut series = Vec::new();
    for way in short.chain(other) {
        let subject = Subject::start("compare", common, &[])?;
        subject.target.subscribe_address(way.wire)?;
        let findings = findings.get_or_insert_with(|| Findings::of("compare", common, &subject));
        let one = receive(arguments, &subject, way)?;
        let of = way.name();
        all = all.plus(one.usage);
        for (name, value) in [
            ("requests", one.tally.requests as f64),
            ("connections_opened", one.tally.connections as f64),
            ("deliveries", one.ledger.deliveries() as f64),
            ("bytes_up_per_message", one.bytes_up()),
            ("bytes_down_per_message", one.bytes_down()),
            ("latency_p50_us", one.latency_ms(50.0) * 1e3),
            ("latency_p99_us", one.latency_ms(99.0) * 1e3),
            ("cpu_us_per_message", one.cpu_us()),
            ("missed", one.ledger.missing().iter().sum::<u64>() as f64),
        ] {
            findings.figure(name, &of, value);
        }
        series.push(one.ledger.each[way.wire.index()].series(&of));
        findings.doubts(&of, one.ending, &one.ledger, &one.tally, one.usage);
        let is_over = one.ending == Ending::Interrupted;
        received.push(one);
        if is_over {
            break;
        }
    }
    let mut findings = findings.ok_or("give ways to receive: --wire sse, --short-poll 1")?;
    findings.condition("clients", format!("{subscribers} for each way"));
    findings.condition("feed", format!("{rate} messages/s for {} s", seconds(*duration)));
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
        std::fs::write(file, page)
            .map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    }
    Ok(findings)
}

/// The clients' whole stay: they connect, receive the feed, and that is it. Nothing warms up, so that what is
/// counted is what such clients cost.
fn receive(arguments: &CompareArguments, subject: &Subject, way: Way) -> Result<Received, String> {
    let CompareArguments { subscribers, rate, duration, common, .. } = arguments;
    let clock = subject.clock();
    let topics = Topics::new(&common.topic, 1);
    let mut swarm = subject.swarm(topics)?;
    swarm.poll_every(way.interval);
    let mut ledger = Ledger::new();
    swarm.open_links(1, Answers::new)?;
    (0..*subscribers).for_each(|_| swarm.add(way.wire, 0));
    let meter = subject.meter();
    connect_all(&mut swarm, &mut ledger)?;
    // Parked polls are not answered: a server at rest has taken them all in. Short polls never rest.
    if way.wire != Wire::ShortPoll {
        subject.settle(&mut swarm, &mut ledger)?;
    }
    let mut schedule = Schedule::new(Pace::PerSecond(*rate), Extent::Time(*duration), clock.now());
    let mut feed = Feed::new(common.size, 1);
    let ending = feed.run(&mut swarm, &mut ledger, &mut schedule)?;
    let (usage, tally) = (meter.used(), swarm.tally.clone());
    Ok(Received { title: way.title(), wire: way.wire, ledger, tally, usage, ending })
}
