//! Many servers and one log: real servers of ours and of Redis, a load, faults, and an auditor who has
//! everything that was acknowledged and everything that was received, and finds what does not fit.
//!
//! The auditor's own tests run with plain `cargo test`; the rest wants Debian's redis-server,
//! redis-sentinel and redis-tools, and a few minutes (`tests/run --only cluster`):
//!
//! ```sh
//! cargo test --test cluster -- --ignored --test-threads=2 --nocapture
//! ```

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a test fails by panicking, reads the clock, and says what it measured"
)]

#[path = "../support/mod.rs"]
mod support;

mod alone;
mod audit;
mod faults;
mod folder;
mod history;
mod line;
mod load;
mod network;
mod nodes;
mod plain;
mod proxy;
mod publisher;
mod redis;
mod resp;
mod shared;
mod subscriber;
mod tidings;
mod topologies;
mod wires;
