//! Clause 8: polls that wait.

use serde_json::Value;

use crate::support::*;

const PARKED: &str = "tidings_subscriptions{wire=\"poll\"}";

#[test]
fn clause_8_1_a_long_poll_is_held_until_there_is_a_message() {
    for_workers(&[], |server| {
        for topic in TOPICS {
            // With a cursor it does not matter who is first, the poll or the publish.
            let target = format!("/topics/{topic}?wait=30&after={}", server.head_cursor(topic));
            let mut polls: Vec<Client> = (0..4).map(|_| server.client()).collect();
            for poll in &mut polls {
                poll.send_request("GET", &target, &[], b"");
            }
            server.await_metric(PARKED, 4);
            let id = server.publish(topic, "news");
            for mut poll in polls {
                let answer = poll.answer();
                assert_eq!(answer.status, 200);
                assert_eq!(answer.field("Content-Type"), Some("application/json"));
                assert_eq!(unquoted(answer.field("ETag").unwrap()), id);
                assert_eq!(
                    (data(&answer.json()), &answer.json()["cursor"]),
                    (vec!["news".into()], &Value::from(id.as_str()))
                );
            }
            server.await_metric(PARKED, 0);
        }
    });
}

#[test]
fn clause_8_1_a_long_poll_whose_cursor_is_behind_is_answered_at_once() {
    let server = Server::start(&[]);
    let id = server.publish("news", "1");
    server.publish("news", "2");
    assert_eq!(data(&server.poll(&format!("/topics/news?wait=3600&after={id}"))), ["2"]);
}

#[test]
fn clause_8_1_when_the_time_is_up_it_is_200_with_no_messages_and_the_same_cursor() {
    for_workers(&["--wait-max", "0.15"], |server| {
        for topic in &TOPICS[..3] {
            let id = server.publish(topic, "old");
            let target = format!("/topics/{topic}?wait=30&after={id}");
            let answer = server.get(&target);
            assert_eq!(answer.status, 200);
            assert_eq!(data(&answer.json()), [""; 0]);
            assert_eq!(answer.json()["cursor"], id);
            assert_eq!(unquoted(answer.field("ETag").unwrap()), id);
        }
    });
}

#[test]
fn clause_8_1_the_time_is_held_out_and_not_answered_early() {
    let server = Server::start(&[]);
    let mut poll = server.client();
    poll.send_request("GET", "/topics/news?wait=1", &[], b"");
    poll.assert_silent();
    let answer = poll.answer();
    assert_eq!(data(&answer.json()), [""; 0], "1 s is not capped, and ends");
}

#[test]
fn clause_8_1_wait_0_is_answered_at_once_but_starts_at_the_head() {
    for_workers(&[], |server| {
        for topic in TOPICS {
            let id = server.publish(topic, "old");
            let poll = server.poll(&format!("/topics/{topic}?wait=0"));
            assert_eq!((data(&poll), &poll["cursor"]), (vec![], &Value::from(id)));
            // 3.5 holds.
            let poll = server.poll(&format!("/topics/{topic}?wait=0&after=nonsense"));
            assert_eq!(poll["gap"][0]["count"], Value::Null, "{poll}");
            assert_eq!(data(&poll), ["old"]);
        }
    });
}

#[test]
fn clause_8_1_the_query_wins_over_prefer_which_is_echoed_when_it_is_applied() {
    let server = Server::start(&["--wait-max", "0.1"]);
    let get =
        |target: &str, prefer: &str| server.request("GET", target, &[("Prefer", prefer)], b"");
    for (prefer, applied) in [
        ("wait=7", Some("wait=7")),
        ("respond-async, wait=8", Some("wait=8")),
        ("Wait=9; x=y", Some("wait=9")),
        ("wait=0", Some("wait=0")),
        ("wait=x", None),
        ("wait", None),
        ("wait=-1", None),
        ("respond-async", None),
    ] {
        let answer = get("/topics/news", prefer);
        assert_eq!(answer.status, 200, "{prefer}");
        assert_eq!(answer.field("Preference-Applied"), applied, "{prefer}");
    }
    assert_eq!(get("/topics/news?wait=3", "wait=7").field("Preference-Applied"), None);
}

