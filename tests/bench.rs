//! `tidings bench`, small: every scenario against a server that it starts, one that runs already, and one that
//! is no tidings at all. Speeds are not looked at; what has to come has to come.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test fails by panicking; all of this crate is tests"
)]

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use support::Server;

fn bench(arguments: &str, more: &[String]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
    command.arg("bench").args(arguments.split(' ')).args(more);
    command.output().unwrap()
}

/// What a run found.
struct Found {
    json: Value,
}

impl Found {
    fn run(arguments: &str, more: &[String]) -> Self {
        let output = bench(arguments, more);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments}: {errors}");
        Self { json: serde_json::from_slice(&output.stdout).unwrap() }
    }

    fn figure(&self, name: &str, of: &str) -> f64 {
        let figures = self.json["figures"].as_array().unwrap();
        let figure = figures.iter().find(|one| one["name"] == name && one["of"] == of);
        let figure = figure.unwrap_or_else(|| panic!("no {name} of {of:?} in {}", self.json));
        figure["value"].as_f64().unwrap()
    }

    /// Nothing was missed, refused, repeated or lost. That the machine was busy may be said.
    fn is_complete(&self) {
        for remark in self.json["remarks"].as_array().unwrap() {
            let remark = remark.as_str().unwrap();
            let is_harmless = [
                "generator",
                "connections were reset",
                "Too few",
                "is not known",
                "renice",
                "is parked",
            ];
            let is_harmless = is_harmless.iter().any(|words| remark.contains(words));
            assert!(is_harmless, "{remark}");
        }
    }
}

const WIRES: [&str; 4] = ["sse", "ndjson", "websocket", "long-poll"];

#[test]
fn a_fanout_reaches_every_subscriber_on_every_wire() {
    let found = Found::run(
        "fanout --json -n 50 --messages 20 --rate 50 --wire sse,ndjson,websocket,long-poll,short-poll",
        &[],
    );
    found.is_complete();
    assert_eq!((found.figure("deliveries", ""), found.figure("missed", "")), (1_000.0, 0.0));
    for wire in WIRES.into_iter().chain(["short-poll"]) {
        assert_eq!(found.figure("deliveries", wire), 200.0, "{wire}");
        assert!(found.figure("latency_p50_us", wire) > 0.0);
        assert!(found.figure("last_p50_us", wire) >= found.figure("latency_p50_us", wire));
    }
    assert!(found.figure("cpu_us_per_delivery", "") > 0.0);
    assert!(found.figure("server_cpu_seconds", "") > 0.0);
}

#[test]
fn a_closed_loop_with_several_workers_and_messages_under_way_misses_nothing() {
    let workers = ["--server-flag=--workers 2".to_owned()];
    let found = Found::run(
        "fanout --json -n 30 --messages 500 --outstanding 16 --wire sse,websocket --publishers 1",
        &workers,
    );
    found.is_complete();
    assert_eq!((found.figure("deliveries", ""), found.figure("missed", "")), (15_000.0, 0.0));
}

#[test]
fn publishing_is_measured_in_every_way_with_and_without_subscribers() {
    let found = Found::run("publish --json -n 3 --messages 300 --lines 50", &[]);
    found.is_complete();
    for way in ["single", "pipelined", "batch"] {
        for of in [way.to_owned(), format!("{way} with 3 subscribers")] {
            assert!(found.figure("publishes_per_second", &of) > 0.0);
            assert!(found.figure("cpu_us_per_publish", &of) > 0.0);
            assert!(found.figure("latency_p99_us", &of) > 0.0);
        }
    }
}

#[test]
fn connections_are_counted_and_none_fails() {
    let found = Found::run("connect --json -n 300 --wire sse,ndjson,websocket,long-poll", &[]);
    found.is_complete();
    for wire in WIRES {
        assert_eq!(found.figure("failed", wire), 0.0);
        assert!(found.figure("connections_per_second", wire) > 0.0);
        assert!(found.figure("cpu_us_per_connection", wire) > 0.0);
    }
}

#[test]
fn idle_connections_have_a_size() {
    let found = Found::run("idle --json -n 1500 --few 100 --duration 0.5 --wire sse", &[]);
    found.is_complete();
    let bytes = found.figure("bytes_per_connection", "sse");
    assert!(bytes > 50.0 && bytes < 5_000.0, "{bytes}");
    assert!(found.figure("cpu_at_rest_percent", "sse") < 100.0);
}

