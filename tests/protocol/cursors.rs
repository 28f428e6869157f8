//! Clause 3: cursors, where they are given and what they mean.

use serde_json::Value;

use crate::support::*;

#[test]
fn clause_3_1_a_cursor_is_short_and_url_safe() {
    for_workers(&[], |server| {
        for topic in TOPICS {
            let id = server.publish(topic, "x");
            assert!(id.len() <= 32, "{id}");
            let several = server.head_cursor(&TOPICS.join(","));
            for cursor in [id, several] {
                let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
                assert!(!cursor.is_empty() && cursor.bytes().all(safe), "{cursor}");
            }
        }
    });
}

#[test]
fn clause_3_1_a_cursor_of_any_wire_works_on_every_other() {
    for_workers(&[], |server| {
        for topic in TOPICS {
            let target = format!("/topics/{topic}");
            let (mut lines, _) = server.open_ndjson(&target);
            let (mut events, _) = server.open_event_stream(&target);
            let (mut socket, _) = server.json_websocket(&target);
            let published = server.publish(topic, "first");
            let poll = server.poll(&target);
            let given = [
                published,
                string(&lines.json_line()["id"]),
                events.dispatched().id.unwrap(),
                string(&socket.json()["id"]),
                string(&poll["cursor"]),
                string(&poll["messages"][0]["id"]),
                server.head_cursor(topic),
            ];
            server.publish(topic, "second");
            for cursor in given {
                let target = format!("{target}?after={cursor}");
                assert_eq!(data(&server.poll(&target)), ["second"], "{cursor}");
                assert_eq!(server.open_ndjson(&target).0.json_line()["data"], "second");
                let event = server.event_stream(&target).dispatched();
                assert_eq!(event.data.as_deref(), Some("second"));
                assert_eq!(server.json_websocket(&target).0.json()["data"], "second");
                assert_eq!(server.raw_websocket(&target).text(), "second");
            }
        }
    });
}

#[test]
fn clause_3_2_the_server_gives_cursors_where_it_says() {
    let server = Server::start(&[]);
    let id = server.publish("news", "x");
    let poll = server.get("/topics/news");
    assert_eq!(unquoted(poll.field("ETag").unwrap()), id);
    assert_eq!(poll.json()["cursor"], id);
    assert_eq!(poll.json()["messages"][0]["id"], id);
    assert_eq!(server.head_cursor("news"), id);
    assert_eq!(server.open_ndjson("/topics/news").1, id);
    assert_eq!(server.open_event_stream("/topics/news").1, id);
    assert_eq!(server.json_websocket("/topics/news").1["cursor"], id);
}

/// A topic with messages 1 to 5, and the cursors behind each.
fn five(server: &Server, topic: &str) -> Vec<String> {
    (1..=5).map(|number| server.publish(topic, &number.to_string())).collect()
}

#[test]
fn clause_3_3_the_first_cursor_that_is_present_wins() {
    let server = Server::start(&[]);
    let ids = five(&server, "news");
    let get = |target: &str, fields: &[(&str, &str)]| {
        data(&server.request("GET", target, fields, b"").json())
    };
    let (id1, id2, id3) = (ids[0].as_str(), ids[1].as_str(), format!("\"{}\"", ids[2]));
    let after = format!("/topics/news?after={id2}");
    let (event_id, none_match) = (("Last-Event-ID", id1), ("If-None-Match", id3.as_str()));
    assert_eq!(get(&after, &[event_id, none_match]), ["2", "3", "4", "5"]);
    assert_eq!(get(&after, &[none_match]), ["3", "4", "5"]);
    assert_eq!(get("/topics/news", &[none_match]), ["4", "5"]);
    assert_eq!(get("/topics/news?last=1", &[none_match]), ["4", "5"], "last yields to a cursor");
    assert_eq!(get(&format!("{after}&last=1"), &[]), ["3", "4", "5"]);
    assert_eq!(get("/topics/news?last=1", &[event_id]), ["2", "3", "4", "5"]);
    assert_eq!(get("/topics/news", &[]), ["1", "2", "3", "4", "5"]);
}

#[test]
fn clause_3_3_earliest_and_latest_may_be_given() {
    for_workers(&["--log-messages", "3"], |server| {
        for topic in TOPICS {
            five(server, topic);
            let target = format!("/topics/{topic}");
            assert_eq!(data(&server.poll(&format!("{target}?after=earliest"))), ["3", "4", "5"]);
            assert_eq!(data(&server.poll(&format!("{target}?after=latest"))), [""; 0]);
            let (mut stream, _) = server.open_ndjson(&format!("{target}?after=earliest"));
            assert_eq!(stream.json_line()["data"], "3", "without a gap");
            let fields = [("Last-Event-ID", "earliest"), ("Accept", "text/event-stream")];
            let mut events = server.stream(&target, &fields);
            assert_eq!(events.dispatched().data.as_deref(), Some("3"));
        }
    });
}

