//! What connections and deliveries cost, each figure beside the least that any server could do.
//!
//! `cargo bench --bench scale` measures every row and prints a table; `-- ROW …` only those, `--quick` with
//! fewer repeats; a row that does not exist is answered with those that do. `-- floor-server sse` (or
//! `websocket`) is the floor by itself. docs/benchmarks.md says how each row is measured.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a measuring program: it reads clocks, and stops at the first surprise"
)]

mod connections;
mod fairness;
mod fanout;
mod floor;
mod generator;
mod growth;
mod herd;
mod line;
mod pairs;
mod publish;
mod server;
mod sleepers;
mod topics;
mod workers;

use std::time::Instant;

use line::{Line, Spread};

/// What subscribers there are, unless a row says otherwise.
const SUBSCRIBERS: usize = 10_000;
const MESSAGE_BYTES: usize = 200;

/// How much is done.
#[derive(Copy, Clone, Debug)]
struct Effort {
    /// Pairs of ours and the floor.
    repeats: usize,
    is_quick: bool,
}

impl Effort {
    /// As many of something as in a whole run, or fewer.
    fn of(self, whole: usize) -> usize {
        if self.is_quick { whole.div_ceil(3) } else { whole }
    }
}

type Row = (&'static str, fn(&Effort) -> Vec<Line>);

const ROWS: [Row; 11] = [
    ("idle", connections::idle),
    ("fanout", fanout::rows),
    ("throughput", fanout::throughput),
    ("connect", connections::accepted),
    ("publish", publish::rows),
    ("fairness", fairness::rows),
    ("workers", workers::rows),
    ("growth", growth::rows),
    ("topics", topics::rows),
    ("herd", herd::rows),
    ("asleep", fanout::asleep),
];

fn main() {
    let mut arguments: Vec<String> =
        std::env::args().skip(1).filter(|word| word != "--bench").collect();
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    if let [word, wire] = &arguments[..]
        && word == "floor-server"
    {
        floor::serve(wire);
    }
    let is_quick = arguments.iter().any(|word| word == "--quick");
    arguments.retain(|word| word != "--quick");
    let names = ROWS.map(|(name, _)| name).join(", ");
    if let Some(unknown) = arguments.iter().find(|word| ROWS.iter().all(|(name, _)| name != word)) {
        eprintln!("there is no row {unknown:?}; there are: {names}");
        std::process::exit(2);
    }
    let effort = Effort { repeats: if is_quick { 2 } else { 5 }, is_quick };
    let mut lines = Vec::new();
    for (name, measure) in ROWS {
        if arguments.is_empty() || arguments.iter().any(|word| word == name) {
            let (began, dropped) = (Instant::now(), dropped_packets());
            let found = measure(&effort);
            eprintln!("{name}, {:.0} s\n{}", began.elapsed().as_secs_f64(), line::table(&found));
            let dropped = dropped_packets() - dropped;
            if dropped > 0 {
                eprintln!(
                    "{name}: the kernel dropped {dropped} packets meanwhile, which were sent again after 0.2 s \
                     and more. The machine is busy; or raise net.core.netdev_max_backlog."
                );
            }
            lines.extend(found);
        }
    }
    println!("{}", line::table(&lines));
}

/// Packets that no process was to blame for, since the machine was started: a core's queue was full.
fn dropped_packets() -> u64 {
    let table = std::fs::read_to_string("/proc/net/softnet_stat").unwrap_or_default();
    let dropped = |line: &str| u64::from_str_radix(line.split(' ').nth(1)?, 16).ok();
    table.lines().filter_map(dropped).sum()
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    Spread::of(&figures.collect::<Vec<_>>()).median
}
