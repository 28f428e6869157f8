//! Whatever peers send, when they have left nothing of them is (invariant 4).

use fastrand::Rng;
use tidings::reactor::{Readiness, Who};

use crate::client::{Wire, frame, get, metric, publish, take_answers};
use crate::world::{Client, Weather, World};
use crate::{ask, config};

/// Something that a client may send: wrong, right, or right but cut short.
pub(crate) fn traffic(random: &mut Rng) -> Vec<u8> {
    let topic = format!("t{}", random.u8(0..6));
    let path = format!("/topics/{topic}");
    let mut bytes = match random.u8(0..16) {
        0 => (0..random.usize(0..300)).map(|_| random.u8(..)).collect(),
        1 => (0..random.usize(0..300)).map(|_| random.u8(b' '..=b'~')).collect(),
        2 => get(&path).repeat(random.usize(1..6)).into_bytes(),
        3 => get(&format!("{path}?wait=20&after=latest")).into_bytes(),
        4..7 => publish(&topic, &"x".repeat(random.usize(0..2_000))).into_bytes(),
        7 => format!("DELETE {path} HTTP/1.1\r\nHost: t\r\n\r\n").into_bytes(),
        8 => {
            let line = format!("{{\"topic\":\"{topic}\",\"data\":\"x\"}}\n");
            let body = line.repeat(random.usize(0..20));
            let head = "POST /topics HTTP/1.1\r\nHost: t\r\nContent-Type: application/x-ndjson\r\n";
            format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
        }
        9 => {
            let head =
                format!("POST {path} HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n");
            format!("{head}5\r\nhello\r\n0\r\n\r\n").into_bytes()
        }
        10..12 => {
            let wire = Wire::ALL[random.usize(..4)];
            let mut bytes = wire.request(&format!("{path},other")).into_bytes();
            if random.bool() {
                bytes = wire.request(&path).into_bytes();
            }
            if matches!(wire, Wire::Raw | Wire::Json) {
                for _ in 0..random.usize(0..5) {
                    bytes.extend(websocket_traffic(random));
                }
            }
            bytes
        }
        12 => get("/metrics").into_bytes(),
        13 => get(&format!("{path}?after=nonsense")).into_bytes(),
        14 => format!("HEAD {path} HTTP/1.0\r\n\r\n").into_bytes(),
        _ => format!("POST {path} HTTP/1.1\r\nHost: t\r\nContent-Length: 900000\r\n\r\nbegun")
            .into_bytes(),
    };
    if random.u8(0..4) == 0 {
        bytes.truncate(random.usize(0..=bytes.len()));
    }
    if random.u8(0..10) == 0 && !bytes.is_empty() {
        let index = random.usize(..bytes.len());
        bytes[index] = random.u8(..);
    }
    bytes
}

fn websocket_traffic(random: &mut Rng) -> Vec<u8> {
    let commands = [
        r#"{"type":"subscribe","topics":["t1","t2"],"after":"earliest"}"#,
        r#"{"type":"unsubscribe","topics":["t1"]}"#,
        r#"{"type":"publish","topic":"t3","data":"x","key":"k"}"#,
        r#"{"type":"ping"}"#,
        "nonsense",
    ];
    match random.u8(0..8) {
        0 => frame(9, b"ping"),
        1 => frame(8, &[3, 232]),
        2 => frame(2, b"\xff\xfe"),
        3 => (0..random.usize(0..20)).map(|_| random.u8(..)).collect(),
        _ => frame(1, commands[random.usize(..commands.len())].as_bytes()),
    }
}

