//! What a connection is lent by its worker for the time of one call.

use fastrand::Rng;

use super::operator::Inquiry;
use super::readiness::Readiness;
use crate::addresses::Addresses;
use crate::config::Config;
use crate::counters::Counters;
use crate::key::ConnectionKey;
use crate::time::Now;
use crate::topic::Topics;

/// The worker's world, as a connection sees it.
#[derive(Debug)]
pub struct Context<'a, T> {
    /// When this tick began.
    pub now: Now,
    /// The connection's own name.
    pub key: ConnectionKey,
    /// The topics.
    pub topics: &'a mut T,
    /// What the operator chose.
    pub config: &'a Config,
    /// For jitter.
    pub random: &'a mut Rng,
    /// What the worker counts.
    pub counters: &'a mut Counters,
    /// What each address uses.
    pub addresses: &'a mut Addresses,
    /// The connections of all workers, as far as this one knows.
    pub clients: usize,
    /// The value of `Date` (RFC 9110 §6.6.1).
    pub date: &'a str,
    /// Cost of this connection's outbox at which no more is queued in it, at least 1: its own bound, or what
    /// the others leave of the bound on all of them.
    pub outbox_bytes_max: usize,
    /// What the others leave of the bound on all outboxes.
    pub outboxes_left: usize,
    /// Whether the server is on its way out.
    pub draining: bool,
    /// Whether what it needs is there.
    pub readiness: &'a Readiness,
    /// What connections asked of all workers in this call.
    pub inquiries: &'a mut Vec<(ConnectionKey, Inquiry)>,
}

impl<T: Topics> Context<'_, T> {
    /// How long this client should stay away, in milliseconds: random, over a window of a second for
    /// every thousand clients, so that a herd comes back spread out (docs/protocol.md 17).
    pub fn retry_ms(&mut self) -> u64 {
        let window = (self.clients as u64).clamp(1_000, 60_000);
        200 + self.random.u64(..window)
    }

    /// The same for `Retry-After`, whose unit is seconds: at least 1.
    pub fn retry_seconds(&mut self) -> u64 {
        self.retry_ms().div_ceil(1_000)
    }

    /// `ms` less up to a share of `1 / part` of it, at random, so that many timers do not end together.
    pub fn jittered(&mut self, ms: u64, part: u64) -> u64 {
        ms - self.random.u64(..=ms / part)
    }
}
