//! Messages to publish, each with a payload that no other has.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::Hands;
use crate::judge::PublishId;
use crate::topics::name;
use crate::wires::{Kind, Payload};

/// A message of any kind and size for any topic, known to the judge and not sent yet.
pub(crate) fn draft(hands: &mut Hands<'_>) -> PublishId {
    let topic = hands.random.usize(..hands.topics);
    let is_keyed = hands.random.u8(0..3) == 0;
    draft_for(hands, topic, is_keyed)
}

/// The same for this topic.
pub(crate) fn draft_for(hands: &mut Hands<'_>, topic: usize, is_keyed: bool) -> PublishId {
    let number = hands.judge.next_number();
    let length = match hands.random.u8(0..20) {
        0 => hands.random.usize(0..3_000),
        1..5 => hands.random.usize(0..300),
        _ => hands.random.usize(0..30),
    };
    let filling = "x".repeat(length);
    let (kind, bytes) = match hands.random.u8(0..6) {
        0 => (Kind::Json, format!("{{\"number\":\"#{number}\",\"x\":\"{filling}\"}}").into_bytes()),
        1 => (Kind::Binary, [b"\xff\0#", number.to_string().as_bytes(), b"\n\xfe"].concat()),
        2 => (Kind::Text, format!("#{number}\n{filling}\n\n- é €").into_bytes()),
        _ => (Kind::Text, format!("#{number} {filling}").into_bytes()),
    };
    let event = (hands.random.u8(0..8) == 0).then(|| format!("event-{}", number % 3));
    hands.judge.draft(topic, Payload { kind, bytes, event, time_ms: None }, is_keyed)
}

/// A message as a raw WebSocket can publish it: text or binary, without a name of any kind.
pub(crate) fn draft_frame(hands: &mut Hands<'_>, topic: usize) -> PublishId {
    let number = hands.judge.next_number();
    let filling = "x".repeat(hands.random.usize(0..200));
    let (kind, bytes) = match hands.random.u8(0..3) {
        0 => (Kind::Binary, [b"\xff\0#", number.to_string().as_bytes(), b"\n\xfe"].concat()),
        _ => (Kind::Text, format!("#{number} é {filling}").into_bytes()),
    };
    hands.judge.draft(topic, Payload { kind, bytes, event: None, time_ms: None }, false)
}

/// A message as the members of a JSON object: a line of a batch or a command (docs/protocol.md 5.3).
pub(crate) fn members(hands: &mut Hands<'_>, id: PublishId) -> String {
    let tells_type = hands.random.bool();
    let (topic, payload, key) = hands.judge.draft_of(id);
    let text = String::from_utf8_lossy(&payload.bytes);
    let (data, content_type) = match payload.kind {
        Kind::Json => (text.into_owned(), "application/json"),
        Kind::Binary => (json!(STANDARD.encode(&payload.bytes)).to_string(), "image/png"),
        Kind::Text | Kind::Unknown => (json!(text).to_string(), "text/plain; charset=utf-8"),
    };
    let mut members = format!("\"topic\":{},\"data\":{data}", json!(name(topic)));
    if payload.kind == Kind::Binary {
        members += ",\"encoding\":\"base64\"";
    }
    let others = [
        ("content_type", tells_type.then_some(content_type)),
        ("event", payload.event.as_deref()),
        ("key", key),
    ];
    for (member, value) in others {
        if let Some(value) = value {
            members += &format!(",\"{member}\":{}", json!(value));
        }
    }
    members
}
