//! Clause 13.3: a server says what it would do with a request, and does nothing.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::*;

/// What the server says of a request.
fn explained(server: &Server, request: impl AsRef<[u8]>) -> Value {
    let fields = [("Content-Type", "message/http")];
    let answer = server.request("POST", "/explain", &fields, request.as_ref());
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn head(method: &str, target: &str, fields: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: h\r\n{fields}\r\n")
}

fn get(target: &str, fields: &str) -> String {
    head("GET", target, fields)
}

const HANDSHAKE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

#[test]
fn clause_13_3_every_way_of_waiting_is_named_with_what_decided_it() {
    let server = Server::start(&[]);
    let json = format!("{HANDSHAKE}Sec-WebSocket-Protocol: tidings.json\r\n");
    for (request, is, status, says) in [
        (get("/topics/a", ""), "short poll", 200, "without wait"),
        (get("/topics/a?wait=0", ""), "long poll", 200, "The query has wait"),
        (get("/topics/a", "Prefer: wait=0\r\n"), "long poll", 200, "Prefer has wait"),
        (get("/topics/a", "Accept: text/event-stream\r\n"), "event stream", 200, "Accept prefers"),
        (
            get("/topics/a?wait=25", "Accept: application/x-ndjson\r\n"),
            "NDJSON stream",
            200,
            "Accept prefers",
        ),
        (get("/topics/a", HANDSHAKE), "raw WebSocket", 101, "Upgrade"),
        (get("/topics", &json), "WebSocket with tidings.json", 101, "tidings.json"),
        (head("HEAD", "/topics/a", ""), "cursor at the head", 200, "HEAD"),
        (head("PUT", "/topics/a", "Content-Length: 5\r\n"), "publish", 201, "PUT"),
        (head("DELETE", "/topics/unused", ""), "deletion", 404, "DELETE"),
        (head("OPTIONS", "/topics/a", ""), "preflight", 204, "OPTIONS"),
        (get("/healthz", ""), "page", 200, "/healthz"),
    ] {
        let said = explained(&server, &request);
        assert_eq!((&said["route"]["is"], &said["answer"]["status"]), (&json!(is), &json!(status)));
        assert!(string(&said["route"]["because"]).contains(says), "{said}");
        // What is foretold comes true.
        let mut client = server.client();
        client.send(request + "hello");
        assert_eq!(client.head().status, status, "{said}");
    }
}

#[test]
fn clause_13_3_the_request_is_taken_apart() {
    let server = Server::start(&[]);
    let request = head("POST", "/topics/a%2Fb?event=e", "Content-Length: 7\r\nX: y\r\n");
    let said = explained(&server, &request);
    assert_eq!(
        said["request"],
        json!({"method": "POST", "version": "1.1", "path": "/topics/a%2Fb", "query": "event=e",
            "host": "h", "head_bytes": request.len(), "body": 7, "persistent": true})
    );
    assert_eq!(said["topics"], json!([{"topic": "a/b", "state": "unused"}]));
    let limits = said["limits"].as_array().unwrap();
    let limit = |flag: &str| limits.iter().find(|limit| limit["flag"] == flag).unwrap().clone();
    assert_eq!(
        limit("--body-bytes-max"),
        json!({"flag": "--body-bytes-max", "limit": 1_048_576, "used": 7})
    );
    assert_eq!(limit("--fields-max"), json!({"flag": "--fields-max", "limit": 100, "used": 3}));
    assert_eq!(limit("--idempotency-window")["limit"], 120);
}

#[test]
fn clause_13_3_the_rule_for_an_origin_is_named() {
    let own = Server::start(&[]);
    let listed = Server::start(&["--allow-origin", "https://a.example"]);
    let any = Server::start(&["--allow-origin", "*"]);
    for (server, origin, rule, allowed) in [
        (&own, "http://h", "own", Value::Null),
        (&own, "https://a.example", "foreign", Value::Null),
        (&listed, "https://a.example", "listed", json!("https://a.example")),
        (&listed, "https://b.example", "foreign", Value::Null),
        (&any, "https://b.example", "any", json!("*")),
    ] {
        let said = explained(server, get("/topics/a", &format!("Origin: {origin}\r\n")));
        let told = &said["origin"];
        assert_eq!((&told["rule"], &told["sent"]), (&json!(rule), &json!(origin)));
        assert_eq!(told["access_control_allow_origin"], allowed);
        let is_refused = said["answer"]["problem"]["type"] == "/errors#foreign-origin";
        assert_eq!(is_refused, rule == "foreign", "{said}");
        assert_eq!(said["route"]["is"], "short poll", "also if it is refused");
    }
    assert_eq!(explained(&own, get("/topics/a", ""))["origin"]["rule"], "none");
}

#[test]
fn clause_13_3_a_cursor_is_decoded_and_compared_with_the_topic() {
    // What another worker has is known too.
    let server = Server::start_with_workers(4, &["--log-messages", "3"]);
    let ids: Vec<String> = (0..5).map(|_| server.publish("a", "x")).collect();
    let ask = |fields: &str, query: &str| {
        let said = explained(&server, get(&format!("/topics/a{query}"), fields));
        (said["start"].clone(), said["topics"][0].clone(), said["answer"]["status"].clone())
    };
    let (epoch, _) = ids[0].split_once('-').unwrap();
    let (start, topic, _) = ask(&format!("Last-Event-ID: {}\r\n", ids[3]), "?after=latest");
    assert_eq!((&start["given_by"], &start["at"]), (&json!("Last-Event-ID"), &json!("cursor")));
    assert_eq!(topic["cursor"], json!({"epoch": epoch, "sequence": 4}));
    let place = |topic: &Value| (topic["gap"].clone(), topic["behind"].clone());
    assert_eq!(
        (&topic["epoch"], &topic["first"], &topic["next"]),
        (&json!(epoch), &json!(3), &json!(6))
    );
    assert_eq!((topic.get("gap"), &topic["behind"]), (None, &json!(1)));
    let (start, topic, _) = ask("", &format!("?after={}", ids[0]));
    assert_eq!((&start["given_by"], place(&topic)), (&json!("after"), (json!(1), json!(3))));
    let (start, topic, _) = ask(&format!("If-None-Match: \"{}\"\r\n", ids[4]), "?last=2");
    assert_eq!(
        (&start["given_by"], place(&topic)),
        (&json!("If-None-Match"), (Value::Null, json!(0)))
    );
    let (start, topic, _) = ask("", "?last=2");
    assert_eq!((&start["given_by"], place(&topic)), (&json!("last"), (Value::Null, json!(2))));
    let (start, topic, _) = ask("", "");
    assert_eq!((start.get("given_by"), &topic["behind"]), (None, &json!(3)));

    server.request("DELETE", "/topics/a", &[], b"");
    server.publish("a", "y");
    let (_, topic, _) = ask("", &format!("?after={}", ids[4]));
    assert!(topic.as_object().unwrap().contains_key("gap"), "{topic}");
    assert_eq!(place(&topic), (Value::Null, json!(1)));
    assert!(string(&topic["because"]).contains("another epoch"), "{topic}");
    let (_, topic, _) = ask("", &format!("?after={}-99", string(&topic["epoch"])));
    assert!(string(&topic["because"]).contains("ahead of the log"), "{topic}");
}

#[test]
fn clause_13_3_a_bad_cursor_is_refused_on_a_poll_and_a_gap_on_a_stream() {
    let server = Server::start(&[]);
    let said = explained(&server, get("/topics/a?after=x", ""));
    assert_eq!(said["answer"]["problem"], server.get("/topics/a?after=x").json());
    let said = explained(&server, get("/topics/a?after=x", "Accept: text/event-stream\r\n"));
    assert_eq!(said["answer"]["status"], 200);
    assert!(string(&said["start"]["at"]).contains("no cursor"), "{said}");
    assert!(said["topics"][0].as_object().unwrap().contains_key("gap"), "{said}");
}

#[test]
fn clause_13_3_what_is_refused_is_refused_with_the_same_problem() {
    let server = Server::start(&[]);
    for request in [
        "GET /topics/a HTTP/1.1\r\n\r\n".to_owned(),
        "GET /topics/a HTTP/2.0\r\nHost: h\r\n\r\n".to_owned(),
        get("/nowhere", ""),
        get("/topics/a*", ""),
        get("/topics/a?wait=x", ""),
        head("PATCH", "/topics/a", ""),
        head("POST", "/topics/a", ""),
        head("POST", "/topics/a", "Content-Length: 2000000\r\n"),
        head("POST", "/topics", "Content-Length: 0\r\n"),
        get("/topics/a", "Content-Length: 100000\r\n"),
        get("/topics/a", &format!("{HANDSHAKE}Content-Length: 5\r\n")),
        get("/topics/a", &HANDSHAKE.replace("13", "8")),
        get("/topics/a", "Expect: x\r\n"),
        head("DELETE", "/topics/a", ""),
    ] {
        let said = explained(&server, &request);
        let mut client = server.client();
        client.send(&request);
        assert_eq!(said["answer"]["problem"], client.answer().json(), "{request}");
    }
}

#[test]
fn clause_13_3_asking_changes_nothing() {
    let server = Server::start(&[]);
    let before = server.get("/metrics").text();
    for request in [
        head("POST", "/topics/a", "Content-Length: 5\r\nIdempotency-Key: k\r\n"),
        get("/topics/b", "Accept: text/event-stream\r\n"),
        get("/topics/c", HANDSHAKE),
        head("DELETE", "/topics/d", ""),
        get("/topics/e*", ""),
        "nonsense".to_owned(),
    ] {
        explained(&server, request);
    }
    let after = server.get("/metrics").text();
    for name in [
        "tidings_topics",
        "tidings_messages_published_total",
        "tidings_gaps_total",
        "tidings_refusals_total",
        "tidings_subscriptions",
        "tidings_body_bytes",
    ] {
        let lines = |text: &str| -> Vec<String> {
            text.lines().filter(|line| line.starts_with(name)).map(str::to_owned).collect()
        };
        assert!(!lines(&before).is_empty(), "{name} is there");
        assert_eq!(lines(&before), lines(&after));
    }
    // The key was not remembered, and the epoch is one that begins now.
    let answer = server.request("POST", "/topics/a", &[("Idempotency-Key", "k")], b"x");
    assert_eq!(sequence(&string(&answer.json()["id"])), 1);
}

#[test]
fn clause_13_3_whatever_is_sent_is_explained() {
    let server = Server::start(&[]);
    let mut random = fastrand::Rng::with_seed(5);
    for length in 0..200 {
        let bytes: Vec<u8> = (0..length).map(|_| random.u8(..)).collect();
        assert!(explained(&server, bytes)["answer"]["status"].is_u64());
    }
    let said = explained(&server, "GET / HTTP/1.1\r\nHost: h\r\n");
    assert_eq!(said["answer"]["problem"]["type"], "/errors#malformed-head", "its end is missing");
    let fields = [("Content-Type", "message/http")];
    let large = vec![b'x'; 20_000];
    server.request("POST", "/explain", &fields, &large).problem(431);
    server.request("POST", "/explain", &[], b"x").problem(415);
    server.get("/explain").problem(405);
    let foreign = [("Content-Type", "message/http"), ("Origin", "https://a.example")];
    server.request("POST", "/explain", &foreign, b"x").problem(403);
}

/// Runs `tidings explain`; whether it ended well, and what it printed.
fn command(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_tidings"))
        .env_clear()
        .arg("explain")
        .args(arguments)
        .output()
        .unwrap();
    let said = if output.status.success() { output.stdout } else { output.stderr };
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[test]
fn the_command_asks_and_prints_what_it_is_told() {
    let server = Server::start(&[]);
    let base = format!("http://{}", server.address());
    let id = server.publish("news", "x");
    let stream = ["-H", "Accept: text/event-stream", "-H", &format!("Last-Event-ID: {id}")];
    let (is_good, text) = command(&[&[&*format!("{base}/topics/news")], &stream[..]].concat());
    assert!(is_good, "{text}");
    for line in
        ["route    event stream. Accept", "start    cursor. Last-Event-ID", "answer   200. "]
    {
        assert!(text.contains(line), "{line} in {text}");
    }
    let socket = format!("ws://{}/topics/news", server.address());
    let (_, text) = command(&[&socket, "-H", "Origin: https://a.example"]);
    assert!(text.contains("answer   403. ") && text.contains("/errors#foreign-origin"), "{text}");
    let outside = "https://push.example.org/topics/news";
    let (_, text) = command(&[outside, "--admin", &base, "--json", "-X", "PUT"]);
    let said: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(said["request"]["host"], "push.example.org");
    assert_eq!(said["answer"]["status"], 201);
    let (is_good, text) = command(&[outside]);
    assert!(!is_good && text.contains("http only"), "{text}");
}
