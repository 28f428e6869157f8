//! 81 to 98: methods, expectations, persistence, pipelining, HTTP/1.0.

use std::io::Write as _;
use std::thread;
use std::time::Duration;

use crate::refusal::*;
use crate::support::*;

#[test]
fn attack_081_head_never_parks_and_never_has_a_body() {
    attack(&[], |server| {
        server.publish("a", "x");
        let upgrade = handshake(&[]);
        let mut client = server.client();
        for (target, fields, status) in [
            ("/topics/a", vec![], 200),
            ("/topics/a?wait=60", vec![], 200),
            ("/topics/a?after=latest&wait=60", vec![], 200),
            ("/topics/a", vec![("Prefer", "wait=60")], 200),
            ("/topics/a,b", vec![("Accept", "text/event-stream")], 200),
            ("/topics/new", vec![("Accept", "application/x-ndjson")], 200),
            ("/topics/a", upgrade.clone(), 200),
            ("/topics", upgrade, 405),
            ("/metrics", vec![], 200),
            ("/", vec![], 200),
            ("/healthz", vec![], 200),
            ("/nowhere", vec![], 404),
            ("/topics/a*", vec![], 400),
            ("/topics/a", vec![("Origin", "https://evil.example")], 403),
        ] {
            let answer = client.request("HEAD", target, &fields, b"");
            assert_eq!(answer.status, status, "{target}");
            assert_eq!(
                client.request("GET", "/healthz", &[], b"").text(),
                "ok\n",
                "behind {target}"
            );
        }
    });
}

#[test]
fn attack_082_options_is_answered_without_asking() {
    attack(&["--allow-origin", "https://good.example"], |server| {
        let mut client = server.client();
        for (target, allow) in [
            ("*", "GET, HEAD, POST, PUT, DELETE, OPTIONS"),
            ("/topics/a", "GET, HEAD, POST, PUT, DELETE, OPTIONS"),
            ("/topics/a,b", "GET, HEAD, POST, PUT, DELETE, OPTIONS"),
            ("/topics", "GET, HEAD, POST, OPTIONS"),
            ("/connections", "GET, HEAD, OPTIONS"),
            ("/connections/0-0-0", "DELETE, OPTIONS"),
            ("/metrics", "GET, HEAD, OPTIONS"),
        ] {
            let answer = client.request("OPTIONS", target, &[], b"");
            assert_eq!((answer.status, answer.field("Allow")), (204, Some(allow)), "{target}");
        }
        let preflight = |origin| {
            let fields = [("Origin", origin), ("Access-Control-Request-Method", "DELETE")];
            server.request("OPTIONS", "/topics/a", &fields, b"")
        };
        let answer = preflight("https://good.example");
        assert_eq!(answer.status, 204);
        assert_eq!(answer.field("Access-Control-Allow-Origin"), Some("https://good.example"));
        preflight("https://evil.example").problem(403);
    });
}

#[test]
fn attack_083_084_methods_that_are_not_offered() {
    attack(&[], |server| {
        for (method, target) in [
            ("TRACE", "/"),
            ("TRACE", "/topics/a"),
            ("PATCH", "/topics/a"),
            ("PUT", "/topics"),
            ("DELETE", "/topics"),
            ("PUT", "/healthz"),
            ("POST", "/"),
            ("DELETE", "/tidings.js"),
        ] {
            let fields = [("Cookie", "zqxjkv"), ("Authorization", "zqxjkv"), ("Max-Forwards", "0")];
            let answer = server.client().request(method, target, &fields, b"");
            answer.problem(405);
            assert!(answer.field("Allow").is_some(), "{method} {target}");
            assert!(
                !format!("{answer:?}{}", answer.text()).contains("zqxjkv"),
                "{method} {target}"
            );
        }
        server.client().exchange(request("TRACE", "*", "")).problem(400);
    });
}