/// A crowd comes, does what it likes, and goes.
fn churn(seed: u64, workers: usize) {
    let what = format!("seed {seed}, {workers} workers");
    let mut random = Rng::with_seed(seed);
    let config = config(workers, |limits| {
        limits.log_age_ms = 60_000;
        limits.topic_idle_ms = 5_000;
        limits.keep_alive_ms = 30_000;
        limits.log_messages = 20;
        limits.outbox_bytes_max = random.usize(500..5_000);
    });
    let weather = Weather::random(&mut random);
    let mut world = World::new(config, weather, seed);
    let mut crowd: Vec<Client> = Vec::new();
    for _ in 0..400 {
        match random.u8(0..12) {
            0..3 => {
                let client = world.connect(random.usize(..workers));
                crowd.push(client);
                world.send(client, traffic(&mut random));
            }
            3..6 if !crowd.is_empty() => {
                let client = crowd[random.usize(..crowd.len())];
                world.send(client, traffic(&mut random));
            }
            6 if !crowd.is_empty() => {
                let client = crowd.swap_remove(random.usize(..crowd.len()));
                world.reset(client);
            }
            7 if !crowd.is_empty() => world.finish(crowd[random.usize(..crowd.len())]),
            8 | 9 if !crowd.is_empty() => {
                let client = crowd[random.usize(..crowd.len())];
                world.receive_some(client, random.usize(0..3_000));
            }
            10 => world.pass(random.u64(0..400)),
            _ => {
                for _ in 0..random.u8(1..4) {
                    world.round();
                }
            }
        }
    }
    // Some close in the middle of something, others finish and read what they are owed.
    for (index, client) in crowd.into_iter().enumerate() {
        if index % 2 == 0 {
            world.reset(client);
        } else {
            world.finish(client);
        }
    }
    world.weather(|weather| *weather = Weather::FAIR);
    world.settle();
    // Unfinished requests are timed out; messages, topics and replicas grow old.
    for _ in 0..12 {
        world.pass(15_000);
        world.settle();
    }
    assert_nothing_left(&mut world, &what);
}

/// Everybody has left, and what is remembered has grown old.
pub(crate) fn assert_nothing_left(world: &mut World, what: &str) {
    assert_eq!(world.open(), 0, "every socket is closed: {what}");
    assert_eq!(world.post.connections(), 0, "and counted so: {what}");
    for worker in 0..world.workers() {
        world.tick(worker);
        let timeout = world.polls(worker).timeout_ms;
        assert_eq!(timeout, None, "no timer is left at worker {worker}: {what}");
    }
    let scraper = world.connect(0);
    let answer = ask(world, scraper, &get("/metrics"), 1).remove(0);
    let text = String::from_utf8(answer.body).expect("text");
    assert_eq!(metric(&text, "tidings_connections"), 1, "the one that asks: {what}");
    for wire in ["poll", "sse", "ndjson", "websocket"] {
        let name = format!("tidings_subscriptions{{wire=\"{wire}\"}}");
        assert_eq!(metric(&text, &name), 0, "{name}: {what}");
    }
    for name in ["body_bytes", "outbox_bytes", "mail_waiting", "log_bytes", "topics", "replicas"] {
        assert_eq!(metric(&text, &format!("tidings_{name}")), 0, "{name}: {what}");
    }
    assert!(metric(&text, "tidings_messages_published_total") > 0, "something happened: {what}");
}

#[test]
fn after_a_crowd_has_left_every_gauge_is_zero_and_no_socket_and_no_timer_is_left() {
    for seed in 0..200 {
        churn(seed, 1 + seed as usize % 3);
    }
}

#[test]
fn garbage_on_one_connection_changes_nothing_on_another() {
    for seed in 0..20 {
        let mut random = Rng::with_seed(seed);
        let weather = Weather { window: 64 * 1024, ..Weather::random(&mut random) };
        let mut world = World::new(config(2, |_| ()), weather, seed);
        let client = world.connect(0);
        for number in 0..20 {
            for _ in 0..3 {
                let other = world.connect(random.usize(..2));
                let mut bytes = traffic(&mut random);
                // Its own topic is its own business.
                bytes.retain(|&byte| byte != b'q');
                world.send(other, bytes);
                if random.bool() {
                    world.reset(other);
                }
            }
            let answer = ask(&mut world, client, &publish("quiet", &number.to_string()), 1);
            assert_eq!(answer[0].status, 201, "seed {seed}");
            let answer = ask(&mut world, client, &get("/topics/quiet"), 1).remove(0);
            let messages = answer.json()["messages"].as_array().expect("messages").len();
            assert_eq!(messages, number + 1, "seed {seed}");
        }
    }
}

