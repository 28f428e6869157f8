//! What a publish costs that nobody waits for.

use super::Effort;
use super::generator::measure;
use super::line::{Line, Mark};
use super::pairs::Pairs;
use super::server::Server;

const PUBLISHES: usize = 20_000;

/// One connection, one publish at a time, no subscribers, against a bare `read` and `write`.
pub(crate) fn rows(effort: &Effort) -> Vec<Line> {
    let flags = format!("--way single --messages {}", effort.of(PUBLISHES));
    let mut cpu = Pairs::default();
    for _ in 0..effort.repeats {
        let [floor, own] = [Server::floor("sse"), Server::tidings(&[])].map(|server| {
            measure("publish", &server, &flags).figure("cpu_us_per_publish", "single")
        });
        cpu.push(own, floor);
    }
    vec![cpu.line("CPU per publish, keep-alive, no subscribers", "µs", Mark::at_most(1.5, 1.25))]
}
