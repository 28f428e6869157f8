//! What was published: every message that anybody ever tried to publish, and what is known of its fate.
//!
//! The judge learns where a message is from acknowledgements and deliveries alone. It never guesses: what
//! it cannot know counts in the server's favour, and everything else must fit.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD as STANDARD;
use tidings::config::Config;
use tidings::limits::{Budgets, FOLLOWER_STALL_MS, Limits};

use super::ledger;
use super::position::Position;
use crate::topics::name;
use crate::wires::{Kind, Payload};

/// Bytes that a message costs beside its payload and names, as docs/operating.md says.
const OVERHEAD_BYTES: usize = 256;

/// A message may be retained so much longer than its age allows: a timer's step, and the way to a reader.
const AGE_SLACK_MS: u64 = 1_000;

/// Longer than a request that its client has given up can be on its way to a server that stands still.
const ATTEMPT_LASTS_MS: u64 = 300_000;

/// A message, by the order in which clients began to publish them.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PublishId(pub(crate) usize);

/// What is known of a message.
#[derive(Debug)]
pub(crate) struct Publish {
    pub(crate) topic: usize,
    pub(crate) payload: Payload,
    pub(crate) key: Option<String>,
    /// When it was first sent; never yet: `u64::MAX`.
    first_sent_ms: u64,
    /// How many causes of a new epoch there had been for its topic when it was first sent, at the least.
    causes_before: u64,
    pub(super) attempts: u32,
    last_sent_ms: u64,
    /// When each attempt was sent that was not answered: it may still come about.
    open_ms: Vec<u64>,
    /// A refusal that was final.
    refused: bool,
    pub(crate) acknowledged: bool,
    /// When it was acknowledged last; never yet: `u64::MAX`.
    acknowledged_ms: u64,
    /// Where it was seen: more than once only if its key may have been forgotten.
    pub(super) places: Vec<(usize, u64)>,
}

impl Publish {
    fn cost_bytes(&self) -> usize {
        // The content type that is implied is stored as well.
        self.payload.bytes.len() + 64 + OVERHEAD_BYTES
    }
}

/// One life of a topic's log.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) epoch: Rc<str>,
    places: BTreeMap<u64, PublishId>,
    /// When the server says that each was published.
    times_ms: BTreeMap<u64, u64>,
    /// When a message of it was acknowledged first, and when one that was acknowledged was sent last: it
    /// lasted at some time before the one, and at some time behind the other.
    acknowledged_ms: u64,
    sent_ms: u64,
}

/// The deletion of a topic, which was sent then.
#[derive(Debug)]
pub(crate) struct Deletion {
    topic: usize,
    sent_ms: u64,
    /// The topic's causes up to it, but for deletions that may still come about.
    causes: u64,
}

/// What a reader must have been able to see when it asked.
#[derive(Clone, Debug)]
pub(crate) struct Floor {
    life: usize,
    sequence: u64,
    /// The topic's causes when a message of that life was sent last.
    causes: u64,
}

/// Raises a floor to another, which is not lower if it `is_newer`.
fn raise(floor: &mut Option<Floor>, to: &Floor, is_newer: bool) {
    match floor {
        Some(floor) if floor.life == to.life => {
            floor.sequence = floor.sequence.max(to.sequence);
            floor.causes = floor.causes.max(to.causes);
        }
        Some(_) if !is_newer => (),
        floor => *floor = Some(to.clone()),
    }
}

/// One topic.
#[derive(Debug, Default)]
pub(crate) struct Topic {
    lives: Vec<Life>,
    /// Reasons that there were for a new epoch, up to the present quiet time: deletions that were sent,
    /// failures, and earlier quiet times.
    causes: u64,
    /// When the last of them came.
    cause_ms: u64,
    /// Deletions among them that are not answered: they may come about later.
    undone: u64,
    /// Publishes that may be in the log, at a place that nobody has seen.
    unplaced: BTreeSet<PublishId>,
    /// Publishes that were sent more than once.
    repeated: Vec<PublishId>,
    /// Keys that were given to its publishes: each topic has the same ones.
    keys: usize,
    /// The last acknowledged message, by the time at which it was sent.
    head: Option<Floor>,
    /// When the message of `head` was sent.
    alive_ms: u64,
    /// The same of those that were acknowledged because every worker was told of them.
    floor: Option<Floor>,
}

