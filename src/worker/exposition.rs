//! The numbers of all workers in the Prometheus text format, version 0.0.4.

mod redis;

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use super::survey::Numbers;
use crate::counters::{
    CloseReason, Counters, Histogram, HubGauges, LOG_LINES_DROPPED, Process, Wire,
};
use crate::problem_kind::ProblemKind;
use crate::time::Now;

/// A text being written, family by family.
struct Text(String);

/// What a family's numbers are.
#[derive(Copy, Clone)]
enum Unit {
    /// Whole numbers.
    One,
    /// Microseconds, shown as seconds.
    Micros,
}

impl Text {
    fn begin(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &str, unit: Unit, value: u64) {
        let _ = match unit {
            Unit::One => writeln!(self.0, "{name}{labels} {value}"),
            Unit::Micros => writeln!(self.0, "{name}{labels} {}", Seconds(value)),
        };
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.begin(name, "counter", help);
        self.sample(name, "", Unit::One, value);
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.begin(name, "gauge", help);
        self.sample(name, "", Unit::One, value);
    }

    /// A number for each value of a label.
    fn labelled<'a>(
        &mut self,
        (name, kind, help): (&str, &str, &str),
        label: &str,
        unit: Unit,
        values: impl Iterator<Item = (&'a str, u64)>,
    ) {
        self.begin(name, kind, help);
        for (value_of_label, value) in values {
            self.sample(name, &format!("{{{label}=\"{value_of_label}\"}}"), unit, value);
        }
    }

    /// A number for each worker.
    fn by_worker(
        &mut self,
        family: (&str, &str, &str),
        unit: Unit,
        workers: &[Numbers],
        value: impl Fn(&Numbers) -> u64,
    ) {
        let numbers: Vec<(String, u64)> = workers
            .iter()
            .enumerate()
            .map(|(number, worker)| (number.to_string(), value(worker)))
            .collect();
        let numbers = numbers.iter().map(|(number, value)| (number.as_str(), *value));
        self.labelled(family, "worker", unit, numbers);
    }

    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.begin(name, "histogram", help);
        for (bound, count) in histogram.cumulative() {
            let _ = writeln!(self.0, "{name}_bucket{{le=\"{}\"}} {count}", Seconds(bound));
        }
        let count = histogram.count();
        let sum = Seconds(histogram.sum_us());
        let _ = writeln!(
            self.0,
            "{name}_bucket{{le=\"+Inf\"}} {count}\n{name}_sum {sum}\n{name}_count {count}"
        );
    }
}

/// Microseconds, written as seconds.
struct Seconds(u64);

