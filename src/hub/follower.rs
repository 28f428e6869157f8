//! A replica: the log of a topic that another worker owns, supplied by mail.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::mail::{Mail, TopicKey};
use super::{Hub, Role};
use crate::planted::{Fault, planted};
use crate::time::{Instant, Now};
use crate::topic::{Epoch, Log, Message, Reach, Refusal, TopicName, View};

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
    /// What the owner was asked.
    questions: Questions,
}

/// How far the owner's log is, as far as somebody here needed to know: one question at a time.
#[derive(Debug)]
pub(super) struct Questions {
    /// The question that was answered last; those before it need no answer any more.
    answered: u32,
    reach: Reach,
    /// The question that is on its way.
    asked: Option<Question>,
    /// The next one, of those who came since.
    wanted: Option<Question>,
}

#[derive(Debug)]
struct Question {
    number: u32,
    /// Who is to be visited when it is answered, and nobody else: a crowd that comes back with old cursors
    /// would otherwise be walked past once for each few that come.
    seats: BTreeSet<u32>,
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
            Self::Live(live) => {
                let Questions { answered, reach, .. } = &live.questions;
                // Numbers wrap; those that wait for an answer are close to each other.
                let is_answered = answered.wrapping_sub(question) <= u32::MAX / 2;
                is_answered.then_some(*reach)
            }
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
        epoch: Epoch,
        first_seq: u64,
        good_from: u64,
    ) {
        let Some(slot) = self.live(replica) else { return };
        self.change_log(slot, |log| log.reset(epoch, first_seq));
        // Whatever was asked before is answered with this.
        let (answered, reach) = (self.questions, Reach { epoch, next_seq: good_from });
        let questions = Questions { answered, reach, asked: None, wanted: None };
        let replica = Replica::Live(Box::new(Live { owner, good_from, questions }));
        self.topics[slot as usize].role = Role::Follower(replica);
        self.announce(slot, Instant::NEVER);
        self.arm(slot);
    }

    /// Asks the owner of a topic how far its log is, or has it asked as soon as it has answered what was
    /// asked before. Returns the number of the question; of a topic of our own any is answered.
    pub(super) fn ask_owner(&mut self, slot: u32, seat: u32) -> u32 {
        let entry = &mut self.topics[slot as usize];
        let Role::Follower(Replica::Live(live)) = &mut entry.role else { return 1 };
        let questions = &mut live.questions;
        if let Some(question) = &mut questions.wanted {
            question.seats.insert(seat);
            return question.number;
        }
        // 0 is for who has not asked.
        self.questions = self.questions.wrapping_add(1).max(1);
        let number = self.questions;
        questions.wanted = Some(Question { number, seats: BTreeSet::from([seat]) });
        if questions.asked.is_none() {
            // All that were asked before were answered. Said anew, as the numbers are those of all topics,
            // and may have gone half around since this one's last.
            questions.answered = number.wrapping_sub(1);
            self.send_question(slot);
        }
        number
    }

    /// The owner has said how far its log is.
    pub(super) fn note_reach(&mut self, replica: TopicKey, number: u32, reach: Reach) {
        let Some(slot) = self.live(replica) else { return };
        let entry = &mut self.topics[slot as usize];
        if let Role::Follower(Replica::Live(live)) = &mut entry.role {
            let questions = &mut live.questions;
            (questions.answered, questions.reach) = (number, reach);
            let answered = questions.asked.take();
            self.send_question(slot);
            self.call(slot, answered.map_or_else(BTreeSet::new, |question| question.seats));
        }
    }

    /// Sends the question that is wanted, if there is one.
    fn send_question(&mut self, slot: u32) {
        let replica = self.key(slot);
        let entry = &mut self.topics[slot as usize];
        let Role::Follower(Replica::Live(live)) = &mut entry.role else { return };
        let (topic, questions) = (live.owner, &mut live.questions);
        questions.asked = questions.wanted.take();
        if let Some(Question { number, .. }) = questions.asked {
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

    pub(super) fn reset_replica(&mut self, replica: TopicKey, epoch: Epoch) {
        let Some(slot) = self.live(replica) else { return };
        self.change_log(slot, |log| log.reset(epoch, 1));
        if let Role::Follower(Replica::Live(live)) = &mut self.topics[slot as usize].role {
            live.good_from = 1;
            // An answer may have come before this, and say how far the epoch is by now.
            if live.questions.reach.epoch != epoch {
                live.questions.reach = Reach { epoch, next_seq: 1 };
            }
        }
        self.announce(slot, Instant::NEVER);
        self.arm(slot);
    }
}
