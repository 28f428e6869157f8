//! A worker's dealings with Redis: what it sends and receives there, as a function of (bytes, requests, now).

mod status;

pub use status::{Counters, Status};

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;

use fastrand::Rng;

use crate::config::{Endpoint, RedisConfig};
use crate::key::OutboundId;
use crate::time::{Instant, Now};
use crate::topic::{Refusal, Report, Request};

/// One worker's connections to Redis, and what is under way on them.
#[derive(Debug)]
#[expect(dead_code, reason = "it dials nobody yet")]
pub struct Redis {
    config: Arc<RedisConfig>,
    random: Rng,
    reports: VecDeque<Report>,
    status: Status,
}

impl Redis {
    /// Nothing is dialled before the first [`Redis::handle_timers`].
    pub fn new(config: Arc<RedisConfig>, random: Rng) -> Self {
        Self { config, random, reports: VecDeque::new(), status: Status::default() }
    }

    /// The hub wants something.
    pub fn handle_request(&mut self, _now: Now, request: Request) {
        match request {
            Request::Publish { number, .. } | Request::Delete { number, .. } => {
                self.reports.push_back(Report::Done { number, outcome: Err(Refusal::RedisAway) });
            }
            Request::Read { number, .. } => {
                self.reports.push_back(Report::Read { number, page: Err(Refusal::RedisAway) });
            }
            Request::Listen { .. } | Request::Leave { .. } => {}
        }
    }

    /// What the hub is to be told next.
    pub fn poll_report(&mut self) -> Option<Report> {
        self.reports.pop_front()
    }

    /// Where a connection is to be made next.
    pub fn poll_dial(&mut self) -> Option<(OutboundId, Endpoint)> {
        None
    }

    /// The connection that is to be closed next. Nothing is heard of it any more.
    pub fn poll_hang_up(&mut self) -> Option<OutboundId> {
        None
    }

    /// A connection was made.
    pub fn handle_connected(&mut self, _now: Now, _id: OutboundId) {}

    /// Bytes have come.
    pub fn handle_bytes(&mut self, _now: Now, _id: OutboundId, _bytes: &[u8]) {}

    /// A connection has ended, or could not be made. `why` is one line.
    pub fn handle_closed(&mut self, _now: Now, _id: OutboundId, _why: String) {}

    /// Whether this connection has something to send.
    pub fn wants_write(&self, _id: OutboundId) -> bool {
        false
    }

    /// Fills `slices` with what is to be sent; returns how many were filled.
    pub fn slices<'a>(&'a self, _id: OutboundId, _slices: &mut [IoSlice<'a>]) -> usize {
        0
    }

    /// So many bytes of it were sent.
    pub fn handle_written(&mut self, _now: Now, _id: OutboundId, _count: usize) {}

    /// The next connection that has got something to send since this was asked.
    pub fn poll_writable(&mut self) -> Option<OutboundId> {
        None
    }

    /// When [`Redis::handle_timers`] wants to be called.
    pub fn next_deadline(&self) -> Instant {
        Instant::NEVER
    }

    /// Time has passed. The first call dials.
    pub fn handle_timers(&mut self, _now: Now) {}

    /// How things stand.
    pub fn status(&self) -> Status {
        self.status.clone()
    }
}
