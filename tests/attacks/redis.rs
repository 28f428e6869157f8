//! 247 to 260: a Redis that fails in every way.

use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::support::redis_peer::{Deed, Peer, State, Words};
use crate::support::*;

/// How long connections are counted that should be few.
const WINDOW: Duration = Duration::from_secs(3);

/// Lets the time go by in which connections are counted.
fn watch() {
    let (_silent, pause) = channel::<()>();
    let _ = pause.recv_timeout(WINDOW);
}

fn start(peer: &Peer, workers: usize, more: &[&str]) -> Server {
    let url = format!("redis://{}", peer.address);
    let timeout: &[&str] =
        if more.contains(&"--redis-timeout") { &[] } else { &["--redis-timeout", "1"] };
    let flags = [&["--redis", &url], timeout, more].concat();
    Server::start_with_workers(workers, &flags)
}

/// A server that has reached its Redis.
fn reached(peer: &Peer, workers: usize, more: &[&str]) -> Server {
    let server = start(peer, workers, more);
    await_redis(&server);
    server
}

fn await_redis(server: &Server) {
    server.await_metric("tidings_redis_up", 1);
}

fn publish(server: &Server, topic: &str, text: &str) -> Answer {
    server.request("POST", &format!("/topics/{topic}"), &[], text.as_bytes())
}

/// Awaits the subscription of every server to a topic in Redis, and the read behind it.
fn await_listeners(peer: &Peer, channel: &[u8], count: usize) {
    peer.wait_until("they listen and have read", |state| {
        let reads = state.commands("EVALSHA").filter(|words| is_for(words, channel)).count();
        state.listeners(channel) == count && reads >= count
    });
}

fn is_for(words: &Words, channel: &[u8]) -> bool {
    words.get(3).is_some_and(|key| key.strip_suffix(b":state") == Some(channel))
}

fn is(words: &Words, name: &str) -> bool {
    words[0].eq_ignore_ascii_case(name.as_bytes())
}

/// A script that publishes has eleven arguments.
fn is_publish(words: &Words) -> bool {
    is(words, "EVALSHA") && words.len() >= 5 + 11
}

/// The texts of the next messages of a stream; a gap is `None`.
fn hear(stream: &mut Stream, count: usize) -> Vec<Option<String>> {
    let line = |line: Value| match line["type"].as_str() {
        Some("gap") => None,
        _ => Some(string(&line["data"])),
    };
    (0..count).map(|_| line(stream.json_line())).collect()
}

fn texts(texts: &[&str]) -> Vec<Option<String>> {
    texts.iter().map(|text| Some((*text).to_owned())).collect()
}

/// What is true of a server that cannot reach its Redis: who needs nothing of it is served.
fn assert_waits_for_redis(server: &Server) {
    assert_eq!(server.get("/healthz").status, 200);
    assert_eq!(server.get("/").status, 200);
    assert!(server.get("/readyz").problem(503).contains("Redis"));
    let refused = publish(server, "a", "x");
    refused.problem(503);
    assert!(refused.field("Retry-After").is_some());
    assert_eq!(server.metric("tidings_redis_up"), 0);
}

#[test]
fn attack_247_without_redis_at_the_start_clients_are_refused_until_it_is_there() {
    let peer = Peer::absent();
    let server = start(&peer, 2, &[]);
    assert_waits_for_redis(&server);
    peer.appear();
    await_redis(&server);
    server.ask_until("it takes clients", || server.get("/readyz").text() == "ready\n");
    assert_eq!(publish(&server, "a", "x").status, 201);
}

#[test]
fn attack_247_a_redis_that_accepts_and_says_nothing_is_given_up_and_dialled_again() {
    let peer = Peer::with(|_, _| Deed::Nothing);
    let server = start(&peer, 1, &[]);
    assert_waits_for_redis(&server);
    server.ask_until("connections are given up", || {
        server.metric("tidings_redis_connections_lost_total") >= 2
    });
    assert_waits_for_redis(&server);
    peer.behave(|_, _| Deed::Usual);
    await_redis(&server);
    assert_eq!(publish(&server, "a", "x").status, 201);
}

