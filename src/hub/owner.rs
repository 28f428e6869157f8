//! A topic that this worker owns: it alone assigns sequence numbers, or appends what was sequenced outside
//! (`backed.rs`), and keeps followers supplied.

use std::collections::VecDeque;
use std::sync::Arc;

use super::backed::Backed;
use super::mail::{Mail, TopicKey};
use super::{Hub, Role, Topic};
use crate::limits::FOLLOWER_STALL_MS;
use crate::planted::{Fault, planted};
use crate::time::{Instant, Now};
use crate::topic::{
    Epoch, IdempotencyKey, Message, Outcome, Position, Publishing, Reach, Refusal, Retention,
    Ticket, TopicName,
};

/// What an owner knows of its topic beside the log.
#[derive(Debug, Default)]
pub(super) struct Ownership {
    /// Whether it ever had a message: see `room.rs`.
    pub(super) was_published_to: bool,
    /// The second of the clock in which the topic began.
    pub(super) begun_s: u32,
    /// Apart, as most of a million topics have none.
    following: Option<Box<Following>>,
}

/// Who follows a topic, who waits for that, and what sequences it if it is not this worker.
#[derive(Debug, Default)]
struct Following {
    followers: Vec<Follower>,
    /// Publishes and deletions that are answered when every follower was mailed them, in turn.
    unanswered: VecDeque<Unanswered>,
    backed: Option<Backed>,
}

/// A cursor on the log, for another worker.
#[derive(Debug)]
struct Follower {
    worker: usize,
    replica: TopicKey,
    /// The next message to mail; 0 while it has not been told of the present epoch.
    next: u64,
    /// The next message to mail when it has been told of the epoch; 0: it has none that is good any more.
    resume: u64,
    /// Whether it is in its link's backlog, waiting for credit.
    waiting: bool,
}

#[derive(Debug)]
struct Unanswered {
    /// What every follower must have been mailed: this message, or with 0 the present epoch.
    sequence: u64,
    since: Instant,
    /// The worker of the publisher.
    worker: usize,
    ticket: Ticket,
    outcome: Outcome,
}

impl Ownership {
    /// Of a topic that begins now.
    pub(super) fn begin(now: Instant) -> Self {
        let begun_s = u32::try_from(now.as_ms() / 1_000).unwrap_or(u32::MAX);
        Self { begun_s, ..Self::default() }
    }

    /// Whether other workers follow the topic, or want to, or a publish waits for it to be heard.
    pub(super) fn has_followers(&self) -> bool {
        self.following.as_ref().is_some_and(|following| {
            let is_wanted = following
                .backed
                .as_ref()
                .is_some_and(|backed| backed.has_applicants() || !following.unanswered.is_empty());
            !following.followers.is_empty() || is_wanted
        })
    }

    /// What there is to know of a topic that is sequenced outside.
    pub(super) fn backed(&self) -> Option<&Backed> {
        self.following.as_ref().and_then(|following| following.backed.as_ref())
    }

    /// The same, to be changed.
    pub(super) fn backed_mut(&mut self) -> Option<&mut Backed> {
        self.following.as_mut().and_then(|following| following.backed.as_mut())
    }

    /// From now on the topic is sequenced outside.
    pub(super) fn set_backed(&mut self, backed: Backed) {
        self.following.get_or_insert_default().backed = Some(backed);
    }

    /// Forgets what a worker asked for that has failed since. Whether it followed the topic.
    pub(super) fn forget_worker(&mut self, worker: usize) -> bool {
        let Some(following) = &mut self.following else { return false };
        following.unanswered.retain(|unanswered| unanswered.worker != worker);
        following.backed.iter_mut().for_each(|backed| backed.forget_worker(worker));
        let before = following.followers.len();
        following.followers.retain(|follower| follower.worker != worker);
        following.followers.len() < before
    }

    /// When the oldest unanswered publish is answered, whatever its followers do.
    pub(super) fn answers_due(&self) -> Instant {
        let oldest = self.following.as_ref().and_then(|following| following.unanswered.front());
        oldest.map_or(Instant::NEVER, |oldest| oldest.since + FOLLOWER_STALL_MS)
    }

    /// Pretends that every follower was mailed all that is before `next`.
    #[cfg(test)]
    pub(super) fn start_followers_at(&mut self, next: u64) {
        self.followers_mut().for_each(|follower| follower.next = next);
    }