#[test]
fn attack_085_a_continue_is_sent_once_or_not_at_all() {
    attack(&["--body-bytes-max", "1K"], |server| {
        let expect = "Expect: 100-continue\r\n";
        for (fields, body) in [
            ("Content-Length: 2\r\n", "hi"),
            ("Transfer-Encoding: chunked\r\n", "2\r\nhi\r\n0\r\n\r\n"),
        ] {
            let mut client = server.client();
            client.send(request("POST", "/topics/a", &format!("{expect}{fields}")));
            assert_eq!(client.head().status, 100);
            client.send(body);
            assert_eq!(client.answer().status, 201);
            assert_eq!(client.request("GET", "/healthz", &[], b"").status, 200);
        }
        // A refusal comes alone, and a client that sends its body all the same has sent no request.
        for (target, fields, status) in [
            ("/topics/a*", "", 400),
            ("/topics/smuggled", "Origin: https://evil.example\r\n", 403),
            ("/nowhere", "", 404),
            ("/topics/smuggled", "Content-Encoding: br\r\n", 415),
        ] {
            let fields = format!("{fields}{expect}Content-Length: {}\r\n", SMUGGLED.len());
            refused(
                server,
                [&request("POST", target, &fields), SMUGGLED.as_bytes()].concat(),
                status,
            );
        }
        let large = format!("{expect}Content-Length: 1025\r\n");
        refused(server, request("POST", "/topics/smuggled", &large), 413);
        // Without a body there is nothing to continue with.
        for (method, fields) in [("GET", ""), ("GET", "Content-Length: 0\r\n"), ("DELETE", "")] {
            let fields = format!("{expect}{fields}");
            let answer = server.client().exchange(request(method, "/topics/a", &fields));
            assert_eq!(answer.status, 200, "{method} {fields}");
        }
    });
}

#[test]
fn attack_086_expectations_on_http_1_0_and_unknown_ones() {
    attack(&[], |server| {
        // RFC 9110 §10.1.1: a 100-continue expectation in an HTTP/1.0 request must be ignored.
        for expect in ["100-continue", "200-ok", ""] {
            let head = format!(
                "POST /topics/a HTTP/1.0\r\nExpect: {expect}\r\nContent-Length: 2\r\n\r\nhi"
            );
            assert_eq!(server.client().exchange(head).status, 201, "{expect}");
        }
        for expect in [
            "200-ok",
            "100-continue, 100-continue",
            "100-continue;a=b",
            "",
            "100",
            "\"100-continue\"",
        ] {
            let fields = format!("Expect: {expect}\r\nContent-Length: 2\r\n");
            let bytes = [request("POST", "/topics/smuggled", &fields), b"hi".to_vec()].concat();
            refused(server, bytes, 417);
        }
    });
}

#[test]
fn attack_087_a_continue_before_the_protocols_are_switched() {
    attack(&[], |server| {
        let mut client = server.client();
        client.send_request("GET", "/topics/a", &handshake(&[("Expect", "100-continue")]), b"");
        // RFC 9110 §7.8: 100 before 101.
        assert_eq!(client.head().status, 100);
        let head = client.head();
        assert_eq!(head.status, 101);
        let mut socket = WebSocket { client, head };
        socket.send_text("hi");
        assert_eq!(socket.text(), "hi");
    });
}

