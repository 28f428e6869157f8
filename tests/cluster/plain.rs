//! What three servers at one Redis do when nothing goes wrong, and when Redis is not there at first.

use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::folder::until;
use crate::redis::Redis;
use crate::support::{Answer, Server, data, sequence, string};
use crate::tidings::Group;

const PATIENCE: Duration = Duration::from_secs(10);

/// One Redis and three servers.
fn three() -> (Redis, Group) {
    let redis = Redis::start(&[]);
    let group = Group::at(&redis.url());
    (redis, group)
}

fn publish(server: &Server, topic: &str, body: &[u8], key: &str) -> Answer {
    let fields = [("Content-Type", "text/plain"), ("Idempotency-Key", key)];
    server.request("POST", &format!("/topics/{topic}"), &fields, body)
}

/// All that a topic has, as soon as it is so many messages.
fn await_messages(server: &Server, target: &str, count: usize) -> Vec<String> {
    let mut found = Vec::new();
    until(&format!("{count} messages"), PATIENCE, || {
        found = data(&server.poll(target));
        found.len() >= count
    });
    found
}

#[test]
#[ignore = "needs redis-server: tests/run --only cluster"]
fn what_is_published_on_one_server_is_heard_on_every_wire_of_the_others() {
    let (_redis, group) = three();
    let [a, b, c] = &group.servers[..] else { unreachable!() };
    for other in [b, c] {
        let (mut events, _) = other.open_event_stream("/topics/t");
        let (mut lines, _) = other.open_ndjson("/topics/t");
        let mut raw = other.raw_websocket("/topics/t");
        let (mut json, _) = other.json_websocket("/topics/t");
        let mut poll = other.client();
        poll.send_request("GET", "/topics/t?wait=20&after=latest", &[], b"");
        other.await_metric("tidings_subscriptions{wire=\"poll\"}", 1);
        let id = a.publish("t", "hello");
        let event = events.dispatched();
        assert_eq!((event.data.as_deref(), event.id.as_ref()), (Some("hello"), Some(&id)));
        for value in [lines.json_line(), json.json()] {
            assert_eq!((&value["id"], &value["data"]), (&Value::from(&*id), &Value::from("hello")));
        }
        assert_eq!(raw.text(), "hello");
        let answer = poll.answer().json();
        assert_eq!((data(&answer), string(&answer["cursor"])), (vec!["hello".to_owned()], id));
    }
    assert_eq!(await_messages(c, "/topics/t", 2), ["hello", "hello"]);
}

#[test]
#[ignore = "needs redis-server: tests/run --only cluster"]
fn a_cursor_of_one_server_is_good_on_another_that_has_heard_less() {
    let (_redis, group) = three();
    let [a, b, c] = &group.servers[..] else { unreachable!() };
    // One that listens and may not have heard of the message yet, and one that has never heard of the topic.
    let _listening = b.open_ndjson("/topics/t0");
    for round in 0..50 {
        let first = a.publish("t0", &format!("first {round}"));
        let other = if round % 2 == 0 { b } else { c };
        let poll = other.poll(&format!("/topics/t0?after={first}"));
        assert_eq!((data(&poll), &poll["gap"]), (vec![], &Value::Null), "{round}: {poll}");
        let second = c.publish("t0", "second");
        let poll = other.poll(&format!("/topics/t0?wait=5&after={first}"));
        assert_eq!(data(&poll), ["second"], "{round}");
        assert_eq!(poll["cursor"], second);
        let topic = format!("cold{round}");
        let id = a.publish(&topic, "cold");
        let (mut stream, cursor) = b.open_ndjson(&format!("/topics/{topic}?after={id}"));
        assert_eq!(cursor, id);
        a.publish(&topic, "next");
        assert_eq!(stream.json_line()["data"], "next");
    }
}

