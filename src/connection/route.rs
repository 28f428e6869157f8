//! A request head turned into what is asked: which topics, which wire, from where, in what form.

use crate::config::{Config, Entrance, Origins};
use crate::problem_kind::{FieldName, Parameter, Part, ProblemKind};
use crate::topic::{EventName, IdempotencyKey, Start, TopicName};
use crate::wire::http1::{
    Head, Method, Preference, Query, Version, percent_decode, prefer_wait, preferred,
};
use crate::wire::websocket::{accept_key, check_version, offers_subprotocol};

use super::admission::admit;
use super::files::{self, File};
use super::operator::{self, Inquiry};
use super::problem::Problem;

const TOPIC_METHODS: &str = "GET, HEAD, POST, PUT, DELETE, OPTIONS";
pub(super) const TOPICS_METHODS: &str = "GET, HEAD, POST, OPTIONS";
pub(super) const PAGE_METHODS: &str = "GET, HEAD, OPTIONS";
/// Seconds that `?wait=` may say; what is above `--wait-max` is capped to that.
const WAIT_SECONDS_MAX: u32 = 1_000_000_000;

/// What the answer to a request needs to know of it, beside what is asked.
#[derive(Copy, Clone, Debug)]
pub(super) struct Exchange {
    /// The answer has no body (HEAD).
    pub head_only: bool,
    /// The client speaks HTTP/1.0: no chunks.
    pub http10: bool,
    /// Whether the connection goes on after this.
    pub persistent: bool,
    /// Whether the client waits for `100 (Continue)`.
    pub expects_continue: bool,
    /// What the client's origin is told.
    pub grant: Grant,
}

/// What a client's origin is told (docs/protocol.md 14).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Grant {
    /// Nothing: it is our own, or there is none.
    Silent,
    /// Everyone may.
    Any,
    /// The origin with this index in the configuration may.
    Listed(u16),
}

/// What a request asks for. Everything in it is checked.
#[derive(Debug)]
pub(super) enum Route {
    /// Read topics.
    Read(Read),
    /// The cursor at the head.
    Head(Vec<TopicName>),
    /// Open a WebSocket.
    WebSocket(Box<Handshake>),
    /// Publish the body.
    Publish(Box<Publish>),
    /// Publish the lines of the body.
    Batch,
    /// Empty a topic.
    Delete(TopicName),
    /// Say what would be done with the request in the body.
    Explain,
    /// Say which methods there are.
    Options(&'static str),
    /// A resource of the server's own.
    Page(Page),
    /// What the operator asks.
    Inquire(Box<Inquiry>),
}

impl Route {
    /// How many topics it begins to read.
    pub(super) fn reads(&self) -> usize {
        match self {
            Self::Read(read) => read.topics.len(),
            Self::Head(topics) => topics.len(),
            Self::WebSocket(handshake) => handshake.topics.len(),
            _ => 0,
        }
    }
}

/// How to read topics.
#[derive(Debug)]
pub(super) struct Read {
    /// Which, in the order of their names, each once. At least one.
    pub topics: Vec<TopicName>,
    /// From where.
    pub start: Start,
    /// On which wire.
    pub wire: ReadWire,
}

/// The ways to read but WebSocket.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum ReadWire {
    /// Answer at once.
    ShortPoll,
    /// Answer when there is something, or after so many milliseconds.
    LongPoll {
        /// How long to wait.
        wait_ms: u64,
        /// The seconds of `Prefer: wait`, which are echoed.
        applied: Option<u32>,
    },
    /// Server-Sent Events.
    EventStream {
        /// Whether their data is the envelope rather than the payload.
        envelope: bool,
    },
    /// NDJSON.
    Ndjson,
}

/// A WebSocket's opening handshake, accepted.
#[derive(Debug)]
pub(super) struct Handshake {
    /// Topics in the URL, as in [`Read`]; none for `GET /topics`.
    pub topics: Vec<TopicName>,
    /// From where.
    pub start: Start,
    /// The value of `Sec-WebSocket-Accept`.
    pub accept: [u8; 28],
    /// Whether `tidings.json` was agreed on.
    pub json: bool,
}

/// A message whose payload is still to come.
#[derive(Debug)]
pub(super) struct Publish {
    /// Where to.
    pub topic: TopicName,
    /// The content type as it was given.
    pub content_type: Option<Box<[u8]>>,
    /// The event name.
    pub event: Option<EventName>,
    /// The publisher's name for this publish.
    pub key: Option<IdempotencyKey>,
}

