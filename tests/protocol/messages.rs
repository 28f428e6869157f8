//! Clause 2: messages, their kinds and their envelope.

use serde_json::{Value, json};

use crate::support::*;

/// Publishes and returns the message's envelope as a poll gives it.
fn round_trip(server: &Server, topic: &str, content_type: Option<&str>, payload: &[u8]) -> Value {
    let fields: Vec<_> = content_type.map(|value| ("Content-Type", value)).into_iter().collect();
    let answer = server.request("POST", &format!("/topics/{topic}"), &fields, payload);
    assert_eq!(answer.status, 201, "{answer:?}");
    let mut poll = server.poll(&format!("/topics/{topic}?last=1"));
    let mut envelope = poll["messages"][0].take();
    assert_eq!(envelope["id"], answer.json()["id"]);
    assert_eq!(envelope["topic"], topic);
    assert!(envelope["time"].as_u64().is_some_and(|time| time > 1_577_836_800_000), "{envelope}");
    for known in ["id", "topic", "time"] {
        envelope.as_object_mut().unwrap().remove(known);
    }
    envelope
}

#[test]
fn clause_2_1_a_payload_may_be_empty_and_as_large_as_body_bytes_max() {
    let server = Server::start(&[]);
    assert_eq!(round_trip(&server, "empty", Some("text/plain"), b""), json!({"data": ""}));
    let megabyte = "m".repeat(1 << 20);
    let envelope = round_trip(&server, "large", Some("text/plain"), megabyte.as_bytes());
    assert!(envelope["data"] == megabyte, "all of it comes back");
}

#[test]
fn clause_2_1_sequence_numbers_are_dense_and_begin_with_1() {
    for_workers(&[], |server| {
        for topic in TOPICS {
            let ids: Vec<u64> = (0..5).map(|_| sequence(&server.publish(topic, "x"))).collect();
            assert_eq!(ids, [1, 2, 3, 4, 5], "{topic}");
        }
    });
}

