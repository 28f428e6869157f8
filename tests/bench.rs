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
use std::time::Duration;

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
        let of = format!("{way} with 3 subscribers");
        assert_eq!((found.figure("deliveries", &of), found.figure("missed", &of)), (900.0, 0.0));
    }
    let figures = found.json["figures"].to_string();
    assert!(!figures.contains("generator_late_p99_us"), "nothing is late in a closed loop");
}

#[test]
fn publishing_does_not_wait_for_those_who_do_not_keep_up() {
    // Each subscriber receives a message when it warms up, and no other.
    let address = plain_server(&["201 Created"], 1);
    let more = [
        format!("--subscribe-url=sse=http://{address}/events"),
        format!("--publish-url=http://{address}/publish"),
    ];
    let found = Found::run("publish --json -n 2 --messages 50 --way single", &more);
    let of = "single with 2 subscribers";
    assert!(found.figure("publishes_per_second", of) > 0.0);
    assert_eq!((found.figure("deliveries", of), found.figure("missed", of)), (0.0, 100.0));
    let remarks = found.json["remarks"].to_string();
    assert!(
        remarks.contains("0 of 100 deliveries") && !remarks.contains("waited for"),
        "{remarks}"
    );
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

/// Sends what is posted to all who asked before, as a chunk each, and so many at most; a connection's posts are
/// answered with these statuses in turn.
fn serve_plainly(listener: &TcpListener, statuses: &'static [&'static str], most: usize) {
    let readers = Arc::new(Mutex::new(Vec::<(TcpStream, usize)>::new()));
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
                    readers.lock().unwrap().push((stream.try_clone().unwrap(), most));
                    bytes.clear();
                }
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let Some((_, body)) = text.split_once("\r\n\r\n") else { continue };
                if body.len() >= 200 {
                    let event = format!("data: {body}\n\n");
                    let chunk = format!("{:x}\r\n{event}\r\n", event.len());
                    for (reader, most) in readers.lock().unwrap().iter_mut() {
                        if let Some(fewer) = most.checked_sub(1) {
                            *most = fewer;
                            // One that has gone has gone.
                            let _ = reader.write_all(chunk.as_bytes());
                        }
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

fn plain_server(statuses: &'static [&'static str], most: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || serve_plainly(&listener, statuses, most));
    address
}

#[test]
fn another_server_is_measured_by_single_urls() {
    let address = plain_server(&["201 Created"], usize::MAX);
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

/// Answers a poll with all messages behind its cursor, without a length, and ends the connection.
fn poll_plainly(listener: &TcpListener) {
    let messages = Arc::new(Mutex::new(Vec::<String>::new()));
    for stream in listener.incoming() {
        let (mut stream, messages) = (stream.unwrap(), Arc::clone(&messages));
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                bytes.extend_from_slice(&buffer[..count]);
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                if head.starts_with("GET") {
                    let cursor = head.lines().find_map(|line| {
                        line.to_ascii_lowercase().strip_prefix("if-none-match: ")?.parse().ok()
                    });
                    let messages = messages.lock().unwrap();
                    let news = messages[cursor.unwrap_or(0)..].concat();
                    let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nETag: ";
                    let answer = format!("{head}{}\r\n\r\n{news}", messages.len());
                    // One that has gone has gone.
                    let _ = stream.write_all(answer.as_bytes());
                    return;
                }
                if body.len() >= 200 {
                    messages.lock().unwrap().push(body.to_owned());
                    stream.write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n").unwrap();
                    bytes.clear();
                }
            }
        });
    }
}

