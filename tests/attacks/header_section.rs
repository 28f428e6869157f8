//! 31 to 50: what may be wrong with header fields (RFC 9112 §5, RFC 9110 §5, RFC 6585).

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use serde_json::json;

use crate::refusal::*;
use crate::support::*;

/// A whole request with these lines behind its Host, which are bytes of any kind.
fn with_lines(lines: &[u8]) -> Vec<u8> {
    [b"GET /healthz HTTP/1.1\r\nHost: h\r\n", lines, b"\r\n\r\n"].concat()
}

#[test]
fn attack_031_032_033_034_field_names_that_are_none() {
    attack(&[], |server| {
        for row in 31..=34 {
            replay_heads(server, row);
        }
        for line in [
            "A : b",
            "A\t: b",
            "A \t : b",
            "Content-Length : 5",
            "Transfer-Encoding : chunked",
            ": b",
            ":",
            " : b",
            "::",
            "no colon",
            "A",
            "A=b",
            "Content-Length 5",
            "Transfer-\r\nEncoding: chunked",
            "A b: c",
            "A\u{a0}: b",
            "Content-Length\u{85}: 5",
        ] {
            refused(server, with_lines(line.as_bytes()), 400);
        }
        // Every byte that is no part of a token, inside a name that matters and alone.
        let is_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        for byte in (0..=255u8).filter(|&byte| !is_token(byte) && byte != b':') {
            for name in [&b"Transfer"[..], b""] {
                let line = [name, &[byte], b"Encoding: chunked"].concat();
                let mut client = server.client();
                client.try_send(&with_lines(&line));
                client.try_send(SMUGGLED.as_bytes());
                client.answer().problem(400);
                client.assert_closed();
            }
        }
    });
}

#[test]
fn attack_035_036_folded_lines_and_white_space_before_the_first_field() {
    attack(&[], |server| {
        replay_heads(server, 35);
        replay_heads(server, 36);
        for white in [" ", "\t", "  ", " \t"] {
            refused(server, with_lines(format!("A: b\r\n{white}c").as_bytes()), 400);
            refused(
                server,
                with_lines(format!("A: b\r\n{white}Content-Length: 5").as_bytes()),
                400,
            );
            refused(server, with_lines(format!("A:\r\n{white}b").as_bytes()), 400);
            refused(server, with_lines(format!("A: b\r\n{white}").as_bytes()), 400);
            let first = format!("GET /healthz HTTP/1.1\r\n{white}A: b\r\nHost: h\r\n\r\n");
            refused(server, first, 400);
            refused(server, format!("GET /healthz HTTP/1.1\r\n{white}\r\nHost: h\r\n\r\n"), 400);
        }
    });
}

#[test]
fn attack_037_038_039_what_may_stand_in_a_value() {
    attack(&[], |server| {
        for row in 37..=38 {
            replay_heads(server, row);
        }
        for byte in 0..=255u8 {
            let line = [b"A: b", &[byte][..], b"c"].concat();
            if matches!(byte, b'\t' | b' '..=b'~' | 0x80..) {
                // RFC 9110 §5.5: obs-text is opaque, whether it is UTF-8 or not.
                let answer = server.client().exchange(with_lines(&line));
                assert_eq!(answer.status, 200, "{byte:#x}");
            } else {
                refused(server, with_lines(&line), 400);
            }
        }
    });
}

