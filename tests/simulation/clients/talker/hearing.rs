//! What a client is told on `tidings.json`, and what must be true of it.

use serde_json::Value;

use super::command::Asked;
use super::{NORMAL_CLOSURE, Socket, Talker};
use crate::clients::{Hands, Leaving};
use crate::topics::number_of_topic;
use crate::wires::Told;
use crate::wires::outcomes::is_final;
use crate::wires::websocket::{client, retry_ms};

/// Memory is used up (docs/protocol.md 11.7).
const NO_MEMORY: u16 = 1013;
/// Errors after which a client is closed (docs/protocol.md 11.4).
const ERRORS_MAX: usize = 100;

impl Talker {
    pub(super) fn take(&mut self, hands: &mut Hands<'_>) {
        let Some(socket) = &mut self.socket else { return };
        let bytes = socket.line.take(hands);
        socket.listening.push(&bytes);
        while let Some(socket) = &mut self.socket
            && let Some(told) = socket.listening.next()
        {
            self.hear(hands, told);
        }
    }

    fn hear(&mut self, hands: &mut Hands<'_>, told: Told) {
        let Some(socket) = &mut self.socket else { return };
        hands.hear(&told);
        let (judge, sub) = (&mut *hands.judge, socket.sub);
        match told {
            Told::Open { cursor } => {
                judge.opened(sub, cursor.as_deref());
                (self.cursor, socket.is_open) = (cursor, true);
            }
            Told::Message { topic, id, cursor, payload } => {
                judge.message(sub, topic.as_deref(), id.as_deref(), cursor.as_deref(), &payload);
                let several = self.topics.len() > 1;
                assert_eq!(cursor.is_some(), several, "a cursor of {} topics", self.topics.len());
                let topic = topic.expect("an envelope has a topic");
                self.last[number_of_topic(&topic)].clone_from(&id);
                self.cursor = cursor.or(id);
            }
            Told::Gap { topic, count, cursor } => {
                judge.gap(sub, &topic, count, cursor.as_deref());
                if self.topics.len() == 1 {
                    self.last[number_of_topic(&topic)].clone_from(&cursor);
                }
                self.cursor = cursor;
            }
            Told::Answer(answer) => self.answered(hands, &answer),
            Told::Ping(_) if socket.is_closing => (),
            Told::Ping(payload) => {
                let pong = client::pong(hands.random, &payload);
                socket.line.send(hands, &pong);
            }
            Told::Pong(payload) => {
                // RFC 6455 §5.5.3: those before it are answered with it.
                let index = socket.pings.iter().position(|ping| *ping == payload);
                let index = index.unwrap_or_else(|| panic!("a pong to no ping: {payload:?}"));
                socket.pings.drain(..=index);
            }
            Told::Close { code, reason } => {
                socket.check_close(code, &reason);
                self.go(hands, Leaving::Close, retry_ms(&reason));
                if code == Some(NO_MEMORY) && hands.calm {
                    // There will not be any: nobody goes on for ever.
                    self.again.clear();
                }
            }
            Told::Refused { status, retry_ms } => {
                assert!(matches!(status, 408 | 429 | 503), "a right handshake: {status}");
                self.go(hands, Leaving::Close, retry_ms);
            }
            told => panic!("tidings.json tells {told:?}"),
        }
    }

    fn answered(&mut self, hands: &mut Hands<'_>, answer: &Value) {
        let Some(socket) = &mut self.socket else { return };
        let sub = socket.sub;
        let text = |member: &str| answer.get(member).and_then(Value::as_str);
        let kind = text("type").expect("an answer has a type");
        match (socket.pending.take(answer), kind) {
            (Asked::Subscribe(topics), "subscribed") => {
                check_topics(answer, &topics);
                let cursor = text("cursor").expect("a cursor, as there are topics");
                hands.judge.subscribed(sub, cursor);
                self.topics.extend(topics);
                self.topics.sort_unstable();
                self.topics.dedup();
                self.cursor = Some(cursor.to_owned());
            }
            (Asked::Unsubscribe(topics), "unsubscribed") => {
                check_topics(answer, &topics);
                hands.judge.unsubscribed(sub, &topics, text("cursor"));
                let before = self.topics.clone();
                self.topics.retain(|topic| !topics.contains(topic));
                let cursor = std::mem::replace(&mut self.cursor, text("cursor").map(str::to_owned));
                if let (true, Some(cursor)) = (self.topics.is_empty(), cursor) {
                    self.kept = Some((before, cursor));
                }
            }
            (Asked::Publish(id), "published") => {
                let (topic, _, key) = hands.judge.draft_of(id);
                let is_keyed = key.is_some();
                assert_eq!(text("topic").map(number_of_topic), Some(topic), "{answer}");
                hands.judge.acknowledge(id, text("id").expect("what is published has an id"));
                let before = socket.before[topic].take();
                if let (Some(before), false) = (before, is_keyed) {
                    hands.judge.check_order(before, id);
                }
                socket.before[topic] = (!is_keyed).then_some(id);
            }
            (Asked::Ping, "pong") => (),
            (asked, "error") => self.refused(hands, asked, answer),
            (asked, _) => panic!("{asked:?} is answered with {answer}"),
        }
    }

    fn refused(&mut self, hands: &mut Hands<'_>, asked: Asked, answer: &Value) {
        let Some(socket) = &mut self.socket else { return };
        socket.errors += 1;
        let status = answer.get("status").and_then(Value::as_u64);
        let detail = answer.get("detail").and_then(Value::as_str).unwrap_or_default();
        match (asked, status) {
            (Asked::Publish(id), Some(413 | 503)) => {
                // docs/protocol.md 5.5: of one kind of 503 nobody knows.
                let is_known = is_final(detail);
                hands.judge.refuse(id, is_known);
                if !is_known && hands.judge.draft_of(id).2.is_some() {
                    self.again.push_back(id);
                }
                self.next_ms = hands.now_ms() + hands.random.u64(0..2_000);
            }
            (Asked::Subscribe(_), Some(429 | 503)) => hands.judge.not_subscribed(socket.sub),
            (Asked::Wrong, Some(400)) => (),
            (asked, _) => panic!("{asked:?} is answered with {answer}"),
        }
    }
}

/// An answer names the topics of its command, in any order.
fn check_topics(answer: &Value, topics: &[usize]) {
    let named = answer.get("topics").and_then(Value::as_array).expect("it has topics");
    let named = named.iter().map(|name| number_of_topic(name.as_str().expect("a name")));
    let (mut named, mut topics): (Vec<usize>, _) = (named.collect(), topics.to_vec());
    named.sort_unstable();
    topics.sort_unstable();
    assert_eq!(named, topics, "the topics of {answer}");
}

impl Socket {
    /// docs/protocol.md 11.4, 11.7.
    fn check_close(&self, code: Option<u16>, reason: &str) {
        let is_meant = match code {
            Some(1012 | 1013) => true,
            Some(NORMAL_CLOSURE) => self.is_closing,
            Some(1008) => reason.contains("in time") || self.errors >= ERRORS_MAX,
            _ => false,
        };
        assert!(is_meant, "closed with {code:?}: {reason}");
    }
}
