//! 234 to 246: restarts, drains, herds and clocks.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::afterwards::{assert_nothing_is_left, assert_served};
use crate::support::*;

const FAST: [&str; 4] = ["--drain-spread", "0.05", "--linger", "0.2"];

#[test]
fn attack_234_in_a_drain_all_that_was_acknowledged_is_delivered_before_the_goodbye() {
    for workers in [1, 2, 4] {
        let mut server = Server::start_with_workers(workers, &FAST);
        let (mut lines, _) = server.open_ndjson("/topics/last");
        let (mut events, _) = server.open_event_stream("/topics/last");
        let mut raw = server.raw_websocket("/topics/last");
        let (mut socket, _) = server.json_websocket("/topics/last");
        let mut poll = server.client();
        let cursor = server.head_cursor("last");
        poll.send_request("GET", &format!("/topics/last?wait=50&after={cursor}"), &[], b"");
        server.await_metric("tidings_subscriptions{wire=\"poll\"}", 1);
        let ids: Vec<String> = (0..20).map(|n| server.publish("last", &n.to_string())).collect();
        server.terminate();
        for id in &ids {
            assert_eq!(lines.json_line()["id"], *id);
            assert_eq!(events.dispatched().id.as_deref(), Some(id.as_str()));
            assert_eq!(socket.json()["id"], *id);
            raw.text();
        }
        assert_eq!(lines.json_line()["type"], "drain");
        assert_eq!(lines.line(), None, "the last chunk");
        assert_eq!(events.dispatched().event.as_deref(), Some("tidings:drain"));
        assert_eq!(socket.close().0, 1012);
        assert_eq!(raw.close().0, 1012);
        assert_eq!(data(&poll.answer().json())[0], "0");
        drop((lines, events, raw, socket, poll));
        assert_eq!(server.exit_status(PATIENCE).code(), Some(0));
    }
}

#[test]
fn attack_235_in_a_drain_the_next_answer_says_close_and_idle_connections_are_closed() {
    for workers in [1, 2, 4] {
        let mut server = Server::start_with_workers(workers, &FAST);
        let mut idle: Vec<Client> = (0..10).map(|_| server.client()).collect();
        for client in &mut idle {
            let answer = client.request("GET", "/healthz", &[], b"");
            assert_eq!(answer.field("Connection"), None, "it is kept open");
        }
        let mut fresh = server.client();
        let mut busy = server.client();
        busy.send("GET /healthz HTTP/1.1\r\n");
        server.await_metric("tidings_connections", 13);
        server.terminate();
        for client in &mut idle {
            client.assert_closed();
        }
        fresh.assert_closed();
        // It was in the middle of a request.
        let answer = busy.exchange("Host: h\r\n\r\n");
        assert_eq!((answer.status, answer.field("Connection")), (200, Some("close")));
        busy.assert_closed();
        assert_eq!(server.exit_status(PATIENCE).code(), Some(0));
    }
}

#[test]
fn attack_236_the_goodbyes_of_a_drain_are_spread_over_its_window() {
    let mut server = Server::start_with_workers(2, &["--drain-spread", "3"]);
    // Ten milliseconds a client: a window of three seconds.
    let mut clients: Vec<TcpStream> = Vec::new();
    for _ in 0..300 {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        let request = "GET /topics/a HTTP/1.1\r\nHost: h\r\nAccept: application/x-ndjson\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        clients.push(stream);
    }
    server.await_metric("tidings_subscriptions{wire=\"ndjson\"}", 300);
    server.terminate();
    // The waits are what is measured: 100 ms each, so that the machine being slow only lengthens them.
    let (_silent, pause) = std::sync::mpsc::channel::<()>();
    let mut ended = Vec::new();
    for stream in &clients {
        stream.set_nonblocking(true).unwrap();
    }
    while !clients.is_empty() {
        let _ = pause.recv_timeout(Duration::from_millis(100));
        let before = clients.len();
        clients.retain_mut(|stream| {
            loop {
                match stream.read(&mut [0; 4096]) {
                    Ok(0) => return false,
                    Ok(_) => (),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                    Err(error) => panic!("{error}"),
                }
            }
        });
        ended.push(before - clients.len());
        assert!(ended.len() < 300, "it never ends: {ended:?}");
    }
    // Ten are expected in each of thirty; all at once would be three hundred in one.
    let busy = ended.iter().filter(|&&count| count > 0).count();
    assert!(busy >= 10, "in so few moments: {ended:?}");
    assert!(ended.iter().all(|&count| count <= 90), "so many in one: {ended:?}");
    assert_eq!(server.exit_status(PATIENCE).code(), Some(0));
}

