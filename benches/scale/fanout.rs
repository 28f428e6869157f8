//! What a delivery costs and how long it takes, beside a bare loop that sends ready bytes to each socket.

use super::generator::{Found, measure};
use super::line::{Line, Mark};
use super::pairs::Pairs;
use super::server::Server;
use super::{Effort, MESSAGE_BYTES, SUBSCRIBERS, workers};

/// Messages of a run with one outstanding.
const MESSAGES: usize = 20;
/// Messages of a run with several outstanding, and how many that is.
const MESSAGES_TOGETHER: usize = 160;
const TOGETHER: usize = 16;
/// Requests of a run with batches, and messages in each.
const BATCHES: usize = 6;
const LINES: usize = 100;

/// One message outstanding: the next is published when everybody has the last.
pub(crate) fn rows(effort: &Effort) -> Vec<Line> {
    ["sse", "websocket"].iter().flat_map(|wire| of_wire(effort, wire)).collect()
}

fn of_wire(effort: &Effort, wire: &str) -> Vec<Line> {
    let flags = flags(wire, SUBSCRIBERS, effort.of(MESSAGES), 1);
    let (mut cpu, mut each, mut last) = (Pairs::default(), Pairs::default(), Pairs::default());
    // These are what a busy machine disturbs most.
    for _ in 0..effort.repeats * 2 - 1 {
        let floor = measure("fanout", &Server::floor(wire), &flags);
        let own = measure("fanout", &Server::tidings(&[]), &flags);
        let of = |name: &str, pairs: &mut Pairs| {
            pairs.push(own.figure(name, wire), floor.figure(name, wire));
        };
        of("cpu_us_per_delivery", &mut cpu);
        of("latency_p50_us", &mut each);
        of("last_p50_us", &mut last);
    }
    let latency = Mark::at_most(1.15, 1.0);
    vec![
        cpu.line(
            &format!("CPU per delivery, one outstanding, {wire}"),
            "µs",
            Mark::at_most(1.1, 1.02),
        ),
        each.line(&format!("publish to each subscriber, median, {wire}"), "µs", latency),
        last.line(&format!("publish to the last subscriber, median, {wire}"), "µs", latency),
    ]
}

/// Several messages under way, or in one request: tidings sends them together, the bare loop one by one.
pub(crate) fn throughput(effort: &Effort) -> Vec<Line> {
    let wire = "sse";
    let one = flags(wire, SUBSCRIBERS, effort.of(MESSAGES), 1);
    let sixteen = flags(wire, SUBSCRIBERS, effort.of(MESSAGES_TOGETHER), TOGETHER);
    let lines = format!(
        "--way batch --lines {LINES} --messages {} --wire {wire} --subscribers {SUBSCRIBERS} \
         --until-delivered",
        effort.of(BATCHES) * LINES
    );
    let (mut together, mut batch, mut alike) =
        (Pairs::default(), Pairs::default(), Pairs::default());
    for _ in 0..effort.repeats {
        let floor = per_second(&measure("fanout", &Server::floor(wire), &one));
        let own = per_second(&measure("fanout", &Server::tidings(&[]), &sixteen));
        together.push(own, floor);
        let found = measure("publish", &Server::tidings(&[]), &lines);
        let of = format!("batch with {SUBSCRIBERS} subscribers");
        let cost = found.figure("cpu_us_per_publish", &of) / SUBSCRIBERS as f64;
        batch.push(1e6 / cost, floor);
        let floor = flags(wire, SUBSCRIBERS, TOGETHER * 3, TOGETHER);
        alike.push(own, per_second(&measure("fanout", &Server::floor(wire), &floor)));
    }
    let line = |name: &str, pairs: &Pairs, mark| {
        pairs.line(&format!("deliveries per CPU-second, {name}"), "", mark)
    };
    let mark = Mark::at_least(11.0, 14.0);
    vec![
        line("16 outstanding, against the loop with one", &together, mark),
        line("batches of 100, against the loop with one", &batch, mark),
        line("16 outstanding, against the loop with 16", &alike, None),
    ]
}

/// The same with subscribers that sleep while it is sent: nobody is woken, nobody reads beside the server.
/// What is left is what the server does itself, and noise is least.
pub(crate) fn asleep(effort: &Effort) -> Vec<Line> {
    let mut cpu = Pairs::default();
    for _ in 0..effort.repeats {
        let [floor, own] = [Server::floor("sse"), Server::tidings(&[])].map(|server| {
            let bursts = workers::bursts(&[&server], 1, effort.of(MESSAGES));
            workers::busiest(&bursts) * 1e6 / SUBSCRIBERS as f64
        });
        cpu.push(own, floor);
    }
    vec![cpu.line("CPU per delivery, one outstanding, sleeping subscribers, sse", "µs", None)]
}

fn per_second(found: &Found) -> f64 {
    1e6 / found.figure("cpu_us_per_delivery", "")
}

pub(crate) fn flags(wire: &str, subscribers: usize, messages: usize, outstanding: usize) -> String {
    format!(
        "--wire {wire} --subscribers {subscribers} --messages {messages} --size {MESSAGE_BYTES} \
         --outstanding {outstanding}"
    )
}