/// All topics, and all that was published.
#[derive(Debug)]
pub(crate) struct Shadow {
    pub(crate) now_ms: u64,
    limits: Limits,
    topics: Vec<Topic>,
    pub(crate) publishes: Vec<Publish>,
    keyed: usize,
    /// Topics may be thrown out for others.
    topics_are_few: bool,
    /// Mailboxes are never full.
    mailboxes_are_large: bool,
    /// What Redis has sequenced, if servers share one: see `shared`.
    pub(super) ledger: Option<ledger::Shared>,
}

impl Shadow {
    pub(crate) fn new(config: &Config, topics: usize) -> Self {
        let limits = config.limits.clone();
        let topics_are_few = limits.topics_max < 1_000;
        let mailboxes_are_large = config.budgets.mailbox >= Budgets::DEFAULT.mailbox;
        let topics = (0..topics).map(|_| Topic::default()).collect();
        let (publishes, keyed) = (Vec::new(), 0);
        let ledger = super::shared::ledger(config);
        Self {
            now_ms: 0,
            limits,
            topics,
            publishes,
            keyed,
            topics_are_few,
            mailboxes_are_large,
            ledger,
        }
    }

    /// Something happened after which a topic may begin a new epoch; without one: all of them.
    pub(crate) fn note_cause(&mut self, topic: Option<usize>) {
        for topic in topic.map_or(0..self.topics.len(), |topic| topic..topic + 1) {
            let causes = self.causes(topic);
            self.topics[topic].causes = causes + 1;
            self.topics[topic].cause_ms = self.now_ms;
        }
    }

    /// A client is about to delete a topic.
    pub(crate) fn note_deletion(&mut self, topic: usize) -> Deletion {
        self.note_cause(Some(topic));
        let shadow = &mut self.topics[topic];
        let causes = shadow.causes - shadow.undone;
        shadow.undone += 1;
        Deletion { topic, sent_ms: self.now_ms, causes }
    }

    /// A topic was deleted, and begins again: whoever asks from now on is told so.
    pub(crate) fn note_deleted(&mut self, deletion: &Deletion, position: &Position) {
        let Deletion { topic, sent_ms, causes } = *deletion;
        if self.is_shared() {
            self.stand(topic, position);
            return;
        }
        let life = self.life(topic, position);
        let is_told = self.is_told(sent_ms);
        let topic = &mut self.topics[topic];
        if is_told {
            let floor = Floor { life, sequence: position.sequence, causes };
            raise(&mut topic.floor, &floor, sent_ms >= topic.alive_ms);
        }
    }

    /// A deletion was answered: if it came about at all it has by now.
    pub(crate) fn note_deletion_done(&mut self, deletion: &Deletion) {
        self.topics[deletion.topic].undone -= 1;
    }

    /// Whether all workers know of what was sent then and is answered now: that is done after a second,
    /// whatever followers do, and before their mailboxes have room.
    fn is_told(&self, sent_ms: u64) -> bool {
        self.now_ms - sent_ms < FOLLOWER_STALL_MS && self.mailboxes_are_large
    }

    /// A client is about to publish. The payload must be one that nobody else has.
    pub(crate) fn draft(&mut self, topic: usize, payload: Payload, is_keyed: bool) -> PublishId {
        let id = PublishId(self.publishes.len());
        self.keyed += usize::from(is_keyed);
        let keys = &mut self.topics[topic].keys;
        *keys += usize::from(is_keyed);
        let key = is_keyed.then(|| format!("key-{keys}"));
        self.publishes.push(Publish {
            topic,
            payload,
            key,
            first_sent_ms: u64::MAX,
            causes_before: 0,
            attempts: 0,
            last_sent_ms: 0,
            open_ms: Vec::new(),
            refused: false,
            acknowledged: false,
            acknowledged_ms: u64::MAX,
            places: Vec::new(),
        });
        id
    }