#[test]
fn attack_237_a_second_signal_ends_it_at_once_and_a_drain_that_takes_too_long_counts_who_is_cut_off()
 {
    for (first, second) in [("-TERM", "-TERM"), ("-TERM", "-INT"), ("-INT", "-TERM")] {
        let mut server = Server::start(&["--drain-max", "60", "--head-time", "60"]);
        let mut stuck = server.client();
        stuck.send("GET /healthz HTTP/1.1\r\n");
        server.await_metric("tidings_connections", 2);
        server.signal(first);
        server.await_log("draining");
        server.signal(second);
        let code = if second == "-TERM" { 128 + 15 } else { 128 + 2 };
        assert_eq!(server.exit_status(Duration::from_secs(5)).code(), Some(code));
    }
    let flags = ["--drain-max", "0.5", "--drain-spread", "0.01", "--head-time", "60"];
    let mut server = Server::start(&flags);
    let mut stuck: Vec<Client> = (0..3).map(|_| server.client()).collect();
    for client in &mut stuck {
        client.send("GET /healthz HTTP/1.1\r\n");
    }
    server.await_metric("tidings_connections", 4);
    server.terminate();
    server.await_log("3 connections are cut off");
    assert_eq!(server.exit_status(PATIENCE).code(), Some(0));
}

#[test]
fn attack_239_connections_that_wait_to_be_accepted_when_a_drain_begins_are_served_and_not_reset() {
    for workers in [1, 2, 4] {
        let mut server = Server::start_with_workers(workers, &["--drain-spread", "0.2"]);
        // While the process stands still the kernel completes handshakes all the same.
        server.signal("-STOP");
        let mut queued: Vec<Client> = (0..100).map(|_| server.client()).collect();
        for client in &mut queued {
            client.send_request("POST", "/topics/late", &[], b"in time");
        }
        server.terminate();
        server.signal("-CONT");
        for client in &mut queued {
            assert_eq!(client.answer().status, 201);
            client.assert_closed();
        }
        assert_eq!(server.exit_status(PATIENCE).code(), Some(0), "{workers} workers");
    }
}

#[test]
fn attack_240_a_herd_that_comes_back_at_once_with_its_cursors_is_served_and_nobody_else_refused() {
    for_workers(&["--log-messages", "200"], |server| {
        let cursor = server.publish("herd", "0");
        for number in 1..=100 {
            server.publish("herd", &number.to_string());
        }
        let mut herd: Vec<Client> = (0..400).map(|_| server.client()).collect();
        for (index, client) in herd.iter_mut().enumerate() {
            let (target, accept) = match index % 4 {
                0 => (format!("/topics/herd?after={cursor}"), "text/event-stream"),
                1 => (format!("/topics/herd?after={cursor}"), "application/x-ndjson"),
                2 => (format!("/topics/herd?after={cursor}&wait=50"), "*/*"),
                _ => (format!("/topics/herd?after={cursor}"), "*/*"),
            };
            client.send_request("GET", &target, &[("Accept", accept)], b"");
        }
        assert_served(server);
        let wanted: Vec<String> = (1..=100).map(|number| number.to_string()).collect();
        for (index, mut client) in herd.into_iter().enumerate() {
            if index % 4 >= 2 {
                let poll = client.answer().json();
                assert_eq!((data(&poll), &poll["gap"]), (wanted.clone(), &Value::Null));
                continue;
            }
            let head = client.head();
            assert_eq!(head.status, 200);
            let mut stream = Stream::new(client, head);
            let heard: Vec<String> = (0..100)
                .map(|_| match index % 4 {
                    0 => stream.dispatched().data.unwrap(),
                    _ => loop {
                        let line = stream.json_line();
                        if line["type"] != "open" {
                            break string(&line["data"]);
                        }
                    },
                })
                .collect();
            assert_eq!(heard, wanted);
        }
        assert_nothing_is_left(server);
        assert_eq!(server.metric("tidings_gaps_total"), 0);
    });
}

