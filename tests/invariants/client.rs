//! What clients make of the bytes they get: just enough HTTP, SSE, NDJSON and WebSocket.

use serde_json::Value;

/// A WebSocket handshake needs some key.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n")
}

pub(crate) fn publish(topic: &str, body: &str) -> String {
    let length = body.len();
    format!("POST /topics/{topic} HTTP/1.1\r\nHost: t\r\nContent-Length: {length}\r\n\r\n{body}")
}

pub(crate) fn handshake(path: &str, json: bool) -> String {
    let protocol = if json { "Sec-WebSocket-Protocol: tidings.json\r\n" } else { "" };
    format!(
        "GET {path} HTTP/1.1\r\nHost: t\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{protocol}\r\n"
    )
}

/// A frame as a client sends it.
pub(crate) fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | length as u8),
        length => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&u16::try_from(length).expect("short").to_be_bytes());
        }
    }
    let mask = [1, 2, 3, 4];
    frame.extend_from_slice(&mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// One answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }
}

/// A head at the front of `bytes`: status, lower-case head, and its length.
fn head(bytes: &[u8]) -> Option<(u16, String, usize)> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..end]).expect("a head is ASCII").to_ascii_lowercase();
    let status = head.get(9..12).and_then(|digits| digits.parse().ok()).expect("a status line");
    Some((status, head, end))
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// Takes the answers that are whole off the front of `bytes`.
pub(crate) fn take_answers(bytes: &mut Vec<u8>) -> Vec<Answer> {
    let mut answers = Vec::new();
    while let Some((status, head, length)) = head(bytes) {
        if status == 100 {
            bytes.drain(..length);
            continue;
        }
        let chunked = field(&head, "transfer-encoding").is_some();
        let found = if chunked {
            let (body, used, ended) = chunks(&bytes[length..]);
            ended.then_some((body, length + used))
        } else {
            let content =
                field(&head, "content-length").map_or(0, |text| text.parse().expect("digits"));
            bytes.get(length..length + content).map(|body| (body.to_vec(), length + content))
        };
        let Some((body, used)) = found else { break };
        answers.push(Answer { status, body });
        bytes.drain(..used);
    }
    answers
}

/// The content of the whole chunks at the front of `bytes`, how long they are, and whether the last is
/// among them.
fn chunks(bytes: &[u8]) -> (Vec<u8>, usize, bool) {
    let (mut content, mut at) = (Vec::new(), 0);
    loop {
        let rest = &bytes[at..];
        let Some(line) = rest.windows(2).position(|two| two == b"\r\n") else { break };
        let text = std::str::from_utf8(&rest[..line]).expect("a size is ASCII");
        let size = usize::from_str_radix(text, 16).expect("a size in hexadecimal digits");
        let Some(chunk) = rest.get(line + 2..line + 2 + size + 2) else { break };
        assert_eq!(&chunk[size..], b"\r\n", "a chunk ends with its line end");
        content.extend_from_slice(&chunk[..size]);
        at += line + 2 + size + 2;
        if size == 0 {
            return (content, at, true);
        }
    }
    (content, at, false)
}

/// What a subscriber is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// It is open.
    Open,
    Message(String),
    Gap(Option<u64>),
    /// A WebSocket was closed.
    Close(u16, String),
    /// Anything else with a name.
    Other(String),
}

/// A way of waiting that does not end.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    Sse,
    Ndjson,
    Raw,
    Json,
}

impl Wire {
    pub(crate) const ALL: [Self; 4] = [Self::Sse, Self::Ndjson, Self::Raw, Self::Json];

    pub(crate) fn request(self, path: &str) -> String {
        let accept =
            |kind: &str| format!("GET {path} HTTP/1.1\r\nHost: t\r\nAccept: {kind}\r\n\r\n");
        match self {
            Self::Sse => accept("text/event-stream"),
            Self::Ndjson => accept("application/x-ndjson"),
            Self::Raw => handshake(path, false),
            Self::Json => handshake(path, true),
        }
    }
}

/// Reads what comes on one wire, piece by piece.
#[derive(Debug)]
pub(crate) struct Reader {
    wire: Wire,
    bytes: Vec<u8>,
    /// Behind the head.
    is_open: bool,
    content: Vec<u8>,
    pub(crate) bytes_read: usize,
    /// The id of each message, where the wire says it.
    pub(crate) ids: Vec<String>,
    /// The stream has come to its regular end.
    pub(crate) ended: bool,
}

impl Reader {
    pub(crate) fn new(wire: Wire) -> Self {
        let (bytes, content) = (Vec::new(), Vec::new());
        let ids = Vec::new();
        Self { wire, bytes, is_open: false, content, bytes_read: 0, ids, ended: false }
    }

