//! What must hold of any events that we write: a client that follows the standard reads them as they were
//! meant.

use super::whatwg::{Event, interpret};
use super::*;

/// For fuzzing: makes events of `bytes`, writes them, and reads the stream as the standard says.
///
/// # Panics
/// If an event, the last event ID or the reconnection time is not what was written.
pub fn fuzz_sse(bytes: &[u8]) {
    let mut stream = Vec::new();
    let mut expected = Vec::new();
    let (mut last_event_id, mut retry) = (String::new(), None);
    // Each piece up to a byte that no text has is one step.
    for (at, step) in bytes.split(|byte| *byte == 0xff).enumerate() {
        let Some((kind, text)) = step.split_first() else { continue };
        let text = String::from_utf8_lossy(text);
        if kind & 1 != 0 {
            last_event_id = format!("0123abcd-{at}");
            encode_id(&mut stream, &last_event_id);
        }
        match kind >> 1 & 3 {
            0 => {
                retry = Some(u64::from(*kind) << at.min(50));
                encode_retry(&mut stream, u64::from(*kind) << at.min(50));
                stream.push(b'\n');
            }
            1 => stream.extend_from_slice(b": a comment\n\n"),
            named => {
                let (name, data) = match text.split_once('|') {
                    // What an event's name may be was checked when it was made.
                    Some((name, data)) if named == 2 && !name.contains(['\r', '\n', '\0']) => {
                        (Some(name).filter(|name| !name.is_empty()), data)
                    }
                    _ => (None, text.as_ref()),
                };
                encode_event(&mut stream, name, data);
                expected.push(Event {
                    kind: name.unwrap_or("message").to_owned(),
                    // The standard has one kind of line end.
                    data: data.replace("\r\n", "\n").replace('\r', "\n"),
                    last_event_id: last_event_id.clone(),
                });
            }
        }
    }
    let read = interpret(&stream);
    assert_eq!(read.events, expected);
    assert_eq!((read.last_event_id, read.retry), (last_event_id, retry));
}

#[test]
fn the_corpus_of_events_keeps_every_promise() {
    crate::fuzzing::replay("sse", fuzz_sse);
}
