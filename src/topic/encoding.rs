//! A message in the bytes that one kind of receiver gets, made once and shared.

use super::message::{Kind, Message};
use crate::buffer::Chunk;
use crate::wire::envelope::{self, Data, Envelope};
use crate::wire::websocket::{Opcode, encode_frame};
use crate::wire::{http1, sse};

/// Byte layout of a message for one kind of receiver.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// An SSE event inside one HTTP chunk.
    Sse,
    /// An SSE event whose data is the envelope, inside one HTTP chunk.
    SseEnvelope,
    /// An envelope on a line of its own, inside one HTTP chunk. Polls use the envelope alone.
    Ndjson,
    /// The payload in a WebSocket frame.
    WebSocketRaw,
    /// The envelope in a WebSocket frame.
    WebSocketEnvelope,
}

impl Format {
    /// How many formats there are.
    pub const COUNT: usize = 5;
}

/// A message in one format.
///
/// ```text
///   Sse:     1f CRLF  id: e-1 LF  data: hi LF LF  CRLF
///            ^ framed ^ unframed  ^ body       ^ end
///   Ndjson:  2a CRLF  {"topic":…}  LF  CRLF
///            ^ framed ^ unframed = body ^ end (without the LF)
///   WebSocketEnvelope:  81 2a  {"topic":…}
///                       ^ framed ^ unframed = body, end
/// ```
#[derive(Debug)]
pub struct Encoded {
    chunk: Chunk,
    unframed: u32,
    body: u32,
    end: u32,
}

impl Encoded {
    /// Encodes a message; `id` is its cursor.
    pub(super) fn new(format: Format, topic: &str, id: &str, message: &Message) -> Self {
        match format {
            Format::Sse => match message.text() {
                Some(text) => Self::sse(id, message.event(), text),
                None => {
                    let mut base64 = Vec::new();
                    envelope::encode_base64(&mut base64, message.payload());
                    let base64 = std::str::from_utf8(&base64).expect("base64 is ASCII");
                    Self::sse(id, message.event(), base64)
                }
            },
            Format::SseEnvelope => {
                let json = json(topic, id, message);
                Self::sse(id, None, std::str::from_utf8(&json).expect("JSON is UTF-8"))
            }
            Format::Ndjson => {
                let mut line = json(topic, id, message);
                line.push(b'\n');
                Self::in_http_chunk(&line, 0, 1)
            }
            Format::WebSocketRaw => {
                let opcode = match message.kind() {
                    Kind::Json | Kind::Text => Opcode::Text,
                    Kind::Binary => Opcode::Binary,
                };
                Self::in_frame(opcode, message.payload())
            }
            Format::WebSocketEnvelope => Self::in_frame(Opcode::Text, &json(topic, id, message)),
        }
    }

    fn sse(id: &str, name: Option<&str>, data: &str) -> Self {
        let mut event = Vec::with_capacity(data.len() + 64);
        sse::encode_id(&mut event, id);
        let body = event.len();
        sse::encode_event(&mut event, name, data);
        Self::in_http_chunk(&event, body, 0)
    }

    fn in_http_chunk(content: &[u8], body: usize, tail: usize) -> Self {
        let mut framed = Vec::with_capacity(content.len() + 12);
        http1::encode_chunk_size(&mut framed, content.len());
        let unframed = framed.len();
        framed.extend_from_slice(content);
        let end = framed.len() - tail;
        framed.extend_from_slice(b"\r\n");
        Self::with_marks(&framed, unframed, unframed + body, end)
    }

    fn in_frame(opcode: Opcode, payload: &[u8]) -> Self {
        let mut frame = Vec::with_capacity(payload.len() + 10);
        encode_frame(&mut frame, opcode, payload);
        let unframed = frame.len() - payload.len();
        Self::with_marks(&frame, unframed, unframed, frame.len())
    }

