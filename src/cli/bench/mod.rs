//! `tidings bench`: a load generator, for this server and for others.

pub mod findings;
#[allow(dead_code, unused_imports, reason = "the scenarios that call it are on their way")]
mod show;
