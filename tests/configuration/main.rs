//! Settings from files, variables and flags, against the real command and over real sockets.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test fails by panicking; all of this crate is tests"
)]

#[path = "../support/mod.rs"]
mod support;

mod command;
mod documents;
mod files;
mod page;
mod redis;
mod reload;
mod topics;
