//! One published message, checked when it is made.

use crate::problem_kind::ProblemKind;
use crate::wire::json::{self, JsonError};

/// Bytes that a message costs beside its payload and names, counted against `log-bytes` and `memory`: the
/// struct, its place in a log, and the allocator's share.
pub(super) const OVERHEAD_BYTES: usize = 256;

/// A payload with what is known about it. Immutable, shared by reference count between logs.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    payload: Vec<u8>,
    kind: Kind,
    content_type: Box<str>,
    event: Option<EventName>,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    time_ms: u64,
}

/// How a payload is shown inside JSON and SSE (docs/protocol.md 2.2).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One valid JSON text.
    Json,
    /// UTF-8.
    Text,
    /// Anything.
    Binary,
}

/// Why a message is refused.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum MessageError {
    /// The content type says JSON, the payload is none.
    Json(JsonError),
    /// The content type says text, the payload is not UTF-8.
    NotUtf8,
    /// The content type is no visible ASCII, or longer than 200 bytes.
    ContentType,
    /// The event name is empty, too long, has control characters or begins with `tidings:`.
    Event,
    /// The idempotency key is empty, too long or not visible ASCII.
    Key,
}

impl MessageError {
    /// What is wrong and what to do.
    pub const fn detail(self) -> &'static str {
        match self {
            Self::Json(error) => error.detail(),
            Self::NotUtf8 => {
                "The content type says text, and the payload is not UTF-8. Convert it, or publish it as application/octet-stream."
            }
            Self::ContentType => {
                "The content type is not a media type of at most 200 visible characters."
            }
            Self::Event => {
                "The event name is not 1 to 128 bytes of UTF-8 without control characters, or begins with tidings: as only the server's own do."
            }
            Self::Key => "The idempotency key is not 1 to 128 visible ASCII characters.",
        }
    }

    /// What it is called.
    pub const fn kind(self) -> ProblemKind {
        match self {
            Self::Json(JsonError::Invalid) => ProblemKind::PayloadNotJson,
            Self::Json(_) => ProblemKind::PayloadNotPortable,
            Self::NotUtf8 => ProblemKind::PayloadNotUtf8,
            Self::ContentType => ProblemKind::MalformedContentType,
            Self::Event => ProblemKind::MalformedEventName,
            Self::Key => ProblemKind::MalformedIdempotencyKey,
        }
    }
}

impl Message {
    /// Checks a payload against its content type (docs/protocol.md 2.2).
    pub fn new(
        payload: Vec<u8>,
        content_type: Option<&[u8]>,
        event: Option<EventName>,
        time_ms: u64,
    ) -> Result<Self, MessageError> {
        let content_type = content_type.map(check_content_type).transpose()?;
        let media_type = content_type
            .map(|text| text.split(';').next().unwrap_or(text).trim_end().to_ascii_lowercase());
        let is_utf8 = || std::str::from_utf8(&payload).is_ok();
        let (kind, implied) = match media_type.as_deref() {
            None | Some("application/x-www-form-urlencoded") => match is_utf8() {
                true => (Kind::Text, Some("text/plain")),
                false => (Kind::Binary, Some("application/octet-stream")),
            },
            Some(media) if media == "application/json" || media.ends_with("+json") => {
                json::check(&payload).map_err(MessageError::Json)?;
                (Kind::Json, None)
            }
            Some(media) if media.starts_with("text/") => match is_utf8() {
                true => (Kind::Text, None),
                false => return Err(MessageError::NotUtf8),
            },
            Some(_) => (Kind::Binary, None),
        };
        let content_type = implied.or(content_type).unwrap_or_default().into();
        Ok(Self { payload, kind, content_type, event, time_ms })
    }

    /// The payload.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The payload as text; `None` if it is binary.
    pub fn text(&self) -> Option<&str> {
        match self.kind {
            Kind::Binary => None,
            Kind::Json | Kind::Text => {
                Some(std::str::from_utf8(&self.payload).expect("checked when the message was made"))
            }
        }
    }

    /// How the payload is shown.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The content type to show in an envelope; `None` where the data shows it by itself.
    pub fn shown_content_type(&self) -> Option<&str> {
        let media = self.content_type.split(';').next().unwrap_or_default().trim_end();
        let is_string = || self.payload.trim_ascii_start().first() == Some(&b'"');
        let shows = match self.kind {
            Kind::Text => media.eq_ignore_ascii_case("text/plain"),
            Kind::Json => media.eq_ignore_ascii_case("application/json") && !is_string(),
            Kind::Binary => false,
        };
        (!shows).then_some(&self.content_type)
    }

    /// The content type, as it was given or is implied.
    pub fn content_type(&self) -> &str {
        &self.content_type
    }

    /// The event name.
    pub fn event(&self) -> Option<&str> {
        self.event.as_ref().map(EventName::as_str)
    }