#[test]
fn only_connections_that_are_open_are_divided_by() {
    let few = ["--server-flag=--connections-max 900".to_owned()];
    let found = Found::run("idle --json -n 1500 --few 100 --duration 0.2 --wire sse", &few);
    let bytes = found.figure("bytes_per_connection", "sse");
    assert!(bytes > 50.0 && bytes < 5_000.0, "{bytes}");
    let remark = "sse: only 900 of 1500 connections are open, and measured; 600 connections were";
    assert!(found.json["remarks"].to_string().contains(remark), "{}", found.json);
    let few = ["--server-flag=--connections-max 100".to_owned()];
    let output = bench("idle -n 400 --few 150 --duration 0.2 --wire sse", &few);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && errors.contains("only 100 connections (sse)"), "{errors}");
}

#[test]
fn many_topics_are_begun_and_published_to() {
    let found = Found::run("topics --json --topics 1,3000 --active 20 -n 100 --duration 0.3", &[]);
    found.is_complete();
    let bytes = found.figure("bytes_per_idle_topic", "");
    assert!(bytes > 50.0 && bytes < 5_000.0, "{bytes}");
    for topics in ["1", "3000"] {
        assert!(found.figure("cpu_us_per_publish", topics) > 0.0);
        assert!(found.figure("cpu_us_per_delivery", topics) > 0.0);
    }
}

#[test]
fn a_herd_catches_up_on_every_wire() {
    let found =
        Found::run("herd --json -n 100 --behind 30 --wire sse,ndjson,websocket,long-poll", &[]);
    found.is_complete();
    assert_eq!((found.figure("deliveries", ""), found.figure("missed", "")), (3_000.0, 0.0));
    assert_eq!(found.figure("failed_connects", ""), 0.0);
    assert!(found.figure("caught_up_seconds", "") > 0.0);
    assert!(found.figure("peak_bytes", "") > 0.0 && found.figure("steady_bytes", "") > 0.0);
}

#[test]
fn a_small_topic_is_measured_beside_a_huge_one() {
    let found = Found::run("fairness --json -n 200 --small-rate 50 --duration 2.5", &[]);
    found.is_complete();
    assert!(found.figure("small_p99_us", "") >= found.figure("small_p50_us", ""));
    assert!(found.figure("fanout_duration_p50_us", "") > 0.0);
    assert!(found.figure("small_p99_share_percent", "") > 0.0);
}

#[test]
fn ways_are_compared_and_the_page_is_written() {
    let file = std::env::temp_dir().join(format!("comparison-{}.md", std::process::id()));
    let write = ["--write".to_owned(), file.to_str().unwrap().to_owned()];
    let found =
        Found::run("compare --json -n 10 --rate 10 --duration 1 --short-poll 0.2,0.5", &write);
    found.is_complete();
    for way in WIRES.into_iter().chain(["short-poll 0.2 s", "short-poll 0.5 s"]) {
        assert_eq!(found.figure("deliveries", way), 100.0, "{way}");
        assert_eq!(found.figure("connections_opened", way), 10.0, "{way}");
        assert!(found.figure("bytes_down_per_message", way) > 200.0, "{way}");
    }
    assert_eq!(found.figure("requests", "sse"), 10.0);
    assert!(found.figure("requests", "long-poll") >= 100.0);
    let page = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert!(page.contains("| Server-Sent Events |") && page.contains("every 0.2 s |"), "{page}");
}

#[test]
fn a_server_that_runs_already_is_measured_by_its_url_and_process() {
    let server = Server::start(&[]);
    let more =
        [format!("--url=http://{}", server.address()), format!("--server-pid={}", server.id())];
    let found = Found::run("fanout --json -n 20 --messages 10 --rate 100", &more);
    found.is_complete();
    assert_eq!((found.figure("deliveries", ""), found.figure("missed", "")), (200.0, 0.0));
    assert!(found.figure("server_cpu_seconds", "") > 0.0);
}

