//! Where a request would begin to read, and what it would be given first.

use crate::connection::route::{Route, StartSource, start};
use crate::topic::{Glimpse, Position, Reach, Start, TopicName};
use crate::wire::envelope::Object;
use crate::wire::http1::{Head, Query};

/// Topics that are looked at one by one.
const TOPICS_SHOWN_MAX: usize = 1024;

/// The topics that a request names, and where it begins to read them, if it does.
pub(super) fn topics_of(route: &Route) -> (&[TopicName], Option<&Start>) {
    match route {
        Route::Read(read) => (&read.topics, Some(&read.start)),
        Route::WebSocket(handshake) => (&handshake.topics, Some(&handshake.start)),
        Route::Head(topics) => (topics, None),
        Route::Publish(publish) => (std::slice::from_ref(&publish.topic), None),
        Route::Delete(topic) => (std::slice::from_ref(topic), None),
        _ => (&[], None),
    }
}

/// Where it begins, and what says so.
pub(super) fn explain_start<'a>(object: Object<'a>, head: &Head<'_>, route: &Route) -> Object<'a> {
    let (topics, Some(from)) = topics_of(route) else { return object };
    // It was parsed before; the way of waiting is known by where it begins.
    let Ok(query) = Query::parse(head.query) else { return object };
    let Ok((source, _)) = start(head, &query, from.clone()) else { return object };
    let because = match source {
        StartSource::LastEventId => "Last-Event-ID is there, and comes before all others.",
        StartSource::After => "The query has after, and Last-Event-ID is absent or empty.",
        StartSource::IfNoneMatch => {
            "If-None-Match has a cursor, and there is neither Last-Event-ID nor after."
        }
        StartSource::Last => "The query has last, and there is no cursor.",
        StartSource::Wire if *from == Start::Earliest => {
            "There is no cursor, and a short poll begins with all that is retained."
        }
        StartSource::Wire => "There is no cursor, and whatever waits begins at the head.",
    };
    let source = match source {
        StartSource::LastEventId => Some("Last-Event-ID"),
        StartSource::After => Some("after"),
        StartSource::IfNoneMatch => Some("If-None-Match"),
        StartSource::Last => Some("last"),
        StartSource::Wire => None,
    };
    let at = match from {
        Start::Earliest => "earliest".to_owned(),
        Start::Latest => "latest".to_owned(),
        Start::Last(count) => format!("last {count}"),
        Start::After(cursor) if cursor.topics() != topics.len() => {
            let (has, wants) = (cursor.topics(), topics.len());
            format!(
                "a cursor for {has} topics, and the request has {wants}: as one of another epoch"
            )
        }
        Start::After(_) => "cursor".to_owned(),
        Start::Unknown => "no cursor at all: as one of another epoch".to_owned(),
    };
    object.value("start", |out| {
        let object = Object::new(out).string("at", &at).optional("given_by", source);
        object.string("because", because).end();
    })
}

/// Every topic, what is known of it, and what would be given first.
pub(super) fn explain_topics<'a>(
    object: Object<'a>,
    route: &Route,
    look: impl Fn(&TopicName) -> Glimpse,
) -> Object<'a> {
    let (topics, start) = topics_of(route);
    if topics.is_empty() {
        return object;
    }
    let positions = match start {
        Some(Start::After(cursor)) => cursor.positions(topics.len()),
        _ => None,
    };
    object.value("topics", |out| {
        out.push(b'[');
        for (index, topic) in topics.iter().take(TOPICS_SHOWN_MAX).enumerate() {
            if index > 0 {
                out.push(b',');
            }
            let position = positions.and_then(|positions| positions.get(index)).copied();
            encode_topic(out, topic, start, position, look(topic));
        }
        out.push(b']');
    })
}

fn encode_topic(
    out: &mut Vec<u8>,
    topic: &TopicName,
    start: Option<&Start>,
    position: Option<Position>,
    glimpse: Glimpse,
) {
    let object = Object::new(out).string("topic", topic.as_str());
    let object = match position {
        Some(position) => object.value("cursor", |out| {
            let text = position.text();
            let epoch = text.split('-').next().unwrap_or_default();
            let object = Object::new(out).string("epoch", epoch);
            object.integer("sequence", position.sequence).end();
        }),
        None => object,
    };
    let (object, log) = match glimpse {
        Glimpse::There { reach, first_seq } => {
            let head = Position { epoch: reach.epoch, sequence: reach.next_seq - 1 }.text();
            let epoch = head.split('-').next().unwrap_or_default();
            let object = object
                .string("state", "there")
                .string("epoch", epoch)
                .integer("first", first_seq)
                .integer("next", reach.next_seq);
            (object, Some((reach, first_seq)))
        }
        Glimpse::Unused => (object.string("state", "unused"), None),
        Glimpse::Elsewhere => {
            let because = "Redis knows, and this server does not follow the topic now: it reads it for this request.";
            return object.string("state", "elsewhere").string("because", because).end();
        }
    };
    let Some(start) = start else { return object.end() };
    match log {
        Some((reach, first_seq)) => {
            let begin = begin(reach, first_seq, start, position);
            encode_begin(object, begin).string("because", begin.because).end();
        }
        // It begins with its first use, in an epoch that no cursor is of.
        None => {
            let is_told = matches!(start, Start::After(_) | Start::Unknown);
            let begin = Begin {
                gap: is_told.then_some(None),
                behind: 0,
                because: "The topic has not begun, or was forgotten; it begins with this request.",
            };
            encode_begin(object, begin).string("because", begin.because).end();
        }
    }
}

