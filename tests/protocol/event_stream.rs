//! Clause 9: Server-Sent Events.

use serde_json::Value;

use crate::support::*;

#[test]
fn clause_9_1_a_stream_opens_with_retry_an_id_and_a_comment() {
    for_workers(&[], |server| {
        for topic in TOPICS {
            let id = server.publish(topic, "old");
            let mut stream = server.event_stream(&format!("/topics/{topic}"));
            assert_eq!(stream.head.version, "HTTP/1.1");
            assert_eq!(stream.head.field("Content-Type"), Some("text/event-stream"));
            assert_eq!(stream.head.field("Transfer-Encoding"), Some("chunked"));
            let opening = stream.event();
            assert!(opening.retry.is_some());
            assert_eq!(opening.id, Some(id), "where it starts from");
            assert_eq!((opening.data, opening.event), (None, None), "it dispatches nothing");
            assert_eq!(stream.event().comments.len(), 1);
        }
    });
}

#[test]
fn clause_9_1_to_http_1_0_a_stream_is_not_chunked_and_closed_at_the_end() {
    let server = Server::start(&["--drain-spread", "0.01"]);
    server.publish("news", "x");
    let mut client = server.client();
    client.send("GET /topics/news?after=earliest HTTP/1.0\r\nHost: h\r\nAccept: text/event-stream\r\nConnection: keep-alive\r\n\r\n");
    let head = client.head();
    assert_eq!((head.status, head.field("Transfer-Encoding")), (200, None));
    assert_eq!(head.field("Connection"), Some("close"));
    let mut stream = Stream::new(client, head);
    assert_eq!(stream.dispatched().data.as_deref(), Some("x"));
    server.publish("news", "y");
    assert_eq!(stream.dispatched().data.as_deref(), Some("y"));
    server.terminate();
    assert_eq!(stream.dispatched().event.as_deref(), Some("tidings:drain"));
    assert_eq!(stream.next_event(), None);
}

#[test]
fn clause_9_2_a_message_is_one_event_with_its_cursor_and_its_name() {
    for_workers(&[], |server| {
        for topic in TOPICS {
            let target = format!("/topics/{topic}");
            let (mut stream, _) = server.open_event_stream(&target);
            let named = server.request("POST", &target, &[("Event-Type", "edit")], b"named");
            let plain = server.publish(topic, "plain");
            let event = stream.dispatched();
            assert_eq!(event.id.as_deref(), named.json()["id"].as_str());
            assert_eq!(
                (event.event.as_deref(), event.data.as_deref()),
                (Some("edit"), Some("named"))
            );
            let event = stream.dispatched();
            assert_eq!(event.id, Some(plain));
            assert_eq!((event.event, event.data.as_deref()), (None, Some("plain")));
        }
    });
}

#[test]
fn clause_9_2_a_payload_is_split_at_every_kind_of_line_end() {
    let server = Server::start(&[]);
    let (mut stream, _) = server.open_event_stream("/topics/lines");
    for (payload, wanted) in [
        ("a\nb", "a\nb"),
        ("a\r\nb", "a\nb"),
        ("a\rb", "a\nb"),
        ("a\n\rb", "a\n\nb"),
        ("\n", "\n"),
        ("a\n", "a\n"),
        ("", ""),
        (" leading", " leading"),
        (":colon", ":colon"),
        ("data: x\n\nid: 1", "data: x\n\nid: 1"),
        ("\u{feff}bom", "\u{feff}bom"),
        ("nel\u{85}ls\u{2028}", "nel\u{85}ls\u{2028}"),
        ("nul\0", "nul\0"),
    ] {
        server.publish("lines", payload);
        assert_eq!(stream.dispatched().data.as_deref(), Some(wanted), "{payload:?}");
    }
}

#[test]
fn clause_9_2_json_is_sent_as_it_is_and_binary_as_base64() {
    let server = Server::start(&[]);
    let (mut stream, _) = server.open_event_stream("/topics/kinds");
    let json = [("Content-Type", "application/json")];
    server.request("POST", "/topics/kinds", &json, b"{\"a\":\n[1]}");
    let data = stream.dispatched().data.unwrap();
    assert_eq!(serde_json::from_str::<Value>(&data).unwrap(), serde_json::json!({"a": [1]}));
    server.request("POST", "/topics/kinds", &[("Content-Type", "image/png")], b"\x00\xff");
    assert_eq!(stream.dispatched().data.as_deref(), Some("AP8="));
}

#[test]
fn clause_9_2_with_several_topics_an_id_is_the_cursor_of_all() {
    for_workers(&[], |server| {
        let names = TOPICS.join(",");
        let (mut stream, _) = server.open_event_stream(&format!("/topics/{names}"));
        for topic in TOPICS {
            server.publish(topic, topic);
            let event = stream.dispatched();
            assert_eq!(event.data.as_deref(), Some(topic));
            let rest = server.poll(&format!("/topics/{names}?after={}", event.id.unwrap()));
            assert_eq!(data(&rest), [""; 0], "nothing behind it");
        }
    });
}