/// A client that publishes to a topic whose owner stands still, sends `more` behind it, and closes its
/// side. What it has got when everything is over, and the sockets that are left; `None` if the owner is
/// another.
fn half_closed(topic: &str, more: &str) -> Option<(Vec<u8>, usize)> {
    let mut world = World::new(config(2, |_| ()), Weather::FAIR, 1);
    let client = world.connect(0);
    world.settle();
    world.stalled[1] = true;
    world.send(client, publish(topic, "x") + more);
    world.finish(client);
    for _ in 0..5 {
        world.round();
    }
    let early = world.receive(client);
    world.stalled[1] = false;
    world.settle();
    early.is_empty().then(|| (world.receive(client), world.open()))
}

#[test]
fn what_begins_after_its_client_has_closed_its_side_ends() {
    let mut requests: Vec<String> =
        Wire::ALL.iter().map(|wire| wire.request("/topics/other")).collect();
    requests.push(get("/topics/other?wait=20"));
    requests.push("POST /topics/t HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\nhalf".to_owned());
    let head = "POST /topics HTTP/1.1\r\nHost: t\r\nContent-Type: application/x-ndjson\r\n";
    requests.push(format!("{head}Content-Length: 99\r\n\r\n{{\"topic\":\"t\""));
    for request in requests {
        let results = (0..10).filter_map(|number| half_closed(&format!("t{number}"), &request));
        let open: Vec<usize> = results.map(|(_, open)| open).collect();
        assert!(open.len() > 2 && open.iter().all(|&open| open == 0), "{open:?} after {request}");
    }
}

#[test]
fn a_whole_batch_is_carried_out_though_its_client_has_closed_its_side() {
    let head = "POST /topics HTTP/1.1\r\nHost: t\r\nContent-Type: application/x-ndjson\r\n";
    for number in 0..10 {
        let topic = format!("t{number}");
        let body = format!("{{\"topic\":\"{topic}\",\"data\":\"x\"}}\n").repeat(200);
        let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
        let mut world = World::new(config(2, |_| ()), Weather::FAIR, 1);
        let client = world.connect(0);
        world.send(client, request);
        world.finish(client);
        world.settle();
        let answers = take_answers(&mut world.receive(client));
        let lines = String::from_utf8(answers[0].body.clone()).expect("text");
        assert_eq!(lines.matches("\"id\"").count(), 200, "{topic}");
        assert_eq!(world.open(), 0);
    }
}

#[test]
fn attack_131_220_223_reports_about_a_connection_that_is_gone_do_not_reach_the_one_in_its_slot() {
    let mut world = World::new(config(1, |_| ()), Weather::FAIR, 1);
    let first = world.connect(0);
    world.settle();
    let (_, gone) = world.key(first).expect("it is accepted");
    // In one batch: the first is reset, and another connects and takes its slot.
    world.reset(first);
    let second = world.connect(0);
    world.tick(0);
    let (_, key) = world.key(second).expect("it is accepted");
    assert_eq!((key.slot, key.generation == gone.generation), (gone.slot, false));
    assert!(world.is_closed(first) && !world.is_closed(second));
    world.settle();
    world.send(second, "GET /healthz HTT");
    world.settle();
    let reads = world.reads(second);
    for (readable, writable, hung_up) in
        [(true, false, false), (false, true, false), (true, true, true)]
    {
        let who = Who::Connection(gone);
        world.rumour(0, Readiness { who, readable, writable, hung_up });
        world.settle();
    }
    assert_eq!(world.reads(second), reads, "nobody has said that there is something to read");
    assert!(!world.is_closed(second));
    world.send(second, "P/1.1\r\nHost: t\r\n\r\n");
    world.settle();
    assert_eq!(take_answers(&mut world.receive(second))[0].status, 200);
    // A report about a slot that never was is ignored too.
    let who = Who::Connection(tidings::key::ConnectionKey { slot: 1_000, generation: 0 });
    world.rumour(0, Readiness { who, readable: true, writable: true, hung_up: true });
    world.settle();
}
