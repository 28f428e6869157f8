//! A topic of our own that is sequenced outside, by the backplane: how its log keeps up with what others publish.
//!
//! ```text
//!               Listening                    read, up to the head
//!   Joining ──────────────▶ Waiting ─▶ Reading ──────────────────▶ Live
//!                              ▲          │ ▲ more pages             │
//!                              │          └─┘                        │
//!                              └─────────────────────────────────────┘
//!                   a message is missing · Listening again · nothing heard for long · a cursor nobody knows
//! ```
//!
//! First the channel is listened to, then the log is read, then what was heard meanwhile is appended; so
//! nothing falls between. A message that is heard is appended only if it is the next one. If it is not, the log
//! is read before anything later is delivered, and what is not there any more is a gap.
//!
//! Invariant: what is in the log has been sequenced by the backplane, and none is missing between two that are.

use std::collections::VecDeque;
use std::sync::Arc;

use super::mail::{Mail, TopicKey};
use super::outside::Outside;
use super::questions::Questions;
use super::{Hub, Role, Topic};
use crate::limits::{HEAR_MS, HEARD_EARLY_MAX, READ_RETRY_MS};
use crate::time::{Instant, Now};
use crate::topic::{
    Epoch, Log, Message, Page, PageEntry, Position, Reach, Refusal, TopicName, View,
};

/// How far a topic is with what sequences it.
#[derive(Debug)]
pub(super) struct Backed {
    progress: Progress,
    /// The log has been read to its end since it began its life: subscribers may look.
    is_filled: bool,
    /// Some of it has been read.
    has_begun: bool,
    /// It has to be read once more when the present read is done.
    again: bool,
    /// The newest message that is known to be there, of the present epoch.
    known: u64,
    /// Why it could not be read last.
    trouble: Option<Refusal>,
    /// What was heard and cannot be appended yet.
    early: VecDeque<(Position, Heard)>,
    questions: Questions,
    /// Questions of followers: those that the present read answers, and those that the next one does.
    visitors: [Vec<Visitor>; 2],
    /// Workers that want to follow the topic as soon as there is something to see.
    applicants: Vec<(usize, TopicKey)>,
    /// When it is looked at, whatever is heard.
    check_at: Instant,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Progress {
    /// The channel is not listened to yet.
    Joining,
    /// In line to be read.
    Waiting,
    /// Being read.
    Reading,
    /// Nothing is under way.
    Live,
}

/// A follower's question.
#[derive(Debug)]
struct Visitor {
    worker: usize,
    replica: TopicKey,
    number: u32,
}

/// A message, as it came.
#[derive(Debug)]
pub(super) enum Heard {
    /// From the channel.
    Record(Vec<u8>),
    /// Published by this worker.
    Own(Arc<Message>),
}

impl Heard {
    /// The message; `None`: it is not one that this server would have taken.
    fn into_message(self) -> Option<Arc<Message>> {
        match self {
            Self::Own(message) => Some(message),
            Self::Record(record) => Message::parse_record(&record).ok().map(Arc::new),
        }
    }
}

impl Backed {
    fn new() -> Self {
        Self {
            progress: Progress::Joining,
            is_filled: false,
            has_begun: false,
            again: false,
            known: 0,
            trouble: None,
            early: VecDeque::new(),
            questions: Questions::new(0, Reach { epoch: Epoch::NONE, next_seq: 1 }),
            visitors: [Vec::new(), Vec::new()],
            applicants: Vec::new(),
            check_at: Instant::NEVER,
        }
    }

    /// Whether subscribers and followers may look.
    pub(super) fn is_filled(&self) -> bool {
        self.is_filled
    }

    /// Whether a worker waits to follow it.
    pub(super) fn has_applicants(&self) -> bool {
        !self.applicants.is_empty()
    }

    /// When it is to be looked at.
    pub(super) fn check_at(&self) -> Instant {
        self.check_at
    }