#[test]
fn attack_247_who_waits_for_a_slow_redis_holds_up_nobody() {
    let peer = Peer::usual();
    let server = reached(&peer, 1, &["--redis-timeout", "9"]);
    // What it is asked it does, and says nothing about it.
    peer.behave(|_, words| if is_publish(words) { Deed::Nothing } else { Deed::Usual });
    let mut waiting = server.client();
    waiting.send_request("POST", "/topics/a", &[], b"x");
    peer.wait_until("it is asked", |state| state.said.iter().any(|(_, words)| is_publish(words)));
    for _ in 0..20 {
        assert_eq!(server.get("/healthz").status, 200);
    }
    assert!(server.metric("tidings_redis_in_flight") >= 1, "and what it is asked about itself");
    peer.cut(|_, _| true);
    let detail = waiting.answer().problem(503);
    assert!(detail.contains("nobody knows"), "{detail}");
}

#[test]
fn attack_247_when_redis_dies_subscribers_stay_and_what_is_known_is_still_served() {
    let peer = Peer::usual();
    let server = reached(&peer, 2, &[]);
    let (mut stream, _) = server.open_ndjson("/topics/a");
    await_listeners(&peer, b"tidings:{a}", 1);
    server.publish("a", "before");
    assert_eq!(hear(&mut stream, 1), texts(&["before"]));
    peer.behave(|_, _| Deed::HangUp);
    peer.cut(|_, _| true);
    server.await_metric("tidings_redis_up", 0);
    publish(&server, "a", "lost").problem(503);
    server.ask_until("it says that it is degraded, and why", || {
        let ready = server.get("/readyz");
        assert_eq!(ready.status, 200, "who is connected is better off here");
        let text = ready.text();
        text.starts_with("ready\ndegraded: without Redis for ") && text.contains(" s: ")
    });
    let known = server.poll("/topics/a?after=earliest");
    assert_eq!(data(&known), ["before"]);
    peer.behave(|_, _| Deed::Usual);
    await_redis(&server);
    server.publish("a", "after");
    assert_eq!(hear(&mut stream, 1), texts(&["after"]));
    server.ask_until("all is well again", || server.get("/readyz").text() == "ready\n");
}

#[test]
fn attack_248_a_half_open_connection_is_noticed_and_what_was_missed_is_read() {
    let peer = Peer::usual();
    let server = reached(&peer, 2, &["--topics-per-connection", "64"]);
    let (mut stream, _) = server.open_ndjson("/topics/a,b,c");
    for channel in ["tidings:{a}", "tidings:{b}", "tidings:{c}"] {
        await_listeners(&peer, channel.as_bytes(), 1);
    }
    // The connections that there are go nowhere any more; others are made in time.
    let known = peer.state().accepted;
    peer.behave(move |number, _| if number < known { Deed::Nothing } else { Deed::Usual });
    peer.state().deaf_below = known;
    for (topic, channel) in [("a", "tidings:{a}"), ("b", "tidings:{b}"), ("c", "tidings:{c}")] {
        peer.state().keep(channel.as_bytes(), topic);
    }
    peer.wait_until("others are made", |state| state.accepted >= known + 4);
    let mut heard = hear(&mut stream, 3);
    heard.sort();
    assert_eq!(heard, texts(&["a", "b", "c"]));
    peer.wait_until("every channel is listened to again", |state| {
        ["a", "b", "c"]
            .iter()
            .all(|one| state.listeners(format!("tidings:{{{one}}}").as_bytes()) > 0)
    });
}

