//! A small topic beside a huge one: how long its messages wait while fan-outs of the huge one run.
//!
//! The small topic's publisher and subscriber have a thread of their own, so that the generator's own
//! reading of the huge fan-out does not pass for the server's unfairness; and where the two share a core, the
//! small topic's goes first.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use crate::cli::bench::answer::Answers;
use crate::cli::bench::arguments::FairnessArguments;
use crate::cli::bench::clock::{Clock, SECOND, seconds};
use crate::cli::bench::feed::{Ending, Feed, connect_all};
use crate::cli::bench::findings::{Findings, Table};
use crate::cli::bench::latency::Latencies;
use crate::cli::bench::ledger::Ledger;
use crate::cli::bench::machine::{self, make_room};
use crate::cli::bench::member::Tally;
use crate::cli::bench::schedule::{Extent, Pace, Schedule};
use crate::cli::bench::subject::{Subject, Usage};
use crate::cli::bench::topics::Topics;

use super::{describe_pace, latency_plot, number};

/// How long the small topic is measured while nothing else happens.
const ALONE: u64 = 2 * SECOND;
/// The name of the thread of the small topic: whoever knows it can have it run first.
const SMALL_THREAD: &str = "small-topic";

/// Runs it.
pub(super) fn run(arguments: &FairnessArguments) -> Result<Findings, String> {
    let FairnessArguments { wire, subscribers, small_subscribers, small_rate, pace, common } =
        arguments;
    make_room(subscribers + small_subscribers, pace.publishers + 1)?;
    let subject = Subject::start("fairness", common, &[])?;
    subject.target.subscribe_address(*wire)?;
    let mut findings = Findings::of("fairness", common, &subject);
    let speed = pace.rate.map_or(Pace::Outstanding(pace.outstanding.unwrap_or(1)), Pace::PerSecond);
    findings.condition("huge topic", format!("{subscribers} subscribers ({wire})"));
    findings.condition("its pace", describe_pace(speed, pace.extent()));
    let small = format!("{small_subscribers} subscribers, {small_rate} messages/s");
    findings.condition("small topic", small);

    let clock = subject.clock();
    let topics = Topics::new(&format!("{}-huge", common.topic), 1);
    let mut swarm = subject.swarm(topics)?;
    let mut ledger = Ledger::new();
    (0..*subscribers).for_each(|_| swarm.add(*wire, 0));
    connect_all(&mut swarm, &mut ledger)?;
    swarm.open_links(pace.publishers, Answers::new)?;
    let mut feed = Feed::new(common.size, 1);
    feed.warm_up(&mut swarm, &mut ledger)?;
    subject.settle(&mut swarm, &mut ledger)?;

    swarm.progress().phase("the small topic alone", 0);
    let alone = small_topic(arguments, &subject, clock, None)?;
    let (go, wait) = sync_channel(0);
    let (ready, is_ready) = sync_channel(1);
    let huge_is_over = Arc::new(AtomicBool::new(false));
    let ((small, ending), usage) = thread::scope(|scope| {
        let beside = Beside { ready, go: wait, is_over: Arc::clone(&huge_is_over) };
        let thread = thread::Builder::new()
            .name(SMALL_THREAD.to_owned())
            .spawn_scoped(scope, || small_topic(arguments, &subject, clock, Some(beside)))
            .map_err(|error| format!("cannot start a thread: {error}"))?;
        // An error shows in what it returns.
        let _ = is_ready.recv();
        if !machine::yield_to_other_threads() {
            findings.remarks.push(
                "The thread that reads the huge fan-out could not be made to yield (renice): on few \
                 cores the small topic waits for it, too."
                    .to_owned(),
            );
        }
        let meter = subject.meter();
        let _ = go.send(());
        let mut schedule = Schedule::new(speed, pace.extent(), clock.now());
        let ending = feed.run(&mut swarm, &mut ledger, &mut schedule);
        let usage = meter.used();
        // The small topic is measured beside fan-outs only, however long they took.
        huge_is_over.store(true, Ordering::Relaxed);
        let ending = ending?;
        let small = thread.join().map_err(|_| "the small topic's thread failed")??;
        Ok::<_, String>(((small, ending), usage))
    })?;

    report(&mut findings, &alone.ledger, &small.ledger, &ledger);
    findings.usage(usage);
    findings.doubts("small", small.ending, &small.ledger, &small.tally, Usage::default());
    findings.doubts("huge", ending, &ledger, &swarm.tally, usage);
    findings.doubts_about(&subject);
    if seconds(ALONE) * small_rate < 100.0 || small.ledger.measured() < 100 {
        findings.remarks.push("Too few small messages for a 99th percentile.".to_owned());
    }
    Ok(findings)
}