#[test]
fn the_end_of_the_connection_is_the_end_of_a_polls_answer_without_a_length() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || poll_plainly(&listener));
    let more = [
        format!("--subscribe-url=http://{address}/poll"),
        format!("--publish-url=http://{address}/publish"),
    ];
    let found = Found::run(
        "compare --json -n 5 --rate 10 --duration 1 --wire short-poll --short-poll 0.5",
        &more,
    );
    found.is_complete();
    let of = "short-poll 0.5 s";
    assert_eq!((found.figure("deliveries", of), found.figure("missed", of)), (50.0, 0.0));
    // Asked again without a pause it would be thousands.
    let requests = found.figure("requests", of);
    assert!((10.0..200.0).contains(&requests), "{requests}");
    assert_eq!(found.figure("connections_opened", of), requests);
}

#[test]
fn findings_are_printed_before_a_file_that_cannot_be_written_is_complained_about() {
    for (arguments, flag) in [
        ("compare --json -n 2 --rate 10 --duration 0.2 --wire sse --short-poll 0.1", "--write"),
        ("connect --json -n 2", "--report"),
    ] {
        let output = bench(arguments, &[format!("{flag}=/nonexistent/page")]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && errors.contains(flag), "{arguments}: {errors}");
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(!json["figures"].as_array().unwrap().is_empty());
    }
}

#[test]
fn what_was_found_before_the_server_died_is_printed() {
    let mut server = Server::start(&[]);
    let mut reader = TcpStream::connect(server.address()).unwrap();
    let request = b"GET /topics/bench HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n";
    reader.write_all(request).unwrap();
    let more =
        [format!("--url=http://{}", server.address()), format!("--server-pid={}", server.id())];
    let run = std::thread::spawn(move || {
        bench("fanout --json -n 2 --rate 100 --duration 60 --publishers 3", &more)
    });
    // Long enough after the warm-up that something was measured.
    let (mut received, mut buffer) = (0, [0; 4096]);
    while received < 20_000 {
        let count = reader.read(&mut buffer).unwrap();
        assert!(count > 0);
        received += count;
    }
    server.signal("-KILL");
    let output = run.join().unwrap();
    server.exit_status(Duration::from_secs(10));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && errors.contains("cannot publish to"), "{errors}");
    let found = Found { json: serde_json::from_slice(&output.stdout).unwrap() };
    assert!(found.figure("deliveries", "") > 50.0);
    let remarks = found.json["remarks"].to_string();
    assert!(remarks.contains("process ended") && remarks.contains("until it failed"), "{remarks}");
    assert!(!remarks.contains("give its process"), "{remarks}");
}

#[test]
fn an_open_loop_ends_when_the_server_is_behind_for_good() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // Takes a first publish, as it is told to, and then reads only.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                let mut is_first = true;
                while let Ok(1..) = stream.read(&mut buffer) {
                    if buffer[0] == b'P' && std::mem::replace(&mut is_first, false) {
                        let answer = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";
                        stream.write_all(answer).unwrap();
                    }
                }
            });
        }
    });
    let more = [
        format!("--subscribe-url=short-poll=http://{address}/poll"),
        format!("--publish-url=http://{address}/publish"),
    ];
    let arguments = "compare --json -n 1 --rate 1000000 --duration 60 --wire short-poll";
    let found = Found::run(&format!("{arguments} --short-poll 0.1"), &more);
    let remarks = found.json["remarks"].to_string();
    assert!(remarks.contains("did not keep up with the rate"), "{remarks}");
    assert!(remarks.contains("deliveries are missing"), "{remarks}");
}

#[test]
fn several_publishers_miss_nothing_and_repeat_nothing() {
    let arguments = "fanout --json -n 20 --messages 400 --outstanding 8 --publishers 4";
    let found = Found::run(&format!("{arguments} --wire sse,websocket"), &[]);
    found.is_complete();
    assert_eq!((found.figure("deliveries", ""), found.figure("missed", "")), (8_000.0, 0.0));
    assert_eq!(found.figure("repeated", ""), 0.0);
}

#[test]
fn publishes_that_are_refused_are_no_throughput() {
    let address = plain_server(&["201 Created", "503 Service Unavailable"], usize::MAX);
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
        let address = plain_server(status, usize::MAX);
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
