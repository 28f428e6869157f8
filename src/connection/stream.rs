//! Server-Sent Events and NDJSON streams (docs/protocol.md 9, 10): a subscription that does not end.

use super::Connection;
use super::Phase;
use super::context::Context;
use super::problem::{DRAINING, Problem};
use super::respond;
use super::route::{Exchange, Read, ReadWire};
use super::subscription::{Opening, Subscription, Told};
use crate::buffer::{Chunk, Outbox};
use crate::counters::{CloseReason, Wire};
use crate::planted::{Fault, planted};
use crate::time::Instant;
use crate::topic::{Encoded, Format, Start, Topics};
use crate::wire::envelope::{Object, encode_gap};
use crate::wire::http1::{LAST_CHUNK, Status, encode_chunk_size};
use crate::wire::sse;

/// An open stream.
#[derive(Debug)]
pub(super) struct Stream {
    subscription: Subscription,
    /// Where to begin, and what was asked; taken when the topics are known and the head is written.
    opening: Option<Box<(Start, Exchange)>>,
    /// Milliseconds of silence after which a heartbeat is due, jittered for this client.
    heartbeat_ms: u32,
    /// Bytes that the client may still send.
    input_left: u32,
    layout: Layout,
}

/// What a stream's bytes look like.
#[derive(Copy, Clone, Debug)]
struct Layout {
    is_sse: bool,
    /// SSE: the data is the envelope.
    envelope: bool,
    /// HTTP/1.1: in chunks. HTTP/1.0: until the connection closes.
    chunked: bool,
}

impl Layout {
    const fn new(wire: ReadWire, exchange: &Exchange) -> Self {
        Self {
            is_sse: matches!(wire, ReadWire::EventStream { .. }),
            envelope: matches!(wire, ReadWire::EventStream { envelope: true }),
            chunked: !exchange.http10,
        }
    }

    const fn format(self) -> Format {
        match (self.is_sse, self.envelope) {
            (true, false) => Format::Sse,
            (true, true) => Format::SseEnvelope,
            (false, _) => Format::Ndjson,
        }
    }

    const fn wire(self) -> Wire {
        if self.is_sse { Wire::Sse } else { Wire::Ndjson }
    }

    /// Queues one event or line of the stream's own: `prefix`, then the shared `body`, then what ends it.
    fn queue(self, outbox: &mut Outbox, prefix: &[u8], body: Option<Chunk>) {
        let tail: &'static [u8] = match (self.is_sse, self.chunked) {
            (true, false) => b"",
            (true, true) => b"\r\n",
            (false, false) => b"\n",
            (false, true) => b"\n\r\n",
        };
        let line_end = usize::from(!self.is_sse);
        let length = prefix.len() + body.as_ref().map_or(0, Chunk::len) + line_end;
        outbox.write(|out| {
            if self.chunked {
                encode_chunk_size(out, length);
            }
            out.extend_from_slice(prefix);
        });
        if let Some(body) = body {
            outbox.push(body);
        }
        outbox.push_static(tail);
    }
}