/// Sends what is posted to all who asked before, as a chunk each; a connection's posts are answered with these
/// statuses in turn.
fn serve_plainly(listener: &TcpListener, statuses: &'static [&'static str]) {
    let readers = Arc::new(Mutex::new(Vec::<TcpStream>::new()));
    for stream in listener.incoming() {
        let (mut stream, readers) = (stream.unwrap(), Arc::clone(&readers));
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let mut buffer = [0; 4096];
            let mut statuses = statuses.iter().cycle();
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                bytes.extend_from_slice(&buffer[..count]);
                if bytes.starts_with(b"GET") && bytes.ends_with(b"\r\n\r\n") {
                    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
                    stream.write_all(head).unwrap();
                    readers.lock().unwrap().push(stream.try_clone().unwrap());
                    bytes.clear();
                }
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let Some((_, body)) = text.split_once("\r\n\r\n") else { continue };
                if body.len() >= 200 {
                    let event = format!("data: {body}\n\n");
                    let chunk = format!("{:x}\r\n{event}\r\n", event.len());
                    for reader in readers.lock().unwrap().iter_mut() {
                        // One that has gone has gone.
                        let _ = reader.write_all(chunk.as_bytes());
                    }
                    let status = statuses.next().unwrap();
                    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
                    // Who was told that his messages are refused may have gone.
                    let _ = stream.write_all(answer.as_bytes());
                    bytes.clear();
                }
            }
        });
    }
}

fn plain_server(statuses: &'static [&'static str]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || serve_plainly(&listener, statuses));
    address
}

#[test]
fn another_server_is_measured_by_single_urls() {
    let address = plain_server(&["201 Created"]);
    let more = [
        format!("--subscribe-url=sse=http://{address}/events"),
        format!("--publish-url=http://{address}/publish"),
    ];
    let found = Found::run("fanout --json -n 5 --messages 20 --outstanding 1", &more);
    found.is_complete();
    assert_eq!((found.figure("deliveries", ""), found.figure("missed", "")), (100.0, 0.0));
    let found = Found::run("publish --json --messages 50 --way single", &more);
    found.is_complete();
    assert!(found.figure("publishes_per_second", "single") > 0.0);
}

#[test]
fn publishes_that_are_refused_are_no_throughput() {
    let address = plain_server(&["201 Created", "503 Service Unavailable"]);
    let url = [format!("--publish-url=http://{address}/publish")];
    let found = Found::run("publish --json --messages 50 --way single", &url);
    assert_eq!(found.figure("refused", "single"), 25.0);
    assert!(found.figure("publishes_per_second", "single") > 0.0);
}

#[test]
fn when_no_publish_is_taken_it_is_said_where_and_why() {
    for (arguments, status, begin) in [
        ("publish --messages 20 --way single", &["503 Service Unavailable"], "503: it is too busy"),
        ("fanout -n 2", &["404 Not Found"], "404: where else"),
        ("publish -n 2 --messages 20", &["404 Not Found"], "404: where else"),
    ] {
        let address = plain_server(status);
        let more = [
            format!("--subscribe-url=sse=http://{address}/events"),
            format!("--publish-url=http://{address}/publish"),
        ];
        let output = bench(arguments, &more);
        let errors = String::from_utf8_lossy(&output.stderr);
        let words = format!("publishing to http://{address}/publish was answered {begin}");
        assert!(!output.status.success() && errors.contains(&words), "{arguments}: {errors}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn what_cannot_be_measured_is_refused_with_advice() {
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("--url=http://{}", listener.local_addr().unwrap())
    };
    for (arguments, more, advice) in [
        ("fanout -n 900000", vec![], "--subscribers"),
        ("fanout -n 2", vec![nobody.clone()], "2 connections could not be connected"),
        ("idle -n 20 --few 10", vec![nobody.clone()], "--server-pid"),
        ("fanout -n 2 --target nchan --wire ndjson", vec![nobody], "--subscribe-url"),
        ("fanout --server-pid 1", vec![], "--url"),
        ("fanout --target nchan", vec![], "--url"),
        ("fanout --server x --url http://127.0.0.1:1", vec![], "leave them out"),
        ("fanout --subscribe-url http://127.0.0.1:1/x", vec![], "--publish-url"),
        ("fanout --size 3", vec![], "32"),
        ("fanout --rate 5 --outstanding 1", vec![], "cannot be used with"),
        ("idle -n 5 --few 10", vec![], "--few"),
    ] {
        let output = bench(arguments, &more);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{arguments}");
        assert!(errors.contains(advice), "{arguments}: {errors}");
        assert!(output.stdout.is_empty(), "{arguments}");
    }
}
