//! Room for one more topic: how many there may be, and which makes way for a new one.
//!
//! Who only listens cannot keep publishers out: topics that were never published to are counted apart
//! from those that were. A topic that nobody listens to and that holds nothing makes way when a cap is
//! reached, long before `--topic-idle`: all that is lost is its epoch, so a cursor of it is answered
//! with a gap of unknown count.

use super::follower::Replica;
use super::owner::Ownership;
use super::{Hub, Role, Topic};
use crate::config::Config;
use crate::time::Instant;
use crate::topic::{Refusal, TopicName};

/// Topics looked at to find one that makes way.
const LOOKS_MAX: usize = 64;

/// How many topics a hub may have of each kind, and how many it has.
#[derive(Debug)]
pub(super) struct Room {
    owned_max: usize,
    replicas_max: usize,
    /// Topics owned that were published to.
    spoken: usize,
    /// Topics owned that were only listened to.
    silent: usize,
    /// Where the last search for one that makes way ended.
    hand: usize,
}

impl Room {
    pub(super) fn new(config: &Config) -> Self {
        let topics_max = config.limits.topics_max as usize;
        let (owned_max, replicas_max) = (config.share(topics_max), topics_max);
        Self { owned_max, replicas_max, spoken: 0, silent: 0, hand: 0 }
    }

    /// From now on there may be as many topics as `config` says. If there are more, none goes for that.
    pub(super) fn reconfigure(&mut self, config: &Config) {
        let Self { owned_max, replicas_max, .. } = Self::new(config);
        (self.owned_max, self.replicas_max) = (owned_max, replicas_max);
    }

    /// Topics owned.
    pub(super) const fn owned(&self) -> usize {
        self.spoken + self.silent
    }

    /// A topic is gone.
    pub(super) fn release(&mut self, role: &Role) {
        match role {
            Role::Owner(owned) if owned.was_published_to => self.spoken -= 1,
            Role::Owner(_) => self.silent -= 1,
            Role::Follower(_) => (),
        }
    }
}

impl Hub {
    /// Creates a topic of this worker's own for a subscriber or a follower.
    pub(super) fn begin_silent(&mut self, now: Instant, topic: &TopicName) -> Result<u32, Refusal> {
        if self.room.silent >= self.room.owned_max && !self.make_way(is_silent_and_alone) {
            return Err(Refusal::TopicsUsedUp);
        }
        Ok(self.begin_again(now, topic))
    }

    /// Creates a topic anew that had followers when its owner failed, whatever there is room for.
    pub(super) fn begin_again(&mut self, now: Instant, topic: &TopicName) -> u32 {
        self.room.silent += 1;
        let slot = self.insert(now, topic, Role::Owner(Ownership::begin(now)));
        self.join_outside(slot);
        slot
    }

    /// The topic that a message is appended to next: the one in `slot`, or a new one.
    pub(super) fn begin_spoken(
        &mut self,
        now: Instant,
        topic: &TopicName,
        slot: Option<u32>,
    ) -> Result<u32, Refusal> {
        let has_room = self.room.spoken < self.room.owned_max;
        let slot = match slot {
            Some(slot) => slot,
            None if has_room => {
                self.room.silent += 1;
                self.insert(now, topic, Role::Owner(Ownership::begin(now)))
            }
            None => return Err(Refusal::TopicsUsedUp),
        };
        let Role::Owner(owned) = &mut self.topics[slot as usize].role else {
            unreachable!("only the owner of a topic publishes to it")
        };
        if !owned.was_published_to {
            if !has_room {
                return Err(Refusal::TopicsUsedUp);
            }
            owned.was_published_to = true;
            self.room.silent -= 1;
            self.room.spoken += 1;
        }
        Ok(slot)
    }

    /// Whether there is room for another replica, or was made.
    pub(super) fn has_room_to_follow(&mut self) -> bool {
        let replicas = self.topics.len() - self.room.owned();
        replicas < self.room.replicas_max || self.make_way(is_replica_of_nobody)
    }

    /// Forgets the first topic that `may_go`, going round. Whether one was found in a few looks.
    fn make_way(&mut self, may_go: fn(&Topic) -> bool) -> bool {
        for _ in 0..LOOKS_MAX.min(self.topics.len()) {
            let slot = self.room.hand;
            self.room.hand = if slot + 1 < self.topics.capacity() { slot + 1 } else { 0 };
            if self.topics.get(slot).is_some_and(may_go) {
                self.forget(slot as u32);
                return true;
            }
        }
        false
    }
}

fn is_silent_and_alone(topic: &Topic) -> bool {
    let Role::Owner(owned) = &topic.role else { return false };
    topic.seats.is_empty() && !owned.was_published_to && !owned.has_followers()
}

fn is_replica_of_nobody(topic: &Topic) -> bool {
    topic.seats.is_empty()
        && matches!(&topic.role, Role::Follower(replica) if !matches!(replica, Replica::Syncing))
}
