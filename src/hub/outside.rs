//! What a hub has under way with the backplane: publishes and reads that are not answered yet, and who is next.

use std::collections::VecDeque;
use std::sync::Arc;

use slab::Slab;

use super::Hub;
use super::backed::Heard;
use super::mail::{Mail, TopicKey};
use crate::config::Config;
use crate::limits::Budgets;
use crate::time::Now;
use crate::topic::{
    IdempotencyKey, Message, Outcome, Page, Publishing, Refusal, Report, Request, Retention,
    Ticket, TopicName,
};

/// Everything that is asked of the backplane by one worker.
#[derive(Debug)]
pub(super) struct Outside {
    requests: VecDeque<Request>,
    /// Publishes and deletions that are not answered yet.
    pending: Slab<Pending>,
    /// Invariant: the sum of what the messages of `pending` cost.
    pending_bytes: usize,
    pending_bytes_max: usize,
    /// Somebody found no room for another publish.
    was_busy: bool,
    /// Topics that are being read.
    reading: Slab<TopicKey>,
    /// Topics that are to be read, in turn.
    line: VecDeque<TopicKey>,
    is_reachable: bool,
    check_ms: u64,
    budgets: Budgets,
    /// Times that a message was missing, and was looked for.
    pub(super) holes: u64,
}

#[derive(Debug)]
struct Pending {
    /// The worker of whoever asked.
    worker: usize,
    ticket: Ticket,
    topic: TopicName,
    /// `None`: it is a deletion.
    message: Option<Arc<Message>>,
    /// Whether what is sequenced may be an earlier publish with the same key, and another message.
    is_keyed: bool,
}

impl Outside {
    /// `None` without a backplane.
    pub(super) fn new(config: &Config) -> Option<Box<Self>> {
        let redis = config.redis.as_ref()?;
        Some(Box::new(Self {
            requests: VecDeque::new(),
            pending: Slab::new(),
            pending_bytes: 0,
            pending_bytes_max: config.share(config.limits.memory_bytes_max) / 4,
            was_busy: false,
            reading: Slab::new(),
            line: VecDeque::new(),
            is_reachable: false,
            check_ms: redis.check_ms,
            budgets: config.budgets,
            holes: 0,
        }))
    }

    /// Whether the backplane can be asked.
    pub(super) fn is_reachable(&self) -> bool {
        self.is_reachable
    }

    pub(super) fn set_reachable(&mut self, is_reachable: bool) {
        self.is_reachable = is_reachable;
    }

    /// Milliseconds after which a silent topic is looked at.
    pub(super) fn check_ms(&self) -> u64 {
        self.check_ms
    }

    /// Has what is published to a topic heard here.
    pub(super) fn listen(&mut self, topic: TopicName) {
        self.requests.push_back(Request::Listen { topic });
    }

    /// The opposite.
    pub(super) fn leave(&mut self, topic: TopicName) {
        self.requests.push_back(Request::Leave { topic });
    }

    /// Has a topic read when it is its turn.
    pub(super) fn put_in_line(&mut self, topic: TopicKey) {
        self.line.push_back(topic);
    }

    /// The next topic to read, if not too many are being read.
    pub(super) fn next_in_line(&mut self) -> Option<TopicKey> {
        let has_room = self.reading.len() < self.budgets.reads_outside;
        if has_room { self.line.pop_front() } else { None }
    }

    pub(super) fn read(
        &mut self,
        key: TopicKey,
        topic: TopicName,
        from: u64,
        retention: Retention,
    ) {
        let number = self.reading.insert(key) as u32;
        self.requests.push_back(Request::Read { number, topic, from, retention });
    }

    /// Whether there is no room for what one more publish of this worker's would add.
    fn is_full(&mut self, cost_bytes: usize) -> bool {
        let is_full = self.pending.len() >= self.budgets.publishes_outside
            || !self.pending.is_empty() && self.pending_bytes + cost_bytes > self.pending_bytes_max;
        self.was_busy |= is_full;
        is_full
    }

    fn add(&mut self, pending: Pending) -> u32 {
        self.pending_bytes += pending.cost_bytes();
        self.pending.insert(pending) as u32
    }
}

impl Pending {
    fn cost_bytes(&self) -> usize {
        self.message.as_ref().map_or(0, |message| message.cost_bytes())
    }
}

impl Hub {
    /// What is wanted of the backplane next.
    pub fn poll_request(&mut self) -> Option<Request> {
        self.begin_reads();
        self.outside.as_mut()?.requests.pop_front()
    }

