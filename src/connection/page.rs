//! Resources of the server's own: health, metrics, the page that shows it at work, and its client.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use super::Connection;
use super::browser_client;
use super::context::Context;
use super::problem::DRAINING;
use super::respond;
use super::route::{Exchange, Page};
use crate::counters::{CloseReason, Counters, HubGauges, LOG_LINES_DROPPED, Wire};
use crate::topic::Topics;
use crate::wire::http1::Status;

/// The page asks nothing of any other host, and runs nothing that is not in its own files.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; \
     frame-ancestors 'none'";

/// The type of scripts.
const SCRIPT: &str = "text/javascript; charset=utf-8";

impl Connection {
    /// Answers a request for one of the server's own resources.
    pub(super) fn answer_page<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        exchange: Exchange,
        page: Page,
    ) {
        let text = "text/plain; charset=utf-8";
        let (status, content_type, body): (_, _, &'static str) = match page {
            Page::Health => (Status::OK, text, "ok\n"),
            Page::Ready if context.draining => {
                return self.refuse(context, exchange, &DRAINING);
            }
            Page::Ready => (Status::OK, text, "ready\n"),
            Page::Metrics => return,
            Page::Index => {
                (Status::OK, "text/html; charset=utf-8", include_str!("../page/index.html"))
            }
            Page::Script => (Status::OK, SCRIPT, include_str!("../page/page.js")),
            Page::Style => {
                (Status::OK, "text/css; charset=utf-8", include_str!("../page/page.css"))
            }
            Page::Client => (Status::OK, SCRIPT, browser_client::MODULE),
            Page::ClassicClient => (Status::OK, SCRIPT, browser_client::CLASSIC),
            Page::ClientShare => (Status::OK, SCRIPT, browser_client::SHARE),
            Page::ClientTypes => {
                (Status::OK, "application/typescript; charset=utf-8", browser_client::TYPES)
            }
        };
        let exchange = self.settled(context, exchange);
        self.outbox.write(|out| {
            let mut head = respond::begin_head(out, context, &exchange, status)
                .field("Content-Type", content_type)
                .field("Cache-Control", "no-cache")
                .field("X-Content-Type-Options", "nosniff");
            if page == Page::Index {
                head = head.field("Content-Security-Policy", CONTENT_SECURITY_POLICY);
            }
            head.field_integer("Content-Length", body.len() as u64).end();
        });
        if !exchange.head_only {
            self.outbox.push_static(body.as_bytes());
        }
        self.finish(context, exchange);
    }

    /// Answers a request for metrics.
    pub(super) fn answer_metrics<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        exchange: Exchange,
        text: &[u8],
    ) {
        let exchange = self.settled(context, exchange);
        self.outbox.write(|out| {
            let content_type = "text/plain; version=0.0.4; charset=utf-8";
            respond::answer(out, context, &exchange, Status::OK, content_type, text);
        });
        self.finish(context, exchange);
    }
}

/// The numbers of all workers in the Prometheus text format; `connections` are those of each worker.
pub fn metrics_text(counters: &Counters, gauges: &HubGauges, connections: &[u64]) -> String {
    let mut out = String::with_capacity(4096);
    let mut family = |name: &str, kind: &str, help: &str, values: &[(String, u64)]| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "# HELP tidings_{name} {help}\n# TYPE tidings_{name} {kind}");
        for (labels, value) in values {
            let _ = writeln!(out, "tidings_{name}{labels} {value}");
        }
    };
    let plain = |value: u64| vec![(String::new(), value)];
    let mut counter =
        |name: &str, help: &str, value: u64| family(name, "counter", help, &plain(value));
    counter("connections_opened_total", "Connections accepted.", counters.connections_opened);
    counter("requests_total", "Requests whose head was read.", counters.requests);
    counter("messages_published_total", "Messages that clients published.", counters.published);
    counter("messages_delivered_total", "Messages queued for clients.", counters.delivered);
    counter("gaps_total", "Gaps declared to clients.", counters.gaps);
    counter("bytes_read_total", "Bytes read from sockets.", counters.bytes_read);
    counter("bytes_written_total", "Bytes written to sockets.", counters.bytes_written);
    counter("writes_total", "Writes to sockets.", counters.writes);
    counter("ticks_total", "Turns of the workers' loops.", counters.ticks);
    counter("worker_restarts_total", "Workers that panicked and began anew.", counters.restarts);
    let dropped = LOG_LINES_DROPPED.load(Ordering::Relaxed);
    counter("log_lines_dropped_total", "Log lines that could not be written.", dropped);
    let closed: Vec<_> = CloseReason::ALL
        .iter()
        .zip(&counters.connections_closed)
        .map(|((_, label), &value)| (format!("{{reason=\"{label}\"}}"), value))
        .collect();
    family("connections_closed_total", "counter", "Connections ended.", &closed);
    let refusals = [("4xx", counters.refusals[0]), ("5xx", counters.refusals[1])]
        .map(|(class, value)| (format!("{{status=\"{class}\"}}"), value));
    family("refusals_total", "counter", "Refusals, by class of their status.", &refusals);
    let subscriptions: Vec<_> = Wire::ALL
        .iter()
        .zip(&counters.subscriptions)
        .map(|((_, label), &value)| (format!("{{wire=\"{label}\"}}"), value))
        .collect();
    family("subscriptions", "gauge", "Subscriptions open.", &subscriptions);
    let connections: Vec<_> = connections
        .iter()
        .enumerate()
        .map(|(worker, &value)| (format!("{{worker=\"{worker}\"}}"), value))
        .collect();
    family("worker_connections", "gauge", "Connections open, by worker.", &connections);
    let mut gauge = |name: &str, help: &str, value: u64| family(name, "gauge", help, &plain(value));
    gauge("connections", "Connections open.", counters.connections());
    gauge(
        "body_bytes",
        "Bytes of request bodies and WebSocket messages under way.",
        counters.body_bytes,
    );
    gauge("outbox_bytes", "Bytes queued for connections.", counters.outbox_bytes);
    gauge("topics", "Topics.", gauges.topics as u64);
    gauge("replicas", "Replicas of topics of other workers.", gauges.replicas as u64);
    gauge("log_bytes", "Bytes of messages and their encodings.", gauges.memory_bytes as u64);
    gauge("mail_waiting", "Letters between workers that wait.", gauges.mail_waiting as u64);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_comment_or_a_number() {
        let text = metrics_text(&Counters::default(), &HubGauges::default(), &[0, 0]);
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.split_once(' ').unwrap();
            assert!(name.starts_with("tidings_"), "{line}");
            assert_eq!(value, "0", "{line}");
        }
        assert!(text.contains("tidings_connections_closed_total{reason=\"peer_closed\"} 0\n"));
    }
}
