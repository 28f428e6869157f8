//! One accepted byte stream and what it is doing: a state machine over bytes, answers and time.
//!
//! ```text
//!             ┌────────────── answered, persistent ──────────────┐
//!             ▼                                                  │
//!   ──▶ Head ──▶ Upload ──▶ Awaiting ──▶ (answer) ───────────────┤
//!         │ │      └─ or dropped, then carried out               │
//!         │ ├──▶ Poll (parked) ──▶ (answer) ─────────────────────┤
//!         │ ├──▶ Inquiring (the workers) ──▶ (answer) ───────────┤
//!         │ ├──▶ Batch ──▶ (last line) ──────────────────────────┘
//!         │ ├──▶ Stream ─────┐ refused, drained, slow
//!         │ └──▶ WebSocket ──┤ closing
//!         └──▶ (refusal) ────┴──▶ Flushing ──▶ Lingering ──▶ Closed
//! ```
//!
//! The worker calls `handle_*` with what happened and lends a [`Context`]; afterwards it asks whether the
//! connection wants to read, to write, a turn, or to go. While a request is being answered, pipelined
//! bytes stay unparsed in the inbox.
//!
//! Invariant: the outbox is refilled only when a turn comes; a connection that cannot write costs its
//! cursor and what its outbox holds, which is bounded.

mod admission;
mod batch;
mod browser_client;
mod command;
mod context;
mod ending;
mod explain;
mod files;
mod frames;
mod operator;
mod page;
mod pending;
mod poll;
mod problem;
mod publish;
mod readiness;
mod request;
mod respond;
mod route;
mod sight;
mod stream;
mod subscription;
mod websocket;

use std::io::IoSlice;
use std::net::SocketAddr;

pub use self::context::Context;
#[cfg(any(test, fuzzing))]
pub use self::explain::fuzz_explain;
pub use self::operator::{
    ConnectionName, ConnectionsWanted, Explaining, Inquiry, Reply, TopicOrder, TopicsWanted,
};
pub use self::readiness::Readiness;
pub use self::sight::Sight;

use self::batch::Batch;
use self::poll::Poll;
use self::publish::{Awaiting, Upload};
use self::request::HEAD_TOO_SLOW;
use self::route::Exchange;
use self::stream::Stream;
use self::websocket::WebSocket;
use crate::buffer::{Inbox, Outbox};
use crate::config::Entrance;
use crate::counters::CloseReason;
use crate::limits::{Limits, PIPELINE_BYTES_MAX};
use crate::planted::{Fault, planted};
use crate::time::{Instant, Now};
use crate::topic::{Outcome, Topics};
use crate::wire::http1::HeadSearch;

/// A connection. Idle, parked or streaming it holds no buffers.
#[derive(Debug)]
pub struct Connection {
    phase: Phase,
    inbox: Inbox,
    outbox: Outbox,
    /// When the phase wants [`Connection::handle_deadline`]; writing has its own.
    deadline: Instant,
    /// When the peer last took something of what it is owed, or when that began; never while it is owed
    /// nothing. See [`Connection::note_owed`].
    progress_at: Instant,
    peer: SocketAddr,
    /// Requests whose head was read.
    requests: u32,
    /// The operating system takes no more bytes.
    blocked: bool,
    /// The peer has closed its side.
    eof: bool,
    /// Unparsed input may hold something that can be done now.
    more: bool,
    /// Something may be due that the outbox has room for.
    refill_wanted: bool,
    /// A publish waits for room on its way to the owner.
    busy: bool,
    /// The server goes away, and this connection as soon as it is not in the middle of something.
    leaving: bool,
    /// It is beyond the number of connections allowed and only gets a refusal.
    surplus: Surplus,
    /// Where it came in.
    entrance: Entrance,
    /// The second of the clock in which it began.
    begun_s: u32,
}

/// Why a connection that was accepted gets nothing but a refusal.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Surplus {
    /// It is served.
    No,
    /// The server has as many connections as it may.
    Server,
    /// This address has as many connections as it may.
    Address,
}

