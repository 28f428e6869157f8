//! Clause 15: refusals, a row of the table each.

use std::net::{IpAddr, Ipv4Addr};

use crate::support::*;

#[test]
fn clause_15_1_what_the_client_sent_is_not_repeated() {
    let server = Server::start(&[]);
    let marker = "zqxjkv";
    for (method, target, fields) in [
        ("GET", format!("/topics/{marker}*"), vec![]),
        ("GET", format!("/topics/a?after={marker}"), vec![]),
        ("GET", format!("/topics/a?last={marker}"), vec![]),
        ("GET", format!("/{marker}"), vec![]),
        ("POST", "/topics/a".to_owned(), vec![("Content-Type", "application/json")]),
        ("GET", "/topics/a".to_owned(), vec![("Origin", "https://zqxjkv.example")]),
        ("GET", "/topics/a".to_owned(), vec![("Expect", marker)]),
    ] {
        let answer = server.request(
            method,
            &target,
            &fields,
            if method == "POST" { b"zqxjkv" } else { b"" },
        );
        assert!(answer.status >= 400);
        assert!(!answer.text().contains(marker), "{answer:?}");
        assert!(!format!("{:?}", answer.head).contains(marker), "{answer:?}");
    }
}

#[test]
fn clause_15_1_a_refusal_of_head_has_no_body() {
    let server = Server::start(&[]);
    let mut client = server.client();
    let answer = client.request("HEAD", "/nowhere", &[], b"");
    assert_eq!(answer.status, 404);
    assert_eq!(answer.field("Content-Type"), Some("application/problem+json"));
    assert_eq!(client.request("GET", "/healthz", &[], b"").text(), "ok\n");
}

#[test]
fn clause_15_1_a_refusal_that_leaves_no_doubt_keeps_the_connection() {
    let server = Server::start(&[]);
    let mut client = server.client();
    for target in ["/nowhere", "/topics/a*", "/topics/a?after=x"] {
        assert!(client.request("GET", target, &[], b"").status >= 400);
    }
    assert_eq!(client.request("GET", "/healthz", &[], b"").status, 200);
}

#[test]
fn clause_15_1_400_malformed_requests_and_queries() {
    let server = Server::start(&[]);
    for target in ["/topics/a?after=%zz", "/topics/a?after=%FF", "/topics/a?wait=x"] {
        server.get(target).problem(400);
    }
}

#[test]
fn clause_15_1_408_a_head_or_body_that_did_not_arrive_in_time() {
    let server = Server::start(&[
        "--head-time",
        "0.1",
        "--body-grace",
        "0.1",
        "--body-rate-min",
        "1M",
        "--linger",
        "0.1",
    ]);
    let mut slow_head = server.client();
    slow_head.send("GET / HTTP/1.1\r\nHost: h\r\n");
    let refused = slow_head.answer();
    refused.problem(408);
    assert_eq!(refused.field("Connection"), Some("close"));
    slow_head.assert_closed();
    let mut slow_body = server.client();
    slow_body.send_request("POST", "/topics/a", &[("Content-Length", "10")], b"x");
    let refused = slow_body.answer();
    refused.problem(408);
    assert_eq!(refused.field("Connection"), Some("close"));
    slow_body.assert_closed();
}

#[test]
fn clause_15_1_411_a_publish_without_a_length() {
    let server = Server::start(&[]);
    for method in ["POST", "PUT"] {
        let mut client = server.client();
        let answer = client.exchange(format!("{method} /topics/a HTTP/1.1\r\nHost: h\r\n\r\n"));
        answer.problem(411);
        assert_eq!(client.request("GET", "/healthz", &[], b"").status, 200);
    }
    let answer = server
        .client()
        .exchange("POST /topics HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-ndjson\r\n\r\n");
    answer.problem(411);
}

