//! What topics cost that nobody uses, and whether they slow down those that are used.

use super::generator::{Found, measure};
use super::line::{Line, Mark};
use super::server::Server;
use super::{Effort, SUBSCRIBERS};

const TOPICS: usize = 1_000_000;
/// Topics that are published to in turn while nobody listens, spread among all.
const ACTIVE: usize = 1_000;
/// Seconds of publishing, and of delivering.
const SECONDS: usize = 3;

/// Memory of a topic without messages, and CPU of publishes and deliveries among many topics against one.
pub(crate) fn rows(effort: &Effort) -> Vec<Line> {
    let topics = effort.of(TOPICS);
    let (alone, beside) = (among(1, 1), among(topics, 1));
    let (few, spread) = (among(ACTIVE, ACTIVE), among(topics, ACTIVE));
    let growth = |name: &str, small: (&Found, usize), large: &Found| {
        let (found, count) = small;
        [large.figure(name, &topics.to_string()) / found.figure(name, &count.to_string())]
    };
    let bytes = [&beside, &spread].map(|found| found.figure("bytes_per_idle_topic", ""));
    let line = |what: &str, from: usize, ours: [f64; 1]| {
        let name = format!("growth of CPU per {what}, {from} to {topics} topics");
        Line::alone(&name, "times", &ours, Mark::at_most(1.2, 1.05))
    };
    let (publish, delivery) = ("cpu_us_per_publish", "cpu_us_per_delivery");
    vec![
        Line::alone("bytes of an idle topic", "B", &bytes, Mark::at_most(400.0, 200.0)),
        line("publish to one of them", 1, growth(publish, (&alone, 1), &beside)),
        line("publish to 1,000 in turn", ACTIVE, growth(publish, (&few, ACTIVE), &spread)),
        line("delivery of one of them", 1, growth(delivery, (&alone, 1), &beside)),
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