#[test]
fn attack_039_bytes_that_are_no_text_in_every_field_that_is_looked_at() {
    attack(&[], |server| {
        let exchange = |method: &str, line: &[u8]| {
            let length: &[u8] = if method == "POST" { b"Content-Length: 1\r\n" } else { b"" };
            let head = format!("{method} /topics/a HTTP/1.1\r\nHost: h\r\n");
            let body: &[u8] = if method == "POST" { b"x" } else { b"" };
            let request = [head.as_bytes(), length, line, b"\r\n\r\n", body].concat();
            server.client().exchange(request).status
        };
        for value in [&b"\xff"[..], b"\x80\x81", b"\xc3\xa9", b"a\xa0", b"\xed\xa0\x80"] {
            for (method, name, status) in [
                ("GET", "Accept", 200),
                ("GET", "Accept-Encoding", 200),
                ("GET", "Authorization", 200),
                ("GET", "Connection", 200),
                ("GET", "Cookie", 200),
                ("GET", "If-None-Match", 200),
                ("GET", "Prefer", 200),
                ("GET", "Upgrade", 200),
                ("GET", "User-Agent", 200),
                // A malformed cursor on a short poll.
                ("GET", "Last-Event-ID", 400),
                ("GET", "Origin", 403),
                ("GET", "Expect", 417),
                ("GET", "Host", 400),
                ("POST", "Content-Encoding", 415),
                ("POST", "Content-Length", 400),
                ("POST", "Idempotency-Key", 400),
                ("POST", "Transfer-Encoding", 400),
            ] {
                let line = [name.as_bytes(), b": ", value].concat();
                assert_eq!(exchange(method, &line), status, "{name}: {}", value.escape_ascii());
            }
            // An event name is UTF-8, a content type is ASCII (docs/protocol.md 5.1).
            let is_text = std::str::from_utf8(value).is_ok();
            let event = [b"Event-Type: ", value].concat();
            assert_eq!(exchange("POST", &event), if is_text { 201 } else { 400 });
            let content_type = [b"Content-Type: ", value].concat();
            assert!([400, 415].contains(&exchange("POST", &content_type)));
            for name in ["Sec-WebSocket-Key", "Sec-WebSocket-Protocol"] {
                let key = if name == "Sec-WebSocket-Key" {
                    ""
                } else {
                    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                };
                let mut line =
                    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                        .to_vec();
                line.extend_from_slice(key.as_bytes());
                line.extend_from_slice(name.as_bytes());
                line.extend_from_slice(b": ");
                line.extend_from_slice(value);
                assert_eq!(exchange("GET", &line), 400, "{name}: {}", value.escape_ascii());
            }
        }
    });
}

#[test]
fn attack_040_041_line_ends_that_nearly_are() {
    attack(&[], |server| {
        replay_heads(server, 40);
        replay_heads(server, 41);
        for text in [
            "GET /healthz HTTP/1.1\nHost: h\n\n",
            "GET /healthz HTTP/1.1\r\nHost: h\n\r\n",
            "GET /healthz HTTP/1.1\r\nHost: h\r\n\n",
            "GET /healthz HTTP/1.1\r\nHost: h\n\n",
            "GET /healthz HTTP/1.1\nHost: h\r\n\r\n",
            "GET /healthz HTTP/1.1\r\nHost: h\r\r\n\r\n",
            "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\r\n",
            "GET /healthz HTTP/1.1\r\nHost: h\r\n\rX",
            "GET /healthz HTTP/1.1\r\nHost: h\r\rA: b\r\n\r\n",
            "GET /healthz HTTP/1.1\r\nHost: h\rA: b\r\n\r\n",
            "GET /healthz HTTP/1.1\r\nHost: h\n\rA: b\r\n\r\n",
            "GET /healthz HTTP/1.1\r\nHost: h\u{85}A: b\n\r\n",
        ] {
            refused(server, text, 400);
        }
        // What Unicode calls a line end is no line end: a field with a strange value, and no second field.
        let answer = server
            .client()
            .exchange("GET /healthz HTTP/1.1\r\nHost: h\r\nA: b\u{85}\u{2028}c: d\r\n\r\n");
        assert_eq!(answer.status, 200);
    });
}

#[test]
fn attack_042_048_fields_are_counted() {
    attack(&[], |server| {
        replay_heads(server, 42);
        // Host is one of a hundred. Whatever they are called: they are a list, nothing is hashed.
        let names = |count: usize| (0..count).map(|n| format!("n{n}: x\r\n")).collect::<String>();
        let same = |count: usize| "a:\r\n".repeat(count);
        for fields in [names(99), same(99)] {
            assert_eq!(server.client().exchange(request("GET", "/healthz", &fields)).status, 200);
        }
        for fields in [names(100), same(100), same(3_900), names(10_000), same(100_000)] {
            refused(server, request("GET", "/healthz", &fields), 431);
        }
    });
}

#[test]
fn attack_043_large_fields() {
    attack(&[], |server| {
        replay_heads(server, 43);
        refused(
            server,
            request("GET", "/healthz", &format!("A: {}\r\n", "b".repeat(200_000))),
            431,
        );
        refused(server, request("GET", "/healthz", &format!("{}: b\r\n", "a".repeat(70_000))), 431);
        refused(
            server,
            request("GET", "/healthz", &format!("A: {}\r\n", "b".repeat(1_900_000))),
            431,
        );
        // Nothing is waited for: the answer comes before the end of the field.
        refused(
            server,
            format!("GET /healthz HTTP/1.1\r\nHost: h\r\nA: {}", "b".repeat(16_384)),
            431,
        );
        let around = request("GET", "/healthz", "A: \r\n").len();
        let exactly = |bytes: usize| {
            request("GET", "/healthz", &format!("A: {}\r\n", "b".repeat(bytes - around)))
        };
        assert_eq!(server.client().exchange(exactly(16_384)).status, 200);
        refused(server, exactly(16_385), 431);
    });
}

