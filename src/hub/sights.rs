//! Looking inside: what an operator is shown of topics, one by one.

use super::{Hub, Role};
use crate::topic::{Log, TopicId, TopicName};

/// A topic, or a replica of one.
#[derive(Debug)]
pub struct Sight<'a> {
    /// Which.
    pub id: TopicId,
    /// Its name.
    pub name: &'a TopicName,
    /// Its log.
    pub log: &'a Log,
    /// If it is sequenced here, the second of the clock in which it began.
    pub begun_s: Option<u32>,
    /// How many are subscribed to it here.
    pub subscribers: u64,
}

impl Hub {
    /// A number above that of every place where a topic may be.
    pub fn places(&self) -> usize {
        self.topics.capacity()
    }

    /// The topic in this place, if there is one.
    pub fn sight(&self, place: usize) -> Option<Sight<'_>> {
        let topic = self.topics.get(place)?;
        Some(Sight {
            id: TopicId(u32::try_from(place).ok()?),
            name: &topic.name,
            log: &topic.log,
            begun_s: match &topic.role {
                Role::Owner(owned) => Some(owned.begun_s),
                Role::Follower(_) => None,
            },
            subscribers: u64::from(topic.seats.taken()),
        })
    }

    /// The topic with this name, if it is known here.
    pub fn sight_of(&self, name: &TopicName) -> Option<Sight<'_>> {
        self.slot_of(name).and_then(|slot| self.sight(slot as usize))
    }

    /// Who has a seat of a topic, as the slot of a connection: `Some(None)` for one that is free, `None` behind
    /// the last.
    pub fn seat(&self, topic: TopicId, seat: usize) -> Option<Option<u32>> {
        self.topics.get(topic.0 as usize)?.seats.at(seat)
    }
}
