//! Clauses 11.3 and 11.4: the subprotocol `tidings.json`.

use serde_json::{Value, json};

use crate::support::*;

#[test]
fn clause_11_3_the_subprotocol_is_agreed_on_and_opens_with_a_cursor() {
    for_workers(&[], |server| {
        for topic in TOPICS {
            let id = server.publish(topic, "old");
            let offer = [("Sec-WebSocket-Protocol", "other, tidings.json")];
            let mut socket = WebSocket::open(server, &format!("/topics/{topic}"), &offer);
            assert_eq!(socket.head.field("Sec-WebSocket-Protocol"), Some("tidings.json"));
            assert_eq!(socket.text(), format!(r#"{{"type":"open","cursor":"{id}"}}"#));
        }
    });
    let server = Server::start(&[]);
    let socket = WebSocket::open(&server, "/topics/a", &[("Sec-WebSocket-Protocol", "chat")]);
    assert_eq!(socket.head.field("Sec-WebSocket-Protocol"), None, "none of ours: raw");
}

#[test]
fn clause_11_3_subscribe_and_unsubscribe_are_answered_with_topics_and_cursor() {
    for_workers(&[], |server| {
        for topic in TOPICS {
            server.publish(topic, "old");
        }
        let (mut socket, _) = server.json_websocket("/topics");
        let answer = socket.command(r#"{"type":"subscribe","topics":["north","south"]}"#);
        assert_eq!(
            (&answer["type"], &answer["topics"]),
            (&json!("subscribed"), &json!(["north", "south"]))
        );
        assert_eq!(answer["cursor"], server.head_cursor("north,south"));
        server.publish("south", "s");
        let envelope = socket.json();
        assert_eq!((&envelope["topic"], &envelope["data"]), (&json!("south"), &json!("s")));
        assert_eq!(envelope["cursor"], server.head_cursor("north,south"));
        let answer = socket.command(r#"{"type":"unsubscribe","topics":["south"]}"#);
        let wanted = json!({"type": "unsubscribed", "topics": ["south"], "cursor": server.head_cursor("north")});
        assert_eq!(answer, wanted);
        server.publish("south", "not heard");
        server.publish("north", "n");
        let envelope = socket.json();
        assert_eq!(
            (&envelope["data"], &envelope["cursor"]),
            (&json!("n"), &Value::Null),
            "one topic"
        );
        let answer = socket.command(r#"{"type":"unsubscribe","topic":"north"}"#);
        assert_eq!(answer, json!({"type": "unsubscribed", "topics": ["north"]}), "no cursor");
        let answer = socket.command(r#"{"type":"subscribe","topic":"up"}"#);
        assert_eq!(
            (&answer["topics"], &answer["cursor"]),
            (&json!(["up"]), &json!(server.head_cursor("up")))
        );
    });
}

#[test]
fn clause_11_3_after_and_last_say_where_the_topics_named_begin() {
    for_workers(&[], |server| {
        let mut cursors = Vec::new();
        for topic in TOPICS {
            cursors.push(server.publish(topic, "1"));
            server.publish(topic, "2");
        }
        let (mut socket, _) = server.json_websocket("/topics");
        for (topic, cursor) in TOPICS.iter().zip(&cursors) {
            let command = format!(r#"{{"type":"subscribe","topic":"{topic}","after":"{cursor}"}}"#);
            assert_eq!(socket.command(&command)["type"], "subscribed");
            let envelope = socket.json();
            assert_eq!((&envelope["topic"], &envelope["data"]), (&json!(topic), &json!("2")));
        }
        let (mut socket, _) = server.json_websocket("/topics");
        socket.command(r#"{"type":"subscribe","topic":"north","after":"earliest"}"#);
        assert_eq!(socket.json()["data"], "1");
        assert_eq!(socket.json()["data"], "2");
        socket.command(r#"{"type":"subscribe","topic":"south","last":1}"#);
        assert_eq!(socket.json()["data"], "2");
        socket.command(r#"{"type":"subscribe","topic":"east","after":"latest"}"#);
        socket.command(r#"{"type":"subscribe","topic":"west"}"#);
        let both = server.head_cursor("up,down");
        server.publish("up", "3");
        socket
            .command(&format!(r#"{{"type":"subscribe","topics":["up","down"],"after":"{both}"}}"#));
        assert_eq!((&socket.json()["data"]), (&json!("3")));
        socket.command(r#"{"type":"subscribe","topic":"other","after":"nonsense"}"#);
        let gap = socket.json();
        assert_eq!(
            (&gap["type"], &gap["topic"], &gap["count"]),
            (&json!("gap"), &json!("other"), &Value::Null)
        );
        assert_eq!(
            socket.command(r#"{"type":"ping"}"#),
            json!({"type": "pong"}),
            "nothing else came"
        );
    });
}

#[test]
fn clause_11_3_subscribing_again_moves_the_cursor_only_if_it_is_told_where_to() {
    for_workers(&[], |server| {
        for topic in TOPICS {
            server.publish(topic, "1");
            let (mut socket, open) = server.json_websocket(&format!("/topics/{topic}"));
            let answer = socket.command(&format!(r#"{{"type":"subscribe","topic":"{topic}"}}"#));
            assert_eq!(answer["cursor"], open["cursor"], "nothing changed");
            socket.command(&format!(r#"{{"type":"subscribe","topic":"{topic}","last":1}}"#));
            assert_eq!(socket.json()["data"], "1");
            socket.command(&format!(
                r#"{{"type":"subscribe","topic":"{topic}","after":"earliest"}}"#
            ));
            assert_eq!(socket.json()["data"], "1");
            assert_eq!(socket.command(r#"{"type":"ping"}"#)["type"], "pong");
        }
    });
}

#[test]
fn clause_11_3_subscribing_again_does_not_count_against_the_limit() {
    let server = Server::start(&["--topics-per-connection", "2"]);
    let (mut socket, _) = server.json_websocket("/topics/a,b");
    assert_eq!(socket.command(r#"{"type":"subscribe","topics":["a","b"]}"#)["type"], "subscribed");
    let refused = socket.command(r#"{"type":"subscribe","topic":"c"}"#);
    assert_eq!((&refused["type"], &refused["status"]), (&json!("error"), &json!(400)));
}

#[test]
fn clause_11_4_a_subscribe_that_is_refused_takes_nothing_away() {
    for_workers(&["--topics-max", "1"], |server| {
        // With several workers each owns at most one topic: find one that can be had.
        let had = (0..100).map(|n| format!("t{n}")).find(|name| {
            server.request("POST", &format!("/topics/{name}"), &[], b"old").status == 201
        });
        let had = had.unwrap();
        let (mut socket, _) = server.json_websocket(&format!("/topics/{had}"));
        let _listeners = server.listen_to_all();
        for command in [
            format!(r#"{{"type":"subscribe","topics":["{had}","zz"]}}"#),
            format!(r#"{{"type":"subscribe","topics":["{had}","zz"],"after":"earliest"}}"#),
        ] {
            let error = socket.command(&command);
            assert_eq!(
                (&error["type"], &error["status"]),
                (&json!("error"), &json!(503)),
                "{error}"
            );
            server.publish(&had, "still heard");
            assert_eq!(socket.json()["data"], "still heard", "{command}");
        }
    });
}

#[test]
fn clause_11_3_publishes_are_acknowledged_in_order() {
    for_workers(&[], |server| {
        let (mut socket, _) = server.json_websocket("/topics");
        let mut commands = Vec::new();
        for number in 0..60 {
            let topic = TOPICS[number % 6];
            let text = format!(
                r#"{{"type":"publish","topic":"{topic}","data":"{number}","request":{number}}}"#
            );
            commands.extend(WebSocket::encode(FIN | TEXT, text.as_bytes()));
        }
        socket.client.send(commands);
        for number in 0..60 {
            let answer = socket.json();
            assert_eq!(
                (&answer["type"], &answer["request"]),
                (&json!("published"), &json!(number))
            );
            assert_eq!(answer["topic"], TOPICS[number % 6]);
            assert_eq!(sequence(&string(&answer["id"])), number as u64 / 6 + 1);
        }
    });
}

#[test]
fn clause_11_3_publish_takes_the_members_of_a_batch_line() {
    let server = Server::start(&[]);
    let (mut socket, _) = server.json_websocket("/topics");
    for (members, wanted) in [
        (r#""data":"text""#, json!({"data": "text"})),
        (r#""data":{"a":1},"event":"e""#, json!({"data": {"a": 1}, "event": "e"})),
        (
            r#""data":"gA==","encoding":"base64","content_type":"image/png""#,
            json!({"data": "gA==", "encoding": "base64", "content_type": "image/png"}),
        ),
    ] {
        let answer = socket.command(&format!(r#"{{"type":"publish","topic":"t",{members}}}"#));
        assert_eq!(answer["type"], "published", "{answer}");
        let mut envelope = server.poll("/topics/t?last=1")["messages"][0].take();
        assert_eq!(envelope["id"], answer["id"]);
        for own in ["id", "topic", "time"] {
            envelope.as_object_mut().unwrap().remove(own);
        }
        assert_eq!(envelope, wanted);
    }
    let command = r#"{"type":"publish","topic":"t","data":1,"key":"k"}"#;
    assert_eq!(socket.command(command)["id"], socket.command(command)["id"]);
}

#[test]
fn clause_11_3_a_request_is_echoed_in_every_answer() {
    let server = Server::start(&[]);
    let (mut socket, _) = server.json_websocket("/topics");
    let longest = format!("\"{}\"", "r".repeat(62));
    for request in ["7", "-1.5", "\"r1\"", "\"\"", "\"é\\n\"", "1e3", &longest] {
        let value: Value = serde_json::from_str(request).unwrap();
        for command in [
            r#""type":"ping""#,
            r#""type":"subscribe","topic":"a""#,
            r#""type":"unsubscribe","topic":"a""#,
            r#""type":"publish","topic":"b","data":1"#,
            r#""type":"dance""#,
            r#""type":"subscribe","topic":"a*""#,
        ] {
            let answer = socket.command(&format!("{{\"request\":{request},{command}}}"));
            assert_eq!(answer["request"], value, "{command}: {answer}");
        }
    }
    let too_long = format!("\"{}\"", "r".repeat(65));
    for request in ["{}", "[1]", "true", &too_long] {
        let answer = socket.command(&format!(r#"{{"type":"ping","request":{request}}}"#));
        assert_eq!(
            (&answer["type"], &answer["status"]),
            (&json!("error"), &json!(400)),
            "{request}"
        );
    }
}

#[test]
fn clause_11_4_a_command_with_a_surplus_member_still_has_its_request_echoed() {
    let server = Server::start(&[]);
    let (mut socket, _) = server.json_websocket("/topics");
    let answer = socket.command(r#"{"type":"ping","request":7,"surplus":1}"#);
    assert_eq!((&answer["type"], &answer["request"]), (&json!("error"), &json!(7)), "{answer}");
    let answer = socket.command(r#"{"type":"publish","request":"r","topic":5,"data":1}"#);
    assert_eq!((&answer["type"], &answer["request"]), (&json!("error"), &json!("r")), "{answer}");
}

#[test]
fn clause_11_4_a_bad_command_is_an_error_and_the_connection_stays_open() {
    let server = Server::start(&[]);
    let (mut socket, _) = server.json_websocket("/topics");
    for (command, status) in [
        ("", 400),
        ("nonsense", 400),
        ("[]", 400),
        ("7", 400),
        ("{}", 400),
        (r#"{"type":"dance"}"#, 400),
        (r#"{"type":"ping","topic":"a"}"#, 400),
        (r#"{"type":"subscribe"}"#, 400),
        (r#"{"type":"subscribe","topics":[]}"#, 400),
        (r#"{"type":"subscribe","topics":["a,b"]}"#, 400),
        (r#"{"type":"subscribe","topic":"a","topics":["b"]}"#, 400),
        (r#"{"type":"unsubscribe","topic":""}"#, 400),
        (r#"{"type":"publish","topic":"a"}"#, 400),
        (r#"{"type":"publish","topic":"a","data":1,"event":"tidings:x"}"#, 400),
        (
            r#"{"type":"publish","topic":"a","data":"gA==","encoding":"base64","content_type":"text/plain"}"#,
            415,
        ),
    ] {
        let error = socket.command(command);
        assert_eq!(
            (&error["type"], &error["status"]),
            (&json!("error"), &json!(status)),
            "{command}"
        );
        assert!(error["title"].is_string() && error["detail"].is_string(), "{error}");
    }
    assert_eq!(socket.command(r#"{"type":"ping"}"#), json!({"type": "pong"}));
}

#[test]
fn clause_11_4_after_100_errors_the_connection_is_closed_with_1008() {
    let server = Server::start(&[]);
    let (mut socket, _) = server.json_websocket("/topics");
    for _ in 0..99 {
        assert_eq!(socket.command("x")["type"], "error");
    }
    assert_eq!(socket.command(r#"{"type":"ping"}"#)["type"], "pong", "99 are not too many");
    assert_eq!(socket.command("x")["type"], "error");
    assert_eq!(socket.close().0, 1008);
}

#[test]
fn clause_11_4_a_binary_frame_is_closed_with_1003() {
    let server = Server::start(&[]);
    let (mut socket, _) = server.json_websocket("/topics/a");
    socket.send_frame(FIN | BINARY, b"{}");
    assert_eq!(socket.close().0, 1003);
}

#[test]
fn clause_11_4_a_publish_that_is_refused_for_now_is_an_error() {
    let server = Server::start(&["--topics-max", "1"]);
    let (mut socket, _) = server.json_websocket("/topics/a");
    server.publish("c", "x");
    let error = socket.command(r#"{"type":"publish","topic":"b","data":1}"#);
    assert_eq!((&error["type"], &error["status"]), (&json!("error"), &json!(503)));
    let error = socket.command(r#"{"type":"subscribe","topic":"b"}"#);
    assert_eq!((&error["type"], &error["status"]), (&json!("error"), &json!(503)));
}

#[test]
fn clause_11_3_unsubscribing_from_what_is_not_subscribed_changes_nothing() {
    let server = Server::start(&[]);
    let (mut socket, open) = server.json_websocket("/topics/a");
    let answer = socket.command(r#"{"type":"unsubscribe","topic":"b"}"#);
    assert_eq!((&answer["type"], &answer["cursor"]), (&json!("unsubscribed"), &open["cursor"]));
}
