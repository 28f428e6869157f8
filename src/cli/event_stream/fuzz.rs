//! What must hold of any event stream that `tidings subscribe` reads.

use super::*;
use crate::fuzzing::arrivals;
use crate::wire::sse::whatwg::{Event, interpret};

/// For fuzzing: reads `bytes` as an event stream, as the client does and as the standard says.
///
/// # Panics
/// If the two differ, or if it makes a difference how the bytes arrive.
pub fn fuzz_event_stream(bytes: &[u8]) {
    let mut readings = arrivals(bytes).into_iter().map(|ends| read(bytes, &ends));
    let at_once = readings.next().expect("it arrives at once");
    assert!(readings.all(|other| other == at_once), "the events depend on how they were split");
    let theirs = interpret(bytes);
    let (mut events, mut id, mut retry) = (Vec::new(), String::new(), None);
    for item in at_once {
        match item {
            Item::Event { id: now, event, data } => {
                id.clone_from(&now);
                let kind = event.unwrap_or_else(|| "message".to_owned());
                events.push(Event { kind, data, last_event_id: now });
            }
            Item::Id(now) => id = now,
            Item::Retry(ms) => retry = Some(ms),
            Item::Comment => (),
        }
    }
    assert_eq!(events, theirs.events);
    assert_eq!(id, theirs.last_event_id);
    // A number beyond 64 bits is the largest to one of them, and none to the other.
    if retry != Some(u64::MAX) {
        assert_eq!(retry, theirs.retry);
    }
}

fn read(bytes: &[u8], ends: &[usize]) -> Vec<Item> {
    let mut stream = EventStream::default();
    let mut items = Vec::new();
    let mut start = 0;
    for &end in ends {
        stream.feed(&bytes[start..end]).expect("no line of a test is as long as that");
        items.extend(std::iter::from_fn(|| stream.poll_item()));
        start = end;
    }
    items
}

#[test]
fn the_corpus_of_event_streams_keeps_every_promise() {
    crate::fuzzing::replay("event_stream", fuzz_event_stream);
}
