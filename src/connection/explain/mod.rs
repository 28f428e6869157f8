//! What the server would do with a request, and why: for the operator who asks `POST /explain`
//! (docs/protocol.md 13.3).
//!
//! The request goes through the parser and the routing that every request goes through; then it is described
//! instead of carried out. Nothing begins, nothing is counted, nothing is published.

#[cfg(any(test, fuzzing))]
mod fuzz;
mod limits;
mod reading;

#[cfg(any(test, fuzzing))]
pub use self::fuzz::fuzz_explain;

use super::context::Context;
use super::operator::{Explaining, Inquiry};
use super::problem::{DRAINING, Problem};
use super::publish::{LENGTH_REQUIRED, check_drop, check_publish};
use super::readiness::{Readiness, WAITING};
use super::request::{WEBSOCKET_WITH_BODY, head_limits};
use super::route::{self, Exchange, Grant, Page, ReadWire, Route};
use super::{Connection, respond};
use crate::config::{Config, Entrance, Origins};
use crate::topic::{Glimpse, Refusal, TopicName, Topics};
use crate::wire::envelope::Object;
use crate::wire::http1::{Framing, Head, HeadError, HeadSearch, Status, Version, parse_head};
use crate::wire::json::encode_string;

/// What stands in for a worker's state in the answer.
#[derive(Copy, Clone, Debug)]
struct State<'a> {
    config: &'a Config,
    memory_left: u64,
    draining: bool,
    /// Whether what the server needs was never there.
    waiting: bool,
    /// Where the request would come in.
    entrance: Entrance,
}

/// A request that was understood as far as that goes.
struct Asked<'a> {
    head: Head<'a>,
    /// The method as it was written.
    method: &'a str,
    /// Bytes of the head.
    bytes: usize,
    exchange: Result<Exchange, Problem>,
    route: Result<Route, Problem>,
}

impl Connection {
    /// Asks what is known of the topics of the request that begins with `bytes`; then it is explained.
    pub(super) fn explain<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        exchange: Exchange,
        bytes: &[u8],
    ) {
        let entrance = self.explained_entrance();
        let topics = match understand(bytes, context.config, entrance) {
            Ok(Asked { route: Ok(route), .. }) => reading::topics_of(&route).0.to_vec(),
            _ => Vec::new(),
        };
        let explaining = Explaining { bytes: Box::from(bytes), topics };
        self.begin_inquiry(context, exchange, Inquiry::Explain(explaining));
    }

    /// The explanation, now that it is known of the topics what there is to know.
    pub(super) fn explanation<T: Topics>(
        &self,
        context: &Context<'_, T>,
        bytes: &[u8],
        known: &[(TopicName, Glimpse)],
    ) -> Vec<u8> {
        let state = State {
            config: context.config,
            memory_left: context.topics.memory_left() as u64,
            draining: context.draining,
            waiting: *context.readiness == Readiness::Waiting,
            entrance: self.explained_entrance(),
        };
        explanation(bytes, state, |topic| {
            // They are in the order of their names, as every request's are.
            let place = known.binary_search_by(|(name, _)| name.cmp(topic));
            let glimpse = place.ok().and_then(|place| known.get(place)).map(|one| one.1);
            match glimpse.unwrap_or(Glimpse::Unused) {
                Glimpse::Unused if context.config.redis.is_some() => Glimpse::Elsewhere,
                glimpse => glimpse,
            }
        })
    }

    /// Who asks at the operator's own address wants to know of the clients'.
    fn explained_entrance(&self) -> Entrance {
        match self.entrance {
            Entrance::Admin => Entrance::Public { loopback: false },
            entrance => entrance,
        }
    }
}

/// The whole answer; `look` says what is known of a topic.
fn explanation(bytes: &[u8], state: State<'_>, look: impl Fn(&TopicName) -> Glimpse) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    let object = Object::new(&mut out);
    match understand(bytes, state.config, state.entrance) {
        Ok(asked) => explain_request(object, &asked, state, look),
        Err(error) => explain_answer(
            object,
            state.config,
            Err(Problem::from(error)),
            "The head is refused before its route is looked for, and the connection closed.",
        ),
    }
    .end();
    out.push(b'\n');
    out
}

/// Does with a head what [`Connection::consume`] would.
fn understand<'a>(
    bytes: &'a [u8],
    config: &Config,
    entrance: Entrance,
) -> Result<Asked<'a>, HeadError> {
    let limits = head_limits(config);
    let end = HeadSearch::default().find_end(bytes, &limits)?.ok_or(HeadError::Incomplete)?;
    let bytes = bytes.get(..end).ok_or(HeadError::Incomplete)?;
    let head = parse_head(bytes, &limits)?;
    let line = bytes.trim_ascii_start();
    let method = line.split(|&byte| byte == b' ').next().unwrap_or_default();
    let method = str::from_utf8(method).unwrap_or_default();
    let exchange = route::exchange(&head, config);
    let route = route::route(&head, entrance, config);
    Ok(Asked { head, method, bytes: end, exchange, route })
}

