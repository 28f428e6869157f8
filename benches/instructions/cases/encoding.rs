//! A message in each of its formats, as its first receiver has it made.

use std::hint::black_box;
use std::sync::Arc;

use tidings::time::Instant;
use tidings::topic::{Encoded, Epoch, EventName, Format, Log, Message, TopicName};

use super::Round;

/// With an event name, a quote and a line end, as texts have them.
fn encoding(format: Format) -> Box<dyn Round> {
    let text = "She said \"hello!\" to everybody.\nThen she went on. ".repeat(4).into_bytes();
    assert_eq!(text.len(), 200);
    let event = EventName::parse(b"edit").expect("it is a name");
    let message = Message::new(text, None, Some(event), 1_764_547_200_123);
    let topic = TopicName::parse(b"news").expect("it is a name");
    let mut log = Log::new(Epoch::from_random(0x12_3456_789a), 1_000);
    let message = Arc::new(message.expect("it is a message"));
    let sequence = log.append(message, Instant::from_ms(0));
    // What is not kept is made anew each time.
    Box::new(move || {
        black_box(log.chunk(black_box(&topic), sequence, format, Encoded::framed, false));
    })
}

pub(super) fn sse() -> Box<dyn Round> {
    encoding(Format::Sse)
}

pub(super) fn sse_envelope() -> Box<dyn Round> {
    encoding(Format::SseEnvelope)
}

pub(super) fn ndjson() -> Box<dyn Round> {
    encoding(Format::Ndjson)
}

pub(super) fn websocket() -> Box<dyn Round> {
    encoding(Format::WebSocketRaw)
}

pub(super) fn websocket_envelope() -> Box<dyn Round> {
    encoding(Format::WebSocketEnvelope)
}
