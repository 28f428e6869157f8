//! 185 to 196: topics, logs, fan-out.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::afterwards::{assert_nothing_is_left, assert_served};
use crate::support::*;

fn publish_numbers(server: &Server, topic: &str, numbers: std::ops::RangeInclusive<u32>) {
    for number in numbers {
        server.publish(topic, &number.to_string());
    }
}

#[test]
fn attack_188_a_log_is_bounded_by_number_bytes_and_age_each_alone_and_together() {
    let (number, bytes, age) =
        (["--log-messages", "3"], ["--log-bytes", "2K"], ["--log-age", "0.3"]);
    // 256 bytes for each message beside its text and type: seven of them in 2 KiB.
    for (flags, most, ages) in [
        (number.to_vec(), 3, false),
        (bytes.to_vec(), 7, false),
        (age.to_vec(), 20, true),
        ([number, bytes, age].concat(), 3, true),
    ] {
        let server = Server::start_with_workers(2, &flags);
        // Kept warm at another worker too.
        let _followers: Vec<Stream> =
            (0..4).map(|_| server.open_ndjson("/topics/bounded").0).collect();
        publish_numbers(&server, "bounded", 1..=20);
        let kept = data(&server.poll("/topics/bounded"));
        assert!(kept.len() <= most, "{flags:?}: {kept:?}");
        let newest: Vec<String> = (21 - kept.len()..=20).map(|number| number.to_string()).collect();
        assert_eq!(kept, newest, "{flags:?}");
        if !ages {
            assert_eq!(kept.len(), most, "{flags:?}");
            continue;
        }
        server.ask_until("all have aged", || data(&server.poll("/topics/bounded")).is_empty());
        server.await_metric("tidings_log_bytes", 0);
    }
}

#[test]
fn attack_188_a_message_larger_than_a_log_is_413_and_takes_nothing_from_it() {
    for_workers(&["--log-bytes", "2K"], |server| {
        server.publish("small", "kept");
        server.request("POST", "/topics/small", &[], &[b'x'; 2_000]).problem(413);
        assert_eq!(data(&server.poll("/topics/small")), ["kept"]);
        let line = json!({"topic": "small", "data": "x".repeat(2_000)}).to_string() + "\n";
        let fields = [("Content-Type", "application/x-ndjson")];
        let answer = server.request("POST", "/topics", &fields, line.as_bytes());
        assert!(answer.text().contains("\"status\":413"), "{}", answer.text());
        assert_served(server);
    });
}

#[test]
fn attack_189_when_memory_is_used_up_publishes_are_503_and_subscribers_stay() {
    for_workers(&["--memory", "1M", "--log-bytes", "1M"], |server| {
        let (mut lines, _) = server.open_ndjson("/topics/others");
        let (mut socket, _) = server.json_websocket("/topics/others");
        let mut raw = server.raw_websocket("/topics/others");
        let mut poll = server.client();
        poll.send_request("GET", "/topics/others?wait=50", &[], b"");
        let (mut taken, mut refused) = (0, BTreeSet::new());
        for number in 0..300 {
            let target = format!("/topics/hoard{}", number % 40);
            let answer = server.request("POST", &target, &[], &[b'x'; 10_000]);
            if answer.status == 201 {
                taken += 1;
                continue;
            }
            answer.problem(503);
            let seconds: u64 = answer.field("Retry-After").unwrap().parse().unwrap();
            assert!((1..=61).contains(&seconds));
            refused.insert(number % 40);
        }
        assert!((20..=105).contains(&taken), "{taken} messages of 10 kB in 1 MiB");
        assert!(server.metric("tidings_log_bytes") <= 1024 * 1024);
        assert_eq!(refused.len(), 40, "of every worker");
        // The subscribers are there, and hear what is published when there is room again.
        for number in 0..40 {
            server.request("DELETE", &format!("/topics/hoard{number}"), &[], b"");
        }
        let id = server.publish("others", "still here");
        assert_eq!(lines.json_line()["id"], id);
        assert_eq!(socket.json()["id"], id);
        assert_eq!(raw.text(), "still here");
        assert_eq!(data(&poll.answer().json()), ["still here"]);
        drop((lines, socket, raw, poll));
        assert_nothing_is_left(server);
        assert_served(server);
    });
}

