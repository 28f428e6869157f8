//! Clause 4: whoever misses messages is told so, once, before anything later.

use serde_json::{Value, json};

use crate::support::*;

/// Publishes 1 to `count`; returns the cursor behind the first.
fn publish_numbers(server: &Server, topic: &str, count: u32) -> String {
    let first = server.publish(topic, "1");
    for number in 2..=count {
        server.publish(topic, &number.to_string());
    }
    first
}

#[test]
fn clause_4_1_every_wire_tells_of_trimmed_messages_before_later_ones() {
    for_workers(&["--log-messages", "3"], |server| {
        for topic in TOPICS {
            // Seen: 1. Gone: 2 to 4. Kept: 5 to 7.
            let cursor = publish_numbers(server, topic, 7);
            let target = format!("/topics/{topic}?after={cursor}");
            for poll in [server.poll(&target), server.poll(&format!("{target}&wait=30"))] {
                assert_eq!(poll["gap"], json!([{"topic": topic, "count": 3}]));
                assert_eq!(data(&poll), ["5", "6", "7"]);
            }
            let mut events = server.event_stream(&target);
            let gap = events.dispatched();
            assert_eq!(gap.event.as_deref(), Some("tidings:gap"));
            let told: Value = serde_json::from_str(&gap.data.unwrap()).unwrap();
            assert_eq!(told, json!({"topic": topic, "count": 3}));
            assert!(gap.id.is_some());
            assert_eq!(events.dispatched().data.as_deref(), Some("5"));

            let (mut lines, _) = server.open_ndjson(&target);
            let (mut socket, _) = server.json_websocket(&target);
            for (notice, message) in
                [(lines.json_line(), lines.json_line()), (socket.json(), socket.json())]
            {
                let cursor = &notice["cursor"];
                let wanted = json!({"type": "gap", "topic": topic, "count": 3, "cursor": cursor});
                assert_eq!(notice, wanted);
                assert_eq!(message["data"], "5");
            }
            let close = server.raw_websocket(&target).close();
            assert_eq!(close, (4001, format!("gap: 3 messages of \"{topic}\" are gone")));
        }
    });
}

#[test]
fn clause_4_1_the_gap_member_is_absent_when_nothing_is_gone() {
    let server = Server::start(&[]);
    server.publish("news", "x");
    assert!(!server.get("/topics/news").text().contains("gap"));
}

#[test]
fn clause_4_1_who_listens_while_a_topic_is_deleted_is_told_of_an_unknown_count() {
    for_workers(&[], |server| {
        for topic in TOPICS {
            let target = format!("/topics/{topic}");
            server.publish(topic, "old");
            let (mut lines, _) = server.open_ndjson(&target);
            let (mut events, _) = server.open_event_stream(&target);
            let (mut socket, _) = server.json_websocket(&target);
            let mut raw = server.raw_websocket(&format!("{target}?last=1"));
            assert_eq!(raw.text(), "old");
            let mut poll = server.client();
            let cursor = server.head_cursor(topic);
            poll.send_request("GET", &format!("{target}?wait=30&after={cursor}"), &[], b"");
            server.await_metric("tidings_subscriptions{wire=\"poll\"}", 1);
            assert_eq!(server.request("DELETE", &target, &[], b"").status, 200);
            let answer = poll.answer().json();
            assert_eq!(answer["gap"], json!([{"topic": topic, "count": null}]));
            assert_eq!(data(&answer), [""; 0]);
            assert_eq!(raw.close(), (4001, format!("gap: messages of \"{topic}\" are gone")));
            server.publish(topic, "new");
            for (notice, message) in
                [(lines.json_line(), lines.json_line()), (socket.json(), socket.json())]
            {
                assert_eq!((&notice["type"], &notice["count"]), (&json!("gap"), &Value::Null));
                assert!(notice.as_object().unwrap().contains_key("count"));
                assert_eq!(message["data"], "new");
            }
            assert_eq!(events.dispatched().event.as_deref(), Some("tidings:gap"));
            assert_eq!(events.dispatched().data.as_deref(), Some("new"));
        }
    });
}

