//! Bytes in: cut into requests, bodies, lines and frames, and each request begun, carried out or refused.

use super::problem::Problem;
use super::route::{self, Exchange, Grant, ReadWire, Route};
use super::{Connection, Context, Phase, Surplus, respond};
use crate::config::Config;
use crate::counters::CloseReason;
use crate::fuse::Place;
use crate::problem_kind::ProblemKind;
use crate::topic::Topics;
use crate::wire::http1::{Framing, Head, HeadLimits, HeadSearch, Method, Version, parse_head};

/// What one step of parsing came to.
enum Step {
    /// This many bytes were taken; there may be more to do.
    Took(usize),
    /// Nothing can be done with the bytes there are, or nothing now.
    Wait,
}

/// Reading begins too often.
pub(super) const TOO_FAST: Problem = Problem::new(
    ProblemKind::TooManyReads,
    "This address began to read more than {limit} topics in a second (--reads-per-second). Wait for messages (?wait=, a stream), or come back later.",
);

/// A handshake with a body.
pub(super) const WEBSOCKET_WITH_BODY: Problem = Problem::new(
    ProblemKind::WebSocketWithBody,
    "The opening handshake announces a body, and none can follow it. Leave out Content-Length and Transfer-Encoding.",
);

/// A head that did not arrive in time.
pub(super) const HEAD_TOO_SLOW: Problem = Problem::new(
    ProblemKind::HeadTooSlow,
    "The request line and the fields were not here {limit} seconds after their first byte (--head-time). Send them at once.",
);

impl Connection {
    pub(super) fn consume_inbox<T: Topics>(&mut self, context: &mut Context<'_, T>) {
        let mut inbox = std::mem::take(&mut self.inbox);
        let used = self.consume(context, inbox.unread_mut());
        inbox.consume(used);
        if !matches!(self.phase, Phase::Closed(_)) {
            self.inbox = inbox;
        }
    }

