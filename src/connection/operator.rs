//! What an operator asks: the numbers of all workers, listings of topics and connections, and to end one
//! (docs/protocol.md 19).

use std::fmt;

use super::context::Context;
use super::problem::Problem;
use super::route::{Exchange, PAGE_METHODS, Route, TOPICS_METHODS, explain_route, parse_number};
use super::{Connection, Phase, respond};
use crate::config::{Config, Entrance};
use crate::counters::CloseReason;
use crate::key::ConnectionKey;
use crate::limits::LISTING_ENTRIES_MAX;
use crate::problem_kind::{Parameter, Part, ProblemKind};
use crate::time::Instant;
use crate::topic::{Glimpse, TopicName, Topics};
use crate::wire::http1::{Head, Method, Query, Status};

/// A question that all workers are asked. Everything in it is checked.
#[derive(Clone, Debug)]
pub enum Inquiry {
    /// What they count.
    Metrics,
    /// Topics.
    Topics(TopicsWanted),
    /// Connections.
    Connections(ConnectionsWanted),
    /// End this one.
    End(ConnectionName),
    /// How far the topics of a request are that is to be explained.
    Explain(Explaining),
}

/// A request that is to be explained.
#[derive(Clone, Debug)]
pub struct Explaining {
    /// The request.
    pub bytes: Box<[u8]>,
    /// The topics that it names.
    pub topics: Vec<TopicName>,
}

/// Which topics are listed.
#[derive(Clone, Debug)]
pub struct TopicsWanted {
    /// Those whose names begin so.
    pub prefix: String,
    /// In the order of names: those behind this one.
    pub after: Option<TopicName>,
    /// At most so many.
    pub limit: usize,
    /// The order.
    pub order: TopicOrder,
}

/// In which order topics are listed; but for the first, those with the most, and none that has nothing.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum TopicOrder {
    /// By the bytes of their names.
    Name,
    /// By messages of late.
    Recent,
    /// By subscribers.
    Subscribers,
    /// By how far the slowest subscriber is behind.
    Lag,
    /// By bytes retained.
    Bytes,
}

/// Which connections are listed.
#[derive(Clone, Debug)]
pub struct ConnectionsWanted {
    /// In the order of workers and slots: those behind this one.
    pub after: Option<ConnectionName>,
    /// At most so many.
    pub limit: usize,
    /// Those that are subscribed to this topic.
    pub topic: Option<TopicName>,
    /// Those that are furthest behind, and none that is not.
    pub by_lag: bool,
}

/// A connection's name for the operator, such as `0-17-3041`: its worker, its slot there, and which of those that
/// have been there it is. No other connection of the process ever has it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct ConnectionName {
    /// The worker.
    pub worker: usize,
    /// The connection there.
    pub key: ConnectionKey,
}

impl fmt::Display for ConnectionName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}-{}", self.worker, self.key.slot, self.key.generation)
    }
}

impl ConnectionName {
    /// Parses exactly what [`ConnectionName::fmt`] writes.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-').map(|part| {
            let is_plain = part == "0" || !part.starts_with('0');
            parse_number(part).filter(|_| is_plain).and_then(|number| u32::try_from(number).ok())
        });
        let (worker, slot, generation) = (parts.next()??, parts.next()??, parts.next()??);
        let key = ConnectionKey { slot, generation };
        parts.next().is_none().then_some(Self { worker: worker as usize, key })
    }
}

/// What the workers had to say.
#[derive(Debug)]
pub enum Reply {
    /// Numbers, in the Prometheus text format.
    Metrics(String),
    /// A JSON object.
    Listing(Vec<u8>),
    /// The connection that was to be ended is.
    Ended,
    /// There is no such connection.
    NoSuchConnection,
    /// What is known of the topics of this request.
    Explained(Box<[u8]>, Vec<(TopicName, Glimpse)>),
    /// Too many questions are under way.
    TooMany,
}

const EXPLAIN_METHODS: &str = "POST, OPTIONS";
const LISTING_METHODS: &str = "GET, HEAD, OPTIONS";
const CONNECTION_METHODS: &str = "DELETE, OPTIONS";