    fn with_marks(bytes: &[u8], unframed: usize, body: usize, end: usize) -> Self {
        let chunk = Chunk::new(bytes);
        // Chunk::new has checked that every index fits 32 bits.
        Self { chunk, unframed: unframed as u32, body: body as u32, end: end as u32 }
    }

    /// Everything, ready for a subscriber of one topic.
    pub fn framed(&self) -> Chunk {
        self.chunk.clone()
    }

    /// Without the HTTP chunk or WebSocket frame around it, but with the `id:` of an event.
    pub fn unframed(&self) -> Chunk {
        self.chunk.part(self.unframed, self.end)
    }

    /// Without framing and without `id:`: what subscribers of several topics share.
    pub fn body(&self) -> Chunk {
        self.chunk.part(self.body, self.end)
    }

    /// Bytes of memory that it is counted as.
    pub fn cost_bytes(&self) -> usize {
        self.chunk.len() + 64
    }
}

fn json(topic: &str, id: &str, message: &Message) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.payload().len() + topic.len() + 96);
    let data = match (message.kind(), message.text()) {
        (Kind::Json, Some(text)) => Data::Json(text),
        (_, Some(text)) => Data::Text(text),
        (_, None) => Data::Binary(message.payload()),
    };
    let content_type = message.shown_content_type();
    let (time_ms, event) = (message.time_ms(), message.event());
    envelope::encode(&mut out, &Envelope { topic, id, time_ms, event, content_type, data });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(format: Format, payload: &[u8]) -> Encoded {
        let message = Message::new(payload.to_vec(), None, None, 5).unwrap();
        Encoded::new(format, "t", "e-1", &message)
    }

    fn text(chunk: &Chunk) -> &str {
        std::str::from_utf8(chunk.as_slice()).unwrap()
    }

    #[test]
    fn an_event_can_be_had_with_and_without_framing_and_id() {
        let event = encoded(Format::Sse, b"hi");
        assert_eq!(text(&event.framed()), "12\r\nid: e-1\ndata: hi\n\n\r\n");
        assert_eq!(text(&event.unframed()), "id: e-1\ndata: hi\n\n");
        assert_eq!(text(&event.body()), "data: hi\n\n");
    }

    #[test]
    fn an_event_can_carry_the_envelope() {
        let event = encoded(Format::SseEnvelope, b"hi");
        let json = r#"{"topic":"t","id":"e-1","time":5,"data":"hi"}"#;
        assert_eq!(text(&event.body()), format!("data: {json}\n\n"));
    }

    #[test]
    fn a_line_can_be_had_with_and_without_framing() {
        let line = encoded(Format::Ndjson, b"hi");
        let json = r#"{"topic":"t","id":"e-1","time":5,"data":"hi"}"#;
        assert_eq!(text(&line.framed()), format!("{:x}\r\n{json}\n\r\n", json.len() + 1));
        assert_eq!(text(&line.body()), json);
    }

    #[test]
    fn frames_are_text_or_binary_as_the_message_is() {
        assert_eq!(encoded(Format::WebSocketRaw, b"hi").framed().as_slice(), b"\x81\x02hi");
        assert_eq!(encoded(Format::WebSocketRaw, b"\xff").framed().as_slice(), b"\x82\x01\xff");
        let envelope = encoded(Format::WebSocketEnvelope, b"\xff");
        assert_eq!(envelope.framed().as_slice()[0], 0x81);
        assert!(text(&envelope.body()).contains(r#""encoding":"base64","data":"/w==""#));
    }

    #[test]
    fn a_binary_payload_is_base64_in_an_event() {
        assert_eq!(text(&encoded(Format::Sse, b"\xff").body()), "data: /w==\n\n");
    }

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn an_encoding_is_held_to_its_size() {
        // Up to five for each message retained; `Encoded::cost_bytes` counts on it.
        assert_eq!(size_of::<Encoded>(), 40);
    }
}
