//! What a delivery costs and how long it takes, beside a bare loop that sends ready bytes to each socket.

use super::generator::{Found, measure};
use super::line::{Line, Mark};
use super::pairs::Pairs;
use super::server::Server;
use super::{Effort, MESSAGE_BYTES, SUBSCRIBERS, workers};

/// Messages with one outstanding, and publishes with several.
const MESSAGES: usize = 20;
const MESSAGES_TOGETHER: usize = 320;
const TOGETHER: usize = 16;

/// One message outstanding: the next is published when everybody has the last.
pub(crate) fn rows(effort: &Effort) -> Vec<Line> {
    ["sse", "websocket"].iter().flat_map(|wire| of_wire(effort, wire)).collect()
}

fn of_wire(effort: &Effort, wire: &str) -> Vec<Line> {
    let flags = flags(wire, SUBSCRIBERS, effort.of(MESSAGES), 1);
    let (mut cpu, mut each, mut last) = (Pairs::default(), Pairs::default(), Pairs::default());
    for _ in 0..effort.repeats {
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

/// Several messages under way: tidings sends them together, the bare loop one by one.
pub(crate) fn throughput(effort: &Effort) -> Vec<Line> {
    let wire = "sse";
    let flags = flags(wire, SUBSCRIBERS, effort.of(MESSAGES_TOGETHER), TOGETHER);
    let mut sixteen = Pairs::default();
    for _ in 0..effort.repeats {
        let floor = measure("fanout", &Server::floor(wire), &flags);
        let own = measure("fanout", &Server::tidings(&[]), &flags);
        sixteen.push(per_second(&own, wire), per_second(&floor, wire));
    }
    let mark = Mark::at_least(11.0, 14.0);
    vec![sixteen.line("deliveries per CPU-second, 16 outstanding, sse", "", mark)]
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

fn per_second(found: &Found, wire: &str) -> f64 {
    1e6 / found.figure("cpu_us_per_delivery", wire)
}

pub(crate) fn flags(wire: &str, subscribers: usize, messages: usize, outstanding: usize) -> String {
    format!(
        "--wire {wire} --subscribers {subscribers} --messages {messages} --size {MESSAGE_BYTES} \
         --outstanding {outstanding}"
    )
}
