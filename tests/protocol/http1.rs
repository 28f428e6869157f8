//! Clause 16: HTTP/1.1 as it is spoken here.

use crate::support::*;

#[test]
fn clause_16_1_connections_persist_and_pipelined_requests_are_answered_in_order() {
    for_workers(&[], |server| {
        let mut client = server.client();
        let mut requests = Vec::new();
        for round in 0..5 {
            for topic in TOPICS {
                let text = format!("{topic}{round}");
                let target = format!("/topics/{topic}");
                requests.extend(client.encode_request("POST", &target, &[], text.as_bytes()));
                requests.extend(client.encode_request(
                    "GET",
                    &format!("{target}?last=1"),
                    &[],
                    b"",
                ));
                requests.extend(client.encode_request("HEAD", &target, &[], b""));
            }
        }
        client.send(requests);
        for round in 0..5 {
            for topic in TOPICS {
                let published = client.answer();
                assert_eq!(published.json()["topic"], topic);
                assert_eq!(data(&client.answer().json()), [format!("{topic}{round}")]);
                let head = client.answer_to("HEAD");
                assert_eq!(unquoted(head.field("ETag").unwrap()), string(&published.json()["id"]));
            }
        }
    });
}

#[test]
fn clause_16_1_more_pipelined_requests_than_one_turn_takes_are_all_answered() {
    let server = Server::start(&["--requests-max", "100000"]);
    let mut client = server.client();
    let request = client.encode_request("GET", "/healthz", &[], b"");
    client.send(request.repeat(500));
    for _ in 0..500 {
        assert_eq!(client.answer().status, 200);
    }
}

#[test]
fn clause_16_1_a_request_in_single_bytes_is_understood() {
    let server = Server::start(&[]);
    let mut client = server.client();
    for byte in client.encode_request(
        "POST",
        "/topics/a",
        &[("Transfer-Encoding", "chunked")],
        b"2;x=y\r\nhi\r\n0\r\nT: v\r\n\r\n",
    ) {
        client.send([byte]);
    }
    assert_eq!(client.answer().status, 201);
    assert_eq!(data(&server.poll("/topics/a")), ["hi"]);
}

#[test]
fn clause_16_1_a_connection_takes_requests_max_requests() {
    let server = Server::start(&["--requests-max", "3"]);
    let mut client = server.client();
    for number in 1..=3 {
        let answer = client.request("GET", "/healthz", &[], b"");
        assert_eq!(answer.status, 200);
        assert_eq!(answer.field("Connection"), (number == 3).then_some("close"));
    }
    client.assert_closed();
}

#[test]
fn clause_16_1_connection_close_is_obeyed() {
    let server = Server::start(&[]);
    let mut client = server.client();
    let answer = client.request("GET", "/healthz", &[("Connection", "Close")], b"");
    assert_eq!(answer.field("Connection"), Some("close"));
    client.assert_closed();
}

