//! What a server has to bear for a long time or from thousands: slow and stuck peers, subscribers that
//! never read, connections that come and go, and bytes that are meant to cost.
//!
//! Plain `cargo test` runs everything in small. The full size needs a release build and a few minutes
//! (`tests/run --only endurance`):
//!
//! ```sh
//! cargo test --release --test endurance -- --ignored --test-threads=1 --nocapture
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

mod churn;
mod cost;
mod crowd;
mod namespace;
mod process;
mod slow_peers;
mod subscribers;
