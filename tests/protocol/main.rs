//! The contract of docs/protocol.md, clause by clause, over real sockets: a file for each clause.
//!
//! Every test starts the server as its own process on a port that the system chooses, and ends it. What
//! is read has a deadline; nothing is waited for by sleeping. Scenarios that cross threads run with 1, 2
//! and 4 workers and with several topics, so that owned and followed ones are both met.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test fails by panicking; all of this crate is tests"
)]

#[path = "../support/mod.rs"]
mod support;

mod batches;
mod coming_back;
mod cursors;
mod drain;
mod event_stream;
mod explaining;
mod gaps;
mod http1;
mod limits_and_deadlines;
mod long_poll;
mod messages;
mod ndjson;
mod negotiation;
mod origins;
mod other_methods;
mod pages;
mod problems;
mod publishing;
mod refusals;
mod short_poll;
mod topics;
mod websocket_json;
mod websocket_raw;
mod workers;
