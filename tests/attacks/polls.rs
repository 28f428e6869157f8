//! 114 to 131: polls, cursors, and the moments around parking.

use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use socket2::SockRef;

use crate::afterwards::{assert_nothing_is_left, assert_served, subscriptions};
use crate::support::*;

/// Parks a long poll on a connection of its own.
fn park(server: &Server, target: &str) -> Client {
    let mut client = server.client();
    client.send_request("GET", target, &[], b"");
    client
}

#[test]
fn attack_114_clients_that_vanish_while_parked_leave_nothing_to_those_who_take_their_place() {
    for_workers(&[], |server| {
        for round in 0..6 {
            let cursor = server.head_cursor("gone");
            let target = format!("/topics/gone?wait=50&after={cursor}");
            let request = format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n");
            let mut vanishing: Vec<TcpStream> = Vec::new();
            for _ in 0..20 {
                let mut stream = TcpStream::connect(server.address()).unwrap();
                std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
                vanishing.push(stream);
            }
            server.await_metric(&subscriptions("poll"), 20);
            for (index, stream) in vanishing.into_iter().enumerate() {
                match index % 3 {
                    0 => SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap(),
                    1 => stream.shutdown(std::net::Shutdown::Write).unwrap(),
                    _ => (),
                }
                if index == 10 {
                    // Half of them are there, half are not.
                    server.publish("gone", &format!("{round}"));
                }
            }
            assert_nothing_is_left(server);
            let cursor = server.head_cursor("gone");
            let target = format!("/topics/gone?wait=50&after={cursor}");
            let mut parked: Vec<Client> = (0..20).map(|_| park(server, &target)).collect();
            server.await_metric(&subscriptions("poll"), 20);
            let id = server.publish("gone", "for those who are here");
            for client in &mut parked {
                let poll = client.answer().json();
                assert_eq!((data(&poll).len(), &poll["cursor"]), (1, &json!(id)));
                // One answer, and the connection goes on.
                assert_eq!(client.request("GET", "/healthz", &[], b"").text(), "ok\n");
            }
            drop(parked);
            assert_nothing_is_left(server);
        }
    });
}

#[test]
fn attack_117_two_publishes_in_one_segment_reach_who_polls_again_both_in_order_and_once() {
    for_workers(&[], |server| {
        for topic in TOPICS {
            let mut cursor = server.head_cursor(topic);
            let mut publisher = server.client();
            let target = format!("/topics/{topic}");
            for round in 0..10 {
                let mut poll = park(server, &format!("{target}?wait=50&after={cursor}"));
                server.await_metric(&subscriptions("poll"), 1);
                let texts = [format!("{round}a"), format!("{round}b")];
                let both = texts
                    .iter()
                    .map(|text| publisher.encode_request("POST", &target, &[], text.as_bytes()));
                publisher.send(both.collect::<Vec<_>>().concat());
                let mut heard = Vec::new();
                while heard.len() < 2 {
                    let answer = poll.answer().json();
                    assert_eq!(answer["gap"], Value::Null);
                    heard.extend(data(&answer));
                    cursor = string(&answer["cursor"]);
                    if heard.len() < 2 {
                        let target = format!("{target}?wait=50&after={cursor}");
                        poll.send_request("GET", &target, &[], b"");
                    }
                }
                assert_eq!(heard, texts);
                for _ in 0..2 {
                    assert_eq!(publisher.answer().status, 201);
                }
            }
        }
    });
}

#[test]
fn attack_118_an_answer_that_nobody_read_is_given_again_to_the_same_cursor() {
    for_workers(&[], |server| {
        for topic in TOPICS {
            let cursor = server.head_cursor(topic);
            let target = format!("/topics/{topic}?wait=50&after={cursor}");
            let unread = park(server, &target);
            server.await_metric(&subscriptions("poll"), 1);
            server.publish(topic, "once");
            server.await_metric(&subscriptions("poll"), 0);
            drop(unread);
            for _ in 0..3 {
                let poll = server.poll(&target);
                assert_eq!((data(&poll), &poll["gap"]), (vec!["once".into()], &Value::Null));
            }
        }
        assert_nothing_is_left(server);
    });
}