#[test]
#[ignore = "needs redis-server: tests/run --only cluster"]
fn a_deletion_on_one_server_is_told_on_another() {
    let (_redis, group) = three();
    let [a, b, c] = &group.servers[..] else { unreachable!() };
    let (mut lines, _) = b.open_ndjson("/topics/t");
    let id = a.publish("t", "before");
    assert_eq!(lines.json_line()["data"], "before");
    assert_eq!(a.request("DELETE", "/topics/t", &[], b"").status, 200);
    let gap = lines.json_line();
    assert_eq!((&gap["type"], &gap["count"]), (&Value::from("gap"), &Value::Null), "{gap}");
    let after = c.publish("t", "after");
    let message = lines.json_line();
    assert_eq!((&message["data"], &message["id"]), (&Value::from("after"), &Value::from(&*after)));
    for server in [a, b, c] {
        let poll = server.poll(&format!("/topics/t?after={id}"));
        assert_eq!(poll["gap"][0]["count"], Value::Null, "{poll}");
        assert_eq!(data(&poll), ["after"]);
    }
    assert_eq!(b.request("DELETE", "/topics/never", &[], b"").status, 404);
}

#[test]
#[ignore = "needs redis-server: tests/run --only cluster"]
fn a_repeated_publish_is_known_on_every_server() {
    let (_redis, group) = three();
    let id = |answer: Answer| string(&answer.json()["id"]);
    let ids: Vec<String> =
        group.servers.iter().map(|server| id(publish(server, "t", b"once", "k"))).collect();
    assert_eq!((&ids[0], &ids[0]), (&ids[1], &ids[2]));
    assert_eq!(await_messages(&group.servers[2], "/topics/t", 1), ["once"]);
    assert_ne!(id(publish(&group.servers[1], "other", b"once", "k")), ids[0]);
}

#[test]
#[ignore = "needs redis-server: tests/run --only cluster"]
fn two_publishers_on_two_servers_are_heard_in_one_order_everywhere() {
    let (_redis, group) = three();
    thread::scope(|scope| {
        for server in &group.servers[..2] {
            let (mut client, port) = (server.client(), server.address().port());
            scope.spawn(move || {
                for number in 0..200 {
                    let text = format!("{port}-{number}");
                    let answer = client.request("POST", "/topics/t", &[], text.as_bytes());
                    assert_eq!(answer.status, 201, "{answer:?}");
                }
            });
        }
    });
    let seen: Vec<Vec<String>> = group
        .servers
        .iter()
        .map(|server| {
            let mut stream = server.ndjson("/topics/t?after=earliest");
            stream.json_line();
            (0..400).map(|_| string(&stream.json_line()["data"])).collect()
        })
        .collect();
    assert_eq!((&seen[0], &seen[0]), (&seen[1], &seen[2]));
}

#[test]
#[ignore = "needs redis-server: tests/run --only cluster"]
fn names_of_every_kind_are_topics_of_their_own() {
    let (_redis, group) = three();
    let [a, b, _] = &group.servers[..] else { unreachable!() };
    let names = [
        "a%20b",
        "a%2520b",
        "%7Bx%7D",
        "x",
        "%7B",
        "%7D",
        "%7D%7B",
        "%7B%7D",
        "a%25b",
        "%C3%BC",
        "%F0%9F%8C%8A",
        "..",
        "%2E%2E%2F",
        "a:log",
        "a",
        "%25",
        "a%22b",
        "a'b",
        "A",
    ];
    let streams: Vec<_> =
        names.iter().map(|name| (name, b.open_ndjson(&format!("/topics/{name}")).0)).collect();
    for name in names {
        a.publish(name, name);
    }
    for (name, mut stream) in streams {
        let message = stream.json_line();
        assert_eq!(message["data"], *name, "{message}");
        assert_eq!(await_messages(b, &format!("/topics/{name}"), 1), [*name]);
    }
}

