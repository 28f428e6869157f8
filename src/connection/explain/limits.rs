//! The bounds that a request is held to: their numbers, their flags, and how much of them it uses.

use super::Asked;
use crate::config::Config;
use crate::connection::route::{ReadWire, Route};
use crate::wire::envelope::Object;
use crate::wire::http1::Framing;

/// A bound: its flag, its number in the unit of the flag, and what the request has of that, if that is known.
struct Bound(&'static str, f64, Option<u64>);

/// The bounds that apply.
pub(super) fn explain_limits<'a>(
    object: Object<'a>,
    asked: &Asked<'_>,
    config: &Config,
) -> Object<'a> {
    let mut bounds = of_heads(asked, config);
    if let Ok(route) = &asked.route {
        of_route(&mut bounds, asked, route, config);
    }
    object.value("limits", |out| {
        out.push(b'[');
        for (index, Bound(flag, number, used)) in bounds.into_iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            let object = Object::new(out).string("flag", flag);
            let object =
                object.value("limit", |out| out.extend_from_slice(number.to_string().as_bytes()));
            match used {
                Some(used) => object.integer("used", used),
                None => object,
            }
            .end();
        }
        out.push(b']');
    })
}

fn of_heads(asked: &Asked<'_>, config: &Config) -> Vec<Bound> {
    let (head, limits) = (&asked.head, &config.limits);
    let query = if head.query.is_empty() { 0 } else { head.query.len() + 1 };
    vec![
        Bound("--head-bytes-max", limits.head_bytes_max as f64, Some(asked.bytes as u64)),
        Bound(
            "--target-bytes-max",
            limits.target_bytes_max as f64,
            Some((head.path.len() + query) as u64),
        ),
        Bound("--fields-max", f64::from(limits.fields_max), Some(head.fields_count() as u64)),
    ]
}

/// Milliseconds as the seconds that a flag has.
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1_000.0
}

fn of_route(bounds: &mut Vec<Bound>, asked: &Asked<'_>, route: &Route, config: &Config) {
    let limits = &config.limits;
    let body = match asked.head.framing {
        Framing::None => Some(0),
        Framing::Length(length) => Some(length),
        Framing::Chunked => None,
    };
    let topics = route.reads();
    if topics > 0 {
        let most = f64::from(limits.topics_per_connection);
        bounds.push(Bound("--topics-per-connection", most, Some(topics as u64)));
        let most = f64::from(limits.reads_per_second);
        bounds.push(Bound("--reads-per-second", most, Some(topics as u64)));
    }
    match route {
        Route::Read(read) => match read.wire {
            ReadWire::ShortPoll | ReadWire::LongPoll { .. } => {
                if let ReadWire::LongPoll { wait_ms, .. } = read.wire {
                    let most = seconds(limits.wait_max_ms);
                    bounds.push(Bound("--wait-max", most, Some(wait_ms.div_ceil(1_000))));
                }
                bounds.push(Bound("--replay-page", f64::from(limits.replay_page), None));
                bounds.push(Bound("--poll-bytes-max", limits.poll_bytes_max as f64, None));
            }
            ReadWire::EventStream { .. } | ReadWire::Ndjson => {
                bounds.push(Bound("--heartbeat", seconds(limits.heartbeat_ms), None));
                bounds.push(Bound("--outbox-bytes-max", limits.outbox_bytes_max as f64, None));
                bounds.push(Bound("--write-progress", seconds(limits.write_progress_ms), None));
            }
        },
        Route::WebSocket(_) => {
            let most = limits.websocket_message_bytes_max as f64;
            bounds.push(Bound("--websocket-message-bytes-max", most, None));
            let most = f64::from(limits.websocket_fragments_max);
            bounds.push(Bound("--websocket-fragments-max", most, None));
            bounds.push(Bound("--ping", seconds(limits.ping_ms), None));
            bounds.push(Bound("--pong-wait", seconds(limits.pong_wait_ms), None));
            bounds.push(Bound("--pings-per-second", f64::from(limits.pings_per_second), None));
            bounds.push(Bound("--outbox-bytes-max", limits.outbox_bytes_max as f64, None));
        }
        Route::Publish(publish) => {
            let topics = &config.topics;
            let rule = &topics.all()[topics.find(publish.topic.as_str()).index()];
            match rule.message_bytes_max {
                Some(most) => {
                    bounds.push(Bound("message-bytes-max of its [[topic]]", most as f64, body));
                }
                None => bounds.push(Bound("--body-bytes-max", limits.body_bytes_max as f64, body)),
            }
            match rule.log_bytes {
                Some(most) => bounds.push(Bound("log-bytes of its [[topic]]", most as f64, body)),
                None => bounds.push(Bound("--log-bytes", limits.log_bytes as f64, body)),
            }
            bounds.push(Bound("--memory", limits.memory_bytes_max as f64, None));
            bounds.push(Bound("--body-grace", seconds(limits.body_grace_ms), None));
            bounds.push(Bound("--body-rate-min", limits.body_rate_min as f64, None));
            let window = seconds(limits.idempotency_window_ms);
            bounds.push(Bound("--idempotency-window", window, None));
        }
        Route::Batch => {
            bounds.push(Bound("--body-bytes-max", limits.body_bytes_max as f64, None));
            bounds.push(Bound("--memory", limits.memory_bytes_max as f64, None));
            bounds.push(Bound("--heartbeat", seconds(limits.heartbeat_ms), None));
        }
        Route::Explain => {
            bounds.push(Bound("--head-bytes-max", limits.head_bytes_max as f64, body));
        }
        _ => {
            bounds.push(Bound("--drop-bytes-max", limits.drop_bytes_max as f64, body));
        }
    }
}
