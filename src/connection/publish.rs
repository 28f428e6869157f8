//! Publishing one message with one request (docs/protocol.md 5.1), and bodies that nobody wants.

use std::sync::Arc;

use super::admission::admit;
use super::context::Context;
use super::problem::Problem;
use super::respond;
use super::route::{Exchange, Publish, Route};
use super::{Connection, Phase};
use crate::config::Config;
use crate::counters::CloseReason;
use crate::limits::{CHUNK_LINE_BYTES_MAX, TRAILER_BYTES_MAX, TRAILERS_MAX};
use crate::problem_kind::ProblemKind;
use crate::time::Instant;
use crate::topic::{Message, Outcome, Publishing, Refusal, Ticket, TopicName, Topics};
use crate::wire::envelope::Object;
use crate::wire::http1::{BodyError, BodyLimits, BodyReader, Framing, HeadError, Status};

/// A request whose body is being read.
#[derive(Debug)]
pub(super) struct Upload {
    exchange: Exchange,
    purpose: Purpose,
    reader: BodyReader,
    payload: Vec<u8>,
    /// Bytes of `payload` that the worker has counted.
    counted: usize,
    began: Instant,
}

impl Upload {
    /// What it is counted as.
    pub(super) fn counted_bytes(&self) -> u64 {
        self.counted as u64
    }

    /// It may take so much longer.
    pub(super) fn forgive(&mut self, ms: u64) {
        self.began = self.began + ms;
    }
}

/// What a body is read for.
#[derive(Debug)]
enum Purpose {
    Publish(Publish),
    /// It is dropped; then this is carried out.
    Drop(Route),
    /// It is a request that is to be explained.
    Explain,
}

/// A publish or deletion whose outcome is not known yet.
#[derive(Debug)]
pub(super) struct Awaiting {
    exchange: Exchange,
    topic: TopicName,
    /// What to ask again when there is room; `None` while the answer is awaited.
    again: Option<Again>,
    is_deletion: bool,
    number: u32,
}

#[derive(Debug)]
enum Again {
    Publish(Arc<Message>, Option<crate::topic::IdempotencyKey>),
    Delete,
}

/// The bounds of a body that is read into memory.
pub(super) fn body_limits(payload_bytes_max: u64) -> BodyLimits {
    BodyLimits {
        payload_bytes_max,
        chunk_line_bytes_max: CHUNK_LINE_BYTES_MAX,
        trailers_max: TRAILERS_MAX,
        trailer_bytes_max: TRAILER_BYTES_MAX,
    }
}

