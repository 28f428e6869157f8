//! Everybody comes back at once, a hundred messages behind.

use super::Effort;
use super::generator::measure_once;
use super::line::{Line, Mark};
use super::server::Server;

const RETURNING: usize = 15_000;
const BEHIND: usize = 100;
const REPEATS: usize = 3;

/// Time until all have caught up, connections that failed, and memory against the steady state.
pub(crate) fn rows(effort: &Effort) -> Vec<Line> {
    let (mut seconds, mut failed, mut memory) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..effort.of(REPEATS) {
        let server = Server::tidings(&[]);
        let flags = format!("--subscribers {RETURNING} --behind {BEHIND}");
        let found = measure_once("herd", &server, &flags);
        seconds.push(found.figure("caught_up_seconds", ""));
        failed.push(found.figure("failed_connects", "") + found.figure("missed", ""));
        memory.push(found.figure("peak_bytes", "") / found.figure("steady_bytes", ""));
    }
    let name = |what: &str| format!("herd of {RETURNING}, {BEHIND} behind: {what}");
    vec![
        Line::alone(&name("all caught up"), "s", &seconds, Mark::at_most(10.0, 5.0)),
        Line::alone(
            &name("failed connects and missed messages"),
            "",
            &failed,
            Mark::at_most(0.0, 0.0),
        ),
        Line::alone(&name("peak memory against steady"), "times", &memory, Mark::at_most(1.5, 1.5)),
    ]
}
