//! JSON objects: messages in their envelopes (docs/protocol.md 2.3), control lines (4.1, 10), and what a
//! `tidings.json` socket says (11.3, 11.4).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{Kind, Payload, Told, Wire, checked_cursor, checked_event, checked_id};

/// Characters at which some readers would split lines.
const LINE_ENDS: [char; 5] = ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'];
/// The longest `request` member that is a string.
const REQUEST_BYTES_MAX: usize = 64;

/// A gap: the topic, and how many of its messages are gone.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Gone {
    pub(crate) topic: String,
    // Null where nobody can know; never absent.
    #[serde(deserialize_with = "Option::deserialize")]
    pub(crate) count: Option<u64>,
}

/// A refusal (docs/protocol.md 15.1).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Problem {
    /// Called `problem` where `type` says what kind of line it is.
    #[serde(rename = "type", alias = "problem")]
    pub(crate) kind: String,
    pub(crate) title: String,
    pub(crate) status: u16,
    pub(crate) detail: String,
    #[serde(default, deserialize_with = "present")]
    pub(crate) limit: Option<f64>,
    // At most one of them: the part that it is about.
    #[serde(default, alias = "parameter", alias = "member")]
    pub(crate) field: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    topic: String,
    id: String,
    time: u64,
    #[serde(default, deserialize_with = "present")]
    event: Option<String>,
    #[serde(default, deserialize_with = "present")]
    content_type: Option<String>,
    #[serde(default, deserialize_with = "present")]
    encoding: Option<String>,
    #[serde(borrow)]
    data: &'a RawValue,
    #[serde(default, deserialize_with = "present")]
    cursor: Option<String>,
}

/// An object that is not a message: it has a `type`.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum Notice {
    Open {
        #[serde(default, deserialize_with = "present")]
        cursor: Option<String>,
    },
    Gap {
        topic: String,
        #[serde(deserialize_with = "Option::deserialize")]
        count: Option<u64>,
        cursor: String,
    },
    Drain {
        retry_ms: u64,
    },
    Refused(Map<String, Value>),
    #[serde(alias = "unsubscribed")]
    Subscribed {
        topics: Vec<String>,
        #[serde(default, deserialize_with = "present")]
        cursor: Option<String>,
        #[serde(default, deserialize_with = "present")]
        request: Option<Value>,
    },
    Published {
        topic: String,
        id: String,
        #[serde(default, deserialize_with = "present")]
        request: Option<Value>,
    },
    Pong {
        #[serde(default, deserialize_with = "present")]
        request: Option<Value>,
    },
    Error(Map<String, Value>),
}

/// A member that is absent or has a value: not null.
pub(super) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// Reads one object of a wire that has them.
pub(crate) fn told(text: &str, wire: Wire) -> Told {
    let notice = match envelope(text) {
        Ok(envelope) => {
            let (topic, id, cursor, payload) = opened(envelope, text);
            return Told::Message { topic: Some(topic), id: Some(id), cursor, payload };
        }
        // A line with a type is never a message (docs/protocol.md 10.1).
        Err(error) => serde_json::from_str(text).unwrap_or_else(|other| {
            panic!("neither a message ({error}) nor a notice ({other}): {text}")
        }),
    };
    match (notice, wire) {
        (Notice::Open { cursor }, Wire::Ndjson | Wire::Json) => {
            assert!(cursor.is_some() || wire == Wire::Json, "a stream without a cursor: {text}");
            Told::Open { cursor: cursor.map(checked_cursor) }
        }
        (Notice::Gap { topic, count, cursor }, Wire::Ndjson | Wire::Json) => {
            Told::Gap { topic, count, cursor: Some(checked_cursor(cursor)) }
        }
        (Notice::Drain { retry_ms }, Wire::Ndjson) => Told::Drain { retry_ms },
        (Notice::Refused(mut members), Wire::Ndjson) => {
            let retry_ms = members.remove("retry_ms").and_then(|value| value.as_u64());
            assert!(retry_ms.is_some(), "a refusal that does not say when to come back: {text}");
            Told::Refused { status: problem(members).status, retry_ms }
        }
        (notice, Wire::Json) => answer(notice, text),
        _ => panic!("not a line of {wire:?}: {text}"),
    }
}