    /// The bytes of a publish leave its client now, perhaps not for the first time.
    pub(crate) fn note_sent(&mut self, id: PublishId) {
        let causes = self.causes(self.publishes[id.0].topic);
        let publish = &mut self.publishes[id.0];
        let topic = &mut self.topics[publish.topic];
        let causes = causes - topic.undone;
        publish.attempts += 1;
        publish.last_sent_ms = self.now_ms;
        publish.open_ms.push(self.now_ms);
        if publish.attempts == 1 {
            publish.first_sent_ms = self.now_ms;
            publish.causes_before = causes;
            topic.unplaced.insert(id);
        } else {
            assert!(publish.key.is_some(), "a client repeats what has no key");
            if publish.attempts == 2 {
                topic.repeated.push(id);
            }
        }
    }

    /// It was refused: if it was not sent before, it is in no log.
    pub(crate) fn note_refused(&mut self, id: PublishId) {
        let publish = &mut self.publishes[id.0];
        publish.open_ms.pop();
        if publish.attempts > 1 {
            return;
        }
        assert!(publish.places.is_empty(), "{} was refused, and is there", self.say(id));
        publish.refused = true;
        let topic = publish.topic;
        self.topics[topic].unplaced.remove(&id);
        if let Some(ledger) = &self.ledger {
            ledger.borrow_mut().refuse(id.0);
        }
    }

    /// It was acknowledged, with this id.
    pub(crate) fn note_acknowledged(&mut self, id: PublishId, position: &Position) {
        let life = self.place(id, position);
        let publish = &mut self.publishes[id.0];
        (publish.acknowledged, publish.acknowledged_ms) = (true, self.now_ms);
        publish.open_ms.pop();
        let (sent_ms, causes) = (publish.first_sent_ms, publish.causes_before);
        let number = publish.topic;
        let last_sent_ms = publish.last_sent_ms;
        if self.is_shared() {
            return;
        }
        let is_told = self.is_told(last_sent_ms);
        let causes_now = self.causes(number);
        let topic = &mut self.topics[number];
        let begun = &mut topic.lives[life];
        begun.acknowledged_ms = begun.acknowledged_ms.min(self.now_ms);
        begun.sent_ms = begun.sent_ms.max(sent_ms);
        let floor = Floor { life, sequence: position.sequence, causes };
        let is_newer = sent_ms >= topic.alive_ms;
        if is_told {
            raise(&mut topic.floor, &floor, is_newer);
        }
        raise(&mut topic.head, &floor, is_newer);
        if sent_ms >= topic.alive_ms {
            // The quiet time is over.
            (topic.alive_ms, topic.causes) = (sent_ms, causes_now);
        }
    }

    /// Whether a repeat of it may be published a second time: its key may have been forgotten.
    fn may_repeat(&self, id: PublishId) -> bool {
        if self.is_shared() {
            return true;
        }
        let publish = &self.publishes[id.0];
        let is_old =
            self.now_ms.saturating_sub(publish.first_sent_ms) >= self.limits.idempotency_window_ms;
        is_old
            || self.causes(publish.topic) > publish.causes_before
            || self.keyed > self.limits.idempotency_keys_max as usize
            || self.topics_are_few
    }

    /// Whether it may be there a second time, at a place that nobody has seen.
    pub(crate) fn may_be_again(&self, id: PublishId) -> bool {
        self.publishes[id.0].attempts > 1 && self.may_repeat(id)
    }

    /// A message was seen at a place. Returns the number of the topic's life.
    pub(crate) fn place(&mut self, id: PublishId, position: &Position) -> usize {
        let (topic, sequence) = (self.publishes[id.0].topic, position.sequence);
        assert!(sequence > 0, "{} is message 0", self.say(id));
        assert!(!self.publishes[id.0].refused, "{} was refused, and is there", self.say(id));
        if self.is_shared() {
            return self.place_shared(id, position);
        }
        let life = self.life(topic, position);
        if let Some(&other) = self.topics[topic].lives[life].places.get(&sequence) {
            assert!(
                other == id,
                "{} and {} are both message {sequence} of {} in topic {topic}",
                self.say(other),
                self.say(id),
                position.epoch
            );
            return life;
        }
        let may_repeat = self.publishes[id.0].key.is_some() && self.may_repeat(id);
        let publish = &self.publishes[id.0];
        assert!(
            publish.places.is_empty() || may_repeat,
            "{} was published twice: it is message {sequence} of {} in topic {topic}, and {:?}",
            self.say(id),
            position.epoch,
            publish.places
        );
        self.publishes[id.0].places.push((life, sequence));
        self.topics[topic].unplaced.remove(&id);
        self.topics[topic].lives[life].places.insert(sequence, id);
        life
    }

