//! JSON that clients send: the lines of a batch (docs/protocol.md 5.3) and the commands of the
//! subprotocol `tidings.json` (11.3).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::problem_kind::{Member, Part, ProblemKind};

/// Bytes of a `request` member, which is echoed.
const REQUEST_BYTES_MAX: usize = 64;

/// What is wrong with a line or command.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum CommandError {
    /// Not a JSON object with only known members, each once and of its type.
    Malformed,
    /// A `type` that is none of ours, or none.
    UnknownType,
    /// A member that this type needs is not there.
    MissingMember,
    /// A member that this type does not have.
    SurplusMember,
    /// `request` is not a number or a string, or longer than 64 bytes.
    BadRequestMember,
    /// `encoding` is not `base64`, or the data is not base64.
    BadEncoding,
}

impl CommandError {
    /// What it is called.
    pub const fn kind(self) -> ProblemKind {
        match self {
            Self::Malformed => ProblemKind::MalformedObject,
            Self::UnknownType => ProblemKind::UnknownCommand,
            Self::MissingMember => ProblemKind::MissingMember,
            Self::SurplusMember => ProblemKind::SurplusMember,
            Self::BadRequestMember => ProblemKind::MalformedRequestMember,
            Self::BadEncoding => ProblemKind::MalformedBase64,
        }
    }

    /// The member that it is about, if it is about one.
    pub const fn part(self) -> Option<Part> {
        match self {
            Self::UnknownType => Some(Part::Member(Member::Type)),
            Self::BadRequestMember => Some(Part::Member(Member::Request)),
            Self::BadEncoding => Some(Part::Member(Member::Data)),
            Self::Malformed | Self::MissingMember | Self::SurplusMember => None,
        }
    }

    /// What is wrong and what to do; `{part}` stands for the member.
    pub const fn detail(self) -> &'static str {
        match self {
            Self::Malformed => {
                "It is not one JSON object with the members of docs/protocol.md 5.3 or 11.3, each once and of its type."
            }
            Self::UnknownType => {
                "The member {part} is not subscribe, unsubscribe, publish or ping (docs/protocol.md 11.3)."
            }
            Self::MissingMember => {
                "A member is missing: a publish or a line needs topic and data, subscribe and unsubscribe need topics."
            }
            Self::SurplusMember => {
                "A member does not belong to a line or command of this type (docs/protocol.md 5.3, 11.3)."
            }
            Self::BadRequestMember => {
                "The member {part} is not a number or a string of at most 64 bytes."
            }
            Self::BadEncoding => {
                "The member encoding is not base64, or the member {part} not a padded base64 string."
            }
        }
    }
}

/// A message that a line or command asks to publish; nothing of it is checked but its shape.
#[derive(Debug, PartialEq, Eq)]
pub struct Draft {
    /// The topic's name.
    pub topic: String,
    /// The payload.
    pub payload: Vec<u8>,
    /// The content type given, or the one that the shape of the data implies.
    pub content_type: String,
    /// The event name.
    pub event: Option<String>,
    /// The idempotency key.
    pub key: Option<String>,
}

/// What a `tidings.json` client asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Subscribe to these topics.
    Subscribe {
        /// Names, not yet checked.
        topics: Vec<String>,
        /// A cursor, `earliest` or `latest`.
        after: Option<String>,
        /// How many messages before the head to begin.
        last: Option<u64>,
    },
    /// Unsubscribe from these topics.
    Unsubscribe {
        /// Names, not yet checked.
        topics: Vec<String>,
    },
    /// Publish a message.
    Publish(Draft),
    /// Answer with a pong.
    Ping,
}

/// All members that a line or command may have. Serde's own tagged enums would buffer the whole object,
/// and lose the raw text of `data`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Members<'a> {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(borrow)]
    request: Option<&'a RawValue>,
    topic: Option<String>,
    topics: Option<Vec<String>>,
    after: Option<String>,
    last: Option<u64>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    encoding: Option<String>,
    content_type: Option<String>,
    event: Option<String>,
    key: Option<String>,
}

/// Keeps `"data": null` apart from no data.
fn present<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(input).map(Some)
}