    /// Takes bytes, gives what they complete.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Vec<Told> {
        self.bytes_read += bytes.len();
        self.bytes.extend_from_slice(bytes);
        if !self.is_open {
            let Some((status, _, length)) = head(&self.bytes) else { return Vec::new() };
            let expected = if matches!(self.wire, Wire::Raw | Wire::Json) { 101 } else { 200 };
            assert_eq!(status, expected, "the head of a stream");
            self.is_open = true;
            self.bytes.drain(..length);
        }
        match self.wire {
            Wire::Raw | Wire::Json => self.frames(),
            Wire::Sse | Wire::Ndjson => {
                let (content, used, ended) = chunks(&self.bytes);
                self.bytes.drain(..used);
                self.content.extend_from_slice(&content);
                self.ended |= ended;
                if self.wire == Wire::Sse { self.events() } else { self.lines() }
            }
        }
    }

    fn events(&mut self) -> Vec<Told> {
        let mut told = Vec::new();
        while let Some(end) = self.content.windows(2).position(|two| two == b"\n\n") {
            let event: Vec<u8> = self.content.drain(..end + 2).collect();
            let event = String::from_utf8(event).expect("an event is UTF-8");
            let values = |name: &str| {
                let lines = event.lines().filter_map(|line| line.strip_prefix(name));
                lines.map(|value| value.strip_prefix(' ').unwrap_or(value)).collect::<Vec<_>>()
            };
            let data = values("data:").join("\n");
            match values("event:").first() {
                Some(&"tidings:gap") => told.push(gap(&data)),
                Some(name) => told.push(Told::Other((*name).to_owned())),
                None if !values("data:").is_empty() => {
                    self.ids.extend(values("id:").first().map(|&id| id.to_owned()));
                    told.push(Told::Message(data));
                }
                None if !values("retry:").is_empty() => told.push(Told::Open),
                None => (),
            }
        }
        told
    }

    fn lines(&mut self) -> Vec<Told> {
        let mut told = Vec::new();
        while let Some(end) = self.content.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.content.drain(..=end).collect();
            let line = std::str::from_utf8(&line).expect("a line is UTF-8").trim_end();
            if !line.is_empty() {
                told.push(object(line, &mut self.ids));
            }
        }
        told
    }

    fn frames(&mut self) -> Vec<Told> {
        let mut told = Vec::new();
        while let [first, second, rest @ ..] = &self.bytes[..] {
            let (header, length) = match (second & 0x7f, rest) {
                (126, [high, low, ..]) => (4, usize::from(u16::from_be_bytes([*high, *low]))),
                (127, bytes) if bytes.len() >= 8 => {
                    let bytes = bytes[..8].try_into().expect("eight");
                    (10, usize::try_from(u64::from_be_bytes(bytes)).expect("it fits"))
                }
                (126 | 127, _) => break,
                (length, _) => (2, usize::from(length)),
            };
            assert_eq!(second & 0x80, 0, "a server does not mask");
            let Some(payload) = self.bytes.get(header..header + length) else { break };
            let text = || std::str::from_utf8(payload).expect("text is UTF-8");
            match (first & 0x0f, self.wire) {
                (1, Wire::Json) => told.push(object(text(), &mut self.ids)),
                (1, _) => told.push(Told::Message(text().to_owned())),
                (8, _) => {
                    let code =
                        payload.get(..2).map_or(1005, |two| u16::from_be_bytes([two[0], two[1]]));
                    let reason = String::from_utf8_lossy(payload.get(2..).unwrap_or_default());
                    told.push(Told::Close(code, reason.into_owned()));
                    self.ended = true;
                }
                (9 | 10, _) => (),
                (opcode, _) => panic!("opcode {opcode}"),
            }
            self.bytes.drain(..header + length);
        }
        told
    }
}

fn gap(json: &str) -> Told {
    let value: Value = serde_json::from_str(json).expect("JSON");
    Told::Gap(value["count"].as_u64())
}

fn object(json: &str, ids: &mut Vec<String>) -> Told {
    let value: Value = serde_json::from_str(json).expect("JSON");
    match value["type"].as_str() {
        None => {
            ids.push(value["id"].as_str().expect("an id").to_owned());
            Told::Message(value["data"].as_str().expect("text").to_owned())
        }
        Some("gap") => gap(json),
        Some("open") => Told::Open,
        Some(other) => Told::Other(other.to_owned()),
    }
}

/// The numbers of /metrics.
pub(crate) fn metric(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} is not in the metrics")).parse().expect("a number")
}
