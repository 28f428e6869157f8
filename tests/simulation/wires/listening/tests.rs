//! Streams as docs/protocol.md has them, and what they must not do.

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
         Connection: Upgrade\r\nSec-WebSocket-Accept: C/0nmHhBztSRGR1CwL6Tf4ZjwpY=\r\n\
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
    let time_ms = is_told.then_some(1764547200123);
    Told::Message {
        topic: is_told.then(|| "news".into()),
        id: is_told.then(|| "e-42".into()),
        cursor: cursor.map(str::to_owned),
        payload: Payload { kind, bytes: b"hello".to_vec(), event: None, time_ms },
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
    let problem = r#"{"type":"/errors#draining","title":"t","status":503,"detail":"d"}"#;
    let event = format!("retry: 5000\nevent: tidings:refused\ndata: {problem}\n\n");
    let refused = Told::Refused { status: 503, retry_ms: Some(5000) };
    let bytes = stream("text/event-stream", &[&event]);
    let expected = [Told::Retry(5000), refused.clone(), Told::End];
    assert_eq!(told(Wire::Sse, &bytes), expected);
    let line = "{\"type\":\"refused\",\"problem\":\"/errors#draining\",\"status\":503,\"title\":\"t\",\"detail\":\"d\",\"retry_ms\":5000}\n";
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
    let other = String::from_utf8(socket("", &[])).unwrap().replace("C/0n", "C/0N");
    assert!(complaint(Wire::Raw, other.as_bytes()).contains("Sec-WebSocket-Accept"));
    for close in [&b"\x0f\xa1gone"[..], b"\x03\xf4later"] {
        assert!(complaint(Wire::Raw, &socket("", &[(8, close)])).contains("the reason of"));
    }
}