/// Resources of the server's own.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Page {
    /// `/healthz`
    Health,
    /// `/readyz`
    Ready,
    /// `/errors`
    Errors,
    /// A file that is part of the server.
    File(&'static File),
}

impl Page {
    /// Whether it is part of the page that shows the server at work.
    const fn is_show(self) -> bool {
        matches!(self, Self::File(file) if file.of_the_page)
    }
}

/// What the answer needs to know, whatever is asked.
pub(super) fn exchange(head: &Head<'_>, config: &Config) -> Result<Exchange, Problem> {
    let mut exchange = Exchange {
        head_only: head.method == Method::Head,
        http10: head.version == Version::Http10,
        persistent: head.persistent,
        expects_continue: head.expects_continue,
        grant: Grant::Silent,
    };
    if operator::is_wanted(head) {
        // Whoever may read topics need not see who else does, or end connections.
        exchange.grant = grant(head, &Origins::Own)?;
    } else if head.path.starts_with("/topics") {
        exchange.grant = grant(head, &config.origins)?;
    }
    Ok(exchange)
}

/// What is asked, by whom came in at `entrance`.
pub(super) fn route(
    head: &Head<'_>,
    entrance: Entrance,
    config: &Config,
) -> Result<Route, Problem> {
    match head.method {
        Method::Unknown | Method::Connect => {
            return Err(Problem::new(
                ProblemKind::UnknownMethod,
                "The method of the request is not known here. Methods are case-sensitive: GET, HEAD, POST, PUT, DELETE, OPTIONS.",
            ));
        }
        Method::Options if head.path == "*" => return Ok(Route::Options(TOPIC_METHODS)),
        _ => (),
    }
    if operator::is_wanted(head) {
        return operator::route(head, entrance, config);
    }
    if entrance == Entrance::Admin && !matches!(head.path, "/healthz" | "/readyz" | "/errors") {
        return Err(operator::NOTHING_ELSE);
    }
    if let Some(segment) = head.path.strip_prefix("/topics/") {
        return topic_route(head, config, segment);
    }
    let page = match head.path {
        "/topics" => return topics_route(head, config),
        "/healthz" => Page::Health,
        "/readyz" => Page::Ready,
        "/errors" => Page::Errors,
        path => match files::find(path) {
            Some(file) => Page::File(file),
            None => {
                return Err(Problem::new(
                    ProblemKind::NoSuchResource,
                    "There is nothing at the path of the request. Topics are at /topics/NAME.",
                ));
            }
        },
    };
    if page.is_show() && !config.page {
        return Err(NO_PAGE);
    }
    match head.method {
        Method::Get | Method::Head => Ok(Route::Page(page)),
        Method::Options => Ok(Route::Options(PAGE_METHODS)),
        _ => Err(Problem::method(PAGE_METHODS)),
    }
}

/// `/topics/…`
fn topic_route(head: &Head<'_>, config: &Config, segment: &str) -> Result<Route, Problem> {
    if segment.contains('/') {
        return Err(Problem::new(
            ProblemKind::SlashInTopic,
            "The path has a slash behind the topic's name. Write a slash in a name as %2F.",
        ));
    }
    match head.method {
        Method::Get | Method::Head => {
            let topics = parse_topics(segment, config)?;
            let query = Query::parse(head.query)?;
            if head.method == Method::Head {
                Ok(Route::Head(topics))
            } else if head.upgrades_to_websocket {
                handshake(head, &query, topics)
            } else {
                read(head, config, &query, topics)
            }
        }
        Method::Post | Method::Put => publish(head, config, segment),
        Method::Delete => {
            let topic = parse_topic(segment)?;
            admit(config, &topic, 0)?;
            Ok(Route::Delete(topic))
        }
        Method::Options => Ok(Route::Options(TOPIC_METHODS)),
        _ => Err(Problem::method(TOPIC_METHODS)),
    }
}

/// `/explain`
pub(super) fn explain_route(head: &Head<'_>) -> Result<Route, Problem> {
    check_content_encoding(head)?;
    if has_media_type(head, b"message/http") {
        return Ok(Route::Explain);
    }
    Err(Problem::new(
        ProblemKind::ExplainContentType,
        "The field {part} is not message/http. Send the head of the request that is to be explained, as tidings explain does.",
    )
    .about_field(FieldName::ContentType))
}

/// Whether the content type, parameters aside, is this one.
fn has_media_type(head: &Head<'_>, wanted: &[u8]) -> bool {
    head.field("content-type").is_some_and(|value| {
        let end = value.iter().position(|&byte| byte == b';').unwrap_or(value.len());
        value[..end].trim_ascii_end().eq_ignore_ascii_case(wanted)
    })
}