    /// The server says when the message at a place was published: whoever asks is told the same.
    pub(crate) fn note_time(&mut self, id: PublishId, life: usize, sequence: u64, time_ms: u64) {
        let topic = self.publishes[id.0].topic;
        if let Some(ledger) = &self.ledger {
            return ledger.borrow_mut().note_time(name(topic), (life, sequence), time_ms);
        }
        let told_ms = *self.topics[topic].lives[life].times_ms.entry(sequence).or_insert(time_ms);
        assert!(
            told_ms == time_ms,
            "{} was published at {time_ms}, but another was told {told_ms}",
            self.say(id)
        );
    }

    /// The number of a topic's life; a new one must have a cause.
    pub(crate) fn life(&mut self, topic: usize, position: &Position) -> usize {
        let lives = &self.topics[topic].lives;
        if let Some(life) = lives.iter().rposition(|life| life.epoch == position.epoch) {
            return life;
        }
        let causes = self.causes(topic);
        assert!(
            lives.len() as u64 <= causes || self.topics_are_few,
            "topic {topic} begins epoch {} for no reason: it was in {:?}, with {causes} causes",
            position.epoch,
            lives.iter().map(|life| &life.epoch).collect::<Vec<_>>()
        );
        let (epoch, places) = (Rc::clone(&position.epoch), BTreeMap::new());
        let times_ms = BTreeMap::new();
        let life = Life { epoch, places, times_ms, acknowledged_ms: u64::MAX, sent_ms: 0 };
        self.topics[topic].lives.push(life);
        self.topics[topic].lives.len() - 1
    }

    /// How often a topic may have begun a new epoch by now.
    fn causes(&self, topic: usize) -> u64 {
        self.topics[topic].causes + self.quiet_lives(topic)
    }

    /// How often, in the present quiet time, a topic may have been forgotten for having had neither
    /// messages nor readers.
    fn quiet_lives(&self, topic: usize) -> u64 {
        let shadow = &self.topics[topic];
        let (since_ms, kept_ms) = match &shadow.head {
            // All that has happened since is that its messages grew old.
            Some(floor) if floor.causes >= shadow.causes => {
                (shadow.alive_ms, self.limits.log_age_ms)
            }
            _ => (shadow.cause_ms, 0),
        };
        let quiet_ms = self.now_ms.saturating_sub(since_ms + kept_ms);
        quiet_ms / self.limits.topic_idle_ms
    }

    /// The highest sequence that a life may have reached by now.
    fn ceiling(&self, topic: usize, life: usize) -> u64 {
        let shadow = &self.topics[topic];
        let seen = shadow.lives[life].places.keys().next_back().copied().unwrap_or(0);
        seen + (shadow.unplaced.len() + self.doubtful(topic)) as u64
    }

    /// A reader is said to have everything up to `sequence`: so much must have been published.
    pub(crate) fn check_ceiling(&self, topic: usize, life: usize, sequence: u64, what: &str) {
        if self.is_shared() {
            // A place that is known is one that there is.
            return;
        }
        let ceiling = self.ceiling(topic, life);
        assert!(
            sequence <= ceiling,
            "{what} is at {sequence} in topic {topic}, which may be at {ceiling} by now"
        );
    }

    /// Repeats that may have been published a second time, at a place that nobody has seen.
    fn doubtful(&self, topic: usize) -> usize {
        let repeated = self.topics[topic].repeated.iter();
        let repeats = repeated.filter(|&&id| self.may_repeat(id)).map(|&id| {
            let is_open = |&&ms: &&u64| self.now_ms.saturating_sub(ms) < ATTEMPT_LASTS_MS;
            let open = self.publishes[id.0].open_ms.iter().filter(is_open).count();
            // Of one that nobody has seen at all one attempt is expected anyway.
            open - usize::from(open > 0 && self.topics[topic].unplaced.contains(&id))
        });
        repeats.sum()
    }

