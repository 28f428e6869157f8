//! 151 to 160: WebSocket opening handshakes (RFC 6455 §4).

use std::fmt::Write as _;

use crate::refusal::*;
use crate::support::*;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// The answer to an opening handshake, which must not be a 101.
#[track_caller]
fn refusal(server: &Server, target: &str, fields: &[(&str, &str)], status: u16) -> Answer {
    let mut client = server.client();
    let answer = client.request("GET", target, &handshake(fields), b"");
    answer.problem(status);
    // Nothing was switched: the connection still speaks HTTP.
    assert_eq!(client.request("GET", "/healthz", &[], b"").text(), "ok\n");
    answer
}

#[test]
fn attack_151_handshakes_that_are_no_get_of_http_1_1() {
    attack(&[], |server| {
        let upgrade = |start: &str| {
            let fields = handshake(&[]);
            let lines = fields.iter().fold(start.to_owned(), |mut text, (name, value)| {
                write!(text, "{name}: {value}\r\n").unwrap();
                text
            });
            lines + "\r\n"
        };
        refused(server, upgrade("GET /topics/smuggled HTTP/1.1\r\n"), 400);
        // RFC 9110 §7.8: an Upgrade in HTTP/1.0 must be ignored, another one may be. So these are what they
        // were without it: a poll, a HEAD, a publish without a length, a method that has no place.
        let poll = server.client().exchange(upgrade("GET /topics/a HTTP/1.0\r\nHost: h\r\n"));
        assert_eq!((poll.status, poll.field("Content-Type")), (200, Some("application/json")));
        for (method, status) in [("HEAD", 200), ("OPTIONS", 204), ("POST", 411), ("PATCH", 405)] {
            let mut client = server.client();
            client.send(upgrade(&format!("{method} /topics/a HTTP/1.1\r\nHost: h\r\n")));
            let answer = client.answer_to(method);
            assert_eq!((answer.status, answer.field("Upgrade")), (status, None), "{method}");
            assert_eq!(client.request("GET", "/healthz", &[], b"").text(), "ok\n");
        }
    });
}

#[test]
fn attack_152_versions_other_than_13() {
    attack(&[], |server| {
        for version in [
            "",
            "0",
            "7",
            "8",
            "12",
            "14",
            "013",
            "13.0",
            "1 3",
            "13, 8",
            "8, 13",
            "+13",
            "x",
            "99999999999999999999",
        ] {
            let answer = refusal(server, "/topics/a", &[("Sec-WebSocket-Version", version)], 426);
            assert_eq!(answer.field("Sec-WebSocket-Version"), Some("13"));
            assert_eq!(answer.field("Upgrade"), Some("websocket"));
        }
        let fields =
            format!("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\n");
        server.client().exchange(request("GET", "/topics/a", &fields)).problem(426);
    });
}

#[test]
fn attack_153_keys_that_are_not_16_bytes_in_base64() {
    attack(&[], |server| {
        let long = "QUJD".repeat(30);
        for key in [
            "",
            "a",
            "dGhlIHNhbXBsZSBub25jZQ",
            "dGhlIHNhbXBsZSBub25jZQ=",
            "dGhlIHNhbXBsZSBub25jZQ===",
            "dGhlIHNhbXBsZSBub25jZSB4eA==",
            "dGhlIHNhbXBsZSBub25j",
            "dGhlIHNhbXBsZSBub25jZQ=A",
            "dGhlIHNhbXBsZSBub25jZ_==",
            "dGhlIHNhbXBsZSBub25jZ-==",
            "dGhlIHNhbXBs ZSBub25jZQ==",
            "========================",
            "!!!!!!!!!!!!!!!!!!!!!!==",
            "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==",
            &long,
        ] {
            refusal(server, "/topics/a", &[("Sec-WebSocket-Key", key)], 400);
        }
        let fields = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n";
        server.client().exchange(request("GET", "/topics/a", fields)).problem(400);
        let twice = format!("{fields}Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Key: {KEY}\r\n");
        refused(server, request("GET", "/topics/smuggled", &twice), 400);
    });
}