#[test]
#[ignore = "needs redis-server: tests/run --only cluster"]
fn a_prefix_keeps_two_groups_apart() {
    let redis = Redis::start(&[]);
    let one = Group::start(2, &["--redis", &redis.url(), "--redis-prefix", "one"]).ready();
    let other = Group::start(1, &["--redis", &redis.url(), "--redis-prefix", "other"]).ready();
    let (mut lines, _) = other.servers[0].open_ndjson("/topics/t");
    one.servers[0].publish("t", "of one");
    other.servers[0].publish("t", "of the other");
    assert_eq!(lines.json_line()["data"], "of the other");
    assert_eq!(await_messages(&one.servers[1], "/topics/t", 1), ["of one"]);
    assert_eq!(await_messages(&other.servers[0], "/topics/t", 1), ["of the other"]);
}

#[test]
#[ignore = "needs redis-server: tests/run --only cluster"]
fn a_topic_retains_what_was_chosen_and_says_how_much_is_gone() {
    let redis = Redis::start(&[]);
    let flags = ["--redis", &redis.url(), "--log-messages", "10"];
    let group = Group::start(2, &flags).ready();
    let [a, b] = &group.servers[..] else { unreachable!() };
    let first = a.publish("t", "0");
    for number in 1..300 {
        a.publish("t", &number.to_string());
    }
    for server in [b, a] {
        let poll = server.poll(&format!("/topics/t?after={first}"));
        let (gap, messages) = (poll["gap"][0]["count"].as_u64().unwrap(), data(&poll));
        assert_eq!(gap + messages.len() as u64, 299, "{poll}");
        assert!(messages.len() <= 10, "{poll}");
        assert_eq!(messages.last().unwrap(), "299");
    }
    // Redis drops whole pieces of its list, so it keeps a few more.
    let kept = redis.tell(&["XLEN", "tidings:{t}:log"]).integer();
    assert!((10..=210).contains(&kept), "{kept}");
    let ttl = redis.tell(&["PTTL", "tidings:{t}:log"]).integer();
    assert!((3_500_000..=4_100_000).contains(&ttl), "{ttl}");
}

#[test]
#[ignore = "needs redis-server: tests/run --only cluster"]
fn a_message_of_a_mebibyte_passes_whole() {
    let (_redis, group) = three();
    let [a, b, c] = &group.servers[..] else { unreachable!() };
    let (mut lines, _) = b.open_ndjson("/topics/t");
    let large = "wave ".repeat((1 << 20) / 5);
    let id = a.publish("t", &large);
    assert_eq!(lines.json_line()["data"], *large);
    let poll = c.poll("/topics/t");
    assert!(data(&poll) == [large.as_str()], "the same on a server that reads it from the log");
    assert_eq!(poll["cursor"], id);
    a.publish("t", "small");
    assert_eq!(lines.json_line()["data"], "small");
}

