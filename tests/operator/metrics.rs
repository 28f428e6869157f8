//! Clause 19.3: what is counted, and that asking for it holds up nobody.

use std::collections::BTreeMap;
use std::thread;

use crate::support::*;

/// The samples of a scrape.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        })
        .collect()
}

fn scrape(server: &Server) -> BTreeMap<String, f64> {
    samples(&server.get("/metrics").text())
}

#[test]
fn connections_are_counted_by_how_they_wait() {
    for_workers(&[], |server| {
        let _idle = server.client();
        let (_stream, _) = server.open_event_stream("/topics/a");
        let (_lines, _) = server.open_ndjson("/topics/a,b,c");
        let _socket = server.raw_websocket("/topics/a");
        let mut poll = server.client();
        poll.send("GET /topics/a?wait=20 HTTP/1.1\r\nHost: h\r\n\r\n");
        // The idle one and whoever asks.
        server.await_metric("tidings_wire_connections{wire=\"idle\"}", 2);
        for wire in ["poll", "sse", "ndjson", "websocket"] {
            server.await_metric(&format!("tidings_wire_connections{{wire=\"{wire}\"}}"), 1);
        }
        server.await_metric("tidings_subscribed_topics", 6);
        server.await_metric("tidings_connections", 6);
    });
}

#[test]
fn a_message_is_counted_with_its_bytes_and_how_long_its_fan_out_took() {
    for_workers(&[], |server| {
        let target = format!("/topics/{}", TOPICS.join(","));
        let listeners: Vec<_> = (0..8).map(|_| server.open_ndjson(&target)).collect();
        let count = listeners.len() as f64;
        for topic in TOPICS {
            server.publish(topic, "12345");
        }
        server.await_metric("tidings_messages_delivered_total", listeners.len() as u64 * 6);
        server.ask_until("walks have ended", || {
            let now = scrape(server);
            // Each topic is walked on every worker that has listeners to it.
            now["tidings_fan_out_seconds_count"] >= 6.0
                && now["tidings_publish_to_last_write_seconds_count"] >= 6.0
        });
        let now = scrape(server);
        assert_eq!(now["tidings_published_bytes_total"], 30.0);
        assert!(now["tidings_delivered_bytes_total"] >= count * 30.0, "{now:?}");
        assert!(now["tidings_fan_out_seconds_sum"] > 0.0, "{now:?}");
        assert!(now["tidings_fan_out_seconds_sum"] < 10.0, "{now:?}");
        let walks = now["tidings_fan_out_seconds_count"];
        assert_eq!(now["tidings_fan_out_seconds_bucket{le=\"+Inf\"}"], walks);
    });
}

#[test]
fn loops_report_their_turns_and_the_process_its_memory() {
    for_workers(&[], |server| {
        let before = scrape(server);
        for _ in 0..10 {
            server.get("/healthz");
        }
        let after = scrape(server);
        for name in ["tidings_ticks_total", "tidings_wakeups_total", "tidings_tick_seconds_count"] {
            assert!(after[name] > before[name], "{name}");
        }
        let busy = |now: &BTreeMap<String, f64>, what: &str| -> f64 {
            now.iter().filter(|(name, _)| name.starts_with(what)).map(|(_, value)| value).sum()
        };
        let spent = "tidings_worker_busy_seconds_total";
        assert!(busy(&after, spent) > busy(&before, spent));
        assert!(busy(&after, "tidings_worker_loop_lag_seconds") > 0.0);
        assert_eq!(after["tidings_build_info{version=\"0.1.0\"}"], 1.0);
        assert!(after["process_start_time_seconds"] > 1.7e9);
        assert!(after["process_resident_memory_bytes"] > 1e6);
        assert!(after["process_max_fds"] >= 64.0);
    });
}

#[test]
fn a_subscriber_that_does_not_read_is_seen_to_lag() {
    let server = Server::start(&["--outbox-bytes-max", "1K"]);
    let mut slow = Client::connect_narrow(2_048, server.address());
    slow.send("GET /topics/a HTTP/1.1\r\nHost: h\r\nAccept: application/x-ndjson\r\n\r\n");
    server.await_metric("tidings_subscriptions{wire=\"ndjson\"}", 1);
    let large = "x".repeat(100_000);
    for _ in 0..40 {
        server.publish("a", &large);
    }
    server.ask_until("it lags", || server.metric("tidings_lag_messages") > 10);
    assert_eq!(server.metric("tidings_lagging_subscriptions"), 1);
    drop(slow);
    server.await_metric("tidings_lag_messages", 0);
    server.await_metric("tidings_lagging_subscriptions", 0);
}

#[test]
fn a_hundred_who_ask_at_once_are_all_answered() {
    let server = Server::start_with_workers(4, &[]);
    let (address, count) = (server.address(), 100);
    let askers: Vec<_> = (0..count)
        .map(|_| {
            thread::spawn(move || {
                let mut client = Client::connect(address);
                (0..3).all(|_| client.request("GET", "/metrics", &[], b"").status == 200)
            })
        })
        .collect();
    assert!(askers.into_iter().all(|asker| asker.join().unwrap()));
    server.await_metric("tidings_connections", 1);
}

#[test]
fn who_goes_away_before_the_answer_leaves_nothing_behind() {
    let server = Server::start_with_workers(4, &[]);
    for _ in 0..50 {
        let mut client = server.client();
        client.send("GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n");
        let mut client = server.client();
        client.send("GET /topics HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    server.await_metric("tidings_connections", 1);
    server.await_metric("tidings_outbox_bytes", 0);
    assert_eq!(server.get("/topics").status, 200);
}
