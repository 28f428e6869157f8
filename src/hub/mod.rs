//! The topics of one worker: those that it owns and sequences, and replicas of those it follows.
//!
//! A topic has one owner worker, chosen by a hash of its name. A worker whose connections subscribe to a
//! topic of another's follows it: it holds a replica of the log, which the owner supplies through mail,
//! message by message, as far as there is credit. Publishing to such a topic is mail to the owner.
//!
//! Invariant: a publish is answered only when the message is in the channel of every follower (but for one
//! that has been without credit for a second, or whose channel has no room). So whoever reads after the
//! answer, on any worker, finds it in the log.

mod ageing;
mod backed;
mod follower;
mod idempotency;
mod links;
mod mail;
mod names;
mod outside;
mod owner;
mod questions;
mod restart;
mod room;
mod rules;
mod seats;
mod sights;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use fastrand::Rng;
use slab::Slab;

pub use self::mail::{Mail, TopicKey, credit_units};
pub use self::sights::Sight;

use self::follower::Replica;
use self::idempotency::Remembered;
use self::links::Links;
use self::names::Names;
use self::outside::Outside;
use self::owner::Ownership;
use self::room::Room;
use self::rules::{Ruled, Rules};
use self::seats::Seats;
use crate::buffer::Chunk;
use crate::config::Config;
use crate::counters::{HubGauges, Walked};
use crate::key::ConnectionKey;
use crate::limits::Budgets;
use crate::planted::{Fault, planted};
use crate::time::{Instant, Now};
use crate::timers::Timers;
use crate::topic::{
    Encoded, Epoch, Format, IdempotencyKey, Log, Message, Outcome, Position, Publishing, Reach,
    Refusal, Ticket, TopicId, TopicName, Topics, View,
};

/// All topics that one worker owns or follows.
#[derive(Debug)]
pub struct Hub {
    worker: usize,
    workers: usize,
    random: Rng,
    rules: Rules,
    topic_idle_ms: u64,
    budgets: Budgets,
    memory_max: usize,
    topics: Slab<Topic>,
    names: Names,
    room: Room,
    next_generation: u32,
    /// Invariant: the sum of the logs' `memory_bytes`.
    memory: usize,
    remembered: Remembered,
    links: Links,
    /// What sequences the topics, if it is not this worker.
    outside: Option<Box<Outside>>,
    /// Questions to owners so far: see [`Topics::ask`].
    questions: u32,
    /// Topics with a walk past their subscribers to do, in turn.
    walks: VecDeque<u32>,
    /// Deliveries of the first of them in its present turn.
    turn: u32,
    timers: Timers,
    answers: VecDeque<(Ticket, Outcome)>,
    /// When this tick began.
    tick: Instant,
    /// Walks that have ended in it.
    walked: Vec<Walked>,
    /// Seats that are taken, over all topics.
    subscribed: usize,
    /// Bytes of payloads that were appended to topics of our own and not asked for yet.
    appended_bytes: u64,
}

#[derive(Debug)]
struct Topic {
    name: TopicName,
    generation: u32,
    ruled: Ruled,
    log: Log,
    seats: Seats,
    role: Role,
    /// When it last had a reason to be kept.
    used_at: Instant,
}

#[derive(Debug)]
enum Role {
    Owner(Ownership),
    Follower(Replica),
}

impl Hub {
    /// The hub of worker number `worker` of `config.workers`. All hubs of a server get the same
    /// `hash_seed`, each its own `random`.
    pub fn new(config: &Config, worker: usize, hash_seed: u64, random: Rng) -> Self {
        let limits = &config.limits;
        Self {
            worker,
            workers: config.workers,
            random,
            rules: Rules::new(config),
            topic_idle_ms: limits.topic_idle_ms,
            budgets: config.budgets,
            memory_max: config.share(limits.memory_bytes_max),
            topics: Slab::new(),
            names: Names::new(hash_seed),
            room: Room::new(config),
            next_generation: 0,
            memory: 0,
            remembered: Remembered::new(
                limits.idempotency_window_ms,
                limits.idempotency_keys_max as usize,
            ),
            links: Links::new(config.workers, &config.budgets),
            outside: Outside::new(config),
            questions: 0,
            walks: VecDeque::new(),
            turn: 0,
            timers: Timers::default(),
            answers: VecDeque::new(),
            tick: Instant::default(),
            walked: Vec::new(),
            subscribed: 0,
            appended_bytes: 0,
        }
    }

