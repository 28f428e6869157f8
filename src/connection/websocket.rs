//! An open WebSocket (RFC 6455, docs/protocol.md 11): frames in, messages out, pings and goodbyes.

use super::command::Label;
use super::context::Context;
use super::pending::Pending;
use super::problem::Problem;
use super::route::{Exchange, Handshake};
use super::subscription::{Opening, Subscription, Told};
use super::{Connection, Phase, respond};
use crate::buffer::Outbox;
use crate::counters::{CloseReason, Wire};
use crate::time::Instant;
use crate::topic::{Encoded, Format, Refusal, Start, TopicName, Topics};
use crate::wire::envelope::{Object, encode_gap};
use crate::wire::http1::Status;
use crate::wire::websocket::{
    CloseCode, MessageReader, Opcode, encode_close, encode_frame, encode_header,
};

/// An open WebSocket.
#[derive(Debug)]
pub(super) struct WebSocket {
    pub(super) subscription: Subscription,
    /// Topics that have not begun, and what is said when they do.
    pub(super) opening: Option<Box<Beginning>>,
    /// What is under way with this client; nothing for one that only listens.
    pub(super) traffic: Option<Box<Traffic>>,
    /// Milliseconds of silence after which it is pinged, jittered for this client.
    pub(super) ping_ms: u32,
    /// The second in which pings were counted, and how many.
    pub(super) pings: (u32, u16),
    /// Errors that its commands caused.
    pub(super) errors: u16,
    pub(super) json: bool,
    pub(super) awaiting_pong: bool,
}

/// A subscription, or part of one, that waits for its topics to be known.
#[derive(Debug)]
pub(super) struct Beginning {
    pub(super) start: Start,
    pub(super) asked: Asked,
}

/// Who asked for topics, and so what is said when they begin.
#[derive(Debug)]
pub(super) enum Asked {
    /// The opening handshake, which is still to be answered.
    Url(Exchange, Handshake),
    /// A command.
    Command {
        /// Its `request` member, as JSON.
        request: Option<String>,
        /// Its topics.
        topics: Vec<TopicName>,
        /// Whether those of them that are subscribed to already begin anew.
        again: bool,
    },
}

/// What is under way from a client.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    pub(super) reader: MessageReader,
    /// What the counters hold of the reader's bytes.
    pub(super) counted_bytes: u64,
    /// When the message that is being read began.
    pub(super) unfinished_since: Option<Instant>,
    /// Publishes whose outcome the client has not been told.
    pub(super) pending: Pending<Label>,
    /// The newest ping that was not answered yet.
    pub(super) pong: Option<Vec<u8>>,
}

impl Traffic {
    pub(super) fn is_idle(&self) -> bool {
        self.reader.is_idle() && self.pending.is_empty() && self.pong.is_none()
    }
}

impl WebSocket {
    /// A message that is under way may take so much longer.
    pub(super) fn forgive(&mut self, ms: u64) {
        if let Some(since) = self.traffic.as_mut().and_then(|it| it.unfinished_since.as_mut()) {
            *since = *since + ms;
        }
    }

    /// Whether frames can be taken: not before the handshake is answered, and a command is carried out
    /// before the next is looked at.
    pub(super) fn wants_read(&self) -> bool {
        let has_room = |traffic: &Traffic| traffic.pending.has_room();
        self.opening.is_none() && self.traffic.as_deref().is_none_or(has_room)
    }
}

