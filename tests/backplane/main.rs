//! What `outbound` makes of real servers of Redis: one, a cluster, and one that sentinels know.
//!
//! It is driven by a loop of its own, without the rest of tidings: what fails here is a matter of that room.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::disallowed_methods, reason = "a test may look at the clock")]

mod driver;
mod servers;
mod single;
mod topologies;
