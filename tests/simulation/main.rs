//! The whole server in one thread: real event loops over an invented network, in virtual time, with clients of
//! every wire and a judge, all from one seed. docs/simulation.md explains it.

#![allow(dead_code, reason = "it is being written")]

mod clients;
mod complaint;
mod judge;
mod net;
mod plan;
#[cfg(planted)]
mod planted;
mod run;
mod system;
mod topics;
mod trace;
mod wires;
mod world;

use plan::Plan;
use run::Run;
use trace::Trace;

#[test]
#[ignore = "it is being written"]
fn first() {
    let seeds: u64 = std::env::var("SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    let first: u64 = std::env::var("SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let steps: u32 =
        std::env::var("STEPS").ok().and_then(|text| text.parse().ok()).unwrap_or(3_000);
    let mut failed = 0;
    for seed in first..first + seeds {
        let plan = Plan::draw(seed, 0);
        let mut run = Run::new(&plan, Trace::default());
        let result = complaint::listen(|| run.play(0..steps));
        match result {
            Ok(outcome) => println!("{seed}: {outcome:?}"),
            Err(complaint) => {
                failed += 1;
                println!("{seed}: {complaint:?}");
                if seeds == 1 {
                    let l = &plan.config.limits;
                    println!(
                        "workers {} idle {} age {} messages {} bytes {} memory {} topics {} window {} page {} poll_bytes {}",
                        plan.config.workers,
                        l.topic_idle_ms,
                        l.log_age_ms,
                        l.log_messages,
                        l.log_bytes,
                        l.memory_bytes_max,
                        l.topics_max,
                        l.idempotency_window_ms,
                        l.replay_page,
                        l.poll_bytes_max
                    );
                    for hazard in plan::Hazard::ALL {
                        if plan.has(hazard) {
                            print!("{hazard:?} ");
                        }
                    }
                    println!();
                    let lines = std::env::var("LINES")
                        .ok()
                        .and_then(|text| text.parse().ok())
                        .unwrap_or(60);
                    for line in run.trace.tail(lines) {
                        println!("{line}");
                    }
                }
            }
        }
    }
    assert_eq!(failed, 0);
}
