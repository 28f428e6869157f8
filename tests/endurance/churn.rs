//! A long run of coming and going on all wires, after which nothing is left of it: descriptors, gauges and
//! timers are what they were, and memory has no slope.
//!
//! `TIDINGS_CHURN_SECONDS=7200 cargo test --release --test endurance churn -- --ignored --nocapture` makes
//! it last as long as you like.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::crowd::*;
use crate::process::Process;
use crate::support::{Client, FIN, PING, Server, Stream, TEXT, WebSocket, string, unquoted};

const FLAGS: [&str; 24] = [
    "--topic-idle",
    "1",
    "--log-age",
    "2",
    "--log-messages",
    "100",
    "--idempotency-window",
    "1",
    "--first-byte",
    "2",
    "--head-time",
    "2",
    "--body-grace",
    "1",
    "--keep-alive",
    "2",
    "--write-progress",
    "2",
    "--linger",
    "0.3",
    "--heartbeat",
    "1",
    "--ping",
    "1",
];
/// Connections at any time.
const ACTORS: usize = 300;
/// Topics that they are about.
const TOPICS: usize = 12;
/// Gauges that are exactly zero when everybody has left and topics are forgotten.
const GAUGES: [&str; 7] = [
    "tidings_subscriptions",
    "tidings_body_bytes",
    "tidings_outbox_bytes",
    "tidings_mail_waiting",
    "tidings_topics",
    "tidings_replicas",
    "tidings_log_bytes",
];

/// Something that a client may send first.
fn request(random: &mut Rng) -> Vec<u8> {
    let topic = format!("t{}", random.usize(..TOPICS));
    let post = format!("POST /topics/{topic} HTTP/1.1\r\nHost: a\r\n");
    let mut bytes = match random.u8(..12) {
        0 | 1 => format!("{post}Content-Length: 1000\r\n\r\n{}", "x".repeat(1_000)).into_bytes(),
        2 => {
            format!("{post}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n").into_bytes()
        }
        3 => {
            let line =
                format!("{{\"topic\":\"{topic}\",\"data\":\"x\",\"key\":\"k\"}}\n").repeat(20);
            let head = "POST /topics HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-ndjson\r\n";
            format!("{head}Content-Length: {}\r\n\r\n{line}", line.len()).into_bytes()
        }
        4 => format!("DELETE /topics/{topic} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes(),
        5 => format!("GET /topics/{topic} HTTP/1.1\r\nHost: a\r\n\r\n").repeat(5).into_bytes(),
        6 => (0..random.usize(1..300)).map(|_| random.u8(..)).collect(),
        _ => {
            let wire = Wire::ALL[random.usize(..Wire::ALL.len())];
            let topics = [topic.clone(), format!("{topic},other")][random.usize(..2)].clone();
            let cursor = ["", "after=earliest", "after=nonsense", "last=3"][random.usize(..4)];
            wire.request(&topics, cursor)
        }
    };
    if random.u8(..5) == 0 {
        bytes.truncate(random.usize(1..=bytes.len()));
    }
    bytes
}

/// Something that a client may send later, right or wrong.
fn more(random: &mut Rng) -> Vec<u8> {
    let command = [
        r#"{"type":"subscribe","topics":["t1","t2"],"after":"earliest"}"#,
        r#"{"type":"unsubscribe","topics":["t1"]}"#,
        r#"{"type":"publish","topic":"t3","data":"x"}"#,
    ][random.usize(..3)];
    match random.u8(..4) {
        0 => WebSocket::encode(FIN | PING, b"p"),
        1 => WebSocket::encode(TEXT, b"half a message"),
        2 => WebSocket::encode(FIN | TEXT, command.as_bytes()),
        _ => request(random),
    }
}

/// One connection of the crowd does one thing.
fn act(actor: &mut Option<TcpStream>, random: &mut Rng, server: &Server) {
    let Some(stream) = actor else {
        let buffer = [None, Some(1)][random.usize(..2)];
        let mut stream = connect(server.address(), buffer);
        let _ = stream.write(&request(random));
        *actor = Some(stream);
        return;
    };
    match random.u8(..16) {
        0 => *actor = None,
        1 | 2 => reset(actor.take().unwrap()),
        // The server may have ended it.
        3 => drop(stream.shutdown(std::net::Shutdown::Write)),
        4..7 => drop(stream.write(&more(random))),
        7..14 if read_some(stream, random.usize(1..20_000)).is_none() => *actor = None,
        _ => (),
    }
}

/// A client that goes from wire to wire with one cursor and misses nothing.
fn hop(address: std::net::SocketAddr, stop: &AtomicBool, seed: u64) -> u64 {
    let mut random = Rng::with_seed(seed);
    let topic = format!("hop{seed}");
    let path = format!("/topics/{topic}");
    // Its subscription keeps the topic, and so the epoch, for as long as it hops.
    let mut keeper = Client::connect(address);
    keeper.send_request("GET", &path, &[("Accept", "application/x-ndjson")], b"");
    let head = keeper.head();
    let mut keeper = Stream::new(keeper, head);
    let mut cursor = string(&keeper.json_line()["cursor"]);
    let (mut hops, mut sent) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        let count = random.u64(1..5);
        let texts: Vec<String> = (sent..sent + count).map(|number| number.to_string()).collect();
        for text in &texts {
            let answer = Client::connect(address).request("POST", &path, &[], text.as_bytes());
            assert_eq!(answer.status, 201, "{answer:?}");
            assert_eq!(keeper.json_line()["data"], **text);
        }
        sent += count;
        let target = format!("{path}?after={cursor}");
        let mut client = Client::connect(address);
        let mut got = Vec::new();
        match random.u8(..5) {
            0 | 1 => {
                let wait = [("Prefer", "wait=5"), ("Accept", "*/*")][random.usize(..2)];
                let answer = client.request("GET", &target, &[wait], b"");
                cursor = unquoted(answer.field("ETag").unwrap()).to_owned();
                let poll = answer.json();
                assert_eq!(poll.get("gap"), None, "{poll}");
                got = crate::support::data(&poll);
            }
            2 => {
                client.send_request("GET", &target, &[("Accept", "text/event-stream")], b"");
                let head = client.head();
                let mut stream = Stream::new(client, head);
                while got.len() < texts.len() {
                    let event = stream.dispatched();
                    cursor = event.id.unwrap();
                    got.push(event.data.unwrap());
                }
            }
            3 => {
                client.send_request("GET", &target, &[("Accept", "application/x-ndjson")], b"");
                let head = client.head();
                let mut stream = Stream::new(client, head);
                stream.json_line();
                while got.len() < texts.len() {
                    let line = stream.json_line();
                    cursor = string(&line["id"]);
                    got.push(string(&line["data"]));
                }
            }
            _ => {
                let fields = [("Sec-WebSocket-Protocol", "tidings.json")];
                let mut websocket = WebSocket::open_on(client, &target, &fields);
                websocket.json();
                while got.len() < texts.len() {
                    let envelope = websocket.json();
                    cursor = string(&envelope["id"]);
                    got.push(string(&envelope["data"]));
                }
            }
        }
        assert_eq!(got, texts, "hop {hops} from {target}");
        hops += 1;
    }
    hops
}

