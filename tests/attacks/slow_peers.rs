//! 99 to 113: peers that are slow, stuck, or half gone.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

use crate::afterwards::{assert_nothing_is_left, assert_served, closed, subscriptions};
use crate::support::*;

fn refused(kind: &str) -> String {
    format!("tidings_refusals_total{{reason=\"{kind}\"}}")
}

#[test]
fn attack_099_who_connects_and_sends_nothing_is_closed_at_the_first_byte_deadline() {
    for_workers(&["--first-byte", "0.5"], |server| {
        let mut silent: Vec<Client> = (0..20).map(|_| server.client()).collect();
        silent[0].assert_silent();
        assert_served(server);
        for client in &mut silent {
            client.assert_closed();
        }
        server.await_metric(&closed("first_byte_timeout"), 20);
        assert_nothing_is_left(server);
    });
}

#[test]
fn attack_100_a_head_that_dribbles_is_408_at_a_deadline_that_no_byte_extends() {
    for_workers(&["--head-time", "0.5", "--first-byte", "60"], |server| {
        let mut slow: Vec<Client> = (0..20).map(|_| server.client()).collect();
        for (index, client) in slow.iter_mut().enumerate() {
            // Stuck in the target, also behind an empty line, in a name, a value, and at the end of a line.
            let begun = [
                "GET /topics/",
                "\r\nGET /topics/",
                "GET / HTTP/1.1\r\nHo",
                "GET / HTTP/1.1\r\nA: ",
                "GET / HTTP/1.1\r\nHost: h\r\n",
            ];
            client.send(begun[index % begun.len()]);
        }
        server.ask_until("all of them were refused", || {
            slow.iter_mut().for_each(|client| {
                client.try_send(b"a");
            });
            server.metric(&refused("head-too-slow")) == 20
        });
        assert_served(server);
        for client in &mut slow {
            let answer = client.answer();
            answer.problem(408);
            assert_eq!(answer.field("Connection"), Some("close"));
            client.assert_closed();
        }
        server.await_metric(&closed("head_timeout"), 20);
        drop(slow);
        assert_nothing_is_left(server);
    });
}

#[test]
fn attack_101_a_body_that_dribbles_is_408_and_publishes_nothing() {
    for_workers(&["--body-grace", "0.3", "--body-rate-min", "100K"], |server| {
        let (length, chunked) = (("Content-Length", "50000"), ("Transfer-Encoding", "chunked"));
        let begun = [
            (length, ""),
            (length, "some of it"),
            (chunked, "5;e="),
            (chunked, "5000\r\nhe"),
            (chunked, "5\r\nhello\r\n0\r\nTrailer: "),
        ];
        let mut slow = Vec::new();
        for (framing, body) in begun {
            let mut client = server.client();
            client.send_request("POST", "/topics/slow", &[framing], body.as_bytes());
            slow.push(client);
        }
        let count = slow.len() as u64;
        server.ask_until("all of them were refused", || {
            slow.iter_mut().for_each(|client| {
                client.try_send(b"0");
            });
            server.metric(&refused("body-too-slow")) == count
        });
        for client in &mut slow {
            let answer = client.answer();
            answer.problem(408);
            assert_eq!(answer.field("Connection"), Some("close"));
            client.assert_closed();
        }
        server.await_metric(&closed("body_timeout"), count);
        assert_eq!(server.metric("tidings_messages_published_total"), 0);
        assert_eq!(data(&server.poll("/topics/slow")), [""; 0]);
        assert_served(server);
        drop(slow);
        assert_nothing_is_left(server);
    });
}

/// A connection with a receive buffer as small as the kernel has them.
fn narrow(server: &Server) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(1).unwrap();
    socket.connect_timeout(&server.address().into(), PATIENCE).unwrap();
    let stream: TcpStream = socket.into();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

#[test]
fn attack_102_103_who_takes_nothing_of_an_answer_is_reset_when_its_time_is_up() {
    for_workers(&["--write-progress", "0.5"], |server| {
        for _ in 0..30 {
            server.publish("wide", &"w".repeat(100_000));
        }
        let polls = "GET /topics/wide HTTP/1.1\r\nHost: h\r\n\r\n".repeat(20);
        let streams = "GET /topics/wide?after=earliest HTTP/1.1\r\nHost: h\r\nAccept: \
                       text/event-stream\r\n\r\n";
        let mut stuck: Vec<TcpStream> = (0..10).map(|_| narrow(server)).collect();
        for (index, stream) in stuck.iter_mut().enumerate() {
            let request = if index % 2 == 0 { polls.as_str() } else { streams };
            stream.write_all(request.as_bytes()).unwrap();
        }
        // The window is shut, and this side's kernel acknowledges every probe of it.
        assert_served(server);
        server.await_metric(&closed("write_timeout"), 10);
        for mut stream in stuck {
            let mut taken = Vec::new();
            let error = stream.read_to_end(&mut taken).expect_err("no proper end");
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
            assert!(taken.len() < 2_000_000, "most of it was never sent: {}", taken.len());
        }
        assert_nothing_is_left(server);
    });
}

