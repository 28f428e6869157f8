//! Clause 7: polls that are answered at once.

use serde_json::{Value, json};

use crate::support::*;

#[test]
fn clause_7_1_a_poll_is_json_with_messages_and_a_cursor_which_is_also_the_etag() {
    for_workers(&[], |server| {
        for topic in TOPICS {
            let id = server.publish(topic, "hello");
            let answer = server.get(&format!("/topics/{topic}"));
            assert_eq!(answer.status, 200);
            assert_eq!(answer.field("Content-Type"), Some("application/json"));
            assert_eq!(answer.field("ETag"), Some(format!("\"{id}\"").as_str()));
            let poll = answer.json();
            let time = &poll["messages"][0]["time"];
            let message = json!({"topic": topic, "id": id, "time": time, "data": "hello"});
            assert_eq!(poll, json!({"messages": [message], "cursor": id}));
        }
    });
}

#[test]
fn clause_7_2_by_default_a_page_has_300_messages_and_says_that_there_are_more() {
    let server = Server::start(&[]);
    let lines: String =
        (1..=301).map(|n| format!("{{\"topic\":\"t\",\"data\":\"{n}\"}}\n")).collect();
    server.request(
        "POST",
        "/topics",
        &[("Content-Type", "application/x-ndjson")],
        lines.as_bytes(),
    );
    let page = server.poll("/topics/t");
    assert_eq!(data(&page).len(), 300);
    assert_eq!(page["more"], true);
    let rest = server.poll(&format!("/topics/t?after={}", string(&page["cursor"])));
    assert_eq!((data(&rest), &rest["more"]), (vec!["301".to_owned()], &Value::Null));
}

#[test]
fn clause_7_2_pages_join_without_loss_or_repetition() {
    for_workers(&["--replay-page", "4"], |server| {
        let names = TOPICS.join(",");
        let mut wanted = Vec::new();
        for number in 0..5 {
            for topic in TOPICS {
                server.publish(topic, &format!("{topic}{number}"));
                wanted.push(format!("{topic}{number}"));
            }
        }
        let (mut got, mut cursor) = (Vec::new(), "earliest".to_owned());
        loop {
            let page = server.poll(&format!("/topics/{names}?after={cursor}"));
            assert!(data(&page).len() <= 4);
            assert_eq!(
                page["messages"].as_array().unwrap().len() == 4 && got.len() + 4 < 30,
                page["more"] == true
            );
            got.extend(data(&page));
            cursor = string(&page["cursor"]);
            if page["more"] != true {
                break;
            }
        }
        wanted.sort();
        got.sort();
        assert_eq!(got, wanted);
    });
}

#[test]
fn clause_7_2_a_page_is_bounded_in_bytes_but_has_one_message_at_least() {
    let server = Server::start(&["--poll-bytes-max", "2K"]);
    for _ in 0..10 {
        server.publish("t", &"x".repeat(500));
    }
    server.publish("wide", &"y".repeat(10_000));
    server.publish("wide", "behind");
    let page = server.get("/topics/t");
    assert!(page.body.len() < 4096 && page.json()["more"] == true, "{}", page.body.len());
    assert!((2..=5).contains(&data(&page.json()).len()));
    let page = server.poll("/topics/wide");
    assert_eq!((data(&page).len(), &page["more"]), (1, &json!(true)));
}

#[test]
fn clause_7_2_more_is_absent_when_there_is_no_more() {
    let server = Server::start(&["--replay-page", "2"]);
    server.publish("t", "1");
    server.publish("t", "2");
    assert!(!server.get("/topics/t").text().contains("more"));
}

#[test]
fn clause_7_3_nothing_new_is_200_with_no_messages_and_the_same_cursor() {
    for_workers(&[], |server| {
        for topic in TOPICS {
            let target = format!("/topics/{topic}");
            server.publish(topic, "x");
            let mut client = server.client();
            let first = client.request("GET", &target, &[], b"");
            let tag = first.field("ETag").unwrap().to_owned();
            // As a browser's cache revalidates.
            let second = client.request("GET", &target, &[("If-None-Match", &tag)], b"");
            assert_eq!(second.status, 200, "never 304");
            assert_eq!(data(&second.json()), [""; 0]);
            assert_eq!(second.field("ETag"), Some(tag.as_str()));
            assert_eq!(second.json()["cursor"], first.json()["cursor"]);
            server.publish(topic, "y");
            let third = client.request("GET", &target, &[("If-None-Match", &tag)], b"");
            assert_eq!(data(&third.json()), ["y"]);
        }
    });
}

#[test]
fn clause_7_4_a_publish_that_was_answered_before_is_in_the_answer() {
    for_workers(&[], |server| {
        let mut readers: Vec<Client> = (0..8).map(|_| server.client()).collect();
        // Keeps replicas warm on other workers.
        let _follower: Vec<_> =
            TOPICS.iter().map(|t| server.open_ndjson(&format!("/topics/{t}"))).collect();
        for round in 0..10 {
            for topic in TOPICS {
                let id = server.publish(topic, &round.to_string());
                for reader in &mut readers {
                    let poll = reader.request("GET", &format!("/topics/{topic}?last=1"), &[], b"");
                    assert_eq!(poll.json()["messages"][0]["id"], id, "{topic} {round}");
                }
            }
        }
    });
}