#[test]
fn attack_191_who_listens_while_a_topic_is_deleted_and_begun_again_and_again_is_told_each_time() {
    for_workers(&[], |server| {
        for topic in &TOPICS[..3] {
            let target = format!("/topics/{topic}");
            server.publish(topic, "first");
            let (mut lines, _) = server.open_ndjson(&target);
            let (mut events, _) = server.open_event_stream(&target);
            let (mut socket, _) = server.json_websocket(&target);
            let mut epochs = BTreeSet::new();
            for round in 0..5 {
                let cursor = server.head_cursor(topic);
                let mut poll = server.client();
                poll.send_request("GET", &format!("{target}?wait=50&after={cursor}"), &[], b"");
                server.await_metric("tidings_subscriptions{wire=\"poll\"}", 1);
                assert_eq!(server.request("DELETE", &target, &[], b"").status, 200);
                let answer = poll.answer().json();
                assert_eq!(answer["gap"], json!([{"topic": topic, "count": null}]));
                let id = server.publish(topic, &round.to_string());
                assert_eq!(sequence(&id), 1);
                epochs.insert(id.split_once('-').unwrap().0.to_owned());
                // It comes back with what it was given, and has missed nothing.
                let target = format!("{target}?after={}", string(&answer["cursor"]));
                let poll = server.poll(&target);
                assert_eq!((data(&poll), &poll["gap"]), (vec![round.to_string()], &Value::Null));
                for (notice, message) in
                    [(lines.json_line(), lines.json_line()), (socket.json(), socket.json())]
                {
                    let told = (&notice["type"], &notice["count"]);
                    assert_eq!(told, (&json!("gap"), &Value::Null));
                    assert_eq!(message["id"], id);
                }
                assert_eq!(events.dispatched().event.as_deref(), Some("tidings:gap"));
                assert_eq!(events.dispatched().id, Some(id));
            }
            assert_eq!(epochs.len(), 5, "each is another epoch");
            server.request("DELETE", &target, &[], b"");
        }
        server.request("DELETE", "/topics/never-was", &[], b"").problem(404);
        assert_nothing_is_left(server);
    });
}

#[test]
fn attack_192_there_are_no_wildcards_a_pattern_is_refused_or_a_name_like_any_other() {
    for_workers(&[], |server| {
        let stars = vec!["*"; 90].join(".");
        let many = (0..100).map(|number| format!("a{number}*")).collect::<Vec<_>>().join(",");
        for refused in ["*", "a.*", "a.>", ">", "**", &stars, &many, "a%2A", "a,b*", "%3E"] {
            server.get(&format!("/topics/{refused}")).problem(400);
            server.request("POST", &format!("/topics/{refused}"), &[], b"x").problem(400);
        }
        // Of other languages of patterns no character is special.
        let literal = ["a.%23", "%28a%2B%29%2B", "%5Ba-z%5D%2B", "%7Bid%7D", "a.%3F", "+", "a.b.."];
        for name in literal {
            server.publish(name, name);
        }
        server.publish("a.b.c", "elsewhere");
        for name in literal {
            assert_eq!(data(&server.poll(&format!("/topics/{name}"))), [name]);
        }
        // A name that is given twice counts once; too many are refused.
        assert_eq!(data(&server.poll("/topics/a.b.c,a.b.c,a.b.c")), ["elsewhere"]);
        let names = |count: usize| {
            (0..count).map(|number| format!("t{number}")).collect::<Vec<_>>().join(",")
        };
        server.get(&format!("/topics/{}", names(129))).problem(400);
        assert_eq!(server.get(&format!("/topics/{}", names(128))).status, 200);
        assert_nothing_is_left(server);
    });
}

