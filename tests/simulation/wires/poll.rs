//! The answer to a poll (docs/protocol.md 4.1, 7.1, 7.2).

use serde::Deserialize;
use serde_json::value::RawValue;

use super::envelope::{self, Gone, present};
use super::{Payload, checked_cursor};

/// What a poll was answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Polled {
    pub(crate) messages: Vec<Message>,
    /// The topics, and how many messages of each are gone.
    pub(crate) gaps: Vec<(String, Option<u64>)>,
    pub(crate) cursor: String,
    /// The next poll will find more at once.
    pub(crate) more: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) topic: String,
    pub(crate) id: String,
    pub(crate) payload: Payload,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page<'a> {
    #[serde(borrow)]
    messages: Vec<&'a RawValue>,
    #[serde(default, deserialize_with = "present")]
    gap: Option<Vec<Gone>>,
    cursor: String,
    #[serde(default, deserialize_with = "present")]
    more: Option<bool>,
}

/// Reads a poll's body; `etag` is the field of its head.
pub(crate) fn poll(body: &[u8], etag: Option<&str>) -> Polled {
    let text = std::str::from_utf8(body).expect("a poll is UTF-8");
    let page: Page<'_> = serde_json::from_str(text).unwrap_or_else(|error| {
        panic!("{error} in the poll {text}");
    });
    let cursor = checked_cursor(page.cursor);
    assert_eq!(etag, Some(format!("\"{cursor}\"").as_str()), "the ETag of {text}");
    assert_ne!(page.more, Some(false), "\"more\" is true or absent");
    let more = page.more.is_some();
    let gaps = page.gap.map(|gaps| {
        assert!(!gaps.is_empty(), "\"gap\" is absent when there is none");
        gaps.into_iter().map(|gone| (gone.topic, gone.count)).collect()
    });
    let messages: Vec<_> = page.messages.iter().map(|text| message(text.get())).collect();
    assert!(!(more && messages.is_empty()), "more is promised and nothing given: {text}");
    Polled { messages, gaps: gaps.unwrap_or_default(), cursor, more }
}

fn message(text: &str) -> Message {
    let (topic, id, cursor, payload) = envelope::message(text);
    assert_eq!(cursor, None, "a message of a poll has no cursor of its own: {text}");
    Message { topic, id, payload }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wires::Kind;
    use crate::wires::splits::panic_of;

    #[test]
    fn a_poll_has_messages_gaps_and_a_cursor() {
        let body = br#"{"messages":[{"topic":"news","id":"7n2m4k8q-42","time":1764547200123,"data":"hello"}],"gap":[{"topic":"news","count":3},{"topic":"b","count":null}],"cursor":"7n2m4k8q-42","more":true}"#;
        let polled = poll(body, Some("\"7n2m4k8q-42\""));
        let (bytes, time_ms) = (b"hello".to_vec(), Some(1_764_547_200_123));
        let payload = Payload { kind: Kind::Text, bytes, event: None, time_ms };
        let message = Message { topic: "news".into(), id: "7n2m4k8q-42".into(), payload };
        assert_eq!(polled.messages, [message]);
        assert_eq!(polled.gaps, [("news".to_owned(), Some(3)), ("b".to_owned(), None)]);
        assert_eq!((polled.cursor.as_str(), polled.more), ("7n2m4k8q-42", true));
        let empty = poll(b"{\"messages\":[],\"cursor\":\"e-1\"}\n", Some("\"e-1\""));
        assert_eq!((empty.messages.len(), empty.gaps.len(), empty.more), (0, 0, false));
    }

    #[test]
    fn what_a_poll_must_not_say_is_a_panic() {
        for (body, etag, wanted) in [
            (r#"{"messages":[],"cursor":"e-1"}"#, "\"e-2\"", "ETag"),
            (r#"{"messages":[],"cursor":"e-1"}"#, "e-1", "ETag"),
            (r#"{"messages":[],"cursor":"e-1","gap":[]}"#, "\"e-1\"", "absent when there is none"),
            (r#"{"messages":[],"cursor":"e-1","gap":null}"#, "\"e-1\"", "null"),
            (r#"{"messages":[],"cursor":"e-1","gap":[{"topic":"a"}]}"#, "\"e-1\"", "count"),
            (r#"{"messages":[],"cursor":"e-1","more":false}"#, "\"e-1\"", "true or absent"),
            (r#"{"messages":[],"cursor":"e-1","more":true}"#, "\"e-1\"", "nothing given"),
            (r#"{"messages":[],"cursor":"e-1","cursor":"e-1"}"#, "\"e-1\"", "duplicate"),
            (r#"{"messages":[],"cursor":"e 1"}"#, "\"e 1\"", "no cursor"),
            (r#"{"messages":[],"cursor":"e-1","new":1}"#, "\"e-1\"", "unknown"),
        ] {
            let complaint = panic_of(|| drop(poll(body.as_bytes(), Some(etag))));
            assert!(complaint.contains(wanted), "{body}: {complaint}");
        }
    }
}
