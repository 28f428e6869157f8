//! `[[topic]]`: what is retained, how large a message may be, and who may publish, on every wire.

use serde_json::{Value, json};

use crate::files::{Home, text};
use crate::support::*;

const RULES: &str = "\
[[topic]]
prefix = 'quiet/'
publish = 'nobody'

[[topic]]
name = 'quiet/lobby'
log-messages = 2

[[topic]]
prefix = 'small/'
message-bytes-max = 4
";

fn with_rules(scenario: impl Fn(&Server)) {
    for workers in [1, 2, 4] {
        let home = Home::new();
        let file = home.write("t.toml", RULES);
        let server = Server::start_with_workers(workers, &["--config", text(&file)]);
        scenario(&server);
    }
}

fn post(server: &Server, topic: &str, body: &[u8]) -> Answer {
    server.request("POST", &format!("/topics/{topic}"), &[], body)
}

#[test]
fn clause_5_7_nobody_publishes_to_a_topic_whose_operator_says_so_or_deletes_it() {
    with_rules(|server| {
        for method in ["POST", "PUT"] {
            let answer = server.request(method, "/topics/quiet%2Fx", &[], b"hello");
            answer.problem(403);
            assert_eq!(answer.json()["type"], "/errors#publishing-closed", "{answer:?}");
        }
        assert_eq!(server.request("DELETE", "/topics/quiet%2Fx", &[], b"").status, 403);
        // It is a topic all the same.
        assert_eq!(data(&server.poll("/topics/quiet%2Fx")), Vec::<String>::new());
        // An exact name goes first, and bytes are compared: neither the case nor a look-alike is the same.
        for other in ["quiet%2Flobby", "Quiet%2Fx", "quiet%EF%BC%8Fx", "quiet"] {
            assert_eq!(post(server, other, b"hello").status, 201, "{other}");
        }
        let answer = server.request("DELETE", "/topics/quiet%2Flobby", &[], b"");
        assert_eq!(answer.status, 200);
    });
}

#[test]
fn clause_5_7_a_message_is_as_large_as_its_topic_takes() {
    with_rules(|server| {
        assert_eq!(post(server, "small%2Fx", b"four").status, 201);
        let answer = post(server, "small%2Fx", b"fiver");
        assert!(
            answer.problem(413).contains("the 4 bytes that its topic takes (message-bytes-max")
        );
        let mut client = server.client();
        client.send(
            "POST /topics/small%2Fx HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
             3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        );
        let answer = client.answer();
        answer.problem(413);
        assert_eq!(
            (&answer.json()["limit"], &answer.json()["type"]),
            (&json!(4), &json!("/errors#too-large-for-topic")),
            "in chunks"
        );
        assert_eq!(post(server, "large", b"fiver").status, 201);
    });
}

#[test]
fn clause_5_7_a_batch_reports_lines_that_their_topic_does_not_take() {
    with_rules(|server| {
        let lines = [
            json!({"topic": "quiet/x", "data": "a"}),
            json!({"topic": "small/x", "data": "fiver"}),
            json!({"topic": "small/x", "data": "four"}),
            json!({"topic": "quiet/lobby", "data": "b"}),
        ];
        let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let fields = [("Content-Type", "application/x-ndjson")];
        let answer = server.request("POST", "/topics", &fields, body.as_bytes());
        let text = answer.text();
        let reports: Vec<Value> = text
            .lines()
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(reports[0]["error"]["status"], 403, "{reports:?}");
        assert_eq!(reports[0]["topic"], "quiet/x", "{reports:?}");
        assert_eq!(reports[1]["error"]["status"], 413, "{reports:?}");
        assert!(reports[2]["id"].is_string() && reports[3]["id"].is_string(), "{reports:?}");
    });
}

#[test]
fn clause_5_7_a_websocket_is_told_or_closed() {
    with_rules(|server| {
        let (mut socket, _) = server.json_websocket("/topics/quiet%2Fx,small%2Fx");
        let answer = socket.command(r#"{"type":"publish","topic":"quiet/x","data":"a"}"#);
        assert_eq!((&answer["type"], &answer["status"]), (&json!("error"), &json!(403)));
        let answer = socket.command(r#"{"type":"publish","topic":"small/x","data":"fiver"}"#);
        assert_eq!((&answer["type"], &answer["status"]), (&json!("error"), &json!(413)));
        assert_eq!(socket.command(r#"{"type":"ping"}"#), json!({"type": "pong"}), "it goes on");

        let mut raw = server.raw_websocket("/topics/quiet%2Fx");
        raw.send_text("a");
        assert_eq!(raw.close(), (1008, "no client may publish to this topic".to_owned()));
        let mut raw = server.raw_websocket("/topics/small%2Fx");
        raw.send_text("four");
        assert_eq!(raw.text(), "four");
        raw.send_text("fiver");
        assert_eq!(raw.close().0, 1009);
    });
}

#[test]
fn a_topic_retains_what_its_rule_says_on_every_worker() {
    with_rules(|server| {
        for number in 0..5 {
            for topic in ["quiet%2Flobby", "other"] {
                assert_eq!(post(server, topic, number.to_string().as_bytes()).status, 201);
            }
        }
        // New connections are spread over the workers.
        for _ in 0..8 {
            let poll = server.poll("/topics/quiet%2Flobby?after=earliest");
            assert_eq!(poll["messages"].as_array().unwrap().len(), 2);
            let poll = server.poll("/topics/other?after=earliest");
            assert_eq!(poll["messages"].as_array().unwrap().len(), 5);
        }
    });
}
