//! What can be measured, one file each; and what all of them share.

use crate::cli::bench::arguments::{CommonArguments, Scenario};
use crate::cli::bench::clock::seconds;
use crate::cli::bench::feed::Ending;
use crate::cli::bench::findings::{Axis, Figure, Findings, Plot, Scale, Series};
use crate::cli::bench::latency::readable_us;
use crate::cli::bench::ledger::Ledger;
use crate::cli::bench::machine;
use crate::cli::bench::member::Tally;
use crate::cli::bench::schedule::{Extent, Pace};
use crate::cli::bench::show::number;
use crate::cli::bench::subject::{Subject, Usage};
use crate::cli::bench::wire::Wire;

mod compare;
mod comparison;
mod connect;
mod fairness;
mod fanout;
mod herd;
mod idle;
mod publish;
mod topics;

/// Runs one.
///
/// # Errors
/// When there is nothing to find out, with what to do.
pub(super) fn run(scenario: &Scenario) -> Result<Findings, String> {
    match scenario {
        Scenario::Idle(arguments) => idle::run(arguments),
        Scenario::Connect(arguments) => connect::run(arguments),
        Scenario::Fanout(arguments) => fanout::run(arguments),
        Scenario::Publish(arguments) => publish::run(arguments),
        Scenario::Topics(arguments) => topics::run(arguments),
        Scenario::Herd(arguments) => herd::run(arguments),
        Scenario::Fairness(arguments) => fairness::run(arguments),
        Scenario::Compare(arguments) => compare::run(arguments),
    }
}

/// Percentiles of latencies to each subscriber, by the names of their figures.
const EACH: [(&str, f64); 5] = [
    ("latency_p50_us", 50.0),
    ("latency_p90_us", 90.0),
    ("latency_p99_us", 99.0),
    ("latency_p999_us", 99.9),
    ("latency_max_us", 100.0),
];
/// The same of latencies to the last one.
const LAST: [(&str, f64); 3] =
    [("last_p50_us", 50.0), ("last_p99_us", 99.0), ("last_max_us", 100.0)];

/// The generator was late when more than one in a hundred messages was later than so many microseconds.
const LATE_US: f64 = 2_000.0;

/// The generator was the bottleneck when one of its threads used more of a core than this.
const BUSY_SHARE: f64 = 0.92;

impl Findings {
    /// Findings of a scenario; conditions that all of them have are filled in.
    fn of(scenario: &'static str, common: &CommonArguments, subject: &Subject) -> Self {
        let conditions = vec![
            ("server".to_owned(), subject.name.clone()),
            ("message".to_owned(), format!("{} bytes", common.size)),
            ("machine".to_owned(), machine::describe()),
        ];
        Self { scenario, conditions, ..Self::default() }
    }

    fn figure(&mut self, name: &'static str, of: &str, value: f64) {
        if value.is_finite() {
            self.figures.push(Figure { name, of: of.to_owned(), value });
        }
    }

    fn condition(&mut self, name: &str, value: String) {
        self.conditions.push((name.to_owned(), value));
    }

    /// What was used by the server and by the generator while it was measured.
    fn usage(&mut self, usage: Usage) {
        match usage.server {
            Some(server) => self.figure("server_cpu_seconds", "", server),
            None if usage.has_server_ended => self.remarks.push(
                "The server's process ended, or cannot be looked at any more: its CPU is not known."
                    .to_owned(),
            ),
            None => self.remarks.push(
                "The server's CPU is not known: give its process by --server-pid.".to_owned(),
            ),
        }
        self.figure("generator_cpu_seconds", "", usage.generator);
    }

    /// What was found out about a server that puts its figures in doubt.
    fn doubts_about(&mut self, subject: &Subject) {
        for doubt in subject.doubts() {
            if !self.remarks.contains(&doubt) {
                self.remarks.push(doubt);
            }
        }
    }

    /// It ended here, but what was found so far is kept.
    fn fail(&mut self, why: String) {
        self.remarks.push(format!("These are the findings until it failed: {why}."));
        self.failure.get_or_insert(why);
    }