    fn followers_mut(&mut self) -> impl Iterator<Item = &mut Follower> {
        self.following.iter_mut().flat_map(|following| &mut following.followers)
    }

    /// The first message that some follower was not mailed yet; 0 if one does not know of the epoch.
    fn mailed_up_to(&self) -> u64 {
        let followers = self.following.iter().flat_map(|following| &following.followers);
        followers.map(|follower| follower.next).min().unwrap_or(u64::MAX)
    }

    /// Holds no memory for followers when there are none and nobody waits.
    fn shrink(&mut self) {
        let is_vain = |it: &mut Box<Following>| {
            it.followers.is_empty() && it.unanswered.is_empty() && it.backed.is_none()
        };
        self.following.take_if(is_vain);
    }
}

impl Hub {
    /// Sequences a message of a topic that this worker owns. `from` is the publisher's worker.
    pub(super) fn publish_here(
        &mut self,
        now: Now,
        from: usize,
        topic: &TopicName,
        message: &Arc<Message>,
        key: Option<&IdempotencyKey>,
        ticket: Ticket,
    ) -> Publishing {
        if self.outside.is_some() {
            return self.publish_outside(from, topic, message, key, ticket);
        }
        if let Some(position) =
            key.and_then(|key| self.remembered.position(now.instant, topic, key))
        {
            return match self.slot_of(topic) {
                Some(slot) if planted(Fault::AnswersRepeatAnew) => {
                    Publishing::Done(Ok(self.topics[slot as usize].log.head()))
                }
                Some(slot) => self.acknowledge(now, slot, from, ticket, position),
                None => Publishing::Done(Ok(position)),
            };
        }
        let slot = match self.admit(now.instant, topic, message) {
            Ok(slot) => slot,
            Err(refusal) => return Publishing::Done(Err(refusal)),
        };
        if self.topics[slot as usize].log.is_used_up() {
            self.begin_epoch(now, slot);
        }
        let retention = self.retention(slot);
        let position = self.change_log(slot, |log| {
            log.append(Arc::clone(message), now.instant);
            let head = log.head();
            log.trim(&retention, now.instant);
            head
        });
        self.appended_bytes += message.payload().len() as u64;
        if let Some(key) = key {
            self.remembered.insert(now.instant, topic.clone(), key.clone(), position);
        }
        self.announce(slot, now.instant);
        self.supply_followers(slot);
        self.acknowledge(now, slot, from, ticket, position)
    }

    /// Answers a publish if every follower was mailed its message; else it is answered when they were.
    pub(super) fn acknowledge(
        &mut self,
        now: Now,
        slot: u32,
        worker: usize,
        ticket: Ticket,
        position: Position,
    ) -> Publishing {
        let topic = &mut self.topics[slot as usize];
        let is_known = topic.log.covers(position);
        let Role::Owner(owned) = &mut topic.role else { unreachable!("a topic of our own") };
        let sequence = position.sequence;
        let is_mailed = owned.mailed_up_to() > sequence || planted(Fault::AcknowledgesBeforeMailed);
        // What is not in the log is gone, or has not been heard of yet.
        let answer_now = if is_known { is_mailed } else { owned.backed().is_none() };
        if !answer_now {
            let (since, outcome) = (now.instant, Ok(position));
            let unanswered = Unanswered { sequence, since, worker, ticket, outcome };
            owned.following.get_or_insert_default().unanswered.push_back(unanswered);
        }
        self.arm(slot);
        if answer_now { Publishing::Done(Ok(position)) } else { Publishing::Pending }
    }

    /// The topic's slot, if the message may be appended to it.
    fn admit(
        &mut self,
        now: Instant,
        topic: &TopicName,
        message: &Message,
    ) -> Result<u32, Refusal> {
        let slot = self.slot_of(topic);
        self.check_size(topic, slot, message)?;
        self.begin_spoken(now, topic, slot)
    }

    /// Whether there is room for the message; returns how much its topic retains.
    pub(super) fn check_size(
        &mut self,
        topic: &TopicName,
        slot: Option<u32>,
        message: &Message,
    ) -> Result<Retention, Refusal> {
        let retention = match slot {
            Some(slot) => self.retention(slot),
            None => self.rules.retention(self.rules.settle(topic)),
        };
        if message.cost_bytes() > retention.bytes {
            return Err(Refusal::LargerThanLog);
        }
        if self.memory + message.cost_bytes() > self.memory_max {
            return Err(Refusal::MemoryUsedUp);
        }
        Ok(retention)
    }

