//! Listings as JSON (docs/protocol.md 19.3, 19.4): what the workers found, put together.

use super::survey::{Figures, Owned, Report, Reported};
use crate::connection::{ConnectionName, ConnectionsWanted, Sight, TopicOrder};
use crate::counters::Wire;
use crate::key::ConnectionKey;
use crate::topic::TopicName;
use crate::wire::envelope::Object;

/// What is known of a topic, of all workers.
struct Topic<'a> {
    name: &'a TopicName,
    owned: &'a Owned,
    subscribers: [u64; Wire::COUNT],
    lag: u64,
}

impl<'a> Topic<'a> {
    /// `None` if nobody sequences it (any more).
    fn of(name: &'a TopicName, figures: &'a [Figures]) -> Option<Self> {
        let owned = figures.iter().find_map(|one| one.owned.as_ref())?;
        let (mut subscribers, mut lag) = ([0; Wire::COUNT], 0);
        for one in figures {
            let pairs = subscribers.iter_mut().zip(&one.subscribers);
            pairs.for_each(|(all, here)| *all += here);
            if one.subscribers.iter().sum::<u64>() > 0 {
                // A replica may be behind itself; of another epoch nobody knows.
                let of_replica = match one.reach {
                    Some((epoch, next)) if epoch == owned.epoch => owned.next.saturating_sub(next),
                    _ => 0,
                };
                lag = lag.max(one.lag + of_replica);
            }
        }
        Some(Self { name, owned, subscribers, lag })
    }

    fn value(&self, order: TopicOrder) -> u64 {
        match order {
            TopicOrder::Name => 0,
            TopicOrder::Recent => self.owned.recent,
            TopicOrder::Subscribers => self.subscribers.iter().sum(),
            TopicOrder::Lag => self.lag,
            TopicOrder::Bytes => self.owned.bytes as u64,
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let owned = self.owned;
        let object = Object::new(out)
            .string("topic", self.name.as_str())
            .string("epoch", &owned.epoch.text())
            .integer("first", owned.first)
            .integer("next", owned.next)
            .integer("messages", owned.messages as u64)
            .integer("bytes", owned.bytes as u64)
            .integer("recent", owned.recent)
            .value("subscribers", |out| {
                let wires = Wire::ALL.iter().zip(self.subscribers);
                wires
                    .fold(Object::new(out), |object, ((_, label), count)| {
                        object.integer(label, count)
                    })
                    .end();
            })
            .integer("lag", self.lag)
            .integer("age", owned.age_s);
        let idle = owned
            .idle_ms
            .map_or_else(|| "null".to_owned(), |ms| format!("{}.{:03}", ms / 1_000, ms % 1_000));
        let object = object.value("idle", |out| out.extend_from_slice(idle.as_bytes()));
        object.end();
    }
}

/// The answer to `GET /topics`.
pub(super) fn topics<'a>(
    found: impl Iterator<Item = (&'a TopicName, &'a Vec<Figures>)>,
    order: TopicOrder,
    more: bool,
) -> Vec<u8> {
    let (mut last, mut topics) = (None, Vec::new());
    for (name, figures) in found {
        last = Some(name);
        topics.extend(Topic::of(name, figures));
    }
    // They have gone on while they were asked about. Stable: equals stay in the order of their names.
    topics.sort_by_key(|topic| std::cmp::Reverse(topic.value(order)));
    let next = last.filter(|_| more && order == TopicOrder::Name).map(TopicName::as_str);
    list("topics", &topics, Topic::encode, next)
}

/// The answer to `GET /connections`.
pub(super) fn connections(told: Vec<Reported>, wanted: &ConnectionsWanted) -> Vec<u8> {
    let (mut more, mut all) = (false, Vec::<(ConnectionName, Sight)>::new());
    for (worker, report) in told {
        let Report::Connections(listed, has_more) = report else { continue };
        more |= has_more;
        let name = |key: ConnectionKey| ConnectionName { worker, key };
        all.extend(listed.into_iter().map(|(key, sight)| (name(key), sight)));
    }
    all.sort_by_key(|(name, sight)| {
        let lag = if wanted.by_lag { sight.lag } else { 0 };
        (std::cmp::Reverse(lag), name.worker, name.key.slot)
    });
    more |= all.len() > wanted.limit;
    all.truncate(wanted.limit);
    let next = all.last().filter(|_| more && !wanted.by_lag).map(|(name, _)| name.to_string());
    list("connections", &all, encode_connection, next.as_deref())
}

fn encode_connection((name, sight): &(ConnectionName, Sight), out: &mut Vec<u8>) {
    let wire = sight.wire.map_or("idle", |wire| Wire::ALL[wire as usize].1);
    Object::new(out)
        .string("id", &name.to_string())
        .string("peer", &sight.peer.to_string())
        .string("wire", wire)
        .value("topics", |out| {
            out.push(b'[');
            for (index, topic) in sight.topics.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                crate::wire::json::encode_string(out, topic.as_str());
            }
            out.push(b']');
        })
        .integer("topics_total", sight.topics_total as u64)
        .integer("lag", sight.lag)
        .integer("outbox_bytes", sight.outbox_bytes as u64)
        .integer("requests", u64::from(sight.requests))
        .integer("age", sight.age_s)
        .end();
}

/// `{"topics":[…],"next":…}`, a line for each entry.
fn list<T>(
    member: &str,
    entries: &[T],
    encode: impl Fn(&T, &mut Vec<u8>),
    next: Option<&str>,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(entries.len() * 256 + 64);
    Object::new(&mut out)
        .value(member, |out| {
            out.push(b'[');
            for (index, entry) in entries.iter().enumerate() {
                out.extend_from_slice(if index > 0 { b",\n" } else { b"\n" });
                encode(entry, out);
            }
            out.extend_from_slice(b"\n]");
        })
        .optional("next", next)
        .end();
    out.push(b'\n');
    out
}