/// `/topics`
fn topics_route(head: &Head<'_>, config: &Config) -> Result<Route, Problem> {
    match head.method {
        Method::Post => {
            check_content_encoding(head)?;
            if !has_media_type(head, b"application/x-ndjson") {
                return Err(Problem::new(
                    ProblemKind::BatchContentType,
                    "The field {part} of a batch is not application/x-ndjson. To publish one message, POST it to /topics/NAME.",
                )
                .about_field(FieldName::ContentType));
            }
            Ok(Route::Batch)
        }
        Method::Get if head.upgrades_to_websocket => {
            let query = Query::parse(head.query)?;
            match handshake(head, &query, Vec::new())? {
                Route::WebSocket(handshake) if !handshake.json => Err(Problem::new(
                    ProblemKind::WebSocketWithoutTopic,
                    "The path names no topic, and the field {part} does not offer tidings.json, which can name one later.",
                )
                .about_field(FieldName::SecWebSocketProtocol)),
                route => Ok(route),
            }
        }
        Method::Options => {
            debug_assert!(config.workers > 0);
            Ok(Route::Options(TOPICS_METHODS))
        }
        _ => Err(Problem::method(TOPICS_METHODS)),
    }
}

fn parse_topic(segment: &str) -> Result<TopicName, Problem> {
    if segment.contains(',') {
        return Err(Problem::new(
            ProblemKind::OneTopicOnly,
            "The path names several topics, which can only be read together. Name one.",
        ));
    }
    Ok(TopicName::parse(&percent_decode(segment)?)?)
}

/// The topics of a request, in the order of their names, each once.
fn parse_topics(segment: &str, config: &Config) -> Result<Vec<TopicName>, Problem> {
    let mut topics = segment
        .split(',')
        .map(|name| Ok(TopicName::parse(&percent_decode(name)?)?))
        .collect::<Result<Vec<_>, Problem>>()?;
    topics.sort_unstable();
    topics.dedup();
    if topics.len() > usize::from(config.limits.topics_per_connection) {
        return Err(Problem::new(
            ProblemKind::TooManyTopics,
            "The path names more than {limit} topics (--topics-per-connection). Name fewer, or use several connections.",
        ));
    }
    Ok(topics)
}

fn read(
    head: &Head<'_>,
    config: &Config,
    query: &Query<'_>,
    topics: Vec<TopicName>,
) -> Result<Route, Problem> {
    let wire = match preferred(head.list("accept")) {
        Preference::EventStream => {
            ReadWire::EventStream { envelope: query.value("envelope").is_some() }
        }
        Preference::Ndjson => ReadWire::Ndjson,
        Preference::Json => poll_wire(head, config, query)?,
    };
    let default = if wire == ReadWire::ShortPoll { Start::Earliest } else { Start::Latest };
    let (source, start) = start(head, query, default)?;
    if start == Start::Unknown && wire == ReadWire::ShortPoll {
        let part = match source {
            StartSource::LastEventId => Part::Field(FieldName::LastEventId),
            _ => Part::Parameter(Parameter::After),
        };
        return Err(Problem::new(
            ProblemKind::MalformedCursor,
            "What {part} says is no cursor. Give back what the server gave, or earliest, or latest.",
        )
        .about(part));
    }
    Ok(Route::Read(Read { topics, start, wire }))
}

fn poll_wire(head: &Head<'_>, config: &Config, query: &Query<'_>) -> Result<ReadWire, Problem> {
    let (seconds, applied) = match query.value("wait") {
        Some(text) => {
            let seconds = parse_number(text).ok_or(
                Problem::new(
                    ProblemKind::MalformedWait,
                    "The parameter {part} is not a whole number of seconds, such as ?wait=25.",
                )
                .about(Part::Parameter(Parameter::Wait)),
            )?;
            (seconds.min(u64::from(WAIT_SECONDS_MAX)), None)
        }
        None => match prefer_wait(head.list("prefer")) {
            Some(seconds) => (u64::from(seconds), Some(seconds)),
            None => return Ok(ReadWire::ShortPoll),
        },
    };
    let wait_ms = (seconds * 1_000).min(config.limits.wait_max_ms);
    Ok(ReadWire::LongPoll { wait_ms, applied })
}

/// What says where to begin. The first that is present counts (docs/protocol.md 3.3).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum StartSource {
    LastEventId,
    After,
    IfNoneMatch,
    Last,
    /// None of them: where the way of waiting begins by itself.
    Wire,
}