    /// A worker has failed: nobody there wants anything any more.
    pub(super) fn forget_worker(&mut self, worker: usize) {
        self.applicants.retain(|(applicant, _)| *applicant != worker);
        self.visitors.iter_mut().for_each(|some| some.retain(|visitor| visitor.worker != worker));
    }

    /// What subscribers may see.
    pub(super) fn view<'a>(&self, log: &'a Log, outside: &Outside) -> View<'a> {
        if self.is_filled {
            return View::Live(log);
        }
        match self.trouble {
            Some(refusal) => View::Refused(refusal),
            None if !outside.is_reachable() => View::Refused(Refusal::RedisAway),
            None => View::Syncing,
        }
    }

    /// See [`crate::topic::Topics::answer`].
    pub(super) fn answer(&self, log: &Log, question: u32) -> Option<Reach> {
        self.questions.answer(question).map(|_| log.reach())
    }

    /// Keeps what cannot be appended yet. What there is no room for is read.
    fn keep(&mut self, position: Position, heard: Heard) {
        if self.early.len() < HEARD_EARLY_MAX {
            self.early.push_back((position, heard));
        } else {
            self.early.clear();
            self.again = true;
        }
    }

    /// Whether somebody waits for the next read.
    fn is_wanted(&self) -> bool {
        self.again || self.questions.is_wanted() || !self.visitors[1].is_empty()
    }
}

impl Hub {
    /// Has a topic of our own that has just begun keep up with the backplane, if there is one.
    pub(super) fn join_outside(&mut self, slot: u32) {
        let Some(outside) = &mut self.outside else { return };
        let topic = &mut self.topics[slot as usize];
        if let Role::Owner(owned) = &mut topic.role {
            owned.set_backed(Backed::new());
            outside.listen(topic.name.clone());
        }
    }

    fn backed_mut(&mut self, slot: u32) -> Option<&mut Backed> {
        match &mut self.topics.get_mut(slot as usize)?.role {
            Role::Owner(owned) => owned.backed_mut(),
            Role::Follower(_) => None,
        }
    }

    /// Whether a worker may follow the topic now; if not, it will be told.
    pub(super) fn let_apply(&mut self, slot: u32, worker: usize, replica: TopicKey) -> bool {
        let is_reachable = self.outside.as_ref().is_none_or(|outside| outside.is_reachable());
        match self.backed_mut(slot) {
            Some(backed) if !backed.is_filled => {
                if is_reachable && backed.trouble.is_none() {
                    backed.applicants.push((worker, replica));
                } else {
                    let refusal = backed.trouble.unwrap_or(Refusal::RedisAway);
                    self.links.send(worker, Mail::FollowRefused { replica, refusal });
                }
                false
            }
            _ => true,
        }
    }

    /// Whether a follower's question may be answered now; if not, it is when the log was read.
    pub(super) fn let_ask(
        &mut self,
        slot: u32,
        worker: usize,
        replica: TopicKey,
        number: u32,
    ) -> bool {
        let Some(backed) = self.backed_mut(slot) else { return true };
        backed.visitors[1].push(Visitor { worker, replica, number });
        self.want_read(slot);
        false
    }

    /// Asks the backplane how far a topic is, for a subscriber. Returns the number of the question.
    pub(super) fn ask_outside(&mut self, slot: u32, seat: u32) -> u32 {
        let mut numbers = self.questions;
        let Some(backed) = self.backed_mut(slot) else { return 1 };
        let number = backed.questions.want(&mut numbers, seat);
        self.questions = numbers;
        self.want_read(slot);
        number
    }

    /// Has the topic read, from now on.
    fn want_read(&mut self, slot: u32) {
        let key = self.key(slot);
        let Some(backed) = self.backed_mut(slot) else { return };
        match backed.progress {
            Progress::Joining | Progress::Waiting => (),
            Progress::Reading => backed.again = true,
            Progress::Live => {
                backed.progress = Progress::Waiting;
                if let Some(outside) = &mut self.outside {
                    outside.put_in_line(key);
                }
            }
        }
    }

