//! The invariants of the design, each with a test that would fail without it.
//!
//! 1. Delivered messages are in order and never repeated; with the gaps declared they are what was
//!    published: `delivery`.
//! 2. Memory is bounded by configuration: `memory`.
//! 3. Nobody waits on a slow or stuck peer: `delivery`, `turns`.
//! 4. Nothing a peer sends can leak a thing; every gauge returns to 0: `churn`.
//! 5. What was acknowledged is there for everybody: `visible`.
//!    Moments that meet, work in portions and clocks that jump: `races`, `pace`, `clocks`.
//! 6. The house is in order: `tests/tidy.rs`.
//!
//! Most of it happens in one thread, over the invented operating system of `world`.

mod binary;
mod churn;
mod client;
mod clocks;
mod crowd;
mod delivery;
#[allow(dead_code, unreachable_pub, reason = "the attacks use the rest")]
#[path = "../support/event_source.rs"]
mod event_source;
mod faults;
mod memory;
#[allow(dead_code, reason = "the simulation uses the rest")]
#[path = "../simulation/net.rs"]
mod net;
mod pace;
mod panic_storm;
mod panics;
mod races;
mod stalls;
#[allow(dead_code, reason = "the simulation uses the rest")]
#[path = "../simulation/system.rs"]
mod system;
mod turns;
mod visible;
#[allow(dead_code, reason = "the simulation uses the rest")]
#[path = "../simulation/world.rs"]
mod world;

use tidings::config::Config;
use tidings::limits::Limits;

use client::{Answer, take_answers};
use world::{Client, World};

/// Longer than any test takes.
const FOREVER_MS: u64 = 1_000_000_000;

/// A configuration in which nothing happens only because time goes by.
fn config(workers: usize, change: impl FnOnce(&mut Limits)) -> Config {
    let mut limits = Limits::default();
    for time in [
        &mut limits.write_progress_ms,
        &mut limits.heartbeat_ms,
        &mut limits.keep_alive_ms,
        &mut limits.log_age_ms,
        &mut limits.first_byte_ms,
    ] {
        *time = FOREVER_MS;
    }
    limits.ping_ms = u64::from(u32::MAX);
    limits.requests_max = u32::MAX;
    change(&mut limits);
    Config { workers, limits, ..Config::default() }
}

/// Sends requests on a connection and takes as many answers, reading all the time.
fn ask(world: &mut World, client: Client, requests: &str, count: usize) -> Vec<Answer> {
    world.send(client, requests);
    let (mut bytes, mut answers) = (Vec::new(), Vec::new());
    for _ in 0..1_000_000 {
        world.round();
        bytes.extend(world.receive(client));
        answers.extend(take_answers(&mut bytes));
        if answers.len() >= count {
            assert!(bytes.is_empty(), "no more answers than requests");
            return answers;
        }
    }
    panic!("{} answers to {count} requests", answers.len());
}