    /// Begins a tick.
    pub fn begin_tick(&mut self, now: Instant) {
        self.tick = now;
    }

    /// Bytes of payloads that were appended to topics of our own since this was asked last.
    pub fn take_appended_bytes(&mut self) -> u64 {
        std::mem::take(&mut self.appended_bytes)
    }

    /// A walk past a topic's subscribers that has ended since the last was asked for.
    pub fn poll_walked(&mut self) -> Option<Walked> {
        self.walked.pop()
    }

    /// Takes in a letter from another worker.
    pub fn handle_mail(&mut self, now: Now, from: usize, mail: Mail) {
        // The replica may be gone by now; its credit is given back all the same.
        self.links.to(from).consume(mail.credit_units());
        match mail {
            Mail::Publish { topic, message, key, ticket } => {
                let publishing =
                    self.publish_here(now, from, &topic, &message, key.as_ref(), ticket);
                self.answer_unless_pending(from, ticket, publishing);
            }
            Mail::Delete { topic, ticket } => {
                let publishing = self.delete_here(now, from, &topic, ticket);
                self.answer_unless_pending(from, ticket, publishing);
            }
            Mail::Answer { ticket, outcome } => {
                self.links.to(from).forwarded.remove(&ticket);
                self.answers.push_back((ticket, outcome));
            }
            Mail::Follow { topic, replica, again } => {
                self.add_follower(now, from, &topic, replica, again);
            }
            Mail::Unfollow { topic } => self.remove_follower(now, from, topic),
            Mail::Credit { units } => self.handle_credit(now, from, units),
            Mail::Followed { replica, topic, history, first_seq, next_seq } => {
                self.begin_replica(replica, topic, *history, first_seq, next_seq);
            }
            Mail::FollowRefused { replica, refusal } => self.refuse_replica(replica, refusal),
            Mail::Append { replica, message, appended_at } => {
                self.append_to_replica(now, replica, message, appended_at);
            }
            Mail::Skip { replica, first_seq } => self.skip_replica(replica, first_seq),
            Mail::Reset { replica, history, good_until } => {
                self.reset_replica(replica, *history, good_until);
            }
            Mail::Question { topic, replica, number } => self.answer(from, topic, replica, number),
            Mail::Reached { replica, number, epoch, next_seq } => {
                self.note_reach(replica, number, Reach { epoch, next_seq });
            }
        }
    }

    /// The next letter to send, and to whom.
    pub fn poll_mail(&mut self) -> Option<(usize, Mail)> {
        self.links.poll()
    }

    /// Whether [`Hub::poll_mail`] has something.
    pub fn has_mail(&self) -> bool {
        self.links.waiting() > 0
    }

    /// Takes back a letter from [`Hub::poll_mail`] that could not be sent; it is the next one to go there.
    pub fn give_back(&mut self, worker: usize, mail: Mail) {
        self.links.give_back(worker, mail);
    }

    /// The next outcome of a publish or deletion that was [`Publishing::Pending`].
    pub fn poll_answer(&mut self) -> Option<(Ticket, Outcome)> {
        self.answers.pop_front()
    }

    /// Whether [`Hub::poll_answer`] has more.
    pub fn has_answers(&self) -> bool {
        !self.answers.is_empty()
    }

    /// The slot of the next connection for which there may be something new. Topics take turns, so that
    /// a huge fan-out holds up no other.
    pub fn poll_delivery(&mut self) -> Option<u32> {
        loop {
            let slot = *self.walks.front()?;
            let Some(topic) =
                self.topics.get_mut(slot as usize).filter(|topic| topic.seats.is_queued())
            else {
                self.walks.pop_front();
                self.turn = 0;
                continue;
            };
            let next = topic.seats.next();
            self.turn += 1;
            if next.is_none() || self.turn >= self.budgets.deliveries_per_turn {
                self.turn = 0;
                self.walks.pop_front();
                if next.is_some() {
                    self.walks.push_back(slot);
                } else {
                    self.end_walk(slot);
                }
            }
            if next.is_some() {
                return next;
            }
        }
    }

    /// Everybody was visited; what was appended meanwhile begins another walk.
    fn end_walk(&mut self, slot: u32) {
        let (again, ended) = self.topics[slot as usize].seats.end_walk(self.tick);
        self.walked.extend(ended);
        if again {
            self.walks.push_back(slot);
        } else {
            self.change_log(slot, Log::forget_runs);
        }
    }

    /// Whether [`Hub::poll_delivery`] has more.
    pub fn has_deliveries(&self) -> bool {
        !self.walks.is_empty()
    }