/// Where to begin, and what says so. A malformed cursor is [`Start::Unknown`].
pub(super) fn start(
    head: &Head<'_>,
    query: &Query<'_>,
    default: Start,
) -> Result<(StartSource, Start), Problem> {
    let parse = |text| Start::parse(text).unwrap_or(Start::Unknown);
    if let Some(text) = head.field("last-event-id").filter(|value| !value.is_empty()) {
        return Ok((StartSource::LastEventId, parse(text)));
    }
    if let Some(text) = query.value("after") {
        return Ok((StartSource::After, parse(text.as_bytes())));
    }
    let tag = head.field("if-none-match").and_then(|value| {
        let tag = value.strip_prefix(b"W/").unwrap_or(value);
        Start::parse(tag.strip_prefix(b"\"")?.strip_suffix(b"\"")?).ok()
    });
    if let Some(start @ Start::After(_)) = tag {
        return Ok((StartSource::IfNoneMatch, start));
    }
    match query.value("last") {
        None => Ok((StartSource::Wire, default)),
        Some(text) => {
            parse_number(text).map(|count| (StartSource::Last, Start::Last(count))).ok_or(
                Problem::new(
                    ProblemKind::MalformedLast,
                    "The parameter {part} is not a whole number of messages, such as ?last=10.",
                )
                .about(Part::Parameter(Parameter::Last)),
            )
        }
    }
}

fn handshake(head: &Head<'_>, query: &Query<'_>, topics: Vec<TopicName>) -> Result<Route, Problem> {
    check_version(head.field("sec-websocket-version"))?;
    let key = head.field("sec-websocket-key").unwrap_or_default();
    let json = offers_subprotocol(head.list("sec-websocket-protocol"), "tidings.json")?;
    let (accept, start) = (accept_key(key)?, start(head, query, Start::Latest)?.1);
    Ok(Route::WebSocket(Box::new(Handshake { topics, start, accept, json })))
}

fn publish(head: &Head<'_>, config: &Config, segment: &str) -> Result<Route, Problem> {
    check_content_encoding(head)?;
    let topic = parse_topic(segment)?;
    admit(config, &topic, 0)?;
    let query = Query::parse(head.query)?;
    let event = match (head.field("event-type"), query.value("event")) {
        (Some(name), _) => Some((name, Part::Field(FieldName::EventType))),
        (None, Some(name)) => Some((name.as_bytes(), Part::Parameter(Parameter::Event))),
        (None, None) => None,
    };
    let event = event
        .map(|(name, part)| {
            EventName::parse(name).map_err(|error| Problem::from(error).about(part))
        })
        .transpose()?;
    let key = head.field("idempotency-key").map(IdempotencyKey::parse).transpose()?;
    let content_type = head.field("content-type").map(Box::from);
    Ok(Route::Publish(Box::new(Publish { topic, content_type, event, key })))
}

fn check_content_encoding(head: &Head<'_>) -> Result<(), Problem> {
    match head.field("content-encoding") {
        Some(coding) if !coding.eq_ignore_ascii_case(b"identity") => Err(Problem::new(
            ProblemKind::CompressedBody,
            "The field {part} says that the body is compressed, and such are not taken. Send it as it is, without the field.",
        )
        .about_field(FieldName::ContentEncoding)),
        _ => Ok(()),
    }
}

/// Whether the client's origin may talk to us, and what it is told.
fn grant(head: &Head<'_>, origins: &Origins) -> Result<Grant, Problem> {
    let Some(origin) = head.field("origin") else { return Ok(Grant::Silent) };
    let own = |scheme: &[u8]| {
        let host = origin.strip_prefix(scheme);
        host.is_some_and(|host| !host.is_empty() && host.eq_ignore_ascii_case(head.host.as_bytes()))
    };
    if own(b"http://") || own(b"https://") {
        return Ok(Grant::Silent);
    }
    match origins {
        Origins::Any => Ok(Grant::Any),
        origins => origins.find(origin).map(Grant::Listed).ok_or(FOREIGN_ORIGIN),
    }
}

const FOREIGN_ORIGIN: Problem = Problem::new(
    ProblemKind::ForeignOrigin,
    "The field {part} names neither this server nor an origin that it allows. Its operator can allow it with --allow-origin.",
)
.about_field(FieldName::Origin);

const NO_PAGE: Problem = Problem::new(
    ProblemKind::PageTurnedOff,
    "The path is of the page that shows the server at work, which its operator has turned off (--no-page). Topics are at /topics/NAME, the browser client at /tidings.js.",
);

/// Digits only: `str::parse` would take a plus sign.
pub(super) fn parse_number(text: &str) -> Option<u64> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().unwrap_or(u64::MAX))
}
