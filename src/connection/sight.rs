//! Looking inside: what an operator is shown of a connection.

use std::net::SocketAddr;

use super::subscription::Subscription;
use super::{Connection, Phase};
use crate::counters::Wire;
use crate::time::Now;
use crate::topic::{TopicId, TopicName, Topics};

/// Topics of a connection that are named.
const TOPICS_SHOWN: usize = 10;

/// What is shown of a connection.
#[derive(Debug)]
pub struct Sight {
    /// The other end.
    pub peer: SocketAddr,
    /// How it waits, if it does.
    pub wire: Option<Wire>,
    /// The first of its topics.
    pub topics: Vec<TopicName>,
    /// How many topics it has.
    pub topics_total: usize,
    /// How far it is behind, in messages, in the topic where that is most.
    pub lag: u64,
    /// Bytes queued for it, as they are counted against its bound.
    pub outbox_bytes: usize,
    /// Requests whose head was read.
    pub requests: u32,
    /// Seconds since it was accepted.
    pub age_s: u64,
}

impl Connection {
    /// How it waits for messages, if it does.
    pub fn wire(&self) -> Option<Wire> {
        self.subscription().map(|(_, wire)| wire)
    }

    /// Its topics, and how far it is behind in each, in messages.
    pub fn lags<'a, T: Topics>(
        &'a self,
        topics: &'a T,
    ) -> impl Iterator<Item = (TopicId, u64)> + 'a {
        self.subscription().into_iter().flat_map(|(subscription, _)| subscription.lags(topics))
    }

    /// How far it is behind in the topic where that is most.
    pub fn lag<T: Topics>(&self, topics: &T) -> u64 {
        self.lags(topics).map(|(_, lag)| lag).max().unwrap_or(0)
    }

    /// What an operator is shown of it.
    pub fn sight<T: Topics>(&self, now: Now, topics: &T) -> Sight {
        let shown = self.lags(topics).take(TOPICS_SHOWN);
        Sight {
            peer: self.peer,
            wire: self.wire(),
            topics: shown.map(|(topic, _)| topics.name(topic).clone()).collect(),
            topics_total: self.subscription().map_or(0, |(subscription, _)| subscription.len()),
            lag: self.lag(topics),
            outbox_bytes: self.outbox.cost_bytes(),
            requests: self.requests,
            age_s: (now.instant.as_ms() / 1_000).saturating_sub(u64::from(self.begun_s)),
        }
    }

    fn subscription(&self) -> Option<(&Subscription, Wire)> {
        match &self.phase {
            Phase::Poll(poll) => Some((poll.watched(), Wire::Poll)),
            Phase::Stream(stream) => Some(stream.watched()),
            Phase::WebSocket(websocket) => Some((&websocket.subscription, Wire::WebSocket)),
            _ => None,
        }
    }
}