    /// From now on the channel of a topic is heard.
    pub(super) fn handle_listening(&mut self, topic: &TopicName) {
        let Some(slot) = self.slot_of(topic) else { return };
        if let Some(backed) = self.backed_mut(slot) {
            if backed.progress == Progress::Joining {
                backed.progress = Progress::Live;
            }
            self.want_read(slot);
        }
    }

    /// Begins to read the topics that are first in line.
    pub(super) fn begin_reads(&mut self) {
        while let Some(key) = self.outside.as_mut().and_then(|outside| outside.next_in_line()) {
            let Some(slot) = self.live(key) else { continue };
            let retention = self.retention(slot);
            let Topic { name, log, role, .. } = &mut self.topics[slot as usize];
            let Role::Owner(owned) = role else { continue };
            let Some(backed) = owned.backed_mut() else { continue };
            if backed.progress != Progress::Waiting {
                continue;
            }
            backed.progress = Progress::Reading;
            backed.again = false;
            backed.questions.send();
            let [asked, wanted] = &mut backed.visitors;
            asked.append(wanted);
            let from = if backed.has_begun { log.next_seq() } else { 0 };
            if let Some(outside) = &mut self.outside {
                outside.read(key, name.clone(), from, retention);
            }
        }
    }

    /// What was read of a topic.
    pub(super) fn handle_page(&mut self, now: Now, key: TopicKey, page: Result<Page, Refusal>) {
        let Some(slot) = self.live(key) else { return };
        let retry_at = now.instant + READ_RETRY_MS / 2 + self.random.u64(..READ_RETRY_MS);
        let Some(backed) = self.backed_mut(slot) else { return };
        backed.progress = Progress::Live;
        match page {
            Ok(page) => {
                backed.trouble = None;
                self.take_page(now, slot, page);
            }
            Err(refusal) => {
                backed.trouble = Some(refusal);
                backed.check_at = retry_at;
                self.refuse_applicants(slot, refusal);
                self.announce(slot, Instant::NEVER);
            }
        }
        self.arm(slot);
    }

    fn take_page(&mut self, now: Now, slot: u32, page: Page) {
        let Page { terms, next_seq, entries } = page;
        let (life, asked_from) = {
            let log = &self.topics[slot as usize].log;
            (log.life(), log.next_seq())
        };
        let is_kin = self.change_log(slot, |log| log.adopt(&terms, next_seq));
        let (new_life, head) = {
            let log = &self.topics[slot as usize].log;
            (log.life(), log.next_seq())
        };
        let Some(backed) = self.backed_mut(slot) else { return };
        let has_begun = std::mem::replace(&mut backed.has_begun, true);
        if !is_kin {
            backed.known = 0;
            if has_begun {
                // It was read from where another life had got to.
                (backed.is_filled, backed.has_begun) = (false, false);
            }
        }
        backed.known = backed.known.max(next_seq - 1);
        if new_life != life {
            self.turn_followers(slot, life);
        }
        if has_begun && (!is_kin || head < asked_from) {
            // It was read from behind where what is there now begins.
            return self.want_read(slot);
        }
        if !has_begun && entries.first().is_some_and(|first| first.sequence > head) {
            // What is not retained any more was never ours to miss.
            self.change_log(slot, |log| log.skip_to(entries[0].sequence));
        }
        let is_all = entries.is_empty();
        self.append_entries(now, slot, entries);
        if is_all && self.topics[slot as usize].log.next_seq() < next_seq {
            self.change_log(slot, |log| log.skip_to(next_seq));
        }
        if self.topics[slot as usize].log.next_seq() < next_seq {
            self.want_read(slot);
        } else {
            self.end_reading(now, slot);
        }
    }