    /// Of what was measured after something else: an error does not throw away what was found before.
    ///
    /// # Errors
    /// When nothing was.
    fn keep<T>(&mut self, measured: Result<T, String>) -> Result<Option<T>, String> {
        match measured {
            Ok(measured) => Ok(Some(measured)),
            Err(why) if self.figures.is_empty() => Err(why),
            Err(why) => {
                self.fail(why);
                Ok(None)
            }
        }
    }

    /// What a reader has to know before he trusts the figures of a run; `of` which, where there are several.
    fn doubts(&mut self, of: &str, ending: Ending, ledger: &Ledger, tally: &Tally, usage: Usage) {
        let mut remarks = Vec::new();
        match ending {
            Ending::Complete => (),
            Ending::Stalled => remarks.push(
                "Not everything came that was published: it was waited for during 10 s without any \
                 progress."
                    .to_owned(),
            ),
            Ending::Interrupted => {
                remarks.push("Interrupted: these are the findings so far.".to_owned());
            }
            Ending::Failed => self.fail(tally.failure.clone().unwrap_or_default()),
        }
        if let Some(seconds) = tally.overrun {
            remarks.push(format!(
                "The server did not keep up with the rate: after {seconds:.1} s so many publishes \
                 were without an answer that there were no more. Latencies are of a queue that \
                 only grew; a lower rate would show the server's own."
            ));
        }
        let missed: u64 = ledger.missing().iter().sum();
        for (name, count, what) in [
            ("missed", missed, "deliveries are missing"),
            ("refused", ledger.refused, "publishes were refused"),
            ("repeated", tally.repeated, "messages came again"),
        ] {
            if !self.figures.iter().any(|figure| figure.name == name && figure.of == of) {
                self.figure(name, of, count as f64);
            }
            if count > 0 {
                remarks.push(format!("{count} {what}."));
            }
        }
        for (fault, count) in &tally.faults {
            remarks.push(format!("{count} connections {fault}."));
        }
        if usage.busiest_share > BUSY_SHARE {
            remarks.push(
                "The generator itself was busy all the time: the server may be faster than this."
                    .to_owned(),
            );
        }
        // In a closed loop nothing is due at a time of its own.
        let has_schedule = ledger.lateness.count() > 0;
        let late = if has_schedule { ledger.lateness.percentile_us(99.0) } else { f64::NAN };
        self.figure("generator_late_p99_us", of, late);
        if late > LATE_US {
            remarks.push(format!(
                "The generator did not keep its schedule: one publish in a hundred was sent {} late \
                 or more. That time is part of the latencies; fewer subscribers, a lower rate or \
                 more cores would show the server's own.",
                readable_us(late)
            ));
        }
        let which = if of.is_empty() { String::new() } else { format!("{of}: ") };
        self.remarks.extend(remarks.into_iter().map(|remark| format!("{which}{remark}")));
    }
}

/// Wires and numbers, in words.
fn describe_subscribers(wires: &[Wire], subscribers: usize) -> String {
    let names: Vec<&str> = wires.iter().map(|wire| wire.name()).collect();
    format!("{subscribers} ({})", names.join(", "))
}

/// The pace, in words.
fn describe_pace(pace: Pace, extent: Extent) -> String {
    let pace = match pace {
        Pace::PerSecond(rate) => format!("{rate} messages/s at fixed times (open loop)"),
        Pace::Outstanding(1) => "as fast as possible, 1 message under way (closed loop)".to_owned(),
        Pace::Outstanding(count) => {
            format!("as fast as possible, {count} messages under way (closed loop)")
        }
    };
    match extent {
        Extent::Count(count) => format!("{pace}, {count} messages"),
        Extent::Time(time) => format!("{pace}, {} s", seconds(time)),
    }
}

/// A plot of latencies over percentiles.
fn latency_plot(title: &str, series: Vec<Series>) -> Plot {
    Plot {
        title: title.to_owned(),
        x: Axis { label: "percentile".to_owned(), scale: Scale::Percentile },
        y: Axis { label: "milliseconds".to_owned(), scale: Scale::Linear },
        series,
    }
}

/// A plot over seconds, or over connections.
fn linear_plot(title: &str, x: &str, y: &str, series: Vec<Series>) -> Plot {
    let axis = |label: &str| Axis { label: label.to_owned(), scale: Scale::Linear };
    Plot { title: title.to_owned(), x: axis(x), y: axis(y), series }
}