#[test]
fn attack_193_of_several_topics_each_goes_on_whatever_becomes_of_the_others() {
    for_workers(&["--log-messages", "3"], |server| {
        let names = "gone,live,trimmed";
        for topic in ["gone", "live", "trimmed"] {
            server.publish(topic, "seen");
        }
        let cursor = server.head_cursor(names);
        let (mut listener, _) = server.open_ndjson(&format!("/topics/{names}"));
        server.request("DELETE", "/topics/gone", &[], b"");
        publish_numbers(server, "trimmed", 1..=10);
        server.publish("live", "news");
        server.publish("gone", "again");
        let expected = [
            ("gone", Value::Null, vec!["again"]),
            ("live", json!(0), vec!["news"]),
            ("trimmed", json!(7), vec!["8", "9", "10"]),
        ];
        let target = format!("/topics/{names}?after={cursor}");
        for target in [target.clone(), format!("{target}&wait=50")] {
            let poll = server.poll(&target);
            for (topic, missed, texts) in &expected {
                let gap = poll["gap"].as_array().unwrap();
                let gap = gap.iter().find(|gap| gap["topic"] == *topic);
                assert_eq!(gap.map_or(json!(0), |gap| gap["count"].clone()), *missed, "{poll}");
                let messages = poll["messages"].as_array().unwrap();
                let of_topic = messages.iter().filter(|message| message["topic"] == *topic);
                let got: Vec<&str> = of_topic.map(|one| one["data"].as_str().unwrap()).collect();
                assert_eq!(got, *texts, "{poll}");
            }
            let again = server.poll(&format!("/topics/{names}?after={}", string(&poll["cursor"])));
            assert_eq!((data(&again).len(), &again["gap"]), (0, &Value::Null));
        }
        let (mut lines, _) = server.open_ndjson(&target);
        let (mut socket, _) = server.json_websocket(&target);
        for line in [0; 7].map(|_| [lines.json_line(), socket.json()]).concat() {
            let topic = line["topic"].as_str().unwrap();
            let (_, missed, texts) = expected.iter().find(|one| one.0 == topic).unwrap();
            match line["type"].as_str() {
                Some("gap") => assert_eq!(line["count"], *missed),
                _ => assert!(texts.contains(&line["data"].as_str().unwrap()), "{line}"),
            }
        }
        // Who listened all the time has heard all of it.
        let mut trimmed = 0;
        while trimmed < 10 {
            let line = listener.json_line();
            if line["topic"] == "trimmed" {
                trimmed += line["count"].as_u64().unwrap_or(1);
            }
        }
        assert_eq!(trimmed, 10);
    });
}

#[test]
fn attack_193_as_many_topics_as_one_may_have_work_on_every_wire() {
    for_workers(&[], |server| {
        let names: Vec<String> = (0..128).map(|number| format!("t{number}")).collect();
        let target = format!("/topics/{}", names.join(","));
        let lines: String =
            names.iter().map(|name| format!("{{\"topic\":\"{name}\",\"data\":\"1\"}}\n")).collect();
        let (mut stream, _) = server.open_ndjson(&target);
        let (mut events, _) = server.open_event_stream(&target);
        let (mut socket, _) = server.json_websocket(&target);
        let fields = [("Content-Type", "application/x-ndjson")];
        let answer = server.request("POST", "/topics", &fields, lines.as_bytes());
        assert_eq!(answer.text().matches("\"id\"").count(), 128);
        let wanted: BTreeSet<String> = names.iter().cloned().collect();
        let topics = |take: &mut dyn FnMut() -> Value| -> BTreeSet<String> {
            (0..128).map(|_| string(&take()["topic"])).collect()
        };
        assert_eq!(topics(&mut || stream.json_line()), wanted);
        assert_eq!(topics(&mut || socket.json()), wanted);
        let mut last = String::new();
        for _ in 0..128 {
            last = events.dispatched().id.unwrap();
        }
        let poll = server.poll(&target);
        assert_eq!(data(&poll).len(), 128);
        // A browser comes back with that in a header, whose bound it must keep to.
        let fields = [("Accept", "text/event-stream"), ("Last-Event-ID", last.as_str())];
        let mut events = server.stream(&target, &fields);
        let id = server.publish("t7", "2");
        assert_eq!(events.dispatched().data.as_deref(), Some("2"));
        assert_eq!(sequence(&id), 2);
    });
}

/// Publishes with a key; returns the id.
fn publish_with_key(server: &Server, topic: &str, key: &str) -> String {
    let fields = [("Idempotency-Key", key)];
    let answer = server.request("POST", &format!("/topics/{topic}"), &fields, b"once");
    assert_eq!(answer.status, 201);
    string(&answer.json()["id"])
}

#[test]
fn attack_195_a_repeat_with_the_same_key_publishes_nothing_in_the_window() {
    // Two minutes: none of this takes so long.
    for_workers(&[], |server| {
        for topic in TOPICS {
            let first = publish_with_key(server, topic, "same");
            // Each time on another connection, at whichever worker.
            for _ in 0..10 {
                assert_eq!(publish_with_key(server, topic, "same"), first);
            }
            assert_ne!(publish_with_key(server, topic, "other"), first);
            assert_eq!(data(&server.poll(&format!("/topics/{topic}"))).len(), 2);
        }
    });
}

#[test]
fn attack_195_behind_the_window_the_same_key_publishes_anew() {
    for_workers(&["--idempotency-window", "0.3"], |server| {
        let first = publish_with_key(server, "again", "same");
        server
            .ask_until("the window is over", || publish_with_key(server, "again", "same") != first);
        // Repeats do not make it longer, and each of them was one message or none.
        let head = sequence(&server.head_cursor("again"));
        assert!((2..=4).contains(&head), "{head}");
    });
}