/// Everybody has left: what there is must be what there was.
fn await_nothing(server: &Server, descriptors: usize, what: &str) {
    let process = Process(server.id());
    // A replica is kept warm for 10 s, and a topic for a little longer than its messages.
    let took = within(what, Duration::from_secs(30), || {
        let metrics = Metrics::of(server);
        // The one that asks is a connection, and may be a descriptor still.
        GAUGES.iter().all(|gauge| metrics.value(gauge) == 0)
            && metrics.value("tidings_connections") == 1
            && process.descriptors() <= descriptors + 1
    });
    println!("  {what} {took:?} after the last one left");
    within("the descriptors are what they were", Duration::from_secs(5), || {
        process.descriptors() == descriptors
    });
}

/// No timer is left: a server that is left alone does nothing.
fn assert_idle(server: &Server) {
    let ticks = || Metrics::of(server).value("tidings_ticks_total");
    let before = ticks();
    thread::sleep(Duration::from_millis(1_500));
    let after = ticks();
    // Being asked costs some, and so does the connection's own deadline.
    assert!(after - before < 40, "{} ticks in a second and a half of silence", after - before);
}

fn churn(workers: usize, seed: u64, duration: Duration) {
    raise_descriptor_limit();
    let server = Server::start_with_workers(workers, &FLAGS);
    let process = Process(server.id());
    let address = server.address();
    await_nothing(&server, process.descriptors(), "nothing is there at first,");
    let descriptors = process.descriptors();
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    let hopper = thread::spawn(move || hop(address, &told, seed));
    let mut random = Rng::with_seed(seed);
    let mut actors: Vec<Option<TcpStream>> = (0..ACTORS).map(|_| None).collect();
    let (began, mut resident, mut actions) = (Instant::now(), Vec::new(), 0_u64);
    let snapshot = (duration / 40).max(Duration::from_millis(100));
    while began.elapsed() < duration {
        let until = Instant::now() + snapshot;
        while Instant::now() < until {
            for _ in 0..20 {
                let index = random.usize(..ACTORS);
                act(&mut actors[index], &mut random, &server);
                actions += 1;
            }
            thread::sleep(Duration::from_millis(1));
        }
        resident.push(process.resident_bytes());
        if resident.len() % 10 == 0 {
            let connections = Metrics::of(&server).value("tidings_connections_opened_total");
            println!(
                "  {:?}: {actions} actions, {connections} connections, {} KiB resident",
                began.elapsed(),
                resident[resident.len() - 1] >> 10
            );
        }
    }
    actors.clear();
    stop.store(true, Ordering::Relaxed);
    let hops = hopper.join().unwrap();
    println!("  {hops} hops from wire to wire, nothing missed");
    assert!(hops > 0 && actions > 0);
    await_nothing(&server, descriptors, "nothing is left");
    assert_idle(&server);
    check_slope(&resident);
}

