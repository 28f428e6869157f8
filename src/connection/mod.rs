//! One accepted byte stream and what it is doing: a state machine over bytes, answers and time.
//!
//! ```text
//!             ┌────────────── answered, persistent ──────────────┐
//!             ▼                                                  │
//!   ──▶ Head ──▶ Upload ──▶ Awaiting ──▶ (answer) ───────────────┤
//!         │ │      └─ or dropped, then carried out               │
//!         │ ├──▶ Poll (parked) ──▶ (answer) ─────────────────────┤
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

mod batch;
mod command;
mod context;
mod page;
mod pending;
mod poll;
mod problem;
mod publish;
mod respond;
mod route;
mod stream;
mod subscription;
mod websocket;

use std::io::IoSlice;
use std::net::SocketAddr;

pub use self::context::Context;
pub use self::page::metrics_text;

use self::batch::Batch;
use self::poll::Poll;
use self::problem::Problem;
use self::publish::{Awaiting, Upload};
use self::route::{Exchange, Grant, Page, Route};
use self::stream::Stream;
use self::websocket::WebSocket;
use crate::buffer::{Inbox, Outbox};
use crate::counters::{CloseReason, Wire};
use crate::limits::{LINGER_BYTES_MAX, Limits, PIPELINE_BYTES_MAX, REQUESTS_PER_TURN};
use crate::time::{Instant, Now};
use crate::topic::{Outcome, Topics};
use crate::wire::http1::{
    Framing, Head, HeadLimits, HeadSearch, Method, Status, Version, parse_head,
};

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
    /// Waiting for the other workers' numbers.
    Metrics(Exchange),
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

/// What one step of parsing came to.
enum Step {
    /// This many bytes were taken; there may be more to do.
    Took(usize),
    /// Nothing can be done with the bytes there are, or nothing now.
    Wait,
}

const TOO_SLOW: Problem = Problem::new(
    Status::REQUEST_TIMEOUT,
    "The request did not arrive in time. Send it again, faster.",
);