    /// Takes in what the backplane has to say.
    pub fn handle_report(&mut self, now: Now, report: Report) {
        match report {
            Report::Done { number, outcome } => self.handle_done(now, number, outcome),
            Report::Listening { topic } => self.handle_listening(&topic),
            Report::Heard { topic, position, record } => {
                self.handle_heard(now, &topic, position, Heard::Record(record));
            }
            Report::Read { number, page } => self.handle_read(now, number, page),
            Report::Reachable(is_reachable) => self.handle_reachable(is_reachable),
        }
    }

    /// Whether there is room again for publishes, of which some found none.
    pub fn has_room_again(&self) -> bool {
        self.outside.as_ref().is_some_and(|outside| {
            outside.was_busy
                && outside.pending.len() < outside.budgets.publishes_outside
                && outside.pending_bytes < outside.pending_bytes_max
        })
    }

    /// The same; those who found none are told now.
    pub fn take_room(&mut self) -> bool {
        let has_room = self.has_room_again();
        if has_room && let Some(outside) = &mut self.outside {
            outside.was_busy = false;
        }
        has_room
    }

    /// Publishes and deletions that the backplane has not answered, reads that it has not, and topics in line for one.
    pub fn under_way_outside(&self) -> [usize; 3] {
        let count = |it: &Outside| [it.pending.len(), it.reading.len(), it.line.len()];
        self.outside.as_deref().map_or([0; 3], count)
    }

    /// Times that a message was missing in what was heard, and was looked for, since this was asked last.
    pub fn take_holes(&mut self) -> u64 {
        self.outside.as_mut().map_or(0, |outside| std::mem::take(&mut outside.holes))
    }

    /// Has a message sequenced outside.
    pub(super) fn publish_outside(
        &mut self,
        from: usize,
        topic: &TopicName,
        message: &Arc<Message>,
        key: Option<&IdempotencyKey>,
        ticket: Ticket,
    ) -> Publishing {
        let slot = self.slot_of(topic);
        let retention = match self.check_size(topic, slot, message) {
            Ok(retention) => retention,
            Err(refusal) => return Publishing::Done(Err(refusal)),
        };
        let own = self.worker;
        let Some(outside) = &mut self.outside else { unreachable!("there is a backplane") };
        // What another worker sends is bounded there.
        if from == own && outside.is_full(message.cost_bytes()) {
            return Publishing::Busy;
        }
        let (topic, message) = (topic.clone(), Arc::clone(message));
        let pending = Pending {
            worker: from,
            ticket,
            topic: topic.clone(),
            message: Some(Arc::clone(&message)),
            is_keyed: key.is_some(),
        };
        let number = outside.add(pending);
        let key = key.cloned();
        outside.requests.push_back(Request::Publish { number, topic, message, key, retention });
        Publishing::Pending
    }

    /// Has a topic emptied outside.
    pub(super) fn delete_outside(
        &mut self,
        from: usize,
        topic: &TopicName,
        ticket: Ticket,
    ) -> Publishing {
        let own = self.worker;
        let Some(outside) = &mut self.outside else { unreachable!("there is a backplane") };
        if from == own && outside.is_full(0) {
            return Publishing::Busy;
        }
        let topic = topic.clone();
        let pending =
            Pending { worker: from, ticket, topic: topic.clone(), message: None, is_keyed: false };
        let number = outside.add(pending);
        outside.requests.push_back(Request::Delete { number, topic });
        Publishing::Pending
    }

    /// A publish or a deletion has ended: it is answered when its effect can be seen here.
    fn handle_done(&mut self, now: Now, number: u32, outcome: Outcome) {
        let Some(outside) = &mut self.outside else { return };
        let Some(pending) = outside.pending.try_remove(number as usize) else { return };
        outside.pending_bytes -= pending.cost_bytes();
        let Pending { worker, ticket, topic, message, is_keyed } = pending;
        let message = message.filter(|_| !is_keyed);
        let publishing = match outcome {
            Ok(position) => match self.hear_own(now, &topic, position, message) {
                Some(slot) => self.acknowledge(now, slot, worker, ticket, position),
                None => Publishing::Done(Ok(position)),
            },
            Err(_) => Publishing::Done(outcome),
        };
        match publishing {
            Publishing::Done(outcome) if worker == self.worker => {
                self.answers.push_back((ticket, outcome));
            }
            Publishing::Done(outcome) => {
                self.links.send(worker, Mail::Answer { ticket, outcome });
            }
            Publishing::Pending | Publishing::Busy => (),
        }
    }

    fn handle_read(&mut self, now: Now, number: u32, page: Result<Page, Refusal>) {
        let Some(outside) = &mut self.outside else { return };
        if let Some(key) = outside.reading.try_remove(number as usize) {
            self.handle_page(now, key, page);
        }
    }
}
