//! What an attack must come to: one refusal, a closed connection, and a server that serves the next one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use self::http_page::{Vector, vectors};
use crate::support::*;

#[path = "../vectors/http_page.rs"]
mod http_page;

const HEADS: &str = include_str!("../vectors/http1-heads.md");
const BODIES: &str = include_str!("../vectors/http1-bodies.md");

/// Stands behind an attack. Whoever takes it for a request publishes something.
pub const SMUGGLED: &str =
    "POST /topics/smuggled HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n!";

/// A request that is sent by hand, with `fields` each ended by CRLF.
pub fn request(method: &str, target: &str, fields: &str) -> Vec<u8> {
    format!("{method} {target} HTTP/1.1\r\nHost: h\r\n{fields}\r\n").into_bytes()
}

/// Starts a server, attacks it, and shows that an honest client notices nothing.
pub fn attack(flags: &[&str], attacks: impl FnOnce(&Server)) {
    let server = Server::start(flags);
    attacks(&server);
    unharmed(&server);
}

/// Nothing was smuggled in, honest clients are served, and the attackers have left nothing behind.
#[track_caller]
pub fn unharmed(server: &Server) {
    assert_eq!(data(&server.poll("/topics/smuggled")), [""; 0], "nothing was smuggled in");
    server.publish("honest", "x");
    assert_eq!(data(&server.poll("/topics/honest")), ["x"]);
    // Whoever asks is the only one.
    server.await_metric("tidings_connections", 1);
    server.await_metric("tidings_body_bytes", 0);
    server.await_metric("tidings_subscriptions", 0);
}

/// "400c" and its like, at once and in pieces: the refusal is the only answer, it says that the connection
/// is closed, and it is; what stands behind the attack is not looked at.
#[track_caller]
pub fn refused(server: &Server, bytes: impl AsRef<[u8]>, status: u16) -> Vec<Answer> {
    let bytes = bytes.as_ref();
    // Seen only when the test fails.
    eprintln!("{status} to {}", bytes[..bytes.len().min(300)].escape_ascii());
    let pieces = [1, if bytes.len() < 512 { bytes.len() } else { 32 }];
    let refusals = pieces.map(|pieces| {
        let mut client = server.client();
        for piece in bytes.chunks(bytes.len().div_ceil(pieces.max(1)).max(1)) {
            client.try_send(piece);
        }
        client.try_send(SMUGGLED.as_bytes());
        let answer = client.answer();
        answer.problem(status);
        assert_eq!(answer.field("Connection"), Some("close"), "{answer:?}");
        client.assert_closed();
        answer
    });
    refusals.into()
}

/// The bytes are not refused, and not answered either; when no more come the connection is closed.
#[track_caller]
pub fn waited_for(server: &Server, bytes: impl AsRef<[u8]>) {
    let bytes = bytes.as_ref();
    eprintln!("nothing to {}", bytes[..bytes.len().min(300)].escape_ascii());
    let mut client = server.client();
    client.send(bytes);
    client.half_close();
    client.assert_closed();
}

/// The number of a section.
fn number(vector: &Vector<'_>) -> u16 {
    vector.heading.split('.').next().unwrap().parse().unwrap()
}

/// Sends the blocks of a section of tests/vectors/http1-heads.md that must be refused or waited for. (Those
/// that are taken say nothing of the answer; the tests of the row do.)
#[track_caller]
pub fn replay_heads(server: &Server, row: u16) {
    let mut replayed = 0;
    for vector in vectors(HEADS).iter().filter(|vector| number(vector) == row) {
        let first = vector.expected.split(' ').next().unwrap();
        if first == "more" {
            waited_for(server, &vector.input);
        } else if let Ok(status) = first.parse() {
            refused(server, &vector.input, status);
        } else {
            continue;
        }
        replayed += 1;
    }
    assert!(replayed > 0, "the page has something to refuse for {row}");
}

/// Sends the blocks of a section of tests/vectors/http1-bodies.md as what they are: payloads to publish.
#[track_caller]
pub fn replay_bodies(server: &Server, row: u16) {
    let of_row = vectors(BODIES).into_iter().filter(|vector| number(vector) == row);
    let mut replayed = 0;
    for (index, vector) in of_row.enumerate() {
        let (framing, expected) = vector.expected.split_once(": ").unwrap();
        let field = match framing.split_once(' ') {
            Some((_, length)) => format!("Content-Length: {length}\r\n"),
            None if framing == "chunked" => "Transfer-Encoding: chunked\r\n".to_owned(),
            None => continue,
        };
        replayed += 1;
        let target = format!("/topics/row{row}-{index}");
        let bytes = [request("POST", &target, &field), vector.input.clone()].concat();
        let (said, payload) = expected.split_once(" payload=").unwrap_or((expected, ""));
        match said.split(' ').next().unwrap() {
            "more" => waited_for(server, bytes),
            "done" => {
                let (payload, rest) = payload.split_once(" rest=").unwrap();
                let rest: usize = rest.parse().unwrap();
                let mut client = server.client();
                // What lies behind the body is left out: it need not be a request.
                client.send(&bytes[..bytes.len() - rest]);
                assert_eq!(client.answer().status, 201, "{}", vector.heading);
                // The body ended where it should.
                assert_eq!(client.request("GET", "/healthz", &[], b"").status, 200);
                assert_eq!(payloads(server, &target), [http_page::decode(payload)]);
                continue;
            }
            status => {
                refused(server, bytes, status.parse().unwrap());
            }
        }
        assert!(payloads(server, &target).is_empty(), "{} is not published", vector.heading);
    }
    assert!(replayed > 0, "the page has something for {row}");
}

/// The payloads of all messages of a topic.
pub fn payloads(server: &Server, target: &str) -> Vec<Vec<u8>> {
    let payload = |message: &Value| {
        let text = string(&message["data"]);
        match message["encoding"].as_str() {
            Some("base64") => STANDARD.decode(text).unwrap(),
            _ => text.into_bytes(),
        }
    };
    server.poll(target)["messages"].as_array().unwrap().iter().map(payload).collect()
}
