//! The judge can see: each planted fault is found within the number of seeds that docs/simulation.md states.
//!
//! There in builds with `--cfg planted` only:
//!
//! ```sh
//! RUSTFLAGS='--cfg planted' cargo test --test simulation planted -- --nocapture
//! ```

use std::num::NonZero;
use std::sync::Mutex;
use std::thread;

use tidings::planted::{Fault, plant};

use crate::complaint::Complaint;
use crate::history::{History, STEPS};
use crate::trace::Trace;

/// The faults by their labels, with the number of seeds within which each must be found.
fn stated() -> Vec<(String, u64)> {
    let rows = include_str!("../../docs/simulation.md").lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.strip_suffix(" seeds |")?.split(" | ");
        let label = cells.next()?.strip_suffix('`')?;
        let seeds = cells.last()?.parse().ok()?;
        Some((label.to_owned(), seeds))
    });
    rows.collect()
}

/// The first seed in which this fault is noticed, and how.
fn find(fault: Fault, seeds: u64) -> Option<(u64, Complaint)> {
    (0..seeds).find_map(|seed| {
        plant(Some(fault));
        let played = History::whole(seed, STEPS).play(Trace::default());
        plant(None);
        played.result.err().map(|failure| (seed, failure.complaint))
    })
}

#[test]
fn every_planted_fault_is_found() {
    let stated = stated();
    let labels: Vec<&str> = stated.iter().map(|(label, _)| label.as_str()).collect();
    let faults: Vec<&str> = Fault::ALL.iter().map(|fault| fault.label()).collect();
    assert_eq!(labels, faults, "docs/simulation.md has a row for each fault, in their order");
    let left: Mutex<Vec<(Fault, u64)>> =
        Mutex::new(Fault::ALL.into_iter().zip(stated.iter().map(|(_, seeds)| *seeds)).collect());
    let missed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(|| {
                loop {
                    let next = left.lock().expect("nobody panics").pop();
                    let Some((fault, seeds)) = next else { return };
                    match find(fault, seeds) {
                        Some((seed, complaint)) => {
                            eprintln!("{}: seed {seed}: {}", fault.label(), complaint.text);
                        }
                        None => missed.lock().expect("nobody panics").push((fault, seeds)),
                    }
                }
            });
        }
    });
    let missed = missed.into_inner().expect("nobody panics");
    assert!(missed.is_empty(), "not found within so many seeds: {missed:?}");
}