    /// A poll that was sent then, to wait for so many seconds, is answered with nothing: it has waited, but
    /// for up to a tenth of that (docs/protocol.md 8).
    pub(crate) fn check_wait(&self, sent_ms: u64, seconds: u64) {
        let (waited_ms, wait_ms) = (self.now_ms - sent_ms, seconds * 1_000);
        assert!(
            waited_ms >= wait_ms.min(self.limits.wait_max_ms) * 9 / 10,
            "a poll that waits {seconds} s for a message is answered without one after {waited_ms} ms"
        );
    }

    /// What retention may have taken by now: message `sequence` of a life, and so all before it.
    pub(crate) fn may_be_gone(&self, topic: usize, life: usize, sequence: u64) -> bool {
        if let Some(ledger) = &self.ledger {
            return ledger.borrow().may_be_gone(name(topic), (life, sequence));
        }
        let shadow = &self.topics[topic];
        let ceiling = self.ceiling(topic, life);
        if ceiling >= sequence + u64::from(self.limits.log_messages) {
            return true;
        }
        let known = &shadow.lives[life].places;
        let sent_ms = match known.get(&sequence) {
            Some(id) => self.publishes[id.0].first_sent_ms,
            // It is one of those of which nothing is known.
            None => {
                let unplaced = shadow.unplaced.iter();
                let first = unplaced.map(|id| self.publishes[id.0].first_sent_ms).min();
                first.unwrap_or(if self.doubtful(topic) > 0 { 0 } else { self.now_ms })
            }
        };
        if self.now_ms.saturating_sub(sent_ms) >= self.limits.log_age_ms {
            return true;
        }
        let cost = |id: &PublishId| self.publishes[id.0].cost_bytes();
        let behind: usize = known.range(sequence..).map(|(_, id)| cost(id)).sum();
        let unplaced: usize = shadow.unplaced.iter().map(cost).sum();
        self.doubtful(topic) > 0 || behind + unplaced > self.limits.log_bytes
    }

    /// Message `sequence` and all before it were said to be gone, or passed over: that must be true.
    pub(crate) fn check_gone(&self, topic: usize, life: usize, sequence: u64, what: &str) {
        if self.is_shared() {
            let is_gone = self.may_be_gone(topic, life, sequence);
            assert!(
                is_gone,
                "{what}: {life}-{sequence} of topic {topic} is passed over, and retained"
            );
            return;
        }
        assert!(
            sequence == 0 || self.may_be_gone(topic, life, sequence),
            "{what}: message {sequence} of topic {topic} ({}) is passed over, but it is retained: the log may \
             be at {} by now",
            self.topics[topic].lives[life].epoch,
            self.ceiling(topic, life)
        );
    }

    /// A whole log, page by page: what retention allows, and no more. The last page came just now.
    pub(crate) fn check_retained(&self, topic: usize, pages: &[Vec<PublishId>]) {
        let limits = &self.limits;
        let messages: usize = pages.iter().map(Vec::len).sum();
        let cost = |id: &PublishId| self.publishes[id.0].payload.bytes.len() + OVERHEAD_BYTES;
        let bytes: usize = pages.iter().flatten().map(cost).sum();
        assert!(
            messages <= limits.log_messages as usize && bytes <= limits.log_bytes,
            "topic {topic} retains {messages} messages of {bytes} bytes, and may retain {} of {}",
            limits.log_messages,
            limits.log_bytes
        );
        for id in pages.last().into_iter().flatten() {
            let age_ms = self.now_ms.saturating_sub(self.publishes[id.0].acknowledged_ms);
            assert!(
                age_ms <= limits.log_age_ms + AGE_SLACK_MS,
                "{} is retained for {age_ms} ms, and may be for {}",
                self.say(*id),
                limits.log_age_ms
            );
        }
    }

    /// One life did not come before another, which is known to have begun.
    pub(crate) fn check_not_before(&self, topic: usize, life: usize, other: usize, what: &str) {
        let lives = &self.topics[topic].lives;
        assert!(
            lives[life].acknowledged_ms >= lives[other].sent_ms,
            "{what} is led back in topic {topic}: from {} to {}, which came before it",
            lives[other].epoch,
            lives[life].epoch
        );
    }