    /// Parses as much of `input` as can be acted on now; returns how many bytes were taken.
    pub(super) fn consume<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        input: &mut [u8],
    ) -> usize {
        let (mut used, mut steps_left) = (0, context.config.budgets.steps_per_turn);
        loop {
            if steps_left == 0 {
                self.more = true;
                return used;
            }
            match self.step(context, &mut input[used..], &mut steps_left) {
                Step::Took(count) => used += count,
                Step::Wait => {
                    // Lines of a batch take steps without bytes: it may be that only those ran out.
                    self.more |= steps_left == 0;
                    return used;
                }
            }
        }
    }

    /// Takes some of `input`. What costs work for each of its parts (requests, frames, lines) takes as many
    /// as there are steps left.
    fn step<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        input: &mut [u8],
        steps_left: &mut usize,
    ) -> Step {
        let used = match &mut self.phase {
            Phase::Head { .. } => {
                let step = self.read_head(context, input);
                *steps_left -= usize::from(matches!(step, Step::Took(_)));
                return step;
            }
            Phase::Batch(_) => self.read_batch(context, input, steps_left),
            Phase::WebSocket(_) => self.read_frames(context, input, steps_left),
            Phase::Upload(_) => {
                let used = self.read_upload(context, input);
                if !matches!(self.phase, Phase::Upload(_)) {
                    // It is whole, perhaps without a byte, or refused: the next phase says how to go on.
                    return Step::Took(used);
                }
                used
            }
            Phase::Stream(_) => {
                self.take_stream_input(context, input.len());
                input.len()
            }
            Phase::Lingering { left, reason, .. } => {
                let reason = *reason;
                *left = left.saturating_sub(u32::try_from(input.len()).unwrap_or(u32::MAX));
                if *left == 0 {
                    self.close(context, reason);
                }
                input.len()
            }
            Phase::Closed(_) => input.len(),
            Phase::Awaiting(_) | Phase::Inquiring(_) | Phase::Poll(_) | Phase::Flushing(_) => 0,
        };
        if used == 0 { Step::Wait } else { Step::Took(used) }
    }

    fn read_head<T: Topics>(&mut self, context: &mut Context<'_, T>, input: &[u8]) -> Step {
        let Phase::Head { search, .. } = &mut self.phase else { return Step::Wait };
        if input.is_empty() || self.outbox.cost_bytes() >= context.outbox_bytes_max {
            return Step::Wait;
        }
        let limits = head_limits(context.config);
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
        context.config.fuse.pass(Place::Parser);
        match route::exchange(&head, context.config) {
            Err(problem) => {
                self.refuse_request(context, Exchange::of(&head), head.framing, &problem);
            }
            Ok(exchange) => match route::route(&head, self.entrance, context.config) {
                Err(problem) => self.refuse_request(context, exchange, head.framing, &problem),
                Ok(route) => self.begin(context, exchange, route, head.framing),
            },
        }
        Step::Took(length)
    }

    /// Begins what a request asks for, its body first.
    pub(super) fn begin<T: Topics>(
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
            (Route::Explain, framing) => self.begin_explain(context, exchange, framing),
            (Route::WebSocket(_), Framing::Length(1..) | Framing::Chunked) => {
                // What follows the head would be a body to one reader and frames to another.
                self.refuse_and_close(context, exchange, &WEBSOCKET_WITH_BODY);
            }
            (route, Framing::None | Framing::Length(0)) => self.carry_out(context, exchange, route),
            (route, framing) => self.begin_drop(context, exchange, route, framing),
        }
    }

    /// Does what a request asks for; its body, if it had one, is gone.
    pub(super) fn carry_out<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        exchange: Exchange,
        route: Route,
    ) {
        let topics = route.reads();
        if topics > 0 && !context.addresses.begin_read(context.now.instant, self.peer, topics) {
            return self.refuse_on_its_wire(context, exchange, route, &TOO_FAST);
        }
        match route {
            Route::Read(read) => match read.wire {
                ReadWire::ShortPoll | ReadWire::LongPoll { .. } => {
                    self.begin_poll(context, exchange, read);
                }
                ReadWire::EventStream { .. } | ReadWire::Ndjson => {
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
            Route::Inquire(inquiry) => self.begin_inquiry(context, exchange, *inquiry),
            Route::Page(page) => self.answer_page(context, exchange, page),
            Route::Publish(_) | Route::Batch | Route::Explain => {
                unreachable!("they have bodies, see begin")
            }
        }
    }

    /// Refuses a connection that is one too many, on the wire that it asked for.
    pub(super) fn refuse_surplus<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        mut exchange: Exchange,
        route: Route,
        framing: Framing,
    ) {
        let problem = if self.surplus == Surplus::Address {
            Problem::new(
                ProblemKind::TooManyConnectionsFromAddress,
                "This address has {limit} connections, as many as it may (--connections-per-address). Close some, or come back later.",
            )
        } else {
            Problem::new(
                ProblemKind::TooManyConnections,
                "The server has {limit} connections, as many as it may (--connections-max). Come back later.",
            )
        };
        exchange.persistent = false;
        match framing {
            Framing::None | Framing::Length(0) => {
                self.refuse_on_its_wire(context, exchange, route, &problem);
            }
            Framing::Length(_) | Framing::Chunked => {
                self.refuse_and_close(context, exchange, &problem);
            }
        }
    }

    /// Refuses a request for now, on the wire that it asked for.
    fn refuse_on_its_wire<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        exchange: Exchange,
        route: Route,
        problem: &Problem,
    ) {
        match route {
            Route::Read(read) => self.refuse_read(context, exchange, read.wire, problem),
            Route::WebSocket(handshake) => {
                self.refuse_websocket(context, exchange, &handshake, problem);
            }
            _ => self.refuse(context, exchange, problem),
        }
    }

    /// Refuses a request whose head was understood: what follows its body may still be served.
    pub(super) fn refuse_request<T: Topics>(
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
    pub(super) fn refuse<T: Topics>(
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
    pub(super) fn refuse_and_close<T: Topics>(
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
    pub(super) fn settled<T>(&self, context: &Context<'_, T>, mut exchange: Exchange) -> Exchange {
        exchange.persistent = self.persists(context, &exchange);
        exchange
    }

    /// Whether the connection goes on after this answer.
    pub(super) fn persists<T>(&self, context: &Context<'_, T>, exchange: &Exchange) -> bool {
        exchange.persistent
            && !context.draining
            && self.requests < context.config.limits.requests_max
            && self.surplus == Surplus::No
    }

    /// The answer is written: goes on to the next request, or ends.
    pub(super) fn finish<T: Topics>(&mut self, context: &mut Context<'_, T>, exchange: Exchange) {
        if exchange.persistent {
            self.phase = Phase::Head { search: HeadSearch::default(), began: false };
            self.deadline = context.now.instant + context.config.limits.keep_alive_ms;
        } else {
            self.end_after_flush(context, CloseReason::Finished);
        }
    }

    /// Starts the head's time with its first byte.
    pub(super) fn note_head_began<T>(&mut self, context: &Context<'_, T>) {
        if let Phase::Head { began: began @ false, .. } = &mut self.phase
            && !self.inbox.is_empty()
        {
            *began = true;
            self.deadline = context.now.instant + context.config.limits.head_ms;
        }
    }
}

/// The bounds of a head.
pub(super) fn head_limits(config: &Config) -> HeadLimits {
    HeadLimits {
        head_bytes_max: config.limits.head_bytes_max,
        target_bytes_max: config.limits.target_bytes_max,
        fields_max: usize::from(config.limits.fields_max),
    }
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
    pub(super) const UNKNOWN: Self = Self {
        head_only: false,
        http10: false,
        persistent: false,
        expects_continue: false,
        grant: Grant::Silent,
    };
}