/// What a connection is doing.
#[derive(Debug)]
enum Phase {
    /// Waiting for a request, or in the middle of its head.
    Head { search: HeadSearch, began: bool },
    /// Reading a body.
    Upload(Box<Upload>),
    /// Waiting for the outcome of a publish or deletion.
    Awaiting(Box<Awaiting>),
    /// Reading a batch and reporting on it.
    Batch(Box<Batch>),
    /// Waiting for what the workers say to an operator's question.
    Inquiring(Exchange),
    /// A poll that is not answered yet.
    Poll(Poll),
    /// An open SSE or NDJSON stream.
    Stream(Stream),
    /// An open WebSocket.
    WebSocket(WebSocket),
    /// Sending what is owed; then closing.
    Flushing(CloseReason),
    /// Our side is shut; what still comes is dropped, so that the peer can read the last answer
    /// (RFC 9112 §9.6).
    Lingering { reason: CloseReason, left: u32, is_shut: bool },
    /// Over.
    Closed(CloseReason),
}

/// What time is up for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Alarm {
    /// What the phase waits for.
    Phase,
    /// The peer takes nothing of what it is owed.
    Unsent,
}

impl Connection {
    /// A connection that was just accepted.
    pub fn new(
        now: Now,
        peer: SocketAddr,
        entrance: Entrance,
        surplus: Surplus,
        limits: &Limits,
    ) -> Self {
        Self {
            phase: Phase::Head { search: HeadSearch::default(), began: false },
            inbox: Inbox::default(),
            outbox: Outbox::default(),
            deadline: now.instant + limits.first_byte_ms,
            progress_at: Instant::NEVER,
            peer,
            requests: 0,
            blocked: false,
            eof: false,
            more: false,
            refill_wanted: false,
            busy: false,
            leaving: false,
            surplus,
            entrance,
            begun_s: u32::try_from(now.instant.as_ms() / 1_000).unwrap_or(u32::MAX),
        }
    }

    /// Takes bytes that were read. They may be changed.
    pub fn handle_bytes<T: Topics>(&mut self, context: &mut Context<'_, T>, bytes: &mut [u8]) {
        context.counters.bytes_read += bytes.len() as u64;
        if self.inbox.is_empty() {
            let used = self.consume(context, bytes);
            self.inbox.append(&bytes[used..]);
        } else {
            self.inbox.append(bytes);
            self.consume_inbox(context);
        }
        self.note_head_began(context);
        self.end_if_nothing_is_left(context);
    }

    /// The peer has closed its sending side.
    pub fn handle_eof<T: Topics>(&mut self, context: &mut Context<'_, T>) {
        self.eof = true;
        self.end_if_nothing_is_left(context);
    }

    /// The operating system reported an error on the socket.
    pub fn handle_error<T: Topics>(&mut self, context: &mut Context<'_, T>) {
        self.close(context, CloseReason::SocketError);
    }

