//! A worker that panics, over real sockets: the others go on, its topics begin anew, the process stays.
//!
//! The server runs in this process, because only a test can light a fuse. That no time goes by until all
//! is well again, and what else may happen at that moment, is shown in `tests/invariants/panics.rs`.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use tidings::config::{Config, Endpoint, RedisConfig, Topology};
use tidings::fuse::{Fuse, Place};
use tidings::server::{Listen, Server};

use crate::support::redis_peer::Peer;
use crate::support::{Client, PATIENCE, TOPICS, data, family, handshake, string, unquoted};

const WORKERS: usize = 4;

/// A subscriber, who reads bytes and looks for words in them.
struct Subscriber {
    stream: TcpStream,
    topic: &'static str,
    heard: String,
}

impl Subscriber {
    /// Subscribes from the head on, wherever it is when the server looks at it.
    fn open(address: SocketAddr, topic: &'static str, fields: &[(&str, &str)], open: &str) -> Self {
        let mut client = Client::connect(address);
        let head = client.request("HEAD", &format!("/topics/{topic}"), &[], b"");
        let cursor = unquoted(head.head.field("ETag").unwrap()).to_owned();
        let target = format!("/topics/{topic}?wait=60&after={cursor}");
        let request = client.encode_request("GET", &target, fields, b"");
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&request).unwrap();
        let mut subscriber = Self { stream, topic, heard: String::new() };
        assert!(subscriber.hears(&[open]), "{topic}: {}", subscriber.heard);
        subscriber
    }

    /// One on each wire. A long poll says nothing until it ends.
    fn on_all_wires(address: SocketAddr, topic: &'static str) -> Vec<Self> {
        let json = handshake(&[("Sec-WebSocket-Protocol", "tidings.json")]);
        vec![
            Self::open(address, topic, &[("Accept", "text/event-stream")], ": tidings"),
            Self::open(address, topic, &[("Accept", "application/x-ndjson")], "\"open\""),
            Self::open(address, topic, &handshake(&[]), "101 Switching"),
            Self::open(address, topic, &json, "\"open\""),
            Self::open(address, topic, &[], ""),
        ]
    }

    /// Reads until one of `words` was said. False if the connection ends before.
    fn hears(&mut self, words: &[&str]) -> bool {
        let mut buffer = [0; 4_096];
        while !words.iter().any(|word| self.heard.contains(word)) {
            match self.stream.read(&mut buffer) {
                Ok(count @ 1..) => self.heard += &String::from_utf8_lossy(&buffer[..count]),
                Ok(0) => return false,
                Err(error) => {
                    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{}", self.heard);
                    return false;
                }
            }
        }
        true
    }
}

/// Publishes until it succeeds: one answer may be that nobody knows. Returns the epoch.
fn publish(address: SocketAddr, topic: &str, text: &str) -> String {
    for _ in 0..3 {
        let target = format!("/topics/{topic}");
        let answer = Client::connect(address).request("POST", &target, &[], text.as_bytes());
        if answer.status == 201 {
            let id = string(&answer.json()["id"]);
            return id.split_once('-').unwrap().0.to_owned();
        }
        assert_eq!(answer.status, 503);
    }
    panic!("{topic} does not come back");
}

/// A request whose answer nobody needs, and whose connection the panic may take down.
fn provoke(address: SocketAddr, request: &str) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    // It ends with an answer or without; what matters is that it ends.
    let _ = stream.read_to_end(&mut Vec::new());
}

fn restarts(address: SocketAddr) -> u64 {
    let answer = Client::connect(address).request("GET", "/metrics", &[], b"");
    family(&answer.text(), "tidings_worker_restarts_total").unwrap()
}

