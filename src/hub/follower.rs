//! A replica: the log of a topic that another worker owns, supplied by mail.

use std::sync::Arc;

use super::mail::{Mail, TopicKey};
use super::{Hub, Role};
use crate::planted::{Fault, planted};
use crate::time::{Instant, Now};
use crate::topic::{Epoch, Log, Message, Refusal, TopicName, View};

/// How far a replica is.
#[derive(Debug)]
pub(super) enum Replica {
    /// The owner was asked.
    Syncing,
    /// The owner refused; the replica goes when its subscribers have.
    Refused(Refusal),
    /// The owner supplies it.
    Live {
        /// The topic in the owner's hub.
        owner: TopicKey,
        /// What was retained when it was followed ends before this; until then it is incomplete.
        good_from: u64,
    },
}

impl Replica {
    /// What subscribers may see.
    pub(super) fn view<'a>(&self, log: &'a Log) -> View<'a> {
        match self {
            Self::Refused(refusal) => View::Refused(*refusal),
            Self::Live { good_from, .. } if log.next_seq() >= *good_from => View::Live(log),
            Self::Syncing if planted(Fault::ShowsReplicaEarly) => View::Live(log),
            Self::Syncing | Self::Live { .. } => View::Syncing,
        }
    }
}

impl Hub {
    /// Asks a topic's owner to be followed.
    pub(super) fn follow(&mut self, now: Instant, topic: &TopicName) -> Result<u32, Refusal> {
        if !self.has_room_to_follow() {
            return Err(Refusal::TopicsUsedUp);
        }
        let slot = self.insert(now, topic, Role::Follower(Replica::Syncing));
        let (owner, replica) = (self.owner_of(topic), self.key(slot));
        self.links.send(owner, Mail::Follow { topic: topic.clone(), replica, again: false });
        Ok(slot)
    }

    pub(super) fn begin_replica(
        &mut self,
        replica: TopicKey,
        owner: TopicKey,
        epoch: Epoch,
        first_seq: u64,
        good_from: u64,
    ) {
        let Some(slot) = self.live(replica) else { return };
        self.change_log(slot, |log| log.reset(epoch, first_seq));
        self.topics[slot as usize].role = Role::Follower(Replica::Live { owner, good_from });
        self.announce(slot);
        self.arm(slot);
    }

    pub(super) fn refuse_replica(&mut self, replica: TopicKey, refusal: Refusal) {
        let Some(slot) = self.live(replica) else { return };
        self.topics[slot as usize].role = Role::Follower(Replica::Refused(refusal));
        // Who comes next asks again.
        let name = self.topics[slot as usize].name.clone();
        self.names.remove(&name);
        self.announce(slot);
        self.arm(slot);
    }

    pub(super) fn append_to_replica(
        &mut self,
        now: Now,
        replica: TopicKey,
        message: Arc<Message>,
        appended_at: Instant,
    ) {
        let Some(slot) = self.live(replica) else { return };
        let retention = self.retention;
        self.change_log(slot, |log| {
            log.append(message, appended_at);
            log.trim(&retention, now.instant);
        });
        self.announce(slot);
        self.arm(slot);
    }

    pub(super) fn skip_replica(&mut self, replica: TopicKey, first_seq: u64) {
        let Some(slot) = self.live(replica) else { return };
        self.change_log(slot, |log| log.skip_to(first_seq));
        self.announce(slot);
        self.arm(slot);
    }

    pub(super) fn reset_replica(&mut self, replica: TopicKey, epoch: Epoch) {
        let Some(slot) = self.live(replica) else { return };
        self.change_log(slot, |log| log.reset(epoch, 1));
        if let Role::Follower(Replica::Live { good_from, .. }) =
            &mut self.topics[slot as usize].role
        {
            *good_from = 1;
        }
        self.announce(slot);
        self.arm(slot);
    }
}