#[test]
fn attack_044_a_head_byte_by_byte_is_the_same_head() {
    attack(&["--head-bytes-max", "64K"], |server| {
        let fields = "a: b\r\n".repeat(90) + &format!("A: {}\r\n", "b".repeat(60_000));
        let bytes = request("POST", "/topics/a", &(fields + "Content-Length: 2\r\n"));
        for step in [1, usize::MAX] {
            let mut client = server.client();
            for piece in bytes.chunks(step.min(bytes.len())) {
                client.send(piece);
            }
            client.send("hi");
            assert_eq!(client.answer().status, 201);
            assert_eq!(client.request("GET", "/healthz", &[], b"").status, 200);
        }
        assert_eq!(data(&server.poll("/topics/a")), ["hi", "hi"]);
    });
}

#[test]
fn attack_045_fields_that_may_be_there_only_once() {
    attack(&[], |server| {
        replay_heads(server, 45);
        for (name, first, second) in [
            ("Authorization", "Bearer a", "Bearer b"),
            ("Content-Encoding", "identity", "gzip"),
            ("Content-Length", "1", "1"),
            ("Content-Type", "text/plain", "application/json"),
            ("Event-Type", "a", "b"),
            ("Expect", "100-continue", "100-continue"),
            ("Idempotency-Key", "a", "b"),
            ("If-None-Match", "\"a\"", "\"b\""),
            ("Last-Event-ID", "earliest", "latest"),
            ("Origin", "http://h", "https://evil.example"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("Sec-WebSocket-Version", "13", "13"),
        ] {
            for (first, second) in [(first, second), (second, first), (first, "")] {
                let upper = name.to_uppercase();
                let twice = format!("{name}: {first}\r\nA: b\r\n{upper}: {second}\r\n");
                refused(server, request("POST", "/topics/smuggled", &twice), 400);
                refused(server, request("GET", "/topics/smuggled", &twice), 400);
            }
        }
    });
}

#[test]
fn attack_046_strange_connection_fields() {
    attack(&[], |server| {
        // What Connection names is not taken away: the second Host is seen, Origin is judged.
        refused(server, request("GET", "/healthz", "Connection: Host\r\nHost: h\r\n"), 400);
        let fields =
            [("Connection", "close, Origin, Content-Length"), ("Origin", "https://evil.example")];
        server.request("POST", "/topics/a", &fields, b"x").problem(403);
        let framed =
            "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n";
        refused(server, request("POST", "/topics/smuggled", framed), 400);
        for (value, closes) in [
            ("Upgrade, , ,", false),
            (",,, ,\t,close", true),
            ("keep-alive, CLOSE", true),
            ("close, keep-alive", true),
            ("keep-alive", false),
            ("\"close\"", false),
            ("closed", false),
            ("close;a", false),
            (&"x,".repeat(7_000), false),
            (&format!("{}close", "x,".repeat(1_000)), true),
        ] {
            let mut client = server.client();
            let answer = client.request("GET", "/healthz", &[("Connection", value)], b"");
            assert_eq!(
                (answer.status, answer.field("Connection").is_some()),
                (200, closes),
                "{value:.40}"
            );
            if closes {
                client.assert_closed();
            } else {
                assert_eq!(client.request("GET", "/healthz", &[], b"").status, 200);
            }
        }
    });
}

#[test]
fn attack_047_nobody_is_believed_who_says_where_he_comes_from() {
    attack(&["--connections-per-address", "1"], |server| {
        let from = |last: u8| {
            Client::connect_from(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), server.address())
        };
        let mut first = from(2);
        assert_eq!(first.request("GET", "/healthz", &[], b"").status, 200);
        for field in [
            ("X-Forwarded-For", "127.0.0.9"),
            ("X_Forwarded_For", "127.0.0.9"),
            ("X-Real-IP", "127.0.0.9"),
            ("Forwarded", "for=127.0.0.9"),
            ("True-Client-IP", "127.0.0.9"),
            ("CF-Connecting-IP", "127.0.0.9"),
        ] {
            from(2).request("GET", "/healthz", &[field], b"").problem(429);
            // And nobody else is made to pay for it.
            let spoofed = [(field.0, "127.0.0.3")];
            assert_eq!(server.request("GET", "/healthz", &spoofed, b"").status, 200);
            assert_eq!(from(3).request("GET", "/healthz", &[], b"").status, 200);
            server.await_metric("tidings_connections", 2);
        }
        refused(
            server,
            "PROXY TCP4 127.0.0.9 127.0.0.1 1 2\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
            400,
        );
        // The scheme and the host are not believed either (clause 14.1).
        for fields in [
            [("Origin", "https://evil.example"), ("X-Forwarded-Host", "evil.example")],
            [("Origin", "https://evil.example"), ("Forwarded", "host=evil.example;proto=https")],
        ] {
            server.request("GET", "/topics/a", &fields, b"").problem(403);
        }
    });
}