/// Memory that was warm in the second quarter is not more in the last. Allocators keep pages, and what is
/// resident swings with the crowd: 5 %, or 1 MiB, is not a slope. A run of 60 s makes hundreds of thousands of
/// connections: what leaks 16 bytes for each is seen.
fn check_slope(resident: &[u64]) {
    let quarter = resident.len() / 4;
    let most = |part: &[u64]| part.iter().copied().max().unwrap();
    let (early, late) =
        (most(&resident[quarter..2 * quarter]), most(&resident[resident.len() - quarter..]));
    println!("  at most {} KiB in the second quarter, {} KiB in the last", early >> 10, late >> 10);
    assert!(late <= early + (early / 20).max(1 << 20), "{early} to {late}");
}

fn seconds() -> u64 {
    let text = std::env::var("TIDINGS_CHURN_SECONDS").unwrap_or_else(|_| "60".to_owned());
    text.parse().expect("TIDINGS_CHURN_SECONDS is a number")
}

#[test]
fn a_little_churn_leaves_nothing_behind() {
    churn(1, 1, Duration::from_secs(4));
}

#[test]
#[ignore = "takes as long as TIDINGS_CHURN_SECONDS says: tests/run --only endurance"]
fn churn_leaves_nothing_behind_on_one_worker() {
    churn(1, 2, Duration::from_secs(seconds()));
}

#[test]
#[ignore = "takes as long as TIDINGS_CHURN_SECONDS says: tests/run --only endurance"]
fn churn_leaves_nothing_behind_on_four_workers() {
    churn(4, 3, Duration::from_secs(seconds()));
}

/// Connections that are reset as soon as they are there.
fn resets(count: usize, workers: usize) {
    raise_descriptor_limit();
    let server = Server::start_with_workers(workers, &["--topic-idle", "1", "--log-age", "1"]);
    await_nothing(&server, Process(server.id()).descriptors(), "nothing is there at first,");
    let descriptors = Process(server.id()).descriptors();
    let honest = Honest::start(server.address());
    let began = Instant::now();
    for _ in 0..count {
        reset(connect(server.address(), None));
    }
    println!("  {count} connections made and reset in {:?}", began.elapsed());
    honest.finish();
    await_nothing(&server, descriptors, "nothing is left of the resets");
    let metrics = Metrics::of(&server);
    let opened = metrics.value("tidings_connections_opened_total");
    let closed = metrics.value("tidings_connections_closed_total");
    assert_eq!(opened, closed + 1, "each was closed once");
}

/// One client that subscribes and leaves, over and over, in every way there is to leave.
fn reconnects(count: usize, workers: usize) {
    raise_descriptor_limit();
    let server = Server::start_with_workers(workers, &["--topic-idle", "1", "--log-age", "1"]);
    await_nothing(&server, Process(server.id()).descriptors(), "nothing is there at first,");
    let descriptors = Process(server.id()).descriptors();
    let honest = Honest::start(server.address());
    let (began, mut random) = (Instant::now(), Rng::with_seed(4));
    for number in 0..count {
        let wire = Wire::ALL[number % Wire::ALL.len()];
        let stream = connect_and_send(server.address(), None, &wire.request("storm", ""));
        if random.bool() {
            // Until it is subscribed, or until something is there of it.
            let until = Instant::now() + Duration::from_millis(20);
            while Instant::now() < until
                && read_some(&stream, 512).is_some_and(|some| some.is_empty())
            {
                thread::yield_now();
                if wire == Wire::LongPoll {
                    break;
                }
            }
        }
        match number % 3 {
            0 => drop(stream),
            1 => reset(stream),
            _ => {
                half_close(&stream);
                drop(stream);
            }
        }
    }
    println!("  {count} subscriptions made and left in {:?}", began.elapsed());
    honest.finish();
    await_nothing(&server, descriptors, "nothing is left of the storm");
}

#[test]
fn a_few_connections_that_come_and_go_leave_nothing_behind() {
    resets(200, 1);
    reconnects(200, 1);
}

#[test]
#[ignore = "thousands of connections: tests/run --only endurance"]
fn attack_110_ten_thousand_connections_reset_at_once_leave_nothing_behind() {
    resets(10_000, 2);
}

#[test]
#[ignore = "thousands of connections: tests/run --only endurance"]
fn attack_149_a_storm_of_reconnects_leaves_no_subscriber_behind() {
    reconnects(5_000, 2);
}