impl Connection {
    /// Begins a stream. The head is written when the topics are known.
    pub(super) fn begin_stream<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        exchange: Exchange,
        read: Read,
    ) {
        let layout = Layout::new(read.wire, &exchange);
        let subscription = match Subscription::open(context, &read.topics) {
            Ok(subscription) => subscription,
            Err(refusal) => {
                return self.refuse_stream(context, exchange, layout, &Problem::from(refusal));
            }
        };
        context.counters.subscriptions[layout.wire() as usize] += 1;
        let heartbeat_ms = context.jittered(context.config.limits.heartbeat_ms, 5);
        self.phase = Phase::Stream(Stream {
            subscription,
            opening: Some(Box::new((read.start, exchange))),
            heartbeat_ms: u32::try_from(heartbeat_ms).unwrap_or(u32::MAX),
            input_left: crate::limits::STREAM_INPUT_BYTES_MAX,
            layout,
        });
        self.deadline = Instant::NEVER;
        self.refill_wanted = true;
    }

    /// Queues what is due and fits.
    pub(super) fn refill_stream<T: Topics>(&mut self, context: &mut Context<'_, T>) {
        let before = self.outbox.len();
        if !self.open_stream(context) {
            return;
        }
        let is_replay = planted(Fault::RepeatsAtSeam) && self.outbox.len() > before;
        let Phase::Stream(stream) = &mut self.phase else { return };
        let most = context.outbox_bytes_max;
        let stale = planted(Fault::SendsStaleCursor).then(|| stream.subscription.cursor(context));
        let layout = stream.layout;
        let format = layout.format();
        let sole = if layout.chunked { Encoded::framed } else { Encoded::unframed };
        if layout.chunked
            && self.outbox.is_empty()
            && let Some(run) = stream.subscription.next_run(context, format, most)
        {
            self.outbox.push(run);
        }
        while self.outbox.cost_bytes() < most || planted(Fault::FillsStreamsWithoutBound) {
            match stream.subscription.next(context, format, sole, Encoded::body) {
                None => break,
                Some(Told::Message(chunk))
                    if planted(Fault::DropsLargeMessage) && chunk.len() > most => {}
                Some(Told::Message(chunk)) if stream.subscription.len() == 1 => {
                    if is_replay && !stream.subscription.is_behind(context) {
                        self.outbox.push(chunk.clone());
                    }
                    self.outbox.push(chunk);
                    if !layout.chunked && !layout.is_sse {
                        self.outbox.push_static(b"\n");
                    }
                }
                Some(Told::Message(body)) => {
                    let cursor = stream.subscription.cursor(context);
                    let cursor = stale.as_ref().unwrap_or(&cursor);
                    queue_with_cursor(&mut self.outbox, layout, cursor, body);
                }
                Some(Told::Gap(topic, count)) => {
                    let cursor = stream.subscription.cursor(context);
                    let mut notice = Vec::new();
                    encode_gap(&mut notice, topic.as_str(), count);
                    queue_notice(&mut self.outbox, layout, "gap", &notice, Some(&cursor));
                }
            }
        }
        if self.outbox.len() > before {
            self.deadline = context.now.instant.on_a_beat(stream.heartbeat_ms);
        }
    }

    /// Writes the head and the opening lines once the topics are known. Whether the stream is open.
    fn open_stream<T: Topics>(&mut self, context: &mut Context<'_, T>) -> bool {
        let Phase::Stream(stream) = &mut self.phase else { return false };
        let Some(opening) = &stream.opening else { return true };
        let (start, mut exchange) = (&opening.0, opening.1);
        match stream.subscription.resolve(context, start, &[]) {
            Opening::Waiting => return false,
            Opening::Ready => (),
            Opening::Refused(refusal) => {
                let layout = stream.layout;
                self.end_phase(context);
                self.refuse_stream(context, exchange, layout, &Problem::from(refusal));
                return false;
            }
        }
        stream.opening = None;
        let (layout, heartbeat_ms) = (stream.layout, stream.heartbeat_ms);
        exchange.persistent &= layout.chunked;
        let (cursor, retry_ms) = (stream.subscription.cursor(context), context.retry_ms());
        write_head(&mut self.outbox, context, &exchange, layout);
        let mut opening = Vec::with_capacity(cursor.len() + 48);
        if layout.is_sse {
            sse::encode_retry(&mut opening, retry_ms);
            sse::encode_id(&mut opening, &cursor);
            opening.extend_from_slice(b"\n: tidings\n\n");
        } else {
            Object::new(&mut opening).string("type", "open").string("cursor", &cursor).end();
        }
        layout.queue(&mut self.outbox, &opening, None);
        self.deadline = context.now.instant.on_a_beat(heartbeat_ms);
        true
    }

    /// Sends a heartbeat; called when nothing was sent for a while.
    pub(super) fn beat<T: Topics>(&mut self, context: &mut Context<'_, T>) {
        let Phase::Stream(stream) = &self.phase else { return };
        self.outbox.push_static(match (stream.layout.is_sse, stream.layout.chunked) {
            (true, true) => b"3\r\n:\n\n\r\n",
            (true, false) => b":\n\n",
            (false, true) => b"1\r\n\n\r\n",
            (false, false) => b"\n",
        });
        self.deadline = context.now.instant.on_a_beat(stream.heartbeat_ms);
    }

    /// Ends the stream because the server goes away (docs/protocol.md 18).
    pub(super) fn drain_stream<T: Topics>(&mut self, context: &mut Context<'_, T>) {
        let Phase::Stream(stream) = &mut self.phase else { return };
        let layout = stream.layout;
        let unopened = stream.opening.take().map(|opening| opening.1);
        self.end_phase(context);
        if let Some(exchange) = unopened {
            return self.refuse_stream(context, exchange, layout, &DRAINING);
        }
        let retry_ms = context.retry_ms();
        let mut notice = Vec::new();
        if layout.is_sse {
            sse::encode_retry(&mut notice, retry_ms);
            let mut data = Vec::new();
            Object::new(&mut data).integer("retry_ms", retry_ms).end();
            let data = std::str::from_utf8(&data).expect("JSON is UTF-8");
            sse::encode_event(&mut notice, Some("tidings:drain"), data);
        } else {
            let line = Object::new(&mut notice).string("type", "drain");
            line.integer("retry_ms", retry_ms).end();
        }
        layout.queue(&mut self.outbox, &notice, None);
        if layout.chunked && !planted(Fault::DrainOmitsLastChunk) {
            self.outbox.push_static(LAST_CHUNK);
        }
        self.end_after_flush(context, CloseReason::Drained);
    }

    /// Ends the stream because the operator wants it: with its last chunk, or before it has begun with `problem`.
    pub(super) fn kill_stream<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        problem: &Problem,
    ) {
        let Phase::Stream(stream) = &mut self.phase else { return };
        let layout = stream.layout;
        let unopened = stream.opening.take().map(|opening| opening.1);
        self.end_phase(context);
        if let Some(exchange) = unopened {
            return self.refuse_stream(context, exchange, layout, problem);
        }
        if layout.chunked {
            self.outbox.push_static(LAST_CHUNK);
        }
        self.end_after_flush(context, CloseReason::Killed);
    }

    /// Takes what the client of an open stream sends, which is nothing that we expect.
    pub(super) fn take_stream_input<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        bytes: usize,
    ) {
        let Phase::Stream(stream) = &mut self.phase else { return };
        match stream.input_left.checked_sub(u32::try_from(bytes).unwrap_or(u32::MAX)) {
            Some(left) => stream.input_left = left,
            None => self.close(context, CloseReason::UnexpectedInput),
        }
    }

    /// Refuses a stream: for now in-band, because an `EventSource` never comes back after another status.
    fn refuse_stream<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        mut exchange: Exchange,
        layout: Layout,
        problem: &Problem,
    ) {
        if !problem.is_temporary() {
            return self.refuse(context, exchange, problem);
        }
        context.counters.count_refusal(problem);
        exchange.persistent = false;
        let retry_ms = context.retry_ms();
        write_head(&mut self.outbox, context, &exchange, layout);
        let mut notice = Vec::new();
        if layout.is_sse {
            sse::encode_retry(&mut notice, retry_ms);
            let mut data = Vec::new();
            problem.encode(context.config, &mut data);
            let data = std::str::from_utf8(data.trim_ascii_end()).expect("JSON is UTF-8");
            sse::encode_event(&mut notice, Some("tidings:refused"), data);
        } else {
            let line = Object::new(&mut notice).string("type", "refused");
            problem.encode_into(context.config, line).integer("retry_ms", retry_ms).end();
        }
        layout.queue(&mut self.outbox, &notice, None);
        if layout.chunked {
            self.outbox.push_static(LAST_CHUNK);
        }
        self.end_after_flush(context, CloseReason::Refused);
    }

    /// Refuses a read on its wire when the connection is one too many.
    pub(super) fn refuse_read<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        exchange: Exchange,
        wire: ReadWire,
        problem: &Problem,
    ) {
        match wire {
            ReadWire::ShortPoll | ReadWire::LongPoll { .. } => {
                self.refuse(context, exchange, problem);
            }
            ReadWire::EventStream { .. } | ReadWire::Ndjson => {
                let layout = Layout::new(wire, &exchange);
                self.refuse_stream(context, exchange, layout, problem);
            }
        }
    }
}