const NOT_HERE: Problem = Problem::new(
    ProblemKind::OperatorOnly,
    "The path is for the operator, and not served at this address. Start the server with --admin-listen 127.0.0.1:PORT and ask there.",
);
/// What an address of the operator's own says of any other path.
pub(super) const NOTHING_ELSE: Problem = Problem::new(
    ProblemKind::NoSuchResource,
    "There is nothing at the path of the request: this address is the operator's. It has /metrics, GET /topics, /connections, POST /explain, /errors, /healthz and /readyz; clients use the other one (--listen).",
);
const NO_SUCH_CONNECTION: Problem = Problem::new(
    ProblemKind::NoSuchConnection,
    "There is no connection with the id in the path, or no longer. Take it from GET /connections.",
);
const TOO_MANY: Problem = Problem::new(
    ProblemKind::TooManyListings,
    "Too many listings are being made. Come back later, or ask one after another.",
);
const TOO_LARGE_NOW: Problem = Problem::new(
    ProblemKind::OutboxesUsedUp,
    "What is queued for all connections (--outboxes-bytes-max) leaves no room for this answer. Ask for less (?limit=), or come back later.",
);
const ENDED: Problem = Problem::new(
    ProblemKind::EndedByOperator,
    "The operator has ended this connection. Come back later.",
);
const BAD_LIMIT: Problem =
    malformed(Parameter::Limit, "The parameter {part} is not a whole number from 1 to {limit}.");
const NOT_PAGED: Problem = malformed(
    Parameter::After,
    "A listing that is sorted has one page. Leave out the parameter {part}, or sort.",
);

/// A parameter of a listing that cannot be taken.
const fn malformed(parameter: Parameter, detail: &'static str) -> Problem {
    Problem::new(ProblemKind::MalformedListing, detail).about(Part::Parameter(parameter))
}

/// Whether a request is for one of the operator's resources.
pub(super) fn is_wanted(head: &Head<'_>) -> bool {
    match head.path {
        "/metrics" | "/connections" | "/explain" => true,
        // The other methods, and WebSocket, are for clients.
        "/topics" => {
            matches!(head.method, Method::Get | Method::Head) && !head.upgrades_to_websocket
        }
        path => path.starts_with("/connections/"),
    }
}

/// What is asked of the operator's resources, if whoever came in at `entrance` may.
pub(super) fn route(
    head: &Head<'_>,
    entrance: Entrance,
    config: &Config,
) -> Result<Route, Problem> {
    if !entrance.serves_operator(config) {
        return Err(NOT_HERE);
    }
    let id = head.path.strip_prefix("/connections/");
    let methods = match head.path {
        "/metrics" => PAGE_METHODS,
        "/topics" => TOPICS_METHODS,
        "/explain" => EXPLAIN_METHODS,
        _ if id.is_some() => CONNECTION_METHODS,
        _ => LISTING_METHODS,
    };
    let inquiry = match (head.method, id) {
        (Method::Options, _) => return Ok(Route::Options(methods)),
        (Method::Delete, Some(id)) => {
            Inquiry::End(ConnectionName::parse(id).ok_or(NO_SUCH_CONNECTION)?)
        }
        (Method::Post, None) if head.path == "/explain" => return explain_route(head),
        (Method::Get | Method::Head, None) if head.path != "/explain" => match head.path {
            "/metrics" => Inquiry::Metrics,
            "/topics" => Inquiry::Topics(topics_wanted(head)?),
            _ => Inquiry::Connections(connections_wanted(head)?),
        },
        _ => return Err(Problem::method(methods)),
    };
    Ok(Route::Inquire(Box::new(inquiry)))
}

fn topics_wanted(head: &Head<'_>) -> Result<TopicsWanted, Problem> {
    let query = Query::parse(head.query)?;
    let order = match query.value("sort") {
        None | Some("name") => TopicOrder::Name,
        Some("recent") => TopicOrder::Recent,
        Some("subscribers") => TopicOrder::Subscribers,
        Some("lag") => TopicOrder::Lag,
        Some("bytes") => TopicOrder::Bytes,
        Some(_) => {
            return Err(malformed(
                Parameter::Sort,
                "The parameter {part} is not name, recent, subscribers, lag or bytes.",
            ));
        }
    };
    let after = query.value("after").map(|name| TopicName::parse(name.as_bytes())).transpose()?;
    if after.is_some() && order != TopicOrder::Name {
        return Err(NOT_PAGED);
    }
    let prefix = query.value("prefix").unwrap_or_default().to_owned();
    Ok(TopicsWanted { prefix, after, limit: limit(&query)?, order })
}