    /// Begins a new epoch of a topic that this worker owns.
    pub(super) fn delete_here(
        &mut self,
        now: Now,
        from: usize,
        topic: &TopicName,
        ticket: Ticket,
    ) -> Publishing {
        if self.outside.is_some() {
            return self.delete_outside(from, topic, ticket);
        }
        let Some(slot) = self.slot_of(topic) else {
            return Publishing::Done(Err(Refusal::NoSuchTopic));
        };
        let epoch = self.begin_epoch(now, slot);
        self.acknowledge(now, slot, from, ticket, Position { epoch, sequence: 0 })
    }

    /// Empties the log of a topic of our own, and tells everybody that what was there is gone.
    fn begin_epoch(&mut self, now: Now, slot: u32) -> Epoch {
        let mut epoch = Epoch::from_random(self.random.u64(..));
        if planted(Fault::DeletionKeepsEpoch) {
            epoch = self.topics[slot as usize].log.epoch();
        }
        let life = self.topics[slot as usize].log.life();
        self.change_log(slot, |log| log.reset(epoch, 1));
        self.turn_followers(slot, life);
        let topic = &mut self.topics[slot as usize];
        topic.used_at = now.instant;
        if let Role::Owner(owned) = &mut topic.role {
            // Their messages are gone: all that there is to wait for is the news of it.
            let unanswered = owned.following.iter_mut().flat_map(|it| &mut it.unanswered);
            unanswered.for_each(|unanswered| unanswered.sequence = 0);
        }
        self.announce(slot, Instant::NEVER);
        self.supply_followers(slot);
        self.release_answers(now, slot, false);
        epoch
    }

    /// Another epoch has begun: followers are told before anything else. `life` is the log's before it.
    pub(super) fn turn_followers(&mut self, slot: u32, life: u32) {
        let Topic { log, role, .. } = &mut self.topics[slot as usize];
        let Role::Owner(owned) = role else { return };
        for follower in owned.followers_mut() {
            let at = if follower.next == 0 { follower.resume } else { follower.next };
            let good_until = (at > 0).then(|| log.good_until(life, at)).flatten();
            (follower.next, follower.resume) = (0, good_until.unwrap_or_default());
        }
    }

    /// Begins to supply a replica: first with what is retained.
    pub(super) fn add_follower(
        &mut self,
        now: Now,
        worker: usize,
        topic: &TopicName,
        replica: TopicKey,
        again: bool,
    ) {
        let slot = match self.slot_of(topic) {
            Some(slot) => slot,
            // It was there, and counted, when the subscribers came: they cannot be refused any more.
            None if again => self.begin_again(now.instant, topic),
            None => match self.begin_silent(now.instant, topic) {
                Ok(slot) => slot,
                Err(refusal) => {
                    self.links.send(worker, Mail::FollowRefused { replica, refusal });
                    return;
                }
            },
        };
        if self.let_apply(slot, worker, replica) {
            self.supply_replica(slot, worker, replica);
        }
        self.arm(slot);
    }

    /// Begins to supply a replica of a topic that is there.
    pub(super) fn supply_replica(&mut self, slot: u32, worker: usize, replica: TopicKey) {
        let topic = self.key(slot);
        let entry = &mut self.topics[slot as usize];
        let (history, first_seq, next_seq) =
            (Box::new(entry.log.history()), entry.log.first_seq(), entry.log.next_seq());
        let Role::Owner(owned) = &mut entry.role else {
            unreachable!("only the owner of a topic is asked to be followed")
        };
        let follower = Follower { worker, replica, next: first_seq, resume: 0, waiting: false };
        owned.following.get_or_insert_default().followers.push(follower);
        self.links.send(worker, Mail::Followed { replica, topic, history, first_seq, next_seq });
        self.supply_followers(slot);
    }

    /// Tells a follower how far the log is.
    pub(super) fn answer(
        &mut self,
        worker: usize,
        topic: TopicKey,
        replica: TopicKey,
        number: u32,
    ) {
        let Some(slot) = self.live(topic) else { return };
        if self.let_ask(slot, worker, replica, number) {
            self.answer_follower(slot, worker, replica, number);
        }
    }

    /// Tells a follower how far the log is now.
    pub(super) fn answer_follower(
        &mut self,
        slot: u32,
        worker: usize,
        replica: TopicKey,
        number: u32,
    ) {
        let Reach { epoch, next_seq } = self.topics[slot as usize].log.reach();
        self.links.send(worker, Mail::Reached { replica, number, epoch, next_seq });
    }

