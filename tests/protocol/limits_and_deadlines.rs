//! The bounds that no peer can go beyond: times of clauses 15, 16.1, 11.6, and what is said of memory.

use std::net::{IpAddr, Ipv4Addr};

use crate::support::*;

fn closed(reason: &str) -> String {
    format!("tidings_connections_closed_total{{reason=\"{reason}\"}}")
}

#[test]
fn a_connection_that_says_nothing_is_closed_after_the_first_byte_time() {
    for_workers(&["--first-byte", "0.1"], |server| {
        let mut silent = server.client();
        silent.assert_closed();
        server.await_metric(&closed("first_byte_timeout"), 1);
    });
}

#[test]
fn clause_15_1_the_head_time_is_absolute_and_dribbling_does_not_extend_it() {
    for_workers(&["--head-time", "0.3", "--first-byte", "60", "--keep-alive", "60"], |server| {
        let mut slow = server.client();
        slow.send("GET / HTTP/1.1\r\nHost: h\r\nA: ");
        // A byte with each question: the head would go on for ever.
        let name = closed("head_timeout");
        server.ask_until("the head was refused", || {
            slow.try_send(b"a");
            server.metric(&name) == 1
                || server.metric("tidings_refusals_total{reason=\"head-too-slow\"}") == 1
        });
        slow.answer().problem(408);
    });
}

#[test]
fn clause_16_1_an_idle_persistent_connection_is_closed_after_keep_alive() {
    for_workers(&["--keep-alive", "0.1"], |server| {
        let mut idle = server.client();
        assert_eq!(idle.request("GET", "/healthz", &[], b"").status, 200);
        idle.assert_closed();
        server.ask_until("it was idle", || server.metric(&closed("idle_timeout")) >= 1);
    });
}

#[test]
fn clause_16_1_keep_alive_does_not_cut_a_parked_poll_or_a_stream() {
    let server =
        Server::start(&["--keep-alive", "0.1", "--first-byte", "0.1", "--head-time", "0.1"]);
    let (mut stream, _) = server.open_ndjson("/topics/a");
    let mut poll = server.client();
    poll.send_request("GET", "/topics/a?wait=60", &[], b"");
    poll.assert_silent();
    poll.assert_silent();
    server.publish("a", "x");
    assert_eq!(data(&poll.answer().json()), ["x"]);
    assert_eq!(stream.json_line()["data"], "x");
}

#[test]
fn clause_15_1_a_body_slower_than_its_rate_is_408() {
    for_workers(&["--body-grace", "0.2", "--body-rate-min", "100K"], |server| {
        let mut slow = server.client();
        slow.send_request("POST", "/topics/a", &[("Content-Length", "100000")], b"");
        let name = "tidings_refusals_total{reason=\"body-too-slow\"}";
        server.ask_until("the body was refused", || {
            slow.try_send(b"x");
            server.metric(name) == 1
        });
        slow.answer().problem(408);
    });
}

#[test]
fn clause_15_1_a_body_that_keeps_to_its_rate_may_take_longer_than_the_grace() {
    let server = Server::start(&["--body-grace", "0.1", "--body-rate-min", "1K"]);
    let mut steady = server.client();
    steady.send_request("POST", "/topics/a", &[("Content-Length", "40000")], &[b'x'; 20_000]);
    // Twenty thousand bytes are worth twenty seconds.
    steady.assert_silent();
    steady.assert_silent();
    steady.send([b'x'; 20_000]);
    assert_eq!(steady.answer().status, 201);
}

#[test]
fn a_subscriber_that_never_reads_is_closed_and_holds_nobody_up() {
    for_workers(&["--write-progress", "0.3", "--log-bytes", "1M"], |server| {
        let mut stuck = Client::connect_narrow(4096, server.address());
        stuck.send_request("GET", "/topics/wide", &[("Accept", "text/event-stream")], b"");
        assert_eq!(stuck.head().status, 200);
        let (mut reader, _) = server.open_ndjson("/topics/wide");
        for number in 0..40 {
            let id = server.publish("wide", &number.to_string().repeat(100_000));
            assert_eq!(reader.json_line()["id"], id, "who reads hears it");
        }
        server.await_metric(&closed("write_timeout"), 1);
        server.await_metric("tidings_subscriptions{wire=\"sse\"}", 0);
    });
}

#[test]
fn a_slow_reader_lags_in_the_log_and_is_told_of_its_gap() {
    for_workers(
        &["--log-messages", "10", "--outbox-bytes-max", "8K", "--write-progress", "60"],
        |server| {
            let mut slow = Client::connect_narrow(4096, server.address());
            slow.send_request("GET", "/topics/wide", &[("Accept", "application/x-ndjson")], b"");
            let head = slow.head();
            let mut stream = Stream::new(slow, head);
            assert_eq!(stream.json_line()["type"], "open");
            let total = 300;
            for _ in 0..total {
                server.publish("wide", &"w".repeat(20_000));
            }
            let (mut accounted, mut gaps) = (0, 0);
            while accounted < total {
                let line = stream.json_line();
                if line["type"] == "gap" {
                    gaps += 1;
                    accounted += line["count"].as_u64().unwrap();
                } else {
                    accounted += 1;
                    assert_eq!(sequence(&string(&line["id"])), accounted, "in order, each once");
                }
            }
            assert_eq!(accounted, total);
            assert!(gaps > 0, "six megabytes fit nowhere on the way");
        },
    );
}