impl Connection {
    /// A connection that was just accepted.
    pub fn new(now: Now, peer: SocketAddr, surplus: Surplus, limits: &Limits) -> Self {
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

    /// The numbers that were asked for.
    pub fn handle_metrics<T: Topics>(&mut self, context: &mut Context<'_, T>, text: &[u8]) {
        if let Phase::Metrics(exchange) = self.phase {
            self.answer_metrics(context, exchange, text);
            self.more = true;
        }
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
                self.end_if_nothing_is_left(context);
            }
            Phase::Stream(_) => self.refill_stream(context),
            Phase::WebSocket(_) => self.refill_websocket(context),
            _ => (),
        }
        self.leave_if_idle(context);
    }

    /// `count` bytes of [`Connection::slices`] were sent.
    pub fn handle_written<T: Topics>(&mut self, context: &mut Context<'_, T>, count: usize) {
        context.counters.bytes_written += count as u64;
        context.counters.writes += 1;
        self.outbox.advance(count);
        if count > 0 {
            self.progress_at = context.now.instant;
        }
        if self.outbox.is_empty() {
            // What was held back for want of room: the log, the next request, the next frames.
            self.refill_wanted = matches!(self.phase, Phase::Stream(_) | Phase::WebSocket(_));
            self.more |= !self.inbox.is_empty() || matches!(self.phase, Phase::Batch(_));
            self.linger_if_flushed(context);
            self.end_if_nothing_is_left(context);
        }
    }

    /// The operating system takes no more for now.
    pub fn handle_blocked(&mut self) {
        self.blocked = true;
    }

    /// The operating system takes bytes again.
    pub fn handle_writable(&mut self) {
        self.blocked = false;
    }

    /// The deadline has come.
    pub fn handle_deadline<T: Topics>(&mut self, context: &mut Context<'_, T>) {
        let now = context.now.instant;
        if self.write_deadline(&context.config.limits) <= now {
            return self.close(context, CloseReason::WriteTimeout);
        }
        if self.deadline > now {
            return;
        }
        match &self.phase {
            Phase::Head { began: true, .. } => {
                let problem = TOO_SLOW;
                self.refuse_and_close(context, Exchange::UNKNOWN, &problem);
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
            Phase::Awaiting(_) | Phase::Metrics(_) | Phase::Flushing(_) | Phase::Closed(_) => (),
        }
    }

    /// The server goes away: says goodbye, if nothing is in the middle of being done.
    pub fn drain<T: Topics>(&mut self, context: &mut Context<'_, T>) {
        self.leaving = true;
        // A poll is answered in its turn.
        self.refill_wanted = matches!(self.phase, Phase::Poll(_));
        self.leave_if_idle(context);
    }

    /// Says the goodbye that was due, unless something is in the middle of being done.
    fn leave_if_idle<T: Topics>(&mut self, context: &mut Context<'_, T>) {
        if !self.leaving {
            return;
        }
        match &self.phase {
            Phase::Head { .. } if !self.inbox.is_empty() => (),
            Phase::Head { .. } if self.outbox.is_empty() => {
                self.close(context, CloseReason::Drained);
            }
            Phase::Head { .. } => self.end_after_flush(context, CloseReason::Drained),
            Phase::Batch(_) => self.drain_batch(context),
            Phase::Stream(_) => self.drain_stream(context),
            Phase::WebSocket(_) => self.drain_websocket(context),
            _ => (),
        }
    }

    /// Ends the connection and everything that it holds.
    pub fn close<T: Topics>(&mut self, context: &mut Context<'_, T>, reason: CloseReason) {
        if matches!(self.phase, Phase::Closed(_)) {
            return;
        }
        self.leave_subscription(context);
        self.release_upload(context);
        self.release_batch(context);
        self.phase = Phase::Closed(reason);
        self.inbox = Inbox::default();
        self.outbox = Outbox::default();
        (self.more, self.refill_wanted, self.busy) = (false, false, false);
    }

    /// When [`Connection::handle_deadline`] should be called.
    pub fn deadline(&self, limits: &Limits) -> Instant {
        let write = self.write_deadline(limits);
        match self.phase {
            Phase::Closed(_) => Instant::NEVER,
            Phase::Upload(_) => self.deadline.min(write),
            _ if write != Instant::NEVER => write,
            _ => self.deadline,
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

    fn write_deadline(&self, limits: &Limits) -> Instant {
        self.progress_at + limits.write_progress_ms
    }

    /// Whether bytes that the peer sends can be taken now.
    pub fn wants_read(&self, limits: &Limits) -> bool {
        let has_room = self.outbox.len() < limits.outbox_bytes_max;
        match &self.phase {
            Phase::Head { .. } => has_room && self.inbox.len() < limits.head_bytes_max,
            Phase::Awaiting(_) | Phase::Metrics(_) | Phase::Poll(_) | Phase::Flushing(_) => {
                self.inbox.len() < PIPELINE_BYTES_MAX
            }
            Phase::Batch(batch) if batch.is_whole() => self.inbox.len() < PIPELINE_BYTES_MAX,
            Phase::Batch(batch) => has_room && batch.wants_read(),
            Phase::WebSocket(websocket) => has_room && websocket.wants_read(),
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

    /// Bytes that are to be sent.
    pub fn outbox_bytes(&self) -> usize {
        self.outbox.len()
    }

    /// The other end.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Why it only gets a refusal, if it does.
    pub fn surplus(&self) -> Surplus {
        self.surplus
    }

    /// Whether a drain waits for it: everything but a connection on its way out.
    pub fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Flushing(_) | Phase::Lingering { .. } | Phase::Closed(_))
    }

    fn consume_inbox<T: Topics>(&mut self, context: &mut Context<'_, T>) {
        let mut inbox = std::mem::take(&mut self.inbox);
        let used = self.consume(context, inbox.unread_mut());
        inbox.consume(used);
        if !matches!(self.phase, Phase::Closed(_)) {
            self.inbox = inbox;
        }
    }

    /// Parses as much of `input` as can be acted on now; returns how many bytes were taken.
    fn consume<T: Topics>(&mut self, context: &mut Context<'_, T>, input: &mut [u8]) -> usize {
        let mut used = 0;
        let mut requests = 0;
        loop {
            let is_head = matches!(self.phase, Phase::Head { .. });
            if is_head && requests == REQUESTS_PER_TURN {
                self.more = true;
                return used;
            }
            match self.step(context, &mut input[used..]) {
                Step::Took(count) => used += count,
                Step::Wait => return used,
            }
            requests += usize::from(is_head);
        }
    }

    fn step<T: Topics>(&mut self, context: &mut Context<'_, T>, input: &mut [u8]) -> Step {
        match &mut self.phase {
            Phase::Head { .. } => self.read_head(context, input),
            Phase::Upload(_) => took(self.read_upload(context, input), input),
            Phase::Batch(_) => {
                let used = self.read_batch(context, input);
                if used == 0 { Step::Wait } else { Step::Took(used) }
            }
            Phase::WebSocket(_) => {
                let used = self.read_frames(context, input);
                if used == 0 { Step::Wait } else { Step::Took(used) }
            }
            Phase::Stream(_) => {
                self.take_stream_input(context, input.len());
                took(input.len(), input)
            }
            Phase::Lingering { left, reason, .. } => {
                let reason = *reason;
                *left = left.saturating_sub(u32::try_from(input.len()).unwrap_or(u32::MAX));
                if *left == 0 {
                    self.close(context, reason);
                }
                took(input.len(), input)
            }
            Phase::Closed(_) => took(input.len(), input),
            Phase::Awaiting(_) | Phase::Metrics(_) | Phase::Poll(_) | Phase::Flushing(_) => {
                Step::Wait
            }
        }
    }

    fn read_head<T: Topics>(&mut self, context: &mut Context<'_, T>, input: &[u8]) -> Step {
        let Phase::Head { search, .. } = &mut self.phase else { return Step::Wait };
        if input.is_empty() || self.outbox.len() >= context.config.limits.outbox_bytes_max {
            return Step::Wait;
        }
        let limits = HeadLimits {
            head_bytes_max: context.config.limits.head_bytes_max,
            target_bytes_max: context.config.limits.target_bytes_max,
            fields_max: usize::from(context.config.limits.fields_max),
        };
        let found = match search.find_end(input, &limits) {
            Ok(None) => return Step::Wait,
            Ok(Some(length)) => parse_head(&input[..length], &limits).map(|head| (length, head)),
            Err(error) => Err(error),
        };
        let (length, head) = match found {
            Ok(found) => found,
            Err(error) => {
                self.refuse_and_close(context, Exchange::UNKNOWN, &Problem::from(error));
                return Step::Wait;
            }
        };
        self.requests += 1;
        context.counters.requests += 1;
        match route::exchange(&head, context.config) {
            Err(problem) => {
                self.refuse_request(context, Exchange::of(&head), head.framing, &problem);
            }
            Ok(exchange) => match route::route(&head, context.config) {
                Err(problem) => self.refuse_request(context, exchange, head.framing, &problem),
                Ok(route) => self.begin(context, exchange, route, head.framing),
            },
        }
        Step::Took(length)
    }

    /// Begins what a request asks for, its body first.
    fn begin<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        exchange: Exchange,
        route: Route,
        framing: Framing,
    ) {
        if self.surplus != Surplus::No {
            return self.refuse_surplus(context, exchange, route, framing);
        }
        match (route, framing) {
            (Route::Publish(publish), framing) => {
                self.begin_publish(context, exchange, *publish, framing);
            }
            (Route::Batch, framing) => self.begin_batch(context, exchange, framing),
            (Route::WebSocket(_), Framing::Length(1..) | Framing::Chunked) => {
                // What follows the head would be a body to one reader and frames to another.
                let problem = Problem::bad_request("An opening handshake has no body.");
                self.refuse_and_close(context, exchange, &problem);
            }
            (route, Framing::None | Framing::Length(0)) => self.carry_out(context, exchange, route),
            (route, framing) => self.begin_drop(context, exchange, route, framing),
        }
    }

    /// Does what a request asks for; its body, if it had one, is gone.
    fn carry_out<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        exchange: Exchange,
        route: Route,
    ) {
        match route {
            Route::Read(read) => match read.wire {
                route::ReadWire::ShortPoll | route::ReadWire::LongPoll { .. } => {
                    self.begin_poll(context, exchange, read);
                }
                route::ReadWire::EventStream { .. } | route::ReadWire::Ndjson => {
                    self.begin_stream(context, exchange, read);
                }
            },
            Route::Head(topics) => self.begin_head_request(context, exchange, topics),
            Route::WebSocket(handshake) => self.begin_websocket(context, exchange, *handshake),
            Route::Delete(topic) => self.begin_delete(context, exchange, topic),
            Route::Options(methods) => {
                let exchange = self.settled(context, exchange);
                self.outbox.write(|out| respond::options(out, context, &exchange, methods));
                self.finish(context, exchange);
            }
            Route::Page(Page::Metrics) => {
                self.phase = Phase::Metrics(exchange);
                self.deadline = Instant::NEVER;
                context.metrics_wanted.push(context.key);
            }
            Route::Page(page) => self.answer_page(context, exchange, page),
            Route::Publish(_) | Route::Batch => unreachable!("they have bodies, see begin"),
        }
    }

    /// Refuses a connection that is one too many, on the wire that it asked for.
    fn refuse_surplus<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        mut exchange: Exchange,
        route: Route,
        framing: Framing,
    ) {
        let problem = if self.surplus == Surplus::Address {
            Problem::for_now(
                Status::TOO_MANY_REQUESTS,
                "Too many connections from this address. Close some, or come back later.",
            )
        } else {
            Problem::for_now(
                Status::UNAVAILABLE,
                "The server has as many connections as it may. Come back later.",
            )
        };
        exchange.persistent = false;
        match route {
            Route::Read(read) => self.refuse_read(context, exchange, read.wire, &problem),
            Route::WebSocket(handshake)
                if matches!(framing, Framing::None | Framing::Length(0)) =>
            {
                self.refuse_websocket(context, exchange, &handshake);
            }
            _ => self.refuse_and_close(context, exchange, &problem),
        }
    }

    /// Refuses a request whose head was understood: what follows its body may still be served.
    fn refuse_request<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        exchange: Exchange,
        framing: Framing,
        problem: &Problem,
    ) {
        match framing {
            Framing::None | Framing::Length(0) => self.refuse(context, exchange, problem),
            Framing::Length(_) | Framing::Chunked => {
                self.refuse_and_close(context, exchange, problem);
            }
        }
    }

    /// Answers with a refusal and goes on to the next request.
    fn refuse<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        exchange: Exchange,
        problem: &Problem,
    ) {
        let exchange = self.settled(context, exchange);
        self.outbox.write(|out| respond::refusal(out, context, &exchange, problem));
        self.finish(context, exchange);
    }

    /// Answers with a refusal and closes: nobody knows where the next request begins.
    fn refuse_and_close<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        mut exchange: Exchange,
        problem: &Problem,
    ) {
        exchange.persistent = false;
        self.outbox.write(|out| respond::refusal(out, context, &exchange, problem));
        self.end_after_flush(context, CloseReason::Refused);
    }

    /// The exchange, with what is known only now about the connection's persistence.
    fn settled<T>(&self, context: &Context<'_, T>, mut exchange: Exchange) -> Exchange {
        exchange.persistent = self.persists(context, &exchange);
        exchange
    }

    /// Whether the connection goes on after this answer.
    fn persists<T>(&self, context: &Context<'_, T>, exchange: &Exchange) -> bool {
        exchange.persistent
            && !context.draining
            && self.requests < context.config.limits.requests_max
            && self.surplus == Surplus::No
    }

    /// The answer is written: goes on to the next request, or ends.
    fn finish<T: Topics>(&mut self, context: &mut Context<'_, T>, exchange: Exchange) {
        if exchange.persistent {
            self.phase = Phase::Head { search: HeadSearch::default(), began: false };
            self.deadline = context.now.instant + context.config.limits.keep_alive_ms;
        } else {
            self.end_after_flush(context, CloseReason::Finished);
        }
    }

    /// Sends what is owed and closes, for `reason`.
    fn end_after_flush<T: Topics>(&mut self, context: &mut Context<'_, T>, reason: CloseReason) {
        self.phase = Phase::Flushing(reason);
        self.deadline = Instant::NEVER;
        self.linger_if_flushed(context);
    }

    fn linger_if_flushed<T: Topics>(&mut self, context: &mut Context<'_, T>) {
        let Phase::Flushing(reason) = self.phase else { return };
        if !self.outbox.is_empty() {
            return;
        }
        if self.eof {
            return self.close(context, reason);
        }
        self.phase = Phase::Lingering { reason, left: LINGER_BYTES_MAX, is_shut: false };
        self.inbox = Inbox::default();
        self.deadline = context.now.instant + context.config.limits.linger_ms;
    }

    /// After the peer's end: closes when everything that it sent was acted on and all that it asked for is
    /// answered.
    fn end_if_nothing_is_left<T: Topics>(&mut self, context: &mut Context<'_, T>) {
        if !self.eof || self.more {
            return;
        }
        let reason = match &self.phase {
            Phase::Head { .. } if !self.outbox.is_empty() => return,
            Phase::Head { .. } if self.inbox.is_empty() => CloseReason::PeerClosed,
            Phase::Head { .. } | Phase::Upload(_) => CloseReason::PeerAborted,
            Phase::Batch(batch) if batch.wants_read() && self.inbox.is_empty() => {
                CloseReason::PeerAborted
            }
            // A poll that is answered at once is a finite answer; one that waits has lost its client.
            Phase::Poll(poll) if poll.is_parked(context.now) => CloseReason::PeerClosed,
            Phase::Stream(_) | Phase::WebSocket(_) => CloseReason::PeerClosed,
            Phase::Lingering { reason, .. } => *reason,
            _ => return,
        };
        self.close(context, reason);
    }

    /// Starts the head's time with its first byte.
    fn note_head_began<T>(&mut self, context: &Context<'_, T>) {
        if let Phase::Head { began: began @ false, .. } = &mut self.phase
            && !self.inbox.is_empty()
        {
            *began = true;
            self.deadline = context.now.instant + context.config.limits.head_ms;
        }
    }

    /// Ends the subscription of a poll, stream or WebSocket.
    fn leave_subscription<T: Topics>(&mut self, context: &mut Context<'_, T>) {
        let (subscription, wire) = match &mut self.phase {
            Phase::Poll(poll) => (poll.subscription(), Wire::Poll),
            Phase::Stream(stream) => stream.subscription(),
            Phase::WebSocket(websocket) => (websocket.subscription(), Wire::WebSocket),
            _ => return,
        };
        subscription.close(context);
        context.counters.subscriptions[wire as usize] -= 1;
        // The phase is replaced by the caller; until then nothing may be ended twice.
        self.phase = Phase::Flushing(CloseReason::Finished);
    }
}

/// A step that takes everything; with nothing to take it waits.
fn took(used: usize, input: &[u8]) -> Step {
    if input.is_empty() { Step::Wait } else { Step::Took(used) }
}

impl Exchange {
    /// For a request from a foreign origin, which is refused and told nothing.
    fn of(head: &Head<'_>) -> Self {
        Self {
            head_only: head.method == Method::Head,
            http10: head.version == Version::Http10,
            persistent: head.persistent,
            ..Self::UNKNOWN
        }
    }

    /// For a request that was not understood.
    const UNKNOWN: Self = Self {
        head_only: false,
        http10: false,
        persistent: false,
        expects_continue: false,
        grant: Grant::Silent,
    };
}