    /// The outcome of a publish or deletion that was pending.
    pub fn handle_outcome<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        number: u32,
        outcome: Outcome,
    ) {
        match &self.phase {
            Phase::Awaiting(_) => self.settle_awaiting(context, number, outcome),
            Phase::Batch(_) => self.settle_batch(context, number, outcome),
            Phase::WebSocket(_) => self.settle_websocket(context, number, outcome),
            _ => return,
        }
        // The next request, line or frame may be here already.
        self.more = true;
    }

    /// There is room again for a publish that found none.
    pub fn handle_room<T: Topics>(&mut self, context: &mut Context<'_, T>) {
        match &self.phase {
            Phase::Awaiting(_) => self.ask_again(context),
            Phase::Batch(_) => self.publish_stalled_line(context),
            Phase::WebSocket(_) => self.publish_stalled_message(context),
            _ => self.busy = false,
        }
        self.more = true;
    }

    /// Goes on with what is due: unparsed input, then the log.
    pub fn take_turn<T: Topics>(&mut self, context: &mut Context<'_, T>) {
        if std::mem::take(&mut self.more) {
            self.consume_inbox(context);
            self.note_head_began(context);
            self.end_if_nothing_is_left(context);
        }
        self.refill_wanted = false;
        match &self.phase {
            Phase::Poll(_) => {
                self.refill_poll(context);
                // A poll that was answered makes way for the requests behind it.
                self.more |= !self.inbox.is_empty() && matches!(self.phase, Phase::Head { .. });
            }
            Phase::Stream(_) => self.refill_stream(context),
            Phase::WebSocket(_) => self.refill_websocket(context),
            _ => (),
        }
        // What began after the peer had closed its side ends as if the end had come now.
        self.end_if_nothing_is_left(context);
        self.leave_if_idle(context);
    }

    /// `count` bytes of [`Connection::slices`] were sent.
    pub fn handle_written<T: Topics>(&mut self, context: &mut Context<'_, T>, count: usize) {
        context.counters.bytes_written += count as u64;
        context.counters.writes += 1;
        let is_short = planted(Fault::RepeatsAfterShortWrite) && count < self.outbox.len();
        self.outbox.advance(count - usize::from(is_short && count > 1));
        if count > 0 {
            self.progress_at = context.now.instant;
        }
        if self.outbox.is_empty() {
            // What was held back for want of room: the log, the next request, the next frames.
            self.refill_wanted = matches!(self.phase, Phase::Stream(_) | Phase::WebSocket(_));
            self.more |= !self.inbox.is_empty() || matches!(self.phase, Phase::Batch(_));
            if let Phase::Head { began: true, .. } = self.phase {
                // It may be whole, and has waited for us.
                self.deadline = context.now.instant + context.config.limits.head_ms;
            }
            self.linger_if_flushed(context);
            self.end_if_nothing_is_left(context);
        }
    }

    /// The operating system takes no more for now.
    pub fn handle_blocked(&mut self) {
        self.blocked = true;
    }

    /// The operating system takes bytes again: so the peer has taken some, whenever we get to hear of it.
    pub fn handle_writable(&mut self, now: Now) {
        if std::mem::take(&mut self.blocked) && self.progress_at != Instant::NEVER {
            self.progress_at = now.instant;
        }
    }

    /// The deadline has come.
    pub fn handle_deadline<T: Topics>(&mut self, context: &mut Context<'_, T>) {
        let (when, alarm) = self.alarm(&context.config.limits);
        if when > context.now.instant {
            if planted(Fault::FiresDeadTimer) {
                self.close(context, CloseReason::IdleTimeout);
            }
            return;
        }
        if alarm == Alarm::Unsent {
            return self.close(context, CloseReason::WriteTimeout);
        }
        match &self.phase {
            Phase::Head { began: true, .. } => {
                self.refuse_and_close(context, Exchange::UNKNOWN, &HEAD_TOO_SLOW);
                self.phase = Phase::Flushing(CloseReason::HeadTimeout);
            }
            Phase::Head { .. } if self.requests == 0 => {
                self.close(context, CloseReason::FirstByteTimeout);
            }
            Phase::Head { .. } => self.close(context, CloseReason::IdleTimeout),
            Phase::Upload(_) => self.refuse_slow_upload(context),
            Phase::Batch(_) => self.beat_batch(context),
            Phase::Poll(_) => self.refill_poll(context),
            Phase::Stream(_) => self.beat(context),
            Phase::WebSocket(_) => self.ping(context),
            Phase::Lingering { reason, .. } => self.close(context, *reason),
            Phase::Awaiting(_) | Phase::Inquiring(_) | Phase::Flushing(_) | Phase::Closed(_) => (),
        }
    }

    /// The server stood still for so long, and the peer is not to blame: what it had to do may not have been
    /// seen yet, and what it waits for was not sent. What is ours to do is late enough as it is.
    pub fn forgive(&mut self, stalled_ms: u64) {
        self.progress_at = self.progress_at + stalled_ms;
        match &mut self.phase {
            Phase::Upload(upload) => upload.forgive(stalled_ms),
            Phase::WebSocket(websocket) => websocket.forgive(stalled_ms),
            Phase::Head { .. } | Phase::Lingering { .. } => (),
            _ => return,
        }
        self.deadline = self.deadline + stalled_ms;
    }

    /// When [`Connection::handle_deadline`] should be called.
    pub fn deadline(&self, limits: &Limits) -> Instant {
        self.alarm(limits).0
    }

    /// When time is up, and for what.
    fn alarm(&self, limits: &Limits) -> (Instant, Alarm) {
        let unsent = self.progress_at + limits.write_progress_ms;
        match self.phase {
            Phase::Closed(_) => (Instant::NEVER, Alarm::Phase),
            // A body has to arrive whatever is owed; all else waits until the peer takes what it is owed.
            Phase::Upload(_) if self.deadline < unsent => (self.deadline, Alarm::Phase),
            _ if unsent != Instant::NEVER => (unsent, Alarm::Unsent),
            _ => (self.deadline, Alarm::Phase),
        }
    }

    /// Starts the time in which the peer must take something, if it is owed something since the last call
    /// of any kind; to be called after each of them.
    pub fn note_owed(&mut self, now: Now) {
        if self.outbox.is_empty() {
            self.progress_at = Instant::NEVER;
        } else if self.progress_at == Instant::NEVER {
            self.progress_at = now.instant;
        }
    }

    /// Whether bytes that the peer sends can be taken now.
    pub fn wants_read(&self, limits: &Limits) -> bool {
        let has_room = self.outbox.cost_bytes() < limits.outbox_bytes_max;
        let has_place = self.inbox.len() < PIPELINE_BYTES_MAX;
        match &self.phase {
            Phase::Head { .. } => has_room && self.inbox.len() < limits.head_bytes_max,
            Phase::Awaiting(_) | Phase::Inquiring(_) | Phase::Poll(_) | Phase::Flushing(_) => {
                has_place
            }
            // What could not be taken for want of room waits in the inbox; no more is added to it.
            Phase::Batch(batch) if batch.is_whole() => has_place,
            Phase::Batch(batch) => has_room && has_place && batch.wants_read(),
            Phase::WebSocket(websocket) => has_room && has_place && websocket.wants_read(),
            Phase::Upload(_) | Phase::Stream(_) | Phase::Lingering { .. } => true,
            Phase::Closed(_) => false,
        }
    }

    /// Whether [`Connection::take_turn`] would do something.
    pub fn wants_turn(&self) -> bool {
        self.more || (self.refill_wanted && !self.blocked)
    }

    /// Whether there is something to send that the operating system may take.
    pub fn wants_write(&self) -> bool {
        !self.blocked && !self.outbox.is_empty()
    }

    /// Whether a visit because of news in a topic would do something: not while it cannot write.
    pub fn wants_news(&self) -> bool {
        !self.blocked
    }

    /// Whether a publish waits for [`Connection::handle_room`].
    pub fn is_busy(&self) -> bool {
        self.busy
    }

    /// True once, when the sending side is to be shut.
    pub fn take_shutdown(&mut self) -> bool {
        match &mut self.phase {
            Phase::Lingering { is_shut, .. } => !std::mem::replace(is_shut, true),
            _ => false,
        }
    }

    /// Why it is over, if it is.
    pub fn close_reason(&self) -> Option<CloseReason> {
        match self.phase {
            Phase::Closed(reason) => Some(reason),
            _ => None,
        }
    }

    /// What is to be sent next; returns how many of `slices` were filled.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.outbox.slices(slices)
    }

    /// Bytes of memory that its outbox is counted as.
    pub fn outbox_cost(&self) -> usize {
        self.outbox.cost_bytes()
    }

    /// Whether nothing that it sent was read yet.
    pub fn is_new(&self) -> bool {
        self.requests == 0 && matches!(self.phase, Phase::Head { began: false, .. })
    }

    /// Whether messages are sent on it as they come.
    pub fn is_stream(&self) -> bool {
        matches!(self.phase, Phase::Stream(_) | Phase::WebSocket(_))
    }

    /// The other end.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Where it came in.
    pub fn entrance(&self) -> Entrance {
        self.entrance
    }

    /// Why it only gets a refusal, if it does.
    pub fn surplus(&self) -> Surplus {
        self.surplus
    }

    /// What it holds, for whoever checks its bounds.
    #[cfg(any(test, fuzzing))]
    pub fn held(&self) -> Held {
        Held {
            inbox: self.inbox.len(),
            outbox: self.outbox.len(),
            is_endless: matches!(self.phase, Phase::Batch(_) | Phase::Stream(_)),
        }
    }
}

/// What a connection holds.
#[cfg(any(test, fuzzing))]
#[derive(Copy, Clone, Debug)]
pub struct Held {
    /// Bytes received and not yet parsed.
    pub inbox: usize,
    /// Bytes owed.
    pub outbox: usize,
    /// Whether it goes on for as long as its client likes.
    pub is_endless: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn a_connection_is_held_to_its_size() {
        // Each connection is one of these in a slot of the worker: all that an idle one takes of us but its timer and
        // its socket (docs/benchmarks.md).
        assert_eq!((size_of::<Connection>(), size_of::<Phase>()), (192, 80));
    }
}