impl Stream {
    /// The subscription, and the wire.
    pub(super) fn watched(&self) -> (&Subscription, Wire) {
        (&self.subscription, self.layout.wire())
    }

    /// The subscription, to be ended, and the wire that it was counted on.
    pub(super) fn subscription(&mut self) -> (&mut Subscription, Wire) {
        (&mut self.subscription, self.layout.wire())
    }
}

fn write_head<T: Topics>(
    outbox: &mut Outbox,
    context: &Context<'_, T>,
    exchange: &Exchange,
    layout: Layout,
) {
    outbox.write(|out| {
        let head = respond::begin_head(out, context, exchange, Status::OK).field(
            "Content-Type",
            if layout.is_sse { "text/event-stream" } else { "application/x-ndjson" },
        );
        let mut head =
            respond::topic_fields(head, "no-cache, no-transform").field("X-Accel-Buffering", "no");
        if layout.chunked {
            head = head.field("Transfer-Encoding", "chunked");
        }
        head.end();
    });
}

/// Queues a message for a subscriber of several topics, whose cursor is its own.
fn queue_with_cursor(outbox: &mut Outbox, layout: Layout, cursor: &str, body: Chunk) {
    let mut prefix = Vec::with_capacity(cursor.len() + 16);
    if layout.is_sse {
        sse::encode_id(&mut prefix, cursor);
        layout.queue(outbox, &prefix, Some(body));
    } else {
        prefix.extend_from_slice(b"{\"cursor\":\"");
        prefix.extend_from_slice(cursor.as_bytes());
        prefix.extend_from_slice(b"\",");
        // The prefix has opened the object.
        let rest = body.part(1, body.len() as u32);
        layout.queue(outbox, &prefix, Some(rest));
    }
}

/// Queues a control event or line; `members` are those of a JSON object.
fn queue_notice(
    outbox: &mut Outbox,
    layout: Layout,
    kind: &str,
    members: &[u8],
    cursor: Option<&str>,
) {
    let mut notice = Vec::with_capacity(members.len() + 96);
    if layout.is_sse {
        if let Some(cursor) = cursor {
            sse::encode_id(&mut notice, cursor);
        }
        let members = std::str::from_utf8(members).expect("JSON is UTF-8");
        let event = format!("tidings:{kind}");
        sse::encode_event(&mut notice, Some(&event), &format!("{{{members}}}"));
    } else {
        notice.extend_from_slice(format!("{{\"type\":\"{kind}\",").as_bytes());
        notice.extend_from_slice(members);
        if let Some(cursor) = cursor {
            notice.extend_from_slice(format!(",\"cursor\":\"{cursor}\"").as_bytes());
        }
        notice.push(b'}');
    }
    layout.queue(outbox, &notice, None);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn an_open_stream_is_held_to_its_size() {
        // A phase of a connection, and so part of every one; beyond the largest of them all would grow.
        assert_eq!(size_of::<Stream>(), 64);
    }
}
