//! A refusal: its kind, and what the client should do about it (docs/protocol.md 15, docs/errors.md).

use crate::config::Config;
use crate::counters::Counters;
use crate::limits::{BATCH_ERRORS_MAX, LISTING_ENTRIES_MAX};
use crate::problem_kind::{FieldName, Member, Part, ProblemKind};
use crate::topic::{MessageError, NAME_BYTES_MAX, NameError, Refusal, TopicName};
use crate::wire::command::CommandError;
use crate::wire::envelope::Object;
use crate::wire::http1::{BodyError, HeadError, QUERY_PAIRS_MAX, Status, TargetError};
use crate::wire::websocket::HandshakeError;

/// Why a request is not served. Its texts are ours alone: nothing that a peer sent is repeated.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// What it is called; its status and its title follow from it.
    pub kind: ProblemKind,
    /// What is wrong with which part of the request and what to do, in a sentence or two. `{limit}` stands for
    /// the bound that was reached, `{part}` for the name of the part.
    pub detail: &'static str,
    /// The part of the request that a program may want to look at.
    pub part: Option<Part>,
    /// The methods that the path has, for `Allow`.
    pub allow: Option<&'static str>,
    /// The bound that was reached, where it is not the server's own for this kind, which 0 stands for.
    pub limit: u32,
}

/// The server goes away.
pub(super) const DRAINING: Problem = Problem::new(
    ProblemKind::Draining,
    "draining: this server is going away. Use another, or come back later.",
);

impl Problem {
    /// A refusal that is about no part with a name.
    pub(super) const fn new(kind: ProblemKind, detail: &'static str) -> Self {
        Self { kind, detail, part: None, allow: None, limit: 0 }
    }

    /// The same, about this part.
    pub(super) const fn about(self, part: Part) -> Self {
        Self { part: Some(part), ..self }
    }

    /// The same, about this field.
    pub(super) const fn about_field(self, field: FieldName) -> Self {
        self.about(Part::Field(field))
    }

    /// The same, with a bound of its own.
    pub(super) fn with_limit(self, limit: usize) -> Self {
        Self { limit: u32::try_from(limit).unwrap_or(u32::MAX), ..self }
    }

    /// The same of this topic, whose log may be bounded otherwise than others.
    pub(super) fn for_topic(self, config: &Config, topic: &TopicName) -> Self {
        let rule = &config.topics.all()[config.topics.find(topic.as_str()).index()];
        match (self.kind, rule.log_bytes) {
            (ProblemKind::LargerThanLog, Some(most)) => self.with_limit(most),
            _ => self,
        }
    }

    /// The path has other methods.
    pub(super) const fn method(allow: &'static str) -> Self {
        let detail = "This path does not have the method of the request, but those in Allow.";
        Self { allow: Some(allow), ..Self::new(ProblemKind::MethodNotAllowed, detail) }
    }

    /// The status of the answer.
    pub(super) const fn status(&self) -> Status {
        Status::of(self.kind)
    }

    /// Whether coming back later may help: then the client is told when.
    pub(super) const fn is_temporary(&self) -> bool {
        self.kind.is_temporary()
    }

    /// The same for a line of a batch or a command, whose parts are members.
    pub(super) fn of_object(self) -> Self {
        let part = match self.kind {
            ProblemKind::MalformedContentType | ProblemKind::PayloadNotUtf8 => Member::ContentType,
            ProblemKind::PayloadNotJson | ProblemKind::PayloadNotPortable => Member::Data,
            ProblemKind::MalformedEventName => Member::Event,
            ProblemKind::MalformedIdempotencyKey => Member::Key,
            ProblemKind::TopicNameMissing
            | ProblemKind::TopicNameTooLong
            | ProblemKind::TopicNameNotUtf8
            | ProblemKind::TopicNameUnprintable
            | ProblemKind::TopicNameReserved => Member::Topic,
            _ => return self,
        };
        self.about(Part::Member(part))
    }