#[test]
fn attack_049_what_is_echoed_cannot_end_a_line() {
    attack(&["--allow-origin", "https://good.example"], |server| {
        // Whatever is said in a target or field, the answers' heads have only fields of ours.
        let names = [
            "Date",
            "Connection",
            "Content-Type",
            "Content-Length",
            "Cache-Control",
            "Vary",
            "X-Content-Type-Options",
            "ETag",
            "Allow",
            "Preference-Applied",
            "Retry-After",
            "Access-Control-Allow-Origin",
            "Access-Control-Expose-Headers",
        ];
        for target in [
            "/topics/a%0d%0aX-Evil:%20b",
            "/topics/a%0aX-Evil:b?wait=0",
            "/topics/%E5%98%8D%E5%98%8AX-Evil:b",
            "/topics/a?after=%0d%0aX-Evil:%20b",
            "/topics/a?wait=0%0d%0aX-Evil:%20b",
            "/topics/a?event=%0d%0aX-Evil:%20b",
            "/%0d%0aX-Evil:%20b",
        ] {
            for (name, value) in [
                ("Prefer", "wait=0;\u{85}X-Evil=b"),
                ("Origin", "https://good.example"),
                ("If-None-Match", "\"a\u{2028}X-Evil: b\""),
                ("Event-Type", "a\u{85}X-Evil: b"),
            ] {
                for method in ["GET", "POST", "HEAD"] {
                    let answer = server.request(method, target, &[(name, value)], b"");
                    for (name, value) in &answer.head.fields {
                        assert!(names.contains(&name.as_str()), "{method} {target}: {answer:?}");
                        assert!(!value.contains("Evil"), "{method} {target}: {answer:?}");
                    }
                }
            }
        }
        let (mut socket, _) = server.json_websocket("/topics");
        for member in ["event", "key", "topic", "content_type"] {
            for text in ["a\r\nb", "a\nid: 1", "a\rb", "a\0b", "a\u{7f}"] {
                let mut command = json!({"type": "publish", "topic": "smuggled", "data": "x"});
                command[member] = json!(text);
                let answer = socket.command(&command.to_string());
                assert_eq!(answer["type"], "error", "{command}: {answer}");
            }
        }
    });
}

#[test]
fn attack_020_049_050_nothing_that_a_peer_sent_is_in_the_log() {
    let mut server = Server::start_logging(1, &[], "debug");
    let escape = "\x1b[31mzqxjkv\x1b[0m\u{9b}31m";
    for attack in 0..1_200 {
        let bytes = match attack % 6 {
            0 => format!("{escape}\r\nzqxjkv\r\n\r\n").into_bytes(),
            1 => request("GET", "/topics/zqxjkv%0a%1b[31m", ""),
            2 => request(
                "GET",
                "/zqxjkv",
                &format!(
                    "User-Agent: {}\r\n",
                    "zqxjkv".repeat(if attack < 6 { 160_000 } else { 9 })
                ),
            ),
            3 => request("GET", "/zqxjkv", "User-Agent: a\u{9b}31m zqxjkv\r\nReferer: zqxjkv\r\n"),
            4 => [b"\x16\x03\x01zqxjkv\xff\xfe\n", &[0xff; 1_000][..]].concat(),
            _ => request("POST", "/topics/zqxjkv", "Content-Length: 3\r\n"),
        };
        let mut client = server.client();
        client.try_send(&bytes);
        client.half_close();
        client.rest();
    }
    unharmed(&server);
    server.terminate();
    let lines = server.log_to_its_end(PATIENCE);
    assert!(server.exit_status(PATIENCE).success());
    assert!(lines.iter().any(|line| line.contains("drained")), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains(" ended: ")), "every connection's end is said");
    for line in &lines {
        assert!(!line.contains("zqxjkv"), "{line:?}");
        assert!(
            line.len() < 300 && !line.contains(|c: char| c.is_control() || c == '\u{fffd}'),
            "{line:?}"
        );
    }
    // Two hundred ends a second are said one by one, and the others counted. A second of the log's stamps
    // may be part of two of those.
    let mut ends = BTreeMap::new();
    for line in lines.iter().filter(|line| line.contains(" ended: ")) {
        *ends.entry(line.split('Z').next()).or_insert(0) += 1;
    }
    assert!(ends.values().all(|&count| count <= 400), "{ends:?}");
}
