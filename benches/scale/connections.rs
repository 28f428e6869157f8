//! What a connection costs: idle, and when it is accepted and subscribed.

use super::generator::{Found, measure};
use super::line::{Line, Mark};
use super::pairs::Pairs;
use super::server::Server;
use super::{Effort, SUBSCRIBERS};

/// Idle ones.
const IDLE: usize = 15_000;
/// How long they are watched: as long as the longest silence of a wire.
const WATCHED_SECONDS: usize = 26;

/// User-space bytes of an idle connection on each wire, and the CPU of keeping 15,000 alive. All wires at
/// the same time, each with a server of its own: neither figure depends on who else runs.
pub(crate) fn idle(_: &Effort) -> Vec<Line> {
    let wires = ["sse", "ndjson", "websocket", "long-poll"];
    let found = std::thread::scope(|scope| {
        let started = wires.map(|wire| scope.spawn(move || rest(wire)));
        started.map(|thread| thread.join().unwrap())
    });
    let mut lines = Vec::new();
    for (wire, found) in wires.into_iter().zip(&found) {
        let name = format!("bytes of an idle connection, {wire}");
        let bytes = [found.figure("bytes_per_connection", wire)];
        lines.push(Line::alone(&name, "B", &bytes, Mark::at_most(400.0, 250.0)));
    }
    for (wire, found) in wires.into_iter().zip(&found) {
        let name = format!("CPU at rest, {IDLE} idle, heartbeats of 25 s, {wire}");
        let percent = [found.figure("cpu_at_rest_percent", wire)];
        lines.push(Line::alone(&name, "% of a core", &percent, Mark::at_most(1.0, 0.3)));
    }
    lines
}

fn rest(wire: &str) -> Found {
    let server = Server::tidings(&["--heartbeat", "25", "--ping", "25"]);
    let flags = format!("--wire {wire} --subscribers {IDLE} --duration {WATCHED_SECONDS}");
    measure("idle", &server, &flags)
}

/// CPU of accepting and subscribing, against a bare loop of `accept`, `epoll_ctl`, `read` and `write`.
pub(crate) fn accepted(effort: &Effort) -> Vec<Line> {
    let mut lines = Vec::new();
    for wire in ["sse", "websocket"] {
        let mut cpu = Pairs::default();
        let flags = format!("--wire {wire} --subscribers {SUBSCRIBERS}");
        for _ in 0..effort.repeats {
            let [floor, own] = [Server::floor(wire), Server::tidings(&[])].map(|server| {
                measure("connect", &server, &flags).figure("cpu_us_per_connection", wire)
            });
            cpu.push(own, floor);
        }
        let name = format!("CPU per connection accepted and subscribed, {wire}");
        lines.push(cpu.line(&name, "µs", Mark::at_most(1.5, 1.2)));
    }
    lines
}