#[test]
fn attack_241_those_who_are_refused_together_are_told_to_come_back_apart() {
    let server = Server::start(&["--connections-max", "1"]);
    let _kept = server.open_ndjson("/topics/full");
    let (mut seconds, mut ms) = (BTreeMap::new(), BTreeMap::new());
    for _ in 0..60 {
        let answer = server.get("/topics/full");
        answer.problem(503);
        *seconds.entry(answer.field("Retry-After").unwrap().to_owned()).or_insert(0) += 1;
        let line = server.ndjson("/topics/full").json_line();
        assert_eq!((&line["type"], &line["status"]), (&json!("refused"), &json!(503)));
        *ms.entry(line["retry_ms"].as_u64().unwrap()).or_insert(0) += 1;
        let (code, reason) = server.raw_websocket("/topics/full").close();
        assert_eq!(code, 1012);
        *ms.entry(reason.strip_prefix("retry_ms=").unwrap().parse().unwrap()).or_insert(0) += 1;
    }
    assert!(seconds.keys().all(|text| ["1", "2"].contains(&text.as_str())), "{seconds:?}");
    assert!(ms.len() > 60, "of 120: {ms:?}");
    assert!(ms.values().all(|&count| count <= 6), "{ms:?}");
}

#[test]
fn attack_242_nothing_that_clients_come_back_with_is_worse_for_the_server_after_a_restart() {
    let mut server = Server::start_with_workers(2, &[]);
    let cursor = server.publish("loop", "1");
    let both = server.head_cursor("loop,other");
    for _ in 0..3 {
        server.signal("-KILL");
        server.exit_status(PATIENCE);
        server = Server::start_with_workers(2, &[]);
        for cursor in [cursor.as_str(), &both, "zzzzzzzz-18446744073709551615", "garbage", ""] {
            for topics in ["loop", "loop,other", "other"] {
                let target = format!("/topics/{topics}?after={cursor}");
                server.get(&target);
                server.get(&format!("{target}&wait=0"));
                let fields = [("Last-Event-ID", cursor), ("Accept", "text/event-stream")];
                let mut events = server.stream(&format!("/topics/{topics}"), &fields);
                assert!(events.event().retry.is_some());
            }
        }
        // It knows nothing of before, and says so.
        let poll = server.poll(&format!("/topics/loop?after={cursor}"));
        assert_eq!(poll["gap"], json!([{"topic": "loop", "count": null}]));
        assert_nothing_is_left(&server);
        assert_served(&server);
    }
}

#[test]
fn attack_243_a_kill_in_the_middle_of_a_publish_is_no_answer_and_what_was_lost_is_told() {
    for workers in [1, 2] {
        let mut server = Server::start_with_workers(workers, &[]);
        let (mut listener, _) = server.open_ndjson("/topics/killed");
        let id = server.publish("killed", "acknowledged");
        assert_eq!(listener.json_line()["id"], id);
        let mut half = server.client();
        half.send_request("POST", "/topics/killed", &[("Content-Length", "4")], b"ha");
        // Its first byte was read, and it was not answered.
        server.await_metric("tidings_body_bytes", 2);
        server.signal("-KILL");
        server.exit_status(PATIENCE);
        half.assert_closed();
        drop(listener);
        // Topics live in memory: the next server has neither, and says so to whoever comes back.
        let server = Server::start_with_workers(workers, &[]);
        let mut events = server
            .stream("/topics/killed", &[("Accept", "text/event-stream"), ("Last-Event-ID", &id)]);
        let gap = events.dispatched();
        assert_eq!(gap.event.as_deref(), Some("tidings:gap"));
        let told: Value = serde_json::from_str(&gap.data.unwrap()).unwrap();
        assert_eq!(told, json!({"topic": "killed", "count": null}));
        let again = server.publish("killed", "said again");
        assert_eq!(events.dispatched().id, Some(again));
        assert_eq!(data(&server.poll("/topics/killed")), ["said again"], "each once");
    }
}