impl Connection {
    /// Accepts an opening handshake. It is answered when the topics are known: a client that was told
    /// that its socket is open misses nothing that is published from then on.
    pub(super) fn begin_websocket<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        exchange: Exchange,
        handshake: Handshake,
    ) {
        let subscription = match Subscription::open(context, &handshake.topics) {
            Ok(subscription) => subscription,
            Err(refusal) => {
                let problem = Problem::from(refusal);
                return self.refuse_websocket(context, exchange, &handshake, &problem);
            }
        };
        context.counters.subscriptions[Wire::WebSocket as usize] += 1;
        let ping_ms = context.jittered(context.config.limits.ping_ms, 5);
        let (start, json) = (handshake.start.clone(), handshake.json);
        self.phase = Phase::WebSocket(WebSocket {
            subscription,
            opening: Some(Box::new(Beginning { start, asked: Asked::Url(exchange, handshake) })),
            traffic: None,
            ping_ms: u32::try_from(ping_ms).unwrap_or(u32::MAX),
            pings: (0, 0),
            errors: 0,
            json,
            awaiting_pong: false,
        });
        // Until the handshake is answered no frame may be sent: nobody is pinged.
        self.deadline = Instant::NEVER;
        self.refill_wanted = true;
    }

    /// Refuses a WebSocket for now. A browser is not told why a handshake fails; so it succeeds, and the
    /// close says it.
    pub(super) fn refuse_websocket<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        exchange: Exchange,
        handshake: &Handshake,
        problem: &Problem,
    ) {
        context.counters.count_refusal(problem);
        self.switch_protocols(context, exchange, handshake);
        self.close_for_now(context, CloseReason::Refused);
    }

    /// Writes the answer to the opening handshake (RFC 6455 §4.2.2).
    fn switch_protocols<T: Topics>(
        &mut self,
        context: &Context<'_, T>,
        mut exchange: Exchange,
        handshake: &Handshake,
    ) {
        if exchange.expects_continue {
            // RFC 9110 §7.8: 100 before 101.
            self.outbox.push_static(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        exchange.persistent = true;
        let accept = std::str::from_utf8(&handshake.accept).expect("base64 is ASCII");
        self.outbox.write(|out| {
            let mut head =
                respond::begin_head(out, context, &exchange, Status::SWITCHING_PROTOCOLS)
                    .field("Upgrade", "websocket")
                    .field("Connection", "Upgrade")
                    .field("Sec-WebSocket-Accept", accept);
            if handshake.json {
                head = head.field("Sec-WebSocket-Protocol", "tidings.json");
            }
            head.end();
        });
    }

    /// Queues what is due and fits.
    pub(super) fn refill_websocket<T: Topics>(&mut self, context: &mut Context<'_, T>) {
        self.send_pong();
        self.drop_idle_traffic(context);
        if !self.open_topics(context) {
            return;
        }
        let Phase::WebSocket(websocket) = &mut self.phase else { return };
        let json = websocket.json;
        let format = if json { Format::WebSocketEnvelope } else { Format::WebSocketRaw };
        let several = if json { Encoded::body } else { Encoded::framed };
        let most = context.outbox_bytes_max;
        let before = self.outbox.len();
        if self.outbox.is_empty()
            && let Some(run) = websocket.subscription.next_run(context, format, most)
        {
            self.outbox.push(run);
        }
        while let Phase::WebSocket(websocket) = &mut self.phase
            && self.outbox.cost_bytes() < most
        {
            match websocket.subscription.next(context, format, Encoded::framed, several) {
                None => break,
                Some(Told::Message(frame)) if !json || websocket.subscription.len() == 1 => {
                    self.outbox.push(frame);
                }
                Some(Told::Message(body)) => {
                    let cursor = websocket.subscription.cursor(context);
                    let prefix = format!("{{\"cursor\":\"{cursor}\",");
                    // The prefix has opened the object.
                    let rest = body.part(1, body.len() as u32);
                    self.outbox.write(|out| {
                        encode_header(out, Opcode::Text, prefix.len() + rest.len());
                        out.extend_from_slice(prefix.as_bytes());
                    });
                    self.outbox.push(rest);
                }
                Some(Told::Gap(topic, count)) if json => {
                    let cursor = websocket.subscription.cursor(context);
                    let mut notice = b"{\"type\":\"gap\",".to_vec();
                    encode_gap(&mut notice, topic.as_str(), count);
                    notice.extend_from_slice(format!(",\"cursor\":\"{cursor}\"}}").as_bytes());
                    self.outbox.write(|out| encode_frame(out, Opcode::Text, &notice));
                }
                Some(Told::Gap(topic, count)) => {
                    let topic = topic.as_str();
                    let reason = match count {
                        Some(1) => format!("gap: 1 message of \"{topic}\" is gone"),
                        Some(count) => format!("gap: {count} messages of \"{topic}\" are gone"),
                        None => format!("gap: messages of \"{topic}\" are gone"),
                    };
                    self.close_websocket(context, CloseCode::GAP, &reason);
                }
            }
        }
        if self.outbox.len() > before {
            self.note_sent(context);
        }
    }

    /// Something was sent: a ping is not due yet, unless one is being waited for.
    fn note_sent<T: Topics>(&mut self, context: &Context<'_, T>) {
        let Phase::WebSocket(websocket) = &self.phase else { return };
        let is_reading =
            websocket.traffic.as_ref().is_some_and(|traffic| traffic.unfinished_since.is_some());
        if !websocket.awaiting_pong && !is_reading {
            self.deadline = context.now.instant.on_a_beat(websocket.ping_ms);
        }
    }

    /// Begins topics that have not begun, once they are known, and says so. Whether all have.
    fn open_topics<T: Topics>(&mut self, context: &mut Context<'_, T>) -> bool {
        let Phase::WebSocket(websocket) = &mut self.phase else { return false };
        let Some(beginning) = &websocket.opening else { return true };
        let again: &[TopicName] = match &beginning.asked {
            Asked::Command { topics, again: true, .. } => topics,
            _ => &[],
        };
        match websocket.subscription.resolve(context, &beginning.start, again) {
            Opening::Waiting => return false,
            Opening::Ready => (),
            Opening::Refused(refusal) => {
                self.refuse_topics(context, refusal);
                return false;
            }
        }
        let Some(beginning) = websocket.opening.take() else { return true };
        let cursor =
            (websocket.subscription.len() > 0).then(|| websocket.subscription.cursor(context));
        let (json, cursor) = (websocket.json, cursor.as_deref());
        let ping_ms = websocket.ping_ms;
        match beginning.asked {
            Asked::Url(exchange, handshake) => {
                self.deadline = context.now.instant.on_a_beat(ping_ms);
                self.switch_protocols(context, exchange, &handshake);
                if json {
                    self.send_object(None, "open", |object| object.optional("cursor", cursor));
                }
            }
            Asked::Command { request, topics, .. } => {
                self.send_subscriptions(request.as_deref(), "subscribed", &topics, cursor);
            }
        }
        // Frames behind it may be here already.
        self.more = true;
        true
    }

    /// Topics that were asked for cannot be had.
    fn refuse_topics<T: Topics>(&mut self, context: &mut Context<'_, T>, refusal: Refusal) {
        let Phase::WebSocket(websocket) = &mut self.phase else { return };
        let Some(beginning) = websocket.opening.take() else { return };
        match beginning.asked {
            Asked::Url(exchange, handshake) => {
                self.end_phase(context);
                self.refuse_websocket(context, exchange, &handshake, &Problem::from(refusal));
            }
            Asked::Command { request, .. } => {
                websocket.subscription.remove_fresh(context);
                self.send_error(context, request.as_deref(), &Problem::from(refusal));
                self.more = true;
            }
        }
    }

    /// Nothing was sent or heard for a while, or an answer is overdue.
    pub(super) fn ping<T: Topics>(&mut self, context: &mut Context<'_, T>) {
        let now = context.now.instant;
        let limits = &context.config.limits;
        let Phase::WebSocket(websocket) = &mut self.phase else { return };
        let unfinished = websocket.traffic.as_ref().and_then(|traffic| traffic.unfinished_since);
        if unfinished.is_some_and(|since| since + limits.websocket_message_ms <= now) {
            let reason = "the message did not arrive in time";
            return self.close_websocket(context, CloseCode::POLICY, reason);
        }
        if websocket.awaiting_pong {
            return self.close(context, CloseReason::PongTimeout);
        }
        websocket.awaiting_pong = true;
        self.outbox.push_static(&[0x89, 0]);
        self.deadline = now + limits.pong_wait_ms;
    }

    /// The server goes away (docs/protocol.md 18).
    pub(super) fn drain_websocket<T: Topics>(&mut self, context: &mut Context<'_, T>) {
        let Phase::WebSocket(websocket) = &mut self.phase else { return };
        let opening = websocket.opening.take();
        self.end_phase(context);
        if let Some(Asked::Url(exchange, handshake)) = opening.map(|beginning| beginning.asked) {
            self.switch_protocols(context, exchange, &handshake);
        }
        self.close_for_now(context, CloseReason::Drained);
    }

    /// The operator ends it (docs/protocol.md 19.5).
    pub(super) fn kill_websocket<T: Topics>(&mut self, context: &mut Context<'_, T>) {
        let Phase::WebSocket(websocket) = &mut self.phase else { return };
        let opening = websocket.opening.take();
        self.end_phase(context);
        if let Some(Asked::Url(exchange, handshake)) = opening.map(|beginning| beginning.asked) {
            self.switch_protocols(context, exchange, &handshake);
        }
        let reason = "the operator has ended this connection";
        self.outbox.write(|out| encode_close(out, CloseCode::POLICY, reason));
        self.end_after_flush(context, CloseReason::Killed);
    }

    /// Closes with 1012 and the time after which the client should come back.
    fn close_for_now<T: Topics>(&mut self, context: &mut Context<'_, T>, reason: CloseReason) {
        let text = format!("retry_ms={}", context.retry_ms());
        self.outbox.write(|out| encode_close(out, CloseCode::SERVICE_RESTART, &text));
        self.end_after_flush(context, reason);
    }

    /// Starts the closing handshake; what the client still sends is dropped.
    pub(super) fn close_websocket<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        code: CloseCode,
        reason: &str,
    ) {
        self.end_phase(context);
        self.outbox.write(|out| encode_close(out, code, reason));
        self.end_after_flush(context, CloseReason::Refused);
    }

    /// Sends an object of the subprotocol: `type`, `request` if there was one, then `members`.
    pub(super) fn send_object(
        &mut self,
        request: Option<&str>,
        kind: &str,
        members: impl FnOnce(Object<'_>) -> Object<'_>,
    ) {
        let mut text = Vec::with_capacity(96);
        let mut object = Object::new(&mut text).string("type", kind);
        if let Some(request) = request {
            object = object.value("request", |out| out.extend_from_slice(request.as_bytes()));
        }
        members(object).end();
        send_text(&mut self.outbox, &text);
    }
}

fn send_text(outbox: &mut Outbox, text: &[u8]) {
    outbox.write(|out| encode_frame(out, Opcode::Text, text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn an_open_websocket_is_held_to_its_size() {
        // The first, with a poll, is the largest phase and decides the size of every connection; the second is
        // there while its client says something.
        assert_eq!((size_of::<WebSocket>(), size_of::<Traffic>()), (72, 264));
    }
}