#[test]
fn attack_154_how_an_upgrade_may_be_written() {
    attack(&[], |server| {
        for (upgrade, connection) in [
            ("websocket", "Upgrade"),
            ("WebSocket", "upgrade"),
            ("WEBSOCKET", "keep-alive, Upgrade"),
            ("h2c, websocket", "UPGRADE"),
            (" websocket\t", ",, keep-alive ,\tUpgrade,"),
        ] {
            let fields = [("Upgrade", upgrade), ("Connection", connection)];
            assert_eq!(WebSocket::open(server, "/topics/a", &fields).head.status, 101);
        }
        for (upgrade, connection) in [
            ("websocket", "Upgrade-x"),
            ("websocket", "xUpgrade"),
            ("websocket", "keep-alive"),
            ("websocket", "\"Upgrade\""),
            ("websocket", "Up grade"),
            ("websockets", "Upgrade"),
            ("web socket", "Upgrade"),
            ("\"websocket\"", "Upgrade"),
            ("h2c", "Upgrade"),
            ("", "Upgrade"),
        ] {
            let fields = handshake(&[("Upgrade", upgrade), ("Connection", connection)]);
            let answer = server.request("GET", "/topics/a", &fields, b"");
            assert_eq!(answer.status, 200, "a poll: {upgrade:?} {connection:?}");
        }
    });
}

#[test]
fn attack_155_an_upgrade_where_there_is_no_websocket() {
    attack(&[], |server| {
        let mut client = server.client();
        for (target, status) in [
            ("/healthz", 200),
            ("/", 200),
            ("/metrics", 200),
            ("/tidings.js", 200),
            ("/nowhere", 404),
            ("/topics/", 400),
            ("/topics/a/b", 404),
            // Without a topic the subprotocol is needed.
            ("/topics", 400),
        ] {
            let answer = client.request("GET", target, &handshake(&[]), b"");
            assert_eq!((answer.status, answer.field("Upgrade")), (status, None), "{target}");
        }
    });
}

#[test]
fn attack_156_origins_that_nearly_are_the_right_one() {
    attack(&["--allow-origin", "https://good.example"], |server| {
        let own = format!("http://{}", server.address());
        for origin in ["https://good.example", "HTTPS://GOOD.example", &own] {
            assert_eq!(
                WebSocket::open(server, "/topics/a", &[("Origin", origin)]).head.status,
                101,
                "{origin}"
            );
        }
        // Who is no browser says none, and could say any (RFC 6455 §10.2).
        assert_eq!(server.raw_websocket("/topics/a").head.status, 101);
        for origin in [
            "https://evil.example",
            "http://good.example",
            "https://good.example:443",
            "https://good.example:8443",
            "https://good.example.",
            "https://good.example/",
            "https://good.example.evil.example",
            "https://evilgood.example",
            "https://www.good.example",
            "https://good.example@evil.example",
            "https://evil.example#https://good.example",
            "https://good.example, https://evil.example",
            "https://good.example https://evil.example",
            "https://g\u{43e}\u{43e}d.example",
            "https://xn--gd-jbc.example",
            "wss://good.example",
            "good.example",
            "//good.example",
            "null",
            "NULL",
            "file://",
            "file:///good.example",
            "chrome-extension://abcdef",
            "http://localhost",
            "http://127.0.0.1",
            "http://[::1]",
            "*",
            "",
            "http://",
            "https://",
        ] {
            refusal(server, "/topics/a", &[("Origin", origin)], 403);
            refusal(
                server,
                "/topics",
                &[("Origin", origin), ("Sec-WebSocket-Protocol", "tidings.json")],
                403,
            );
        }
        // An empty Host is nobody's: "http://" is not its origin.
        let fields = format!(
            "Origin: http://\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n"
        );
        let bytes = format!("GET /topics/a HTTP/1.1\r\nHost:\r\n{fields}\r\n");
        server.client().exchange(bytes).problem(403);
    });
}

