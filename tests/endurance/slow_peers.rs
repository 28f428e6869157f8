//! Slow and stuck peers by the thousand, with an honest client beside them: it notices nothing, they are
//! gone by their deadline, and each costs no more than docs/operating.md says.

use std::io::Write;
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::crowd::*;
use crate::support::Server;

/// What a deadline may be late by when the machine is busy.
const SLACK: Duration = Duration::from_secs(12);
/// Bytes of memory of a connection that is served nothing (docs/operating.md).
const IDLE_BYTES: u64 = 1 << 10;
/// The default bounds.
const HEAD_BYTES: u64 = 16 << 10;
const OUTBOX_BYTES: u64 = 64 << 10;
const POLL_BYTES: u64 = 256 << 10;

/// A crowd whose descriptors fit into a process, and a small one.
const MANY: usize = 4_000;
const FEW: usize = 40;

const FLAGS: [&str; 12] = [
    "--first-byte",
    "1.5",
    "--head-time",
    "1.5",
    "--body-grace",
    "1",
    "--write-progress",
    "2",
    "--linger",
    "0.5",
    "--heartbeat",
    "1",
];

/// A server, its honest client, and what a crowd of slow ones does to it.
fn besiege(count: usize, reason: &str, bytes: u64, attack: impl FnOnce(&Server, usize) -> Crowd) {
    raise_descriptor_limit();
    let server = Server::start_with_workers(2, &FLAGS);
    let honest = Honest::start(server.address());
    server.await_metric("tidings_subscriptions{wire=\"sse\"}", 1);
    let weighing = Weighing::begin(&server);
    let crowd = attack(&server, count);
    let arrived = Instant::now();
    let (deadline, mut grown) = (crowd.deadline + SLACK, 0);
    within("all of them are gone", deadline, || {
        grown = weighing.grown().max(grown);
        if crowd.dribbles {
            dribble(&crowd.streams);
        }
        Metrics::of(&server).closed(reason) >= count as u64
    });
    println!("  {reason}: gone {:?} after the last one came", arrived.elapsed());
    check_weight(reason, grown, count, bytes);
    honest.finish();
    drop(crowd);
    server.await_metric("tidings_connections", 1);
    assert_eq!(Metrics::of(&server).closed(reason), count as u64);
}

/// What an attack has left behind.
struct Crowd {
    streams: Vec<TcpStream>,
    /// Whether each goes on sending a byte now and then.
    dribbles: bool,
    /// By when all of them are to be gone.
    deadline: Duration,
}

impl Crowd {
    fn new(streams: Vec<TcpStream>, seconds: f64) -> Self {
        Self { streams, dribbles: false, deadline: Duration::from_secs_f64(seconds) }
    }
}

fn many_of(server: &Server, count: usize, buffer: Option<usize>, bytes: &[u8]) -> Vec<TcpStream> {
    (0..count).map(|_| connect_and_send(server.address(), buffer, bytes)).collect()
}

fn silent(count: usize) {
    besiege(count, "first_byte_timeout", IDLE_BYTES, |server, count| {
        Crowd::new((0..count).map(|_| connect(server.address(), None)).collect(), 1.5)
    });
}

fn slow_heads(count: usize) {
    besiege(count, "head_timeout", IDLE_BYTES + 2 * HEAD_BYTES, |server, count| {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}", "a".repeat(12_000));
        let streams = many_of(server, count, None, head.as_bytes());
        Crowd { dribbles: true, ..Crowd::new(streams, 1.5) }
    });
}

fn slow_bodies(count: usize) {
    let lengths = "POST /topics/a HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nx";
    let chunks =
        "POST /topics/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n1;e";
    for head in [lengths, chunks] {
        besiege(count, "body_timeout", IDLE_BYTES + 4_096, |server, count| {
            let streams = many_of(server, count, None, head.as_bytes());
            Crowd { dribbles: true, ..Crowd::new(streams, 2.0) }
        });
    }
}

/// Fills the log of `topic` with what several polls cannot hold.
fn fill(server: &Server, topic: &str) {
    for _ in 0..150 {
        server.publish(topic, &"x".repeat(4_000));
    }
}

/// Readers of finite answers, with the smallest window that there is, which is never read from.
fn slow_readers(count: usize) {
    let bytes = IDLE_BYTES + OUTBOX_BYTES + POLL_BYTES + 8_192;
    besiege(count, "write_timeout", bytes, |server, count| {
        fill(server, "a");
        let polls = "GET /topics/a HTTP/1.1\r\nHost: a\r\n\r\n".repeat(10);
        Crowd::new(many_of(server, count, Some(1), polls.as_bytes()), 2.0)
    });
}

/// Readers of endless answers that were given something, and of those that are given heartbeats.
fn zero_windows(count: usize) {
    let bytes = IDLE_BYTES + OUTBOX_BYTES + 8_192;
    besiege(count, "write_timeout", bytes, |server, count| {
        fill(server, "a");
        let streams = (0..count).map(|number| {
            let wire = Wire::ALL[number % 4];
            let request = wire.request("a", "after=earliest");
            connect_and_send(server.address(), Some(1), &request)
        });
        Crowd::new(streams.collect(), 2.0)
    });
}

