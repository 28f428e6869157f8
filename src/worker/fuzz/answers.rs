//! What a client makes of the bytes that it was sent, read by other people's parsers: `httparse` for heads,
//! `tungstenite` for frames, `serde_json` for objects, and the WHATWG text for events.

use std::collections::BTreeMap;
use std::io::Cursor;

use serde_json::Value;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::requests::Request;
use crate::wire::sse::whatwg;

/// An answer that a client waits for.
#[derive(Copy, Clone, Debug)]
pub(super) enum Expected {
    /// To this request.
    Of(&'static Request),
    /// To the poll with this number.
    Poll(u32),
    /// To a publish to this topic, that is no repeat of another.
    Publish(&'static str),
    /// To a publish to this topic, that may be a repeat.
    PublishAgain(&'static str),
}

impl Expected {
    pub(super) fn is_endless(self) -> bool {
        matches!(self, Self::Of(Request { is_endless: true, .. }))
    }

    /// Whether it may take its time.
    pub(super) fn may_wait(self) -> bool {
        match self {
            Self::Of(request) => request.text.contains("?wait="),
            Self::Poll(_) => true,
            Self::Publish(_) | Self::PublishAgain(_) => false,
        }
    }

    fn is_head(self) -> bool {
        matches!(self, Self::Of(Request { is_head: true, .. }))
    }

    /// Whether this is the answer. For now everything may be refused; what comes too slowly too.
    fn check(self, status: u16, head: &[u8], body: &[u8]) {
        let (statuses, says) = match self {
            Self::Of(request) => (request.statuses, request.says.to_owned()),
            Self::Poll(number) => ([200; 2], format!("Preference-Applied: wait={number}\r\n")),
            Self::Publish(topic) | Self::PublishAgain(topic) => {
                ([201, 413], format!("{{\"topic\":\"{topic}\""))
            }
        };
        assert!(
            statuses.contains(&status) || [408, 429, 503].contains(&status),
            "{status} for {self:?}"
        );
        if status == statuses[0] {
            let is_refused = String::from_utf8_lossy(body).contains("refused");
            let said = [head, body].concat();
            assert!(
                is_refused || contains(&said, says.as_bytes()),
                "{self:?}: {:?}",
                String::from_utf8_lossy(&said)
            );
        }
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// What a client was sent.
#[derive(Default, Debug)]
pub(super) struct Answers {
    /// Answers, not counting 100.
    pub(super) read: usize,
    /// It ends with the end of something.
    pub(super) is_whole: bool,
    /// The last one is a stream or a WebSocket, or ends with the connection.
    pub(super) is_endless: bool,
    /// The last one says that the connection ends.
    pub(super) says_close: bool,
}

/// The statuses of docs/protocol.md.
const STATUSES: [u16; 23] = [
    101, 200, 201, 204, 400, 403, 404, 405, 408, 411, 413, 414, 415, 417, 421, 426, 429, 431, 501,
    503, 505, 100, 200,
];

/// Reads everything that a client was sent, which asked for `expected` and, if `is_loose`, for anything
/// behind that.
pub(super) fn read_answers(received: &[u8], expected: &[Expected], is_loose: bool) -> Answers {
    let mut answers = Answers { is_whole: true, ..Answers::default() };
    let mut published = Positions::default();
    let mut rest = received;
    while !rest.is_empty() {
        assert!(!answers.says_close && !answers.is_endless, "an answer behind the last one");
        let mut fields = [httparse::EMPTY_HEADER; 32];
        let mut response = httparse::Response::new(&mut fields);
        let httparse::Status::Complete(end) = response.parse(rest).expect("a head is well formed")
        else {
            answers.is_whole = false;
            break;
        };
        let (head, behind) = rest.split_at(end);
        rest = behind;
        let status = response.code.expect("a whole head has a status");
        assert!(STATUSES.contains(&status), "{status}");
        if status == 100 {
            continue;
        }
        let field = |name: &str| {
            let mut same =
                response.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
            let value = same.next().map(|field| str::from_utf8(field.value).expect("ASCII"));
            assert!(same.next().is_none(), "{name} twice");
            value
        };
        let asked = expected.get(answers.read).copied();
        assert!(asked.is_some() || is_loose, "an answer that nobody asked for");
        answers.read += 1;
        answers.says_close = field("connection") == Some("close");
        if status == 101 {
            answers.is_endless = true;
            let is_json = field("sec-websocket-protocol") == Some("tidings.json");
            answers.is_whole = read_frames(rest, is_json);
            if let Some(asked) = asked {
                asked.check(status, head, b"");
            }
            break;
        }
        // Nobody knows whether a loose request was HEAD; no body of ours begins like a head.
        let is_bodiless = status == 204
            || asked.map_or(rest.is_empty() || rest.starts_with(b"HTTP/1."), Expected::is_head);
        let body = match (field("transfer-encoding"), field("content-length")) {
            _ if is_bodiless => Body::default(),
            (Some("chunked"), None) => read_chunks(rest),
            (None, Some(length)) => {
                let length: usize = length.parse().expect("a length is a number");
                let used = length.min(rest.len());
                let is_whole = rest.len() >= length;
                Body { bytes: rest[..used].to_vec(), used, is_whole, ..Body::default() }
            }
            (None, None) => {
                Body { bytes: rest.to_vec(), used: rest.len(), is_endless: true, ..Body::default() }
            }
            framing => panic!("{framing:?}"),
        };
        rest = &rest[body.used..];
        answers.is_endless = body.is_endless;
        // What has an end and has not come to it is half an answer.
        answers.is_whole =
            body.is_whole && (!body.is_endless || asked.is_none_or(Expected::is_endless));
        if answers.is_whole {
            if let Some(asked) = asked {
                asked.check(status, head, &body.bytes);
            }
            if status >= 400 {
                let problem: Value = serde_json::from_slice(&body.bytes).unwrap_or_default();
                assert!(is_bodiless || problem["status"] == status, "{problem}");
            }
        }
        match field("content-type") {
            Some("text/event-stream") => read_events(&body.bytes),
            Some("application/x-ndjson") => read_lines(&body.bytes),
            Some("application/json") if body.is_whole && !is_bodiless => {
                let object: Value = serde_json::from_slice(&body.bytes).expect("valid JSON");
                if let (201, Some(Expected::Publish(topic))) = (status, asked) {
                    published.published(topic, &object);
                }
            }
            _ => (),
        }
        if !body.is_whole {
            break;
        }
    }
    answers
}

struct Body {
    bytes: Vec<u8>,
    used: usize,
    is_whole: bool,
    is_endless: bool,
}

impl Default for Body {
    fn default() -> Self {
        Self { bytes: Vec::new(), used: 0, is_whole: true, is_endless: false }
    }
}

/// A chunked body, as far as it is there.
fn read_chunks(bytes: &[u8]) -> Body {
    let mut body = Body { is_endless: true, ..Body::default() };
    loop {
        let rest = &bytes[body.used..];
        let size = httparse::parse_chunk_size(rest).expect("a chunk has a size");
        let httparse::Status::Complete((start, size)) = size else {
            body.is_whole = rest.is_empty();
            break;
        };
        let end = start + usize::try_from(size).expect("a small chunk");
        let Some(data) = rest.get(start..end + 2) else {
            body.is_whole = false;
            break;
        };
        assert!(data.ends_with(b"\r\n"), "a chunk ends with CRLF");
        body.bytes.extend_from_slice(&data[..data.len() - 2]);
        body.used += end + 2;
        if size == 0 {
            body.is_endless = false;
            break;
        }
    }
    if !body.is_whole {
        body.used = bytes.len();
    }
    body
}

/// The frames of a server, as far as they are there. Whether the last one is whole.
fn read_frames(bytes: &[u8], is_json: bool) -> bool {
    let mut rest = bytes;
    let mut positions = Positions::default();
    let mut is_closed = false;
    while !rest.is_empty() {
        assert!(!is_closed, "a frame behind Close");
        let mut cursor = Cursor::new(rest);
        let header = FrameHeader::parse(&mut cursor).expect("a header is well formed");
        let Some((header, length)) = header else { return false };
        let start = usize::try_from(cursor.position()).expect("a short header");
        let end = start + usize::try_from(length).expect("a short frame");
        let Some(payload) = rest.get(start..end) else { return false };
        rest = &rest[end..];
        assert!(header.mask.is_none() && header.is_final);
        assert!(!header.rsv1 && !header.rsv2 && !header.rsv3);
        match header.opcode {
            OpCode::Data(Data::Text) => {
                let text = str::from_utf8(payload).expect("text is UTF-8");
                if is_json {
                    positions.object(&serde_json::from_str(text).expect("valid JSON"));
                }
            }
            OpCode::Data(Data::Binary) => assert!(!is_json),
            OpCode::Control(Control::Close) => {
                is_closed = true;
                assert!(payload.len() != 1 && payload.len() <= 125);
                let reason = payload.get(2..).unwrap_or_default();
                str::from_utf8(reason).expect("a reason is UTF-8");
            }
            OpCode::Control(Control::Ping | Control::Pong) => assert!(payload.len() <= 125),
            other => panic!("{other}"),
        }
    }
    true
}

/// The reports of the one batch that a client was sent, whole.
pub(super) fn read_batch(received: &[u8]) -> Vec<Value> {
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut fields);
    let Ok(httparse::Status::Complete(end)) = response.parse(received) else { panic!("no head") };
    assert_eq!(response.code, Some(200));
    let body = read_chunks(&received[end..]);
    assert!(body.is_whole && !body.is_endless && end + body.used == received.len());
    let lines = body.bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).expect("valid JSON")).collect()
}

/// NDJSON: a stream, or the reports of a batch.
fn read_lines(bytes: &[u8]) {
    let mut positions = Positions::default();
    let mut last = 0;
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        let Some(line) = line.strip_suffix(b"\n").filter(|line| !line.is_empty()) else { continue };
        let object: Value = serde_json::from_slice(line).expect("valid JSON");
        match object["line"].as_u64() {
            Some(number) => {
                assert!(number > last, "line {number} is reported on after {last}");
                last = number;
            }
            None => positions.object(&object),
        }
    }
}

/// An event stream: the positions in its ids go on by one, or by what a gap says.
fn read_events(bytes: &[u8]) {
    let mut last: Option<Vec<(String, u64)>> = None;
    let stream = whatwg::interpret(bytes);
    for event in &stream.events {
        if matches!(event.kind.as_str(), "tidings:drain" | "tidings:refused") {
            serde_json::from_str::<Value>(&event.data).expect("valid JSON");
            continue;
        }
        let now: Vec<_> = event.last_event_id.split('.').map(position).collect();
        let count = match event.kind.as_str() {
            "tidings:gap" => {
                let gap: Value = serde_json::from_str(&event.data).expect("valid JSON");
                gap["count"].as_u64()
            }
            _ => Some(1),
        };
        if let Some(last) = last {
            assert_eq!(last.len(), now.len());
            let moved: Vec<_> = last.iter().zip(&now).filter(|(last, now)| last != now).collect();
            assert!(moved.len() <= 1, "{event:?}");
            if let Some(count) = count {
                let (last, now) = moved.first().expect("a message moves a cursor");
                assert_eq!((&last.0, last.1 + count), (&now.0, now.1), "{event:?}");
            }
        }
        last = Some(now);
    }
}

/// `epoch-sequence`
fn position(text: &str) -> (String, u64) {
    let (epoch, sequence) = text.split_once('-').expect("a position has two parts");
    assert_eq!(epoch.len(), 8);
    (epoch.to_owned(), sequence.parse().expect("a sequence is a number"))
}

/// Where a client is in each topic.
#[derive(Default)]
struct Positions(BTreeMap<String, (String, u64)>);

impl Positions {
    /// An object of a stream or of `tidings.json`.
    fn object(&mut self, object: &Value) {
        let topic = object["topic"].as_str().unwrap_or_default().to_owned();
        match object["type"].as_str() {
            None => {
                let (epoch, sequence) = position(object["id"].as_str().expect("an id"));
                if let Some((last_epoch, last)) = self.0.get(&topic) {
                    assert_eq!((last_epoch, last + 1), (&epoch, sequence), "{object}");
                }
                self.0.insert(topic, (epoch, sequence));
            }
            Some("gap") => match object["count"].as_u64() {
                Some(count) => {
                    assert!(count > 0);
                    if let Some((_, last)) = self.0.get_mut(&topic) {
                        *last += count;
                    }
                }
                None => drop(self.0.remove(&topic)),
            },
            Some("subscribed" | "unsubscribed") => {
                for topic in object["topics"].as_array().expect("topics") {
                    self.0.remove(topic.as_str().expect("a name"));
                }
            }
            Some("open" | "drain" | "refused" | "published" | "pong" | "error") => (),
            other => panic!("{other:?}"),
        }
    }

    /// A message of one's own that was published: later ones have later places.
    fn published(&mut self, topic: &str, answer: &Value) {
        let (epoch, sequence) = position(answer["id"].as_str().expect("an id"));
        if let Some((last_epoch, last)) = self.0.get(topic) {
            assert!(*last_epoch != epoch || *last < sequence, "{answer}");
        }
        self.0.insert(topic.to_owned(), (epoch, sequence));
    }
}