    /// Forgets what is too old. Returns whether the budget was used up.
    pub fn handle_timers(&mut self, now: Now) -> bool {
        let sweeps_on = self.sweep(now.instant);
        for _ in 0..self.budgets.timers_per_tick {
            let Some(slot) = self.timers.poll(now.instant) else { return sweeps_on };
            self.release_answers(now, slot, true);
            self.check(now.instant, slot);
            self.trim(now.instant, slot);
            if self.is_forgettable(slot, now.instant) {
                self.forget(slot);
            } else {
                self.arm(slot);
            }
        }
        true
    }

    /// When [`Hub::handle_timers`] should be called next.
    pub fn next_deadline(&self) -> Instant {
        self.timers.next_deadline()
    }

    /// Numbers for metrics.
    pub fn gauges(&self) -> HubGauges {
        HubGauges {
            topics: self.room.owned(),
            replicas: self.topics.len() - self.room.owned(),
            subscribed: self.subscribed,
            memory_bytes: self.memory,
            mail_waiting: self.links.waiting(),
        }
    }

    fn owner_of(&self, topic: &TopicName) -> usize {
        if self.workers == 1 { self.worker } else { self.names.owner(topic, self.workers) }
    }

    /// The slot of the topic with that name.
    fn slot_of(&self, topic: &TopicName) -> Option<u32> {
        self.names.slot(&self.topics, topic)
    }

    fn key(&self, slot: u32) -> TopicKey {
        TopicKey { slot, generation: self.topics[slot as usize].generation }
    }

    /// The topic's slot if the key is not stale.
    fn live(&self, key: TopicKey) -> Option<u32> {
        let topic = self.topics.get(key.slot as usize)?;
        (topic.generation == key.generation).then_some(key.slot)
    }

    fn insert(&mut self, now: Instant, name: &TopicName, role: Role) -> u32 {
        let epoch = Epoch::from_random(self.random.u64(..));
        let generation = self.next_generation;
        self.next_generation = self.next_generation.wrapping_add(1);
        let log = match role {
            Role::Owner(_) => Log::new(epoch, 1),
            Role::Follower(_) => Log::replica(),
        };
        let topic = Topic {
            name: name.clone(),
            generation,
            ruled: self.rules.settle(name),
            log,
            seats: Seats::default(),
            role,
            used_at: now,
        };
        let slot = u32::try_from(self.topics.insert(topic)).expect("topics are counted in 32 bits");
        self.names.insert(name, slot);
        self.arm(slot);
        slot
    }

    /// Changes a log and keeps count of the memory.
    fn change_log<T>(&mut self, slot: u32, change: impl FnOnce(&mut Log) -> T) -> T {
        let log = &mut self.topics[slot as usize].log;
        let before = log.memory_bytes();
        let result = change(log);
        self.memory = self.memory - before + log.memory_bytes();
        if planted(Fault::KeepsMemory) {
            self.memory += before.saturating_sub(log.memory_bytes());
        }
        result
    }

    /// Starts a walk past the topic's subscribers, if there are any, because of a message that was appended
    /// then, or (never) of something else.
    fn announce(&mut self, slot: u32, appended_at: Instant) {
        if self.topics[slot as usize].seats.begin_walk(self.tick, appended_at) {
            self.walks.push_back(slot);
        }
    }

    /// Has some of the topic's subscribers visited.
    fn call(&mut self, slot: u32, seats: BTreeSet<u32>) {
        if self.topics[slot as usize].seats.call(seats) {
            self.walks.push_back(slot);
        }
    }

    fn answer_unless_pending(&mut self, to: usize, ticket: Ticket, publishing: Publishing) {
        if let Publishing::Done(outcome) = publishing {
            self.links.send(to, Mail::Answer { ticket, outcome });
        }
    }

    /// Sends a publish or deletion to the owner, if not too many are under way there.
    fn forward(&mut self, owner: usize, ticket: Ticket, mail: impl FnOnce() -> Mail) -> Publishing {
        let link = self.links.to(owner);
        if !link.may_forward() {
            return Publishing::Busy;
        }
        link.forwarded.insert(ticket);
        self.links.send(owner, mail());
        Publishing::Pending
    }
}

