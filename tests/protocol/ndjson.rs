//! Clause 10: endless lines of JSON.

use serde_json::{Value, json};

use crate::support::*;

#[test]
fn clause_10_1_a_stream_opens_with_a_cursor_and_then_has_an_envelope_a_line() {
    for_workers(&[], |server| {
        for topic in TOPICS {
            let id = server.publish(topic, "old");
            let mut stream = server.ndjson(&format!("/topics/{topic}"));
            assert_eq!(stream.head.field("Content-Type"), Some("application/x-ndjson"));
            assert_eq!(stream.head.field("Transfer-Encoding"), Some("chunked"));
            let opening = stream.line().unwrap();
            assert_eq!(opening, format!(r#"{{"type":"open","cursor":"{id}"}}"#));
            let id = server.publish(topic, "new");
            let line: Value = serde_json::from_str(&stream.line().unwrap()).unwrap();
            let time = &line["time"];
            assert_eq!(line, json!({"topic": topic, "id": id, "time": time, "data": "new"}));
        }
    });
}

#[test]
fn clause_10_1_to_http_1_0_a_stream_is_not_chunked_and_closed_at_the_end() {
    let server = Server::start(&["--drain-spread", "0.01"]);
    let mut client = server.client();
    client.send("GET /topics/news HTTP/1.0\r\nAccept: application/x-ndjson\r\n\r\n");
    let head = client.head();
    assert_eq!((head.status, head.field("Transfer-Encoding")), (200, None));
    let mut stream = Stream::new(client, head);
    assert_eq!(stream.json_line()["type"], "open");
    server.publish("news", "a");
    server.publish("news", "b");
    assert_eq!(stream.json_line()["data"], "a");
    assert_eq!(stream.json_line()["data"], "b");
    server.terminate();
    assert_eq!(stream.json_line()["type"], "drain");
    assert_eq!(stream.line(), None);
}

#[test]
fn clause_10_1_a_line_with_a_type_is_never_a_message() {
    let server = Server::start(&[]);
    let (mut stream, _) = server.open_ndjson("/topics/news");
    let fields = [("Content-Type", "application/json"), ("Event-Type", "open")];
    server.request("POST", "/topics/news", &fields, br#"{"type":"open"}"#);
    let line = stream.json_line();
    assert_eq!(line["type"], Value::Null);
    assert_eq!(line["data"]["type"], "open", "the payload's own");
}

#[test]
fn clause_10_2_a_heartbeat_is_an_empty_line() {
    for_workers(&["--heartbeat", "0.1"], |server| {
        let (mut stream, _) = server.open_ndjson("/topics/quiet");
        for _ in 0..3 {
            assert_eq!(stream.line().as_deref(), Some(""));
        }
        server.publish("quiet", "x");
        assert_eq!(stream.json_line()["data"], "x");
    });
}

#[test]
fn clause_10_2_and_10_3_a_temporary_refusal_is_a_line_and_a_clean_end() {
    let server = Server::start(&["--connections-max", "1"]);
    let _first = server.open_ndjson("/topics/news");
    let mut refused = server.ndjson("/topics/news");
    let line = refused.json_line();
    assert_eq!((&line["type"], &line["status"]), (&json!("refused"), &json!(503)));
    assert!(line["title"].is_string() && line["detail"].is_string() && line["retry_ms"].is_u64());
    assert_eq!(
        (&line["problem"], &line["limit"]),
        (&json!("/errors#too-many-connections"), &json!(1))
    );
    assert_eq!(line.as_object().unwrap().len(), 7, "{line}");
    assert_eq!(refused.line(), None);
    refused.client.assert_closed();
}

#[test]
fn clause_10_3_topics_at_their_cap_is_a_line_and_a_clean_end() {
    for_workers(&["--topics-max", "4"], |server| {
        let _listeners = server.listen_to_all();
        for topic in TOPICS {
            let mut stream = server.ndjson(&format!("/topics/{topic}"));
            assert_eq!(stream.json_line()["type"], "refused");
            assert_eq!(stream.line(), None);
        }
    });
}

#[test]
fn clause_10_3_a_wrong_request_is_refused_with_its_status() {
    let server = Server::start(&[]);
    let fields = [("Accept", "application/x-ndjson")];
    server.request("GET", "/topics/a*", &fields, b"").problem(400);
}