#[test]
#[ignore = "needs redis-server: tests/run --only cluster"]
fn ten_thousand_topics_are_subscribed_at_once() {
    let (redis, group) = three();
    let [a, b, _] = &group.servers[..] else { unreachable!() };
    let name = |socket: usize, number: usize| format!("many-{socket}-{number}");
    let mut sockets: Vec<_> = (0..100).map(|_| b.json_websocket("/topics").0).collect();
    for (index, socket) in sockets.iter_mut().enumerate() {
        let names: Vec<String> = (0..100).map(|number| name(index, number)).collect();
        socket.send_text(&format!(r#"{{"type":"subscribe","topics":{}}}"#, Value::from(names)));
    }
    for socket in &mut sockets {
        assert_eq!(socket.json()["type"], "subscribed");
    }
    for (index, socket) in sockets.iter_mut().enumerate() {
        let topic = name(index, index);
        a.publish(&topic, "found");
        assert_eq!(socket.json()["topic"], topic);
    }
    // The same again, all at once, when Redis has cut the subscriptions.
    redis.tell(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    for (index, socket) in sockets.iter_mut().enumerate() {
        let topic = name(index, 99 - index);
        a.publish(&topic, "found again");
        assert_eq!(socket.json()["topic"], topic);
    }
}

#[test]
#[ignore = "needs redis-server: tests/run --only cluster"]
fn a_server_that_starts_before_redis_waits_for_it() {
    let mut redis = Redis::start(&[]);
    redis.kill();
    let group = Group::start(1, &["--redis", &redis.url()]);
    let server = &group.servers[0];
    assert_eq!(server.get("/healthz").status, 200);
    server.get("/readyz").problem(503);
    let refusal = server.request("POST", "/topics/t", &[], b"too early");
    refusal.problem(503);
    assert!(refusal.field("Retry-After").is_some(), "{refusal:?}");
    redis.start_again();
    until("it is ready", PATIENCE, || server.get("/readyz").status == 200);
    server.publish("t", "now");
    assert_eq!(await_messages(server, "/topics/t", 1), ["now"]);
}

#[test]
#[ignore = "needs redis-server: tests/run --only cluster"]
fn a_publish_may_wait_for_redis_to_come_back() {
    let mut redis = Redis::start(&[]);
    let flags = ["--redis", &redis.url(), "--redis-publish-wait", "10"];
    let group = Group::start(1, &flags).ready();
    let server = &group.servers[0];
    server.publish("t", "before");
    redis.kill();
    until("it is missed", PATIENCE, || server.get("/readyz").text().contains("degraded"));
    let mut client = server.client();
    // A worker may not have missed it yet: what is sent then on a dead connection is only sent again under a key.
    client.send_request("POST", "/topics/t", &[("Idempotency-Key", "k")], b"patient");
    redis.start_again();
    let answer = client.answer();
    assert_eq!(answer.status, 201, "{}", answer.text());
}

#[test]
#[ignore = "needs redis-server: tests/run --only cluster"]
fn a_publisher_is_told_when_too_few_replicas_have_his_message() {
    let redis = Redis::start(&[]);
    let port = redis.port.to_string();
    let mut replica = Redis::start(&["--replicaof", "127.0.0.1", &port]);
    until("a replica follows", PATIENCE, || replica.info("master_link_status") == "up");
    let flags = ["--redis", &redis.url(), "--redis-wait", "1"];
    let group = Group::start(1, &flags).ready();
    let server = &group.servers[0];
    server.publish("t", "safe");
    assert_eq!(replica.tell(&["XLEN", "tidings:{t}:log"]).integer(), 1);
    replica.kill();
    server.request("POST", "/topics/t", &[], b"unsafe").problem(503);
    replica.start_again();
    until("a replica follows", PATIENCE, || replica.info("master_link_status") == "up");
    server.publish("t", "safe again");
}

#[test]
#[ignore = "needs redis-server: tests/run --only cluster"]
fn a_key_of_another_type_is_said_and_harms_no_other_topic() {
    let (redis, group) = three();
    let [a, b, _] = &group.servers[..] else { unreachable!() };
    redis.tell(&["SET", "tidings:{broken}:state", "a string"]);
    a.request("POST", "/topics/broken", &[], b"x").problem(503);
    assert_eq!(b.get("/topics/broken").status, 503);
    a.await_log("WRONGTYPE");
    a.publish("whole", "x");
    assert_eq!(await_messages(b, "/topics/whole", 1), ["x"]);
    redis.tell(&["DEL", "tidings:{broken}:state"]);
    let works = || a.request("POST", "/topics/broken", &[], b"x").status == 201;
    until("it works again", PATIENCE, works);
    until("it is read again", PATIENCE, || b.get("/topics/broken").status == 200);
    assert_eq!(await_messages(b, "/topics/broken", 1), ["x"]);
}

#[test]
#[ignore = "needs redis-server: tests/run --only cluster"]
fn numbers_end_where_redis_is_emptied_and_are_not_given_again() {
    let (redis, group) = three();
    let [a, b, _] = &group.servers[..] else { unreachable!() };
    let first = a.publish("t", "first");
    redis.tell(&["FLUSHALL"]);
    let second = b.publish("t", "second");
    assert_eq!((sequence(&first), sequence(&second)), (1, 1));
    assert_ne!(first, second);
}