/// Parses one line of a batch.
pub fn parse_line(line: &[u8]) -> Result<Draft, CommandError> {
    let members: Members<'_> = serde_json::from_slice(line).map_err(|_| CommandError::Malformed)?;
    if members.kind.is_some() || members.request.is_some() {
        return Err(CommandError::SurplusMember);
    }
    members.draft()
}

/// Parses one command. The first value is its `request` member, as JSON, also when the command is bad.
pub fn parse_command(text: &str) -> (Option<String>, Result<Command, CommandError>) {
    let Ok(members) = serde_json::from_str::<Members<'_>>(text) else {
        // The client is still told which of its commands it was, if that much can be read.
        let request = serde_json::from_str::<RequestOnly<'_>>(text)
            .ok()
            .and_then(|members| members.request.map(RawValue::get))
            .filter(|request| is_request(request));
        return (request.map(str::to_owned), Err(CommandError::Malformed));
    };
    match members.request.map(RawValue::get) {
        None => (None, members.command()),
        Some(request) if is_request(request) => (Some(request.to_owned()), members.command()),
        Some(_) => (None, Err(CommandError::BadRequestMember)),
    }
}

/// What is looked for in a command that is malformed otherwise.
#[derive(Deserialize)]
struct RequestOnly<'a> {
    #[serde(borrow)]
    request: Option<&'a RawValue>,
}

/// Whether a JSON text is a number or a string, and short enough to be echoed.
fn is_request(text: &str) -> bool {
    text.len() <= REQUEST_BYTES_MAX
        && text.starts_with(|first: char| first == '"' || first == '-' || first.is_ascii_digit())
}

impl Members<'_> {
    fn command(mut self) -> Result<Command, CommandError> {
        match self.kind.take().as_deref() {
            Some("publish") => self.draft().map(Command::Publish),
            Some("ping") => match self {
                Self { topic: None, topics: None, after: None, last: None, .. }
                    if !self.has_message_members() =>
                {
                    Ok(Command::Ping)
                }
                _ => Err(CommandError::SurplusMember),
            },
            Some("subscribe") => {
                let (after, last) = (self.after.take(), self.last.take());
                Ok(Command::Subscribe { topics: self.names()?, after, last })
            }
            Some("unsubscribe") => Ok(Command::Unsubscribe { topics: self.names()? }),
            _ => Err(CommandError::UnknownType),
        }
    }

    fn has_message_members(&self) -> bool {
        self.data.is_some()
            || self.encoding.is_some()
            || self.content_type.is_some()
            || self.event.is_some()
            || self.key.is_some()
    }

    /// The topics named, when no member but those and `request` is left.
    fn names(self) -> Result<Vec<String>, CommandError> {
        if self.has_message_members() || self.after.is_some() || self.last.is_some() {
            return Err(CommandError::SurplusMember);
        }
        match (self.topic, self.topics) {
            (Some(topic), None) => Ok(vec![topic]),
            (None, Some(topics)) if !topics.is_empty() => Ok(topics),
            (Some(_), Some(_)) => Err(CommandError::SurplusMember),
            _ => Err(CommandError::MissingMember),
        }
    }

    fn draft(self) -> Result<Draft, CommandError> {
        if self.topics.is_some() || self.after.is_some() || self.last.is_some() {
            return Err(CommandError::SurplusMember);
        }
        let (Some(topic), Some(data)) = (self.topic, self.data) else {
            return Err(CommandError::MissingMember);
        };
        let string = || serde_json::from_str::<String>(data.get()).ok();
        let (payload, implied) = match self.encoding.as_deref() {
            Some("base64") => {
                let payload = string().and_then(|text| STANDARD.decode(text).ok());
                (payload.ok_or(CommandError::BadEncoding)?, "application/octet-stream")
            }
            Some(_) => return Err(CommandError::BadEncoding),
            None if self.content_type.as_deref().is_some_and(is_json) => {
                (data.get().as_bytes().to_vec(), "application/json")
            }
            None => match string() {
                Some(text) => (text.into_bytes(), "text/plain"),
                None if data.get().starts_with('"') => return Err(CommandError::Malformed),
                None => (data.get().as_bytes().to_vec(), "application/json"),
            },
        };
        let content_type = self.content_type.unwrap_or_else(|| implied.to_owned());
        Ok(Draft { topic, payload, content_type, event: self.event, key: self.key })
    }
}

