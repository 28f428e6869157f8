//! Clause 5.3: many messages with one request.

use serde_json::{Value, json};

use crate::support::*;

const NDJSON: (&str, &str) = ("Content-Type", "application/x-ndjson");

/// Sends a batch; returns its report, a value a line, heartbeats left out.
fn batch(server: &Server, body: &[u8]) -> Vec<Value> {
    let answer = server.request("POST", "/topics", &[NDJSON], body);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.field("Content-Type"), Some("application/x-ndjson"));
    let text = answer.text();
    let lines = text.lines().filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Publishes one line; returns the message's envelope without what is not of its payload.
fn published(server: &Server, topic: &str, line: &str) -> Value {
    let report = batch(server, line.as_bytes());
    assert!(report[0]["id"].is_string(), "{line}: {report:?}");
    let mut poll = server.poll(&format!("/topics/{topic}?last=1"));
    let mut envelope = poll["messages"][0].take();
    for known in ["id", "topic", "time"] {
        envelope.as_object_mut().unwrap().remove(known);
    }
    envelope
}

#[test]
fn clause_5_3_every_line_is_published_and_reported_in_order() {
    for_workers(&[], |server| {
        let mut lines = String::new();
        for number in 0..60 {
            let topic = TOPICS[number % 6];
            lines += &format!("{{\"topic\":\"{topic}\",\"data\":\"{number}\"}}\n");
        }
        let report = batch(server, lines.as_bytes());
        assert_eq!(report.len(), 60);
        for (number, result) in report.iter().enumerate() {
            assert_eq!(result["line"], number + 1);
            assert_eq!(result["topic"], TOPICS[number % 6]);
            assert_eq!(sequence(&string(&result["id"])), number as u64 / 6 + 1);
            assert_eq!(result.as_object().unwrap().len(), 3, "{result}");
        }
        for (index, topic) in TOPICS.iter().enumerate() {
            let wanted: Vec<String> = (0..10).map(|n| (n * 6 + index).to_string()).collect();
            assert_eq!(data(&server.poll(&format!("/topics/{topic}"))), wanted);
        }
    });
}

