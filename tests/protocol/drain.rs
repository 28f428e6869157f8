//! Clause 18: going away without anybody losing anything.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::*;

const FAST: [&str; 4] = ["--drain-spread", "0.05", "--linger", "0.2"];

#[test]
fn clause_18_1_attack_234_every_kind_of_connection_is_ended_in_its_own_way_and_the_process_exits_with_0()
 {
    for workers in [1, 2, 4] {
        for signal in ["-TERM", "-INT"] {
            let mut server = Server::start_with_workers(workers, &FAST);
            let id = server.publish("news", "x");
            let mut poll = server.client();
            poll.send_request("GET", "/topics/news?wait=60", &[], b"");
            server.await_metric("tidings_subscriptions{wire=\"poll\"}", 1);
            let mut events = server.event_stream("/topics/news");
            events.event();
            let (mut lines, _) = server.open_ndjson("/topics/news");
            let mut raw = server.raw_websocket("/topics/news");
            let (mut json, _) = server.json_websocket("/topics/news");
            let mut idle = server.client();
            idle.request("GET", "/healthz", &[], b"");

            server.signal(signal);

            let answer = poll.answer();
            assert_eq!((answer.status, answer.field("Connection")), (200, Some("close")));
            assert_eq!((data(&answer.json()).len(), &answer.json()["cursor"]), (0, &json!(id)));
            poll.assert_closed();

            let mut seen = Vec::new();
            while let Some(event) = events.next_event() {
                seen.push(event);
            }
            let notice = seen.iter().find(|event| event.event.is_some()).unwrap();
            assert_eq!(notice.event.as_deref(), Some("tidings:drain"));
            let told: Value = serde_json::from_str(notice.data.as_deref().unwrap()).unwrap();
            let retry = seen.iter().find_map(|event| event.retry).unwrap();
            assert_eq!(told, json!({"retry_ms": retry}), "the same delay");
            events.client.assert_closed();

            let line = lines.json_line();
            assert_eq!(line, json!({"type": "drain", "retry_ms": line["retry_ms"].as_u64()}));
            assert_eq!(lines.line(), None, "the last chunk");
            lines.client.assert_closed();

            for socket in [&mut raw, &mut json] {
                let (code, reason) = socket.close();
                assert_eq!(code, 1012);
                assert!(reason.strip_prefix("retry_ms=").unwrap().parse::<u64>().is_ok());
                socket.client.assert_closed();
            }
            idle.assert_closed();
            assert_eq!(server.exit_status(PATIENCE).code(), Some(0), "{workers} {signal}");
        }
    }
}

#[test]
fn clause_18_1_no_new_connections_are_accepted_from_then_on() {
    let server = Server::start(&["--drain-spread", "10"]);
    let mut busy = server.client();
    busy.send("GET /healthz HTTP/1.1\r\n");
    server.await_metric("tidings_connections", 2);
    server.terminate();
    server.ask_until("nothing is accepted", || {
        std::net::TcpStream::connect(server.address()).is_err()
    });
    let answer = busy.exchange("Host: h\r\n\r\n");
    assert_eq!((answer.status, answer.field("Connection")), (200, Some("close")));
    busy.assert_closed();
}

#[test]
fn clause_18_1_a_request_under_way_is_still_served() {
    for_workers(&FAST, |server| {
        let mut client = server.client();
        client.send_request("POST", "/topics/news", &[("Content-Length", "4")], b"ha");
        let mut batch = server.client();
        let fields = [("Content-Type", "application/x-ndjson"), ("Transfer-Encoding", "chunked")];
        batch.send_request("POST", "/topics", &fields, b"");
        let head = batch.head();
        let mut report = Stream::new(batch, head);
        report.client.send("18\r\n{\"topic\":\"t\",\"data\":17}\n\r\n");
        assert_eq!(report.json_line()["line"], 1);
        server.terminate();
        assert_eq!(report.line(), None, "what was taken is reported, and the end is clean");
        // A worker closes its listener in the tick in which its drain begins.
        server.ask_until("every worker drains", || {
            std::net::TcpStream::connect(server.address()).is_err()
        });
        client.send("lf");
        let answer = client.answer();
        assert_eq!((answer.status, answer.field("Connection")), (201, Some("close")));
        client.assert_closed();
    });
}

#[test]
fn clause_18_1_a_server_without_connections_exits_at_once() {
    let mut server = Server::start(&[]);
    server.terminate();
    assert_eq!(server.exit_status(PATIENCE).code(), Some(0));
}

#[test]
fn clause_18_1_the_process_exits_within_drain_max_whatever_is_left() {
    for workers in [1, 4] {
        let flags = ["--drain-max", "0.3", "--drain-spread", "0.01", "--head-time", "60"];
        let mut server = Server::start_with_workers(workers, &flags);
        let mut stuck = server.client();
        stuck.send("GET /healthz HTTP/1.1\r\n");
        server.await_metric("tidings_connections", 2);
        server.terminate();
        assert_eq!(server.exit_status(PATIENCE).code(), Some(0));
    }
}

#[test]
fn clause_18_1_a_second_signal_ends_it_at_once() {
    let mut server = Server::start(&["--drain-max", "60", "--head-time", "60"]);
    let mut stuck = server.client();
    stuck.send("GET /healthz HTTP/1.1\r\n");
    server.await_metric("tidings_connections", 2);
    server.terminate();
    server.await_log("draining");
    server.terminate();
    let status = server.exit_status(Duration::from_secs(5));
    assert_ne!(status.code(), Some(0));
}

#[test]
fn clause_18_1_goodbyes_are_spread_over_the_window() {
    let server = Server::start(&["--drain-spread", "30"]);
    // Ten milliseconds a client: the window of these is half a second, far from one moment.
    let mut streams: Vec<Stream> = (0..50).map(|_| server.open_ndjson("/topics/a").0).collect();
    let mut late = server.raw_websocket("/topics/a?after=earliest");
    server.terminate();
    let mut delivered = 0;
    // Those that are still there are served: whoever is last hears what is said in the meantime.
    for stream in &mut streams {
        let line = stream.json_line();
        assert_eq!(line["type"], "drain", "{line}");
        delivered += 1;
    }
    assert_eq!(delivered, 50);
    assert_eq!(late.close().0, 1012);
}
