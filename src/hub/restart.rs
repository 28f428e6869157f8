//! A worker has panicked and begun anew: what it knew is lost, and so is what was on its way to it.

use super::follower::Replica;
use super::mail::Mail;
use super::{Hub, Role};
use crate::config::Config;
use crate::time::{Instant, Now};
use crate::timers::Timers;
use crate::topic::{Epoch, Refusal};

impl Hub {
    /// The empty hub that takes this one's place.
    pub fn successor(&mut self, config: &Config, now: Instant) -> Self {
        let timers = Timers::starting_at(now);
        Self { timers, ..Self::new(config, self.worker, self.names.seed(), self.random.fork()) }
    }

    /// Another worker has begun anew. Its topics begin another epoch with whoever asks first; here, that
    /// is whoever is subscribed to them.
    pub fn handle_restart(&mut self, now: Now, worker: usize) {
        for ticket in self.links.begin_anew(worker) {
            self.answers.push_back((ticket, Err(Refusal::OwnerFailed)));
        }
        let slots: Vec<u32> = self.topics.iter().map(|(slot, _)| slot as u32).collect();
        for slot in slots {
            let topic = &mut self.topics[slot as usize];
            match &mut topic.role {
                Role::Owner(owned) => {
                    if owned.forget_worker(worker) {
                        topic.used_at = now.instant;
                    }
                    self.release_answers(now, slot, false);
                    self.arm(slot);
                }
                Role::Follower(Replica::Refused(_)) => (),
                Role::Follower(_) => {
                    if self.owner_of(&self.topics[slot as usize].name) == worker {
                        self.follow_again(slot, worker);
                    }
                }
            }
        }
    }

    /// Asks the new incarnation of a topic's owner, if anybody here is subscribed.
    fn follow_again(&mut self, slot: u32, owner: usize) {
        // Whatever life begins now, it is not the one that subscribers have seen: they are told of a gap.
        let again = self.topics[slot as usize].log.life() > 0;
        if again {
            self.change_log(slot, |log| log.reset(Epoch::NONE, 1));
        }
        let replica = self.key(slot);
        let topic = &mut self.topics[slot as usize];
        topic.role = Role::Follower(Replica::Syncing);
        if topic.seats.is_empty() {
            return self.forget(slot);
        }
        let topic = topic.name.clone();
        self.links.send(owner, Mail::Follow { topic, replica, again });
        self.arm(slot);
    }
}