#[test]
fn clause_4_1_a_raw_close_reason_names_one_message_and_fits_a_frame_with_the_longest_name() {
    let server = Server::start(&["--log-messages", "1"]);
    let cursor = publish_numbers(&server, "one", 3);
    let close = server.raw_websocket(&format!("/topics/one?after={cursor}")).close();
    assert_eq!(close, (4001, "gap: 1 message of \"one\" is gone".to_owned()));
    let (name, segment) = ("é".repeat(100), "%C3%A9".repeat(100));
    let cursor = publish_numbers(&server, &segment, 3);
    let close = server.raw_websocket(&format!("/topics/{segment}?after={cursor}")).close();
    let whole = format!("gap: 1 message of \"{name}\" is gone");
    assert_eq!(close.0, 4001);
    assert!(whole.starts_with(&close.1) && close.1.len() > 100, "as much as fits: {}", close.1);
}

#[test]
fn clause_4_2_who_is_cut_behind_the_notice_is_not_told_again() {
    for_workers(&["--log-messages", "2"], |server| {
        for topic in TOPICS {
            let cursor = publish_numbers(server, topic, 5);
            let target = format!("/topics/{topic}?after={cursor}");
            let behind = [
                string(&server.open_ndjson(&target).0.json_line()["cursor"]),
                server.event_stream(&target).dispatched().id.unwrap(),
                string(&server.json_websocket(&target).0.json()["cursor"]),
            ];
            for cursor in behind {
                let poll = server.poll(&format!("/topics/{topic}?after={cursor}"));
                assert_eq!(poll["gap"], Value::Null, "{poll}");
                assert_eq!(data(&poll), ["4", "5"]);
            }
            let poll = server.poll(&target);
            let again = server.poll(&format!("/topics/{topic}?after={}", string(&poll["cursor"])));
            assert_eq!((again["gap"].clone(), data(&again).len()), (Value::Null, 0));
        }
    });
}

#[test]
fn clause_4_2_with_several_topics_the_notice_carries_the_cursor_of_all() {
    for_workers(&["--log-messages", "2"], |server| {
        let names = "north,south";
        server.publish("south", "s1");
        let before = server.head_cursor(names);
        for number in 1..=5 {
            server.publish("north", &number.to_string());
        }
        let (mut lines, _) = server.open_ndjson(&format!("/topics/{names}?after={before}"));
        let notice = lines.json_line();
        assert_eq!((&notice["topic"], &notice["count"]), (&json!("north"), &json!(3)));
        let cursor = string(&notice["cursor"]);
        let poll = server.poll(&format!("/topics/{names}?after={cursor}"));
        assert_eq!((poll["gap"].clone(), data(&poll)), (Value::Null, vec!["4".into(), "5".into()]));
    });
}

#[test]
fn clause_4_3_delivered_messages_and_gaps_are_what_was_published_in_order_each_once() {
    for_workers(&["--log-messages", "7"], |server| {
        for topic in TOPICS {
            let (mut lines, _) = server.open_ndjson(&format!("/topics/{topic}"));
            let mut cursor = server.head_cursor(topic);
            let mut polled = 0;
            for round in 1..=4 {
                for number in 0..round * 4 {
                    server.publish(topic, &number.to_string());
                }
                let poll = server.poll(&format!("/topics/{topic}?after={cursor}"));
                let gone = poll["gap"][0]["count"].as_u64().unwrap_or(0);
                for (index, message) in poll["messages"].as_array().unwrap().iter().enumerate() {
                    let wanted = polled + gone + index as u64 + 1;
                    assert_eq!(sequence(&string(&message["id"])), wanted, "{poll}");
                }
                polled += gone + data(&poll).len() as u64;
                cursor = string(&poll["cursor"]);
            }
            assert_eq!(polled, 40);
            let mut streamed = 0;
            while streamed < 40 {
                let line = lines.json_line();
                if line["type"] == "gap" {
                    streamed += line["count"].as_u64().unwrap();
                } else {
                    streamed += 1;
                    assert_eq!(sequence(&string(&line["id"])), streamed, "{line}");
                }
            }
            assert_eq!(streamed, 40);
        }
    });
}