#[test]
fn attack_249_a_subscription_that_delivers_nothing_is_found_out_by_the_probe() {
    let peer = Peer::usual();
    let server = reached(&peer, 1, &[]);
    let (mut stream, _) = server.open_ndjson("/topics/a");
    await_listeners(&peer, b"tidings:{a}", 1);
    // Everything is answered, and what is published reaches nobody: a replica that was cut off.
    let known = peer.state().accepted;
    peer.state().deaf_below = known;
    peer.state().keep(b"tidings:{a}", "unheard");
    peer.wait_until("another one is made", |state| state.accepted > known);
    assert_eq!(hear(&mut stream, 1), texts(&["unheard"]));
    assert!(server.metric("tidings_redis_connections_lost_total") >= 1);
}

#[test]
fn attack_250_what_passes_in_a_failover_is_waited_out_and_nothing_is_published_twice() {
    let errors = [
        "READONLY You can't write against a read only replica.",
        "LOADING Redis is loading the dataset in memory",
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        "NOSCRIPT No matching script. Please use EVAL.",
        "BUSY Redis is busy running a script.",
        "STALELIFE it has begun anew",
    ];
    let peer = Peer::usual();
    let server = reached(&peer, 1, &["--redis-publish-wait", "8"]);
    for (number, error) in errors.iter().enumerate() {
        let (said, mut left) = (format!("-{error}\r\n").into_bytes(), 1);
        peer.behave(move |_, words| {
            if is_publish(words) && left > 0 {
                left -= 1;
                return Deed::Only(said.clone());
            }
            Deed::Usual
        });
        let answer = publish(&server, "a", &number.to_string());
        assert_eq!(answer.status, 201, "{error}: {}", answer.text());
        assert_eq!(peer.state().topics[&b"tidings:{a}"[..]].sequence, number as u64 + 1, "{error}");
    }
}

#[test]
fn attack_251_a_subscription_that_redis_cuts_in_the_middle_loses_nothing() {
    let peer = Peer::usual();
    let server = reached(&peer, 2, &[]);
    let (mut stream, _) = server.open_ndjson("/topics/a");
    await_listeners(&peer, b"tidings:{a}", 1);
    let count = 300;
    for number in 0..count {
        {
            let mut state = peer.state();
            let told = state.keep(b"tidings:{a}", &number.to_string());
            state.tell(b"tidings:{a}", &told);
        }
        // client-output-buffer-limit pubsub.
        if number % 100 == 50 {
            peer.cut(|_, channels| !channels.is_empty());
        }
    }
    let expected: Vec<String> = (0..count).map(|number| number.to_string()).collect();
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    assert_eq!(hear(&mut stream, count), texts(&expected));
}

#[test]
fn attack_252_a_hole_is_filled_before_anything_later_is_delivered_or_told() {
    let peer = Peer::usual();
    let server = reached(&peer, 2, &[]);
    let (mut stream, _) = server.open_ndjson("/topics/a");
    await_listeners(&peer, b"tidings:{a}", 1);
    server.publish("a", "1");
    assert_eq!(hear(&mut stream, 1), texts(&["1"]));
    let say_last = |state: &mut State, text: &str| {
        let told = state.keep(b"tidings:{a}", text);
        state.tell(b"tidings:{a}", &told);
    };
    {
        let mut state = peer.state();
        state.keep(b"tidings:{a}", "2");
        say_last(&mut state, "3");
    }
    assert_eq!(hear(&mut stream, 2), texts(&["2", "3"]));
    {
        // The stream has been trimmed meanwhile.
        let mut state = peer.state();
        state.keep(b"tidings:{a}", "4");
        state.topics.get_mut(&b"tidings:{a}"[..]).unwrap().log.clear();
        say_last(&mut state, "5");
    }
    assert_eq!(hear(&mut stream, 2), [None, Some("5".to_owned())]);
    server.ask_until("holes are counted", || server.metric("tidings_redis_holes_total") >= 2);
}

