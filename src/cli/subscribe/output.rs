//! What a subscriber sees: messages on standard output, everything else on standard error.

use std::io::Write;
use std::ops::ControlFlow;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::cli::coming_back::Failure;

/// The part of an envelope (protocol 2.3) that a client looks into.
#[derive(Debug, Deserialize)]
pub(super) struct Envelope<'a> {
    #[serde(default)]
    pub(super) id: String,
    content_type: Option<String>,
    encoding: Option<String>,
    #[serde(borrow)]
    data: &'a RawValue,
    /// The cursor for all topics, when there are several.
    pub(super) cursor: Option<String>,
}

/// One entry of a gap notice (protocol 4.1).
#[derive(Debug, Deserialize)]
pub(super) struct Gap {
    topic: String,
    /// How many messages are gone, if anybody knows.
    count: Option<u64>,
}

/// Where messages and notices go.
pub(super) struct Output<'o> {
    payloads: &'o mut dyn Write,
    notices: &'o mut dyn Write,
    json: bool,
    /// How many messages are still wanted; `None` without a limit.
    remaining: Option<u64>,
}

impl<'o> Output<'o> {
    pub(super) fn new(
        payloads: &'o mut dyn Write,
        notices: &'o mut dyn Write,
        json: bool,
        count: Option<u64>,
    ) -> Output<'o> {
        Output { payloads, notices, json, remaining: count }
    }

    /// Prints a message that came as an envelope; `Break` when it was the last one wanted.
    pub(super) fn envelope(
        &mut self,
        text: &str,
        envelope: &Envelope<'_>,
    ) -> Result<ControlFlow<()>, Failure> {
        if self.json { self.line(text.as_bytes()) } else { self.line(&payload(envelope)?) }
    }

    /// Prints a message that came as an event, whose envelope has to be composed.
    pub(super) fn event(
        &mut self,
        topic: Option<&str>,
        id: &str,
        event: Option<&str>,
        data: &str,
    ) -> Result<ControlFlow<()>, Failure> {
        #[derive(Serialize)]
        struct Composed<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            topic: Option<&'a str>,
            id: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            event: Option<&'a str>,
            data: &'a str,
        }
        if !self.json {
            return self.line(data.as_bytes());
        }
        let composed = serde_json::to_vec(&Composed { topic, id, event, data });
        self.line(&composed.map_err(|error| Failure::Final(error.to_string()))?)
    }

    /// Says that messages are gone.
    pub(super) fn gap(&mut self, gap: &Gap) -> Result<(), Failure> {
        let text = match gap.count {
            Some(1) => format!("gap: 1 message of {:?} is gone", gap.topic),
            Some(count) => format!("gap: {count} messages of {:?} are gone", gap.topic),
            None => format!("gap: messages of {:?} are gone", gap.topic),
        };
        writeln!(self.notices, "{text}").map_err(Failure::Local)
    }

    /// Says what happened to the connection.
    pub(super) fn notice(&mut self, text: &str) -> Result<(), Failure> {
        writeln!(self.notices, "tidings: {text}").map_err(Failure::Local)
    }

    fn line(&mut self, bytes: &[u8]) -> Result<ControlFlow<()>, Failure> {
        let line = [bytes, b"\n"].concat();
        let printed = self.payloads.write_all(&line).and_then(|()| self.payloads.flush());
        printed.map_err(Failure::Local)?;
        self.remaining = self.remaining.map(|remaining| remaining.saturating_sub(1));
        Ok(if self.remaining == Some(0) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    }
}

/// The bytes that were published (protocol 2.3, read backwards).
fn payload(envelope: &Envelope<'_>) -> Result<Vec<u8>, Failure> {
    let raw = envelope.data.get();
    // JSON whose data is a string keeps its content type: then the string is the payload, quoted.
    let is_json = envelope.content_type.as_deref().is_some_and(is_json);
    if !raw.starts_with('"') || (is_json && envelope.encoding.is_none()) {
        return Ok(raw.as_bytes().to_vec());
    }
    let malformed = |_| Failure::lost("the server sent a message that cannot be read");
    let text: String = serde_json::from_str(raw).map_err(malformed)?;
    match envelope.encoding.as_deref() {
        None => Ok(text.into_bytes()),
        Some("base64") => BASE64_STANDARD
            .decode(text)
            .map_err(|_| Failure::lost("the server sent base64 that cannot be read")),
        Some(_) => Err(Failure::Final("the server sent an encoding that is not known".to_owned())),
    }
}

/// Whether a content type is that of JSON (protocol 2.2).
fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence.ends_with("+json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload_of(envelope: &str) -> Vec<u8> {
        payload(&serde_json::from_str(envelope).unwrap()).unwrap()
    }

    #[test]
    fn an_envelope_gives_back_the_bytes_that_were_published() {
        assert_eq!(payload_of(r#"{"id":"a-1","data":"h\u00e9\nllo"}"#), "hé\nllo".as_bytes());
        assert_eq!(payload_of(r#"{"id":"a-1","data":{"a": 1.0}}"#), br#"{"a": 1.0}"#);
        let string = r#"{"id":"a-1","content_type":"application/json","data":"x"}"#;
        assert_eq!(payload_of(string), br#""x""#);
        let binary = r#"{"id":"a","content_type":"image/png","encoding":"base64","data":"AP8="}"#;
        assert_eq!(payload_of(binary), [0, 255]);
    }

    #[test]
    fn a_gap_is_told_in_words() {
        let mut notices = Vec::new();
        let mut payloads = Vec::new();
        let mut output = Output::new(&mut payloads, &mut notices, false, None);
        for count in [Some(3), Some(1), None] {
            output.gap(&Gap { topic: "news".to_owned(), count }).unwrap();
        }
        assert_eq!(
            String::from_utf8(notices).unwrap(),
            "gap: 3 messages of \"news\" are gone\ngap: 1 message of \"news\" is gone\n\
             gap: messages of \"news\" are gone\n"
        );
    }
}
