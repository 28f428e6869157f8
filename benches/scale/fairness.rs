//! How long a small topic waits while a large one is being sent.

use super::Effort;
use super::generator::measure;
use super::line::{Line, Mark};
use super::server::Server;

const SUBSCRIBERS: usize = 15_000;
const REPEATS: usize = 3;

/// The small topic's 99th percentile, as a share of the large fan-out's own duration.
pub(crate) fn rows(effort: &Effort) -> Vec<Line> {
    let mut share = Vec::new();
    for _ in 0..effort.of(REPEATS) {
        let server = Server::tidings(&[]);
        let found = measure("fairness", &server, &format!("--subscribers {SUBSCRIBERS}"));
        share.push(found.figure("small_p99_share_percent", ""));
    }
    let name = "small topic's p99 during a fan-out to 15,000, of its duration";
    vec![Line::alone(name, "%", &share, Mark::at_most(10.0, 3.0))]
}