#[test]
fn attack_088_089_http_1_0() {
    attack(&[], |server| {
        for (accept, opening) in
            [("text/event-stream", "retry: "), ("application/x-ndjson", "{\"type\":\"open\"")]
        {
            for connection in ["", "Connection: keep-alive\r\n"] {
                let mut client = server.client();
                client.send(format!(
                    "GET /topics/a HTTP/1.0\r\nAccept: {accept}\r\n{connection}\r\n"
                ));
                let head = client.head();
                assert_eq!(head.status, 200);
                // RFC 9112 §6.1: no Transfer-Encoding to HTTP/1.0; the end of the connection ends the answer.
                assert_eq!(
                    (head.field("Transfer-Encoding"), head.field("Content-Length")),
                    (None, None)
                );
                assert_eq!(head.field("Connection"), Some("close"));
                assert_eq!(client.take(opening.len()), opening.as_bytes(), "no chunk size");
            }
        }
        for (target, persists) in [("/healthz", true), ("/topics/a", true), ("/nowhere", true)] {
            let mut client = server.client();
            let answer =
                client.exchange(format!("GET {target} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
            assert!(answer.field("Content-Length").is_some());
            assert_eq!(answer.field("Connection") == Some("keep-alive"), persists, "{target}");
            let answer = client.exchange(format!("GET {target} HTTP/1.0\r\n\r\n"));
            assert_eq!(answer.field("Connection"), Some("close"));
            client.assert_closed();
        }
        let mut client = server.client();
        client.send("GET /healthz HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n");
        assert_eq!(client.answer().field("Connection"), Some("close"));
        client.assert_closed();
    });
}

#[test]
fn attack_090_ten_thousand_pipelined_requests() {
    attack(&["--requests-max", "100000"], |server| {
        let mut client = server.client();
        let mut writer = client.another_handle();
        let request = client.encode_request("POST", "/topics/a", &[], b"x");
        thread::scope(|scope| {
            scope.spawn(move || writer.write_all(&request.repeat(10_000)).unwrap());
            for number in 1..=10_000 {
                let answer = client.answer();
                assert_eq!(answer.status, 201);
                assert_eq!(sequence(&string(&answer.json()["id"])), number, "in order, each once");
                if number % 500 == 0 {
                    // The others have their turns in between.
                    assert_eq!(server.get("/healthz").status, 200);
                }
            }
        });
    });
}

/// Writes for as long as the server takes something; returns when it has taken nothing for a while.
fn write_until_blocked(client: &Client, bytes: &[u8]) {
    let mut writer = client.another_handle();
    writer.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    for _ in 0..10_000 {
        if writer.write_all(bytes).is_err() {
            writer.set_write_timeout(Some(PATIENCE)).unwrap();
            return;
        }
    }
    panic!("it takes everything");
}

#[test]
fn attack_091_requests_behind_a_parked_poll() {
    attack(&[], |server| {
        let mut client = server.client();
        client.send(
            [
                request("GET", "/topics/a?wait=50", ""),
                [request("POST", "/topics/b", "Content-Length: 2\r\n"), b"hi".to_vec()].concat(),
                request("GET", "/healthz", ""),
            ]
            .concat(),
        );
        server.await_metric("tidings_subscriptions{wire=\"poll\"}", 1);
        assert_eq!(data(&server.poll("/topics/b")), [""; 0], "nothing overtakes the poll");
        server.publish("a", "now");
        assert_eq!(data(&client.answer().json()), ["now"]);
        assert_eq!(client.answer().status, 201);
        assert_eq!(client.answer().text(), "ok\n");
        // However much comes behind it, little is read.
        let mut client = server.client();
        client.send_request("GET", "/topics/a?wait=50", &[], b"");
        server.await_metric("tidings_subscriptions{wire=\"poll\"}", 1);
        let before = server.metric("tidings_bytes_read_total");
        write_until_blocked(&client, &request("GET", "/healthz", "").repeat(1_000));
        let read = server.metric("tidings_bytes_read_total") - before;
        assert!(read < 256 * 1024, "{read} bytes were read");
        server.publish("a", "now");
        assert_eq!(data(&client.answer().json()), ["now"]);
        assert_eq!(client.answer().text(), "ok\n");
    });
}

#[test]
fn attack_092_answers_that_nobody_reads() {
    attack(&["--write-progress", "1", "--requests-max", "1000000"], |server| {
        let client = Client::connect_narrow(4_096, server.address());
        let before = server.metric("tidings_bytes_read_total");
        write_until_blocked(&client, &request("GET", "/tidings.js", "").repeat(1_000));
        // What is not sent is not asked for: 64 KiB are owed at most, and as much read ahead.
        let read = server.metric("tidings_bytes_read_total") - before;
        assert!(read < 1 << 20, "{read} bytes were read");
        server.await_metric("tidings_connections_closed_total{reason=\"write_timeout\"}", 1);
    });
}

#[test]
fn attack_093_connections_that_are_idle() {
    attack(&["--keep-alive", "0.3", "--requests-max", "3", "--first-byte", "60"], |server| {
        let mut clients: Vec<Client> = (0..50).map(|_| server.client()).collect();
        for client in &mut clients {
            assert_eq!(client.request("GET", "/healthz", &[], b"").status, 200);
        }
        for client in &mut clients {
            client.assert_closed();
        }
        server.await_metric("tidings_connections_closed_total{reason=\"idle_timeout\"}", 50);
        let mut client = server.client();
        client.send(request("GET", "/healthz", "").repeat(4));
        let closes = [0; 3].map(|_| client.answer().field("Connection").is_some());
        assert_eq!(closes, [false, false, true]);
        client.assert_closed();
    });
    // Under pressure nobody is cut: who comes late is told to come back.
    attack(&["--connections-max", "4"], |server| {
        let mut idle: Vec<Client> = (0..4).map(|_| server.client()).collect();
        for client in &mut idle {
            assert_eq!(client.request("GET", "/healthz", &[], b"").status, 200);
        }
        let late = server.get("/healthz");
        late.problem(503);
        assert!(late.field("Retry-After").is_some());
        for client in &mut idle {
            assert_eq!(client.request("GET", "/healthz", &[], b"").status, 200);
        }
        drop(idle);
        server.ask_until("there is room again", || server.get("/healthz").status == 200);
    });
}

#[test]
fn attack_094_answers_that_have_no_body() {
    attack(&[], |server| {
        // RFC 9110 §8.6, RFC 9112 §6.1: neither length nor coding on 1xx and 204.
        let mut client = server.client();
        let answer = client.request("OPTIONS", "/topics/a", &[], b"");
        assert_eq!(answer.status, 204);
        let fields = [("Expect", "100-continue"), ("Content-Length", "1")];
        client.send_request("POST", "/topics/a", &fields, b"");
        let heads = [answer.head, client.head(), server.raw_websocket("/topics/a").head];
        for head in heads {
            assert!([100, 101, 204].contains(&head.status));
            assert_eq!(
                (head.field("Content-Length"), head.field("Transfer-Encoding")),
                (None, None),
                "{head:?}"
            );
        }
        client.send("x");
        assert_eq!(client.answer().status, 201);
        // There is no 304: a client that has everything is told so with the same cursor (clause 7.3).
        let poll = client.request("GET", "/topics/a", &[], b"");
        let tag = poll.field("ETag").unwrap();
        for target in ["/topics/a", "/topics/a?wait=0", "/topics/a?wait=1"] {
            let again = client.request("GET", target, &[("If-None-Match", tag)], b"");
            assert_eq!((again.status, again.field("ETag")), (200, Some(tag)), "{target}");
            assert_eq!(again.json()["messages"].as_array().unwrap().len(), 0);
        }
    });
}

#[test]
fn attack_095_no_answer_of_a_topic_may_be_reused() {
    attack(&["--allow-origin", "https://good.example"], |server| {
        server.publish("a", "x");
        let origin = ("Origin", "https://good.example");
        for (method, target, body) in [
            ("GET", "/topics/a", ""),
            ("GET", "/topics/a?wait=0", ""),
            ("HEAD", "/topics/a", ""),
            ("POST", "/topics/a", "x"),
            ("DELETE", "/topics/a", ""),
            ("GET", "/topics/a*", ""),
            ("GET", "/topics/a?after=x", ""),
            ("PATCH", "/topics/a", ""),
        ] {
            for fields in [vec![], vec![origin]] {
                let answer = server.request(method, target, &fields, body.as_bytes());
                assert_eq!(answer.field("Cache-Control"), Some("no-cache"), "{method} {target}");
                assert_eq!(answer.field("Vary"), Some("Accept, Origin"), "{method} {target}");
                assert_eq!(
                    answer.field("X-Content-Type-Options"),
                    Some("nosniff"),
                    "{method} {target}"
                );
            }
        }
        for accept in ["text/event-stream", "application/x-ndjson"] {
            let head = server.stream("/topics/a", &[("Accept", accept), origin]).head;
            assert_eq!(head.field("Cache-Control"), Some("no-cache, no-transform"));
            assert_eq!(head.field("Vary"), Some("Accept, Origin"));
        }
    });
}

#[test]
fn attack_096_compressed_payloads() {
    attack(&[], |server| {
        let bomb = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..], &[0; 1_000]].concat();
        for coding in
            ["gzip", "deflate", "br", "zstd", "x-gzip", "gzip, identity", "identity, gzip", "*", ""]
        {
            let mut fields = vec![("Content-Encoding", coding)];
            server.request("POST", "/topics/smuggled", &fields, &bomb).problem(415);
            fields.push(("Content-Type", "application/x-ndjson"));
            server.request("POST", "/topics", &fields, &bomb).problem(415);
        }
        for coding in ["identity", "IDENTITY"] {
            let fields = [("Content-Encoding", coding)];
            assert_eq!(server.request("POST", "/topics/a", &fields, b"x").status, 201);
        }
    });
}

