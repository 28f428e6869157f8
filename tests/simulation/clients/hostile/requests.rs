//! Requests that nobody should send. None of them may publish anything: those that have a whole message in
//! them must be refused, and the others do not have one.

use super::Mischief;
use crate::clients::line::Pace;
use crate::clients::{Hands, path};
use crate::wires::http::{batch, get, request};
use crate::wires::websocket::handshake;

/// Larger than anything that is sent behind it.
const LENGTH: (&str, &str) = ("Content-Length", "1000000");
const CHUNKED: (&str, &str) = ("Transfer-Encoding", "chunked");

/// Topics of nobody else's.
const OTHER_TOPICS: [&str; 3] = ["/topics/other-1", "/topics/other-2", "/topics/other-1,other-3"];

/// Publishes in which something is wrong, with a whole message: (fields, the body as it is framed).
const REFUSED: [(&str, &str); 16] = [
    ("Content-Length: 5\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
    ("Transfer-Encoding: chunked\r\nContent-Length: 15", "5\r\n#none\r\n0\r\n\r\n"),
    ("Content-Length: +5", "#none"),
    ("Content-Length: 5, 5", "#none"),
    ("Content-Length: 5\r\nContent-Length: 5", "#none"),
    ("Content-Length : 5", "#none"),
    ("Content-Length: 5\nX: y", "#none"),
    ("Content-Length: 5\r\n folded", "#none"),
    ("Content-Length: 5\r\nHost: another", "#none"),
    ("Transfer-Encoding: gzip, chunked", "5\r\n#none\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "5\r\n#none\r\n0\r\n\r\n"),
    ("Content-Length: 5\r\nContent-Encoding: gzip", "#none"),
    ("Content-Length: 5\r\nOrigin: http://elsewhere", "#none"),
    ("Content-Length: 5\r\nExpect: the-unexpected", "#none"),
    ("Content-Length: 5\r\nContent-Type: application/json", "#none"),
    ("Content-Length: 5\r\nEvent-Type: tidings:gap", "#none"),
];

/// Bodies in chunks that never end, or end in nonsense.
const CHUNKS: [&str; 10] = [
    "5\r\nhel",
    "zz\r\nhello",
    "-5\r\nhello\r\n0\r\n\r\n",
    "5\r\nhelloXX0\r\n\r\n",
    "5;x\nhello\r\n0\r\n\r\n",
    "ffffffffffffffff\r\n#none",
    "10000000000000000\r\n#none",
    "5 \r\nhello\r\n0\r\n\r\n",
    "5\r\n#none\r\n0\r\nX : y\r\n\r\n",
    "0x5\r\nhello\r\n0\r\n\r\n",
];

pub(super) fn draw(hands: &mut Hands<'_>) -> Mischief {
    let topic = path(&[hands.random.usize(..hands.topics)]);
    let random = &mut *hands.random;
    match random.u8(0..18) {
        0 => Mischief::new("silence", ""),
        1 => {
            let garbage: Vec<u8> = (0..random.usize(1..300)).map(|_| random.u8(..)).collect();
            Mischief::new("garbage", garbage)
        }
        2 => {
            let mut half = get(&topic, &[("Accept", "text/event-stream")]);
            half.truncate(random.usize(0..half.len()));
            Mischief::new("half a request", half)
        }
        3 => {
            let drip = get(&format!("{topic}?wait=5"), &[("X", "y")]);
            Mischief { drip, ..Mischief::new("a slow head", "") }
        }
        4 | 5 => {
            let targets = [topic.as_str(), "/metrics", "/healthz", "/tidings.js", "/topics"];
            let target = targets[random.usize(..targets.len())];
            let flood = get(target, &[]).repeat(random.usize(10..100));
            Mischief {
                floods: true,
                pace: Pace::NEVER,
                ..Mischief::new("pipelined without end", flood)
            }
        }
        6 => oversized(hands, &topic),
        7 => {
            let head = request("POST", &topic, &[LENGTH]);
            Mischief { drip: vec![b'x'; 200], ..Mischief::new("a slow body", head) }
        }
        8 => {
            let head = request("POST", &topic, &[CHUNKED]);
            let chunks = CHUNKS[random.usize(..CHUNKS.len())];
            Mischief::new("bad chunks", [&head[..], chunks.as_bytes()].concat())
        }
        9..12 => {
            let (fields, body) = REFUSED[random.usize(..REFUSED.len())];
            let text = format!("POST {topic} HTTP/1.1\r\nHost: t\r\n{fields}\r\n\r\n{body}");
            Mischief::new("a publish that must be refused", text)
        }
        12 => Mischief::new("another protocol", another_protocol(hands)),
        13 => {
            let bytes = if random.bool() { get(&topic, &[]) } else { Vec::new() };
            Mischief { finishes: true, ..Mischief::new("half-closed at once", bytes) }
        }
        14 => stream(hands, &topic),
        15 => {
            let other = OTHER_TOPICS[random.usize(..OTHER_TOPICS.len())];
            Mischief::new("topics of nobody's", get(other, &[]))
        }
        16 => bad_batch(hands),
        _ => {
            let fields = [("Expect", "100-continue"), LENGTH];
            Mischief::new("a body that never comes", request("POST", &topic, &fields))
        }
    }
}

fn oversized(hands: &mut Hands<'_>, topic: &str) -> Mischief {
    let long = "x".repeat(hands.random.usize(10_000..40_000));
    let bytes = match hands.random.u8(0..4) {
        0 => get(topic, &[("X", &long)]),
        1 => get(&format!("{topic}?{long}"), &[]),
        2 => get(topic, &[("X", "y"); 120]),
        _ => long.into_bytes(),
    };
    Mischief::new("an oversized head", bytes)
}

fn another_protocol(hands: &mut Hands<'_>) -> Vec<u8> {
    let texts: [&[u8]; 8] = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
        b"GET / HTTP/3.0\r\nHost: t\r\n\r\n",
        b"GET /topics/\0 HTTP/1.1\r\nHost: t\r\n\r\n",
        b"GET /topics/%zz HTTP/1.1\r\nHost: t\r\n\r\n",
        b"CONNECT other:80 HTTP/1.1\r\nHost: other:80\r\n\r\n",
        b"GET /\r\n",
        b"EHLO there\r\n",
    ];
    texts[hands.random.usize(..texts.len())].to_vec()
}

/// Subscribes, and does not read, or talks where it should listen.
fn stream(hands: &mut Hands<'_>, topic: &str) -> Mischief {
    let target = format!("{topic}?after=earliest");
    let random = &mut *hands.random;
    match random.u8(0..4) {
        0 => {
            let bytes = get(&target, &[("Accept", "text/event-stream")]);
            let more = vec![b'x'; random.usize(0..6_000)];
            Mischief::new("talks into a stream", [bytes, more].concat())
        }
        1 => {
            let bytes = handshake(&target, true, &[("Sec-WebSocket-Version", "12")]);
            Mischief::new("a wrong handshake", bytes)
        }
        _ => {
            let kinds = ["text/event-stream", "application/x-ndjson"];
            let bytes = get(&target, &[("Accept", kinds[random.usize(..2)])]);
            Mischief { pace: Pace::NEVER, ..Mischief::new("never reads its stream", bytes) }
        }
    }
}

fn bad_batch(hands: &mut Hands<'_>) -> Mischief {
    let random = &mut *hands.random;
    let (pace, text) = match random.u8(0..3) {
        0 => (Pace::EAGER, "nonsense\n".repeat(1_100)),
        1 => (Pace::NEVER, "{\"topic\":\"a*\",\"data\":\"#none\"}\n".repeat(300)),
        _ => (Pace::EAGER, "{\"topic\":\"news\",\"data\":\"#none".repeat(100)),
    };
    let bytes = [&batch(Some(1_000_000))[..], text.as_bytes()].concat();
    Mischief { pace, ..Mischief::new("a bad batch", bytes) }
}
