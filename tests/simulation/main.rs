//! The whole server in one thread: real event loops over an invented network, in virtual time, with clients of
//! every wire and a judge, all from one seed. docs/simulation.md explains it.
//!
//! Plain `cargo test` plays a few hundred seeds. What more there is, is ignored unless asked for:
//!
//! ```sh
//! SEED=17 STEPS=3000 cargo test --test simulation replay -- --ignored --nocapture
//! FIRST=0 SEEDS=1024 STEPS=5000 cargo test --release --test simulation many -- --ignored
//! MINUTES=60 cargo test --release --test simulation long -- --ignored --nocapture
//! ```

mod clients;
mod complaint;
mod coverage;
mod history;
mod judge;
mod many;
#[allow(dead_code, reason = "tests/invariants use the rest")]
mod net;
mod plan;
#[cfg(planted)]
mod planted;
mod progress;
mod redis;
mod report;
mod run;
mod same;
mod shrink;
mod system;
mod topics;
mod trace;
mod wires;
#[allow(dead_code, reason = "tests/invariants use the rest")]
mod world;

use history::{History, STEPS};
use many::Many;
use trace::Trace;

/// Seeds that once failed: how many steps it took, and what they found. A seed means what the generator of its
/// time made of it, and another when that changes: what it found has a test in tests/regressions.rs as well.
const PINNED: [(u64, u32, &str); 5] = [
    (7, STEPS, "that a turn of one step did not come to rest"),
    (138, STEPS, "a batch that was reported on beyond the bound of what its client is owed"),
    (438, STEPS, "a gap that was none, for a cursor that was ahead of its worker"),
    (13, STEPS, "that a peer was given up for want of bytes that it had taken"),
    (719, STEPS, "that a peer's time was up in a poll that had been interrupted"),
];

fn must_not_fail(many: &Many, stories: usize) {
    let totals = many.play(|_| true);
    eprintln!("{}", totals.line());
    assert!(totals.failures.is_empty(), "{}", many.tell(&totals, stories));
}

#[test]
fn seeds() {
    must_not_fail(&Many { seeds: 0..256, steps: STEPS, shared: false }, 1);
}

#[test]
fn seeds_of_servers_that_share_a_redis() {
    must_not_fail(&Many { seeds: 0..128, steps: STEPS, shared: true }, 1);
}

#[test]
fn a_seed_gives_the_same_trace_byte_for_byte() {
    (0..12).for_each(|seed| same::check(&History::whole(seed, 1_000)));
    (0..12).for_each(|seed| same::check(&History::shared(seed, 1_000)));
}

#[test]
fn pinned() {
    for (seed, steps, found) in PINNED {
        let history = History::whole(seed, steps);
        if let Err(failure) = history.play(Trace::default()).result {
            panic!(
                "It had found {found}.\n{}",
                report::report(&history, &failure, report::RUNS_MAX)
            );
        }
    }
}

#[test]
#[ignore = "plays what SEED and the like say"]
fn replay() {
    progress::replay();
}

#[test]
#[ignore = "a release build plays more seeds in the same time"]
fn many() {
    let first = progress::from_environment("FIRST", 0);
    let seeds = first..first.saturating_add(progress::from_environment("SEEDS", 1_024));
    let steps = progress::from_environment("STEPS", 5_000) as u32;
    must_not_fail(
        &Many { seeds, steps, shared: progress::is_shared() },
        progress::from_environment("STORIES", 1) as usize,
    );
}

#[test]
#[ignore = "takes as many minutes as MINUTES says"]
fn long() {
    progress::long();
}
