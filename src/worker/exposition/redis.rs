//! What all workers' dealings with Redis come to.

use super::{Text, Unit};
use crate::counters::Counters;
use crate::outbound::Status;
use crate::time::Instant;
use crate::worker::survey::Numbers;

/// The numbers about Redis; none where topics are sequenced here.
pub(super) fn numbers(text: &mut Text, counters: &Counters, workers: &[Numbers]) {
    let with_redis =
        || workers.iter().filter_map(|worker| Some((worker.at, worker.redis.as_deref()?)));
    if with_redis().next().is_none() {
        return;
    }
    let sum = |value: fn(&Status) -> u64| with_redis().map(|(_, status)| value(status)).sum();
    let up = with_redis().all(|(_, status)| status.reachable);
    let help = "Whether every worker reaches Redis.";
    text.gauge("tidings_redis_up", help, u64::from(up));
    let name = "tidings_redis_away_seconds";
    text.begin(name, "gauge", "How long Redis has been away, where it has been for the longest.");
    let away_ms = with_redis().map(|(at, status)| away_ms(at, status)).max().unwrap_or(0);
    text.sample(name, "", Unit::Micros, away_ms.saturating_mul(1_000));
    let help = "Connections to Redis that are open or being opened.";
    text.gauge("tidings_redis_connections", help, sum(|it| it.connections as u64));
    let help = "Connections to Redis that were asked for.";
    text.counter("tidings_redis_dials_total", help, sum(|it| it.counters.dials));
    let help = "Connections to Redis that ended, or were never made.";
    text.counter("tidings_redis_connections_lost_total", help, sum(|it| it.counters.lost));
    let help = "Publishes that Redis was asked for, by what came of them.";
    let outcomes = [
        ("sequenced", sum(|it| it.counters.published)),
        ("refused", sum(|it| it.counters.refused)),
        ("unknown", sum(|it| it.counters.unknown)),
    ];
    let family = ("tidings_redis_publishes_total", "counter", help);
    text.labelled(family, "outcome", Unit::One, outcomes.into_iter());
    text.histogram(
        "tidings_redis_publish_seconds",
        "From a publish until Redis had answered it, to the millisecond.",
        &counters.round_trips,
    );
    let help = "Requests that Redis has not answered yet.";
    text.gauge("tidings_redis_in_flight", help, sum(|it| it.in_flight as u64));
    let help = "Requests that were sent to Redis again.";
    text.counter("tidings_redis_retries_total", help, sum(|it| it.counters.retried));
    let help = "Pages of topics that were read from Redis.";
    text.counter("tidings_redis_reads_total", help, sum(|it| it.counters.reads));
    let help = "Topics whose channels are subscribed to, each counted once for each worker.";
    text.gauge("tidings_redis_channels", help, sum(|it| it.channels as u64));
    let help = "Messages that Redis sent over channels.";
    text.counter("tidings_redis_messages_heard_total", help, sum(|it| it.counters.heard));
    let help = "Times that a message was missing in what was heard, and was looked for.";
    text.counter("tidings_redis_holes_total", help, counters.holes);
    let help = "Bytes received from Redis.";
    text.counter("tidings_redis_bytes_read_total", help, sum(|it| it.counters.bytes_in));
    let help = "Bytes sent to Redis.";
    text.counter("tidings_redis_bytes_written_total", help, sum(|it| it.counters.bytes_out));
}

fn away_ms(at: Instant, status: &Status) -> u64 {
    if status.reachable { 0 } else { at.since(status.since) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::Process;
    use crate::time::Now;

    fn worker(reachable: bool, since_ms: u64) -> Numbers {
        let since = Instant::from_ms(since_ms);
        let mut status = Status { reachable, since, connections: 2, ..Status::default() };
        status.counters.published = 10;
        let (at, redis) = (Instant::from_ms(20_000), Some(Box::new(status)));
        Numbers { at, redis, ..Numbers::default() }
    }

    fn text(workers: &[Numbers]) -> String {
        super::super::text(workers, &Process::default(), Now::default())
    }

    #[test]
    fn redis_is_up_when_every_worker_reaches_it_and_away_for_as_long_as_the_longest() {
        let all = text(&[worker(true, 1_000), worker(true, 5_000)]);
        assert!(all.contains("\ntidings_redis_up 1\n"), "{all}");
        assert!(all.contains("\ntidings_redis_away_seconds 0.000000\n"), "{all}");
        assert!(all.contains("\ntidings_redis_connections 4\n"), "{all}");
        let one = text(&[worker(true, 1_000), worker(false, 5_500), worker(false, 8_000)]);
        assert!(one.contains("\ntidings_redis_up 0\n"), "{one}");
        assert!(one.contains("\ntidings_redis_away_seconds 14.500000\n"), "{one}");
        assert!(one.contains("\ntidings_redis_publishes_total{outcome=\"sequenced\"} 30\n"));
    }

    #[test]
    fn without_redis_there_is_not_a_word_of_it() {
        assert!(!text(&[Numbers::default()]).contains("redis_up"));
    }
}