impl std::fmt::Display for Seconds {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// The numbers of each of the workers, and their sums.
pub(super) fn text(workers: &[Numbers], process: &Process, now: Now) -> String {
    let (mut counters, mut gauges) = (Counters::default(), HubGauges::default());
    for worker in workers {
        counters.add(&worker.counters);
        gauges.add(&worker.gauges);
    }
    let mut text = Text(String::with_capacity(16 * 1024));
    traffic(&mut text, &counters);
    connections(&mut text, &counters, workers);
    topics(&mut text, &counters, &gauges, workers);
    loops(&mut text, &counters, workers);
    redis::numbers(&mut text, &counters, workers);
    of_the_process(&mut text, process, now);
    text.0
}

fn traffic(text: &mut Text, counters: &Counters) {
    text.counter("tidings_requests_total", "Requests whose head was read.", counters.requests);
    let kinds = ProblemKind::ALL.iter().map(|kind| kind.slug());
    let family = ("tidings_refusals_total", "counter", "Refusals (docs/errors.md).");
    text.labelled(family, "reason", Unit::One, kinds.zip(counters.refusals.0));
    text.counter(
        "tidings_messages_published_total",
        "Messages that clients published.",
        counters.published,
    );
    text.counter(
        "tidings_published_bytes_total",
        "Bytes of payloads that topics took in.",
        counters.published_bytes,
    );
    text.counter(
        "tidings_messages_delivered_total",
        "Messages queued for clients.",
        counters.delivered,
    );
    text.counter(
        "tidings_delivered_bytes_total",
        "Bytes of messages queued for clients, as their wire frames them.",
        counters.delivered_bytes,
    );
    text.counter("tidings_gaps_total", "Gaps declared to clients.", counters.gaps);
    text.counter("tidings_bytes_read_total", "Bytes read from sockets.", counters.bytes_read);
    text.counter(
        "tidings_bytes_written_total",
        "Bytes written to sockets.",
        counters.bytes_written,
    );
    text.counter("tidings_writes_total", "Writes to sockets.", counters.writes);
}

fn connections(text: &mut Text, counters: &Counters, workers: &[Numbers]) {
    text.counter(
        "tidings_connections_opened_total",
        "Connections accepted.",
        counters.connections_opened,
    );
    let closed = CloseReason::ALL.iter().zip(counters.connections_closed);
    let closed = closed.map(|((_, label), count)| (*label, count));
    let family = ("tidings_connections_closed_total", "counter", "Connections ended, by reason.");
    text.labelled(family, "reason", Unit::One, closed);
    text.gauge("tidings_connections", "Connections open.", counters.connections());
    let family = ("tidings_worker_connections", "gauge", "Connections open, by worker.");
    text.by_worker(family, Unit::One, workers, |worker| worker.counters.connections());
    let waiting = Wire::ALL.iter().zip(counters.subscriptions);
    let waiting = waiting.map(|((_, label), count)| (*label, count));
    let idle = counters.connections().saturating_sub(counters.waiting());
    let help = "Connections open, by how they wait for messages; idle: not at all.";
    let family = ("tidings_wire_connections", "gauge", help);
    text.labelled(family, "wire", Unit::One, [("idle", idle)].into_iter().chain(waiting.clone()));
    let help = "Subscriptions open: one for each connection that waits for messages.";
    text.labelled(("tidings_subscriptions", "gauge", help), "wire", Unit::One, waiting);
    text.gauge(
        "tidings_body_bytes",
        "Bytes of request bodies and WebSocket messages under way.",
        counters.body_bytes,
    );
    text.gauge("tidings_outbox_bytes", "Bytes queued for connections.", counters.outbox_bytes);
}

fn topics(text: &mut Text, counters: &Counters, gauges: &HubGauges, workers: &[Numbers]) {
    text.gauge("tidings_topics", "Topics.", gauges.topics as u64);
    text.gauge("tidings_replicas", "Replicas of topics of other workers.", gauges.replicas as u64);
    text.gauge(
        "tidings_subscribed_topics",
        "Topics of all subscriptions, each counted for each of them.",
        gauges.subscribed as u64,
    );
    text.gauge(
        "tidings_log_bytes",
        "Bytes of messages and their encodings.",
        gauges.memory_bytes as u64,
    );
    let lag = workers.iter().map(|worker| worker.lag).max().unwrap_or(0);
    let help = "Messages that the subscription furthest behind has before it.";
    text.gauge("tidings_lag_messages", help, lag);
    let behind = workers.iter().map(|worker| worker.behind).sum();
    text.gauge("tidings_lagging_subscriptions", "Subscriptions that are behind.", behind);
    text.histogram(
        "tidings_fan_out_seconds",
        "From the begin of a walk past a topic's subscribers on a worker to its last write.",
        &counters.fan_outs,
    );
    text.histogram(
        "tidings_publish_to_last_write_seconds",
        "From the append of a message to the last write of the walk that carries it, on each worker; \
         of the oldest message of each walk.",
        &counters.deliveries,
    );
}

fn loops(text: &mut Text, counters: &Counters, workers: &[Numbers]) {
    text.counter("tidings_ticks_total", "Turns of the workers' loops.", counters.ticks);
    text.counter("tidings_wakeups_total", "Turns before which a worker slept.", counters.wakeups);
    text.histogram("tidings_tick_seconds", "How long turns of the loops took.", &counters.turns);
    let help = "Seconds spent in turns of the loop: busy, by worker.";
    let family = ("tidings_worker_busy_seconds_total", "counter", help);
    text.by_worker(family, Unit::Micros, workers, |worker| worker.counters.turns.sum_us());
    let help =
        "The longest turn of the loop in the last 10 to 20 seconds: so late may anything be.";
    let family = ("tidings_worker_loop_lag_seconds", "gauge", help);
    text.by_worker(family, Unit::Micros, workers, |worker| {
        worker.counters.longest_turn.value(worker.at)
    });
    text.begin(
        "tidings_stalled_seconds_total",
        "counter",
        "Seconds in which workers stood still: stopped, paused, out of processor time.",
    );
    let stalled_us = counters.stalled_ms.saturating_mul(1_000);
    text.sample("tidings_stalled_seconds_total", "", Unit::Micros, stalled_us);
    text.counter("tidings_parcels_total", "Letters taken from mailboxes.", counters.parcels);
    let help = "The most letters that one turn found in the mailbox in the last 10 to 20 seconds.";
    let family = ("tidings_worker_mailbox_letters", "gauge", help);
    text.by_worker(family, Unit::One, workers, |worker| {
        worker.counters.fullest_mailbox.value(worker.at)
    });
    let waiting = workers.iter().map(|worker| worker.gauges.mail_waiting as u64).sum();
    text.gauge("tidings_mail_waiting", "Letters between workers that wait to be sent.", waiting);
    text.counter(
        "tidings_worker_restarts_total",
        "Workers that panicked and began anew.",
        counters.restarts,
    );
    let dropped = LOG_LINES_DROPPED.load(Ordering::Relaxed);
    text.counter(
        "tidings_log_lines_dropped_total",
        "Log lines that could not be written.",
        dropped,
    );
}

/// Under the names that they have with every program.
fn of_the_process(text: &mut Text, process: &Process, now: Now) {
    let help = "The version that runs; always 1.";
    let family = ("tidings_build_info", "gauge", help);
    let version = [(env!("CARGO_PKG_VERSION"), 1)].into_iter();
    text.labelled(family, "version", Unit::One, version);
    let began_us = now.wall_ms.saturating_sub(now.instant.as_ms()).saturating_mul(1_000);
    let name = "process_start_time_seconds";
    text.begin(name, "gauge", "When the server began, in seconds since 1970.");
    text.sample(name, "", Unit::Micros, began_us);
    let name = "process_cpu_seconds_total";
    text.begin(name, "counter", "Processor time used.");
    text.sample(name, "", Unit::Micros, process.processor_us);
    text.gauge("process_resident_memory_bytes", "Memory in use.", process.resident_bytes);
    let help = "Descriptors open; 0 where the system does not say (Linux before 6.2).";
    text.gauge("process_open_fds", help, process.descriptors);
    text.gauge("process_max_fds", "Descriptors that may be open.", process.descriptors_max);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_comment_or_a_number_and_each_family_is_there_once() {
        let workers = [Numbers::default(), Numbers::default()];
        let text = text(&workers, &Process::default(), Now::default());
        let mut families = Vec::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                families.push(rest.split_once(' ').unwrap().0);
            } else if !line.starts_with('#') {
                let (name, value) = line.rsplit_once(' ').unwrap();
                assert!(name.starts_with(families.last().unwrap()), "{line}");
                let is_one = name.starts_with("tidings_build_info");
                assert_eq!(value.parse::<f64>().unwrap(), f64::from(u8::from(is_one)), "{line}");
            }
        }
        let count = families.len();
        families.sort_unstable();
        families.dedup();
        assert_eq!(families.len(), count);
        assert!(text.contains("tidings_connections_closed_total{reason=\"killed\"} 0\n"));
        assert!(text.contains("tidings_worker_connections{worker=\"1\"} 0\n"));
    }

    #[test]
    fn durations_are_in_seconds() {
        let mut numbers = Numbers::default();
        numbers.counters.fan_outs.note(300);
        numbers.counters.fan_outs.note(12_345_678);
        let text = text(&[numbers], &Process::default(), Now::default());
        for line in [
            "tidings_fan_out_seconds_bucket{le=\"0.000250\"} 0\n",
            "tidings_fan_out_seconds_bucket{le=\"0.000500\"} 1\n",
            "tidings_fan_out_seconds_bucket{le=\"8.192000\"} 1\n",
            "tidings_fan_out_seconds_bucket{le=\"+Inf\"} 2\n",
            "tidings_fan_out_seconds_sum 12.345978\n",
            "tidings_fan_out_seconds_count 2\n",
        ] {
            assert!(text.contains(line), "{line}");
        }
    }
}