#[test]
fn clause_9_4_a_silent_stream_beats_with_comments() {
    for_workers(&["--heartbeat", "0.1"], |server| {
        let (mut stream, _) = server.open_event_stream("/topics/quiet");
        stream.event();
        for _ in 0..3 {
            let beat = stream.event();
            assert_eq!(beat.data, None);
            assert_eq!((beat.comments.len(), beat.id, beat.retry), (1, None, None));
        }
        server.publish("quiet", "x");
        assert_eq!(stream.dispatched().data.as_deref(), Some("x"));
    });
}

#[test]
fn clause_9_5_too_many_connections_is_200_with_retry_refused_and_a_clean_end() {
    let server = Server::start(&["--connections-max", "1"]);
    let _first = server.open_event_stream("/topics/news");
    let mut refused = server.event_stream("/topics/news");
    let event = refused.event();
    assert!(event.retry.is_some());
    assert_eq!(event.event.as_deref(), Some("tidings:refused"));
    let problem: Value = serde_json::from_str(&event.data.unwrap()).unwrap();
    assert_eq!(problem["status"], 503);
    assert!(problem["title"].is_string() && problem["detail"].is_string());
    assert_eq!(refused.next_event(), None, "the last chunk");
    refused.client.assert_closed();
}

#[test]
fn clause_9_5_topics_at_their_cap_is_200_with_retry_refused_and_a_clean_end() {
    for_workers(&["--topics-max", "4"], |server| {
        let _listeners = server.listen_to_all();
        let mut refused = 0;
        for topic in TOPICS {
            let mut stream = server.event_stream(&format!("/topics/{topic}"));
            let event = stream.event();
            assert_eq!(event.event.as_deref(), Some("tidings:refused"), "{event:?}");
            assert!(event.retry.is_some());
            assert_eq!(stream.next_event(), None);
            refused += 1;
        }
        assert_eq!(refused, TOPICS.len());
        server.await_metric("tidings_subscriptions{wire=\"sse\"}", 0);
    });
}

#[test]
fn clause_9_5_a_wrong_request_is_refused_with_its_status() {
    let server = Server::start(&[]);
    let accept = ("Accept", "text/event-stream");
    server.request("GET", "/topics/a*", &[accept], b"").problem(400);
    server
        .request("GET", "/topics/news", &[accept, ("Origin", "https://x.example")], b"")
        .problem(403);
    server.request("GET", "/topics/news?last=x", &[accept], b"").problem(400);
}

#[test]
fn clause_9_6_bytes_on_an_open_stream_are_ignored_up_to_4_kib() {
    for target in ["text/event-stream", "application/x-ndjson"] {
        let server = Server::start(&[]);
        let mut stream = server.stream("/topics/news", &[("Accept", target)]);
        stream.line();
        stream.client.send([b'x'; 4096]);
        // What comes behind them on another connection is proof that they were read.
        server.await_metric(
            "tidings_subscriptions{wire=\"sse\"}",
            u64::from(target.starts_with("text")),
        );
        server.publish("news", "heard");
        let heard = std::iter::from_fn(|| stream.line()).find(|line| line.contains("heard"));
        assert!(heard.is_some());
        stream.client.send(b"x");
        stream.client.rest();
        server.await_metric("tidings_connections_closed_total{reason=\"unexpected_input\"}", 1);
    }
}

#[test]
fn clause_9_6_a_client_that_half_closes_is_gone() {
    for_workers(&[], |server| {
        for accept in ["text/event-stream", "application/x-ndjson"] {
            let stream = server.stream("/topics/news", &[("Accept", accept)]);
            stream.client.half_close();
            let mut client = stream.client;
            client.rest();
        }
        server.await_metric("tidings_subscriptions{wire=\"sse\"}", 0);
        server.await_metric("tidings_subscriptions{wire=\"ndjson\"}", 0);
    });
}

#[test]
fn clause_9_2_with_envelope_in_the_url_the_data_is_the_envelope() {
    for_workers(&[], |server| {
        for (target, names) in [("north", 1), ("north,south", 2)] {
            let (mut stream, _) = server.open_event_stream(&format!("/topics/{target}?envelope"));
            let id = server.request("POST", "/topics/north", &[("Event-Type", "edit")], b"a\nb");
            let event = stream.dispatched();
            assert_eq!(event.event, None, "no event line");
            let envelope: Value = serde_json::from_str(event.data.as_deref().unwrap()).unwrap();
            assert_eq!(envelope["id"], id.json()["id"]);
            assert_eq!((&envelope["event"], &envelope["data"]), (&"edit".into(), &"a\nb".into()));
            assert_eq!(envelope["cursor"], Value::Null, "2.3: it is in the id");
            assert_eq!(event.id.unwrap().split('.').count(), names, "the cursor of all topics");
        }
    });
}