#[test]
fn attack_253_what_comes_twice_or_in_another_order_is_delivered_once_and_in_order() {
    let peer = Peer::usual();
    let server = reached(&peer, 1, &[]);
    let (mut stream, _) = server.open_ndjson("/topics/a");
    await_listeners(&peer, b"tidings:{a}", 1);
    {
        let mut state = peer.state();
        let told: Vec<Vec<u8>> =
            (1..=4).map(|one| state.keep(b"tidings:{a}", &one.to_string())).collect();
        for place in [0, 0, 2, 1, 1, 0, 3, 2, 3] {
            state.tell(b"tidings:{a}", &told[place]);
        }
    }
    assert_eq!(hear(&mut stream, 4), texts(&["1", "2", "3", "4"]));
    server.publish("a", "5");
    assert_eq!(hear(&mut stream, 1), texts(&["5"]), "and nothing between");
}

#[test]
fn attack_254_all_servers_agree_about_the_order_of_what_two_of_them_publish_at_once() {
    let peer = Peer::usual();
    let servers = [reached(&peer, 1, &[]), reached(&peer, 2, &[])];
    let mut streams: Vec<Stream> =
        servers.iter().map(|server| server.open_ndjson("/topics/a").0).collect();
    await_listeners(&peer, b"tidings:{a}", 2);
    let count = 100;
    thread::scope(|scope| {
        for (name, server) in ["x", "y"].iter().zip(&servers) {
            let mut client = server.client();
            scope.spawn(move || {
                for one in 0..count {
                    let text = format!("{name}{one}");
                    let answer = client.request("POST", "/topics/a", &[], text.as_bytes());
                    assert_eq!(answer.status, 201);
                }
            });
        }
    });
    let heard: Vec<_> = streams.iter_mut().map(|stream| hear(stream, 2 * count)).collect();
    assert_eq!(heard[0], heard[1]);
    for name in ["x", "y"] {
        let own = heard[0].iter().flatten().filter(|text| text.starts_with(name));
        let expected = (0..count).map(|one| format!("{name}{one}"));
        assert!(own.cloned().eq(expected), "a publisher's messages are in its order");
    }
}

#[test]
fn attack_255_a_topic_that_begins_anew_is_told_as_a_gap_though_its_numbers_go_back() {
    let peer = Peer::usual();
    let server = reached(&peer, 2, &[]);
    let (mut stream, _) = server.open_ndjson("/topics/a");
    await_listeners(&peer, b"tidings:{a}", 1);
    (1..=3).for_each(|one| drop(server.publish("a", &one.to_string())));
    assert_eq!(hear(&mut stream, 3), texts(&["1", "2", "3"]));
    {
        // FLUSHALL, and then somebody publishes.
        let mut state = peer.state();
        let topic = state.topics.get_mut(&b"tidings:{a}"[..]).unwrap();
        (topic.terms, topic.sequence) = (vec![("zzzzzzzz".to_owned(), 1)], 0);
        topic.log.clear();
        let told = state.keep(b"tidings:{a}", "new");
        state.tell(b"tidings:{a}", &told);
    }
    let gap = stream.json_line();
    assert_eq!((&gap["type"], &gap["count"]), (&Value::from("gap"), &Value::Null), "{gap}");
    let message = stream.json_line();
    assert_eq!(message["data"], "new");
    assert!(message["id"].as_str().unwrap().starts_with("zzzzzzzz-"), "{message}");
}

#[test]
fn attack_256_a_redis_whose_memory_is_used_up_refuses_publishes_visibly() {
    let peer = Peer::usual();
    let server = reached(&peer, 1, &[]);
    let (mut stream, _) = server.open_ndjson("/topics/a");
    await_listeners(&peer, b"tidings:{a}", 1);
    let error = b"-OOM command not allowed when used memory > 'maxmemory'.\r\n";
    peer.behave(|_, words| match is_publish(words) {
        true => Deed::Only(error.to_vec()),
        false => Deed::Usual,
    });
    publish(&server, "a", "x").problem(503);
    server.await_log("maxmemory");
    peer.behave(|_, _| Deed::Usual);
    assert_eq!(publish(&server, "a", "y").status, 201);
    assert_eq!(hear(&mut stream, 1), texts(&["y"]));
}