#[test]
fn clause_8_1_an_ignored_preference_is_a_short_poll() {
    let server = Server::start(&[]);
    server.publish("news", "old");
    let answer = server.request("GET", "/topics/news", &[("Prefer", "wait=soon")], b"");
    assert_eq!(data(&answer.json()), ["old"]);
}

#[test]
fn clause_8_1_prefer_waits_like_the_query() {
    let server = Server::start(&[]);
    let mut poll = server.client();
    poll.send_request("GET", "/topics/news", &[("Prefer", "wait=30")], b"");
    server.await_metric(PARKED, 1);
    server.publish("news", "x");
    assert_eq!(data(&poll.answer().json()), ["x"]);
}

#[test]
fn clause_8_1_a_wait_that_is_no_number_is_refused_in_the_query() {
    let server = Server::start(&[]);
    for wait in ["", "-1", "+1", "1.5", "x", "1s", "0x1"] {
        server.get(&format!("/topics/news?wait={wait}")).problem(400);
    }
    let (mut stream, _) = server.open_ndjson("/topics/news?wait=x");
    server.publish("news", "wait is ignored on streams");
    assert_eq!(stream.json_line()["data"], "wait is ignored on streams");
}

#[test]
fn clause_8_1_a_huge_wait_is_capped() {
    let server = Server::start(&["--wait-max", "0.05"]);
    for wait in ["61", "4294967296", "99999999999999999999999999"] {
        assert_eq!(server.get(&format!("/topics/news?wait={wait}")).status, 200);
    }
}

#[test]
fn clause_8_2_polls_that_begin_together_do_not_end_together() {
    let server = Server::start(&["--wait-max", "3"]);
    let mut polls: Vec<Client> = (0..20).map(|_| server.client()).collect();
    for poll in &mut polls {
        poll.send_request("GET", "/topics/news?wait=60", &[], b"");
    }
    server.await_metric(PARKED, 20);
    // Within the shortening of 0.3 s some are still held when others have been answered.
    server.ask_until("some have ended and some have not", || {
        (1..20).contains(&server.metric(PARKED))
    });
    for mut poll in polls {
        assert_eq!(data(&poll.answer().json()), [""; 0]);
    }
}

#[test]
fn clause_8_3_a_client_that_closes_or_half_closes_while_parked_is_gone() {
    for_workers(&[], |server| {
        for topic in TOPICS {
            let target = format!("/topics/{topic}?wait=30");
            let mut half_closed = server.client();
            half_closed.send_request("GET", &target, &[], b"");
            let mut closed = server.client();
            closed.send_request("GET", &target, &[], b"");
            server.await_metric(PARKED, 2);
            half_closed.half_close();
            half_closed.assert_closed();
            drop(closed);
            server.await_metric(PARKED, 0);
        }
    });
}

#[test]
fn clause_8_3_requests_behind_a_parked_poll_are_answered_after_it() {
    for_workers(&[], |server| {
        for topic in TOPICS {
            let mut client = server.client();
            let cursor = server.head_cursor(topic);
            let poll = format!("/topics/{topic}?wait=30&after={cursor}");
            let requests = [
                client.encode_request("GET", &poll, &[], b""),
                client.encode_request("POST", &format!("/topics/{topic}"), &[], b"second"),
                client.encode_request("GET", "/healthz", &[], b""),
            ];
            client.send(requests.concat());
            server.await_metric(PARKED, 1);
            server.publish(topic, "first");
            assert_eq!(data(&client.answer().json()), ["first"]);
            assert_eq!(client.answer().status, 201);
            assert_eq!(client.answer().text(), "ok\n");
        }
    });
}
