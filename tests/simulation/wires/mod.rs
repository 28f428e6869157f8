//! What clients make of the bytes of each wire: codecs without input or output of their own.
//!
//! They are written from docs/protocol.md and the standards it names and share no code with the server: a
//! client that shares the server's mistakes sees none of them. Whatever the server must not send is a panic
//! that says what was wrong.

pub(crate) mod envelope;
pub(crate) mod event_stream;
pub(crate) mod http;
pub(crate) mod lines;
pub(crate) mod listening;
pub(crate) mod metrics;
pub(crate) mod outcomes;
pub(crate) mod poll;
pub(crate) mod received;
#[cfg(test)]
pub(crate) mod splits;
pub(crate) mod websocket;

use std::fmt;

use serde_json::Value;

/// The longest cursor of one topic (docs/protocol.md 3.1).
const ID_BYTES_MAX: usize = 32;
/// The longest event name (docs/protocol.md 2.4).
const EVENT_BYTES_MAX: usize = 128;

/// A way of being told.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// Server-Sent Events whose data is the payload.
    Sse,
    /// Server-Sent Events whose data is the envelope: `?envelope`.
    SseEnvelope,
    /// A JSON object a line.
    Ndjson,
    /// WebSocket without a subprotocol.
    Raw,
    /// WebSocket with `tidings.json`.
    Json,
}

impl Wire {
    pub(crate) const ALL: [Self; 5] =
        [Self::Sse, Self::SseEnvelope, Self::Ndjson, Self::Raw, Self::Json];

    /// The request that begins to listen; `path` is `/topics/…` and may have a query.
    pub(crate) fn request(self, path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
        let accepting = |path: &str, kind| {
            let fields: Vec<_> = [("Accept", kind)].iter().chain(fields).copied().collect();
            http::get(path, &fields)
        };
        match self {
            Self::Sse => accepting(path, "text/event-stream"),
            Self::SseEnvelope => {
                let mark = if path.contains('?') { '&' } else { '?' };
                accepting(&format!("{path}{mark}envelope"), "text/event-stream")
            }
            Self::Ndjson => accepting(path, "application/x-ndjson"),
            Self::Raw => websocket::handshake(path, false, fields),
            Self::Json => websocket::handshake(path, true, fields),
        }
    }

    pub(crate) fn is_websocket(self) -> bool {
        matches!(self, Self::Raw | Self::Json)
    }
}

/// What a subscriber is told, on any wire.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Told {
    /// The stream has begun, from this cursor: none on raw, and on `tidings.json` without topics.
    Open { cursor: Option<String> },
    Message {
        topic: Option<String>,
        /// The message's own cursor; none on plain SSE (whose `id:` may be of several topics) and raw.
        id: Option<String>,
        /// The cursor of the whole subscription: an event's `id:`, else the member `cursor`, which is
        /// there when several topics are subscribed.
        cursor: Option<String>,
        payload: Payload,
    },
    /// `cursor` is absent on raw alone, where a close follows.
    Gap { topic: String, count: Option<u64>, cursor: Option<String> },
    /// When to come back, in milliseconds, from `retry:`.
    Retry(u64),
    /// The server goes away. The end follows.
    Drain { retry_ms: u64 },
    /// In-band, or by the status of the answer. The end follows.
    Refused { status: u16, retry_ms: Option<u64> },
    /// `tidings.json`: subscribed, unsubscribed, published, error, pong; its members are checked.
    Answer(Value),
    /// WebSocket: to be answered with a pong of the same payload.
    Ping(Vec<u8>),
    /// WebSocket: the answer to a ping of the client's.
    Pong(Vec<u8>),
    /// WebSocket: nothing follows.
    Close { code: Option<u16>, reason: String },
    /// The body has come to its regular end.
    End,
}

/// A message's content: what was published, as far as the wire can tell.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Payload {
    pub(crate) kind: Kind,
    /// Text and binary: as published (but on plain SSE text has its line ends as LF, and binary is
    /// base64). JSON in an envelope: its line breaks are spaces, and some characters are escaped.
    pub(crate) bytes: Vec<u8>,
    pub(crate) event: Option<String>,
    /// When it was published, by the server's clock; only envelopes tell.
    pub(crate) time_ms: Option<u64>,
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?} \"{}\"", self.kind, self.event, self.bytes.escape_ascii())
    }
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// On raw, JSON too.
    Text,
    Json,
    Binary,
    /// The wire cannot tell: plain SSE.
    Unknown,
}

/// A cursor, which has characters of its own (docs/protocol.md 3.1).
fn checked_cursor(text: String) -> String {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    assert!(!text.is_empty() && text.bytes().all(allowed), "{text:?} is no cursor");
    text
}

/// The cursor of one message.
fn checked_id(text: String) -> String {
    assert!(text.len() <= ID_BYTES_MAX, "{text:?} is too long for a cursor of one topic");
    checked_cursor(text)
}

/// An event name (docs/protocol.md 2.4).
fn checked_event(name: String) -> String {
    assert!((1..=EVENT_BYTES_MAX).contains(&name.len()), "an event name of {} bytes", name.len());
    assert!(!name.contains(char::is_control), "the event name {name:?} has a control character");
    assert!(!name.starts_with("tidings:"), "{name:?} cannot be the name of a message's event");
    name
}
