//! Clause 5.1, 5.2, 5.4 to 5.6: publishing one message with one request.

use crate::support::*;

#[test]
fn clause_5_1_post_and_put_publish_and_answer_201_with_topic_and_id() {
    for_workers(&[], |server| {
        for topic in TOPICS {
            for method in ["POST", "PUT"] {
                let answer = server.request(method, &format!("/topics/{topic}"), &[], b"hello");
                assert_eq!(answer.status, 201);
                assert_eq!(answer.field("Content-Type"), Some("application/json"));
                let json = answer.json();
                let members = json.as_object().unwrap();
                assert_eq!(members.len(), 2, "{json}");
                assert_eq!(json["topic"], topic);
                let last = server.poll(&format!("/topics/{topic}?last=1"));
                assert_eq!(last["messages"][0]["id"], json["id"]);
            }
        }
    });
}

#[test]
fn clause_5_1_the_topic_in_the_answer_is_the_decoded_name() {
    let server = Server::start(&[]);
    let answer = server.request("POST", "/topics/a%2F%22b%22", &[], b"x");
    assert_eq!(answer.json()["topic"], "a/\"b\"");
}

#[test]
fn clause_5_1_the_event_name_of_the_header_wins_over_the_query() {
    let server = Server::start(&[]);
    let event = |target: &str, fields: &[(&str, &str)]| {
        assert_eq!(server.request("POST", target, fields, b"x").status, 201);
        server.poll("/topics/e?last=1")["messages"][0]["event"].clone()
    };
    let header = [("Event-Type", "header")];
    assert_eq!(event("/topics/e?event=query", &header), "header");
    assert_eq!(event("/topics/e?event=query", &[]), "query");
    assert_eq!(event("/topics/e?event=a%20b%C3%A9", &[]), "a bé");
    assert_eq!(event("/topics/e", &header), "header");
    assert!(event("/topics/e", &[]).is_null());
}

#[test]
fn clause_5_1_the_answer_does_not_wait_for_deliveries() {
    let server = Server::start(&["--write-progress", "60"]);
    let mut stuck = Client::connect_narrow(4096, server.address());
    stuck.send_request("GET", "/topics/wide", &[("Accept", "text/event-stream")], b"");
    assert_eq!(stuck.head().status, 200);
    // Far more than every buffer between here and there holds.
    for _ in 0..20 {
        server.publish("wide", &"w".repeat(1 << 20));
    }
}

#[test]
fn clause_5_2_a_repeated_key_publishes_nothing_and_is_answered_with_the_first_id() {
    for_workers(&[], |server| {
        for topic in TOPICS {
            let publish = |key: &str, text: &str| {
                let target = format!("/topics/{topic}");
                let fields = [("Idempotency-Key", key)];
                let answer = server.request("POST", &target, &fields, text.as_bytes());
                assert_eq!(answer.status, 201, "{answer:?}");
                string(&answer.json()["id"])
            };
            let first = publish("k1", "first");
            assert_eq!(publish("k1", "again"), first);
            assert_ne!(publish("k2", "second"), first);
            assert_eq!(publish("k1", "and again"), first);
            assert_eq!(data(&server.poll(&format!("/topics/{topic}"))), ["first", "second"]);
        }
    });
}

#[test]
fn clause_5_2_a_key_belongs_to_its_topic() {
    let server = Server::start(&[]);
    let key = [("Idempotency-Key", "same")];
    server.request("POST", "/topics/a", &key, b"a");
    server.request("POST", "/topics/b", &key, b"b");
    assert_eq!(data(&server.poll("/topics/b")), ["b"]);
}

#[test]
fn clause_5_2_a_key_is_1_to_128_visible_characters() {
    let server = Server::start(&[]);
    let publish =
        |key: &str| server.request("POST", "/topics/a", &[("Idempotency-Key", key)], b"x");
    for key in ["k", "\"quoted-uuid\"", &"~".repeat(128), "!#,;="] {
        assert_eq!(publish(key).status, 201, "{key}");
    }
    for key in ["", "a b", "é", &"k".repeat(129)] {
        publish(key).problem(400);
    }
}

#[test]
fn clause_5_2_a_key_is_recognised_only_within_the_window() {
    let server = Server::start(&["--idempotency-window", "0.2"]);
    let publish = || {
        let answer = server.request("POST", "/topics/a", &[("Idempotency-Key", "k")], b"x");
        string(&answer.json()["id"])
    };
    let first = publish();
    assert_eq!(publish(), first);
    server.ask_until("it is forgotten", || sequence(&publish()) == 2);
}

#[test]
fn clause_5_2_the_oldest_key_is_forgotten_first() {
    let server = Server::start(&["--idempotency-keys-max", "2"]);
    let publish = |key: &str| {
        let answer = server.request("POST", "/topics/a", &[("Idempotency-Key", key)], b"x");
        sequence(&string(&answer.json()["id"]))
    };
    assert_eq!([publish("k1"), publish("k2"), publish("k3")], [1, 2, 3]);
    assert_eq!([publish("k3"), publish("k2")], [3, 2], "the newest are remembered");
    assert_eq!(publish("k1"), 4, "the oldest is not");
}

