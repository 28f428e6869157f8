//! Clause 1: topics and their names.

use crate::support::*;

#[test]
fn clause_1_1_a_topic_begins_with_its_first_publish_or_subscription() {
    for_workers(&[], |server| {
        for topic in TOPICS {
            assert_eq!(
                server.request("DELETE", &format!("/topics/{topic}"), &[], b"").status,
                404,
                "{topic} has not begun"
            );
        }
        for topic in &TOPICS[..3] {
            server.publish(topic, "first");
            assert_eq!(data(&server.poll(&format!("/topics/{topic}"))), ["first"]);
        }
        for topic in &TOPICS[3..] {
            let _subscription = server.open_ndjson(&format!("/topics/{topic}"));
            let deletion = server.request("DELETE", &format!("/topics/{topic}"), &[], b"");
            assert_eq!(deletion.status, 200, "{topic} began with a subscription");
        }
    });
}

#[test]
fn clause_1_1_a_topic_is_append_only_and_bounded_by_messages() {
    let server = Server::start(&["--log-messages", "3"]);
    for number in 1..=7 {
        server.publish("bounded", &number.to_string());
    }
    assert_eq!(data(&server.poll("/topics/bounded")), ["5", "6", "7"]);
}

#[test]
fn clause_1_1_a_topic_is_bounded_by_bytes() {
    // A message costs its payload and a little more, so that three of these do not fit.
    let server = Server::start(&["--log-bytes", "10K"]);
    for number in 1..=5 {
        server.publish("bounded", &format!("{number}{}", "x".repeat(4096)));
    }
    let kept = data(&server.poll("/topics/bounded"));
    let numbers: Vec<&str> = kept.iter().map(|text| &text[..1]).collect();
    assert_eq!(numbers, ["4", "5"]);
}

#[test]
fn clause_1_1_a_topic_is_bounded_by_age() {
    let server = Server::start(&["--log-age", "0.2"]);
    server.publish("bounded", "old");
    server.ask_until("it is forgotten when it is old", || {
        data(&server.poll("/topics/bounded")).is_empty()
    });
}

#[test]
fn clause_1_1_a_topic_without_subscribers_and_messages_is_forgotten() {
    for_workers(&["--topic-idle", "0.2", "--log-age", "0.2"], |server| {
        for topic in TOPICS {
            server.publish(topic, "gone soon");
        }
        let before: Vec<String> = TOPICS.iter().map(|topic| server.head_cursor(topic)).collect();
        server.await_metric("tidings_topics", 0);
        for (topic, before) in TOPICS.iter().zip(before) {
            let target = format!("/topics/{topic}");
            assert_eq!(server.request("DELETE", &target, &[], b"").status, 404, "{topic}");
            // 3.6: what begins anew under its name is another epoch.
            let poll = server.poll(&format!("{target}?after={before}"));
            assert_eq!(poll["gap"][0]["count"], serde_json::Value::Null, "{poll}");
        }
    });
}

#[test]
fn clause_1_1_a_topic_with_subscribers_is_not_forgotten() {
    let server = Server::start(&["--topic-idle", "0.1", "--log-age", "0.1"]);
    let (mut stream, cursor) = server.open_ndjson("/topics/kept");
    server.publish("passing", "x");
    server.await_metric("tidings_topics", 1);
    assert_eq!(server.head_cursor("kept"), cursor, "still the same epoch");
    server.publish("kept", "heard");
    assert_eq!(stream.json_line()["data"], "heard");
}

#[test]
fn clause_1_2_names_are_percent_decoded_once() {
    for_workers(&[], |server| {
        for (segment, name) in [
            ("plain", "plain"),
            ("%70lain2", "plain2"),
            ("a%2Fb", "a/b"),
            ("a%2fc", "a/c"),
            ("%252F", "%2F"),
            ("sp%20ace", "sp ace"),
            ("caf%C3%A9", "café"),
            ("%F0%9F%90%9D", "🐝"),
            ("plus+plus", "plus+plus"),
            ("semi;colon", "semi;colon"),
            (".", "."),
            ("..", ".."),
            ("%2E%2E", ".."),
            ("%22quoted%22", "\"quoted\""),
            ("back%5Cslash", "back\\slash"),
        ] {
            server.publish(segment, name);
            let poll = server.poll(&format!("/topics/{segment}?last=1"));
            assert_eq!(poll["messages"][0]["topic"], name, "{segment}: {poll}");
            assert_eq!(data(&poll), [name], "{segment}");
        }
    });
}

#[test]
fn clause_1_2_names_are_compared_as_bytes() {
    let server = Server::start(&[]);
    // Composed and decomposed é, and another case: three topics.
    let names = ["caf%C3%A9", "cafe%CC%81", "CAF%C3%89"];
    for name in names {
        server.publish(name, name);
    }
    for name in names {
        assert_eq!(data(&server.poll(&format!("/topics/{name}"))), [name]);
    }
}