/// Checks an answer to a command.
fn answer(notice: Notice, text: &str) -> Told {
    let request = match notice {
        Notice::Subscribed { topics, cursor, request } => {
            assert!(!topics.is_empty(), "no topics in {text}");
            cursor.map(checked_cursor);
            request
        }
        Notice::Published { topic, id, request } => {
            assert!(!topic.is_empty(), "no topic in {text}");
            checked_id(id);
            request
        }
        Notice::Pong { request } => request,
        Notice::Error(mut members) => {
            let request = members.remove("request");
            problem(members);
            request
        }
        _ => panic!("not an object of tidings.json: {text}"),
    };
    match request {
        None | Some(Value::Number(_)) => (),
        Some(Value::String(request)) if request.len() <= REQUEST_BYTES_MAX => (),
        Some(_) => panic!("not a request of ours in {text}"),
    }
    Told::Answer(serde_json::from_str(text).expect("it was JSON before"))
}

/// Reads a message: its topic, id, the cursor of several topics, and payload.
pub(crate) fn message(text: &str) -> (String, String, Option<String>, Payload) {
    match envelope(text) {
        Ok(envelope) => opened(envelope, text),
        Err(error) => panic!("{error} in the envelope {text}"),
    }
}

fn envelope(text: &str) -> serde_json::Result<Envelope<'_>> {
    assert!(!text.contains(LINE_ENDS), "an object on more than one line: {text:?}");
    serde_json::from_str(text)
}

fn opened(envelope: Envelope<'_>, text: &str) -> (String, String, Option<String>, Payload) {
    assert!(!envelope.topic.is_empty(), "a message without a topic: {text}");
    let data = envelope.data.get();
    let string = || -> String { serde_json::from_str(data).expect("a string in JSON") };
    let is_string = data.starts_with('"');
    let (kind, bytes) = match (envelope.encoding.as_deref(), envelope.content_type.as_deref()) {
        (None, None) if is_string => (Kind::Text, string().into_bytes()),
        (None, None) => (Kind::Json, data.as_bytes().to_vec()),
        (None, Some(content_type)) => {
            let media = media_type(content_type);
            if is_json(&media) {
                let shows = media == "application/json" && !is_string;
                assert!(!shows, "a content type that the data shows: {text}");
                (Kind::Json, data.as_bytes().to_vec())
            } else {
                let is_told = media.starts_with("text/") && media != "text/plain";
                assert!(is_told && is_string, "no such text or no text: {text}");
                (Kind::Text, string().into_bytes())
            }
        }
        (Some("base64"), Some(content_type)) => {
            let media = media_type(content_type);
            let is_binary = !is_json(&media) && !media.starts_with("text/");
            assert!(is_binary && is_string, "base64 that should be none: {text}");
            (Kind::Binary, STANDARD.decode(string()).expect("base64 (RFC 4648 §4, padded)"))
        }
        (Some(_), _) => panic!("an encoding that there is not: {text}"),
    };
    let (event, time_ms) = (envelope.event.map(checked_event), Some(envelope.time));
    let payload = Payload { kind, bytes, event, time_ms };
    let cursor = envelope.cursor.map(checked_cursor);
    (envelope.topic, checked_id(envelope.id), cursor, payload)
}

/// A content type without its parameters, in lower case.
fn media_type(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim_end().to_ascii_lowercase()
}

fn is_json(media: &str) -> bool {
    media == "application/json" || media.ends_with("+json")
}

/// The refusal that is the rest of a line.
fn problem(members: Map<String, Value>) -> Problem {
    assert!(!members.contains_key("type"), "two types");
    let text = Value::Object(members).to_string();
    let problem: Problem =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in a refusal: {text}"));
    problem.check();
    problem
}

