//! One connection to a Redis or a sentinel: its bytes, and what is owed on it.
//!
//! ```text
//!   Resting ──until──▶ Dialling ──connected──▶ Greeting ──all answered──▶ Ready ◀──▶ Settling
//!      ▲                   │                      │                         │            │
//!      └───────────────────┴──── failed, silent ──┴─────────────────────────┴────────────┘
//! ```
//!
//! While it is settling nothing new is asked, until all that was asked is answered: then it is greeted again, or
//! closed.

use std::collections::VecDeque;

use crate::key::OutboundId;
use crate::time::Instant;
use crate::wire::resp3::{Bounds, Decoder, encode_command};

use super::backoff::Backoff;
use super::job::Job;
use super::trouble::Kind;

/// Bytes to send at which no more is written into a connection: what waits is a fraction of its size as a request.
const ROOM_BYTES: usize = 256 * 1024;
/// Answers that may be owed before no more is asked.
const OWED_MAX: usize = 4_096;
/// Bytes of a buffer that an empty connection keeps.
const KEPT_BYTES: usize = 64 * 1024;

/// Which of a node's connections.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Commands,
    Subscriptions,
}

/// What an answer will be the answer to.
#[derive(Debug)]
pub(super) enum Owed {
    /// `HELLO`: what it is.
    Hello,
    /// `INFO server`: its `run_id`.
    Server,
    /// `INFO replication`: its role and replication id.
    Replication,
    /// `CLUSTER SLOTS`.
    Slots,
    /// `SCRIPT LOAD`, `SELECT`, `AUTH`: whether it is taken.
    Agreement,
    /// `ASKING`, and the `PUBLISH` of a probe: an error shows in another way.
    Nothing,
    /// A script.
    Job(Box<Job>),
    /// `WAIT` behind the publishes that were answered before.
    Wait,
    /// `SENTINEL GET-MASTER-ADDR-BY-NAME`.
    Primary,
}

/// How far an open connection is.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It is told who we are, and says what it is.
    Greeting,
    /// Requests may be sent.
    Ready,
    /// Nothing is sent until all is answered.
    Settling(Then),
}

/// What follows when a connection has settled.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// What it is, and which scripts it has, is learnt again.
    Learn,
    /// It is closed, with this wrong.
    Close(Kind),
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) id: OutboundId,
    pub(super) phase: Phase,
    pub(super) decoder: Decoder,
    /// Since when it is [`Phase::Ready`].
    pub(super) ready_since: Option<Instant>,
    /// What is to be sent, of which `sent` bytes were.
    out: Vec<u8>,
    sent: usize,
    /// Bytes that were sent on this connection.
    sent_all: u64,
    /// What was asked, in the order in which it will be answered.
    pub(super) owed: VecDeque<Owed>,
    /// Channels whose confirmation is owed.
    pub(super) unconfirmed: usize,
    /// The last sign of life, or when the first of what is owed was asked.
    heard: Instant,
    /// Whether it is on the list of those that have got something to send.
    pub(super) is_listed: bool,
}

impl Wire {
    pub(super) fn new(id: OutboundId, now: Instant, bounds: Bounds) -> Self {
        Self {
            id,
            phase: Phase::Greeting,
            decoder: Decoder::new(bounds),
            ready_since: None,
            out: Vec::new(),
            sent: 0,
            sent_all: 0,
            owed: VecDeque::new(),
            unconfirmed: 0,
            heard: now,
            is_listed: false,
        }
    }

    /// Whether more may be asked.
    pub(super) fn has_room(&self) -> bool {
        self.out.len() - self.sent < ROOM_BYTES && self.owed.len() < OWED_MAX
    }

    /// Asks.
    pub(super) fn ask(&mut self, now: Instant, owed: Owed, arguments: &[&[u8]]) {
        self.note_owed(now);
        self.ask_behind(owed, arguments);
    }

    /// Asks something behind what is owed already.
    pub(super) fn ask_behind(&mut self, owed: Owed, arguments: &[&[u8]]) {
        encode_command(&mut self.out, arguments);
        self.owed.push_back(owed);
    }

    /// Asks what `encode` writes.
    pub(super) fn write_job(
        &mut self,
        now: Instant,
        mut job: Box<Job>,
        encode: impl FnOnce(&Job, &mut Vec<u8>),
    ) {
        self.note_owed(now);
        job.begins = self.sent_all + self.unsent().len() as u64;
        encode(&job, &mut self.out);
        self.owed.push_back(Owed::Job(job));
    }