impl Connection {
    /// Begins to read the body of a publish.
    pub(super) fn begin_publish<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        exchange: Exchange,
        publish: Publish,
        framing: Framing,
    ) {
        let rule = context.config.topics.admission(publish.topic.as_str());
        let server = context.config.limits.body_bytes_max;
        let most = rule.message_bytes_max.unwrap_or(server) as u64;
        let memory_left = context.topics.memory_left() as u64;
        if let Err(problem) = check_publish(framing, context.config, &publish.topic, memory_left) {
            return self.refuse_request(context, exchange, framing, &problem);
        }
        self.begin_upload(context, exchange, Purpose::Publish(publish), framing, most);
    }

    /// Reads and drops a body, then carries out what was asked.
    pub(super) fn begin_drop<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        exchange: Exchange,
        route: Route,
        framing: Framing,
    ) {
        let most = context.config.limits.drop_bytes_max as u64;
        if let Err(problem) = check_drop(framing, most) {
            return self.refuse_request(context, exchange, framing, &problem);
        }
        self.begin_upload(context, exchange, Purpose::Drop(route), framing, most);
    }

    /// Reads a request that is to be explained.
    pub(super) fn begin_explain<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        exchange: Exchange,
        framing: Framing,
    ) {
        let most = context.config.limits.head_bytes_max as u64;
        match framing {
            Framing::None => self.refuse(context, exchange, &LENGTH_REQUIRED),
            Framing::Length(length) if length > most => {
                self.refuse_and_close(context, exchange, &Problem::from(HeadError::HeadTooLarge));
            }
            _ => self.begin_upload(context, exchange, Purpose::Explain, framing, most),
        }
    }

    fn begin_upload<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        exchange: Exchange,
        purpose: Purpose,
        framing: Framing,
        bytes_max: u64,
    ) {
        if exchange.expects_continue {
            // RFC 9110 §10.1.1: the body will be read, so ask for it.
            self.outbox.push_static(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        let reader = BodyReader::new(framing, &body_limits(bytes_max));
        let began = context.now.instant;
        let payload = Vec::new();
        let upload = Upload { exchange, purpose, reader, payload, counted: 0, began };
        self.deadline = began + context.config.limits.body_grace_ms;
        self.phase = Phase::Upload(Box::new(upload));
    }

    /// Reads some of the body; returns how many bytes it took.
    pub(super) fn read_upload<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        input: &[u8],
    ) -> usize {
        let Phase::Upload(upload) = &mut self.phase else { return 0 };
        let used = match upload.reader.read(input, &mut upload.payload, usize::MAX) {
            Ok(used) => used,
            Err(error) => {
                let exchange = upload.exchange;
                let problem = match (&upload.purpose, error) {
                    // What its topic takes may be less than what the server does.
                    (Purpose::Publish(publish), BodyError::TooLarge) => {
                        let admitted = admit(context.config, &publish.topic, usize::MAX);
                        admitted.err().unwrap_or(Problem::from(error))
                    }
                    (Purpose::Drop(_), BodyError::TooLarge) => UNWANTED_TOO_LARGE,
                    (Purpose::Explain, BodyError::TooLarge) => {
                        Problem::from(HeadError::HeadTooLarge)
                    }
                    _ => Problem::from(error),
                };
                self.end_phase(context);
                self.refuse_and_close(context, exchange, &problem);
                return 0;
            }
        };
        if matches!(upload.purpose, Purpose::Drop(_)) {
            upload.payload.clear();
        }
        let grown = upload.payload.len() - upload.counted;
        upload.counted += grown;
        context.counters.body_bytes += grown as u64;
        // The moment at which the average rate will have fallen below the least.
        let worth_ms =
            upload.reader.bytes_read() * 1_000 / context.config.limits.body_rate_min as u64;
        self.deadline = upload.began + context.config.limits.body_grace_ms + worth_ms;
        if upload.reader.is_complete() {
            self.end_upload(context);
        } else if context.counters.body_bytes > context.topics.memory_left() as u64 {
            let exchange = upload.exchange;
            self.end_phase(context);
            self.refuse_and_close(context, exchange, &Problem::from(Refusal::MemoryUsedUp));
        }
        used
    }

    fn end_upload<T: Topics>(&mut self, context: &mut Context<'_, T>) {
        let Phase::Upload(upload) = self.end_phase(context) else { return };
        let Upload { exchange, purpose, payload, .. } = *upload;
        let publish = match purpose {
            Purpose::Drop(route) => return self.carry_out(context, exchange, route),
            Purpose::Explain => return self.explain(context, exchange, &payload),
            Purpose::Publish(publish) => publish,
        };
        let Publish { topic, content_type, event, key } = publish;
        match Message::new(payload, content_type.as_deref(), event, context.now.wall_ms) {
            Err(error) => self.refuse(context, exchange, &Problem::from(error)),
            Ok(message) => {
                let again = Again::Publish(Arc::new(message), key);
                self.ask(context, exchange, topic, again);
            }
        }
    }

    /// Asks for a deletion.
    pub(super) fn begin_delete<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        exchange: Exchange,
        topic: TopicName,
    ) {
        self.ask(context, exchange, topic, Again::Delete);
    }

    fn ask<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        exchange: Exchange,
        topic: TopicName,
        again: Again,
    ) {
        let is_deletion = matches!(again, Again::Delete);
        let (again, number) = (Some(again), self.requests);
        let awaiting = Awaiting { exchange, topic, again, is_deletion, number };
        self.phase = Phase::Awaiting(Box::new(awaiting));
        self.deadline = Instant::NEVER;
        self.ask_again(context);
    }

    /// Asks, for the first time or because there was no room.
    pub(super) fn ask_again<T: Topics>(&mut self, context: &mut Context<'_, T>) {
        let Phase::Awaiting(awaiting) = &mut self.phase else { return };
        let ticket = Ticket { connection: context.key, number: awaiting.number };
        let publishing = match &awaiting.again {
            None => return,
            Some(Again::Publish(message, key)) => {
                context.topics.publish(context.now, &awaiting.topic, message, key.as_ref(), ticket)
            }
            Some(Again::Delete) => context.topics.delete(context.now, &awaiting.topic, ticket),
        };
        self.busy = publishing == Publishing::Busy;
        if !self.busy {
            awaiting.again = None;
        }
        if let Publishing::Done(outcome) = publishing {
            self.report(context, outcome);
        }
    }

    /// Takes the outcome of the publish or deletion with this number.
    pub(super) fn settle_awaiting<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        number: u32,
        outcome: Outcome,
    ) {
        if matches!(&self.phase, Phase::Awaiting(awaiting) if awaiting.number == number) {
            self.report(context, outcome);
        }
    }

    fn report<T: Topics>(&mut self, context: &mut Context<'_, T>, outcome: Outcome) {
        let Phase::Awaiting(awaiting) = &self.phase else { return };
        let mut exchange = awaiting.exchange;
        let position = match outcome {
            Ok(position) => position,
            Err(refusal) => {
                let problem = Problem::from(refusal).for_topic(context.config, &awaiting.topic);
                return self.refuse(context, exchange, &problem);
            }
        };
        let (status, member) = if awaiting.is_deletion {
            (Status::OK, "cursor")
        } else {
            context.counters.published += 1;
            (Status::CREATED, "id")
        };
        let mut body = Vec::with_capacity(awaiting.topic.as_str().len() + 64);
        Object::new(&mut body)
            .string("topic", awaiting.topic.as_str())
            .string(member, &position.text())
            .end();
        body.push(b'\n');
        exchange.persistent = self.persists(context, &exchange);
        self.outbox.write(|out| {
            respond::answer(out, context, &exchange, status, "application/json", &body);
        });
        self.finish(context, exchange);
    }

    /// The body comes too slowly.
    pub(super) fn refuse_slow_upload<T: Topics>(&mut self, context: &mut Context<'_, T>) {
        if let Phase::Upload(upload) = self.end_phase(context) {
            self.refuse_and_close(context, upload.exchange, &TOO_SLOW);
            self.phase = Phase::Flushing(CloseReason::BodyTimeout);
        }
    }
}

