//! How a worker's dealings with Redis stand, for whoever operates the server.

use crate::time::Instant;

/// What there is to say at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Whether topics can be read and published to.
    pub reachable: bool,
    /// Whether it ever was.
    pub was_reachable: bool,
    /// Since when it is as it is.
    pub since: Instant,
    /// What is wrong and what to do, in one line; `None`: nothing.
    pub trouble: Option<String>,
    /// Connections that are open or being opened.
    pub connections: usize,
    /// Publishes, deletions and reads that are not answered yet.
    pub in_flight: usize,
    /// Channels that are wanted.
    pub channels: usize,
    /// What has happened so far.
    pub counters: Counters,
}

/// What has happened since the worker began. Each only grows.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections that were asked for.
    pub dials: u64,
    /// Connections that ended, or were never made.
    pub lost: u64,
    /// Publishes that Redis has sequenced, or had before, and deletions.
    pub published: u64,
    /// Publishes and deletions that were refused.
    pub refused: u64,
    /// Publishes and deletions of which nobody knows whether they were carried out.
    pub unknown: u64,
    /// Requests that were sent again.
    pub retried: u64,
    /// Pages that were read.
    pub reads: u64,
    /// Messages that were heard.
    pub heard: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
}
