//! How topics age: messages that are too old go, and so do topics that nobody uses.

use super::backed::Backed;
use super::follower::Replica;
use super::mail::Mail;
use super::{Hub, Role};
use crate::limits::REPLICA_IDLE_MS;
use crate::time::Instant;

impl Hub {
    /// Sets the topic's timer to the next moment at which something has to be done about it.
    pub(super) fn arm(&mut self, slot: u32) {
        let retention = self.retention(slot);
        let topic = &self.topics[slot as usize];
        let mut deadline = topic.log.oldest_expires(&retention);
        if topic.seats.is_empty() {
            deadline = deadline.min(match &topic.role {
                // It is armed again when the owner has answered.
                Role::Follower(Replica::Syncing) => Instant::NEVER,
                Role::Follower(_) => topic.used_at + REPLICA_IDLE_MS,
                Role::Owner(owned) if owned.has_followers() => Instant::NEVER,
                // What is kept outside can be had again.
                Role::Owner(owned) if owned.backed().is_some() => topic.used_at + REPLICA_IDLE_MS,
                Role::Owner(_) if !topic.log.is_empty() => Instant::NEVER,
                Role::Owner(_) => topic.used_at + self.topic_idle_ms,
            });
        }
        if let Role::Owner(owned) = &topic.role {
            deadline = deadline.min(owned.answers_due());
            deadline = deadline.min(owned.backed().map_or(Instant::NEVER, Backed::check_at));
        }
        self.timers.set(slot, deadline);
    }

    pub(super) fn is_forgettable(&self, slot: u32, now: Instant) -> bool {
        let topic = &self.topics[slot as usize];
        topic.seats.is_empty()
            && match &topic.role {
                Role::Follower(replica) => {
                    !matches!(replica, Replica::Syncing)
                        && now.since(topic.used_at) >= REPLICA_IDLE_MS
                }
                Role::Owner(owned) if owned.backed().is_some() => {
                    !owned.has_followers() && now.since(topic.used_at) >= REPLICA_IDLE_MS
                }
                Role::Owner(owned) => {
                    !owned.has_followers()
                        && topic.log.is_empty()
                        && now.since(topic.used_at) >= self.topic_idle_ms
                }
            }
    }

    /// Forgets messages that are too old, or too many since a reload. A topic's idle time begins when it has lost
    /// its last one.
    pub(super) fn trim(&mut self, now: Instant, slot: u32) {
        let had_messages = !self.topics[slot as usize].log.is_empty();
        let retention = self.retention(slot);
        self.change_log(slot, |log| log.trim(&retention, now));
        let topic = &mut self.topics[slot as usize];
        if had_messages && matches!(topic.role, Role::Owner(_)) {
            topic.used_at = now;
        }
    }

    pub(super) fn forget(&mut self, slot: u32) {
        let topic = self.topics.remove(slot as usize);
        self.memory -= topic.log.memory_bytes();
        self.timers.set(slot, Instant::NEVER);
        // A replica that was refused has lost its name already, perhaps to another.
        self.names.remove(&topic.name, slot);
        self.room.release(&topic.role);
        if let (Role::Owner(_), Some(outside)) = (&topic.role, &mut self.outside) {
            outside.leave(topic.name.clone());
        }
        if let Role::Follower(Replica::Live(live)) = topic.role {
            let worker = self.owner_of(&topic.name);
            self.links.send(worker, Mail::Unfollow { topic: live.owner });
        }
    }
}
