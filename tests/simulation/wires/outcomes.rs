//! What became of a publish, a line of a batch or a deletion (docs/protocol.md 5, 12.2, 15.1).

use serde::Deserialize;
use serde_json::from_slice;

use super::envelope::{Problem, present};
use super::{checked_cursor, checked_id};

/// A message that was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Published {
    pub(crate) topic: String,
    pub(crate) id: String,
}

/// The answer to a line of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BatchLine {
    /// From 1.
    pub(crate) line: u64,
    /// What was published, or the status and the detail of the refusal.
    pub(crate) outcome: Result<Published, (u16, String)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Outcome {
    topic: String,
    id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Deleted {
    topic: String,
    cursor: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    line: u64,
    #[serde(default, deserialize_with = "present")]
    topic: Option<String>,
    #[serde(default, deserialize_with = "present")]
    id: Option<String>,
    #[serde(default, deserialize_with = "present")]
    error: Option<Problem>,
}

/// The body of a 201.
pub(crate) fn published(body: &[u8]) -> Published {
    let Outcome { topic, id } = from_slice(body).unwrap_or_else(|error| {
        panic!("{error} in the answer to a publish: {}", String::from_utf8_lossy(body));
    });
    Published { topic, id: checked_id(id) }
}

/// The body of the answer to DELETE: the topic and its cursor now.
pub(crate) fn deleted(body: &[u8]) -> (String, String) {
    let Deleted { topic, cursor } = from_slice(body).unwrap_or_else(|error| {
        panic!("{error} in the answer to DELETE: {}", String::from_utf8_lossy(body));
    });
    (topic, checked_cursor(cursor))
}

/// A line of the answer to a batch.
pub(crate) fn batch_line(text: &str) -> BatchLine {
    let line: Line = serde_json::from_str(text).unwrap_or_else(|error| {
        panic!("{error} in the answer to a batch: {text}");
    });
    assert!(line.line > 0, "lines are counted from 1: {text}");
    let outcome = match (line.topic, line.id, line.error) {
        (Some(topic), Some(id), None) => Ok(Published { topic, id: checked_id(id) }),
        // A line that could be read is refused with its topic.
        (_, None, Some(problem)) => {
            problem.check();
            Err((problem.status, problem.detail))
        }
        _ => panic!("neither published nor refused: {text}"),
    };
    BatchLine { line: line.line, outcome }
}

/// Checks the body of a refusal with this status; gives its detail.
pub(crate) fn refused(status: u16, body: &[u8]) -> String {
    let problem: Problem = from_slice(body).unwrap_or_else(|error| {
        panic!("{error} in the refusal {}", String::from_utf8_lossy(body));
    });
    problem.check();
    assert_eq!(problem.status, status, "the status of {problem:?}");
    problem.detail
}

/// Whether a message that was refused with this is in no log, and will be in none (docs/protocol.md 5.5).
pub(crate) fn is_final(detail: &str) -> bool {
    !detail.contains("nobody knows") && !detail.contains("The message is published")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wires::splits::panic_of;

    #[test]
    fn outcomes_are_read_and_what_is_missing_or_too_much_is_a_panic() {
        let done = |topic: &str, id: &str| Published { topic: topic.into(), id: id.into() };
        assert_eq!(published(b"{\"topic\":\"a\",\"id\":\"e-1\"}\n"), done("a", "e-1"));
        assert_eq!(deleted(br#"{"topic":"a","cursor":"f-0"}"#), ("a".into(), "f-0".into()));
        let line = batch_line(r#"{"line":1,"topic":"a","id":"e-1"}"#);
        assert_eq!(line, BatchLine { line: 1, outcome: Ok(done("a", "e-1")) });
        let line = batch_line(
            r#"{"line":2,"error":{"type":"/errors#missing-member","status":400,"title":"t","detail":"d"}}"#,
        );
        assert_eq!(line, BatchLine { line: 2, outcome: Err((400, "d".into())) });
        assert_eq!(
            refused(
                404,
                br#"{"type":"/errors#no-such-topic","title":"t","status":404,"detail":"d"}"#
            ),
            "d"
        );
        panic_of(|| drop(published(br#"{"topic":"a"}"#)));
        panic_of(|| drop(deleted(br#"{"topic":"a","cursor":"f-0","id":"e-1"}"#)));
        panic_of(|| drop(batch_line(r#"{"line":1,"topic":"a"}"#)));
        panic_of(|| drop(batch_line(r#"{"line":0,"topic":"a","id":"e-1"}"#)));
        let other = br#"{"type":"/errors#no-such-topic","title":"t","status":404,"detail":"d"}"#;
        panic_of(|| drop(refused(400, other)));
    }
}