fn explain_request<'a>(
    object: Object<'a>,
    asked: &Asked<'_>,
    state: State<'_>,
    look: impl Fn(&TopicName) -> Glimpse,
) -> Object<'a> {
    let config = state.config;
    let object = object
        .value("request", |out| encode_request(out, asked))
        .value("origin", |out| encode_origin(out, asked, config));
    let object = match &asked.route {
        Ok(route) => {
            let is = name(route);
            let object = object.value("route", |out| {
                Object::new(out).string("is", is).string("because", &because(asked, route)).end();
            });
            let object = reading::explain_start(object, &asked.head, route);
            reading::explain_topics(object, route, &look)
        }
        Err(_) => object,
    };
    let object = limits::explain_limits(object, asked, config);
    let (verdict, why) = verdict(asked, state, &look);
    explain_answer(object, config, verdict, why)
}

fn encode_request(out: &mut Vec<u8>, asked: &Asked<'_>) {
    let head = &asked.head;
    let version = if head.version == Version::Http10 { "1.0" } else { "1.1" };
    let object = Object::new(out)
        .string("method", asked.method)
        .string("version", version)
        .string("path", head.path)
        .string("query", head.query)
        .string("host", head.host)
        .integer("head_bytes", asked.bytes as u64);
    let object = match head.framing {
        Framing::None => object.string("body", "none"),
        Framing::Chunked => object.string("body", "chunked"),
        Framing::Length(length) => object.integer("body", length),
    };
    object.boolean("persistent", head.persistent).end();
}

fn encode_origin(out: &mut Vec<u8>, asked: &Asked<'_>, config: &Config) {
    let sent = asked.head.field("origin").map(String::from_utf8_lossy);
    let is_asked = asked.head.path.starts_with("/topics");
    let (rule, because) = match (&asked.exchange, &sent) {
        (_, None) => ("none", "No Origin was sent, so no browser asks for a page of another site."),
        _ if !is_asked => ("not-asked", "Origins make no difference to this path."),
        (Ok(Exchange { grant: Grant::Any, .. }), _) => {
            ("any", "Every origin is allowed (--allow-origin *).")
        }
        (Ok(Exchange { grant: Grant::Listed(_), .. }), _) => {
            ("listed", "It is one of those that --allow-origin names.")
        }
        (Ok(Exchange { grant: Grant::Silent, .. }), _) => (
            "own",
            "It is http:// or https:// and the host that the request is for: the server's own.",
        ),
        (Err(_), _) => (
            "foreign",
            "It is neither http:// or https:// and the host that the request is for, nor one that --allow-origin names.",
        ),
    };
    let object = Object::new(out).string("rule", rule).string("because", because);
    let object = object.optional("sent", sent.as_deref());
    let object = object.value("allowed", |out| match &config.origins {
        Origins::Any => out.extend_from_slice(b"\"*\""),
        Origins::Own => out.extend_from_slice(b"[]"),
        Origins::Listed(list) => {
            for (index, origin) in list.iter().enumerate() {
                out.push(if index == 0 { b'[' } else { b',' });
                encode_string(out, origin);
            }
            out.push(b']');
        }
    });
    let grant = asked.exchange.as_ref().map_or(Grant::Silent, |exchange| exchange.grant);
    object.optional("access_control_allow_origin", respond::allowed_origin(grant, config)).end();
}

/// What the request was taken for.
const fn name(route: &Route) -> &'static str {
    match route {
        Route::Read(read) => match read.wire {
            ReadWire::ShortPoll => "short poll",
            ReadWire::LongPoll { .. } => "long poll",
            ReadWire::EventStream { .. } => "event stream",
            ReadWire::Ndjson => "NDJSON stream",
        },
        Route::Head(_) => "cursor at the head",
        Route::WebSocket(handshake) if handshake.json => "WebSocket with tidings.json",
        Route::WebSocket(_) => "raw WebSocket",
        Route::Publish(_) => "publish",
        Route::Batch => "batch",
        Route::Delete(_) => "deletion",
        Route::Explain => "explanation",
        Route::Options(_) => "preflight",
        Route::Page(_) => "page",
        Route::Inquire(_) => "question of the operator's",
    }
}