#[test]
fn attack_157_subprotocols() {
    attack(&[], |server| {
        let chosen = |offer: &str| {
            let socket = WebSocket::open(server, "/topics/a", &[("Sec-WebSocket-Protocol", offer)]);
            socket.head.field("Sec-WebSocket-Protocol").map(str::to_owned)
        };
        let json = Some("tidings.json".to_owned());
        assert_eq!(chosen("tidings.json"), json);
        assert_eq!(chosen("a, b,tidings.json , c"), json);
        for offer in
            ["a", "a, b", "TIDINGS.JSON", "tidings.jsonx", "tidings", "", ",,", "x.tidings.json"]
        {
            assert_eq!(chosen(offer), None, "{offer:?}");
        }
        let many: String = (0..1_000).map(|n| format!("p{n},")).collect();
        assert_eq!(chosen(&many), None);
        assert_eq!(chosen(&(many + "tidings.json")), json);
        assert_eq!(chosen(&"a".repeat(15_000)), None);
        assert_eq!(chosen(&format!("{}tidings.json", " \t".repeat(7_000))), json);
        assert_eq!(chosen(&",".repeat(15_000)), None);
        let half_spaces = format!("{}x y", "a ,".repeat(4_000));
        for offer in [
            "a b",
            "\"tidings.json\"",
            "tidings.json;a",
            "a/b",
            "(a)",
            "a=b",
            "a@b",
            "{}",
            "tidings.json, a b",
            "a b, tidings.json",
            "\u{e9}",
            &half_spaces,
        ] {
            refusal(server, "/topics/a", &[("Sec-WebSocket-Protocol", offer)], 400);
        }
    });
}

#[test]
fn attack_158_extensions_are_declined_whatever_they_say() {
    attack(&[], |server| {
        let deflate = "permessage-deflate";
        let hundred = format!("{deflate}; client_max_window_bits, ").repeat(100);
        let long = format!("{deflate}; {}", "a=b;".repeat(3_500));
        let quoted = format!("{deflate}; a=\"{}\"", "\\".repeat(15_000));
        let mut offers = vec![
            deflate.to_owned(),
            format!("{deflate}, {deflate}"),
            format!("{deflate}; server_no_context_takeover; server_no_context_takeover"),
            format!("{deflate}; unknown"),
            format!("{deflate}; a=\"b;c,d\""),
            format!("{deflate}; a=\""),
            format!("{deflate};;;"),
            format!("{deflate}; ="),
            ",".to_owned(),
            ";".to_owned(),
            "x-webkit-deflate-frame".to_owned(),
            "\u{e9}".to_owned(),
            hundred,
            long,
            quoted,
        ];
        for bits in 0..=30 {
            offers.push(format!(
                "{deflate}; server_max_window_bits={bits}; client_max_window_bits={bits}"
            ));
        }
        for offer in offers {
            let mut socket =
                WebSocket::open(server, "/topics/a", &[("Sec-WebSocket-Extensions", &offer)]);
            assert_eq!(socket.head.field("Sec-WebSocket-Extensions"), None, "{offer:.80}");
            // Declined: a compressed frame has a reserved bit.
            socket.send_frame(FIN | 0x40 | TEXT, b"\xf2\x48\xcd\xc9\xc9\x07\0");
            assert_eq!(socket.close().0, 1002);
        }
    });
}

#[test]
fn attack_159_frames_in_the_segment_of_the_handshake() {
    attack(&[], |server| {
        let mut client = server.client();
        let mut bytes = client.encode_request("GET", "/topics/a", &handshake(&[]), b"");
        bytes.extend(WebSocket::encode(FIN | PING, b"p"));
        bytes.extend(WebSocket::encode(FIN | TEXT, b"hi"));
        bytes.extend(WebSocket::encode(FIN | CLOSE, &1000_u16.to_be_bytes()));
        client.send(bytes);
        let head = client.head();
        assert_eq!(head.status, 101);
        let mut socket = WebSocket { client, head };
        assert_eq!(socket.frame().opcode, PONG);
        loop {
            // The echo may come before the close, or too late.
            let frame = socket.frame();
            if frame.opcode == CLOSE {
                break;
            }
            assert_eq!(frame.payload, b"hi");
        }
        socket.client.assert_closed();
        assert_eq!(data(&server.poll("/topics/a")), ["hi"]);
    });
}

#[test]
fn attack_160_handshakes_that_do_not_go_on() {
    attack(&["--head-time", "0.3", "--ping", "0.2", "--pong-wait", "0.3"], |server| {
        let client = server.client();
        let bytes = client.encode_request("GET", "/topics/smuggled", &handshake(&[]), b"");
        let mut half = server.client();
        half.send(&bytes[..bytes.len() / 2]);
        half.answer().problem(408);
        half.assert_closed();
        // Open, and silent: asked once whether it is there.
        let mut silent = server.raw_websocket("/topics/a");
        assert_eq!(silent.frame().opcode, PING);
        silent.client.assert_closed();
        server.await_metric("tidings_connections_closed_total{reason=\"pong_timeout\"}", 1);
    });
}
