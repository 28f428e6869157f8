//! Answers with a length: heads with the fields that all of them share, small bodies, refusals.

use super::context::Context;
use super::problem::Problem;
use super::route::{Exchange, Grant};
use crate::config::Config;
use crate::problem_kind::ProblemKind;
use crate::topic::Topics;
use crate::wire::http1::{ResponseHead, Status};

/// Begins a response head: status, date, persistence, and the fields about origins.
pub(super) fn begin_head<'a, T: Topics>(
    out: &'a mut Vec<u8>,
    context: &Context<'_, T>,
    exchange: &Exchange,
    status: Status,
) -> ResponseHead<'a> {
    let mut head = ResponseHead::new(out, status).field("Date", context.date);
    // RFC 9112 §9.3: 1.1 persists unless it says so, 1.0 only if it says so.
    match (exchange.persistent, exchange.http10) {
        (false, _) => head = head.field("Connection", "close"),
        (true, true) => head = head.field("Connection", "keep-alive"),
        (true, false) => (),
    }
    match allowed_origin(exchange.grant, context.config) {
        Some(origin) => head
            .field("Access-Control-Allow-Origin", origin)
            .field("Access-Control-Expose-Headers", "ETag, Retry-After"),
        None => head,
    }
}

/// The origin that a client is told may read the answer.
pub(super) fn allowed_origin(grant: Grant, config: &Config) -> Option<&str> {
    match grant {
        Grant::Any => Some("*"),
        Grant::Listed(index) => config.origins.listed(index),
        Grant::Silent => None,
    }
}

/// Adds the fields of answers from topics: they depend on the request and may not be reused unasked.
pub(super) fn topic_fields<'a>(head: ResponseHead<'a>, cache_control: &str) -> ResponseHead<'a> {
    head.field("Cache-Control", cache_control)
        .field("Vary", "Accept, Origin")
        .field("X-Content-Type-Options", "nosniff")
}

/// A whole answer with a small body.
pub(super) fn answer<T: Topics>(
    out: &mut Vec<u8>,
    context: &Context<'_, T>,
    exchange: &Exchange,
    status: Status,
    content_type: &str,
    body: &[u8],
) {
    let head = begin_head(out, context, exchange, status).field("Content-Type", content_type);
    topic_fields(head, "no-cache").field_integer("Content-Length", body.len() as u64).end();
    if !exchange.head_only {
        out.extend_from_slice(body);
    }
}

/// A whole refusal.
pub(super) fn refusal<T: Topics>(
    out: &mut Vec<u8>,
    context: &mut Context<'_, T>,
    exchange: &Exchange,
    problem: &Problem,
) {
    context.counters.count_refusal(problem);
    let retry_after = context.retry_seconds();
    let mut body = Vec::new();
    problem.encode(context.config, &mut body);
    let mut head = begin_head(out, context, exchange, problem.status())
        .field("Content-Type", "application/problem+json");
    if let Some(methods) = problem.allow {
        head = head.field("Allow", methods);
    }
    if problem.is_temporary() {
        head = head.field_integer("Retry-After", retry_after);
    }
    if problem.kind == ProblemKind::WebSocketVersion {
        // RFC 9110 §15.5.22: 426 names the protocol in Upgrade; RFC 6455 §4.4 the version.
        head = head.field("Upgrade", "websocket").field("Sec-WebSocket-Version", "13");
    }
    topic_fields(head, "no-cache").field_integer("Content-Length", body.len() as u64).end();
    if !exchange.head_only {
        out.extend_from_slice(&body);
    }
}

/// The answer to OPTIONS, preflights included (docs/protocol.md 12.3, 14.2).
pub(super) fn options<T: Topics>(
    out: &mut Vec<u8>,
    context: &Context<'_, T>,
    exchange: &Exchange,
    methods: &str,
) {
    let mut head = begin_head(out, context, exchange, Status::NO_CONTENT)
        .field("Allow", methods)
        .field("Vary", "Origin");
    if exchange.grant != Grant::Silent {
        head = head
            .field("Access-Control-Allow-Methods", methods)
            .field(
                "Access-Control-Allow-Headers",
                "Content-Type, Event-Type, Idempotency-Key, Last-Event-ID, If-None-Match, Prefer, Cache-Control",
            )
            .field("Access-Control-Max-Age", "86400");
    }
    head.end();
}