    /// Appends the body: a problem object (RFC 9457 §3.1).
    pub(super) fn encode(&self, config: &Config, out: &mut Vec<u8>) {
        // A relative reference, resolved against the server (RFC 9457 §3.1.1).
        let object = Object::new(out).string("type", &self.reference());
        self.encode_members(config, object).end();
        out.push(b'\n');
    }

    /// Writes the members of an object that has a `type` of another meaning.
    pub(super) fn encode_into<'a>(&self, config: &Config, object: Object<'a>) -> Object<'a> {
        self.encode_members(config, object.string("problem", &self.reference()))
    }

    fn encode_members<'a>(&self, config: &Config, object: Object<'a>) -> Object<'a> {
        let limit = match self.limit {
            0 => limit(self.kind, config),
            limit => Some(limit.to_string()),
        };
        let mut object = object
            .string("title", self.kind.title())
            .integer("status", u64::from(self.kind.status_code()))
            .string("detail", &self.detail_text(limit.as_deref()));
        if let Some(limit) = limit {
            object = object.value("limit", |out| out.extend_from_slice(limit.as_bytes()));
        }
        match self.part.map(Part::named) {
            Some((part, name)) => object.string(part, name),
            None => object,
        }
    }

    fn reference(&self) -> String {
        format!("/errors#{}", self.kind.slug())
    }

    /// The detail with everything in its place.
    fn detail_text(&self, limit: Option<&str>) -> String {
        let part = self.part.map_or("", |part| part.named().1);
        self.detail.replace("{limit}", limit.unwrap_or_default()).replace("{part}", part)
    }
}

/// The bound that something of this kind has reached, in the unit of its flag.
fn limit(kind: ProblemKind, config: &Config) -> Option<String> {
    let limits = &config.limits;
    let limit = match kind {
        ProblemKind::TargetTooLong => limits.target_bytes_max,
        ProblemKind::HeadTooLarge => limits.head_bytes_max,
        ProblemKind::TooManyFields => usize::from(limits.fields_max),
        ProblemKind::HeadTooSlow => return Some(seconds(limits.head_ms)),
        ProblemKind::TopicNameTooLong => NAME_BYTES_MAX,
        ProblemKind::TooManyTopics => usize::from(limits.topics_per_connection),
        ProblemKind::TooManyParameters => QUERY_PAIRS_MAX,
        ProblemKind::BodyTooLarge | ProblemKind::LineTooLong => limits.body_bytes_max,
        ProblemKind::UnwantedBodyTooLarge => limits.drop_bytes_max,
        ProblemKind::LargerThanLog => limits.log_bytes,
        ProblemKind::BodyTooSlow => limits.body_rate_min,
        ProblemKind::MalformedListing => LISTING_ENTRIES_MAX as usize,
        ProblemKind::TooManyWrongLines => BATCH_ERRORS_MAX as usize,
        ProblemKind::TooManyReads => limits.reads_per_second as usize,
        ProblemKind::TooManyConnectionsFromAddress => limits.connections_per_address as usize,
        ProblemKind::TooManyConnections => config.connections_max,
        ProblemKind::TopicsUsedUp => limits.topics_max as usize,
        ProblemKind::MemoryUsedUp => limits.memory_bytes_max,
        _ => return None,
    };
    Some(limit.to_string())
}

/// Milliseconds as seconds: `10`, `0.25`.
fn seconds(ms: u64) -> String {
    (ms as f64 / 1_000.0).to_string()
}

impl Counters {
    /// Counts a refusal.
    pub(super) fn count_refusal(&mut self, problem: &Problem) {
        self.refusals.0[problem.kind as usize] += 1;
    }
}

impl From<HeadError> for Problem {
    fn from(error: HeadError) -> Self {
        Self { part: error.part(), ..Self::new(error.kind(), error.detail()) }
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        Self::new(error.kind(), error.detail())
    }
}

impl From<TargetError> for Problem {
    fn from(error: TargetError) -> Self {
        Self::new(error.kind(), error.detail())
    }
}