#[test]
fn attack_257_what_is_no_resp_ends_the_connection_and_takes_no_memory() {
    let junk: [Vec<u8>; 9] = [
        b"$536870912\r\nx".to_vec(),
        [&b"*1\r\n"[..]].repeat(10_000).concat(),
        b"*2147483647\r\n:1\r\n".to_vec(),
        b"$-5\r\n".to_vec(),
        b"*-7\r\n".to_vec(),
        b":twelve\r\n".to_vec(),
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        b"\0\0\0\0\0\0\0\0\r\n".to_vec(),
        [&b"+"[..], &[b'x'; 100_000], b"\r\n"].concat(),
    ];
    thread::scope(|scope| {
        for bytes in junk {
            scope.spawn(move || assert_junk_ends_the_connection(bytes));
        }
    });
}

fn assert_junk_ends_the_connection(bytes: Vec<u8>) {
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(20)]).into_owned();
    let peer = Peer::usual();
    let server = reached(&peer, 1, &[]);
    let (before, known) = (server.resident_bytes(), peer.state().accepted);
    peer.behave(move |number, words| match is_publish(words) && number < known {
        true => Deed::Only(bytes.clone()),
        false => Deed::Usual,
    });
    publish(&server, "a", "x").problem(503);
    assert!(server.resident_bytes() < before + (32 << 20), "{shown}");
    server.ask_until("the connection is given up", || {
        server.metric("tidings_redis_connections_lost_total") >= 1
    });
    assert_eq!(server.get("/healthz").status, 200, "{shown}");
}

#[test]
fn attack_258_names_and_payloads_are_nothing_but_bytes_to_redis() {
    let peer = Peer::usual();
    let server = reached(&peer, 2, &[]);
    let payload = "\r\n$3\r\nFOO\r\n*1\r\n$8\r\nFLUSHALL\r\n\0\u{1f980}";
    let large = "x".repeat(1_000_000);
    for topic in ["a%25b", "a:state", "a.b-c_d~e", "%7Bx%7D%7By%7D", "a%20b", "caf%C3%A9"] {
        let (mut stream, _) = server.open_ndjson(&format!("/topics/{topic}"));
        let answer = publish(&server, topic, payload);
        if answer.status != 201 {
            // Not a name at all: it is refused before anybody hears of it.
            assert_eq!(answer.status, 400, "{topic}");
            continue;
        }
        assert_eq!(publish(&server, topic, &large).status, 201, "{topic}");
        assert_eq!(hear(&mut stream, 2), texts(&[payload, &large]), "{topic}");
    }
    let state = peer.state();
    for words in state.commands("EVALSHA") {
        let key = String::from_utf8(words[3].clone()).unwrap();
        let name = key.strip_prefix("tidings:{").and_then(|rest| rest.strip_suffix("}:state"));
        let name = name.expect("one hash tag, around the name");
        let is_safe = |byte: u8| byte.is_ascii_graphic() && byte != b'{' && byte != b'}';
        assert!(name.bytes().all(is_safe), "{key}");
    }
    let known = ["HELLO", "INFO", "SCRIPT", "EVALSHA", "PUBLISH", "SUBSCRIBE", "UNSUBSCRIBE"];
    for (_, words) in &state.said {
        assert!(
            known.iter().any(|name| is(words, name)),
            "{:?}",
            String::from_utf8_lossy(&words[0])
        );
    }
}