#[test]
fn clause_3_3_an_empty_last_event_id_counts_as_absent() {
    let server = Server::start(&[]);
    let ids = five(&server, "news");
    let target = format!("/topics/news?after={}", ids[3]);
    let answer = server.request("GET", &target, &[("Last-Event-ID", "")], b"");
    assert_eq!(data(&answer.json()), ["5"]);
}

#[test]
fn clause_3_3_an_if_none_match_that_is_no_tag_of_ours_counts_as_absent() {
    let server = Server::start(&[]);
    let ids = five(&server, "news");
    let get = |tag: &str| {
        let answer = server.request("GET", "/topics/news", &[("If-None-Match", tag)], b"");
        assert_eq!(answer.status, 200, "{tag}");
        data(&answer.json()).len()
    };
    let id = &ids[3];
    assert_eq!(get(&format!("\"{id}\"")), 1);
    assert_eq!(get(&format!("W/\"{id}\"")), 1, "a cache may have weakened it");
    for tag in [
        "*",
        "",
        "\"\"",
        "\"abc\"",
        id,
        "W/",
        "\"",
        &format!("\"{id}\", \"{id}\""),
        &format!("w/\"{id}\""),
        &format!("\"{id}"),
        "\"5d41402abc4b2a76b9719d911017c592\"",
    ] {
        assert_eq!(get(tag), 5, "{tag:?}");
    }
}

#[test]
fn clause_3_3_last_starts_so_many_messages_before_the_head() {
    for_workers(&["--log-messages", "3"], |server| {
        for topic in TOPICS {
            five(server, topic);
            for (last, count) in [("0", 0), ("1", 1), ("3", 3), ("4", 3), ("1000", 3)] {
                let poll = server.poll(&format!("/topics/{topic}?last={last}"));
                assert_eq!(data(&poll).len(), count, "last={last}: {poll}");
                assert_eq!(poll["gap"], Value::Null, "last={last}: fewer is no gap");
            }
            let huge = server.poll(&format!("/topics/{topic}?last=99999999999999999999999"));
            assert_eq!(data(&huge).len(), 3);
        }
        let several = format!("/topics/{}?last=1", TOPICS.join(","));
        assert_eq!(data(&server.poll(&several)), ["5"; 6], "of each topic");
        let (mut stream, _) = server.open_ndjson("/topics/north?last=2");
        assert_eq!(stream.json_line()["data"], "4");
        assert_eq!(server.raw_websocket("/topics/north?last=2").text(), "4");
    });
}

#[test]
fn clause_3_3_a_last_that_is_no_number_is_refused() {
    let server = Server::start(&[]);
    for last in ["", "-1", "+1", "x", "1.5", "%201"] {
        server.get(&format!("/topics/news?last={last}")).problem(400);
    }
}

#[test]
fn clause_3_3_without_a_cursor_a_short_poll_begins_at_the_earliest_and_all_else_at_the_head() {
    for_workers(&[], |server| {
        for topic in TOPICS {
            let target = format!("/topics/{topic}");
            server.publish(topic, "old");
            assert_eq!(data(&server.poll(&target)), ["old"]);
            let (mut lines, _) = server.open_ndjson(&target);
            let (mut events, _) = server.open_event_stream(&target);
            let (mut socket, _) = server.json_websocket(&target);
            let mut long_poll = server.client();
            long_poll.send_request("GET", &format!("{target}?wait=30"), &[], b"");
            server.await_metric("tidings_subscriptions{wire=\"poll\"}", 1);
            // It may find its topic's head only after a publish or two.
            server.publish(topic, "new");
            server.ask_until("the poll is answered", || {
                server.publish(topic, "new");
                server.metric("tidings_subscriptions{wire=\"poll\"}") == 0
            });
            let heard = data(&long_poll.answer().json());
            assert!(heard.iter().all(|text| text == "new"), "{heard:?}");
            assert_eq!(lines.json_line()["data"], "new");
            assert_eq!(events.dispatched().data.as_deref(), Some("new"));
            assert_eq!(socket.json()["data"], "new");
        }
    });
}