    /// Sends a command whose answers are pushes, `confirmations` of them.
    pub(super) fn tell(&mut self, now: Instant, confirmations: usize, arguments: &[&[u8]]) {
        self.note_owed(now);
        encode_command(&mut self.out, arguments);
        self.unconfirmed += confirmations;
    }

    fn note_owed(&mut self, now: Instant) {
        if !self.owes() {
            self.heard = now;
        }
    }

    /// A sign of life.
    pub(super) const fn note_heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// Whether the other side owes us something.
    fn owes(&self) -> bool {
        !self.owed.is_empty() || self.unconfirmed > 0
    }

    /// When it is given up, if nothing comes.
    pub(super) fn deadline(&self, timeout_ms: u64) -> Instant {
        if self.owes() { self.heard + timeout_ms } else { Instant::NEVER }
    }

    /// What is to be sent.
    pub(super) fn unsent(&self) -> &[u8] {
        &self.out[self.sent..]
    }

    /// Whether any of a request that was written here was sent.
    pub(super) const fn has_sent(&self, job: &Job) -> bool {
        job.begins < self.sent_all
    }

    /// So much of it was sent.
    pub(super) fn note_sent(&mut self, count: usize) {
        self.sent_all += count as u64;
        self.sent = (self.sent + count).min(self.out.len());
        if self.sent == self.out.len() {
            self.sent = 0;
            self.out.clear();
            self.out.shrink_to(KEPT_BYTES);
        } else if self.sent > ROOM_BYTES {
            self.out.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// From now on nothing new is asked, until all is answered.
    pub(super) fn settle(&mut self, then: Then) {
        self.phase = match (self.phase, then) {
            // A connection that is to be closed is closed.
            (Phase::Settling(Then::Close(kind)), _) => Phase::Settling(Then::Close(kind)),
            _ => Phase::Settling(then),
        };
    }
}

/// Where a connection is made again and again.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) stage: Stage,
    pub(super) backoff: Backoff,
}

#[derive(Debug)]
pub(super) enum Stage {
    /// There is no connection; one is made then.
    Resting(Instant),
    /// It is being made, since then.
    Dialling(OutboundId, Instant),
    /// It is there.
    Open(Box<Wire>),
}

impl Link {
    /// One that is made at that moment.
    pub(super) fn new(at: Instant) -> Self {
        Self { stage: Stage::Resting(at), backoff: Backoff::default() }
    }

    /// The connection, if it is there.
    pub(super) fn wire(&self) -> Option<&Wire> {
        match &self.stage {
            Stage::Open(wire) => Some(wire),
            _ => None,
        }
    }

    /// The connection, if it is there.
    pub(super) fn wire_mut(&mut self) -> Option<&mut Wire> {
        match &mut self.stage {
            Stage::Open(wire) => Some(wire),
            _ => None,
        }
    }

    /// The connection, if requests may be sent on it.
    pub(super) fn ready_mut(&mut self) -> Option<&mut Wire> {
        self.wire_mut().filter(|wire| wire.phase == Phase::Ready)
    }

    /// Whether it is of use, or will be as soon as it has settled.
    pub(super) fn is_up(&self) -> bool {
        let is_up = |wire: &Wire| {
            wire.ready_since.is_some() && !matches!(wire.phase, Phase::Settling(Then::Close(_)))
        };
        self.wire().is_some_and(is_up)
    }

    /// Whether requests are worth waiting: it is of use, or nobody has tried yet.
    pub(super) fn is_promising(&self) -> bool {
        self.is_up() || self.backoff.is_fresh()
    }

    /// Whether requests may be sent.
    pub(super) fn is_ready(&self) -> bool {
        self.wire().is_some_and(|wire| wire.phase == Phase::Ready)
    }

    /// The connection's number, if one is there or being made.
    pub(super) fn id(&self) -> Option<OutboundId> {
        match &self.stage {
            Stage::Resting(_) => None,
            Stage::Dialling(id, _) => Some(*id),
            Stage::Open(wire) => Some(wire.id),
        }
    }

    /// When something has to be done about it.
    pub(super) fn deadline(&self, timeout_ms: u64) -> Instant {
        match &self.stage {
            Stage::Resting(until) => *until,
            Stage::Dialling(_, since) => *since + timeout_ms,
            Stage::Open(wire) => wire.deadline(timeout_ms),
        }
    }
}