/// Starts a server whose Redis says this to everyone who says hello, and looks at what it does about it.
fn assert_says(answer: &str, expected: &[&str], dials_max: u64) {
    let said = answer.as_bytes().to_vec();
    let peer = Peer::with(move |_, _| Deed::Only(said.clone()));
    let url = format!("redis://somebody:hunter2@{}", peer.address);
    let mut server = Server::start(&["--redis", &url, "--redis-timeout", "1"]);
    peer.wait_until("it is dialled", |state| state.accepted > 0);
    watch();
    let dials = server.metric("tidings_redis_dials_total");
    assert!(dials <= dials_max, "{answer:?}: {dials} dials");
    assert_waits_for_redis(&server);
    server.terminate();
    let log = server.log_to_its_end(PATIENCE).join("\n");
    for word in expected {
        assert!(log.contains(word), "{answer:?}: {word}: {log}");
    }
    assert!(!log.contains("hunter2"), "{log}");
    assert!(log.matches(expected[0]).count() <= 4, "said when it begins, not each time: {log}");
    server.exit_status(PATIENCE);
}

#[test]
fn attack_259_what_will_not_mend_by_itself_is_said_clearly_and_tried_again_slowly() {
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
    assert_says(wrong, &["password"], 2);
    let denied = "-NOPERM this user has no permissions to run the 'hello' command\r\n";
    assert_says(denied, &["NOPERM"], 2);
    // A server that speaks TLS answers with an alert.
    assert_says("\u{15}\u{3}\u{3}\0\u{2}\u{2}\u{28}", &["TLS"], 2);
}

#[test]
fn attack_259_who_may_listen_and_not_publish_is_told_what_is_missing() {
    let peer = Peer::usual();
    let server = reached(&peer, 1, &[]);
    let error = "-NOPERM this user has no permissions to run the 'evalsha' command\r\n";
    peer.behave(move |_, words| match is_publish(words) {
        true => Deed::Only(error.as_bytes().to_vec()),
        false => Deed::Usual,
    });
    publish(&server, "a", "x").problem(503);
    server.await_log("evalsha");
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn attack_260_a_redis_that_hangs_up_on_everyone_is_dialled_ever_more_seldom() {
    let peer = Peer::with(|_, _| Deed::HangUp);
    let server = start(&peer, 4, &[]);
    peer.wait_until("every worker has dialled", |state| state.accepted >= 4);
    watch();
    let dials = server.metric("tidings_redis_dials_total");
    // Full jitter of 100, 200, 400, … ms: 5 or 6 tries of each in this time, and more of who is lucky.
    assert!(dials <= 4 * 2 * 16, "{dials}");
    peer.behave(|_, _| Deed::Usual);
    await_redis(&server);
}

#[test]
fn attack_260_a_thousand_topics_are_subscribed_to_again_in_few_commands() {
    let peer = Peer::usual();
    let server = reached(&peer, 2, &["--topics-per-connection", "64"]);
    let count = 16;
    let mut streams: Vec<Stream> = (0..count)
        .map(|one| {
            let topics: Vec<String> = (0..64).map(|other| format!("t{one}-{other}")).collect();
            server.open_ndjson(&format!("/topics/{}", topics.join(","))).0
        })
        .collect();
    let all_listen = |state: &State| {
        (0..count * 64).all(|number| {
            let channel = format!("tidings:{{t{}-{}}}", number / 64, number % 64);
            state.listeners(channel.as_bytes()) == 1
        })
    };
    peer.wait_until("all are subscribed to", all_listen);
    let before = peer.state().said.len();
    peer.cut(|_, _| true);
    peer.wait_until("and again", |state| {
        let again = state.said[before..].iter().filter(|(_, words)| is(words, "SUBSCRIBE"));
        again.map(|(_, words)| words.len() - 1).sum::<usize>() >= count * 64 && all_listen(state)
    });
    {
        let state = peer.state();
        let again: Vec<usize> = state.said[before..]
            .iter()
            .filter(|(_, words)| is(words, "SUBSCRIBE"))
            .map(|(_, words)| words.len() - 1)
            .collect();
        assert!(again.iter().all(|channels| *channels <= 512), "{again:?}");
        assert!(again.len() <= 12, "{again:?}");
    }
    server.publish("t3-5", "x");
    assert_eq!(hear(&mut streams[3], 1), texts(&["x"]));
}
