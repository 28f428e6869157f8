//! Clause 12: HEAD, DELETE and OPTIONS.

use serde_json::{Value, json};

use crate::support::*;

#[test]
fn clause_12_1_head_gives_the_cursor_at_the_head() {
    for_workers(&[], |server| {
        for topic in TOPICS {
            let id = server.publish(topic, "x");
            let answer = server.request("HEAD", &format!("/topics/{topic}"), &[], b"");
            assert_eq!(answer.status, 200);
            assert_eq!(unquoted(answer.field("ETag").unwrap()), id);
        }
        let names = TOPICS.join(",");
        let cursor = server.head_cursor(&names);
        server.publish("up", "new");
        assert_eq!(data(&server.poll(&format!("/topics/{names}?after={cursor}"))), ["new"]);
    });
}

#[test]
fn clause_12_1_head_never_waits_whatever_else_the_request_says() {
    let server = Server::start(&[]);
    let id = server.publish("news", "x");
    for (target, fields) in [
        ("/topics/news?wait=60", vec![]),
        ("/topics/news", vec![("Prefer", "wait=60")]),
        ("/topics/news", vec![("Accept", "text/event-stream")]),
        ("/topics/news", vec![("Accept", "application/x-ndjson")]),
        ("/topics/news?after=nonsense", vec![]),
        ("/topics/news?after=earliest", vec![("Last-Event-ID", "earliest")]),
        ("/topics/news", handshake(&[])),
    ] {
        let mut client = server.client();
        let answer = client.request("HEAD", target, &fields, b"");
        assert_eq!(answer.status, 200, "{target} {fields:?}");
        assert_eq!(unquoted(answer.field("ETag").unwrap()), id);
        assert_eq!(client.request("GET", "/healthz", &[], b"").text(), "ok\n", "no body came");
    }
}

#[test]
fn clause_12_2_delete_empties_the_log_and_begins_a_new_epoch() {
    for_workers(&[], |server| {
        for topic in TOPICS {
            let target = format!("/topics/{topic}");
            let old = server.publish(topic, "old");
            let deletion = server.request("DELETE", &target, &[], b"");
            assert_eq!(deletion.status, 200);
            let cursor = string(&deletion.json()["cursor"]);
            assert_eq!(deletion.json(), json!({"topic": topic, "cursor": cursor}));
            assert_eq!(data(&server.poll(&target)), [""; 0]);
            assert_ne!(cursor.split('-').next(), old.split('-').next(), "another epoch");
            let new = server.publish(topic, "new");
            assert_eq!(sequence(&new), 1, "it begins anew");
            let poll = server.poll(&format!("{target}?after={cursor}"));
            assert_eq!((data(&poll), &poll["gap"]), (vec!["new".to_owned()], &Value::Null));
        }
    });
}

#[test]
fn clause_12_2_deleting_a_topic_that_has_not_begun_is_404() {
    for_workers(&[], |server| {
        for topic in TOPICS {
            server.request("DELETE", &format!("/topics/{topic}"), &[], b"").problem(404);
        }
    });
}

#[test]
fn clause_12_3_options_is_204_with_allow() {
    let server = Server::start(&[]);
    for (target, methods) in [
        ("/topics/news", &["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"][..]),
        ("/topics", &["POST", "OPTIONS"]),
        ("/", &["GET", "HEAD", "OPTIONS"]),
        ("/healthz", &["GET", "HEAD", "OPTIONS"]),
        ("/metrics", &["GET", "HEAD", "OPTIONS"]),
        ("/tidings.js", &["GET", "HEAD", "OPTIONS"]),
        ("*", &["OPTIONS"]),
    ] {
        let mut client = server.client();
        let answer = client.request("OPTIONS", target, &[], b"");
        assert_eq!(answer.status, 204, "{target}");
        let allow: Vec<&str> = answer.field("Allow").unwrap().split(", ").collect();
        for method in methods {
            assert!(allow.contains(method), "{target}: {allow:?}");
        }
        // RFC 9110 §8.6: no Content-Length in a 204.
        assert_eq!(answer.field("Content-Length"), None);
        assert_eq!(client.request("GET", "/healthz", &[], b"").status, 200, "no body came");
    }
}

#[test]
fn clause_12_3_options_does_not_look_at_the_name() {
    let server = Server::start(&[]);
    for target in ["/topics/", "/topics/a*", "/topics/a,b"] {
        let answer = server.request("OPTIONS", target, &[], b"");
        assert!(answer.status == 204 && answer.field("Allow").is_some(), "{target}: {answer:?}");
    }
    server.request("OPTIONS", "/nowhere", &[], b"").problem(404);
}
