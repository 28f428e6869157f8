//! Every reason for which something is refused: its name on the wire, its status, its summary.
//!
//! A kind means one thing on every wire: in the body of a refusal, in a line of a batch, in an error of
//! `tidings.json`, as a label in metrics and as a section of docs/errors.md.

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $status:literal $slug:literal $title:literal;)*) => {
        /// Why something is refused. As a number its place in [`ProblemKind::ALL`].
        #[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
        pub enum ProblemKind {
            $($(#[$doc])* $name,)*
        }

        impl ProblemKind {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The name on the wire: a heading of docs/errors.md, and never changed.
            pub const fn slug(self) -> &'static str {
                match self {
                    $(Self::$name => $slug,)*
                }
            }

            /// The status code of the answer.
            pub const fn status_code(self) -> u16 {
                match self {
                    $(Self::$name => $status,)*
                }
            }

            /// The same for every problem of this kind (RFC 9457 §3.1.3).
            pub const fn title(self) -> &'static str {
                match self {
                    $(Self::$name => $title,)*
                }
            }
        }
    };
}

kinds! {
    /// A line of the head ends in something else than CRLF.
    MalformedLineEnd = 400 "malformed-line-end" "A line of the head does not end in CRLF";
    /// The head has something in it that no head may have.
    MalformedHead = 400 "malformed-head" "The head of the request is malformed";
    /// Not method, target and version.
    MalformedRequestLine = 400 "malformed-request-line" "The request line is malformed";
    /// The target has a form or a character that it may not have.
    MalformedTarget = 400 "malformed-target" "The request target is malformed";
    /// The target is longer than `--target-bytes-max`.
    TargetTooLong = 414 "target-too-long" "The request target is too long";
    /// Neither HTTP/1.1 nor HTTP/1.0.
    UnsupportedVersion = 505 "unsupported-version" "The HTTP version is not spoken here";
    /// The head is longer than `--head-bytes-max`.
    HeadTooLarge = 431 "head-too-large" "The head of the request is too large";
    /// The head has more fields than `--fields-max`.
    TooManyFields = 431 "too-many-fields" "The request has too many header fields";
    /// A field line without a proper name, or with a control character in its value.
    MalformedField = 400 "malformed-field" "A header field is malformed";
    /// A field that may be there once is there twice.
    DuplicateField = 400 "duplicate-field" "A header field is given twice";
    /// HTTP/1.1 without `Host`.
    MissingHost = 400 "missing-host" "The Host field is missing";
    /// `Host` is no host with an optional port.
    MalformedHost = 400 "malformed-host" "The Host field is malformed";
    /// The target names another host than `Host`.
    HostMismatch = 421 "host-mismatch" "The target and Host name different hosts";
    /// `Content-Length` is not one number.
    MalformedContentLength = 400 "malformed-content-length" "Content-Length is not one number";
    /// `Content-Length` and `Transfer-Encoding` together.
    LengthAndEncoding = 400 "length-and-encoding" "Content-Length and Transfer-Encoding together";
    /// `Transfer-Encoding` is not `chunked`, once and alone, on HTTP/1.1.
    MalformedTransferEncoding = 400 "malformed-transfer-encoding" "Transfer-Encoding cannot be taken";
    /// A transfer coding that is not `chunked`.
    UnknownTransferCoding = 501 "unknown-transfer-coding" "The transfer coding is not known here";
    /// `Expect` with anything but `100-continue`.
    UnknownExpectation = 417 "unknown-expectation" "The expectation cannot be met";
    /// The head did not come within `--head-time`.
    HeadTooSlow = 408 "head-too-slow" "The head of the request came too slowly";

    /// A method that this server has for no path.
    UnknownMethod = 501 "unknown-method" "The method is not known here";
    /// A method that this path does not have.
    MethodNotAllowed = 405 "method-not-allowed" "This path has other methods";
    /// A path that is none of ours.
    NoSuchResource = 404 "no-such-resource" "There is nothing at this path";
    /// A path of the page, which is turned off.
    PageTurnedOff = 404 "page-turned-off" "The page is turned off";
    /// An origin that `--allow-origin` does not name.
    ForeignOrigin = 403 "foreign-origin" "Pages of this origin may not talk to this server";

    /// `/topics/` without a name.
    TopicNameMissing = 400 "topic-name-missing" "The topic has no name";
    /// More than 200 bytes.
    TopicNameTooLong = 400 "topic-name-too-long" "The name of the topic is too long";
    /// Not UTF-8 after percent-decoding.
    TopicNameNotUtf8 = 400 "topic-name-not-utf8" "The name of the topic is not UTF-8";
    /// A control or format character.
    TopicNameUnprintable = 400 "topic-name-unprintable" "The name of the topic has an invisible character";
    /// One of `,` `*` `>`.
    TopicNameReserved = 400 "topic-name-reserved" "The name of the topic has a reserved character";
    /// `/topics/a/b`
    SlashInTopic = 404 "slash-in-topic" "A topic is one path segment";
    /// Several topics where one is meant.
    OneTopicOnly = 400 "one-topic-only" "Only reading takes several topics";
    /// More than `--topics-per-connection`.
    TooManyTopics = 400 "too-many-topics" "Too many topics for one connection";
    /// No client may publish to the topic, or delete it.
    PublishingClosed = 403 "publishing-closed" "Clients may not publish to this topic";
    /// A topic that has not begun is to be deleted.
    NoSuchTopic = 404 "no-such-topic" "There is no such topic";

    /// The query is not UTF-8 after percent-decoding.
    QueryNotUtf8 = 400 "query-not-utf8" "The query is not UTF-8";
    /// A parameter of the query is there twice.
    DuplicateParameter = 400 "duplicate-parameter" "A parameter of the query is given twice";
    /// More than 64 parameters.
    TooManyParameters = 400 "too-many-parameters" "The query has too many parameters";
    /// A short poll with a cursor that is none.
    MalformedCursor = 400 "malformed-cursor" "The cursor is malformed";
    /// `wait` is no whole number.
    MalformedWait = 400 "malformed-wait" "wait is not a whole number of seconds";
    /// `last` is no whole number.
    MalformedLast = 400 "malformed-last" "last is not a whole number of messages";

    /// A WebSocket version other than 13.
    WebSocketVersion = 426 "websocket-version" "The WebSocket version is not spoken here";
    /// `Sec-WebSocket-Key` is not the base64 of 16 bytes.
    WebSocketKey = 400 "websocket-key" "The key of the WebSocket is malformed";
    /// `Sec-WebSocket-Protocol` is no list of tokens.
    WebSocketSubprotocol = 400 "websocket-subprotocol" "The list of subprotocols is malformed";
    /// `GET /topics` without `tidings.json`.
    WebSocketWithoutTopic = 400 "websocket-without-topic" "The WebSocket has neither a topic nor commands";
    /// An opening handshake with a body.
    WebSocketWithBody = 400 "websocket-with-body" "An opening handshake has no body";

    /// A publish or batch without `Content-Length` and `Transfer-Encoding`.
    LengthRequired = 411 "length-required" "The length of the body is not given";
    /// More than `--body-bytes-max`.
    BodyTooLarge = 413 "body-too-large" "The body is too large";
    /// A body that nobody needs, of more than `--drop-bytes-max`.
    UnwantedBodyTooLarge = 413 "unwanted-body-too-large" "A body that is not needed is too large";
    /// The message alone is larger than `--log-bytes`.
    LargerThanLog = 413 "larger-than-log" "The message is larger than its topic may be";
    /// The message is larger than `message-bytes-max` of its topic.
    TooLargeForTopic = 413 "too-large-for-topic" "The message is larger than its topic takes";
    /// Slower than `--body-rate-min` after `--body-grace`.
    BodyTooSlow = 408 "body-too-slow" "The body came too slowly";
    /// The chunks of a body are not well formed.
    MalformedChunk = 400 "malformed-chunk" "A chunk of the body is malformed";
    /// Far more framing than payload.
    ChunksTooSmall = 400 "chunks-too-small" "The chunks of the body are too small";
    /// A trailer that is not a field line.
    MalformedTrailer = 400 "malformed-trailer" "A trailer field is malformed";
    /// More trailers than there may be.
    TrailersTooLarge = 431 "trailers-too-large" "The trailer section is too large";
    /// `Content-Encoding` other than `identity`.
    CompressedBody = 415 "compressed-body" "Compressed bodies are not taken";

    /// The content type has invisible characters or is too long.
    MalformedContentType = 415 "malformed-content-type" "The content type is malformed";
    /// The content type says text and the payload is not UTF-8.
    PayloadNotUtf8 = 415 "payload-not-utf8" "The payload is not UTF-8";
    /// The content type says JSON and the payload is none.
    PayloadNotJson = 400 "payload-not-json" "The payload is not JSON";
    /// JSON that common parsers fail at.
    PayloadNotPortable = 400 "payload-not-portable" "Not every parser can read the JSON of the payload";
    /// The event name is empty, too long, the server's own, or has control characters.
    MalformedEventName = 400 "malformed-event-name" "The event name is malformed";
    /// The idempotency key is empty, too long or not visible ASCII.
    MalformedIdempotencyKey = 400 "malformed-idempotency-key" "The idempotency key is malformed";

    /// A batch of another content type than NDJSON.
    BatchContentType = 415 "batch-content-type" "A batch is application/x-ndjson";
    /// A line of a batch is longer than `--body-bytes-max`.
    LineTooLong = 413 "line-too-long" "A line of the batch is too long";
    /// The line of a batch at which its reader gives up.
    TooManyWrongLines = 400 "too-many-wrong-lines" "Too many lines of the batch are wrong";
    /// A line or command is no JSON object with known members of the right types.
    MalformedObject = 400 "malformed-object" "The line or command is malformed";
    /// A command of a type that there is not.
    UnknownCommand = 400 "unknown-command" "The type of the command is not known";
    /// A member that a line or command needs is not there.
    MissingMember = 400 "missing-member" "A member of the line or command is missing";
    /// A member that this line or command does not have.
    SurplusMember = 400 "surplus-member" "A member does not belong to this line or command";
    /// `request` cannot be echoed.
    MalformedRequestMember = 400 "malformed-request-member" "The member request is malformed";
    /// `encoding` is not `base64`, or `data` not encoded so.
    MalformedBase64 = 400 "malformed-base64" "The data is not base64";
    /// A resource of the operator's, asked for at an address of the clients'.
    OperatorOnly = 403 "operator-only" "This is for the operator";
    /// A connection that is to be ended and is not there.
    NoSuchConnection = 404 "no-such-connection" "There is no such connection";
    /// `limit`, `sort` or `after` of a listing.
    MalformedListing = 400 "malformed-listing" "A parameter of the listing is malformed";
    /// What is to be explained is no `message/http`.
    ExplainContentType = 415 "explain-content-type" "What is to be explained is message/http";

    /// More than `--reads-per-second`.
    TooManyReads = 429 "too-many-reads" "Too many topics begun to be read from this address";
    /// More than `--connections-per-address`.
    TooManyConnectionsFromAddress = 429 "too-many-connections-from-address" "Too many connections from this address";
    /// More than `--connections-max`.
    TooManyConnections = 503 "too-many-connections" "The server has as many connections as it may";
    /// `--topics-max` topics have been used, and this one was not.
    TopicsUsedUp = 503 "topics-used-up" "The server has as many topics as it may";
    /// `--memory` is used up.
    MemoryUsedUp = 503 "memory-used-up" "The memory for messages is used up";
    /// The worker that has the topic panicked before it had answered.
    WorkerFailed = 503 "worker-failed" "The part of the server that has the topic failed";
    /// Redis cannot be reached.
    RedisAway = 503 "redis-away" "Redis, which carries the topics, is away";
    /// The connection to Redis was lost in the middle.
    OutcomeUnknown = 503 "outcome-unknown" "Nobody knows whether it was done";
    /// Fewer replicas than `--redis-wait`.
    TooFewReplicas = 503 "too-few-replicas" "Too few replicas have the message";
    /// More listings than are made at a time.
    TooManyListings = 503 "too-many-listings" "Too many listings are being made";
    /// `--outboxes-bytes-max` is used up.
    OutboxesUsedUp = 503 "outboxes-used-up" "There is no room for so long an answer";
    /// The operator has ended the connection.
    EndedByOperator = 503 "ended-by-operator" "The operator has ended the connection";
    /// The server goes away.
    Draining = 503 "draining" "The server is going away";
}