    pub(super) fn remove_follower(&mut self, now: Now, worker: usize, topic: TopicKey) {
        let Some(slot) = self.live(topic) else { return };
        let topic = &mut self.topics[slot as usize];
        if let Role::Owner(owned) = &mut topic.role {
            if let Some(following) = &mut owned.following {
                following.followers.retain(|follower| follower.worker != worker);
            }
            topic.used_at = now.instant;
        }
        self.release_answers(now, slot, false);
        self.arm(slot);
    }

    /// A follower's worker took in what it was sent; whoever waits there goes on, in turn.
    pub(super) fn handle_credit(&mut self, now: Now, worker: usize, units: u32) {
        self.links.to(worker).credit += i64::from(units);
        while self.links.to(worker).credit > 0 {
            let Some(key) = self.links.to(worker).backlog.pop_front() else { return };
            let Some(slot) = self.live(key) else { continue };
            self.supply(slot, worker);
            self.release_answers(now, slot, false);
        }
    }

    /// Mails every follower what it has not got, as far as its worker has credit.
    pub(super) fn supply_followers(&mut self, slot: u32) {
        for index in 0.. {
            let Role::Owner(owned) = &self.topics[slot as usize].role else { return };
            let followers = owned.following.as_ref().map(|following| &following.followers);
            let Some(follower) = followers.and_then(|followers| followers.get(index)) else {
                return;
            };
            if !follower.waiting {
                let worker = follower.worker;
                self.supply(slot, worker);
            }
        }
    }

    /// Mails the follower at `worker` what it has not got; without credit it waits in the backlog.
    fn supply(&mut self, slot: u32, worker: usize) {
        let key = self.key(slot);
        let topic = &mut self.topics[slot as usize];
        let Role::Owner(owned) = &mut topic.role else { return };
        let is_filled = owned.backed().is_none_or(Backed::is_filled);
        let Some(follower) = owned.followers_mut().find(|follower| follower.worker == worker)
        else {
            return;
        };
        if !is_filled {
            // It has come out of the backlog, if it was there: it is supplied when the log has been read.
            follower.waiting = false;
            return;
        }
        let replica = follower.replica;
        let first_seq = topic.log.first_seq();
        if planted(Fault::ForgetsReset) {
            follower.next = follower.next.max(1);
        }
        loop {
            let (mail, next) = if follower.next == 0 {
                let (history, good_until) = (Box::new(topic.log.history()), follower.resume);
                (Mail::Reset { replica, history, good_until }, good_until.max(1))
            } else if follower.next < first_seq {
                (Mail::Skip { replica, first_seq }, first_seq)
            } else if let Some((message, appended_at)) = topic.log.entry(follower.next) {
                let message = Arc::clone(message);
                (Mail::Append { replica, message, appended_at }, follower.next + 1)
            } else {
                break;
            };
            let link = self.links.to(worker);
            if link.credit <= 0 {
                link.backlog.push_back(key);
                follower.waiting = true;
                return;
            }
            link.credit -= i64::from(mail.credit_units());
            self.links.send(worker, mail);
            follower.next = next;
        }
        follower.waiting = false;
    }

    /// Answers publishes whose message every follower was mailed, and with `overdue` also those that
    /// waited too long.
    pub(super) fn release_answers(&mut self, now: Now, slot: u32, overdue: bool) {
        let Topic { log, role, .. } = &mut self.topics[slot as usize];
        let Role::Owner(owned) = role else { return };
        let mailed_up_to = owned.mailed_up_to();
        let Some(following) = &mut owned.following else { return };
        let is_backed = following.backed.is_some();
        while let Some(oldest) = following.unanswered.front() {
            let late = overdue && now.instant.since(oldest.since) >= FOLLOWER_STALL_MS;
            let is_known = |position| !is_backed || log.covers(position);
            let is_mailed = oldest.sequence < mailed_up_to && oldest.outcome.is_ok_and(is_known);
            if !is_mailed && !late {
                break;
            }
            let Some(Unanswered { worker, ticket, outcome, .. }) = following.unanswered.pop_front()
            else {
                break;
            };
            if worker == self.worker {
                self.answers.push_back((ticket, outcome));
            } else {
                self.links.send(worker, Mail::Answer { ticket, outcome });
            }
        }
        owned.shrink();
    }
}
