//! A subscriber's side of one connection: the answer's head, and everything that is told behind it.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use super::envelope::{self, Gone};
use super::event_stream::{Event, EventStream, Item};
use super::http::{Answers, Asked, Head, Part};
use super::lines::Lines;
use super::websocket::{self, Frame, Frames};
use super::{Kind, Payload, Told, Wire, checked_cursor, checked_event, outcomes};

/// Close codes of the server's own accord (docs/protocol.md 11.7).
const CLOSE_CODES: [u16; 8] = [1002, 1003, 1007, 1008, 1009, 1012, 1013, 4001];
/// The longest reason of a close (RFC 6455 §5.5): it may have been cut there, within a character.
const REASON_BYTES_MAX: usize = 123;

/// How far a stream has come.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd)]
enum Phase {
    /// Nothing was told.
    Beginning,
    /// SSE: before the comment that ends the opening.
    Opening,
    Open,
    /// Nothing but the end may follow.
    Leaving,
    Ended,
}

/// What the bytes behind the head are made of.
#[derive(Debug)]
enum Codec {
    Events(EventStream),
    Lines(Lines),
    Frames(Frames),
    /// The problem of a refusal, so far.
    Refusal(Vec<u8>),
}

/// Reads one wire, from the answer's head to its end, in pieces of any size.
#[derive(Debug)]
pub(crate) struct Listening {
    wire: Wire,
    answers: Answers,
    head: Option<Head>,
    codec: Codec,
    phase: Phase,
    /// The last `retry:`.
    retry_ms: Option<u64>,
    /// The close that the client has sent, with its code.
    closing: Option<Option<u16>>,
    told: VecDeque<Told>,
}

impl Listening {
    /// Before the answer to [`Wire::request`].
    pub(crate) fn new(wire: Wire) -> Self {
        let mut answers = Answers::new();
        answers.expect(if wire.is_websocket() { Asked::Upgrade } else { Asked::Get });
        let codec = match wire {
            Wire::Sse | Wire::SseEnvelope => Codec::Events(EventStream::default()),
            Wire::Ndjson => Codec::Lines(Lines::default()),
            Wire::Raw | Wire::Json => Codec::Frames(Frames::default()),
        };
        Self {
            wire,
            answers,
            head: None,
            codec,
            phase: Phase::Beginning,
            retry_ms: None,
            closing: None,
            told: VecDeque::new(),
        }
    }

    /// The answer's head, once it is there.
    pub(crate) fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    /// Whether an answer of HTTP has begun, and not come to its regular end.
    pub(crate) fn is_cut(&self) -> bool {
        let has_begun = self.head.as_ref().is_some_and(|head| head.status == 200);
        has_begun && self.phase != Phase::Ended
    }

    /// Whether nothing more can be told.
    pub(crate) fn has_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// The client has sent a close: it may be answered with its code.
    pub(crate) fn closing(&mut self, code: Option<u16>) {
        self.closing = Some(code);
    }

    /// The next thing that was told.
    pub(crate) fn next(&mut self) -> Option<Told> {
        self.told.pop_front()
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.head.as_ref().is_some_and(|head| head.status == 101) {
            return self.content(bytes);
        }
        self.answers.push(bytes);
        while let Some(part) = self.answers.next() {
            match part {
                Part::Head(head) => self.begin(head),
                Part::Body(content) => self.content(&content),
                Part::End => self.end(),
            }
        }
    }

    fn begin(&mut self, head: Head) {
        match head.status {
            400.. => {
                let (status, retry_ms) = (head.status, head.retry_ms());
                self.codec = Codec::Refusal(Vec::new());
                self.told.push_back(Told::Refused { status, retry_ms });
            }
            101 => {
                websocket::check_handshake(&head, self.wire == Wire::Json);
                if self.wire == Wire::Raw {
                    self.phase = Phase::Open;
                    self.told.push_back(Told::Open { cursor: None });
                }
            }
            _ => self.check_stream(&head),
        }
        let is_upgraded = head.status == 101;
        self.head = Some(head);
        if is_upgraded {
            let rest = self.answers.take_rest();
            self.content(&rest);
        }
    }