impl ProblemKind {
    /// Whether coming back later may help.
    pub const fn is_temporary(self) -> bool {
        matches!(self.status_code(), 429 | 503)
    }

    /// The kind with this name.
    pub fn from_slug(slug: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.slug() == slug)
    }
}

/// A part of a request that a problem is about: what a program may want to look at.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// A header field.
    Field(FieldName),
    /// A parameter of the query.
    Parameter(Parameter),
    /// A member of a line or command.
    Member(Member),
}

macro_rules! names {
    ($(#[$doc:meta])* $kind:ident: $($name:ident = $text:literal,)*) => {
        $(#[$doc])*
        #[allow(missing_docs, reason = "each is the name that its text is")]
        #[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
        pub enum $kind {
            $($name,)*
        }

        impl $kind {
            /// As it is written.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

names! {
    /// Fields that a problem can be about.
    FieldName:
    Authorization = "Authorization",
    ContentEncoding = "Content-Encoding",
    ContentLength = "Content-Length",
    ContentType = "Content-Type",
    EventType = "Event-Type",
    Expect = "Expect",
    Host = "Host",
    IdempotencyKey = "Idempotency-Key",
    IfNoneMatch = "If-None-Match",
    LastEventId = "Last-Event-ID",
    Origin = "Origin",
    SecWebSocketKey = "Sec-WebSocket-Key",
    SecWebSocketProtocol = "Sec-WebSocket-Protocol",
    SecWebSocketVersion = "Sec-WebSocket-Version",
    TransferEncoding = "Transfer-Encoding",
}

names! {
    /// Parameters of the query that a problem can be about.
    Parameter:
    After = "after",
    Event = "event",
    Last = "last",
    Limit = "limit",
    Sort = "sort",
    Wait = "wait",
}

names! {
    /// Members of a line or command that a problem can be about.
    Member:
    ContentType = "content_type",
    Data = "data",
    Encoding = "encoding",
    Event = "event",
    Key = "key",
    Request = "request",
    Topic = "topic",
    Topics = "topics",
    Type = "type",
}

impl Part {
    /// What it is a part of, and its name: the name and value of the member that a problem has for it.
    pub const fn named(self) -> (&'static str, &'static str) {
        match self {
            Self::Field(field) => ("field", field.name()),
            Self::Parameter(parameter) => ("parameter", parameter.name()),
            Self::Member(member) => ("member", member.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_kind_has_a_name_and_a_summary_of_its_own() {
        let slugs: HashSet<_> = ProblemKind::ALL.iter().map(|kind| kind.slug()).collect();
        let titles: HashSet<_> = ProblemKind::ALL.iter().map(|kind| kind.title()).collect();
        assert_eq!((slugs.len(), titles.len()), (ProblemKind::COUNT, ProblemKind::COUNT));
        for (number, &kind) in ProblemKind::ALL.iter().enumerate() {
            assert_eq!(kind as usize, number);
            assert_eq!(ProblemKind::from_slug(kind.slug()), Some(kind));
            let is_kebab =
                |byte: u8| byte.is_ascii_lowercase() || matches!(byte, b'-' | b'0'..=b'9');
            assert!(kind.slug().bytes().all(is_kebab), "{kind:?}");
            assert!(!kind.title().ends_with('.'), "{kind:?}: a title is no sentence");
        }
    }
}
