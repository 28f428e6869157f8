//! Clause 17: every client is told another time to come back.

use std::collections::HashSet;

use crate::support::*;

/// With a few clients the window is a second; what is told lies a little behind its beginning.
fn assert_spread(delays: &[u64]) {
    assert!(delays.iter().all(|ms| (1..=2_000).contains(ms)), "{delays:?}");
    let different: HashSet<&u64> = delays.iter().collect();
    // A thousand values to choose from: twenty draws that are nearly all the same are no chance.
    assert!(different.len() > delays.len() / 2, "random for each: {delays:?}");
}

#[test]
fn clause_17_1_retry_of_event_streams_is_random_for_each_client() {
    for_workers(&[], |server| {
        let delays: Vec<u64> =
            (0..20).map(|_| server.event_stream("/topics/news").event().retry.unwrap()).collect();
        assert_spread(&delays);
    });
}

#[test]
fn clause_17_1_retry_after_is_whole_seconds_within_the_window() {
    let server = Server::start(&["--topics-max", "1"]);
    server.publish("a", "x");
    for _ in 0..20 {
        let refused = server.request("POST", "/topics/b", &[], b"x");
        let seconds: u64 = refused.field("Retry-After").unwrap().parse().unwrap();
        assert!((1..=2).contains(&seconds), "{seconds}");
    }
}

#[test]
fn clause_17_1_refused_streams_and_websockets_are_told_random_times() {
    let server = Server::start(&["--topics-max", "1"]);
    let _listeners = server.listen_to_all();
    let events = |_| server.event_stream("/topics/b").event().retry.unwrap();
    assert_spread(&(0..20).map(events).collect::<Vec<_>>());
    let lines = |_| server.ndjson("/topics/b").json_line()["retry_ms"].as_u64().unwrap();
    assert_spread(&(0..20).map(lines).collect::<Vec<_>>());
    let closes = |_| {
        let (code, reason) = server.raw_websocket("/topics/b").close();
        assert_eq!(code, 1012);
        reason.strip_prefix("retry_ms=").unwrap().parse().unwrap()
    };
    assert_spread(&(0..20).map(closes).collect::<Vec<_>>());
}

#[test]
fn clause_17_1_drain_notices_are_random_for_each_client() {
    let server = Server::start(&["--drain-spread", "0.05"]);
    let mut lines: Vec<Stream> = (0..20).map(|_| server.open_ndjson("/topics/a").0).collect();
    let mut sockets: Vec<WebSocket> =
        (0..20).map(|_| server.json_websocket("/topics/a").0).collect();
    server.terminate();
    let told: Vec<u64> =
        lines.iter_mut().map(|line| line.json_line()["retry_ms"].as_u64().unwrap()).collect();
    assert_spread(&told);
    let reason = |socket: &mut WebSocket| {
        socket.close().1.strip_prefix("retry_ms=").unwrap().parse().unwrap()
    };
    assert_spread(&sockets.iter_mut().map(reason).collect::<Vec<_>>());
}