/// Whether data of this type is a JSON text as it stands, a string with its quotes.
fn is_json(content_type: &str) -> bool {
    let media = content_type.split(';').next().unwrap_or_default().trim_end().to_ascii_lowercase();
    media == "application/json" || media.ends_with("+json")
}

#[cfg(any(test, fuzzing))]
mod fuzz;
#[cfg(any(test, fuzzing))]
pub use fuzz::fuzz_commands;

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(line: &str) -> (Vec<u8>, String) {
        let draft = parse_line(line.as_bytes()).unwrap();
        (draft.payload, draft.content_type)
    }

    #[test]
    fn the_shape_of_the_data_implies_its_type() {
        assert_eq!(draft(r#"{"topic":"a","data":"x\n"}"#), (b"x\n".to_vec(), "text/plain".into()));
        assert_eq!(
            draft(r#"{"topic":"a","data":{"b": 1}}"#),
            (br#"{"b": 1}"#.to_vec(), "application/json".into())
        );
        assert_eq!(draft(r#"{"topic":"a","data":null}"#).0, b"null");
        assert_eq!(
            draft(r#"{"topic":"a","data":"x","content_type":"application/json"}"#).0,
            b"\"x\""
        );
        assert_eq!(
            draft(r#"{"topic":"a","data":"aGk=","encoding":"base64"}"#),
            (b"hi".to_vec(), "application/octet-stream".into())
        );
    }

    #[test]
    fn bad_lines_say_what_is_wrong() {
        let error = |line: &str| parse_line(line.as_bytes()).unwrap_err();
        assert_eq!(error("nonsense"), CommandError::Malformed);
        assert_eq!(error(r#"{"topic":"a","topic":"b","data":1}"#), CommandError::Malformed);
        assert_eq!(error(r#"{"topic":"a","data":1,"x":1}"#), CommandError::Malformed);
        assert_eq!(error(r#"{"topic":"a"}"#), CommandError::MissingMember);
        assert_eq!(
            error(r#"{"topic":"a","data":1,"type":"publish"}"#),
            CommandError::SurplusMember
        );
        assert_eq!(
            error(r#"{"topic":"a","data":"?","encoding":"base64"}"#),
            CommandError::BadEncoding
        );
        assert_eq!(error(r#"{"topic":"a","data":"\ud800"}"#), CommandError::Malformed);
    }

    #[test]
    fn commands_take_one_topic_or_several() {
        let (request, command) =
            parse_command(r#"{"type":"subscribe","topics":["a","b"],"request":7}"#);
        assert_eq!(request.as_deref(), Some("7"));
        let topics = vec!["a".to_owned(), "b".to_owned()];
        assert_eq!(command, Ok(Command::Subscribe { topics, after: None, last: None }));
        let (_, command) = parse_command(r#"{"type":"unsubscribe","topic":"a"}"#);
        assert_eq!(command, Ok(Command::Unsubscribe { topics: vec!["a".to_owned()] }));
        assert_eq!(parse_command(r#"{"type":"ping"}"#).1, Ok(Command::Ping));
    }

    #[test]
    fn bad_commands_say_what_is_wrong_and_keep_their_request() {
        let (request, command) = parse_command(r#"{"type":"dance","request":"r1"}"#);
        assert_eq!((request.as_deref(), command), (Some("\"r1\""), Err(CommandError::UnknownType)));
        let error = |text: &str| parse_command(text).1.unwrap_err();
        assert_eq!(error(r#"{"type":"ping","topic":"a"}"#), CommandError::SurplusMember);
        assert_eq!(error(r#"{"type":"subscribe"}"#), CommandError::MissingMember);
        assert_eq!(error(r#"{"type":"subscribe","topics":[]}"#), CommandError::MissingMember);
        assert_eq!(error(r#"{"type":"ping","request":{}}"#), CommandError::BadRequestMember);
        assert_eq!(
            error(r#"{"type":"unsubscribe","topic":"a","last":1}"#),
            CommandError::SurplusMember
        );
    }

    #[test]
    fn deep_nesting_cannot_overflow_the_stack() {
        let deep = format!(r#"{{"topic":"a","data":{}"#, "[".repeat(1_000_000));
        assert_eq!(parse_line(deep.as_bytes()), Err(CommandError::Malformed));
    }
}