    /// docs/protocol.md 6.3, 9.1, 10.1.
    fn check_stream(&self, head: &Head) {
        let kind = match self.wire {
            Wire::Sse | Wire::SseEnvelope => "text/event-stream",
            Wire::Ndjson => "application/x-ndjson",
            Wire::Raw | Wire::Json => panic!("a handshake is answered with {head:?}"),
        };
        assert_eq!(head.status, 200, "the head of a stream");
        for (name, value) in [
            ("content-type", kind),
            ("transfer-encoding", "chunked"),
            ("cache-control", "no-cache, no-transform"),
            ("vary", "Accept, Origin"),
            ("x-content-type-options", "nosniff"),
            ("x-accel-buffering", "no"),
        ] {
            assert_eq!(head.field(name), Some(value), "{name} in {head:?}");
        }
    }

    fn content(&mut self, bytes: &[u8]) {
        match &mut self.codec {
            Codec::Events(events) => events.push(bytes),
            Codec::Lines(lines) => lines.push(bytes),
            Codec::Frames(frames) => frames.push(bytes),
            Codec::Refusal(body) => body.extend_from_slice(bytes),
        }
        while let Codec::Events(events) = &mut self.codec
            && let Some(item) = events.next()
        {
            self.item(item);
        }
        while let Codec::Lines(lines) = &mut self.codec
            && let Some(line) = lines.next()
        {
            let told = envelope::told(&line, self.wire);
            self.object(told);
        }
        while let Codec::Frames(frames) = &mut self.codec
            && let Some(frame) = frames.next()
        {
            self.frame(frame);
        }
    }

    /// The body is whole.
    fn end(&mut self) {
        let is_clean = match &self.codec {
            Codec::Events(events) => events.is_between_events(),
            Codec::Lines(lines) => lines.is_between_lines(),
            Codec::Frames(_) => true,
            Codec::Refusal(body) => {
                let status = self.head.as_ref().map_or(0, |head| head.status);
                outcomes::refused(status, body);
                self.phase = Phase::Leaving;
                true
            }
        };
        assert!(is_clean, "a stream of {:?} has ended within something", self.wire);
        assert_eq!(self.phase, Phase::Leaving, "a stream has ended and nobody was told why");
        self.phase = Phase::Ended;
        self.told.push_back(Told::End);
    }

    /// SSE (docs/protocol.md 9).
    fn item(&mut self, item: Item) {
        assert!(self.phase < Phase::Leaving, "{item:?} behind the goodbye");
        match item {
            Item::Comment if self.phase == Phase::Opening => self.phase = Phase::Open,
            Item::Comment => {
                assert_eq!(self.phase, Phase::Open, "a stream opens with a comment");
            }
            Item::Retry(ms) => {
                self.retry_ms = Some(ms);
                self.told.push_back(Told::Retry(ms));
            }
            Item::Event(event) => {
                assert_ne!(self.phase, Phase::Opening, "no comment ends the opening: {event:?}");
                assert!(self.retry_ms.is_some(), "a stream opens with a retry: {event:?}");
                let told = self.event(event);
                self.told.push_back(told);
            }
        }
    }

    fn event(&mut self, event: Event) -> Told {
        let cursor = event.id.map(checked_cursor);
        let Some(data) = event.data else {
            assert_eq!(self.phase, Phase::Beginning, "an event without data that says {cursor:?}");
            assert_eq!(event.event, None, "the opening dispatches nothing");
            assert!(cursor.is_some(), "a stream without a cursor");
            self.phase = Phase::Opening;
            return Told::Open { cursor };
        };
        let name = event.event.as_deref();
        if name == Some("tidings:refused") {
            self.phase = Phase::Leaving;
            let problem: envelope::Problem = from_json(&data);
            problem.check();
            return Told::Refused { status: problem.status, retry_ms: self.retry_ms };
        }
        assert_eq!(self.phase, Phase::Open, "an event before the opening: {name:?} {data}");
        match name {
            Some("tidings:gap") => {
                assert!(cursor.is_some(), "a gap without an id: {data}");
                let Gone { topic, count } = from_json(&data);
                Told::Gap { topic, count, cursor }
            }
            Some("tidings:drain") => {
                self.phase = Phase::Leaving;
                let Delay { retry_ms } = from_json(&data);
                assert_eq!(self.retry_ms, Some(retry_ms), "the retry: of a drain (18.1)");
                Told::Drain { retry_ms }
            }
            _ => {
                assert!(cursor.is_some(), "a message without an id: {data}");
                self.message(event.event, data, cursor)
            }
        }
    }