#[test]
fn clause_15_1_414_and_431_lines_and_heads_too_long() {
    let server = Server::start(&[
        "--target-bytes-max",
        "100",
        "--head-bytes-max",
        "1000",
        "--fields-max",
        "10",
    ]);
    let target = |length: usize| format!("/healthz?{}", "x".repeat(length - "/healthz?".len()));
    assert_eq!(server.get(&target(100)).status, 200);
    server.get(&target(101)).problem(414);
    let wide = "w".repeat(1000);
    server.request("GET", "/healthz", &[("Wide", &wide)], b"").problem(431);
    let fields = |count: usize| vec![("F", "x"); count];
    // Host is one of them.
    assert_eq!(server.request("GET", "/healthz", &fields(9), b"").status, 200);
    server.request("GET", "/healthz", &fields(10), b"").problem(431);
}

#[test]
fn clause_15_1_414_and_431_are_said_before_the_end_of_the_head_has_come() {
    let server = Server::start(&["--target-bytes-max", "100", "--head-bytes-max", "1000"]);
    let mut client = server.client();
    client.send(format!("GET /{}", "x".repeat(600)));
    client.answer().problem(414);
    let mut client = server.client();
    client.send(format!("GET / HTTP/1.1\r\nHost: h\r\nWide: {}", "x".repeat(1000)));
    client.answer().problem(431);
}

#[test]
fn clause_15_1_417_expect_with_anything_else() {
    let server = Server::start(&[]);
    for expect in ["200-ok", "100-continue, x", "x"] {
        let fields = [("Expect", expect)];
        server.request("POST", "/topics/a", &fields, b"x").problem(417);
    }
}

#[test]
fn clause_15_1_421_absolute_form_for_another_authority() {
    let server = Server::start(&[]);
    let answer =
        server.client().exchange("GET http://other.example/healthz HTTP/1.1\r\nHost: h\r\n\r\n");
    answer.problem(421);
}

#[test]
fn clause_15_1_429_too_many_connections_from_one_address() {
    let server = Server::start(&["--connections-per-address", "2"]);
    let from = |last: u8| {
        Client::connect_from(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), server.address())
    };
    let mut kept: Vec<Client> = (0..2).map(|_| from(2)).collect();
    for client in &mut kept {
        assert_eq!(client.request("GET", "/healthz", &[], b"").status, 200);
    }
    let poll = from(2).request("GET", "/topics/a", &[], b"");
    poll.problem(429);
    assert!(poll.field("Retry-After").unwrap().parse::<u64>().unwrap() >= 1);
    let publish = from(2).request("POST", "/topics/a", &[], b"x");
    publish.problem(429);
    assert!(publish.field("Retry-After").is_some());
    let mut stream = from(2);
    stream.send_request("GET", "/topics/a", &[("Accept", "text/event-stream")], b"");
    let head = stream.head();
    assert_eq!(head.status, 200, "9.5: a stream is told in-band");
    assert_eq!(Stream::new(stream, head).event().event.as_deref(), Some("tidings:refused"));
    assert_eq!(from(3).request("GET", "/healthz", &[], b"").status, 200, "another address");
    for _ in 0..4 {
        assert_eq!(from(1).request("GET", "/healthz", &[], b"").status, 200, "a proxy's");
    }
    kept.clear();
    server.ask_until("there is room again", || {
        from(2).request("GET", "/healthz", &[], b"").status == 200
    });
}

#[test]
fn clause_15_1_503_connections_used_up() {
    let server = Server::start(&["--connections-max", "2"]);
    let mut kept: Vec<Client> = (0..2).map(|_| server.client()).collect();
    for client in &mut kept {
        assert_eq!(client.request("GET", "/healthz", &[], b"").status, 200);
    }
    for (method, target) in [
        ("GET", "/topics/a"),
        ("GET", "/topics/a?wait=5"),
        ("POST", "/topics/a"),
        ("GET", "/healthz"),
    ] {
        let refused = server.request(method, target, &[], b"");
        refused.problem(503);
        assert!(refused.field("Retry-After").is_some());
        assert_eq!(refused.field("Connection"), Some("close"));
    }
    drop(kept);
    server.ask_until("there is room again", || server.get("/healthz").status == 200);
}

#[test]
fn clause_15_1_505_versions_other_than_1_0_and_1_1() {
    let server = Server::start(&[]);
    for version in ["HTTP/1.2", "HTTP/2.0", "HTTP/0.9", "HTTP/3.0"] {
        let answer = server.client().exchange(format!("GET / {version}\r\nHost: h\r\n\r\n"));
        answer.problem(505);
    }
}