#[test]
fn attack_119_without_a_cursor_a_poll_begins_where_it_says_and_its_cursor_can_be_used() {
    for_workers(&[], |server| {
        for topic in TOPICS {
            let target = format!("/topics/{topic}");
            // A topic that nobody has used yet.
            let fresh = string(&server.poll(&target)["cursor"]);
            let waited = string(&server.poll(&format!("{target}?wait=0"))["cursor"]);
            assert_eq!(waited, fresh);
            server.publish(topic, "1");
            server.publish(topic, "2");
            let first = server.poll(&target);
            assert_eq!(data(&first), ["1", "2"], "a short poll begins at the earliest");
            let head = server.poll(&format!("{target}?wait=0"));
            assert_eq!(data(&head), [""; 0], "a long poll at the head");
            server.publish(topic, "3");
            for (cursor, wanted) in [
                (fresh, vec!["1", "2", "3"]),
                (string(&first["cursor"]), vec!["3"]),
                (string(&head["cursor"]), vec!["3"]),
            ] {
                let poll = server.poll(&format!("{target}?after={cursor}"));
                assert_eq!((data(&poll), &poll["gap"]), (to_owned(&wanted), &Value::Null));
            }
        }
    });
}

fn to_owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

/// What waits or streams tells of a gap of unknown count and gives what is retained, at once.
fn assert_a_gap_on_all_that_waits(server: &Server, topic: &str, after: &str, kept: &[&str]) {
    let target = format!("/topics/{topic}?after={after}");
    let poll = server.poll(&format!("{target}&wait=50"));
    assert_eq!(poll["gap"], json!([{"topic": topic, "count": null}]), "{after}");
    assert_eq!(data(&poll), to_owned(kept), "{after}");
    let mut events = server.event_stream(&target);
    assert_eq!(events.dispatched().event.as_deref(), Some("tidings:gap"), "{after}");
    let (mut lines, _) = server.open_ndjson(&target);
    assert_eq!(lines.json_line()["type"], "gap", "{after}");
    let (mut socket, _) = server.json_websocket(&target);
    assert_eq!(socket.json()["type"], "gap", "{after}");
    for text in kept {
        assert_eq!(events.dispatched().data.as_deref(), Some(*text));
        assert_eq!(lines.json_line()["data"], *text);
        assert_eq!(socket.json()["data"], *text);
    }
    assert_eq!(server.raw_websocket(&target).close().0, 4001, "{after}");
}

#[test]
fn attack_120_122_garbage_and_overflow_are_400_on_a_short_poll_and_a_gap_on_what_waits() {
    for_workers(&[], |server| {
        let id = server.publish("garbage", "kept");
        let epoch = id.split_once('-').unwrap().0;
        let digits = "9".repeat(5_000);
        let overflow = [
            format!("{epoch}-18446744073709551616"),
            format!("{epoch}-340282366920938463463374607431768211456"),
            format!("{epoch}-{digits}"),
        ];
        let garbage = [
            "abc",
            "-1",
            "%2B1",
            "1e3",
            "0x10",
            "%205",
            "%EF%BC%95",
            "%00",
            "1:2:3",
            "[0]",
            "0",
            "-",
            &digits,
        ];
        for bad in garbage.into_iter().chain(overflow.iter().map(String::as_str)) {
            // A bracket is no character of a query (RFC 3986 §3.4): the request is refused as such.
            if bad.contains('[') {
                server.get(&format!("/topics/garbage?after={bad}&wait=50")).problem(400);
                server.get("/topics/garbage?after=%5B0%5D").problem(400);
                assert_a_gap_on_all_that_waits(server, "garbage", "%5B0%5D", &["kept"]);
                continue;
            }
            server.get(&format!("/topics/garbage?after={bad}")).problem(400);
            assert_a_gap_on_all_that_waits(server, "garbage", bad, &["kept"]);
        }
        for bad in ["abc", "+1", "1e3", "0x10", "５", "1:2:3", "[0]", &digits, &overflow[0]] {
            let fields = [("Last-Event-ID", bad)];
            server.request("GET", "/topics/garbage", &fields, b"").problem(400);
        }
        assert_nothing_is_left(server);
        assert_served(server);
    });
}