/// Those who send requests without end behind one that is parked.
fn pipeliners(count: usize) {
    raise_descriptor_limit();
    // What is behind a parked poll is not read, and so not seen to have ended, before that is answered.
    let flags = [&FLAGS[..], &["--wait-max", "4"]].concat();
    let server = Server::start_with_workers(2, &flags);
    let honest = Honest::start(server.address());
    server.await_metric("tidings_subscriptions{wire=\"sse\"}", 1);
    let weighing = Weighing::begin(&server);
    let mut bytes = Wire::LongPoll.request("a", "");
    bytes.extend("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n".repeat(10_000).into_bytes());
    let crowd: Vec<TcpStream> = (0..count)
        .map(|_| {
            let mut stream = connect(server.address(), None);
            // As much as is taken.
            let _ = stream.write(&bytes);
            stream
        })
        .collect();
    within("they are parked", SLACK, || {
        Metrics::of(&server).value("tidings_subscriptions{wire=\"poll\"}") >= count as u64
    });
    let mut grown = 0;
    for _ in 0..50 {
        grown = weighing.grown().max(grown);
        std::thread::sleep(Duration::from_millis(20));
    }
    check_weight("pipelining behind a parked poll", grown, count, IDLE_BYTES + (80 << 10));
    honest.finish();
    crowd.into_iter().for_each(reset);
    within("nothing is left", SLACK, || Metrics::of(&server).value("tidings_connections") == 1);
}

/// Those who close their side: in the middle of a head, and behind a request that would be endless.
fn half_closes(count: usize) {
    for (bytes, reason) in [
        (b"GET / HTTP/1.1\r\nHo".to_vec(), "peer_aborted"),
        (
            b"POST /topics/a HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx".to_vec(),
            "peer_aborted",
        ),
        (Wire::Sse.request("a", ""), "peer_closed"),
        (Wire::Json.request("a", ""), "peer_closed"),
        (Wire::LongPoll.request("a", ""), "peer_closed"),
    ] {
        raise_descriptor_limit();
        let server = Server::start_with_workers(2, &FLAGS);
        let honest = Honest::start(server.address());
        server.await_metric("tidings_subscriptions{wire=\"sse\"}", 1);
        let streams = many_of(&server, count, None, &bytes);
        streams.iter().for_each(half_close);
        within("all of them are gone", SLACK, || {
            Metrics::of(&server).closed(reason) >= count as u64
        });
        honest.finish();
        server.await_metric("tidings_connections", 1);
    }
}

#[test]
fn a_few_slow_and_stuck_peers_are_gone_by_their_deadline() {
    silent(FEW);
    slow_heads(FEW);
    slow_bodies(FEW);
    slow_readers(FEW);
    zero_windows(FEW);
    half_closes(FEW);
    pipeliners(FEW);
}

#[test]
#[ignore = "thousands of connections: tests/run --only endurance"]
fn thousands_of_silent_peers_and_slow_heads_are_gone_by_their_deadline() {
    silent(MANY);
    slow_heads(MANY);
}

#[test]
#[ignore = "thousands of connections: tests/run --only endurance"]
fn thousands_of_slow_bodies_are_gone_by_their_deadline() {
    slow_bodies(MANY);
}

#[test]
#[ignore = "thousands of connections: tests/run --only endurance"]
fn thousands_of_slow_readers_are_gone_by_their_deadline() {
    slow_readers(MANY / 4);
    zero_windows(MANY);
    pipeliners(MANY / 4);
}

#[test]
#[ignore = "thousands of connections: tests/run --only endurance"]
fn thousands_of_half_closed_connections_are_gone_at_once() {
    half_closes(MANY / 2);
}

/// The tool that everybody uses, in each of its ways.
#[test]
#[ignore = "needs the Debian package slowhttptest: tests/run --only endurance"]
fn slowhttptest_finds_nothing_to_hold_on_to() {
    for (mode, more) in
        [("-H", ["-i", "1"]), ("-B", ["-i", "1"]), ("-R", ["-a", "1"]), ("-X", ["-k", "5"])]
    {
        let server = Server::start_with_workers(2, &FLAGS);
        fill(&server, "a");
        let honest = Honest::start(server.address());
        let status = Command::new("slowhttptest")
            .args([mode, "-c", "1000", "-r", "500", "-l", "8", "-p", "3", "-x", "32"])
            .args(more)
            .args(["-u", &format!("http://{}/topics/a", server.address())])
            .stdout(std::process::Stdio::null())
            .status()
            .expect("slowhttptest is there: apt-get install slowhttptest");
        println!("  slowhttptest {mode}: {status}");
        let rounds = honest.finish();
        within("all of them are gone", SLACK, || {
            Metrics::of(&server).value("tidings_connections") == 1
        });
        // The honest client, the log, and those who asked for numbers opened one at a time.
        let opened = Metrics::of(&server).value("tidings_connections_opened_total");
        assert!(opened > 1_000 + rounds, "it did come: {opened}");
    }
}