    fn message(&self, event: Option<String>, data: String, cursor: Option<String>) -> Told {
        if self.wire == Wire::Sse {
            let event = event.map(checked_event);
            let payload =
                Payload { kind: Kind::Unknown, bytes: data.into_bytes(), event, time_ms: None };
            return Told::Message { topic: None, id: None, cursor, payload };
        }
        assert_eq!(event, None, "an envelope has no event: line (9.2)");
        let (topic, id, other, payload) = envelope::message(&data);
        assert!(other.is_none() || other == cursor, "two cursors: {cursor:?} and {data}");
        Told::Message { topic: Some(topic), id: Some(id), cursor, payload }
    }

    /// A line of NDJSON or an object of `tidings.json` (docs/protocol.md 10, 11.3).
    fn object(&mut self, told: Told) {
        match (&told, self.phase) {
            (Told::Open { .. }, Phase::Beginning) => self.phase = Phase::Open,
            (Told::Refused { .. }, Phase::Beginning | Phase::Open) => self.phase = Phase::Leaving,
            (Told::Drain { .. }, Phase::Open) => self.phase = Phase::Leaving,
            (Told::Open { .. } | Told::Drain { .. } | Told::Refused { .. }, phase) => {
                panic!("{told:?} when it is {phase:?}")
            }
            (_, phase) => assert_eq!(phase, Phase::Open, "{told:?}"),
        }
        self.told.push_back(told);
    }

    fn frame(&mut self, frame: Frame) {
        let told = match frame {
            Frame::Text(text) if self.wire == Wire::Json => {
                let told = envelope::told(&text, self.wire);
                return self.object(told);
            }
            Frame::Text(text) => raw(Kind::Text, text.into_bytes()),
            Frame::Binary(bytes) => {
                assert_eq!(self.wire, Wire::Raw, "a binary frame on tidings.json");
                raw(Kind::Binary, bytes)
            }
            Frame::Ping(payload) => Told::Ping(payload),
            Frame::Pong(payload) => Told::Pong(payload),
            Frame::Close { code, reason } => {
                self.check_close(code, &reason);
                self.phase = Phase::Ended;
                if code == Some(4001) && self.closing != Some(code) {
                    assert_eq!(self.wire, Wire::Raw, "{reason}");
                    self.told.extend(gap_of(&reason));
                }
                Told::Close { code, reason }
            }
        };
        self.told.push_back(told);
    }

    /// docs/protocol.md 11.7: an echo of the client's, or one of the server's own.
    fn check_close(&self, code: Option<u16>, reason: &str) {
        let is_echo = self.closing == Some(code);
        let is_own = code.is_some_and(|code| CLOSE_CODES.contains(&code));
        let is_answer = code == Some(1000) && self.closing.is_some();
        assert!(is_echo || is_own || is_answer, "close {code:?} {reason:?}, whose is it?");
        if code == Some(1012) && !is_echo {
            assert!(websocket::retry_ms(reason).is_some(), "the reason of 1012: {reason:?}");
        }
    }
}

/// The data of a drain.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Delay {
    retry_ms: u64,
}

fn raw(kind: Kind, bytes: Vec<u8>) -> Told {
    let payload = Payload { kind, bytes, event: None, time_ms: None };
    Told::Message { topic: None, id: None, cursor: None, payload }
}

fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

/// The gap that a close 4001 declares (docs/protocol.md 4.1); `None` if the reason was cut.
fn gap_of(reason: &str) -> Option<Told> {
    let parsed = reason.strip_prefix("gap: ").and_then(|rest| {
        let (count, rest) = rest.split_once(" of \"")?;
        let (topic, end) = rest.rsplit_once("\" ")?;
        let count = match count.strip_suffix(" messages").or(count.strip_suffix(" message")) {
            None if count == "messages" => None,
            count => Some(count?.parse::<u64>().ok()?),
        };
        let verb = if count == Some(1) { "is gone" } else { "are gone" };
        (end == verb).then(|| Told::Gap { topic: topic.to_owned(), count, cursor: None })
    });
    let may_be_cut = reason.starts_with("gap: ") && reason.len() + 3 >= REASON_BYTES_MAX;
    assert!(parsed.is_some() || may_be_cut, "the reason of 4001: {reason:?}");
    parsed
}
