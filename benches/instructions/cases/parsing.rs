//! What clients send, taken apart.

use std::hint::black_box;

use tidings::limits::{CHUNK_LINE_BYTES_MAX, Limits, TRAILER_BYTES_MAX, TRAILERS_MAX};
use tidings::topic::{Cursor, Epoch, Message, Position, Start, TopicName};
use tidings::wire::command::parse_command;
use tidings::wire::http1::{
    BodyLimits, BodyReader, Framing, HeadLimits, HeadSearch, Query, parse_head, percent_decode,
};
use tidings::wire::websocket::mask::unmask;
use tidings::wire::websocket::{Incoming, MessageLimits, MessageReader};

use super::Round;

/// What an `EventSource` of a browser sends.
const GET: &str = "GET /topics/news?after=7n2m4k8q-42 HTTP/1.1\r\n\
    Host: push.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: text/event-stream\r\n\
    Accept-Language: en-US,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Referer: https://push.example.com/\r\n\
    Connection: keep-alive\r\n\
    Cache-Control: no-cache\r\n\r\n";

const POST: &str = "POST /topics/news HTTP/1.1\r\n\
    Host: push.example.com\r\n\
    User-Agent: python-requests/2.32.3\r\n\
    Content-Type: application/json\r\n\
    Content-Length: 200\r\n\
    Idempotency-Key: 8c2f0a3e5b7d\r\n\r\n";

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

fn head(text: &'static str) -> Box<dyn Round> {
    let limits = Limits::default();
    let limits = HeadLimits {
        head_bytes_max: limits.head_bytes_max,
        target_bytes_max: limits.target_bytes_max,
        fields_max: 100,
    };
    Box::new(move || {
        let bytes = black_box(text.as_bytes());
        let end = HeadSearch::default().find_end(bytes, &limits).expect("it is well formed");
        let head = parse_head(&bytes[..end.expect("it is whole")], &limits);
        black_box(head.expect("it is well formed"));
    })
}

pub(super) fn head_get() -> Box<dyn Round> {
    head(GET)
}

pub(super) fn head_publish() -> Box<dyn Round> {
    head(POST)
}

pub(super) fn topic_target() -> Box<dyn Round> {
    Box::new(|| {
        let name = percent_decode(black_box("caf%C3%A9%20und%20Kuchen")).expect("it is encoded");
        black_box(TopicName::parse(&name).expect("it is a name"));
        let query = Query::parse(black_box("after=7n2m4k8q-42&wait=25&envelope"));
        black_box(query.expect("it is a query").value("wait"));
    })
}

pub(super) fn cursor_parse() -> Box<dyn Round> {
    Box::new(|| {
        let text = black_box("7n2m4k8q-42.0123wxyz-100000.zzzzzzzz-7");
        black_box(Start::parse(text.as_bytes()).expect("it is a cursor"));
    })
}

pub(super) fn cursor_text() -> Box<dyn Round> {
    let positions = [42, 100_000, 7]
        .map(|sequence| Position { epoch: Epoch::from_random(sequence * 0x1234_5678), sequence });
    let mut text = String::new();
    Box::new(move || {
        text.clear();
        Cursor::encode(black_box(positions).into_iter(), &mut text);
        black_box(&text);
    })
}

pub(super) fn command() -> Box<dyn Round> {
    Box::new(|| {
        let text = r#"{"type":"publish","request":7,"topic":"news","event":"edit",
            "data":{"user":"ada","text":"hello, world","tags":["a","b"],"at":1764547200123}}"#;
        let (request, command) = parse_command(black_box(text));
        black_box((request, command.expect("it is a command")));
    })
}

pub(super) fn json_message() -> Box<dyn Round> {
    let entry = r#"{"user":"ada","count":12345,"ok":true}"#;
    let mut payload = format!("[{entry},{entry},{entry},{entry},{entry}]").into_bytes();
    payload.resize(200, b' ');
    Box::new(move || {
        let payload = black_box(&payload).clone();
        let message = Message::new(payload, Some(b"application/json"), None, 5);
        black_box(message.expect("it is JSON"));
    })
}

pub(super) fn chunked_body() -> Box<dyn Round> {
    let chunk = format!("400\r\n{}\r\n", "x".repeat(1024));
    let body = format!("{}0\r\n\r\n", chunk.repeat(16));
    let limits = BodyLimits {
        payload_bytes_max: 1 << 20,
        chunk_line_bytes_max: CHUNK_LINE_BYTES_MAX,
        trailers_max: TRAILERS_MAX,
        trailer_bytes_max: TRAILER_BYTES_MAX,
    };
    let mut payload = Vec::new();
    Box::new(move || {
        payload.clear();
        let mut reader = BodyReader::new(Framing::Chunked, &limits);
        let body = black_box(body.as_bytes());
        reader.read(body, &mut payload, usize::MAX).expect("it is well formed");
        assert!(reader.is_complete() && payload.len() == 16 * 1024, "all of it was read");
    })
}

/// A masked text frame, read as it comes: the reader unmasks it in place, so each round needs another.
struct Frame {
    frame: Vec<u8>,
    arriving: Vec<u8>,
    reader: MessageReader,
    limits: MessageLimits,
}

impl Frame {
    fn of(length: u64) -> Box<dyn Round> {
        let mut frame = vec![0x81];
        match u16::try_from(length) {
            Ok(short @ 0..126) => frame.push(0x80 | short as u8),
            Ok(long) => {
                frame.push(0x80 | 126);
                frame.extend(long.to_be_bytes());
            }
            Err(_) => {
                frame.push(0x80 | 127);
                frame.extend(length.to_be_bytes());
            }
        }
        frame.extend(MASK);
        let start = frame.len();
        frame.extend((0..length).map(|index| b"tidings "[index as usize % 8]));
        unmask(&mut frame[start..], MASK, 0);
        let limits = MessageLimits { message_bytes_max: 1 << 20, fragments_max: 128 };
        Box::new(Self { frame, arriving: Vec::new(), reader: MessageReader::default(), limits })
    }
}

impl Round for Frame {
    fn prepare(&mut self) {
        self.arriving.clone_from(&self.frame);
    }

    fn run(&mut self) {
        let read = self.reader.read(black_box(&mut self.arriving), &self.limits);
        let (used, incoming) = read.expect("it is well formed");
        assert!(used == self.frame.len(), "all of it was read");
        assert!(matches!(black_box(incoming), Some(Incoming::Text(_))), "it is whole");
    }
}

pub(super) fn frame_small() -> Box<dyn Round> {
    Frame::of(64)
}

pub(super) fn frame_large() -> Box<dyn Round> {
    Frame::of(64 * 1024)
}