#[test]
fn attack_121_a_cursor_of_the_future_is_told_of_a_gap_at_once_and_never_parked() {
    for_workers(&[], |server| {
        let id = server.publish("future", "kept");
        let epoch = id.split_once('-').unwrap().0;
        let empty = server.head_cursor("empty");
        let nothing = empty.split_once('-').unwrap().0;
        for ahead in [2, 3, 1 << 32, 1 << 63, u64::MAX - 1, u64::MAX] {
            let cursor = format!("{epoch}-{ahead}");
            let poll = server.poll(&format!("/topics/future?after={cursor}"));
            assert_eq!(poll["gap"], json!([{"topic": "future", "count": null}]), "{ahead}");
            assert_eq!((data(&poll), &poll["cursor"]), (vec!["kept".into()], &json!(id)));
            assert_a_gap_on_all_that_waits(server, "future", &cursor, &["kept"]);
            // Where nothing is retained there is nothing to hear but the gap.
            assert_a_gap_on_all_that_waits(server, "empty", &format!("{nothing}-{ahead}"), &[]);
        }
        assert_nothing_is_left(server);
        assert_served(server);
    });
}

#[test]
fn attack_123_a_cursor_of_an_earlier_epoch_is_told_of_a_gap_and_gets_one_of_the_new_epoch() {
    let lost = Server::start(&[]).publish("again", "lost in a restart");
    for_workers(&[], |server| {
        let deleted = server.publish("again", "deleted");
        assert_eq!(server.request("DELETE", "/topics/again", &[], b"").status, 200);
        let id = server.publish("again", "kept");
        for old in [&lost, &deleted] {
            assert_ne!(old.split_once('-').unwrap().0, id.split_once('-').unwrap().0);
            let poll = server.poll(&format!("/topics/again?after={old}"));
            assert_eq!(poll["gap"], json!([{"topic": "again", "count": null}]));
            assert_eq!((data(&poll), &poll["cursor"]), (vec!["kept".into()], &json!(id)));
            assert_a_gap_on_all_that_waits(server, "again", old, &["kept"]);
        }
    });
}

#[test]
fn attack_124_a_cursor_that_was_trimmed_is_told_how_many_and_gets_the_oldest_that_is_left() {
    for_workers(&["--log-messages", "3"], |server| {
        for topic in TOPICS {
            let first = server.publish(topic, "1");
            for number in 2..=10 {
                server.publish(topic, &number.to_string());
            }
            for wait in ["", "&wait=50"] {
                let poll = server.poll(&format!("/topics/{topic}?after={first}{wait}"));
                assert_eq!(poll["gap"], json!([{"topic": topic, "count": 6}]));
                assert_eq!(data(&poll), ["8", "9", "10"]);
            }
        }
    });
}

#[test]
fn attack_125_a_cursor_of_another_topic_is_a_gap_and_nothing_of_that_topic() {
    for_workers(&[], |server| {
        let secret = server.publish("north", "of the north");
        let own = server.publish("south", "of the south");
        let both = server.head_cursor("north,south");
        for foreign in [&secret, &both, &format!("{secret}.{own}.{own}")] {
            let poll = server.poll(&format!("/topics/south?after={foreign}"));
            assert_eq!(poll["gap"], json!([{"topic": "south", "count": null}]), "{foreign}");
            assert_eq!((data(&poll), &poll["cursor"]), (vec!["of the south".into()], &json!(own)));
            assert_a_gap_on_all_that_waits(server, "south", foreign, &["of the south"]);
        }
    });
}

