//! The catalogue of docs/security.md, attack by attack, over real sockets: a file for each section.
//!
//! A test's name carries the numbers of the rows it stands for (`attack_001_…`), and the row names the
//! test; `catalogue.rs` holds the two together. What is attacked without a socket is tested beside the
//! code or in `tests/invariants/`; the row says where.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test fails by panicking; all of this crate is tests"
)]

#[path = "../support/mod.rs"]
mod support;

mod afterwards;
mod catalogue;
mod event_streams;
mod exhaustion;
mod frames;
mod framing;
mod handshakes;
mod header_section;
mod origins;
mod polls;
mod process;
mod rates;
mod redis;
mod refusal;
mod request_line;
mod restart;
mod semantics;
mod slow_peers;
mod system;
mod topics;
mod worker_panics;