/// What the small topic went through.
struct Small {
    ledger: Ledger,
    tally: Tally,
    ending: Ending,
}

/// How the small topic begins and ends with the huge one.
struct Beside {
    /// Told when it is ready.
    ready: SyncSender<()>,
    /// Says when to begin.
    go: Receiver<()>,
    /// Set when the huge topic has ended.
    is_over: Arc<AtomicBool>,
}

/// Publishes and receives on the small topic: for a while, or as long as the huge one that it is `beside`.
fn small_topic(
    arguments: &FairnessArguments,
    subject: &Subject,
    clock: Clock,
    beside: Option<Beside>,
) -> Result<Small, String> {
    let FairnessArguments { wire, small_subscribers, small_rate, common, .. } = arguments;
    let topics = Topics::new(&format!("{}-small", common.topic), 1);
    let mut swarm = subject.second_swarm(topics)?;
    let mut ledger = Ledger::new();
    (0..*small_subscribers).for_each(|_| swarm.add(*wire, 0));
    connect_all(&mut swarm, &mut ledger)?;
    swarm.open_links(1, Answers::new)?;
    let mut feed = Feed::new(common.size, 1);
    feed.warm_up(&mut swarm, &mut ledger)?;
    let speed = Pace::PerSecond(*small_rate);
    let mut schedule = match beside {
        Some(Beside { ready, go, is_over }) => {
            // Whoever is to say so has failed, if nobody does: the result is of no interest then.
            let _ = ready.send(());
            let _ = go.recv();
            Schedule::new(speed, Extent::Time(u64::MAX), clock.now()).until(is_over)
        }
        None => Schedule::new(speed, Extent::Time(ALONE), clock.now()),
    };
    let ending = feed.run(&mut swarm, &mut ledger, &mut schedule)?;
    Ok(Small { ledger, tally: swarm.tally.clone(), ending })
}

fn report(findings: &mut Findings, alone: &Ledger, small: &Ledger, huge: &Ledger) {
    let each = |ledger: &Ledger| {
        let mut all = Latencies::default();
        ledger.each.iter().for_each(|one| all.add(one));
        all
    };
    let (alone, small, huge) = (each(alone), each(small), &huge.last);
    // Of nothing there is no percentile: no figure either.
    let of = |latencies: &Latencies, percent: f64| match latencies.count() {
        0 => f64::NAN,
        _ => latencies.percentile_us(percent),
    };
    let share = of(&small, 99.0) / of(huge, 50.0) * 100.0;
    let figures = [
        ("small_alone_p50_us", of(&alone, 50.0)),
        ("small_alone_p99_us", of(&alone, 99.0)),
        ("small_p50_us", of(&small, 50.0)),
        ("small_p99_us", of(&small, 99.0)),
        ("small_max_us", of(&small, 100.0)),
        ("fanout_duration_p50_us", of(huge, 50.0)),
        ("small_p99_share_percent", share),
    ];
    for (name, value) in figures {
        findings.figure(name, "", value);
    }
    let percents = [50.0, 90.0, 99.0, 99.9, 100.0];
    let row = |name: &str, latencies: &Latencies| {
        let cells = percents.iter().map(|&percent| number(of(latencies, percent) / 1e3));
        [name.to_owned(), latencies.count().to_string()].into_iter().chain(cells).collect()
    };
    let columns = ["", "messages", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms"];
    findings.tables.push(Table {
        title: "Latency".to_owned(),
        columns: columns.map(str::to_owned).to_vec(),
        rows: vec![
            row("small topic, alone", &alone),
            row("small topic, beside fan-outs", &small),
            row("huge topic, to its last subscriber", huge),
        ],
    });
    findings.summary = if share.is_finite() {
        format!(
            "One message in a hundred of the small topic waits {:.2} ms or more while fan-outs of the huge one \
         run, which is {share:.1} % of such a fan-out's {:.0} ms.",
            small.percentile_us(99.0) / 1e3,
            huge.percentile_us(50.0) / 1e3
        )
    } else {
        "Too little came of either topic to compare them.".to_owned()
    };
    findings.plots.push(latency_plot(
        "Latency of the small topic",
        vec![alone.series("alone"), small.series("beside fan-outs"), huge.series("a fan-out")],
    ));
}
