//! A replica: the log of a topic that another worker owns, supplied by mail.

use std::sync::Arc;

use super::mail::{Mail, TopicKey};
use super::questions::Questions;
use super::{Hub, Role};
use crate::planted::{Fault, planted};
use crate::time::{Instant, Now};
use crate::topic::{History, Log, Message, Reach, Refusal, TopicName, View};

/// How far a replica is.
#[derive(Debug)]
pub(super) enum Replica {
    /// The owner was asked.
    Syncing,
    /// The owner refused; the replica goes when its subscribers have.
    Refused(Refusal),
    /// The owner supplies it.
    Live(Box<Live>),
}

/// What a replica knows of its owner.
#[derive(Debug)]
pub(super) struct Live {
    /// The topic in the owner's hub.
    pub(super) owner: TopicKey,
    /// What was retained when it was followed ends before this; until then it is incomplete.
    good_from: u64,
    /// What the replica's count of its epochs is ahead of the owner's.
    lives_ahead: u32,
    /// What the owner was asked.
    questions: Questions,
}

impl Replica {
    /// What subscribers may see.
    pub(super) fn view<'a>(&self, log: &'a Log) -> View<'a> {
        match self {
            Self::Refused(refusal) => View::Refused(*refusal),
            Self::Live(live) if log.next_seq() >= live.good_from => View::Live(log),
            Self::Syncing if planted(Fault::ShowsReplicaEarly) => View::Live(log),
            Self::Syncing | Self::Live(_) => View::Syncing,
        }
    }

    /// See [`crate::topic::Topics::answer`].
    pub(super) fn answer(&self, question: u32) -> Option<Reach> {
        match self {
            Self::Live(live) => live.questions.answer(question),
            Self::Syncing | Self::Refused(_) => None,
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
        history: History,
        first_seq: u64,
        good_from: u64,
    ) {
        let Some(slot) = self.live(replica) else { return };
        let epoch = history.epoch;
        let life = self.topics[slot as usize].log.life();
        // None of the owner's lives is one that the replica has had, and none is that of nobody.
        let lives_ahead = life.wrapping_add(1);
        self.change_log(slot, |log| {
            log.mirror(history.counted_from(lives_ahead), 0);
            log.skip_to(first_seq);
        });
        // Whatever was asked before is answered with this.
        let questions = Questions::new(self.questions, Reach { epoch, next_seq: good_from });
        let replica = Replica::Live(Box::new(Live { owner, good_from, lives_ahead, questions }));
        self.topics[slot as usize].role = Role::Follower(replica);
        self.announce(slot, Instant::NEVER);
        self.arm(slot);
    }

    /// Asks the owner of a topic how far its log is, or has it asked as soon as it has answered what was
    /// asked before. Returns the number of the question; of a topic of our own any is answered.
    pub(super) fn ask_owner(&mut self, slot: u32, seat: u32) -> u32 {
        let entry = &mut self.topics[slot as usize];
        let Role::Follower(Replica::Live(live)) = &mut entry.role else { return 1 };
        let number = live.questions.want(&mut self.questions, seat);
        if !live.questions.is_asked() {
            self.send_question(slot);
        }
        number
    }

    /// The owner has said how far its log is.
    pub(super) fn note_reach(&mut self, replica: TopicKey, number: u32, reach: Reach) {
        let Some(slot) = self.live(replica) else { return };
        let entry = &mut self.topics[slot as usize];
        if let Role::Follower(Replica::Live(live)) = &mut entry.role {
            let seats = live.questions.note_answer(number, reach);
            self.send_question(slot);
            self.call(slot, seats);
        }
    }

    /// Sends the question that is wanted, if there is one.
    fn send_question(&mut self, slot: u32) {
        let replica = self.key(slot);
        let entry = &mut self.topics[slot as usize];
        let Role::Follower(Replica::Live(live)) = &mut entry.role else { return };
        let topic = live.owner;
        if let Some(number) = live.questions.send() {
            let owner = self.owner_of(&self.topics[slot as usize].name);
            self.links.send(owner, Mail::Question { topic, replica, number });
        }
    }

    pub(super) fn refuse_replica(&mut self, replica: TopicKey, refusal: Refusal) {
        let Some(slot) = self.live(replica) else { return };
        self.topics[slot as usize].role = Role::Follower(Replica::Refused(refusal));
        // Who comes next asks again.
        self.names.remove(&self.topics[slot as usize].name, slot);
        self.announce(slot, Instant::NEVER);
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
        let retention = self.retention(slot);
        let sequence = self.change_log(slot, |log| {
            let sequence = log.append(message, appended_at);
            log.trim(&retention, now.instant);
            sequence
        });
        // What was retained when the topic was followed is no news.
        let is_news = match &self.topics[slot as usize].role {
            Role::Follower(Replica::Live(live)) => sequence >= live.good_from,
            _ => false,
        };
        self.announce(slot, if is_news { appended_at } else { Instant::NEVER });
        self.arm(slot);
    }

    pub(super) fn skip_replica(&mut self, replica: TopicKey, first_seq: u64) {
        let Some(slot) = self.live(replica) else { return };
        self.change_log(slot, |log| log.skip_to(first_seq));
        self.announce(slot, Instant::NEVER);
        self.arm(slot);
    }

    pub(super) fn reset_replica(&mut self, replica: TopicKey, history: History, good_until: u64) {
        let Some(slot) = self.live(replica) else { return };
        let Role::Follower(Replica::Live(live)) = &mut self.topics[slot as usize].role else {
            return;
        };
        let epoch = history.epoch;
        live.good_from = live.good_from.min(good_until.max(1));
        live.questions.note_epoch(Reach { epoch, next_seq: good_until.max(1) });
        let history = history.counted_from(live.lives_ahead);
        self.change_log(slot, |log| log.mirror(history, good_until));
        self.announce(slot, Instant::NEVER);
        self.arm(slot);
    }
}