#[test]
fn clause_11_6_a_websocket_message_has_its_time_and_dribbling_does_not_extend_it() {
    let server = Server::start(&["--websocket-message-time", "0.3"]);
    let mut slow = server.raw_websocket("/topics/a");
    slow.send_frame(TEXT, b"begun");
    let name = "tidings_subscriptions{wire=\"websocket\"}";
    server.ask_until("it is closed", || {
        slow.client.try_send(&WebSocket::encode(FIN | PONG, b""));
        server.metric(name) == 0
    });
    assert_eq!(slow.close().0, 1008);

    // Inside of one frame.
    let mut slow = server.raw_websocket("/topics/a");
    slow.client.send([FIN | TEXT, 0x80 | 126, 0x7f, 0xff, 0, 0, 0, 0]);
    server.ask_until("it is closed", || {
        slow.client.try_send(b"x");
        server.metric(name) == 0
    });
    assert_eq!(slow.close().0, 1008);
}

#[test]
fn clause_11_6_a_message_that_is_whole_in_time_is_fine_and_the_next_has_its_own_time() {
    let server = Server::start(&["--websocket-message-time", "0.3", "--ping", "60"]);
    let mut socket = server.raw_websocket("/topics/a?after=earliest");
    for _ in 0..4 {
        socket.send_frame(TEXT, b"be");
        socket.client.assert_silent();
        socket.send_frame(FIN | CONTINUATION, b"gun");
        assert_eq!(socket.text(), "begun");
    }
}

#[test]
fn clause_11_6_pings_are_not_sent_while_there_is_traffic() {
    let server = Server::start(&["--ping", "1", "--pong-wait", "5"]);
    let mut listener = server.raw_websocket("/topics/a");
    for number in 0..10 {
        server.publish("a", &number.to_string());
        assert_eq!(listener.text(), number.to_string(), "no ping between");
    }
    assert_eq!(listener.frame().opcode, PING, "but when it is quiet");
}

#[test]
fn surplus_connections_are_bounded_too() {
    let server = Server::start(&["--connections-max", "1", "--first-byte", "60"]);
    let mut kept = server.client();
    assert_eq!(kept.request("GET", "/healthz", &[], b"").status, 200);
    // Beyond those that wait for a refusal, connections are closed without a word.
    let silent: Vec<Client> = (0..100).map(|_| server.client()).collect();
    server.ask_until("only so many are kept", || {
        let text = kept.request("GET", "/metrics", &[], b"").text();
        (2..=65).contains(&family(&text, "tidings_connections").unwrap())
    });
    drop(silent);
}

#[test]
fn addresses_of_one_ipv4_host_are_counted_apart_from_others_and_give_room_back() {
    for_workers(&["--connections-per-address", "8"], |server| {
        let from = |last: u8| {
            Client::connect_from(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), server.address())
        };
        // With several workers each has its share: together they never keep more than all.
        let mut kept = Vec::new();
        let mut refused = 0;
        for _ in 0..30 {
            let mut client = from(9);
            match client.request("GET", "/healthz", &[], b"").status {
                200 => kept.push(client),
                status => {
                    assert_eq!(status, 429);
                    refused += 1;
                }
            }
        }
        assert!((1..=8).contains(&kept.len()) && refused >= 22, "{}", kept.len());
        assert_eq!(from(10).request("GET", "/healthz", &[], b"").status, 200);
    });
}

#[test]
fn after_churn_every_gauge_is_zero() {
    for_workers(&["--topic-idle", "0.2", "--log-age", "0.2"], |server| {
        for topic in TOPICS {
            let target = format!("/topics/{topic}");
            let _stream = server.open_ndjson(&target);
            let _events = server.open_event_stream(&target);
            let _socket = server.json_websocket(&target);
            let mut poll = server.client();
            poll.send_request("GET", &format!("{target}?wait=60"), &[], b"");
            let mut half = server.client();
            half.send_request("POST", &target, &[("Content-Length", "50000")], &[b'x'; 20_000]);
            let mut batch = server.client();
            let fields = [("Content-Type", "application/x-ndjson"), ("Content-Length", "500000")];
            batch.send_request("POST", "/topics", &fields, b"{\"topic\":\"x\",\"data\":\"");
            server.publish(topic, "x");
        }
        // The one that asks.
        server.await_metric("tidings_connections", 1);
        for gauge in ["poll", "sse", "ndjson", "websocket"] {
            server.await_metric(&format!("tidings_subscriptions{{wire=\"{gauge}\"}}"), 0);
        }
        server.await_metric("tidings_body_bytes", 0);
        server.await_metric("tidings_log_bytes", 0);
        server.await_metric("tidings_topics", 0);
    });
}