/// Which part of the request decided that.
fn because(asked: &Asked<'_>, route: &Route) -> String {
    match route {
        Route::Read(read) => match read.wire {
            ReadWire::ShortPoll => "It is a GET without Upgrade: websocket, whose Accept prefers neither text/event-stream nor application/x-ndjson, without wait in the query or in Prefer.".to_owned(),
            ReadWire::LongPoll { wait_ms, applied } => {
                let wait = wait_ms as f64 / 1_000.0;
                match applied {
                    Some(_) => format!("Prefer has wait, and Accept prefers no stream: it is held for at most {wait} s."),
                    None => format!("The query has wait, and Accept prefers no stream: it is held for at most {wait} s."),
                }
            }
            ReadWire::EventStream { .. } => "Accept prefers text/event-stream.".to_owned(),
            ReadWire::Ndjson => "Accept prefers application/x-ndjson.".to_owned(),
        },
        Route::WebSocket(handshake) if handshake.json => "Upgrade offers websocket, Connection says upgrade, and Sec-WebSocket-Protocol offers tidings.json.".to_owned(),
        Route::WebSocket(_) => "Upgrade offers websocket and Connection says upgrade; Sec-WebSocket-Protocol does not offer tidings.json.".to_owned(),
        Route::Explain | Route::Page(_) | Route::Inquire(_) => format!("The path is {}.", asked.head.path),
        _ => format!("The method is {}.", asked.method),
    }
}

/// What it would be answered with, and what decides that.
fn verdict(
    asked: &Asked<'_>,
    state: State<'_>,
    look: impl Fn(&TopicName) -> Glimpse,
) -> (Result<Status, Problem>, &'static str) {
    let limits = &state.config.limits;
    let framing = asked.head.framing;
    let has_body = !matches!(framing, Framing::None | Framing::Length(0));
    if let Err(problem) = &asked.exchange {
        return (Err(*problem), "Origins are looked at before anything else.");
    }
    let route = match &asked.route {
        Ok(route) => route,
        Err(problem) => return (Err(*problem), "It is refused before anything is begun."),
    };
    let body = match route {
        Route::Publish(publish) => {
            check_publish(framing, state.config, &publish.topic, state.memory_left)
        }
        Route::Batch | Route::Explain if framing == Framing::None => Err(LENGTH_REQUIRED),
        Route::Batch | Route::Explain => Ok(()),
        Route::WebSocket(_) if has_body => Err(WEBSOCKET_WITH_BODY),
        _ => check_drop(framing, limits.drop_bytes_max as u64),
    };
    if let Err(problem) = body {
        return (
            Err(problem),
            "What the head says of the body is looked at before the body is read.",
        );
    }
    match route {
        Route::Page(Page::Ready) if state.draining => (Err(DRAINING), "The server is going away."),
        Route::Page(Page::Ready) if state.waiting => {
            (Err(WAITING), "The server waits for what it needs.")
        }
        Route::Delete(topic) if look(topic) == Glimpse::Unused => {
            (Err(Problem::from(Refusal::NoSuchTopic)), "The topic has not begun.")
        }
        Route::Publish(_) => (
            Ok(Status::CREATED),
            "If the body is what its content type says, and the topic has room for it.",
        ),
        Route::WebSocket(_) => {
            (Ok(Status::SWITCHING_PROTOCOLS), "If the server has room for its topics.")
        }
        Route::Options(_) => (Ok(Status::NO_CONTENT), "It asks what may be asked."),
        Route::Batch => (Ok(Status::OK), "Every line is reported on in the body."),
        Route::Read(_) | Route::Head(_) => {
            (Ok(Status::OK), "If the server has room for its topics.")
        }
        Route::Delete(_) => (Ok(Status::OK), "If the topic has begun."),
        Route::Explain | Route::Page(_) | Route::Inquire(_) => {
            (Ok(Status::OK), "It is always there.")
        }
    }
}

/// How it would be answered, but for what may be used up by then: connections, and reads of the client's address.
fn explain_answer<'a>(
    object: Object<'a>,
    config: &Config,
    verdict: Result<Status, Problem>,
    because: &str,
) -> Object<'a> {
    object.value("answer", |out| {
        let status = match &verdict {
            Ok(status) => *status,
            Err(problem) => problem.status(),
        };
        let object =
            Object::new(out).integer("status", u64::from(status.code())).string("because", because);
        match &verdict {
            Ok(_) => object,
            Err(problem) => object.value("problem", |out| {
                problem.encode(config, out);
                out.pop();
            }),
        }
        .end();
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus_of_requests_is_explained_without_harm() {
        crate::fuzzing::replay("explain", fuzz_explain);
        // Whatever is refused as a head is refused here.
        crate::fuzzing::replay("head", fuzz_explain);
    }

    #[test]
    fn any_bytes_are_explained_or_refused() {
        let seed = b"GET /topics/a,bb?after=10000000-4&wait=5 HTTP/1.1\r\nHost: h\r\nOrigin: http://h\r\n\r\n";
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..20_000 {
            let mut bytes = seed.to_vec();
            for _ in 0..random.usize(1..4) {
                let at = random.usize(..bytes.len());
                match random.u8(..3) {
                    0 => bytes[at] = random.u8(..),
                    1 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, random.u8(b' '..b'~')),
                }
            }
            fuzz_explain(&bytes);
        }
    }
}