/// What a reader is given first.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
struct Begin {
    /// A gap, and how large it is, if anybody knows.
    gap: Option<Option<u64>>,
    /// Messages behind it.
    behind: u64,
    because: &'static str,
}

fn encode_begin(object: Object<'_>, begin: Begin) -> Object<'_> {
    let object = match begin.gap {
        None => object,
        Some(Some(count)) => object.integer("gap", count),
        Some(None) => object.value("gap", |out| out.extend_from_slice(b"null")),
    };
    object.integer("behind", begin.behind)
}

/// What [`crate::topic::Edge`] would come to, on a log that is no further than this.
fn begin(reach: Reach, first_seq: u64, start: &Start, position: Option<Position>) -> Begin {
    let retained = reach.next_seq - first_seq;
    match (start, position) {
        (Start::Latest, _) => Begin { gap: None, behind: 0, because: "It begins at the head." },
        (Start::Earliest, _) => {
            let because = "It begins with the oldest message that is retained.";
            Begin { gap: None, behind: retained, because }
        }
        (Start::Last(count), _) => {
            let because = "It begins so many messages before the head, or as many as are retained.";
            Begin { gap: None, behind: retained.min(*count), because }
        }
        (Start::After(_), Some(position)) if reach.covers(position) => {
            let missed = first_seq.saturating_sub(position.sequence + 1);
            let behind = reach.next_seq - first_seq.max(position.sequence + 1);
            match missed {
                0 => Begin {
                    gap: None,
                    behind,
                    because: "The cursor is of the present epoch, and all behind it is retained.",
                },
                _ => Begin {
                    gap: Some(Some(missed)),
                    behind,
                    because: "The cursor is of the present epoch, and messages behind it were trimmed.",
                },
            }
        }
        (Start::After(_), Some(position)) if position.epoch == reach.epoch => Begin {
            gap: Some(None),
            behind: retained,
            because: "The cursor is of the present epoch, and ahead of the log: nobody has given it out, or the server that did has lost what it had.",
        },
        (Start::After(_), Some(_)) => Begin {
            gap: Some(None),
            behind: retained,
            because: "The cursor is of another epoch: the topic was deleted or forgotten, or the server has restarted, since it was given out. Or it is of another topic.",
        },
        (Start::After(_) | Start::Unknown, _) => Begin {
            gap: Some(None),
            behind: retained,
            because: "What was given says nothing of this topic.",
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::time::Instant;
    use crate::topic::{Cursor, Due, Edge, Epoch, Log, Message, TopicId};

    /// A log with the messages from `first_seq` up to `next_seq`.
    fn log(epoch: Epoch, first_seq: u64, next_seq: u64) -> Log {
        let mut log = Log::new(epoch, first_seq);
        for _ in first_seq..next_seq {
            let message = Message::new(b"x".to_vec(), None, None, 0).unwrap();
            log.append(Arc::new(message), Instant::default());
        }
        log
    }

    #[test]
    fn what_is_foretold_is_what_a_reader_is_given() {
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..5_000 {
            let first_seq = random.u64(1..6);
            let next_seq = first_seq + random.u64(..6);
            let epoch = Epoch::from_random(random.u64(1..3));
            let log = log(epoch, first_seq, next_seq);
            let position = Position {
                epoch: Epoch::from_random(random.u64(1..3)),
                sequence: random.u64(..14),
            };
            let cursor = Cursor::parse(position.text().as_bytes()).unwrap();
            let start = match random.u8(..5) {
                0 => Start::Earliest,
                1 => Start::Latest,
                2 => Start::Last(random.u64(..9)),
                3 => Start::Unknown,
                _ => Start::After(cursor),
            };
            let position = matches!(start, Start::After(_)).then_some(position);
            let foretold = begin(log.reach(), log.first_seq(), &start, position);

            let mut edge = Edge::unresolved(TopicId(0), 0);
            edge.resolve(&log, &start, position);
            let gap = match edge.due(&log) {
                Due::Gap(missed) => {
                    edge.advance(&log);
                    Some(missed)
                }
                Due::Nothing | Due::Message(_) => None,
            };
            assert_eq!((foretold.gap, foretold.behind), (gap, edge.lag(&log)), "{start:?}");
        }
    }
}