#[test]
fn clause_3_4_a_cursor_for_several_topics_works_in_any_order_of_them() {
    for_workers(&[], |server| {
        for topic in TOPICS {
            server.publish(topic, "old");
        }
        let cursor = string(&server.poll(&format!("/topics/{}", TOPICS.join(",")))["cursor"]);
        server.publish("south", "new");
        let mut backwards = TOPICS;
        backwards.reverse();
        for names in [TOPICS, backwards] {
            let poll = server.poll(&format!("/topics/{}?after={cursor}", names.join(",")));
            assert_eq!(data(&poll), ["new"], "{poll}");
            assert_eq!(poll["gap"], Value::Null);
        }
    });
}

#[test]
fn clause_3_4_a_cursor_for_another_number_of_topics_is_of_another_epoch() {
    for_workers(&[], |server| {
        server.publish("north", "n");
        server.publish("south", "s");
        let one = server.head_cursor("north");
        let two = server.head_cursor("north,south");
        let poll = server.poll(&format!("/topics/north?after={two}"));
        assert_eq!((data(&poll), &poll["gap"][0]["count"]), (vec!["n".into()], &Value::Null));
        let poll = server.poll(&format!("/topics/north,south?after={one}"));
        assert_eq!(poll["gap"].as_array().unwrap().len(), 2, "{poll}");
        let mut texts = data(&poll);
        texts.sort();
        assert_eq!(texts, ["n", "s"]);
    });
}

/// Texts that are no cursors.
const MALFORMED: [&str; 9] =
    ["nonsense", "1", "-1", "%00", "zzzzzzzz-01", "UUUUUUUU-1", "a-b-c", ".", "zzzzzzzz-1."];

#[test]
fn clause_3_5_a_malformed_cursor_is_refused_on_a_short_poll() {
    let server = Server::start(&[]);
    server.publish("news", "x");
    for bad in MALFORMED {
        server.get(&format!("/topics/news?after={bad}")).problem(400);
    }
    server.request("GET", "/topics/news", &[("Last-Event-ID", "nonsense")], b"").problem(400);
}

#[test]
fn clause_3_5_a_malformed_cursor_is_of_another_epoch_on_what_waits_or_streams() {
    for_workers(&[], |server| {
        server.publish("north", "x");
        for bad in MALFORMED {
            let target = format!("/topics/north?after={bad}");
            let poll = server.poll(&format!("{target}&wait=30"));
            assert_eq!(poll["gap"][0]["topic"], "north", "{bad}");
            assert_eq!(poll["gap"][0]["count"], Value::Null, "{bad}");
            assert_eq!(data(&poll), ["x"], "{bad}");
            let (mut lines, _) = server.open_ndjson(&target);
            assert_eq!(lines.json_line()["type"], "gap", "{bad}");
            assert_eq!(lines.json_line()["data"], "x", "{bad}");
            let mut events = server.event_stream(&target);
            assert_eq!(events.dispatched().event.as_deref(), Some("tidings:gap"), "{bad}");
            assert_eq!(events.dispatched().data.as_deref(), Some("x"), "{bad}");
            let (mut socket, _) = server.json_websocket(&target);
            assert_eq!(socket.json()["type"], "gap", "{bad}");
            assert_eq!(server.raw_websocket(&target).close().0, 4001, "{bad}");
        }
    });
}

#[test]
fn clause_3_6_a_cursor_of_another_epoch_or_ahead_is_a_gap_of_unknown_count_and_everything_retained()
{
    for_workers(&[], |server| {
        for topic in TOPICS {
            let old = server.publish(topic, "lost");
            server.request("DELETE", &format!("/topics/{topic}"), &[], b"");
            let id = server.publish(topic, "kept");
            let ahead = format!("{}-999", id.split_once('-').unwrap().0);
            for cursor in [old.as_str(), "zzzzzzzz-1", &ahead] {
                let poll = server.poll(&format!("/topics/{topic}?after={cursor}"));
                let gap = serde_json::json!([{"topic": topic, "count": null}]);
                assert_eq!(poll["gap"], gap, "{cursor}: {poll}");
                assert_eq!(data(&poll), ["kept"], "{cursor}");
                assert_eq!(poll["cursor"], id, "{cursor}");
            }
        }
    });
}

#[test]
fn clause_3_6_a_restarted_server_is_another_epoch() {
    let id = Server::start(&[]).publish("news", "lost");
    let server = Server::start(&[]);
    server.publish("news", "kept");
    let poll = server.poll(&format!("/topics/news?after={id}"));
    assert_eq!(poll["gap"][0]["count"], Value::Null);
    assert_eq!(data(&poll), ["kept"]);
}
