//! What topics cost that nobody uses, and whether they slow down those that are used.

use super::generator::{Found, measure};
use super::line::{Line, Mark};
use super::server::Server;
use super::{Effort, SUBSCRIBERS};

const TOPICS: usize = 1_000_000;
/// Of many topics, those that are published to while nobody listens, spread among all.
const ACTIVE: usize = 1_000;
/// Seconds of publishing, and of delivering.
const SECONDS: usize = 3;

/// Memory of a topic without messages, and CPU of publishes and deliveries among many topics against one.
pub(crate) fn rows(effort: &Effort) -> Vec<Line> {
    let topics = effort.of(TOPICS);
    let one = among(1, 1);
    let beside = among(topics, 1);
    let spread = among(topics, ACTIVE);
    let growth =
        |name: &str, many: &Found| [many.figure(name, &topics.to_string()) / one.figure(name, "1")];
    let mark = Mark::at_most(1.2, 1.05);
    let bytes = [&beside, &spread].map(|found| found.figure("bytes_per_idle_topic", ""));
    let line = |what: &str, ours: [f64; 1], mark| {
        let name = format!("growth of CPU per {what}, 1 to {topics} topics");
        Line::alone(&name, "times", &ours, mark)
    };
    vec![
        Line::alone("bytes of an idle topic", "B", &bytes, Mark::at_most(400.0, 200.0)),
        line("publish to one of them", growth("cpu_us_per_publish", &beside), mark),
        line("publish to 1,000 of them in turn", growth("cpu_us_per_publish", &spread), mark),
        line("delivery of one of them", growth("cpu_us_per_delivery", &beside), mark),
    ]
}

/// The figures of a server that has so many topics, of which `active` are used.
fn among(topics: usize, active: usize) -> Found {
    let server =
        Server::tidings(&["--topics-max", "3000000", "--topic-idle", "3600", "--memory", "4G"]);
    let flags = format!(
        "--topics {topics} --active {active} --subscribers {SUBSCRIBERS} --duration {SECONDS}"
    );
    measure("topics", &server, &flags)
}
