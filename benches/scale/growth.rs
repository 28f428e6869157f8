//! Whether a connection or a delivery costs more when there are more connections.

use super::generator::measure;
use super::line::{Line, Mark};
use super::pairs::Pairs;
use super::server::Server;
use super::{Effort, fanout};

/// Few, and nearly what 20,000 descriptors allow.
const CONNECTIONS: [usize; 2] = [1_000, 19_000];
/// Connections accepted, and deliveries, with each number of them.
const ACCEPTED: usize = 5_000;
const DELIVERIES: usize = 200_000;
const REPEATS: usize = 3;

/// Growth of CPU per connection and per delivery. The kernel's own share grows too, as its sockets leave
/// the caches: the bare loops say by how much.
pub(crate) fn rows(effort: &Effort) -> Vec<Line> {
    let mut accepting = CONNECTIONS.map(|_| Pairs::default());
    let mut sending = CONNECTIONS.map(|_| Pairs::default());
    for _ in 0..effort.of(REPEATS) {
        for (place, connections) in CONNECTIONS.into_iter().enumerate() {
            let [floor, own] = [Server::floor, |_: &str| Server::tidings(&[])].map(|start| {
                let flags = format!("--wire sse --subscribers {connections}");
                // Few connections take little time, of which a single run says little.
                let accepted = (0..effort.of(ACCEPTED.div_ceil(connections))).map(|_| {
                    let found = measure("connect", &start("sse"), &flags);
                    found.figure("cpu_us_per_connection", "sse")
                });
                let accepted = super::median(accepted);
                let messages = effort.of(DELIVERIES / connections);
                let flags = fanout::flags("sse", connections, messages, 1);
                let sent = measure("fanout", &start("sse"), &flags);
                (accepted, sent.figure("cpu_us_per_delivery", "sse"))
            });
            accepting[place].push(own.0, floor.0);
            sending[place].push(own.1, floor.1);
        }
    }
    let [few, many] = CONNECTIONS;
    let line = |what: &str, pairs: &[Pairs; 2]| {
        let name = format!("growth of CPU per {what}, {few} to {many} connections");
        pairs[1].growth_from(&pairs[0]).line(&name, "times", Mark::at_most(1.2, 1.05))
    };
    vec![line("connection", &accepting), line("delivery", &sending)]
}