impl Topics for Hub {
    fn publish(
        &mut self,
        now: Now,
        topic: &TopicName,
        message: &Arc<Message>,
        key: Option<&IdempotencyKey>,
        ticket: Ticket,
    ) -> Publishing {
        let owner = self.owner_of(topic);
        if owner == self.worker {
            return self.publish_here(now, owner, topic, message, key, ticket);
        }
        let publishing = self.forward(owner, ticket, || Mail::Publish {
            topic: topic.clone(),
            message: Arc::clone(message),
            key: key.cloned(),
            ticket,
        });
        if planted(Fault::AcknowledgesBeforeSequenced)
            && let Some(View::Live(log)) = self.slot_of(topic).map(|it| self.view(TopicId(it)))
        {
            let (epoch, sequence) = (log.epoch(), log.next_seq());
            return Publishing::Done(Ok(Position { epoch, sequence }));
        }
        publishing
    }

    fn delete(&mut self, now: Now, topic: &TopicName, ticket: Ticket) -> Publishing {
        let owner = self.owner_of(topic);
        if owner == self.worker {
            return self.delete_here(now, owner, topic, ticket);
        }
        self.forward(owner, ticket, || Mail::Delete { topic: topic.clone(), ticket })
    }

    fn subscribe(
        &mut self,
        now: Now,
        topic: &TopicName,
        subscriber: ConnectionKey,
    ) -> Result<(TopicId, u32), Refusal> {
        let slot = match self.slot_of(topic) {
            Some(slot) => slot,
            None if self.owner_of(topic) == self.worker => self.begin_silent(now.instant, topic)?,
            None => self.follow(now.instant, topic)?,
        };
        let seat = self.topics[slot as usize].seats.take(subscriber.slot);
        self.subscribed += 1;
        self.arm(slot);
        Ok((TopicId(slot), seat))
    }

    fn unsubscribe(&mut self, now: Now, topic: TopicId, seat: u32) {
        let entry = &mut self.topics[topic.0 as usize];
        entry.seats.leave(seat);
        self.subscribed -= 1;
        if entry.seats.is_empty() {
            entry.used_at = now.instant;
            self.arm(topic.0);
        }
    }

    fn is_cut_off(&self) -> bool {
        self.outside.as_ref().is_some_and(|outside| !outside.is_reachable())
    }

    fn memory_left(&self) -> usize {
        self.memory_max.saturating_sub(self.memory)
    }

    fn view(&self, topic: TopicId) -> View<'_> {
        let topic = &self.topics[topic.0 as usize];
        match &topic.role {
            Role::Owner(owned) => match (owned.backed(), &self.outside) {
                (Some(backed), Some(outside)) => backed.view(&topic.log, outside),
                _ => View::Live(&topic.log),
            },
            Role::Follower(replica) => replica.view(&topic.log),
        }
    }

    fn ask(&mut self, topic: TopicId, seat: u32) -> u32 {
        match self.topics[topic.0 as usize].role {
            Role::Owner(_) => self.ask_outside(topic.0, seat),
            Role::Follower(_) => self.ask_owner(topic.0, seat),
        }
    }

    fn answer(&self, topic: TopicId, question: u32) -> Option<Reach> {
        let topic = &self.topics[topic.0 as usize];
        match &topic.role {
            Role::Owner(owned) => match owned.backed() {
                Some(backed) => backed.answer(&topic.log, question),
                None => Some(topic.log.reach()),
            },
            Role::Follower(replica) => replica.answer(question),
        }
    }

    fn name(&self, topic: TopicId) -> &TopicName {
        &self.topics[topic.0 as usize].name
    }

    fn chunk(
        &mut self,
        topic: TopicId,
        sequence: u64,
        format: Format,
        part: fn(&Encoded) -> Chunk,
    ) -> Chunk {
        // Encodings leave room for messages: they can be made again.
        let keep = self.memory < self.memory_max / 2;
        let topic = &mut self.topics[topic.0 as usize];
        let before = topic.log.memory_bytes();
        let chunk = topic.log.chunk(&topic.name, sequence, format, part, keep);
        self.memory += topic.log.memory_bytes() - before;
        chunk
    }

    fn run(
        &mut self,
        topic: TopicId,
        first: u64,
        format: Format,
        bytes_max: usize,
    ) -> Option<(Chunk, u64)> {
        let topic = &mut self.topics[topic.0 as usize];
        // What is joined is forgotten when the walk is over; outside of one nothing would end it.
        if !topic.seats.is_queued() || self.memory >= self.memory_max / 2 {
            return None;
        }
        let before = topic.log.memory_bytes();
        let run = topic.log.run(&topic.name, first, format, bytes_max);
        self.memory = self.memory - before + topic.log.memory_bytes();
        run
    }
}

#[cfg(test)]
mod tests;