    /// When it was published, in milliseconds since 1970-01-01T00:00:00Z.
    pub const fn time_ms(&self) -> u64 {
        self.time_ms
    }

    /// Bytes of memory that it is counted as.
    pub fn cost_bytes(&self) -> usize {
        let names = self.content_type.len() + self.event().map_or(0, str::len);
        self.payload.len() + names + OVERHEAD_BYTES
    }
}

/// A content type that may be echoed: 1 to 200 characters from space to tilde.
fn check_content_type(bytes: &[u8]) -> Result<&str, MessageError> {
    let visible = |byte: &u8| matches!(byte, b' '..=b'~');
    match std::str::from_utf8(bytes) {
        Ok(text) if (1..=200).contains(&text.len()) && bytes.iter().all(visible) => Ok(text),
        _ => Err(MessageError::ContentType),
    }
}

/// An event name (docs/protocol.md 2.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventName(Box<str>);

impl EventName {
    /// Checks an event name.
    pub fn parse(bytes: &[u8]) -> Result<Self, MessageError> {
        match std::str::from_utf8(bytes) {
            Ok(name)
                if (1..=128).contains(&name.len())
                    && !name.chars().any(char::is_control)
                    && !name.starts_with("tidings:") =>
            {
                Ok(Self(name.into()))
            }
            _ => Err(MessageError::Event),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name that a publisher gives a publish, so that repeating it is safe (docs/protocol.md 5.2).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(Box<str>);

impl IdempotencyKey {
    /// Checks a key.
    pub fn parse(bytes: &[u8]) -> Result<Self, MessageError> {
        match std::str::from_utf8(bytes) {
            Ok(key) if (1..=128).contains(&key.len()) && bytes.iter().all(u8::is_ascii_graphic) => {
                Ok(Self(key.into()))
            }
            _ => Err(MessageError::Key),
        }
    }

    /// The key.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(payload: &[u8], content_type: Option<&str>) -> Result<Message, MessageError> {
        Message::new(payload.to_vec(), content_type.map(str::as_bytes), None, 0)
    }

    fn kind(payload: &[u8], content_type: Option<&str>) -> (Kind, Option<String>) {
        let message = message(payload, content_type).unwrap();
        (message.kind(), message.shown_content_type().map(str::to_owned))
    }

    #[test]
    fn the_kind_follows_from_the_content_type() {
        assert_eq!(kind(b"x", None), (Kind::Text, None));
        assert_eq!(kind(b"x", Some("application/x-www-form-urlencoded")), (Kind::Text, None));
        assert_eq!(kind(b"\xff", None), (Kind::Binary, Some("application/octet-stream".into())));
        assert_eq!(kind(b"x", Some("text/plain; charset=utf-8")), (Kind::Text, None));
        assert_eq!(kind(b"x", Some("text/html")), (Kind::Text, Some("text/html".into())));
        assert_eq!(kind(b"{}", Some("Application/JSON ; q=1")), (Kind::Json, None));
        assert_eq!(
            kind(b" \"s\"", Some("application/json")),
            (Kind::Json, Some("application/json".into()))
        );
        assert_eq!(kind(b"1", Some("application/geo+json")).0, Kind::Json);
        assert_eq!(kind(b"x", Some("image/png")), (Kind::Binary, Some("image/png".into())));
    }

    #[test]
    fn payloads_that_are_not_what_they_say_are_refused() {
        assert_eq!(
            message(b"{", Some("application/json")),
            Err(MessageError::Json(JsonError::Invalid))
        );
        assert_eq!(message(b"\xff", Some("text/plain")), Err(MessageError::NotUtf8));
        assert_eq!(message(b"", Some("a\u{7f}")), Err(MessageError::ContentType));
        assert_eq!(message(b"", Some("")), Err(MessageError::ContentType));
    }

    #[test]
    fn event_names_cannot_break_a_stream() {
        for bad in ["", "a\nb", "a\rb", "a\0b", "tidings:gap", &"x".repeat(129)] {
            assert_eq!(EventName::parse(bad.as_bytes()), Err(MessageError::Event), "{bad:?}");
        }
        assert_eq!(
            EventName::parse("ein Ereignis ü".as_bytes()).unwrap().as_str(),
            "ein Ereignis ü"
        );
    }

    #[test]
    fn keys_are_short_visible_ascii() {
        for bad in ["", "a b", "ü", &"x".repeat(129)] {
            assert_eq!(IdempotencyKey::parse(bad.as_bytes()), Err(MessageError::Key), "{bad:?}");
        }
        assert!(IdempotencyKey::parse(b"\"9c1a-4f\"").is_ok());
    }

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn a_message_is_held_to_its_size() {
        // One for each message retained, beside its payload; `OVERHEAD_BYTES` counts on it.
        assert_eq!(size_of::<Message>(), 72);
    }
}