impl From<NameError> for Problem {
    fn from(error: NameError) -> Self {
        Self::new(error.kind(), error.detail())
    }
}

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Self {
        Self { part: error.part(), ..Self::new(error.kind(), error.detail()) }
    }
}

impl From<MessageError> for Problem {
    fn from(error: MessageError) -> Self {
        let problem = Self::new(error.kind(), error.detail());
        match error {
            MessageError::NotUtf8 | MessageError::ContentType => {
                problem.about_field(FieldName::ContentType)
            }
            MessageError::Key => problem.about_field(FieldName::IdempotencyKey),
            MessageError::Event | MessageError::Json(_) => problem,
        }
    }
}

impl From<HandshakeError> for Problem {
    fn from(error: HandshakeError) -> Self {
        Self::new(error.kind(), error.detail()).about_field(error.field())
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let (kind, detail) = match refusal {
            Refusal::TopicsUsedUp => (
                ProblemKind::TopicsUsedUp,
                "The server has {limit} topics, as many as it may (--topics-max), and this one would be new. Use one that exists, or come back later.",
            ),
            Refusal::MemoryUsedUp => (
                ProblemKind::MemoryUsedUp,
                "The {limit} bytes that messages may use on this server (--memory) are used up. Come back later.",
            ),
            Refusal::OwnerFailed => (
                ProblemKind::WorkerFailed,
                "The part of the server that has the topic failed before it had answered: whether the message was published (or the topic deleted), nobody knows. Ask again.",
            ),
            Refusal::RedisAway => (
                ProblemKind::RedisAway,
                "Redis, which carries the topics between the servers (--redis), is away or refuses. Nothing was done. Come back later.",
            ),
            Refusal::OutcomeUnknown => (
                ProblemKind::OutcomeUnknown,
                "The connection to Redis was lost before it had answered: whether the message was published (or the topic deleted), nobody knows. Ask again; with an Idempotency-Key a repeat is safe.",
            ),
            Refusal::TooFewReplicas => (
                ProblemKind::TooFewReplicas,
                "The message is published, and fewer replicas of Redis than asked for (--redis-wait) have confirmed it: it may be lost if Redis fails now. Repeat it with the same Idempotency-Key.",
            ),
            Refusal::LargerThanLog => (
                ProblemKind::LargerThanLog,
                "The message is larger than all messages of a topic may be together, {limit} bytes (--log-bytes, or log-bytes in a [[topic]]). Send less.",
            ),
            Refusal::NoSuchTopic => (
                ProblemKind::NoSuchTopic,
                "The topic in the path has not begun: nobody has used it yet.",
            ),
        };
        Self::new(kind, detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(problem: Problem) -> String {
        let mut out = Vec::new();
        problem.encode(&Config { connections_max: 7, ..Config::default() }, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_problem_says_its_type_the_bound_and_the_part() {
        assert_eq!(
            text(Problem::from(HeadError::UriTooLong)),
            "{\"type\":\"/errors#target-too-long\",\"title\":\"The request target is too long\",\"status\":414,\
             \"detail\":\"The request target has more than 8192 bytes (--target-bytes-max). Shorten it.\",\
             \"limit\":8192}\n"
        );
        assert_eq!(
            text(Problem::from(HeadError::DuplicateField(FieldName::Origin))),
            "{\"type\":\"/errors#duplicate-field\",\"title\":\"A header field is given twice\",\"status\":400,\
             \"detail\":\"The field Origin is given twice, and only one can count. Send it once.\",\
             \"field\":\"Origin\"}\n"
        );
    }

    #[test]
    fn a_time_is_said_in_seconds() {
        assert_eq!((seconds(10_000), seconds(250)), ("10".to_owned(), "0.25".to_owned()));
    }

    #[test]
    fn a_problem_is_held_to_its_size() {
        // Lines of a batch and publishes of a WebSocket keep one each until it is reported.
        assert_eq!(size_of::<Problem>(), 40);
    }
}