    /// Appends what was read. What is missing in it is missing for good.
    fn append_entries(&mut self, now: Now, slot: u32, entries: Vec<PageEntry>) {
        let age_max = self.retention(slot).age_ms;
        for PageEntry { sequence, age_ms, record } in entries {
            let next_seq = self.topics[slot as usize].log.next_seq();
            if sequence < next_seq {
                continue;
            }
            if sequence > next_seq {
                self.change_log(slot, |log| log.skip_to(sequence));
            }
            // What is too old is as good as trimmed.
            let message = Heard::Record(record).into_message().filter(|_| age_ms < age_max);
            match message {
                Some(message) => self.append_outside(now, slot, message, now.instant - age_ms),
                None => self.change_log(slot, |log| log.skip_to(sequence + 1)),
            }
        }
    }

    fn append_outside(&mut self, now: Now, slot: u32, message: Arc<Message>, at: Instant) {
        let mut retention = self.retention(slot);
        if self.memory + message.cost_bytes() > self.memory_max {
            // Nobody can be refused here: what was published elsewhere makes way for the newest.
            retention.messages = 1;
        }
        self.appended_bytes += message.payload().len() as u64;
        self.change_log(slot, |log| {
            log.append(message, at);
            log.trim(&retention, now.instant);
        });
    }

    /// The log is as far as the backplane was when it was asked.
    fn end_reading(&mut self, now: Now, slot: u32) {
        let mut heard = match self.backed_mut(slot) {
            Some(backed) => std::mem::take(&mut backed.early),
            None => return,
        };
        let next_check = self.next_check(now.instant);
        let Some(backed) = self.backed_mut(slot) else { return };
        backed.is_filled = true;
        backed.check_at = next_check;
        for (position, message) in heard.drain(..) {
            self.hear(now, slot, position, message);
        }
        let reach = self.topics[slot as usize].log.reach();
        let Some(backed) = self.backed_mut(slot) else { return };
        let (visitors, applicants) =
            (std::mem::take(&mut backed.visitors[0]), std::mem::take(&mut backed.applicants));
        let asked = backed.questions.asked();
        let seats = asked.map(|number| backed.questions.note_answer(number, reach));
        let is_wanted = backed.is_wanted();
        for Visitor { worker, replica, number } in visitors {
            self.answer_follower(slot, worker, replica, number);
        }
        for (worker, replica) in applicants {
            self.supply_replica(slot, worker, replica);
        }
        self.spread(now, slot, Instant::NEVER);
        if let Some(seats) = seats {
            self.call(slot, seats);
        }
        if is_wanted {
            self.want_read(slot);
        }
    }

    /// Tells everybody of what was appended.
    fn spread(&mut self, now: Now, slot: u32, appended_at: Instant) {
        self.announce(slot, appended_at);
        self.supply_followers(slot);
        self.release_answers(now, slot, false);
    }

    /// A message was published, here or elsewhere.
    pub(super) fn handle_heard(
        &mut self,
        now: Now,
        topic: &TopicName,
        position: Position,
        heard: Heard,
    ) {
        let Some(slot) = self.slot_of(topic) else { return };
        let Some(backed) = self.backed_mut(slot) else { return };
        if position.sequence == 0 {
            // The topic was emptied, and has begun anew.
            return self.want_read(slot);
        }
        if !backed.is_filled || backed.progress != Progress::Live {
            return backed.keep(position, heard);
        }
        let before = self.topics[slot as usize].log.next_seq();
        self.hear(now, slot, position, heard);
        if self.topics[slot as usize].log.next_seq() > before {
            self.spread(now, slot, now.instant);
            self.arm(slot);
        }
    }

    /// Appends a message if it is the next one. If others are missing before it, the log is read first.
    fn hear(&mut self, now: Now, slot: u32, position: Position, heard: Heard) {
        let log = &self.topics[slot as usize].log;
        let next_seq = log.next_seq();
        let is_of_epoch = position.epoch == log.epoch();
        if is_of_epoch && position.sequence < next_seq || !is_of_epoch && log.knows(position.epoch)
        {
            return;
        }
        let is_next = is_of_epoch && position.sequence == next_seq;
        if is_next && let Some(message) = heard.into_message() {
            return self.append_outside(now, slot, message, now.instant);
        }
        if let Some(outside) = &mut self.outside {
            outside.holes += 1;
        }
        let Some(backed) = self.backed_mut(slot) else { return };
        backed.known = backed.known.max(position.sequence);
        self.want_read(slot);
    }