impl Problem {
    pub(crate) fn check(&self) {
        assert!((400..600).contains(&self.status), "no status of a refusal: {self:?}");
        let slug = self.kind.strip_prefix("/errors#").unwrap_or_default();
        assert!(!slug.is_empty(), "no type of a refusal: {self:?}");
        assert!(self.limit.is_none_or(|limit| limit > 0.0), "a limit that is none: {self:?}");
        assert!(!self.field.as_ref().is_some_and(String::is_empty), "a part of no name: {self:?}");
        assert!(!self.title.is_empty() && !self.detail.is_empty(), "says nothing: {self:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wires::splits::panic_of;

    fn payload(members: &str) -> Payload {
        message(&format!(r#"{{"topic":"news","id":"7n2m4k8q-42","time":1764547200123,{members}}}"#))
            .3
    }

    #[test]
    fn data_is_text_json_or_binary() {
        for (members, kind, bytes) in [
            (r#""data":"h\u0085i""#, Kind::Text, "h\u{85}i".as_bytes()),
            (r#""content_type":"text/html","data":"<p>""#, Kind::Text, b"<p>"),
            (r#""data":[1, {"a":null}]"#, Kind::Json, br#"[1, {"a":null}]"#),
            (r#""content_type":"application/json","data":"x""#, Kind::Json, br#""x""#),
            (r#""content_type":"a/b+json; c=d","data":1e3"#, Kind::Json, b"1e3"),
            (
                r#""content_type":"image/png","encoding":"base64","data":"AP8=""#,
                Kind::Binary,
                b"\x00\xff",
            ),
        ] {
            let (bytes, time_ms) = (bytes.to_vec(), Some(1_764_547_200_123));
            assert_eq!(payload(members), Payload { kind, bytes, event: None, time_ms });
        }
        assert_eq!(payload(r#""event":"edit","data":"x""#).event.as_deref(), Some("edit"));
    }

    #[test]
    fn an_envelope_that_is_not_in_the_contract_is_a_panic() {
        for (members, wanted) in [
            (r#""content_type":"text/plain; charset=utf-8","data":"x""#, "no such text"),
            (r#""content_type":"application/json","data":1"#, "the data shows"),
            (r#""content_type":"image/png","data":"x""#, "no such text"),
            (r#""encoding":"base64","data":"AP8=""#, "no"),
            (r#""content_type":"image/png","encoding":"base64","data":"AP8""#, "base64"),
            (r#""content_type":"image/png","encoding":"hex","data":"00""#, "encoding"),
            (r#""event":null,"data":"x""#, "null"),
            (r#""event":"tidings:gap","data":"x""#, "cannot be the name"),
            (r#""data":"x","data":"x""#, "duplicate"),
            (r#""data":"x","cursor":"e 1""#, "no cursor"),
            ("\"data\":[1,\n2]", "more than one line"),
            ("\"data\":\"\u{2028}\"", "more than one line"),
            (r#""data":"x","type":"y""#, "unknown"),
            (r#""event":"x""#, "missing"),
        ] {
            let complaint = panic_of(|| drop(payload(members)));
            assert!(complaint.contains(wanted), "{members}: {complaint}");
        }
    }

    #[test]
    fn notices_are_told_on_the_wires_that_have_them() {
        let cursor = || Some("e-4".to_owned());
        let gap = Told::Gap { topic: "a".into(), count: None, cursor: cursor() };
        for (text, wires, expected) in [
            (r#"{"type":"open","cursor":"e-4"}"#, "nj", Told::Open { cursor: cursor() }),
            (r#"{"type":"open"}"#, "j", Told::Open { cursor: None }),
            (r#"{"type":"gap","topic":"a","count":null,"cursor":"e-4"}"#, "nj", gap),
            (r#"{"type":"drain","retry_ms":1234}"#, "n", Told::Drain { retry_ms: 1234 }),
            (
                r#"{"type":"refused","problem":"/errors#draining","status":503,"title":"t","detail":"d","retry_ms":5}"#,
                "n",
                Told::Refused { status: 503, retry_ms: Some(5) },
            ),
        ] {
            for (wire, letter) in [(Wire::Ndjson, 'n'), (Wire::Json, 'j'), (Wire::SseEnvelope, 's')]
            {
                if wires.contains(letter) {
                    assert_eq!(told(text, wire), expected);
                } else {
                    panic_of(|| drop(told(text, wire)));
                }
            }
        }
    }

    #[test]
    fn answers_of_tidings_json_are_checked() {
        for text in [
            r#"{"type":"subscribed","topics":["a","b"],"cursor":"e-1.f-2"}"#,
            r#"{"type":"unsubscribed","topics":["a"],"request":7}"#,
            r#"{"type":"published","topic":"a","id":"e-1","request":"r"}"#,
            r#"{"type":"pong"}"#,
            r#"{"type":"error","request":1,"problem":"/errors#surplus-member","status":400,"title":"t","detail":"d"}"#,
        ] {
            let value: Value = serde_json::from_str(text).unwrap();
            assert_eq!(told(text, Wire::Json), Told::Answer(value));
            panic_of(|| drop(told(text, Wire::Ndjson)));
        }
        for (text, wanted) in [
            (r#"{"type":"published","topic":"a"}"#, "missing"),
            (r#"{"type":"subscribed","topics":[],"cursor":"e-1"}"#, "no topics"),
            (r#"{"type":"subscribed","topics":["a"],"cursor":null}"#, "null"),
            (r#"{"type":"gap","topic":"a","cursor":"e-1"}"#, "missing"),
            (r#"{"type":"gap","topic":"a","count":1}"#, "missing"),
            (
                r#"{"type":"error","problem":"/errors#x","status":200,"title":"t","detail":"d"}"#,
                "no status",
            ),
            (r#"{"type":"pong","request":[]}"#, "request"),
            (r#"{"type":"pong","more":1}"#, "unknown"),
            (r#"{"type":"hello"}"#, "unknown"),
        ] {
            let complaint = panic_of(|| drop(told(text, Wire::Json)));
            assert!(complaint.contains(wanted), "{text}: {complaint}");
        }
    }
}