    /// What a reader that asks now must see.
    pub(crate) fn floor(&self, topic: usize) -> Option<Floor> {
        self.topics[topic].floor.clone()
    }

    /// A reader that asked at `floor` is said to have everything up to `position`.
    pub(crate) fn check_floor(
        &self,
        topic: usize,
        floor: &Floor,
        life: usize,
        sequence: u64,
        what: &str,
    ) {
        let shadow = &self.topics[topic];
        if life == floor.life {
            assert!(
                sequence >= floor.sequence,
                "{what}: {sequence} is the head of topic {topic}, but {} was acknowledged before it was asked for",
                floor.sequence
            );
        } else {
            assert!(
                self.causes(topic) > floor.causes || self.topics_are_few,
                "{what}: topic {topic} is in epoch {}, but one was acknowledged in {} before it was asked for",
                shadow.lives[life].epoch,
                shadow.lives[floor.life].epoch
            );
        }
    }

    /// How far behind the head a reader of the last `count` may begin: it was told to begin behind
    /// `sequence`.
    pub(crate) fn check_last(&self, topic: usize, life: usize, sequence: u64, count: u64) {
        let end = match &self.ledger {
            Some(ledger) => ledger.borrow().end(name(topic), (life, sequence)),
            None => self.ceiling(topic, life),
        };
        assert!(
            sequence + count <= end || sequence == 0 || self.may_be_gone(topic, life, sequence),
            "the last {count} of topic {topic} begin behind {sequence}: fewer were given"
        );
    }

    /// Whether a position is at the last acknowledged message or behind it, or in a life that began since.
    pub(crate) fn is_head(&self, topic: usize, life: usize, sequence: u64) -> bool {
        if let Some(ledger) = &self.ledger {
            return ledger.borrow().head(name(topic)) == Some((life, sequence));
        }
        let Some(floor) = &self.topics[topic].head else { return true };
        let known = self.topics[topic].lives[life].places.keys().next_back();
        match life == floor.life {
            true => sequence >= floor.sequence,
            false => {
                self.causes(topic) > floor.causes && known.is_none_or(|&last| sequence >= last)
            }
        }
    }

    /// The message with this payload. `tells_events`: the wire would have told an event's name.
    pub(crate) fn recognise(&self, payload: &Payload, tells_events: bool) -> PublishId {
        let decoded = match payload.kind {
            Kind::Unknown => STANDARD.decode(&payload.bytes).ok(),
            _ => None,
        };
        let number = number_of(decoded.as_ref().unwrap_or(&payload.bytes));
        let id = number.filter(|&number| number < self.publishes.len()).map(PublishId);
        let id = id.unwrap_or_else(|| {
            panic!("nobody published {:?}", String::from_utf8_lossy(&payload.bytes))
        });
        let publish = &self.publishes[id.0];
        let sent = &publish.payload;
        let is_same = match (payload.kind, sent.kind) {
            (Kind::Unknown, Kind::Binary) => decoded.as_ref() == Some(&sent.bytes),
            (Kind::Unknown, _) | (Kind::Text, Kind::Json) => payload.bytes == sent.bytes,
            (told, sent_as) => told == sent_as && payload.bytes == sent.bytes,
        };
        assert!(
            publish.first_sent_ms <= self.now_ms
                && is_same
                && (!tells_events || payload.event == sent.event),
            "{payload:?} is not what was published: {sent:?}"
        );
        id
    }

    pub(crate) fn say(&self, id: PublishId) -> String {
        let publish = &self.publishes[id.0];
        format!("publish {} (topic {})", id.0, publish.topic)
    }

    /// Where a message was seen, if that is known: the topic's life, and the sequence.
    pub(crate) fn places(&self, id: PublishId) -> &[(usize, u64)] {
        &self.publishes[id.0].places
    }
}

/// The number that every payload has in it: digits behind a `#`.
pub(crate) fn number_of(bytes: &[u8]) -> Option<usize> {
    let at = bytes.iter().position(|&byte| byte == b'#')? + 1;
    let digits = bytes[at..].split(|byte| !byte.is_ascii_digit()).next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}