/// Whether a publish whose body is announced so may begin, with so many bytes of memory left.
pub(super) fn check_publish(
    framing: Framing,
    config: &Config,
    topic: &TopicName,
    memory_left: u64,
) -> Result<(), Problem> {
    match framing {
        // RFC 9110 §8.6: without either field there is no body, and whoever publishes forgot it.
        Framing::None => Err(LENGTH_REQUIRED),
        Framing::Length(length) => {
            admit(config, topic, usize::try_from(length).unwrap_or(usize::MAX))?;
            let fits = length <= memory_left;
            fits.then_some(()).ok_or(Problem::from(Refusal::MemoryUsedUp))
        }
        Framing::Chunked => Ok(()),
    }
}

/// Whether a body that nobody needs, announced so, is read and dropped.
pub(super) fn check_drop(framing: Framing, bytes_max: u64) -> Result<(), Problem> {
    match framing {
        Framing::Length(length) if length > bytes_max => Err(UNWANTED_TOO_LARGE),
        _ => Ok(()),
    }
}

pub(super) const LENGTH_REQUIRED: Problem = Problem::new(
    ProblemKind::LengthRequired,
    "The request has neither Content-Length (0 for an empty body) nor Transfer-Encoding: chunked, and needs a body.",
);

/// A body that came too slowly.
const TOO_SLOW: Problem = Problem::new(
    ProblemKind::BodyTooSlow,
    "The body came more slowly than {limit} bytes per second (--body-rate-min, after --body-grace). Send it again, faster.",
);

const UNWANTED_TOO_LARGE: Problem = Problem::new(
    ProblemKind::UnwantedBodyTooLarge,
    "The request needs no body, and has one of more than {limit} bytes (--drop-bytes-max). Leave it out.",
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn a_request_under_way_is_held_to_its_size() {
        // Boxed, so as not to be part of every connection: a herd of publishers pays for them.
        assert_eq!((size_of::<Upload>(), size_of::<Awaiting>()), (208, 64));
    }
}