#[test]
fn clause_16_1_http_1_0_persists_only_when_asked_and_when_the_answer_has_a_length() {
    let server = Server::start(&[]);
    let mut client = server.client();
    let answer = client.exchange("GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(answer.field("Connection"), Some("keep-alive"));
    let answer = client.exchange("GET /topics/a HTTP/1.0\r\n\r\n");
    assert_eq!((answer.status, answer.field("Connection")), (200, Some("close")));
    client.assert_closed();
    // A batch's report has no length.
    let mut client = server.client();
    let line = "{\"topic\":\"a\",\"data\":1}\n";
    client.send(format!(
        "POST /topics HTTP/1.0\r\nConnection: keep-alive\r\nContent-Type: application/x-ndjson\r\n\
         Content-Length: {}\r\n\r\n{line}",
        line.len()
    ));
    let answer = client.answer();
    assert_eq!(answer.field("Transfer-Encoding"), None);
    assert!(answer.text().contains("\"line\":1"));
    client.assert_closed();
}

#[test]
fn clause_16_2_bodies_have_one_framing_never_both() {
    let server = Server::start(&[]);
    let post = |fields: &str, body: &str| {
        server
            .client()
            .exchange(format!("POST /topics/a HTTP/1.1\r\nHost: h\r\n{fields}\r\n{body}"))
    };
    for fields in [
        "Content-Length: 1\r\nContent-Length: 1\r\n",
        "Content-Length: 1, 1\r\n",
        "Content-Length: +1\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 0x1\r\n",
        "Content-Length: 1 1\r\n",
        "Content-Length: \r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: \r\n",
    ] {
        let answer = post(fields, "1\r\nx\r\n0\r\n\r\n");
        assert!(matches!(answer.status, 400 | 501 | 413), "{fields:?}: {answer:?}");
        assert_eq!(answer.field("Connection"), Some("close"), "{fields:?}");
    }
    for coding in ["gzip, chunked", "gzip", "identity"] {
        let answer = post(&format!("Transfer-Encoding: {coding}\r\n"), "1\r\nx\r\n0\r\n\r\n");
        assert!(matches!(answer.status, 400 | 501), "{coding}: {answer:?}");
    }
    let chunked_1_0 = server.client().exchange(
        "POST /topics/a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    );
    chunked_1_0.problem(400);
    assert_eq!(data(&server.poll("/topics/a")), [""; 0], "none of them was published");
    assert_eq!(post("Transfer-Encoding: CHUNKED\r\n", "1\r\nx\r\n0\r\n\r\n").status, 201);
}

#[test]
fn clause_16_2_malformed_chunks_are_400_and_the_connection_is_closed() {
    let server = Server::start(&[]);
    for body in [
        "x\r\n",
        "-1\r\nx\r\n",
        "+1\r\nx\r\n",
        "0x1\r\nx\r\n",
        "1\nx\n0\n\n",
        "1\r\nxx\r\n0\r\n\r\n",
        " 1\r\nx\r\n",
        "11111111111111111\r\nx",
        "\r\nx\r\n",
        "1\r\nx\r\n0\r\nbad trailer\r\n\r\n",
        "1\r\nx\r\n0\r\n A: folded\r\n\r\n",
    ] {
        let mut client = server.client();
        client.send_request(
            "POST",
            "/topics/a",
            &[("Transfer-Encoding", "chunked")],
            body.as_bytes(),
        );
        let answer = client.answer();
        assert!(matches!(answer.status, 400 | 413), "{body:?}: {answer:?}");
        client.assert_closed();
    }
    assert_eq!(data(&server.poll("/topics/a")), [""; 0]);
}

#[test]
fn clause_16_2_trailer_fields_are_read_and_dropped() {
    let server = Server::start(&[]);
    let mut client = server.client();
    let body = b"2\r\nhi\r\n0\r\nContent-Length: 5\r\nX: y\r\n\r\n";
    let fields = [("Transfer-Encoding", "chunked"), ("Trailer", "X")];
    assert_eq!(client.request("POST", "/topics/a", &fields, body).status, 201);
    assert_eq!(client.request("GET", "/healthz", &[], b"").status, 200, "the body ended there");
}

#[test]
fn clause_16_2_a_body_that_nobody_wants_is_read_and_dropped_up_to_drop_bytes_max() {
    let server = Server::start(&["--drop-bytes-max", "1000"]);
    server.publish("a", "x");
    for (method, status) in [("GET", 200), ("HEAD", 200), ("OPTIONS", 204), ("DELETE", 200)] {
        let mut client = server.client();
        let answer = client.request(method, "/topics/a", &[], &[b'x'; 1000]);
        assert_eq!(answer.status, status, "{method}");
        assert_eq!(client.request("GET", "/healthz", &[], b"").status, 200, "behind {method}");
        assert_eq!(server.request(method, "/topics/a", &[], &[b'x'; 1001]).status, 413, "{method}");
        let chunked = [("Transfer-Encoding", "chunked")];
        let body = format!("3e8\r\n{}\r\n0\r\n\r\n", "x".repeat(1000));
        assert_eq!(server.request(method, "/topics/a", &chunked, body.as_bytes()).status, status);
        let body = format!("3e9\r\n{}\r\n0\r\n\r\n", "x".repeat(1001));
        assert_eq!(server.request(method, "/topics/a", &chunked, body.as_bytes()).status, 413);
    }
}

#[test]
fn clause_16_3_what_could_be_read_in_two_ways_is_400_and_the_connection_is_closed() {
    let server = Server::start(&[]);
    for request in [
        "GET / HTTP/1.1\nHost: h\n\n",
        "GET / HTTP/1.1\r\nHost: h\nA: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\rA: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nA: b\0c\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\n A: folded\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\n\tA: folded\r\n\r\n",
        "GET / HTTP/1.1\r\n A: b\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nno colon\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\n: no name\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /\"x\" HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /<x> HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /x\\y HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /x^y HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /x#y HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /{x} HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /é HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1 \r\nHost: h\r\n\r\n",
        "GET /\r\nHost: h\r\n\r\n",
        " GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET x HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h/x\r\n\r\n",
        "GET / http/1.1\r\nHost: h\r\n\r\n",
        "\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
    ] {
        let mut client = server.client();
        let answer = client.exchange(request);
        answer.problem(400);
        assert_eq!(answer.field("Connection"), Some("close"), "{request:?}");
        client.assert_closed();
    }
}

#[test]
fn clause_16_3_up_to_two_empty_lines_before_a_request_are_skipped() {
    let server = Server::start(&[]);
    let mut client = server.client();
    for empty in ["", "\r\n", "\r\n\r\n"] {
        let answer = client.exchange(format!("{empty}GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert_eq!(answer.status, 200, "{empty:?}");
    }
}

#[test]
fn clause_16_4_expect_is_answered_with_one_100_when_the_body_will_be_read() {
    for_workers(&[], |server| {
        for (method, target, more) in [
            ("POST", "/topics/north", vec![]),
            ("PUT", "/topics/south", vec![]),
            ("POST", "/topics", vec![("Content-Type", "application/x-ndjson")]),
        ] {
            let mut client = server.client();
            let fields = [vec![("Expect", "100-Continue"), ("Content-Length", "2")], more].concat();
            client.send_request(method, target, &fields, b"");
            assert_eq!(client.head().status, 100, "{method} {target}");
            client.send("\n\n");
            assert!(matches!(client.answer().status, 200 | 201));
            assert_eq!(client.request("GET", "/healthz", &[], b"").status, 200, "one 100 only");
        }
    });
}

#[test]
fn clause_16_4_a_refusal_comes_alone() {
    let server = Server::start(&["--body-bytes-max", "10"]);
    let expect = ("Expect", "100-continue");
    for (target, fields, status) in [
        ("/topics/a*", vec![expect, ("Content-Length", "2")], 400),
        ("/topics/a", vec![expect, ("Content-Length", "11")], 413),
        ("/topics/a", vec![expect, ("Content-Length", "2"), ("Content-Encoding", "gzip")], 415),
        ("/topics/a", vec![expect, ("Content-Length", "2"), ("Origin", "https://x.example")], 403),
        ("/nowhere", vec![expect, ("Content-Length", "2")], 404),
        ("/topics", vec![expect, ("Content-Length", "2")], 415),
    ] {
        let mut client = server.client();
        client.send_request("POST", target, &fields, b"");
        client.answer().problem(status);
    }
}

#[test]
fn clause_16_5_after_a_refusal_in_the_middle_the_rest_is_dropped_so_that_the_answer_arrives() {
    let server = Server::start(&["--body-bytes-max", "1K"]);
    let mut client = server.client();
    // The client sends on, as most do, before it looks at the answer.
    client.send_request("POST", "/topics/a", &[("Content-Length", "50000")], &[b'x'; 30_000]);
    client.try_send(&[b'x'; 20_000]);
    let answer = client.answer();
    answer.problem(413);
    assert_eq!(answer.field("Connection"), Some("close"));
    client.assert_closed();
}

#[test]
fn clause_16_5_the_sending_side_is_shut_at_once_and_the_rest_after_a_while() {
    let server = Server::start(&["--linger", "0.2"]);
    let mut client = server.client();
    client.send("nonsense\r\n\r\n");
    client.answer().problem(400);
    client.assert_closed();
    // Nobody closes our side: the server gives up by itself.
    server.await_metric("tidings_connections", 1);
}

#[test]
fn clause_16_5_what_is_dropped_is_bounded() {
    let server = Server::start(&["--linger", "60"]);
    let mut client = server.client();
    client.send("nonsense\r\n\r\n");
    client.answer().problem(400);
    server.ask_until("it is closed before the linger time", || {
        client.try_send(&[b'x'; 16 * 1024]);
        server.metric("tidings_connections") == 1
    });
}

#[test]
fn clause_16_6_absolute_form_is_accepted_when_host_agrees() {
    let server = Server::start(&[]);
    for (target, host) in [
        ("http://h.example/healthz", "h.example"),
        ("http://H.example/healthz", "h.EXAMPLE"),
        ("http://h.example:8080/healthz", "h.example:8080"),
        ("https://h.example/healthz", "h.example"),
    ] {
        let answer = server.request("GET", target, &[("Host", host)], b"");
        assert_eq!(answer.status, 200, "{target} {host}: {answer:?}");
    }
    server.request("GET", "http://h.example:1/healthz", &[("Host", "h.example")], b"").problem(421);
}

#[test]
fn clause_16_6_connect_is_501_trace_405_and_options_star_204() {
    let server = Server::start(&[]);
    server.client().exchange("CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n").problem(501);
    server.request("TRACE", "/", &[], b"").problem(405);
    let answer = server.request("OPTIONS", "*", &[], b"");
    assert_eq!(answer.status, 204);
    server.request("GET", "*", &[], b"").problem(400);
}