#[test]
fn attack_126_polls_in_parallel_with_one_cursor_all_get_the_same() {
    for_workers(&[], |server| {
        for topic in TOPICS {
            let cursor = server.publish(topic, "before");
            let target = format!("/topics/{topic}?wait=50&after={cursor}");
            let mut parked: Vec<Client> = (0..10).map(|_| park(server, &target)).collect();
            server.await_metric(&subscriptions("poll"), 10);
            server.publish(topic, "for all");
            let bodies: Vec<Vec<u8>> = parked.iter_mut().map(|poll| poll.answer().body).collect();
            assert!(bodies.iter().all(|body| *body == bodies[0]), "to the byte");
            let late = server.get(&target);
            assert_eq!(late.body, bodies[0], "and whoever comes later with it");
        }
        assert_nothing_is_left(server);
    });
}

#[test]
fn attack_127_who_is_far_behind_gets_pages_that_join_and_are_bounded_in_number_and_bytes() {
    let flags = ["--log-messages", "20000", "--log-bytes", "64M"];
    let server = Server::start_with_workers(2, &flags);
    let count = 20_000;
    let first = server.publish("far", "0");
    // The second half is larger: there the bytes are the bound.
    let line = |number: usize| {
        let width = if number > count / 2 { 1_000 } else { 1 };
        format!("{{\"topic\":\"far\",\"data\":\"{number:0width$}\"}}\n")
    };
    let fields = [("Content-Type", "application/x-ndjson")];
    // In portions whose reports fit on the way: they are read only behind each.
    for portion in 0..count / 1_000 {
        let numbers = portion * 1_000 + 1..=(portion + 1) * 1_000;
        let lines: String = numbers.map(line).collect();
        let answer = server.request("POST", "/topics", &fields, lines.as_bytes());
        assert_eq!(answer.text().matches("\"id\"").count(), 1_000);
    }
    let (mut cursor, mut got, mut pages) = (first, 0, Vec::new());
    let mut client = server.client();
    loop {
        let answer = client.request("GET", &format!("/topics/far?after={cursor}"), &[], b"");
        let page = answer.json();
        assert_eq!(page["gap"], Value::Null);
        for text in data(&page) {
            got += 1;
            assert_eq!(text.trim_start_matches('0').parse(), Ok(got), "in order, each once");
        }
        assert!(data(&page).len() <= 300 && answer.body.len() < 260 * 1024);
        pages.push(data(&page).len());
        cursor = string(&page["cursor"]);
        if page["more"] != true {
            break;
        }
    }
    assert_eq!(got, count);
    assert_eq!(pages[0], 300, "the number is the bound");
    assert!(pages[pages.len() - 2] < 300, "the bytes are");
    drop(client);
    assert_nothing_is_left(&server);
}

#[test]
fn attack_128_when_connections_are_used_up_a_poll_is_503_with_a_time_to_come_back() {
    let server = Server::start(&["--connections-max", "4"]);
    let mut parked: Vec<Client> = (0..4).map(|_| park(&server, "/topics/full?wait=50")).collect();
    for _ in 0..3 {
        for target in ["/topics/full?wait=50", "/topics/full"] {
            let mut refused = park(&server, target);
            let answer = refused.answer();
            answer.problem(503);
            let seconds: u64 = answer.field("Retry-After").unwrap().parse().unwrap();
            assert!((1..=61).contains(&seconds), "{seconds}");
            refused.assert_closed();
        }
    }
    // There is room again when one leaves.
    parked.pop();
    server.ask_until("there is room", || server.get("/healthz").status == 200);
    drop(parked);
    assert_nothing_is_left(&server);
    assert_served(&server);
}
