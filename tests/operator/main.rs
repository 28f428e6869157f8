//! What an operator sees and does: numbers, listings, connections ended, over real sockets (docs/protocol.md 19).

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test fails by panicking; all of this crate is tests"
)]

#[path = "../support/mod.rs"]
mod support;

mod connections;
mod deploy;
mod entrances;
mod metrics;
mod redis;
mod top;
mod topics;
