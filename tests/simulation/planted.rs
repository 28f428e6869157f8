//! The judge can see: each planted fault is found, within the number of seeds that docs/simulation.md states.
//!
//! In builds with `--cfg planted` only: `RUSTFLAGS='--cfg planted' cargo test --test simulation planted`.

use tidings::planted::{Fault, plant};

use crate::complaint;
use crate::plan::Plan;
use crate::run::Run;
use crate::trace::Trace;

#[test]
fn first_planted() {
    let only = std::env::var("FAULT").ok();
    let seeds: u64 = std::env::var("SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(100);
    let faults: Vec<Fault> = Fault::ALL
        .into_iter()
        .filter(|fault| only.as_deref().is_none_or(|only| only == fault.label()))
        .collect();
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let Some(&fault) = faults.get(index) else { return };
                    let mut found = None;
                    for seed in 0..seeds {
                        let plan = Plan::draw(seed, 0);
                        plant(Some(fault));
                        let mut run = Run::new(&plan, Trace::default());
                        let result = complaint::listen(|| run.play(0..3_000));
                        plant(None);
                        if let Err(complaint) = result {
                            found = Some((seed, complaint));
                            break;
                        }
                    }
                    println!("{:30} {found:?}", fault.label());
                }
            });
        }
    });
}
