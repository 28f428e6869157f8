//! What a WebSocket client sends: frames in, messages published, pings answered, outcomes reported.

use std::sync::Arc;

use super::command::Label;
use super::context::Context;
use super::pending::Ready;
use super::{Connection, Phase};
use crate::counters::CloseReason;
use crate::problem_kind::ProblemKind;
use crate::topic::{Message, Outcome, Topics};

use crate::wire::websocket::{
    CloseCode, Incoming, MessageLimits, Opcode, encode_close, encode_frame,
};

/// Bytes owed to a client at which its pings are no longer all answered, but only the newest.
const PONG_OUTBOX_BYTES_MAX: usize = 4 * 1024;

impl Connection {
    /// Reads frames; returns how many bytes it took.
    pub(super) fn read_frames<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        input: &mut [u8],
        steps_left: &mut usize,
    ) -> usize {
        let limits = MessageLimits {
            message_bytes_max: context.config.limits.websocket_message_bytes_max,
            fragments_max: context.config.limits.websocket_fragments_max as usize,
        };
        let most = context.outbox_bytes_max;
        let mut used = 0;
        while let Phase::WebSocket(websocket) = &mut self.phase {
            let has_room = websocket.wants_read() && self.outbox.cost_bytes() < most;
            if used == input.len() || !has_room || *steps_left == 0 {
                break;
            }
            let traffic = websocket.traffic.get_or_insert_default();
            match traffic.reader.read(&mut input[used..], &limits) {
                Ok((count, incoming)) => {
                    used += count;
                    match incoming {
                        Some(incoming) => {
                            *steps_left -= 1;
                            self.handle_incoming(context, incoming);
                        }
                        None => break,
                    }
                }
                Err(error) => {
                    self.close_websocket(context, error.close_code(), error.reason());
                    break;
                }
            }
        }
        if used > 0 {
            self.note_heard(context);
        }
        self.count_unfinished(context);
        self.drop_idle_traffic(context);
        used
    }

    /// Counts what there is of an unfinished message as a body under way, as it may be large and is kept.
    fn count_unfinished<T: Topics>(&mut self, context: &mut Context<'_, T>) {
        let Phase::WebSocket(websocket) = &mut self.phase else { return };
        let Some(traffic) = &mut websocket.traffic else { return };
        let bytes = traffic.reader.allocated_bytes() as u64;
        let has_grown = bytes > traffic.counted_bytes;
        context.counters.body_bytes += bytes;
        context.counters.body_bytes -= std::mem::replace(&mut traffic.counted_bytes, bytes);
        if has_grown && context.counters.body_bytes > context.topics.memory_left() as u64 {
            let reason = "no memory left for now";
            self.close_websocket(context, CloseCode::TRY_AGAIN_LATER, reason);
        }
    }

    /// The client is alive; and an unfinished message has its own time.
    fn note_heard<T: Topics>(&mut self, context: &mut Context<'_, T>) {
        let now = context.now.instant;
        let Phase::WebSocket(websocket) = &mut self.phase else { return };
        websocket.awaiting_pong = false;
        self.deadline = now.on_a_beat(websocket.ping_ms);
        if let Some(traffic) = &mut websocket.traffic {
            if traffic.reader.message_is_unfinished() {
                let since = *traffic.unfinished_since.get_or_insert(now);
                let message_due = since + context.config.limits.websocket_message_ms;
                self.deadline = self.deadline.min(message_due);
            } else {
                traffic.unfinished_since = None;
            }
        }
    }

    fn handle_incoming<T: Topics>(&mut self, context: &mut Context<'_, T>, incoming: Incoming) {
        let Phase::WebSocket(websocket) = &mut self.phase else { return };
        match incoming {
            Incoming::Text(text) if websocket.json => self.handle_command(context, &text),
            Incoming::Binary(_) if websocket.json => {
                let reason = "tidings.json has text frames only";
                self.close_websocket(context, CloseCode::UNSUPPORTED, reason);
            }
            Incoming::Text(text) => {
                self.publish_raw(context, text.into_bytes(), b"text/plain");
            }
            Incoming::Binary(bytes) => {
                self.publish_raw(context, bytes, b"application/octet-stream");
            }
            Incoming::Pong => (),
            Incoming::Ping(payload) => {
                let second = (context.now.instant.as_ms() / 1_000) as u32;
                if websocket.pings.0 != second {
                    websocket.pings = (second, 0);
                }
                websocket.pings.1 = websocket.pings.1.saturating_add(1);
                if websocket.pings.1 > context.config.limits.pings_per_second {
                    return self.close_websocket(context, CloseCode::POLICY, "too many pings");
                }
                // RFC 6455 §5.5.3: when several wait, answering the newest is enough.
                if let Some(traffic) = &mut websocket.traffic {
                    traffic.pong = Some(payload);
                }
                self.send_pong();
            }
            Incoming::Close(close) => {
                // RFC 6455 §5.5.1: echo the status code.
                self.outbox.write(|out| match close {
                    Some((code, _)) => encode_close(out, code, ""),
                    None => encode_frame(out, Opcode::Close, b""),
                });
                self.end_phase(context);
                self.end_after_flush(context, CloseReason::WebSocketClosed);
            }
        }
    }

    pub(super) fn send_pong(&mut self) {
        let Phase::WebSocket(websocket) = &mut self.phase else { return };
        if self.outbox.len() < PONG_OUTBOX_BYTES_MAX
            && let Some(traffic) = &mut websocket.traffic
            && let Some(payload) = traffic.pong.take()
        {
            self.outbox.write(|out| encode_frame(out, Opcode::Pong, &payload));
        }
    }

    fn publish_raw<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        payload: Vec<u8>,
        content_type: &[u8],
    ) {
        let Phase::WebSocket(websocket) = &mut self.phase else { return };
        let Some(topic) = websocket.subscription.sole_topic(context).cloned() else {
            let reason = "publishing needs one topic in the URL";
            return self.close_websocket(context, CloseCode::POLICY, reason);
        };
        let time_ms = context.now.wall_ms;
        if let Ok(message) = Message::new(payload, Some(content_type), None, time_ms) {
            let ready = Ready { topic, message: Arc::new(message), key: None };
            if let Err(problem) = ready.admit(context.config) {
                let pending = &mut websocket.traffic.get_or_insert_default().pending;
                pending.refuse(Label::Raw, problem);
                return self.report_publishes(context);
            }
            self.publish_from_websocket(context, ready, Label::Raw);
        }
    }

    /// Publishes, or keeps the message until there is room.
    pub(super) fn publish_from_websocket<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        ready: Ready,
        label: Label,
    ) {
        let Phase::WebSocket(websocket) = &mut self.phase else { return };
        let pending = &mut websocket.traffic.get_or_insert_default().pending;
        self.busy = !pending.publish(context, ready, label);
        self.report_publishes(context);
    }

    /// Publishes the message that found no room, if there is some now.
    pub(super) fn publish_stalled_message<T: Topics>(&mut self, context: &mut Context<'_, T>) {
        let Phase::WebSocket(websocket) = &mut self.phase else { return };
        let Some(traffic) = &mut websocket.traffic else { return };
        self.busy = !traffic.pending.retry(context);
        self.report_publishes(context);
    }

    /// Takes the outcome of a publish.
    pub(super) fn settle_websocket<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        number: u32,
        outcome: Outcome,
    ) {
        let Phase::WebSocket(websocket) = &mut self.phase else { return };
        if let Some(traffic) = &mut websocket.traffic {
            traffic.pending.settle(number, outcome);
        }
        self.report_publishes(context);
    }

    /// Reports on publishes in their order. Raw ones are only heard of when they fail.
    fn report_publishes<T: Topics>(&mut self, context: &mut Context<'_, T>) {
        while let Phase::WebSocket(websocket) = &mut self.phase {
            let Some((label, verdict)) =
                websocket.traffic.as_mut().and_then(|traffic| traffic.pending.pop())
            else {
                break;
            };
            match (&label, verdict) {
                (Label::Raw, Ok(_)) => context.counters.published += 1,
                (Label::Raw, Err(problem)) if problem.is_temporary() => {
                    context.counters.count_refusal(&problem);
                    let reason = "no memory or topic left for now, or the topic's worker failed";
                    self.close_websocket(context, CloseCode::TRY_AGAIN_LATER, reason);
                }
                (Label::Raw, Err(problem)) if problem.kind == ProblemKind::PublishingClosed => {
                    context.counters.count_refusal(&problem);
                    let reason = "no client may publish to this topic";
                    self.close_websocket(context, CloseCode::POLICY, reason);
                }
                (Label::Raw, Err(problem)) => {
                    context.counters.count_refusal(&problem);
                    self.close_websocket(context, CloseCode::TOO_BIG, "larger than a topic may be");
                }
                (Label::Command { request, topic }, Ok(position)) => {
                    context.counters.published += 1;
                    self.send_object(request.as_deref(), "published", |object| {
                        object.string("topic", topic.as_str()).string("id", &position.text())
                    });
                }
                (Label::Command { request, topic }, Err(problem)) => {
                    let problem = problem.for_topic(context.config, topic);
                    self.send_error(context, request.as_deref(), &problem);
                }
            }
        }
        self.drop_idle_traffic(context);
    }

    pub(super) fn drop_idle_traffic<T: Topics>(&mut self, context: &mut Context<'_, T>) {
        if let Phase::WebSocket(websocket) = &mut self.phase
            && let Some(traffic) = websocket.traffic.take_if(|traffic| traffic.is_idle())
        {
            context.counters.body_bytes -= traffic.counted_bytes;
        }
    }
}
