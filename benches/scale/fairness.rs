//! How long a small topic waits while a large one is being sent.

use super::Effort;
use super::generator::measure_preferring_small;
use super::line::{Line, Mark};
use super::server::Server;

const SUBSCRIBERS: usize = 15_000;
const REPEATS: usize = 3;
/// Seconds of fan-outs, one after the other.
const SECONDS: usize = 8;

/// The small topic's 99th percentile, as a share of the large fan-out's own duration.
pub(crate) fn rows(effort: &Effort) -> Vec<Line> {
    let (mut share, mut wait) = (Vec::new(), Vec::new());
    for _ in 0..effort.of(REPEATS) {
        let server = Server::tidings(&[]);
        let flags = format!("--subscribers {SUBSCRIBERS} --duration {}", effort.of(SECONDS));
        let found = measure_preferring_small("fairness", &server, &flags);
        share.push(found.figure("small_p99_share_percent", ""));
        wait.push(found.figure("small_p99_us", "") / 1e3);
    }
    let name = "small topic's p99 during a fan-out to 15,000";
    vec![
        Line::alone(&format!("{name}, of its duration"), "%", &share, Mark::at_most(10.0, 3.0)),
        Line::alone(name, "ms", &wait, None),
    ]
}