#[test]
fn attack_097_payloads_at_their_bound() {
    attack(&["--body-bytes-max", "1000"], |server| {
        for (bytes, status) in
            [(0, 201), (1, 201), (999, 201), (1_000, 201), (1_001, 413), (5_000, 413)]
        {
            let body = "x".repeat(bytes);
            let target = format!("/topics/{bytes}");
            assert_eq!(
                server.request("POST", &target, &[], body.as_bytes()).status,
                status,
                "{bytes}"
            );
            let chunk = if bytes == 0 { String::new() } else { format!("{bytes:x}\r\n{body}\r\n") };
            let chunked = [("Transfer-Encoding", "chunked")];
            let answer =
                server.request("POST", &target, &chunked, (chunk + "0\r\n\r\n").as_bytes());
            assert_eq!(answer.status, status, "{bytes} in a chunk");
            let expected = if status == 201 { vec![body.clone(), body] } else { vec![] };
            assert_eq!(data(&server.poll(&target)), expected);
        }
    });
}

#[test]
fn attack_098_conditions_and_preferences_that_have_no_place() {
    attack(&[], |server| {
        server.publish("a", "x");
        for (name, value) in [
            ("Range", "bytes=0-1"),
            ("Range", "bytes=0-,0-,0-,0-"),
            ("If-Range", "\"x\""),
            ("If-Match", "\"x\""),
            ("If-Match", "*"),
            ("If-Modified-Since", "Sun, 06 Nov 2094 08:49:37 GMT"),
            ("If-Unmodified-Since", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ("If-None-Match", "*"),
            ("TE", "trailers, gzip;q=1"),
            ("Accept-Encoding", "gzip, br, zstd"),
            ("Accept-Encoding", "identity;q=0, *;q=0"),
            ("Accept-Charset", "utf-16"),
            ("Accept", "text/html"),
            ("Accept", "application/json;q=0"),
            ("Accept", "image/*, */*;q=0"),
            ("Accept", ""),
        ] {
            let answer = server.request("GET", "/topics/a", &[(name, value)], b"");
            assert_eq!(answer.status, 200, "{name}: {value}");
            assert_eq!(answer.field("Content-Type"), Some("application/json"), "{name}: {value}");
            assert_eq!(
                (answer.field("Content-Encoding"), answer.field("Content-Range")),
                (None, None)
            );
            assert_eq!(data(&answer.json()), ["x"], "{name}: {value}");
            if name != "Accept" {
                let fields = [(name, value), ("Accept", "text/event-stream")];
                let mut stream = server.stream("/topics/a?after=earliest", &fields);
                assert_eq!(stream.head.field("Content-Encoding"), None);
                assert_eq!(stream.dispatched().data.as_deref(), Some("x"), "{name}: {value}");
            }
        }
    });
}
