//! Messages to publish, each with a payload that no other has.

use super::Hands;
use crate::judge::PublishId;
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
    hands.judge.draft(topic, Payload { kind, bytes, event }, is_keyed)
}

/// A message as a raw WebSocket can publish it: text or binary, without a name of any kind.
pub(crate) fn draft_frame(hands: &mut Hands<'_>, topic: usize) -> PublishId {
    let number = hands.judge.next_number();
    let filling = "x".repeat(hands.random.usize(0..200));
    let (kind, bytes) = match hands.random.u8(0..3) {
        0 => (Kind::Binary, [b"\xff\0#", number.to_string().as_bytes(), b"\n\xfe"].concat()),
        _ => (Kind::Text, format!("#{number} é {filling}").into_bytes()),
    };
    hands.judge.draft(topic, Payload { kind, bytes, event: None }, false)
}