#[test]
fn clause_1_2_names_have_1_to_200_bytes() {
    let server = Server::start(&[]);
    server.publish(&"n".repeat(200), "longest");
    server.publish("n", "shortest");
    server.publish(&"%C3%A9".repeat(100), "200 bytes of two each");
    for segment in [String::new(), "n".repeat(201), "%C3%A9".repeat(100) + "n"] {
        server.get(&format!("/topics/{segment}")).problem(400);
        let answer = server.request("POST", &format!("/topics/{segment}"), &[], b"x");
        answer.problem(400);
    }
}

#[test]
fn clause_1_2_control_and_format_characters_and_reserved_ones_are_refused() {
    let server = Server::start(&[]);
    for segment in [
        "%00",
        "a%0Ab",
        "a%0D",
        "a%09b",
        "%7F",
        "%C2%85",       // Cc
        "%C2%AD",       // Cf: soft hyphen
        "%E2%80%8B",    // Cf: zero width space
        "%E2%80%AE",    // Cf: right-to-left override
        "%EF%BB%BF",    // Cf: byte order mark
        "%F3%A0%80%81", // Cf: a tag beyond the basic plane
        "%E2%80%A8",
        "%E2%80%A9",
        "a*b",
        "a%2Ab",
        "%3E",
        "a%2Cb",
        "%FF",
        "%C3",
        "%ED%A0%80",
        "%",
        "%4",
        "%zz",
        "a%2",
    ] {
        for method in ["GET", "POST", "DELETE", "HEAD"] {
            let answer = server.request(method, &format!("/topics/{segment}"), &[], b"");
            assert_eq!(answer.status, 400, "{method} {segment}");
        }
    }
}

#[test]
fn clause_1_3_several_topics_are_read_at_once_on_every_wire() {
    for_workers(&[], |server| {
        let target = format!("/topics/{}", TOPICS.join(","));
        let (mut lines, _) = server.open_ndjson(&target);
        let (mut events, _) = server.open_event_stream(&target);
        let mut raw = server.raw_websocket(&target);
        let (mut json, _) = server.json_websocket(&target);
        let mut raw_from_start = server.raw_websocket(&format!("{target}?after=earliest"));
        for topic in TOPICS {
            server.publish(topic, topic);
        }
        let mut wanted = TOPICS.map(str::to_owned).to_vec();
        wanted.sort();
        let sorted = |mut texts: Vec<String>| {
            texts.sort();
            texts
        };
        let six = 0..TOPICS.len();
        assert_eq!(sorted(data(&server.poll(&target))), wanted);
        assert_eq!(
            sorted(six.clone().map(|_| string(&lines.json_line()["data"])).collect()),
            wanted
        );
        assert_eq!(
            sorted(six.clone().map(|_| events.dispatched().data.unwrap()).collect()),
            wanted
        );
        assert_eq!(sorted(six.clone().map(|_| string(&json.json()["data"])).collect()), wanted);
        assert_eq!(sorted(six.clone().map(|_| raw_from_start.text()).collect()), wanted);
        assert_eq!(sorted(six.map(|_| raw.text()).collect()), wanted);
    });
}

#[test]
fn clause_1_3_a_name_that_is_given_twice_counts_once() {
    let server = Server::start(&["--topics-per-connection", "3"]);
    server.publish("a", "once");
    let poll = server.poll("/topics/a,b,a");
    assert_eq!(data(&poll), ["once"]);
    assert_eq!(string(&poll["cursor"]).split('.').count(), 2, "{poll}");
    assert_eq!(data(&server.poll("/topics/%61,a")), ["once"], "compared when decoded");
}

#[test]
fn clause_1_3_twice_given_names_do_not_count_against_the_limit() {
    let server = Server::start(&["--topics-per-connection", "2"]);
    assert_eq!(server.get("/topics/a,b,a").status, 200);
}

#[test]
fn clause_1_3_too_many_names_are_refused_on_every_wire() {
    let server = Server::start(&["--topics-per-connection", "3"]);
    assert_eq!(server.get("/topics/a,b,c").status, 200);
    server.get("/topics/a,b,c,d").problem(400);
    for accept in ["text/event-stream", "application/x-ndjson"] {
        server.request("GET", "/topics/a,b,c,d", &[("Accept", accept)], b"").problem(400);
    }
    server.request("GET", "/topics/a,b,c,d", &handshake(&[]), b"").problem(400);
    assert_eq!(server.request("HEAD", "/topics/a,b,c,d", &[], b"").status, 400);
}

#[test]
fn clause_1_3_by_default_128_names_may_be_given() {
    let server = Server::start(&[]);
    let names = |count: u32| (0..count).map(|n| format!("t{n}")).collect::<Vec<_>>().join(",");
    assert_eq!(server.get(&format!("/topics/{}", names(128))).status, 200);
    server.get(&format!("/topics/{}", names(129))).problem(400);
}

#[test]
fn clause_1_3_empty_names_between_commas_and_commas_in_publishes_are_refused() {
    let server = Server::start(&[]);
    for segment in ["a,", ",a", "a,,b", ","] {
        server.get(&format!("/topics/{segment}")).problem(400);
    }
    for method in ["POST", "PUT", "DELETE"] {
        server.request(method, "/topics/a,b", &[], b"x").problem(400);
    }
}
