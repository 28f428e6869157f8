//! A subscriber's side of one connection: the answer's head, and everything that is told behind it.

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
        assert!(is_clean, "a stream has ended within something: {:?}", self.codec);
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
            let payload = Payload { kind: Kind::Unknown, bytes: data.into_bytes(), event };
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
    let payload = Payload { kind, bytes, event: None };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wires::http;
    use crate::wires::splits::{panic_of, same_for_every_split};

    const DATE: &str = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    const HELLO: &str = r#"{"topic":"news","id":"e-42","time":1764547200123,"data":"hello"}"#;

    fn stream_head(kind: &str) -> String {
        format!(
            "HTTP/1.1 200 OK\r\n{DATE}Content-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\
             Cache-Control: no-cache, no-transform\r\nVary: Accept, Origin\r\n\
             X-Content-Type-Options: nosniff\r\nX-Accel-Buffering: no\r\n\r\n"
        )
    }

    /// A whole stream; each of `contents` is a chunk.
    fn stream(kind: &str, contents: &[&str]) -> Vec<u8> {
        let mut bytes = stream_head(kind).into_bytes();
        contents.iter().for_each(|content| bytes.extend(http::chunk(content.as_bytes())));
        bytes.extend_from_slice(http::LAST_CHUNK);
        bytes
    }

    fn events(contents: &[&str]) -> Vec<u8> {
        let opening = "retry: 1500\nid: e-41\n\n: tidings\n\n";
        stream("text/event-stream", &[&[opening], contents].concat())
    }

    /// A handshake's answer and unmasked frames.
    fn socket(protocol: &str, frames: &[(u8, &[u8])]) -> Vec<u8> {
        let mut bytes = format!(
            "HTTP/1.1 101 Switching Protocols\r\n{DATE}Upgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Accept: I/6KwsqBTkNQCkvYqrVuTTvs9iM=\r\n\
             {protocol}\r\n"
        )
        .into_bytes();
        for (opcode, payload) in frames {
            bytes.extend([0x80 | opcode, u8::try_from(payload.len()).unwrap()]);
            bytes.extend_from_slice(payload);
        }
        bytes
    }

    fn read(wire: Wire, pieces: &[&[u8]]) -> Vec<Told> {
        let mut listening = Listening::new(wire);
        let mut told = Vec::new();
        for piece in pieces {
            listening.push(piece);
            told.extend(std::iter::from_fn(|| listening.next()));
        }
        assert!(listening.has_ended());
        told
    }

    fn told(wire: Wire, bytes: &[u8]) -> Vec<Told> {
        same_for_every_split(bytes, |pieces| read(wire, pieces))
    }

    fn complaint(wire: Wire, bytes: &[u8]) -> String {
        panic_of(|| drop(read(wire, &[bytes])))
    }

    fn open(cursor: Option<&str>) -> Told {
        Told::Open { cursor: cursor.map(str::to_owned) }
    }

    fn gap(cursor: Option<&str>) -> Told {
        let cursor = cursor.map(str::to_owned);
        Told::Gap { topic: "news".into(), count: Some(3), cursor }
    }

    fn hello(wire: Wire, cursor: Option<&str>) -> Told {
        let is_told = !matches!(wire, Wire::Sse | Wire::Raw);
        let kind = if wire == Wire::Sse { Kind::Unknown } else { Kind::Text };
        Told::Message {
            topic: is_told.then(|| "news".into()),
            id: is_told.then(|| "e-42".into()),
            cursor: cursor.map(str::to_owned),
            payload: Payload { kind, bytes: b"hello".to_vec(), event: None },
        }
    }

    #[test]
    fn event_streams_are_told_from_their_opening_to_their_end() {
        let envelope = format!("data: {HELLO}\n\n");
        for (wire, data) in [(Wire::Sse, "data: hello\n\n"), (Wire::SseEnvelope, &*envelope)] {
            let bytes = events(&[
                ":\n\n",
                "id: e-41.f-0\nevent: tidings:gap\ndata: {\"topic\":\"news\",\"count\":3}\n\n",
                "id: e-42.f-0\n",
                data,
                "retry: 1234\nevent: tidings:drain\ndata: {\"retry_ms\":1234}\n\n",
            ]);
            let expected = [
                Told::Retry(1500),
                open(Some("e-41")),
                gap(Some("e-41.f-0")),
                hello(wire, Some("e-42.f-0")),
                Told::Retry(1234),
                Told::Drain { retry_ms: 1234 },
                Told::End,
            ];
            assert_eq!(told(wire, &bytes), expected);
        }
    }

    #[test]
    fn lines_are_told_from_their_opening_to_their_end() {
        let hello_line = format!("{}\n", HELLO.replace("\"topic\"", "\"cursor\":\"c\",\"topic\""));
        let gap_line = r#"{"type":"gap","topic":"news","count":3,"cursor":"e-41"}"#;
        let lines = [
            "{\"type\":\"open\",\"cursor\":\"e-41\"}\n",
            "\n",
            gap_line,
            "\n",
            &hello_line,
            "{\"type\":\"drain\",\"retry_ms\":1234}\n",
        ];
        let expected = [
            open(Some("e-41")),
            gap(Some("e-41")),
            hello(Wire::Ndjson, Some("c")),
            Told::Drain { retry_ms: 1234 },
            Told::End,
        ];
        assert_eq!(told(Wire::Ndjson, &stream("application/x-ndjson", &lines)), expected);
    }

    #[test]
    fn sockets_are_told_from_their_handshake_to_their_close() {
        let reason = b"\x0f\xa1gap: 3 messages of \"news\" are gone";
        let bytes = socket("", &[(1, b"hello"), (2, b"\xff"), (9, b"p"), (8, reason)]);
        let close = |code, reason: &str| Told::Close { code: Some(code), reason: reason.into() };
        let expected = [
            open(None),
            hello(Wire::Raw, None),
            raw(Kind::Binary, vec![0xff]),
            Told::Ping(b"p".to_vec()),
            gap(None),
            close(4001, "gap: 3 messages of \"news\" are gone"),
        ];
        assert_eq!(told(Wire::Raw, &bytes), expected);
        let protocol = "Sec-WebSocket-Protocol: tidings.json\r\n";
        let pong = br#"{"type":"pong"}"#;
        let frames: &[(u8, &[u8])] = &[
            (1, br#"{"type":"open","cursor":"e-41"}"#),
            (1, HELLO.as_bytes()),
            (1, pong),
            (8, b"\x03\xf4retry_ms=1234"),
        ];
        let expected = [
            open(Some("e-41")),
            hello(Wire::Json, None),
            Told::Answer(serde_json::from_slice(pong).unwrap()),
            close(1012, "retry_ms=1234"),
        ];
        assert_eq!(told(Wire::Json, &socket(protocol, frames)), expected);
    }

    #[test]
    fn refusals_are_told_in_band_and_by_status() {
        let problem = r#"{"title":"t","status":503,"detail":"d"}"#;
        let event = format!("retry: 5000\nevent: tidings:refused\ndata: {problem}\n\n");
        let refused = Told::Refused { status: 503, retry_ms: Some(5000) };
        let bytes = stream("text/event-stream", &[&event]);
        let expected = [Told::Retry(5000), refused.clone(), Told::End];
        assert_eq!(told(Wire::Sse, &bytes), expected);
        let line = "{\"type\":\"refused\",\"status\":503,\"title\":\"t\",\"detail\":\"d\",\"retry_ms\":5000}\n";
        let bytes = stream("application/x-ndjson", &[line]);
        assert_eq!(told(Wire::Ndjson, &bytes), [refused.clone(), Told::End]);
        let bytes = format!(
            "HTTP/1.1 503 Service Unavailable\r\n{DATE}Content-Type: application/problem+json\r\n\
             Cache-Control: no-cache\r\nVary: Accept, Origin\r\nX-Content-Type-Options: nosniff\r\n\
             Retry-After: 5\r\nContent-Length: {}\r\n\r\n{problem}",
            problem.len()
        );
        for wire in Wire::ALL {
            assert_eq!(told(wire, bytes.as_bytes()), [refused.clone(), Told::End]);
        }
    }

    #[test]
    fn a_close_of_the_clients_may_come_back() {
        for (code, bytes) in [(Some(4321), &b"\x10\xe1"[..]), (None, b"")] {
            let bytes = socket("", &[(8, bytes)]);
            assert!(complaint(Wire::Raw, &bytes).contains("whose is it"));
            let mut listening = Listening::new(Wire::Raw);
            listening.closing(code);
            listening.push(&bytes);
            assert_eq!(listening.next(), Some(open(None)));
            assert_eq!(listening.next(), Some(Told::Close { code, reason: String::new() }));
        }
    }

    #[test]
    fn what_a_stream_must_not_do_is_a_panic() {
        let (gap, message) = ("event: tidings:gap\ndata: {\"topic\":\"a\"}\n\n", "data: x\n\n");
        let drain = "retry: 2\nevent: tidings:drain\ndata: {\"retry_ms\":2}\n\n";
        for (contents, wanted) in [
            (&[gap][..], "without an id"),
            (&["id: e-1\n", gap], "missing"),
            (&[message], "without an id"),
            (&["id: e 1\n", message], "no cursor"),
            (&["id: e-1\nevent: tidings:new\n", message], "cannot be the name"),
            (&["id: e-1\n\n"], "without data"),
            (&["id: e-1\n", "data: x\n"], "ended within"),
            (&["event: tidings:drain\ndata: {\"retry_ms\":2}\n\n"], "retry: of a drain"),
            (&[drain, ":\n"], "behind the goodbye"),
            (&[], "nobody was told why"),
        ] {
            let complaint = complaint(Wire::Sse, &events(contents));
            assert!(complaint.contains(wanted), "{contents:?}: {complaint}");
        }
        for (opening, wanted) in [
            ("id: e-1\n\n", "opens with a retry"),
            (":\n\n", "opens with a comment"),
            ("retry: 1\nid: e-1\n\nid: e-2\ndata: x\n\n", "no comment ends"),
            ("retry: 1\nid: e-1\ndata: x\n\n", "before the opening"),
        ] {
            let complaint = complaint(Wire::Sse, &stream("text/event-stream", &[opening]));
            assert!(complaint.contains(wanted), "{opening:?}: {complaint}");
        }
        let (hello, lines) = (format!("{HELLO}\n"), "application/x-ndjson");
        assert!(complaint(Wire::Ndjson, &stream(lines, &[&hello])).contains("Beginning"));
        let twice = "{\"type\":\"open\",\"cursor\":\"e-41\"}\n".repeat(2);
        assert!(complaint(Wire::Ndjson, &stream(lines, &[&twice])).contains("Open"));
        assert!(complaint(Wire::Sse, &stream(lines, &[])).contains("content-type"));
        assert!(complaint(Wire::Json, &socket("", &[])).contains("the subprotocol"));
        let other = String::from_utf8(socket("", &[])).unwrap().replace("I/6K", "I/6L");
        assert!(complaint(Wire::Raw, other.as_bytes()).contains("Sec-WebSocket-Accept"));
        for close in [&b"\x0f\xa1gone"[..], b"\x03\xf4later"] {
            assert!(complaint(Wire::Raw, &socket("", &[(8, close)])).contains("the reason of"));
        }
    }
}
