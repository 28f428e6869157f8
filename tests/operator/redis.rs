//! What an operator sees of Redis.

use std::process::Command;

use crate::support::redis_peer::{Deed, Peer};
use crate::support::*;

/// One look of `tidings top` at a server.
fn top(server: &Server) -> String {
    let url = format!("http://{}", server.address());
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
    let output = command.env_clear().args(["top", &url, "--once", "--interval", "0.1"]).output();
    String::from_utf8(output.unwrap().stdout).unwrap()
}

fn start(peer: &Peer, more: &[&str]) -> Server {
    let url = format!("redis://{}", peer.address);
    Server::start_with_workers(2, &[&["--redis", &url, "--redis-timeout", "1"], more].concat())
}

#[test]
fn without_redis_nobody_hears_of_it() {
    let server = Server::start(&[]);
    assert!(!server.get("/metrics").text().contains("tidings_redis_"));
    assert!(!top(&server).contains("redis"));
    assert_eq!(server.get("/readyz").text(), "ready\n");
}

#[test]
fn what_goes_through_redis_is_counted_over_all_workers() {
    let peer = Peer::usual();
    let server = start(&peer, &[]);
    server.await_metric("tidings_redis_up", 1);
    server.await_metric("tidings_redis_connections", 4);
    let (mut stream, _) = server.open_ndjson(&format!("/topics/{}", TOPICS.join(",")));
    server.await_metric("tidings_redis_channels", 6);
    for topic in TOPICS {
        server.publish(topic, "x");
        assert_eq!(stream.json_line()["topic"], topic);
    }
    server.await_metric("tidings_redis_publishes_total{outcome=\"sequenced\"}", 6);
    server.await_metric("tidings_redis_messages_heard_total", 6);
    server.await_metric("tidings_redis_publish_seconds_count", 6);
    server.await_metric("tidings_redis_in_flight", 0);
    assert!(server.metric("tidings_redis_reads_total") >= 6);
    assert!(server.metric("tidings_redis_bytes_written_total") > 1_000);
    assert!(server.metric("tidings_redis_bytes_read_total") > 1_000);
    assert_eq!(server.metric("tidings_redis_connections_lost_total"), 0);
    let said = top(&server);
    assert!(said.contains("redis up") && said.contains("channels 6"), "{said}");
    // They are nobody's connections, and a drain does not wait for them.
    assert_eq!(server.metric("tidings_connections"), 2);
}

#[test]
fn that_redis_is_away_is_seen_everywhere_and_why_by_the_operator_alone() {
    let peer = Peer::usual();
    let mut server = start(&peer, &["--admin-listen", "127.0.0.1:0", "--drain-spread", "0.05"]);
    let mut operator = Client::connect(server.admin_address());
    let mut ask = |target: &str| operator.request("GET", target, &[], b"").text();
    let up = |text: &str, value: u64| family(text, "tidings_redis_up") == Some(value);
    server.ask_until("it is reached", || up(&ask("/metrics"), 1));
    peer.behave(|_, _| Deed::HangUp);
    peer.cut(|_, _| true);
    server.ask_until("it is seen to be away", || up(&ask("/metrics"), 0));
    server.ask_until("the operator is told why", || {
        let text = ask("/readyz");
        text.starts_with("ready\ndegraded: without Redis for ") && text.contains(" s: ")
    });
    let told = server.get("/readyz");
    assert_eq!(told.status, 200);
    assert!(told.text().ends_with(" s\n") && !told.text().contains("127.0.0.1"), "{}", told.text());
    server.ask_until("time is counted", || {
        ask("/metrics").lines().any(|line| {
            let seconds = line.strip_prefix("tidings_redis_away_seconds ");
            seconds.is_some_and(|seconds| seconds.parse::<f64>().unwrap() > 0.1)
        })
    });
    server.terminate();
    assert_eq!(server.exit_status(PATIENCE).code(), Some(0), "a drain does not wait for Redis");
}