#[test]
fn clause_5_3_the_shape_of_data_and_the_content_type_say_what_is_published() {
    let server = Server::start(&[]);
    for (line, wanted) in [
        (r#"{"topic":"t","data":"te\nxt"}"#, json!({"data": "te\nxt"})),
        (r#"{"topic":"t","data":{"a":1}}"#, json!({"data": {"a": 1}})),
        (r#"{"topic":"t","data":null}"#, json!({"data": null})),
        (r#"{"topic":"t","data":7}"#, json!({"data": 7})),
        (
            r#"{"topic":"t","data":"<p>","content_type":"text/html"}"#,
            json!({"data": "<p>", "content_type": "text/html"}),
        ),
        (
            r#"{"topic":"t","data":"aGVsbG8=","encoding":"base64"}"#,
            json!({"data": "aGVsbG8=", "encoding": "base64", "content_type": "application/octet-stream"}),
        ),
        (
            r#"{"topic":"t","data":"aGVsbG8=","encoding":"base64","content_type":"image/png","event":"e","key":"k1"}"#,
            json!({"data": "aGVsbG8=", "encoding": "base64", "content_type": "image/png", "event": "e"}),
        ),
        (
            r#"{"topic":"t","data":"aGk=","encoding":"base64","content_type":"text/plain"}"#,
            json!({"data": "hi"}),
        ),
        (
            r#"{"topic":"t","data":"eyJhIjoxfQ==","encoding":"base64","content_type":"application/json"}"#,
            json!({"data": {"a": 1}}),
        ),
        (
            r#"{"topic":"t","data":"x","content_type":"application/json"}"#,
            json!({"data": "x", "content_type": "application/json"}),
        ),
        (
            r#"{"topic":"t","data":[1],"content_type":"application/geo+json"}"#,
            json!({"data": [1], "content_type": "application/geo+json"}),
        ),
    ] {
        assert_eq!(published(&server, "t", line), wanted, "{line}");
    }
}

#[test]
fn clause_5_3_an_envelope_published_again_is_the_same_message() {
    let server = Server::start(&[]);
    let kinds: [(&str, &[u8]); 6] = [
        ("text/plain", b"text"),
        ("text/html", b"<p>"),
        ("application/json", b"{\"a\":[1]}"),
        ("application/json", b"\"string\""),
        ("application/geo+json", b"\"s\""),
        ("image/png", b"\x89PNG"),
    ];
    for (content_type, payload) in kinds {
        let fields = [("Content-Type", content_type), ("Event-Type", "e")];
        server.request("POST", "/topics/from", &fields, payload);
        let mut original = server.poll("/topics/from?last=1")["messages"][0].take();
        for own in ["id", "time", "topic"] {
            original.as_object_mut().unwrap().remove(own);
        }
        let mut line = original.clone();
        line["topic"] = json!("to");
        assert_eq!(published(&server, "to", &line.to_string()), original, "{content_type}");
    }
}

#[test]
fn clause_5_3_a_key_is_the_idempotency_key() {
    for_workers(&[], |server| {
        for topic in TOPICS {
            let lines = format!(
                "{{\"topic\":\"{topic}\",\"data\":\"1\",\"key\":\"k\"}}\n\
                 {{\"topic\":\"{topic}\",\"data\":\"2\",\"key\":\"k\"}}\n"
            );
            let report = batch(server, lines.as_bytes());
            assert_eq!(report[0]["id"], report[1]["id"], "{report:?}");
            let target = format!("/topics/{topic}");
            let again = server.request("POST", &target, &[("Idempotency-Key", "k")], b"3");
            assert_eq!(again.json()["id"], report[0]["id"], "the same keys as with one message");
            assert_eq!(data(&server.poll(&target)), ["1"]);
        }
    });
}

#[test]
fn clause_5_3_a_bad_line_is_an_error_and_those_behind_it_are_published() {
    let server = Server::start(&[]);
    let bad = [
        ("nonsense", 400),
        ("[]", 400),
        (r#"{"topic":"t"}"#, 400),
        (r#"{"data":1}"#, 400),
        (r#"{"topic":"t","data":1,"surplus":1}"#, 400),
        (r#"{"topic":"a,b","data":1}"#, 400),
        (r#"{"topic":"","data":1}"#, 400),
        (r#"{"topic":"t","data":1,"event":"tidings:x"}"#, 400),
        (r#"{"topic":"t","data":1,"key":""}"#, 400),
        (r#"{"topic":"t","data":"?","encoding":"base64"}"#, 400),
        (r#"{"topic":"t","data":"aGk=","encoding":"hex"}"#, 400),
        (r#"{"topic":"t","data":"gA==","encoding":"base64","content_type":"text/plain"}"#, 415),
        (r#"{"topic":"t","data":"x","content_type":""}"#, 415),
    ];
    let mut lines = String::new();
    for (line, _) in bad {
        lines += &format!("{line}\n{{\"topic\":\"t\",\"data\":\"good\"}}\r\n");
    }
    let report = batch(&server, lines.as_bytes());
    assert_eq!(report.len(), bad.len() * 2);
    for (index, (line, status)) in bad.iter().enumerate() {
        let (error, good) = (&report[index * 2], &report[index * 2 + 1]);
        assert_eq!(error["line"], index * 2 + 1);
        assert_eq!(error["error"]["status"], *status, "{line}: {error}");
        assert!(error["error"]["title"].is_string() && error["error"]["detail"].is_string());
        assert!(good["id"].is_string(), "behind {line}: {good}");
    }
    assert_eq!(data(&server.poll("/topics/t")).len(), bad.len());
}

#[test]
fn clause_5_3_blank_lines_are_skipped_but_counted() {
    let server = Server::start(&[]);
    let body = b"\n\r\n  \n{\"topic\":\"t\",\"data\":1}\n\n{\"topic\":\"t\",\"data\":2}";
    let report = batch(&server, body);
    let lines: Vec<&Value> = report.iter().map(|result| &result["line"]).collect();
    assert_eq!(lines, [&json!(4), &json!(6)], "the last line needs no end: {report:?}");
}

#[test]
fn clause_5_3_an_empty_body_is_an_empty_report() {
    let server = Server::start(&[]);
    assert_eq!(batch(&server, b""), [Value::Null; 0]);
}

#[test]
fn clause_5_3_behind_the_1001st_bad_line_nothing_is_read() {
    let server = Server::start(&[]);
    let good = "{\"topic\":\"t\",\"data\":1}\n";
    let report = batch(&server, format!("{}{good}", "x\n".repeat(1_000)).as_bytes());
    assert_eq!(report.len(), 1_001);
    assert!(report[1_000]["id"].is_string(), "{}", report[1_000]);

    let report = batch(&server, format!("{good}{}{good}", "x\n".repeat(50_000)).as_bytes());
    assert_eq!(report.len(), 1_002);
    assert!(report[0]["id"].is_string());
    assert_eq!(report[1_001]["line"], 1_002);
    let detail = report[1_001]["error"]["detail"].as_str().unwrap();
    assert!(detail.contains("Too many wrong lines"), "{detail}");
    assert_eq!(data_of_numbers(&server), 2, "what is behind is not published");
}

/// How many messages `t` has.
fn data_of_numbers(server: &Server) -> usize {
    server.poll("/topics/t")["messages"].as_array().unwrap().len()
}

#[test]
fn clause_5_3_a_line_longer_than_body_bytes_max_is_one_error_line() {
    let server = Server::start(&["--body-bytes-max", "1K"]);
    let long = |length: usize| {
        let frame = r#"{"topic":"t","data":""}"#.len();
        format!("{{\"topic\":\"t\",\"data\":\"{}\"}}\n", "x".repeat(length - frame))
    };
    let body = long(1024) + &long(1025) + &long(200_000) + &long(100);
    let report = batch(&server, body.as_bytes());
    assert_eq!(report.len(), 4, "{report:?}");
    assert!(report[0]["id"].is_string(), "{}", report[0]);
    assert_eq!(report[1]["error"]["status"], 413);
    assert_eq!(report[2]["error"]["status"], 413);
    assert_eq!((&report[3]["line"], report[3]["id"].is_string()), (&json!(4), true));
}

#[test]
fn clause_5_3_a_line_that_its_topic_refuses_is_reported_with_the_topic() {
    let server = Server::start(&["--log-bytes", "1K"]);
    let large = format!("{{\"topic\":\"t\",\"data\":\"{}\"}}\n", "x".repeat(2_000));
    let report = batch(&server, (large + "{\"topic\":\"t\"}\n").as_bytes());
    assert_eq!((&report[0]["topic"], &report[0]["error"]["status"]), (&json!("t"), &json!(413)));
    assert_eq!((&report[1]["topic"], &report[1]["error"]["status"]), (&Value::Null, &json!(400)));
}

#[test]
fn clause_5_3_the_body_is_not_limited_in_length() {
    let server = Server::start(&["--body-bytes-max", "1K", "--log-messages", "10"]);
    let lines: String = (0..2_000)
        .map(|n| format!("{{\"topic\":\"t\",\"data\":\"{n} {}\"}}\n", "x".repeat(500)))
        .collect();
    assert!(lines.len() > 1 << 20);
    assert_eq!(batch(&server, lines.as_bytes()).len(), 2_000);
}

#[test]
fn clause_5_3_results_are_sent_as_they_commit_and_the_head_before_the_first_line() {
    for_workers(&["--body-grace", "0.1"], |server| {
        let mut client = server.client();
        let fields = [NDJSON, ("Transfer-Encoding", "chunked")];
        client.send_request("POST", "/topics", &fields, b"");
        let head = client.head();
        assert_eq!(head.status, 200, "before any line");
        let mut report = Stream::new(client, head);
        for (number, topic) in TOPICS.iter().enumerate() {
            let line = format!("{{\"topic\":\"{topic}\",\"data\":{number}}}\n");
            report.client.send(format!("{:x}\r\n{line}\r\n", line.len()));
            assert_eq!(report.json_line()["line"], number + 1, "before the next line is sent");
        }
        report.client.send("0\r\n\r\n");
        assert_eq!(report.line(), None);
        assert_eq!(report.client.request("GET", "/healthz", &[], b"").status, 200, "it persists");
    });
}

#[test]
fn clause_5_3_the_body_is_not_limited_in_time_and_an_empty_line_is_sent_every_heartbeat() {
    let server = Server::start(&["--heartbeat", "0.1", "--body-grace", "0.1"]);
    let mut client = server.client();
    client.send_request("POST", "/topics", &[NDJSON, ("Transfer-Encoding", "chunked")], b"");
    let head = client.head();
    let mut report = Stream::new(client, head);
    for _ in 0..4 {
        assert_eq!(report.line().as_deref(), Some(""));
    }
    report.client.send("18\r\n{\"topic\":\"t\",\"data\":17}\n\r\n0\r\n\r\n");
    assert_eq!(report.json_line()["line"], 1);
}

#[test]
fn clause_5_3_another_content_type_is_415() {
    let server = Server::start(&[]);
    let line = b"{\"topic\":\"t\",\"data\":1}\n";
    for content_type in
        ["application/json", "text/plain", "application/x-ndjsonx", "application/ndjson"]
    {
        let fields = [("Content-Type", content_type)];
        server.request("POST", "/topics", &fields, line).problem(415);
    }
    server.request("POST", "/topics", &[], line).problem(415);
    let fields = [("Content-Type", "Application/X-NDJSON; charset=utf-8")];
    assert_eq!(server.request("POST", "/topics", &fields, line).status, 200);
    let gzip = [NDJSON, ("Content-Encoding", "gzip")];
    server.request("POST", "/topics", &gzip, line).problem(415);
}

#[test]
fn clause_5_3_a_batch_that_breaks_off_keeps_what_was_whole() {
    let server = Server::start(&[]);
    let mut client = server.client();
    let body = b"{\"topic\":\"t\",\"data\":\"whole\"}\n{\"topic\":\"t\",\"data\":\"half";
    client.send_request("POST", "/topics", &[NDJSON, ("Content-Length", "1000")], body);
    let head = client.head();
    let mut report = Stream::new(client, head);
    assert_eq!(report.json_line()["line"], 1);
    report.client.half_close();
    report.client.rest();
    assert_eq!(data(&server.poll("/topics/t")), ["whole"]);
}
