//! 112, 113, 130 and 185: one client that is many, or very fast. It comes from 127.0.0.2, as 127.0.0.1 is not
//! counted: a proxy may be there.

use std::net::Ipv4Addr;

use crate::support::{Client, Server, Stream, WebSocket};

/// The flags of a server where a limit is soon met.
const FEW_READS: &[&str] = &["--reads-per-second", "5"];

fn client(server: &Server) -> Client {
    Client::connect_from(Ipv4Addr::new(127, 0, 0, 2).into(), server.address())
}

fn stream(server: &Server) -> Stream {
    let mut client = client(server);
    client.send_request("GET", "/topics/t", &[("Accept", "text/event-stream")], b"");
    let head = client.head();
    assert_eq!(head.status, 200, "an EventSource that is refused never comes back");
    Stream::new(client, head)
}

#[test]
fn attack_112_one_address_has_so_many_connections_and_the_next_is_told_to_wait() {
    let server = Server::start(&["--connections-per-address", "3"]);
    let parked: Vec<Stream> = (0..3).map(|_| stream(&server)).collect();
    let refused = client(&server).request("GET", "/topics/t", &[], b"");
    assert_eq!(refused.status, 429);
    assert!(refused.field("Retry-After").unwrap().parse::<u32>().unwrap() >= 1);
    let mut told = stream(&server);
    assert_eq!(told.event().event.as_deref(), Some("tidings:refused"));
    assert_eq!(told.next_event(), None);
    let mut socket = WebSocket::open_on(client(&server), "/topics/t", &[]);
    assert_eq!(socket.close().0, 1012);
    // Others are served all the while, and so is this address when it has closed one.
    assert_eq!(server.get("/topics/t").status, 200);
    drop(parked);
    drop(socket);
    server.await_metric("tidings_connections", 1);
    for _ in 0..10 {
        assert_eq!(client(&server).request("GET", "/topics/t", &[], b"").status, 200);
    }
}

#[test]
fn attack_113_subscribing_too_fast_is_an_error_and_then_the_end() {
    let server = Server::start(FEW_READS);
    let protocol = [("Sec-WebSocket-Protocol", "tidings.json")];
    let mut socket = WebSocket::open_on(client(&server), "/topics", &protocol);
    assert_eq!(socket.json()["type"], "open");
    let (mut subscribed, mut refused) = (0, 0);
    let closed = loop {
        socket.send_text(r#"{"type":"subscribe","topic":"t"}"#);
        socket.send_text(r#"{"type":"unsubscribe","topic":"t"}"#);
        let frame = socket.frame();
        if frame.opcode == crate::support::CLOSE {
            break frame;
        }
        let answer: serde_json::Value = serde_json::from_slice(&frame.payload).unwrap();
        match answer["type"].as_str() {
            Some("subscribed") => subscribed += 1,
            Some("error") => {
                assert_eq!(answer["status"], 429, "{answer}");
                refused += 1;
            }
            _ => panic!("{answer}"),
        }
        if refused < 100 {
            assert_eq!(socket.json()["type"], "unsubscribed");
        }
    };
    assert_eq!(closed.payload[..2], 1008_u16.to_be_bytes());
    assert_eq!(refused, 100, "after {subscribed} that were carried out");
    server.await_metric("tidings_subscriptions", 0);
}

#[test]
fn attack_130_polling_too_fast_is_429_on_every_wire_of_reading() {
    let server = Server::start(FEW_READS);
    let mut poller = client(&server);
    let mut poll = || poller.request("GET", "/topics/t", &[], b"");
    let refused = (0..10_000).map(|_| poll()).find(|answer| answer.status != 200).unwrap();
    assert_eq!(refused.status, 429);
    let pause: u32 = refused.field("Retry-After").unwrap().parse().unwrap();
    assert!(pause >= 1);
    // Another connection from there does not help; one from elsewhere is served, and so is a publisher.
    let exhausted = |server: &Server| {
        let answers = (0..50).map(|_| client(server).request("HEAD", "/topics/t", &[], b""));
        answers.filter(|answer| answer.status == 429).count()
    };
    assert!(exhausted(&server) > 0);
    assert_eq!(server.get("/topics/t").status, 200);
    assert_eq!(client(&server).request("POST", "/topics/t", &[], b"x").status, 201);
    // Who waited is served again.
    server.ask_until("served", || {
        client(&server).request("GET", "/topics/t", &[], b"").status == 200
    });
    // A request for a hundred topics is a hundred reads.
    let names: Vec<String> = (0..100).map(|number| format!("t{number}")).collect();
    let many = format!("/topics/{}", names.join(","));
    server.ask_until("served", || client(&server).request("GET", &many, &[], b"").status == 200);
    let after = client(&server).request("GET", "/topics/t", &[], b"");
    assert_eq!(after.status, 429);
    // A stream is told in-band, because an EventSource that is refused would never come back.
    let mut told = stream(&server);
    assert_eq!(told.event().event.as_deref(), Some("tidings:refused"));
}

#[test]
fn attack_185_a_million_names_do_not_use_up_the_topics() {
    let server = Server::start(&["--topics-max", "1000", "--requests-max", "1000000"]);
    let quiet = server.head_cursor("quiet");
    let mut listener = server.raw_websocket("/topics/held");
    let (mut client, mut asked) = (server.client(), 0);
    for batch in 0..40 {
        let names: Vec<String> = (0..100).map(|number| format!("{batch}-{number}")).collect();
        let targets = names.iter().map(|name| format!("/topics/{name}"));
        let requests: Vec<u8> =
            targets.flat_map(|target| client.encode_request("GET", &target, &[], b"")).collect();
        client.send(requests);
        for _ in &names {
            assert_eq!(client.answer().status, 200);
            asked += 1;
        }
    }
    assert_eq!(asked, 4_000);
    assert!(server.metric("tidings_topics") <= 1_000);
    // A topic that somebody listens to has stayed; of one that nobody did its epoch is gone, which is told.
    server.publish("held", "still here");
    assert_eq!(listener.text(), "still here");
    let back = server.poll(&format!("/topics/quiet?after={quiet}"));
    assert_eq!(back["gap"][0]["count"], serde_json::Value::Null, "{back}");
    assert_eq!(back["gap"][0]["topic"], "quiet");
    // Who publishes to new topics has as many of them as the operator allowed.
    for number in 1..1_000 {
        let answer = client.request("POST", &format!("/topics/p{number}"), &[], b"x");
        assert_eq!(answer.status, 201, "{number}");
    }
    assert_eq!(client.request("POST", "/topics/one-more", &[], b"x").status, 503);
}