/// What a worker has dialled ends with it, and the one that takes its place dials anew.
#[test]
fn a_worker_that_panics_takes_its_connections_to_redis_with_it() {
    let peer = Peer::usual();
    let fuse = Fuse::for_tests();
    let host = peer.address.ip().to_string();
    let endpoint = Endpoint { host, port: peer.address.port() };
    let redis = RedisConfig {
        topology: Topology::Servers(vec![endpoint]),
        credentials: None,
        database: 0,
        prefix: "tidings".to_owned(),
        wait_replicas: 0,
        publish_wait_ms: 5_000,
        timeout_ms: 1_000,
        check_ms: 60_000,
        idempotency_window_ms: 1_000,
        topic_idle_ms: 1_000,
        value_bytes_max: 1 << 20,
    };
    let config = Config {
        workers: 1,
        connections_max: 100,
        redis: Some(Arc::new(redis)),
        fuse: fuse.clone(),
        ..Config::default()
    };
    let server = Server::start(config, Listen::on("127.0.0.1:0".parse().unwrap()), 7).unwrap();
    let address = server.addresses()[0];
    let before = publish(address, "t", "before");
    peer.wait_until("both are there", |state| state.open() == 2);
    fuse.light(Place::Accept, 1);
    while fuse.is_lit() {
        provoke(address, "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    }
    peer.wait_until("two others are there", |state| state.accepted == 4 && state.open() == 2);
    assert_eq!(restarts(address), 1);
    assert_eq!(publish(address, "t", "after"), before, "the topic is Redis's, and goes on");
    let polled = Client::connect(address).request("GET", "/topics/t?after=earliest", &[], b"");
    assert_eq!(data(&polled.json()), ["before", "after"]);
}

fn panics_at(place: Place) {
    let fuse = Fuse::for_tests();
    let mut config = Config { workers: WORKERS, connections_max: 1_000, ..Config::default() };
    config.fuse = fuse.clone();
    // A deadline that comes soon, for the panic in a timer.
    config.limits.heartbeat_ms = 200;
    config.limits.drain_spread_ms = 1;
    let server = Server::start(config, Listen::on("127.0.0.1:0".parse().unwrap()), 7).unwrap();
    let address = server.addresses()[0];
    let before = TOPICS.map(|topic| publish(address, topic, "before"));
    let mut subscribers: Vec<Subscriber> =
        TOPICS.iter().flat_map(|topic| Subscriber::on_all_wires(address, topic)).collect();
    subscribers.push(Subscriber::open(address, "provoked", &[("Accept", "text/event-stream")], ""));
    fuse.light(place, 1);
    let mut provoked = 0;
    while fuse.is_lit() {
        provoked += 1;
        assert!(provoked < 10_000, "{place:?} is never passed");
        let body = "Content-Length: 1\r\nConnection: close\r\n\r\nx";
        provoke(address, &format!("POST /topics/provoked HTTP/1.1\r\nHost: x\r\n{body}"));
    }
    subscribers.pop();
    let after = TOPICS.map(|topic| publish(address, topic, "the last word"));
    let (mut dead, mut alive, mut told) = (0, 0, 0);
    for subscriber in &mut subscribers {
        let index = TOPICS.iter().position(|&topic| topic == subscriber.topic).unwrap();
        let is_new = before[index] != after[index];
        // A long poll hears of the gap alone, and so does a raw WebSocket: it is closed.
        if !subscriber.hears(&["the last word", "\"gap\":[", "gap: messages of"]) {
            dead += 1;
            continue;
        }
        alive += 1;
        assert_eq!(subscriber.heard.contains("gap"), is_new, "{place:?}: {}", subscriber.heard);
        told += usize::from(is_new);
    }
    assert!(dead > 0 && alive > dead && told > 0, "{place:?}: {dead}, {alive}, {told}");
    assert_eq!(restarts(address), 1, "{place:?}");
    drop(subscribers);
    let drain = server.drainer();
    drain();
    server.wait().unwrap();
}

#[test]
fn attack_212_a_worker_that_panics_costs_its_own_connections_and_its_topics_a_gap() {
    for place in [Place::Accept, Place::Parser, Place::Letter, Place::Timer, Place::FanOut] {
        panics_at(place);
    }
}

#[test]
fn attack_212_a_worker_that_panics_in_a_drain_still_drains() {
    let fuse = Fuse::for_tests();
    let config =
        Config { workers: 2, connections_max: 100, fuse: fuse.clone(), ..Config::default() };
    let server = Server::start(config, Listen::on("127.0.0.1:0".parse().unwrap()), 7).unwrap();
    let address = server.addresses()[0];
    let stream = [("Accept", "text/event-stream")];
    let mut subscribers: Vec<Subscriber> =
        (0..4).map(|_| Subscriber::open(address, "t", &stream, ": tidings")).collect();
    fuse.light(Place::Drain, 1);
    let drain = server.drainer();
    drain();
    let drained =
        subscribers.iter_mut().filter_map(|one| one.hears(&["tidings:drain"]).then_some(()));
    assert!((1..4).contains(&drained.count()), "those of the other worker");
    server.wait().unwrap();
    assert!(!fuse.is_lit());
}

#[test]
fn attack_212_a_worker_that_panics_again_and_again_ends_the_server_with_an_error() {
    let fuse = Fuse::for_tests();
    let config =
        Config { workers: 2, connections_max: 100, fuse: fuse.clone(), ..Config::default() };
    let server = Server::start(config, Listen::on("127.0.0.1:0".parse().unwrap()), 7).unwrap();
    let address = server.addresses()[0];
    std::thread::spawn(move || {
        // One of the two has panicked six times after eleven panics at the latest.
        for _ in 0..11 {
            fuse.light(Place::Accept, 1);
            while fuse.is_lit() {
                match TcpStream::connect(address) {
                    Ok(mut stream) => drop(stream.read(&mut [0])),
                    Err(_) => return,
                }
            }
        }
    });
    let error = server.wait().unwrap_err();
    assert!(error.contains("panicked 6 times"), "{error}");
}