#[test]
fn clause_2_2_the_kind_follows_from_the_content_type() {
    let server = Server::start(&[]);
    let binary = |content_type: &str, data: &str| json!({"content_type": content_type, "encoding": "base64", "data": data});
    let form = Some("application/x-www-form-urlencoded");
    let cases: [(Option<&str>, &[u8], Value); 19] = [
        (Some("application/json"), br#"{"a":[1,2]}"#, json!({"data": {"a": [1, 2]}})),
        (Some("application/json; charset=utf-8"), b"12", json!({"data": 12})),
        (Some("Application/JSON"), b"null", json!({"data": null})),
        (
            Some("application/json"),
            br#""text""#,
            json!({"content_type": "application/json", "data": "text"}),
        ),
        (
            Some("application/geo+json"),
            b"{}",
            json!({"content_type": "application/geo+json", "data": {}}),
        ),
        (Some("text/plain"), "é\n".as_bytes(), json!({"data": "é\n"})),
        (Some("text/plain; charset=utf-8"), b"x", json!({"data": "x"})),
        (Some("text/plain;charset=UTF-8"), b"x", json!({"data": "x"})),
        (Some("TEXT/PLAIN"), b"x", json!({"data": "x"})),
        (Some("text/html"), b"<p>", json!({"content_type": "text/html", "data": "<p>"})),
        (
            Some("text/csv; header=x"),
            b"1",
            json!({"content_type": "text/csv; header=x", "data": "1"}),
        ),
        (None, b"from curl", json!({"data": "from curl"})),
        (form, b"a=b", json!({"data": "a=b"})),
        (None, b"\xff\xfe", binary("application/octet-stream", "//4=")),
        (form, b"\x80", binary("application/octet-stream", "gA==")),
        (Some("image/png"), b"\x89PNG", binary("image/png", "iVBORw==")),
        (Some("application/octet-stream"), b"text", binary("application/octet-stream", "dGV4dA==")),
        (Some("application/xml"), b"<a/>", binary("application/xml", "PGEvPg==")),
        (Some("application/octet-stream"), b"", binary("application/octet-stream", "")),
    ];
    for (index, (content_type, payload, wanted)) in cases.into_iter().enumerate() {
        let envelope = round_trip(&server, &format!("kind{index}"), content_type, payload);
        assert_eq!(envelope, wanted, "{content_type:?}");
    }
}

#[test]
fn clause_2_2_a_json_payload_must_be_one_valid_json_text() {
    let server = Server::start(&[]);
    for payload in [
        &b""[..],
        b" ",
        b"{",
        b"{} {}",
        b"01",
        b"+1",
        b".5",
        b"1.",
        b"nul",
        b"'x'",
        b"[1,]",
        b"\"\xff\"",
        b"\"\n\"",
        b"{\"a\":1,}",
        b"NaN",
        b"\"\\x\"",
        b"\xef\xbb\xbf{}",
        b"{1:2}",
    ] {
        let json = [("Content-Type", "application/json")];
        server.request("POST", "/topics/json", &json, payload).problem(400);
        let suffixed = [("Content-Type", "application/ld+json")];
        server.request("POST", "/topics/json", &suffixed, payload).problem(400);
    }
    assert_eq!(data(&server.poll("/topics/json")), [""; 0], "none of them was published");
}

#[test]
fn clause_2_2_a_json_payload_is_nested_at_most_100_deep() {
    let server = Server::start(&[]);
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let fields = [("Content-Type", "application/json")];
    assert_eq!(server.request("POST", "/topics/deep", &fields, nested(100).as_bytes()).status, 201);
    server.request("POST", "/topics/deep", &fields, nested(101).as_bytes()).problem(400);
    server.request("POST", "/topics/deep", &fields, "[".repeat(900_000).as_bytes()).problem(400);
}

#[test]
fn clause_2_2_a_text_payload_must_be_utf_8() {
    let server = Server::start(&[]);
    for payload in [&b"\xff"[..], b"caf\xe9", b"\xed\xa0\x80", b"\xc0\x80", b"\xf0\x9f\x90"] {
        let fields = [("Content-Type", "text/plain")];
        server.request("POST", "/topics/text", &fields, payload).problem(415);
    }
}

#[test]
fn clause_2_3_an_envelope_is_one_line_with_the_members_that_apply() {
    let server = Server::start(&[]);
    let fields = [("Content-Type", "text/plain"), ("Event-Type", "edit")];
    server.request("POST", "/topics/news", &fields, b"two\nlines");
    let (mut lines, _) = {
        let mut stream = server.ndjson("/topics/news?after=earliest");
        let open = stream.json_line();
        (stream, open)
    };
    let line = lines.line().unwrap();
    let envelope: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(envelope["event"], "edit");
    assert_eq!(envelope["data"], "two\nlines");
    let mut members: Vec<&str> = envelope.as_object().unwrap().keys().map(String::as_str).collect();
    members.sort_unstable();
    assert_eq!(members, ["data", "event", "id", "time", "topic"], "no cursor with one topic");
}

#[test]
fn clause_2_3_line_breaks_between_json_tokens_become_spaces() {
    let server = Server::start(&[]);
    let payload = b"{\r\n  \"a\": \"x\\ny\",\n\t\"b\":1.50\r}";
    let fields = [("Content-Type", "application/json")];
    server.request("POST", "/topics/pretty", &fields, payload);
    let mut stream = server.ndjson("/topics/pretty?after=earliest");
    stream.json_line();
    let line = stream.line().unwrap();
    let shown = r#""data":{    "a": "x\ny", "#.to_owned() + "\t\"b\":1.50 }";
    assert!(line.contains(&shown), "the payload itself, in {line:?}");
}

#[test]
fn clause_2_3_json_numbers_and_members_are_given_back_as_they_came() {
    let server = Server::start(&[]);
    let payload = r#"{"z":1e300,"a":12345678901234567890123,"a":0.10,"u":"\u00e9"}"#;
    let fields = [("Content-Type", "application/json")];
    server.request("POST", "/topics/exact", &fields, payload.as_bytes());
    let text = server.get("/topics/exact").text();
    assert!(text.contains(&format!("\"data\":{payload}")), "{text}");
}

#[test]
fn clause_2_3_times_do_not_run_backwards_within_a_topic() {
    let server = Server::start(&[]);
    for _ in 0..5 {
        server.publish("clock", "tick");
    }
    let poll = server.poll("/topics/clock");
    let times: Vec<u64> = poll["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| message["time"].as_u64().unwrap())
        .collect();
    assert!(times.is_sorted(), "{times:?}");
}

#[test]
fn clause_2_3_the_cursor_member_is_there_only_with_several_topics_on_streams_and_websockets() {
    for_workers(&[], |server| {
        let (mut one, _) = server.open_ndjson("/topics/north");
        let (mut two, _) = server.open_ndjson("/topics/north,south");
        let (mut socket, _) = server.json_websocket("/topics/north,south");
        server.publish("north", "x");
        assert_eq!(one.json_line()["cursor"], Value::Null);
        for line in [two.json_line(), socket.json()] {
            let cursor = string(&line["cursor"]);
            server.publish("south", "later");
            let rest = server.poll(&format!("/topics/south,north?after={cursor}"));
            assert!(data(&rest).iter().all(|text| text == "later"), "{rest}");
            assert_eq!(rest["gap"], Value::Null, "{rest}");
        }
        let poll = server.poll("/topics/north,south");
        assert_eq!(poll["messages"][0]["cursor"], Value::Null, "never in a poll");
    });
}

#[test]
fn clause_2_3_a_quote_a_backslash_and_a_control_character_survive_in_a_text() {
    let server = Server::start(&[]);
    let text = "\"\\/\u{8}\u{c}\n\r\t\u{0}\u{1f}\u{7f}\u{2028}\u{10ffff}";
    let envelope = round_trip(&server, "escapes", Some("text/plain"), text.as_bytes());
    assert_eq!(envelope["data"], text);
}

#[test]
fn clause_2_3_line_separators_of_unicode_are_escaped_in_text_and_json() {
    let server = Server::start(&[]);
    let text = "a\u{85}b\u{2028}c\u{2029}d";
    server.publish("lines", text);
    let json = [("Content-Type", "application/json")];
    server.request("POST", "/topics/lines", &json, format!("{{\"k\":\"{text}\"}}").as_bytes());
    let mut stream = server.ndjson("/topics/lines?after=earliest");
    stream.json_line();
    for _ in 0..2 {
        let line = stream.line().unwrap();
        assert!(!line.contains(['\u{85}', '\u{2028}', '\u{2029}']), "{line}");
        let envelope: Value = serde_json::from_str(&line).unwrap();
        let data = envelope["data"].as_str().or(envelope["data"]["k"].as_str());
        assert_eq!(data, Some(text), "and read back as they were");
    }
}

#[test]
fn clause_2_4_an_event_name_is_1_to_128_bytes_without_control_characters() {
    let server = Server::start(&[]);
    let publish = |event: &str| server.request("POST", "/topics/e", &[("Event-Type", event)], b"x");
    for event in ["e", &"e".repeat(128), "with space", "é", "tidings", "Tidings:x", "message"] {
        assert_eq!(publish(event).status, 201, "{event}");
        assert_eq!(server.poll("/topics/e?last=1")["messages"][0]["event"], event);
    }
    for event in ["", &"e".repeat(129), "tidings:", "tidings:gap"] {
        publish(event).problem(400);
    }
    for event in ["a%0Ab", "a%0D", "%00", "%7F", "%C2%85", "%FF", "", "tidings:gap"] {
        server.request("POST", &format!("/topics/e?event={event}"), &[], b"x").problem(400);
    }
}
