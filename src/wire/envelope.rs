//! Messages and notices as one-line JSON objects: what polls, NDJSON and `tidings.json` carry.
//!
//! docs/protocol.md 2.3 is the format of a message, 4.1, 10.2 and 11.3 those of the notices.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::json::{encode_integer, encode_on_one_line, encode_string};

/// A message as a client sees it.
#[derive(Copy, Clone, Debug)]
pub struct Envelope<'a> {
    /// The topic's name.
    pub topic: &'a str,
    /// The message's cursor.
    pub id: &'a str,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub time_ms: u64,
    /// The event name.
    pub event: Option<&'a str>,
    /// The content type, if the data does not show it.
    pub content_type: Option<&'a str>,
    /// The payload.
    pub data: Data<'a>,
}

/// A payload in the form that it takes inside JSON.
#[derive(Copy, Clone, Debug)]
pub enum Data<'a> {
    /// A valid JSON text, embedded as it is but for its line breaks.
    Json(&'a str),
    /// A string.
    Text(&'a str),
    /// Base64 (RFC 4648 §4).
    Binary(&'a [u8]),
}

/// Appends a message, from `{` to `}`.
pub fn encode(out: &mut Vec<u8>, envelope: &Envelope<'_>) {
    out.extend_from_slice(b"{\"topic\":");
    encode_string(out, envelope.topic);
    out.extend_from_slice(b",\"id\":\"");
    out.extend_from_slice(envelope.id.as_bytes());
    out.extend_from_slice(b"\",\"time\":");
    encode_integer(out, envelope.time_ms);
    if let Some(event) = envelope.event {
        out.extend_from_slice(b",\"event\":");
        encode_string(out, event);
    }
    if let Some(content_type) = envelope.content_type {
        out.extend_from_slice(b",\"content_type\":");
        encode_string(out, content_type);
    }
    match envelope.data {
        Data::Json(text) => {
            out.extend_from_slice(b",\"data\":");
            encode_on_one_line(out, text);
        }
        Data::Text(text) => {
            out.extend_from_slice(b",\"data\":");
            encode_string(out, text);
        }
        Data::Binary(bytes) => {
            out.extend_from_slice(b",\"encoding\":\"base64\",\"data\":\"");
            encode_base64(out, bytes);
            out.push(b'"');
        }
    }
    out.push(b'}');
}

/// Appends bytes in base64 (RFC 4648 §4, padded).
pub fn encode_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    STANDARD.encode_slice(bytes, &mut out[start..]).expect("four characters for three bytes fit");
}

/// Appends the members of a gap notice, without braces: `"topic":…,"count":…`.
pub fn encode_gap(out: &mut Vec<u8>, topic: &str, count: Option<u64>) {
    out.extend_from_slice(b"\"topic\":");
    encode_string(out, topic);
    out.extend_from_slice(b",\"count\":");
    match count {
        Some(count) => encode_integer(out, count),
        None => out.extend_from_slice(b"null"),
    }
}

/// A JSON object being written, member by member.
#[derive(Debug)]
pub struct Object<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl<'a> Object<'a> {
    /// Opens an object at the end of `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, first: true }
    }

    /// A member whose value is a string.
    pub fn string(self, name: &str, value: &str) -> Self {
        self.value(name, |out| encode_string(out, value))
    }

    /// A member whose value is a string, if there is one.
    pub fn optional(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.string(name, value),
            None => self,
        }
    }

    /// A member whose value is a whole number.
    pub fn integer(self, name: &str, value: u64) -> Self {
        self.value(name, |out| encode_integer(out, value))
    }

    /// A member whose value is true or false.
    pub fn boolean(self, name: &str, value: bool) -> Self {
        self.value(name, |out| out.extend_from_slice(if value { b"true" } else { b"false" }))
    }

    /// A member whose value is written by `write`, which appends one JSON value.
    pub fn value(mut self, name: &str, write: impl FnOnce(&mut Vec<u8>)) -> Self {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        encode_string(self.out, name);
        self.out.push(b':');
        write(self.out);
        self
    }

    /// Closes the object.
    pub fn end(self) {
        self.out.push(b'}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(event: Option<&str>, content_type: Option<&str>, data: Data<'_>) -> String {
        let mut out = Vec::new();
        let (topic, id) = ("a \"b\"", "e-1");
        encode(&mut out, &Envelope { topic, id, time_ms: 5, event, content_type, data });
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_is_a_string() {
        assert_eq!(
            encoded(Some("e"), None, Data::Text("x\n\"y\"")),
            r#"{"topic":"a \"b\"","id":"e-1","time":5,"event":"e","data":"x\n\"y\""}"#
        );
    }

    #[test]
    fn json_is_embedded_on_one_line() {
        assert_eq!(
            encoded(None, None, Data::Json("[1,\n2]")),
            r#"{"topic":"a \"b\"","id":"e-1","time":5,"data":[1, 2]}"#
        );
    }

    #[test]
    fn binary_is_base64_and_says_so() {
        assert_eq!(
            encoded(None, Some("image/png"), Data::Binary(b"hello")),
            r#"{"topic":"a \"b\"","id":"e-1","time":5,"content_type":"image/png","encoding":"base64","data":"aGVsbG8="}"#
        );
    }

    #[test]
    fn an_object_separates_its_members() {
        let mut out = Vec::new();
        Object::new(&mut out).string("a", "b").optional("c", None).integer("d", 7).end();
        assert_eq!(out, br#"{"a":"b","d":7}"#);
    }
}