#[test]
fn attack_108_who_half_closes_behind_a_finite_request_is_answered_and_behind_an_endless_one_gone() {
    for_workers(&[], |server| {
        let finite: [(&str, &str, &[u8], u16); 4] = [
            ("GET", "/topics/a", b"", 200),
            ("GET", "/topics/a?wait=0", b"", 200),
            ("POST", "/topics/a", b"half", 201),
            ("GET", "/metrics", b"", 200),
        ];
        for (method, target, body, status) in finite {
            let mut client = server.client();
            client.send_request(method, target, &[], body);
            client.half_close();
            assert_eq!(client.answer().status, status, "{method} {target}");
            client.assert_closed();
        }
        let mut parked = server.client();
        parked.send_request("GET", "/topics/b?wait=50", &[], b"");
        let websocket = server.raw_websocket("/topics/b").client;
        let events = server.open_event_stream("/topics/b").0.client;
        let lines = server.open_ndjson("/topics/b").0.client;
        for mut client in [parked, websocket, events, lines] {
            client.half_close();
            client.rest();
        }
        assert_nothing_is_left(server);
        assert_served(server);
    });
}

#[test]
fn attack_108_a_half_close_behind_an_answer_that_is_not_read_does_not_spin() {
    let server = Server::start(&["--write-progress", "60"]);
    for _ in 0..30 {
        server.publish("wide", &"w".repeat(100_000));
    }
    let mut stuck = narrow(&server);
    let polls = "GET /topics/wide HTTP/1.1\r\nHost: h\r\n\r\n".repeat(20);
    stuck.write_all(polls.as_bytes()).unwrap();
    stuck.shutdown(std::net::Shutdown::Write).unwrap();
    let mut client = server.client();
    let ticks = |client: &mut Client| {
        let text = client.request("GET", "/metrics", &[], b"").text();
        family(&text, "tidings_ticks_total").unwrap()
    };
    // Until it has settled, and then for a while in which nothing happens.
    client.assert_silent();
    let before = ticks(&mut client);
    for _ in 0..5 {
        client.assert_silent();
    }
    let spent = ticks(&mut client) - before;
    assert!(spent < 100, "{spent} turns in 600 ms of nothing");
    // It is still owed its answers, and gets them.
    let mut taken = Vec::new();
    stuck.read_to_end(&mut taken).unwrap();
    assert!(taken.len() > 20 * 200_000, "{}", taken.len());
    drop(client);
    assert_nothing_is_left(&server);
}

/// Closes with a reset rather than an end.
fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
}

#[test]
fn attack_109_a_reset_while_answers_are_written_frees_each_connection_once() {
    for_workers(&[], |server| {
        server.publish("wide", &"w".repeat(100_000));
        let before = server.metric("tidings_connections_opened_total");
        let head = "GET /topics/wide?after=earliest HTTP/1.1\r\nHost: h\r\n";
        let requests = [
            format!("{head}Accept: text/event-stream\r\n\r\n"),
            format!("{head}Accept: application/x-ndjson\r\n\r\n"),
            format!("{head}\r\n").repeat(30),
            format!(
                "{head}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            ),
        ];
        for round in 0..4 {
            let mut victims = Vec::new();
            for request in requests.iter().cycle().take(40) {
                let mut stream = narrow(server);
                stream.write_all(request.as_bytes()).unwrap();
                victims.push(stream);
            }
            for (index, mut stream) in victims.into_iter().enumerate() {
                // Some before the first byte, some in the middle.
                if index % 3 != 0 {
                    stream.read_exact(&mut [0; 100]).unwrap();
                }
                if index % 2 == 0 {
                    server.publish("wide", &"v".repeat(1_000));
                }
                reset(stream);
            }
            eprintln!("round {round}");
            assert_nothing_is_left(server);
        }
        let text = server.get("/metrics").text();
        let opened = family(&text, "tidings_connections_opened_total").unwrap();
        let ended = family(&text, "tidings_connections_closed_total").unwrap();
        assert_eq!(opened - ended, 1, "the one that asks");
        assert!(opened - before >= 160);
        assert_served(server);
    });
}

#[test]
fn attack_111_a_websocket_that_sends_a_byte_a_segment_costs_reads_and_no_writes() {
    for_workers(&[], |server| {
        let mut socket = server.raw_websocket("/topics/bytes");
        let text = "é".repeat(500);
        let frame = WebSocket::encode(FIN | TEXT, text.as_bytes());
        let before = server.metric("tidings_writes_total");
        // The socket does not wait to fill a segment.
        for byte in &frame {
            socket.client.send([*byte]);
        }
        assert_eq!(socket.text(), text);
        let writes = server.metric("tidings_writes_total") - before;
        assert!(writes < 20, "{writes} writes for one message");
        assert_eq!(sequence(&server.head_cursor("bytes")), 1, "it was published once");
        assert_eq!(server.metric(&subscriptions("websocket")), 1);
        drop(socket);
        assert_nothing_is_left(server);
        assert_served(server);
    });
}