fn connections_wanted(head: &Head<'_>) -> Result<ConnectionsWanted, Problem> {
    let query = Query::parse(head.query)?;
    let by_lag = match query.value("sort") {
        None | Some("id") => false,
        Some("lag") => true,
        Some(_) => {
            return Err(malformed(Parameter::Sort, "The parameter {part} is not id or lag."));
        }
    };
    let parse = |text| {
        ConnectionName::parse(text).ok_or(malformed(
            Parameter::After,
            "The parameter {part} is not the id of a connection, such as ?after=0-17-3041.",
        ))
    };
    let after = query.value("after").map(parse).transpose()?;
    if after.is_some() && by_lag {
        return Err(NOT_PAGED);
    }
    let topic = query.value("topic").map(|name| TopicName::parse(name.as_bytes())).transpose()?;
    Ok(ConnectionsWanted { after, limit: limit(&query)?, topic, by_lag })
}

fn limit(query: &Query<'_>) -> Result<usize, Problem> {
    let limit = query.value("limit").map_or(Some(100), parse_number);
    limit
        .filter(|limit| (1..=LISTING_ENTRIES_MAX).contains(limit))
        .map(|limit| limit as usize)
        .ok_or(BAD_LIMIT)
}

impl Connection {
    /// Passes an operator's question on to the worker.
    pub(super) fn begin_inquiry<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        exchange: Exchange,
        inquiry: Inquiry,
    ) {
        self.phase = Phase::Inquiring(exchange);
        self.deadline = Instant::NEVER;
        context.inquiries.push((context.key, inquiry));
    }

    /// What the workers had to say to the operator's question.
    pub fn handle_reply<T: Topics>(&mut self, context: &mut Context<'_, T>, reply: &Reply) {
        let Phase::Inquiring(exchange) = self.phase else { return };
        let explanation;
        let (content_type, body) = match reply {
            Reply::Explained(bytes, known) => {
                explanation = self.explanation(context, bytes, known);
                ("application/json", &explanation[..])
            }
            Reply::Metrics(text) => ("text/plain; version=0.0.4; charset=utf-8", text.as_bytes()),
            Reply::Listing(json) => ("application/json", &json[..]),
            Reply::Ended => ("", &[][..]),
            Reply::NoSuchConnection => {
                return self.refuse_inquiry(context, exchange, &NO_SUCH_CONNECTION);
            }
            Reply::TooMany => return self.refuse_inquiry(context, exchange, &TOO_MANY),
        };
        // Metrics are given always: it is when memory is used up that they are wanted.
        if body.len() > context.outboxes_left && !matches!(reply, Reply::Metrics(_)) {
            return self.refuse_inquiry(context, exchange, &TOO_LARGE_NOW);
        }
        let exchange = self.settled(context, exchange);
        self.outbox.write(|out| {
            if matches!(reply, Reply::Ended) {
                let head = respond::begin_head(out, context, &exchange, Status::NO_CONTENT);
                head.field("Cache-Control", "no-cache").end();
            } else {
                respond::answer(out, context, &exchange, Status::OK, content_type, body);
            }
        });
        self.finish(context, exchange);
        self.more = true;
    }

    fn refuse_inquiry<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        exchange: Exchange,
        problem: &Problem,
    ) {
        self.refuse(context, exchange, problem);
        self.more = true;
    }

    /// The operator ends it. Whoever can be told is: with the end of a stream, a close, a refusal.
    pub fn kill<T: Topics>(&mut self, context: &mut Context<'_, T>) {
        match &mut self.phase {
            // It is the operator itself, perhaps with this very question: it is answered, and then ends.
            Phase::Inquiring(exchange) => {
                exchange.persistent = false;
                return;
            }
            Phase::Closed(_) => return,
            // What is said now would not be taken.
            _ if self.blocked => return self.close(context, CloseReason::Killed),
            Phase::Stream(_) => self.kill_stream(context, &ENDED),
            Phase::WebSocket(_) => self.kill_websocket(context),
            Phase::Poll(poll) => {
                let exchange = poll.exchange();
                self.end_phase(context);
                self.refuse_and_close(context, exchange, &ENDED);
            }
            Phase::Head { .. } if !self.outbox.is_empty() => {
                self.end_after_flush(context, CloseReason::Killed);
            }
            _ => return self.close(context, CloseReason::Killed),
        }
        if let Phase::Flushing(reason) | Phase::Lingering { reason, .. } = &mut self.phase {
            *reason = CloseReason::Killed;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_connection_is_written_in_one_way() {
        let key = ConnectionKey { slot: 17, generation: 3_041 };
        let name = ConnectionName { worker: 0, key };
        assert_eq!(name.to_string(), "0-17-3041");
        assert_eq!(ConnectionName::parse("0-17-3041"), Some(name));
        for bad in
            ["", "0-17", "0-17-3041-1", "00-17-1", "0-017-1", "+0-1-1", "0-1-4294967296", "a"]
        {
            assert_eq!(ConnectionName::parse(bad), None, "{bad}");
        }
    }
}
