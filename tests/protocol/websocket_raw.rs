//! Clauses 11.1, 11.2, 11.5 to 11.7: WebSockets as such, and without a subprotocol.

use crate::support::*;

#[test]
fn clause_11_1_the_opening_handshake_is_that_of_rfc_6455() {
    let server = Server::start(&[]);
    let socket = server.raw_websocket("/topics/news");
    assert_eq!(socket.head.field("Upgrade"), Some("websocket"));
    assert_eq!(socket.head.field("Connection"), Some("Upgrade"));
    // The example of RFC 6455 §1.3.
    assert_eq!(socket.head.field("Sec-WebSocket-Accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(socket.head.field("Sec-WebSocket-Protocol"), None);
    let offer = [("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")];
    let socket = WebSocket::open(&server, "/topics/news", &offer);
    assert_eq!(socket.head.field("Sec-WebSocket-Extensions"), None, "no extensions");
}

#[test]
fn clause_11_1_another_version_is_426_and_a_bad_key_400() {
    let server = Server::start(&[]);
    let open =
        |fields: &[(&str, &str)]| server.request("GET", "/topics/news", &handshake(fields), b"");
    for version in ["8", "12", "14", "013", "x", ""] {
        let refused = open(&[("Sec-WebSocket-Version", version)]);
        refused.problem(426);
        assert_eq!(refused.field("Sec-WebSocket-Version"), Some("13"));
    }
    for key in [
        "",
        "short",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZSB4eA==",
        "!!!!!!!!!!!!!!!!!!!!!!==",
    ] {
        open(&[("Sec-WebSocket-Key", key)]).problem(400);
    }
    open(&[("Origin", "https://elsewhere.example")]).problem(403);
}

#[test]
fn clause_11_1_get_topics_opens_a_connection_without_topics_only_with_the_subprotocol() {
    let server = Server::start(&[]);
    server.request("GET", "/topics", &handshake(&[]), b"").problem(400);
    let (_, open) = server.json_websocket("/topics");
    assert_eq!(open, serde_json::json!({"type": "open"}), "without a cursor");
}

#[test]
fn clause_11_2_text_and_json_come_as_text_frames_binary_as_binary_frames() {
    for_workers(&[], |server| {
        for topic in TOPICS {
            let target = format!("/topics/{topic}");
            let publish = |content_type: &str, payload: &[u8]| {
                server.request("POST", &target, &[("Content-Type", content_type)], payload);
            };
            publish("text/plain", "té".as_bytes());
            publish("application/json", b"{\"a\":\n1}");
            publish("image/png", b"\x89\xff");
            publish("text/plain", b"");
            let large = "l".repeat(70_000);
            publish("text/plain", large.as_bytes());
            let mut socket = server.raw_websocket(&format!("{target}?after=earliest"));
            assert_eq!(socket.text(), "té");
            let json: serde_json::Value = serde_json::from_str(&socket.text()).unwrap();
            assert_eq!(json, serde_json::json!({"a": 1}));
            let frame = socket.frame();
            assert_eq!(
                (frame.fin, frame.opcode, &frame.payload[..]),
                (true, BINARY, &b"\x89\xff"[..])
            );
            assert_eq!(socket.text(), "");
            assert!(socket.text() == large);
        }
    });
}

#[test]
fn clause_11_2_what_the_client_sends_is_published_in_order_and_echoed() {
    for_workers(&[], |server| {
        for topic in TOPICS {
            let target = format!("/topics/{topic}");
            let mut socket = server.raw_websocket(&format!("{target}?after=earliest"));
            let mut other = server.raw_websocket(&format!("{target}?after=earliest"));
            for number in 0..20 {
                socket.send_text(&number.to_string());
            }
            socket.send_frame(FIN | BINARY, b"\xff");
            // In fragments, with a ping between them.
            socket.send_frame(TEXT, b"fra");
            socket.send_frame(FIN | PING, b"p");
            socket.send_frame(CONTINUATION, b"gm");
            socket.send_frame(FIN | CONTINUATION, b"ents");
            for number in 0..20 {
                assert_eq!(other.text(), number.to_string());
            }
            assert_eq!(other.frame().opcode, BINARY);
            assert_eq!(other.text(), "fragments");
            let mut frames: Vec<Frame> = (0..23).map(|_| socket.frame()).collect();
            frames.retain(|frame| frame.opcode != PONG);
            assert_eq!(frames.len(), 22, "an echo of each, beside the pong");
            assert_eq!(frames[21].payload, b"fragments");
            let poll = server.poll(&format!("{target}?last=2"));
            assert_eq!(poll["messages"][0]["content_type"], "application/octet-stream");
            assert_eq!(poll["messages"][1]["data"], "fragments");
        }
    });
}

#[test]
fn clause_11_2_with_several_topics_a_data_frame_is_answered_with_1008() {
    let server = Server::start(&[]);
    for first in [FIN | TEXT, FIN | BINARY] {
        let mut socket = server.raw_websocket("/topics/a,b");
        socket.send_frame(first, b"x");
        assert_eq!(socket.close().0, 1008);
    }
    assert_eq!(data(&server.poll("/topics/a,b")), [""; 0]);
}

#[test]
fn clause_11_5_a_cursor_in_the_url_works() {
    for_workers(&[], |server| {
        for topic in TOPICS {
            let id = server.publish(topic, "1");
            server.publish(topic, "2");
            assert_eq!(server.raw_websocket(&format!("/topics/{topic}?after={id}")).text(), "2");
            let header = [("Last-Event-ID", id.as_str())];
            assert_eq!(WebSocket::open(server, &format!("/topics/{topic}"), &header).text(), "2");
        }
    });
}

#[test]
fn clause_11_6_a_silent_client_is_pinged_and_closed_when_it_does_not_answer() {
    for_workers(&["--ping", "0.1", "--pong-wait", "0.2"], |server| {
        let mut socket = server.raw_websocket("/topics/quiet");
        for _ in 0..3 {
            let ping = socket.frame();
            assert_eq!(ping.opcode, PING);
            socket.send_frame(FIN | PONG, &ping.payload);
        }
        assert_eq!(socket.frame().opcode, PING);
        socket.client.assert_closed();
        server.await_metric("tidings_connections_closed_total{reason=\"pong_timeout\"}", 1);
    });
}

#[test]
fn clause_11_6_another_frame_is_as_good_as_a_pong() {
    let server = Server::start(&["--ping", "0.1", "--pong-wait", "1"]);
    let mut socket = server.raw_websocket("/topics/quiet");
    for _ in 0..3 {
        assert_eq!(socket.frame().opcode, PING);
        socket.send_text("x");
        assert_eq!(socket.text(), "x");
    }
}

#[test]
fn clause_11_6_pings_are_answered_with_what_they_carried() {
    let server = Server::start(&["--pings-per-second", "1000"]);
    let mut socket = server.raw_websocket("/topics/news");
    for payload in [&b""[..], b"hello", &[0xff; 125]] {
        socket.send_frame(FIN | PING, payload);
        let pong = socket.frame();
        assert_eq!((pong.opcode, &pong.payload[..]), (PONG, payload));
    }
}

#[test]
fn clause_11_6_too_many_pings_are_closed_with_1008() {
    let server = Server::start(&["--pings-per-second", "10"]);
    let mut socket = server.raw_websocket("/topics/news");
    // Two windows of a second may share them: three times as many are too many in any.
    let pings: Vec<u8> = (0..30).flat_map(|_| WebSocket::encode(FIN | PING, b"p")).collect();
    socket.client.send(pings);
    let last = (0..31).map(|_| socket.frame()).find(|frame| frame.opcode != PONG).unwrap();
    assert_eq!(last.opcode, CLOSE);
    assert_eq!(last.payload[..2], 1008_u16.to_be_bytes());
}

#[test]
fn clause_11_6_when_several_pings_wait_the_newest_is_answered() {
    let server = Server::start(&["--pings-per-second", "1000", "--outbox-bytes-max", "64K"]);
    let client = Client::connect_narrow(4096, server.address());
    let mut socket = WebSocket::open_on(client, "/topics/wide", &handshake(&[]));
    // Nothing of it is read yet: it waits on the way, and pings come from the other side.
    for _ in 0..4 {
        server.publish("wide", &"w".repeat(1 << 20));
    }
    for number in 0..50_u8 {
        socket.send_frame(FIN | PING, &[number]);
    }
    let (mut messages, mut pongs) = (0, Vec::new());
    while messages < 4 || pongs.last() != Some(&49) {
        let frame = socket.frame();
        match frame.opcode {
            PONG => pongs.push(frame.payload[0]),
            TEXT => messages += 1,
            _ => panic!("{frame:?}"),
        }
    }
    assert!(pongs.is_sorted_by(|a, b| a < b), "in order, each once at most: {pongs:?}");
    assert_eq!(pongs.last(), Some(&49), "the newest is among them");
}

#[test]
fn clause_11_6_ten_pings_in_a_second_are_fine() {
    let server = Server::start(&[]);
    let mut socket = server.raw_websocket("/topics/news");
    for _ in 0..10 {
        socket.send_frame(FIN | PING, b"p");
    }
    for _ in 0..10 {
        assert_eq!(socket.frame().opcode, PONG);
    }
}

#[test]
fn clause_11_7_a_close_is_answered_with_its_code_and_then_the_connection_ends() {
    let server = Server::start(&[]);
    for code in [1000_u16, 1001, 3000, 4999] {
        let mut socket = server.raw_websocket("/topics/news");
        socket.send_frame(FIN | CLOSE, &[&code.to_be_bytes()[..], b"bye"].concat());
        assert_eq!(socket.close().0, code);
        socket.client.assert_closed();
    }
    let mut socket = server.raw_websocket("/topics/news");
    socket.send_frame(FIN | CLOSE, b"");
    let frame = socket.frame();
    assert_eq!((frame.opcode, frame.payload.len()), (CLOSE, 0), "none is answered with none");
}

#[test]
fn clause_11_7_protocol_errors_are_1002_and_bad_text_1007() {
    let server = Server::start(&[]);
    let mask = [0_u8; 4];
    let masked = |first: u8, length: u8, payload: &[u8]| {
        [&[first, 0x80 | length][..], &mask, payload].concat()
    };
    let cases: Vec<(Vec<u8>, u16)> = vec![
        (vec![FIN | TEXT, 1, b'x'], 1002),           // not masked
        (masked(FIN | 0x40 | TEXT, 1, b"x"), 1002),  // a reserved bit
        (masked(FIN | 3, 0, b""), 1002),             // a reserved opcode
        (masked(FIN | 11, 0, b""), 1002),            // another
        (masked(PING, 0, b""), 1002),                // a ping in fragments
        (masked(FIN | PING, 126, &[0, 126]), 1002),  // a ping too long
        (masked(FIN | CONTINUATION, 1, b"x"), 1002), // nothing to continue
        ([masked(TEXT, 1, b"x"), masked(FIN | TEXT, 1, b"x")].concat(), 1002), // not finished
        (masked(FIN | CLOSE, 1, b"x"), 1002),        // half a code
        (masked(FIN | CLOSE, 2, &1005_u16.to_be_bytes()), 1002), // a code that may not be sent
        (masked(FIN | CLOSE, 2, &999_u16.to_be_bytes()), 1002),
        (masked(FIN | TEXT, 126, &[&[0, 1][..], &mask, b"x"].concat()), 1002), // a length not minimal
        (masked(FIN | TEXT, 1, b"\xff"), 1007),
        (masked(FIN | TEXT, 3, b"\xed\xa0\x80"), 1007),
        (masked(FIN | TEXT, 1, b"\xc3"), 1007), // half a character
        (masked(FIN | CLOSE, 3, b"\x03\xe8\xff"), 1007), // a reason that is no text
    ];
    for (bytes, code) in cases {
        let mut socket = server.raw_websocket("/topics/news");
        socket.client.send(&bytes);
        assert_eq!(socket.close().0, code, "{bytes:02x?}");
        socket.client.assert_closed();
    }
}

#[test]
fn clause_11_7_a_message_too_large_or_in_too_many_frames_is_1009() {
    let server =
        Server::start(&["--websocket-message-bytes-max", "1000", "--websocket-fragments-max", "4"]);
    let mut socket = server.raw_websocket("/topics/t?after=earliest");
    socket.send_text(&"x".repeat(1000));
    assert_eq!(socket.text().len(), 1000);
    socket.send_frame(TEXT, b"1");
    socket.send_frame(CONTINUATION, b"2");
    socket.send_frame(CONTINUATION, b"3");
    socket.send_frame(FIN | CONTINUATION, b"4");
    assert_eq!(socket.text(), "1234");
    socket.send_text(&"x".repeat(1001));
    assert_eq!(socket.close().0, 1009);

    let mut socket = server.raw_websocket("/topics/t");
    socket.send_frame(TEXT, &[b'x'; 600]);
    socket.send_frame(FIN | CONTINUATION, &[b'x'; 401]);
    assert_eq!(socket.close().0, 1009, "the sum counts");

    let mut socket = server.raw_websocket("/topics/t");
    socket.send_frame(TEXT, b"1");
    for _ in 0..4 {
        socket.send_frame(CONTINUATION, b"x");
    }
    assert_eq!(socket.close().0, 1009);
}

#[test]
fn clause_11_7_by_default_a_message_has_64_kib_and_128_frames() {
    let server = Server::start(&[]);
    let mut socket = server.raw_websocket("/topics/t?after=earliest");
    socket.send_text(&"x".repeat(65_536));
    assert_eq!(socket.text().len(), 65_536);
    let mut frames = WebSocket::encode(TEXT, b"x");
    for _ in 0..126 {
        frames.extend(WebSocket::encode(CONTINUATION, b"x"));
    }
    frames.extend(WebSocket::encode(FIN | CONTINUATION, b"x"));
    socket.client.send(frames);
    assert_eq!(socket.text().len(), 128);
    socket.send_text(&"x".repeat(65_537));
    assert_eq!(socket.close().0, 1009);
}

#[test]
fn clause_11_7_a_temporary_refusal_is_1012_with_the_time_to_come_back() {
    let server = Server::start(&["--topics-max", "1"]);
    let _listeners = server.listen_to_all();
    let close = server.raw_websocket("/topics/b").close();
    assert_eq!(close.0, 1012);
    assert!(close.1.strip_prefix("retry_ms=").unwrap().parse::<u64>().unwrap() > 0);
}

#[test]
fn clause_11_7_one_connection_too_many_is_1012_with_the_time_to_come_back() {
    let server = Server::start(&["--connections-max", "1"]);
    let _first = server.open_ndjson("/topics/a");
    let mut refused = server.raw_websocket("/topics/a");
    let close = refused.close();
    assert_eq!(close.0, 1012);
    assert!(close.1.starts_with("retry_ms="), "{}", close.1);
    refused.client.assert_closed();
}

#[test]
fn clause_11_7_memory_used_up_is_1013() {
    let server = Server::start(&["--memory", "64K", "--log-bytes", "64K"]);
    let refused = (0..20).any(|n| {
        server.request("POST", &format!("/topics/t{n}"), &[], &[b'x'; 8000]).status == 503
    });
    assert!(refused);
    let mut socket = server.raw_websocket("/topics/t0");
    socket.send_text(&"x".repeat(60_000));
    assert_eq!(socket.close().0, 1013);
}
