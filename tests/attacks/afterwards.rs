//! What must be so after every attack: honest clients are served, and nothing is left behind.

use crate::support::*;

/// The counter of connections that ended for this reason.
pub fn closed(reason: &str) -> String {
    format!("tidings_connections_closed_total{{reason=\"{reason}\"}}")
}

/// The gauge of subscriptions on this wire.
pub fn subscriptions(wire: &str) -> String {
    format!("tidings_subscriptions{{wire=\"{wire}\"}}")
}

/// An honest client publishes, and hears it on a stream and in a poll.
pub fn assert_served(server: &Server) {
    assert_eq!(server.get("/healthz").text(), "ok\n");
    let (mut stream, cursor) = server.open_ndjson("/topics/honest");
    let id = server.publish("honest", "heard");
    assert_eq!(stream.json_line()["id"], id);
    assert_eq!(data(&server.poll(&format!("/topics/honest?after={cursor}"))), ["heard"]);
}

/// No connection is left but the one that asks, no subscription and no body.
pub fn assert_nothing_is_left(server: &Server) {
    server.await_metric("tidings_connections", 1);
    for wire in ["poll", "sse", "ndjson", "websocket"] {
        server.await_metric(&subscriptions(wire), 0);
    }
    server.await_metric("tidings_body_bytes", 0);
    server.await_metric("tidings_mail_waiting", 0);
}