#[test]
fn clause_5_4_a_publish_is_refused_for_now_when_memory_is_used_up() {
    for_workers(&["--memory", "256K", "--log-bytes", "256K"], |server| {
        let payload = "m".repeat(20 * 1024);
        let refused = (0..200).find_map(|number| {
            let target = format!("/topics/t{number}");
            let answer = server.request("POST", &target, &[], payload.as_bytes());
            (answer.status != 201).then_some(answer)
        });
        let refused = refused.expect("memory is bounded");
        refused.problem(503);
        assert!(refused.field("Retry-After").unwrap().parse::<u64>().unwrap() >= 1);
        assert_eq!(server.get("/topics/t0").status, 200, "reading goes on");
    });
}

#[test]
fn clause_5_4_a_publish_to_a_new_topic_is_refused_for_now_when_topics_are_used_up() {
    let server = Server::start(&["--topics-max", "2"]);
    server.publish("a", "x");
    server.publish("b", "x");
    let refused = server.request("POST", "/topics/c", &[], b"x");
    refused.problem(503);
    assert!(refused.field("Retry-After").is_some());
    server.publish("a", "one that exists is fine");
}

#[test]
fn clause_5_4_topics_are_capped_with_every_number_of_workers() {
    for_workers(&["--topics-max", "8"], |server| {
        let statuses: Vec<u16> = (0..60)
            .map(|n| server.request("POST", &format!("/topics/t{n}"), &[], b"x").status)
            .collect();
        assert!(statuses.iter().all(|status| [201, 503].contains(status)), "{statuses:?}");
        let begun = statuses.iter().filter(|status| **status == 201).count();
        assert!((1..=8).contains(&begun), "{begun} topics");
        assert_eq!(server.metric("tidings_topics"), begun as u64);
    });
}

#[test]
fn clause_5_4_a_payload_larger_than_body_bytes_max_is_413() {
    let server = Server::start(&["--body-bytes-max", "1000"]);
    let publish =
        |fields: &[(&str, &str)], body: &[u8]| server.request("POST", "/topics/a", fields, body);
    assert_eq!(publish(&[], &[b'x'; 1000]).status, 201);
    publish(&[], &[b'x'; 1001]).problem(413);
    let chunked = [("Transfer-Encoding", "chunked")];
    let body = |size: usize| format!("{size:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(size));
    assert_eq!(publish(&chunked, body(1000).as_bytes()).status, 201);
    publish(&chunked, body(1001).as_bytes()).problem(413);
    let two = format!("{:x}\r\n{}\r\n1\r\nx\r\n0\r\n\r\n", 1000, "x".repeat(1000));
    publish(&chunked, two.as_bytes()).problem(413);
}

#[test]
fn clause_5_4_a_payload_larger_than_a_topic_is_413() {
    for_workers(&["--log-bytes", "4K"], |server| {
        for topic in TOPICS {
            let target = format!("/topics/{topic}");
            server.request("POST", &target, &[], &[b'x'; 5000]).problem(413);
            assert_eq!(server.request("POST", &target, &[], &[b'x'; 1000]).status, 201);
        }
    });
}

#[test]
fn clause_5_4_any_content_encoding_but_identity_is_415() {
    let server = Server::start(&[]);
    let publish =
        |coding: &str| server.request("POST", "/topics/a", &[("Content-Encoding", coding)], b"x");
    for coding in ["identity", "Identity"] {
        assert_eq!(publish(coding).status, 201);
    }
    for coding in ["gzip", "br", "deflate", "identity, gzip", "x"] {
        publish(coding).problem(415);
    }
}

#[test]
fn clause_5_5_a_body_that_did_not_arrive_whole_publishes_nothing() {
    for_workers(&[], |server| {
        for topic in TOPICS {
            let target = format!("/topics/{topic}");
            let mut short = server.client();
            short.send_request("POST", &target, &[("Content-Length", "100")], b"ninety missing");
            short.half_close();
            short.rest();
            let mut chunked = server.client();
            let body = b"5\r\nhello\r\n3\r\nab";
            chunked.send_request("POST", &target, &[("Transfer-Encoding", "chunked")], body);
            chunked.half_close();
            chunked.rest();
            let mut no_last_chunk = server.client();
            let body = b"5\r\nhello\r\n";
            no_last_chunk.send_request("POST", &target, &[("Transfer-Encoding", "chunked")], body);
            no_last_chunk.half_close();
            no_last_chunk.rest();
            assert_eq!(data(&server.poll(&target)), [""; 0]);
        }
    });
}

#[test]
fn clause_5_6_with_slow_followers_nothing_is_lost_and_everything_is_answered() {
    for_workers(&["--log-messages", "100000"], |server| {
        let mut streams: Vec<Stream> =
            (0..8).map(|_| server.open_ndjson("/topics/busy").0).collect();
        let lines: String =
            (1..=4000).map(|n| format!("{{\"topic\":\"busy\",\"data\":{n}}}\n")).collect();
        let fields = [("Content-Type", "application/x-ndjson")];
        let answer = server.request("POST", "/topics", &fields, lines.as_bytes());
        assert_eq!(answer.text().lines().filter(|line| line.contains("\"id\"")).count(), 4000);
        for stream in &mut streams {
            for number in 1..=4000 {
                assert_eq!(stream.json_line()["data"], number);
            }
        }
    });
}
