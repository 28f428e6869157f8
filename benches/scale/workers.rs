//! Two workers on two cores against one worker on one.

use super::line::{Line, Mark};
use super::server::{BOTH_CORES, GENERATOR_CORE, SERVER_CORE, Server};
use super::sleepers::{Burst, Sleepers};
use super::{Effort, MESSAGE_BYTES, SUBSCRIBERS, median};

/// Messages of a batch: what a receive buffer takes, with room.
const BATCH: usize = 48;
/// Bursts with one server, beside the first, which does not count.
const BATCHES: usize = 6;
const SINGLES: usize = 10;
const REPEATS: usize = 3;

/// Bursts for each that counts, at most: some may be of no use.
const ATTEMPTS: usize = 4;

/// Seconds of one and of two workers, for a batch and for a single message.
#[derive(Default)]
struct Times {
    one: Vec<f64>,
    two: Vec<f64>,
}

/// The time from a publish until everything was sent to sleeping subscribers: how many times faster two
/// are. The bare loop twice, half of the subscribers with each, says what the machine's cores allow.
pub(crate) fn rows(effort: &Effort) -> Vec<Line> {
    let (mut batch, mut single, mut floor) = (Times::default(), Times::default(), Times::default());
    let (mut cpu, mut batch_cpu) = (Times::default(), Times::default());
    for _ in 0..effort.of(REPEATS) {
        let bare = Server::floor("sse");
        floor.one.push(seconds(&bursts(&[&bare], 1, effort.of(SINGLES))));
        drop(bare);
        let bare = [Server::floor_on(SERVER_CORE, "sse"), Server::floor_on(GENERATOR_CORE, "sse")];
        floor.two.push(seconds(&bursts(&[&bare[0], &bare[1]], 1, effort.of(SINGLES))));
        drop(bare);
        let own = Server::tidings(&[]);
        let found = bursts(&[&own], BATCH, effort.of(BATCHES));
        batch.one.push(seconds(&found));
        batch_cpu.one.push(busiest(&found));
        let found = bursts(&[&own], 1, effort.of(SINGLES));
        single.one.push(seconds(&found));
        cpu.one.push(busiest(&found));
        drop(own);
        let own = Server::tidings_on(BOTH_CORES, 2, &[]);
        let found = bursts(&[&own], BATCH, effort.of(BATCHES));
        batch.two.push(seconds(&found));
        batch_cpu.two.push(busiest(&found));
        let found = bursts(&[&own], 1, effort.of(SINGLES));
        single.two.push(seconds(&found));
        cpu.two.push(busiest(&found));
    }
    let mark = Mark::at_least(1.6, 1.9);
    let line = |name: &str, times: &Times, mark| {
        let times_faster = times.one.iter().zip(&times.two).map(|(one, two)| one / two);
        Line::alone(name, "times", &times_faster.collect::<Vec<_>>(), mark)
    };
    vec![
        line("two workers against one, a message", &single, mark),
        line("two workers against one, a batch of 48", &batch, mark),
        line("by CPU of the busiest worker, a message", &cpu, None),
        line("by CPU of the busiest worker, a batch of 48", &batch_cpu, None),
        line("two bare loops against one, a message", &floor, None),
    ]
}

/// As many bursts as said, with subscribers of their own, without the first.
pub(crate) fn bursts(servers: &[&Server], messages: usize, count: usize) -> Vec<Burst> {
    let payload = "~".repeat(MESSAGE_BYTES);
    let (path, kind, body) = match messages {
        1 => ("/topics/bench", "text/plain", payload),
        _ => {
            let line = format!("{{\"topic\":\"bench\",\"data\":\"{payload}\"}}\n");
            ("/topics", "application/x-ndjson", line.repeat(messages))
        }
    };
    let publish = format!(
        "POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut sleepers = Sleepers::open(servers, SUBSCRIBERS);
    let mut bursts = || sleepers.burst(servers, publish.as_bytes(), messages);
    bursts();
    let bursts = std::iter::repeat_with(bursts).take(count * ATTEMPTS);
    let bursts: Vec<Burst> = bursts.filter(|burst| burst.was_there).take(count).collect();
    assert_eq!(bursts.len(), count, "the machine is too busy");
    bursts
}

/// The least disturbed one: whoever else runs on the two cores can only make it longer.
fn seconds(bursts: &[Burst]) -> f64 {
    bursts.iter().map(|burst| burst.seconds).fold(f64::INFINITY, f64::min)
}

/// CPU of the thread that used most: what the time would be if nobody else ran on its core.
pub(crate) fn busiest(bursts: &[Burst]) -> f64 {
    median(bursts.iter().map(|burst| burst.threads.iter().copied().fold(0.0, f64::max)))
}