    /// A message of this worker's own was sequenced. Returns the topic's slot if its log is kept here.
    pub(super) fn hear_own(
        &mut self,
        now: Now,
        topic: &TopicName,
        position: Position,
        message: Option<Arc<Message>>,
    ) -> Option<u32> {
        let slot = self.slot_of(topic)?;
        self.backed_mut(slot)?;
        if let Some(message) = message {
            let log = &self.topics[slot as usize].log;
            if position.epoch == log.epoch() && position.sequence == log.next_seq() {
                self.handle_heard(now, topic, position, Heard::Own(message));
            }
        }
        let log = &self.topics[slot as usize].log;
        if !log.covers(position) {
            // It is on its way through the channel. If it does not come, it is read.
            let Some(backed) = self.backed_mut(slot) else { return Some(slot) };
            backed.known = backed.known.max(position.sequence);
            backed.check_at = backed.check_at.min(now.instant + HEAR_MS);
            self.arm(slot);
        }
        Some(slot)
    }

    /// Has a topic read about which nothing was heard for long, or that lacks what is known to be there.
    pub(super) fn check(&mut self, now: Instant, slot: u32) {
        let Some(outside) = &self.outside else { return };
        let (is_reachable, check_ms) = (outside.is_reachable(), outside.check_ms());
        if self.backed_mut(slot).is_none_or(|backed| backed.check_at > now) {
            return;
        }
        let next_check = self.next_check(now);
        let log = &self.topics[slot as usize].log;
        let (next_seq, newest_at) = (log.next_seq(), log.newest_at());
        let Some(backed) = self.backed_mut(slot) else { return };
        let was_heard = newest_at.is_some_and(|at| now.since(at) < check_ms / 2);
        let is_well = backed.is_filled && backed.trouble.is_none() && backed.known < next_seq;
        // Until it can be reached again; then it is read.
        backed.check_at = if is_reachable { next_check } else { Instant::NEVER };
        backed.again |= !is_reachable;
        if is_reachable && !(is_well && was_heard) {
            self.want_read(slot);
        }
    }

    /// The backplane can be reached again, or cannot any more.
    pub(super) fn handle_reachable(&mut self, is_reachable: bool) {
        let Some(outside) = &mut self.outside else { return };
        outside.set_reachable(is_reachable);
        let slots: Vec<u32> = self.topics.iter().map(|(slot, _)| slot as u32).collect();
        for slot in slots {
            if is_reachable {
                if self.backed_mut(slot).is_some_and(|backed| {
                    backed.progress == Progress::Live && std::mem::take(&mut backed.again)
                }) {
                    self.want_read(slot);
                }
                continue;
            }
            if self.backed_mut(slot).is_some_and(|backed| !backed.is_filled) {
                self.refuse_applicants(slot, Refusal::RedisAway);
            }
            // Whoever waits for it is told.
            self.announce(slot, Instant::NEVER);
        }
    }

    fn refuse_applicants(&mut self, slot: u32, refusal: Refusal) {
        let Some(backed) = self.backed_mut(slot) else { return };
        for (worker, replica) in std::mem::take(&mut backed.applicants) {
            self.links.send(worker, Mail::FollowRefused { replica, refusal });
        }
    }

    /// When a topic is to be looked at that hears nothing from now on.
    fn next_check(&mut self, now: Instant) -> Instant {
        let check_ms = self.outside.as_ref().map_or(0, |outside| outside.check_ms());
        now + check_ms / 2 + self.random.u64(..=check_ms / 2)
    }
}
