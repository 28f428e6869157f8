//! What topics cost that nobody uses, and whether they slow down those that are used.

use super::Effort;
use super::generator::measure;
use super::line::{Line, Mark};
use super::server::Server;

const TOPICS: usize = 1_000_000;

/// Memory of a topic without messages, and CPU of publishes and deliveries among many topics against few.
pub(crate) fn rows(effort: &Effort) -> Vec<Line> {
    let topics = effort.of(TOPICS);
    let server =
        Server::tidings(&["--topics-max", "3000000", "--topic-idle", "3600", "--memory", "4G"]);
    let found = measure("topics", &server, &format!("--topics {topics}"));
    let growth = |name: &str| {
        let [few, many] = [1, topics].map(|count| found.figure(name, &count.to_string()));
        [many / few]
    };
    let (small, mark) = (Mark::at_most(400.0, 200.0), Mark::at_most(1.2, 1.05));
    let to = format!("1 to {topics} topics");
    vec![
        Line::alone(
            "bytes of an idle topic",
            "B",
            &[found.figure("bytes_per_idle_topic", "")],
            small,
        ),
        Line::alone(
            &format!("growth of CPU per publish, {to}"),
            "times",
            &growth("cpu_us_per_publish"),
            mark,
        ),
        Line::alone(
            &format!("growth of CPU per delivery, {to}"),
            "times",
            &growth("cpu_us_per_delivery"),
            mark,
        ),
    ]
}
