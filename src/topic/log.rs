//! The bounded, append-only log of one topic: all that this server remembers of messages.

use std::collections::VecDeque;
use std::sync::Arc;

use super::backplane::Term;
use super::cursor::{Epoch, Position};
use super::encoding::{Encoded, Format};
use super::message::{Message, OVERHEAD_BYTES};
use super::name::TopicName;
use super::runs::{Found, RUN_BYTES_MAX, Runs};
use super::terms::{History, Past, next_life};
use crate::buffer::Chunk;
use crate::planted::{Fault, planted};
use crate::time::Instant;

/// How much a log retains. Each bound holds on its own.
#[derive(Copy, Clone, Debug)]
pub struct Retention {
    /// Messages, at least 1.
    pub messages: usize,
    /// Bytes, as [`Message::cost_bytes`] counts them.
    pub bytes: usize,
    /// Milliseconds since a message was appended here.
    pub age_ms: u64,
}

/// How far a log is.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Its epoch.
    pub epoch: Epoch,
    /// The sequence of the next message.
    pub next_seq: u64,
}

impl Reach {
    /// Whether a reader may be there, in the present epoch: nothing that it says it has received is ahead of the log.
    pub fn covers(self, position: Position) -> bool {
        position.epoch == self.epoch && position.sequence < self.next_seq
    }
}

/// Retained messages of one topic in one epoch, with dense sequence numbers.
///
/// ```text
///   1 … first_seq-1     first_seq … next_seq-1        next_seq
///   trimmed             entries                       assigned to the next message
/// ```
#[derive(Debug)]
pub struct Log {
    epoch: Epoch,
    /// Counts the epochs that this log has had in this process. Subscriptions remember it, as it is
    /// half as long as an epoch.
    life: u32,
    /// The messages are those of an owner's log in this process, which counts them.
    is_replica: bool,
    /// Invariant: the sequence of the oldest message, or of the next one if there is none. At least 1.
    first_seq: u64,
    /// Apart, as most of a million topics have no message. Invariant: it holds one at least, or an epoch that
    /// has ended.
    retained: Option<Box<Retained>>,
}

/// The messages that there are.
#[derive(Debug, Default)]
struct Retained {
    entries: VecDeque<Entry>,
    /// Invariant: the sum of the entries' `cost_bytes`.
    bytes: usize,
    /// Invariant: the sum of the entries' `encoded_bytes`.
    encoded_bytes: usize,
    /// Of retained messages only.
    runs: Runs,
    /// What the log was before: see [`History`].
    past: Past,
}

#[derive(Debug)]
struct Entry {
    message: Arc<Message>,
    appended_at: Instant,
    encoded: [Option<Box<Encoded>>; Format::COUNT],
}

impl Entry {
    fn encoded_bytes(&self) -> usize {
        self.encoded.iter().flatten().map(|encoded| encoded.cost_bytes()).sum()
    }
}

impl Log {
    /// An empty log whose next message has the sequence `first_seq`.
    pub fn new(epoch: Epoch, first_seq: u64) -> Self {
        Self { epoch, life: 0, is_replica: false, first_seq, retained: None }
    }

    /// An empty log that will be supplied with the messages of another one. [`Log::reset`] says which.
    pub fn replica() -> Self {
        Self { is_replica: true, ..Self::new(Epoch::NONE, 1) }
    }

    /// Begins another epoch: everything is forgotten, the next message is `first_seq`.
    pub fn reset(&mut self, epoch: Epoch, first_seq: u64) {
        let (life, is_replica) = (next_life(self.life), self.is_replica);
        *self = Self { life, is_replica, ..Self::new(epoch, first_seq) };
    }

    /// Appends a message and returns its sequence. It is retained until [`Log::trim`]. The log must not be
    /// used up.
    pub fn append(&mut self, message: Arc<Message>, now: Instant) -> u64 {
        let sequence = self.next_seq();
        assert!(sequence < u64::MAX, "sequence numbers do not wrap");
        let retained = self.retained.get_or_insert_default();
        retained.bytes += message.cost_bytes();
        retained.entries.push_back(Entry {
            message,
            appended_at: now,
            encoded: Default::default(),
        });
        sequence
    }

    /// Whether the last sequence number was assigned: another message needs another epoch.
    pub fn is_used_up(&self) -> bool {
        self.next_seq() == u64::MAX
    }

    /// Forgets everything and continues at `sequence`, which lies ahead: what is between is a gap to
    /// every cursor.
    pub fn skip_to(&mut self, sequence: u64) {
        assert!(sequence >= self.next_seq(), "a log only moves forward");
        self.forget_from(0);
        self.first_seq = sequence;
    }

    /// Takes over what a backplane says of the log's epochs, the oldest first, and of its next message. Messages that
    /// the backplane does not know are forgotten: whoever has received them is told of a gap. Returns false if that
    /// is all of them, and the log has begun another life with nothing in it.
    pub fn adopt(&mut self, terms: &[Term], backplane_next: u64) -> bool {
        let next_seq = self.next_seq();
        let mut history = self.history();
        let common = history.adopt(terms, backplane_next, next_seq);
        self.mirror(history, common.unwrap_or(0));
        common.is_some()
    }

    /// Goes on as another log does: with its epochs, and of the messages with those before `good_until`; 0: with
    /// none, in another life.
    pub fn mirror(&mut self, history: History, good_until: u64) {
        self.forget_from(good_until);
        if good_until == 0 {
            self.first_seq = 1;
        }
        (self.epoch, self.life) = (history.epoch, history.life);
        // Of what came before, nobody knows any more which epoch it was in.
        let oldest = history.past.first();
        if !history.past.is_empty() || self.retained.is_some() {
            self.retained.get_or_insert_default().past = history.past;
        }
        self.forget_before(oldest);
    }

    /// Forgets the messages before `sequence`. Those that come next may be older: they are skipped.
    fn forget_before(&mut self, sequence: u64) {
        if sequence > self.next_seq() {
            return self.skip_to(sequence);
        }
        if let Some(retained) = &mut self.retained {
            while self.first_seq < sequence
                && let Some(oldest) = retained.entries.pop_front()
            {
                retained.bytes -= oldest.message.cost_bytes();
                retained.encoded_bytes -= oldest.encoded_bytes();
                self.first_seq += 1;
            }
            retained.runs.trim(self.first_seq);
        }
        self.shrink();
    }

    /// The epochs that the log was in.
    pub fn history(&self) -> History {
        History {
            epoch: self.epoch,
            life: self.life,
            past: self.past().cloned().unwrap_or_default(),
        }
    }

    fn past(&self) -> Option<&Past> {
        self.retained.as_ref().map(|retained| &retained.past)
    }

    /// Forgets the messages from `sequence` on. The next one is that one, or an earlier one that is the next already.
    fn forget_from(&mut self, sequence: u64) {
        let keep = sequence.saturating_sub(self.first_seq).min(self.len() as u64) as usize;
        if let Some(retained) = &mut self.retained
            && keep < retained.entries.len()
        {
            for entry in retained.entries.drain(keep..) {
                retained.bytes -= entry.message.cost_bytes();
                retained.encoded_bytes -= entry.encoded_bytes();
            }
            retained.runs.clear();
        }
        self.first_seq = self.first_seq.min(sequence.max(1));
        self.shrink();
    }

    /// Holds no memory for messages when there are none.
    fn shrink(&mut self) {
        self.retained.take_if(|retained| retained.entries.is_empty() && retained.past.is_empty());
    }

    /// Forgets the oldest messages until every bound of `retention` holds.
    pub fn trim(&mut self, retention: &Retention, now: Instant) {
        let Some(retained) = &mut self.retained else { return };
        while let Some(oldest) = retained.entries.front() {
            let fits = retained.entries.len() + usize::from(planted(Fault::TrimsOneTooMany))
                <= retention.messages
                && retained.bytes <= retention.bytes
                && now.since(oldest.appended_at) < retention.age_ms;
            if fits {
                break;
            }
            retained.bytes -= oldest.message.cost_bytes();
            retained.encoded_bytes -= oldest.encoded_bytes();
            retained.entries.pop_front();
            if !(planted(Fault::ReusesLastSequence) && retained.entries.is_empty()) {
                self.first_seq += 1;
            }
        }
        retained.runs.trim(self.first_seq);
        self.shrink();
    }

    /// When the oldest message reaches its age; [`Instant::NEVER`] if there is none.
    pub fn oldest_expires(&self, retention: &Retention) -> Instant {
        let oldest = self.retained.as_ref().and_then(|retained| retained.entries.front());
        oldest.map_or(Instant::NEVER, |entry| entry.appended_at + retention.age_ms)
    }

    /// When the newest message was appended, if one is retained.
    pub fn newest_at(&self) -> Option<Instant> {
        self.retained.as_ref()?.entries.back().map(|entry| entry.appended_at)
    }

    /// How many of the messages that are retained were appended at `since` or later.
    pub fn appended_since(&self, since: Instant) -> u64 {
        self.retained.as_ref().map_or(0, |retained| {
            let entries = &retained.entries;
            let before = entries.partition_point(|entry| entry.appended_at < since);
            (entries.len() - before) as u64
        })
    }

    /// Bytes of the messages that are retained, as they are counted against [`Retention::bytes`].
    pub fn bytes(&self) -> usize {
        self.retained.as_ref().map_or(0, |retained| retained.bytes)
    }

    /// The message with this sequence and when it was appended, if it is retained.
    pub fn entry(&self, sequence: u64) -> Option<(&Arc<Message>, Instant)> {
        let entry = self.retained.as_ref()?.entries.get(self.index(sequence)?)?;
        Some((&entry.message, entry.appended_at))
    }

    /// The bytes of a retained message in one format, encoded now if nobody needed it before. `part`
    /// takes what is wanted of it. With `keep` false a new encoding is not remembered.
    ///
    /// # Panics
    /// If the message is not retained: cursors are checked by [`super::Edge::due`].
    pub fn chunk(
        &mut self,
        topic: &TopicName,
        sequence: u64,
        format: Format,
        part: fn(&Encoded) -> Chunk,
        keep: bool,
    ) -> Chunk {
        let index = self.index(sequence).expect("the caller has checked its cursor");
        let has_next = planted(Fault::SendsNeighboursId) && sequence + 1 < self.next_seq();
        let retained = self.retained.as_mut().expect("the caller has checked its cursor");
        let entry = retained.entries.get_mut(index).expect("the caller has checked its cursor");
        let place = &mut entry.encoded[format as usize];
        if let Some(encoded) = place {
            return part(encoded);
        }
        let epoch = retained.past.epoch_of(self.epoch, sequence);
        let id = Position { epoch, sequence: sequence + u64::from(has_next) }.text();
        let encoded = Encoded::new(format, topic.as_str(), &id, &entry.message);
        let chunk = part(&encoded);
        if keep {
            retained.encoded_bytes += encoded.cost_bytes();
            *place = Some(Box::new(encoded));
        }
        chunk
    }

    /// The framed bytes of several messages from `first` on, and how many they are, if somebody asked from the
    /// same place before: at most `bytes_max` bytes, and 64 KiB. `None`: they are to be had one by
    /// one. What was joined is kept until [`Log::forget_runs`], and so are the encodings that it is made of.
    ///
    /// # Panics
    /// As [`Log::chunk`].
    pub fn run(
        &mut self,
        topic: &TopicName,
        first: u64,
        format: Format,
        bytes_max: usize,
    ) -> Option<(Chunk, u64)> {
        let (next_seq, bytes_max) = (self.next_seq(), bytes_max.min(RUN_BYTES_MAX));
        let lag = next_seq - first;
        match self.retained.as_mut()?.runs.find(format, first, lag, bytes_max) {
            Found::Joined(joined, messages) => return Some((joined, messages)),
            Found::AskedBefore => (),
            Found::Nothing => return None,
        }
        let (mut bytes, mut messages) = (Vec::new(), 0);
        for sequence in first..next_seq {
            let chunk = self.chunk(topic, sequence, format, Encoded::framed, true);
            if bytes.len() + chunk.len() > bytes_max {
                break;
            }
            bytes.extend_from_slice(chunk.as_slice());
            messages += 1;
        }
        if messages < 2 {
            return None;
        }
        let joined = Chunk::new(&bytes);
        self.retained.as_mut()?.runs.keep(format, first, messages, joined.clone());
        Some((joined, messages))
    }

    /// Forgets what was joined: whoever was to share it has come past.
    pub fn forget_runs(&mut self) {
        if let Some(retained) = &mut self.retained {
            retained.runs.clear();
        }
    }

    fn index(&self, sequence: u64) -> Option<usize> {
        sequence.checked_sub(self.first_seq).and_then(|index| usize::try_from(index).ok())
    }

    /// Which life of the topic this is.
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Which of this log's epochs this is.
    pub const fn life(&self) -> u32 {
        self.life
    }

    /// The oldest message retained, or the next one if there is none.
    pub const fn first_seq(&self) -> u64 {
        self.first_seq
    }

    /// The sequence of the next message.
    pub fn next_seq(&self) -> u64 {
        self.first_seq + self.len() as u64
    }

    /// How far it is.
    pub fn reach(&self) -> Reach {
        Reach { epoch: self.epoch, next_seq: self.next_seq() }
    }

    /// The position of a reader who has everything.
    pub fn head(&self) -> Position {
        self.position(self.next_seq() - 1)
    }

    /// The position of a message, or of a reader who has everything up to it.
    pub fn position(&self, sequence: u64) -> Position {
        let epoch = self.past().map_or(self.epoch, |past| past.epoch_of(self.epoch, sequence));
        Position { epoch, sequence }
    }

    /// Whether a reader may be there: nothing that it says it has received is ahead of the log, or behind a fork of it.
    pub fn covers(&self, position: Position) -> bool {
        position.sequence < self.next_seq()
            && (position.epoch == self.epoch
                || self.past().is_some_and(|past| past.covers(position)))
    }

    /// Whether this is the log's epoch, or one that it was in.
    pub fn knows(&self, epoch: Epoch) -> bool {
        epoch == self.epoch || self.past().is_some_and(|past| past.knows(epoch))
    }

    /// The first message behind an epoch that this log was in before the present one.
    pub fn end_of(&self, epoch: Epoch) -> Option<u64> {
        self.past().and_then(|past| past.end_of(epoch))
    }

    /// Where one goes on who was going to receive `next` in an epoch of this log that it counts as `life`: there, or
    /// earlier, if what it has received since a fork is not the log's. `None`: nobody knows.
    pub fn good_until(&self, life: u32, next: u64) -> Option<u64> {
        if life == self.life {
            return Some(next);
        }
        Some(next.min(self.past()?.good_until(life)?))
    }

    /// Whether such a one has received nothing that is not the log's.
    pub fn carries(&self, life: u32, next: u64) -> bool {
        self.good_until(life, next) == Some(next)
    }

    /// Whether no message is retained.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many messages are retained.
    pub fn len(&self) -> usize {
        self.retained.as_ref().map_or(0, |retained| retained.entries.len())
    }

    /// Bytes of memory of the messages, their encodings and what was joined of these. A replica's payloads
    /// are its owner's.
    pub fn memory_bytes(&self) -> usize {
        self.retained.as_ref().map_or(0, |retained| {
            let count = retained.entries.len();
            let messages = if self.is_replica { count * OVERHEAD_BYTES } else { retained.bytes };
            messages + retained.encoded_bytes + retained.runs.cost_bytes()
        })
    }
}

#[cfg(any(test, fuzzing))]
mod fuzz;
#[cfg(any(test, fuzzing))]
pub use fuzz::fuzz_log;

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: Retention = Retention { messages: 1 << 20, bytes: 1 << 40, age_ms: 1 << 40 };

    fn message(bytes: usize) -> Arc<Message> {
        Arc::new(Message::new(vec![b'x'; bytes], None, None, 0).unwrap())
    }

    fn log(messages: usize) -> Log {
        let mut log = Log::new(Epoch::from_random(9), 1);
        for at in 0..messages {
            log.append(message(10), Instant::from_ms(at as u64 * 100));
        }
        log
    }

    #[test]
    fn sequences_are_dense_and_begin_at_one() {
        let mut log = log(0);
        assert_eq!(log.append(message(1), Instant::default()), 1);
        assert_eq!(log.append(message(1), Instant::default()), 2);
        assert_eq!((log.first_seq(), log.next_seq(), log.head().sequence), (1, 3, 2));
    }

    #[test]
    fn each_bound_of_the_retention_holds_alone_and_with_the_others() {
        let now = Instant::from_ms(1_000);
        let cost = message(10).cost_bytes();
        let cases = [
            (Retention { messages: 3, ..LARGE }, 8),
            (Retention { bytes: 4 * cost, ..LARGE }, 7),
            (Retention { age_ms: 450, ..LARGE }, 7),
            (Retention { messages: 5, bytes: 2 * cost, age_ms: 950 }, 9),
            (Retention { messages: 1, bytes: 1, age_ms: 1 }, 11),
        ];
        for (retention, first_seq) in cases {
            let mut log = log(10);
            log.trim(&retention, now);
            assert_eq!(log.first_seq(), first_seq, "{retention:?}");
            assert_eq!(log.next_seq(), 11);
            assert_eq!(log.memory_bytes(), log.len() * cost);
        }
    }

    #[test]
    fn what_was_appended_of_late_is_counted_as_far_as_it_is_retained() {
        let mut log = log(10);
        let since = |log: &Log, ms| log.appended_since(Instant::from_ms(ms));
        let counts = [0, 1, 899, 900, 901].map(|ms| since(&log, ms));
        assert_eq!((counts, log.newest_at()), ([10, 9, 1, 1, 0], Some(Instant::from_ms(900))));
        log.trim(&Retention { messages: 2, ..LARGE }, Instant::default());
        assert_eq!((since(&log, 0), log.bytes()), (2, 2 * message(10).cost_bytes()));
        log.trim(&Retention { messages: 0, ..LARGE }, Instant::default());
        assert_eq!((since(&log, 0), log.newest_at(), log.bytes()), (0, None, 0));
    }

    #[test]
    fn encodings_are_made_once_counted_and_forgotten_with_their_message() {
        let topic = TopicName::parse(b"t").unwrap();
        let mut log = log(2);
        let before = log.memory_bytes();
        let first = log.chunk(&topic, 1, Format::Sse, Encoded::framed, true);
        let second = log.chunk(&topic, 1, Format::Sse, Encoded::framed, true);
        assert!(std::ptr::eq(first.as_slice(), second.as_slice()), "the same bytes are shared");
        assert!(log.memory_bytes() > before);
        let kept = log.memory_bytes();
        log.chunk(&topic, 2, Format::Sse, Encoded::framed, false);
        assert_eq!(log.memory_bytes(), kept);
        log.trim(&Retention { messages: 1, ..LARGE }, Instant::default());
        assert_eq!(log.memory_bytes(), before / 2);
    }

    #[test]
    fn who_asks_second_from_a_place_has_the_messages_joined_and_all_who_follow_share_that() {
        let topic = TopicName::parse(b"t").unwrap();
        let mut log = log(5);
        let ask = |log: &mut Log, first, bytes_max| log.run(&topic, first, Format::Sse, bytes_max);
        assert!(ask(&mut log, 2, 1_000).is_none(), "who asks first");
        let (joined, messages) = ask(&mut log, 2, 1_000).unwrap();
        let apart: Vec<u8> = (2..=5)
            .flat_map(|sequence| {
                let one = log.chunk(&topic, sequence, Format::Sse, Encoded::framed, true);
                one.as_slice().to_vec()
            })
            .collect();
        assert_eq!((joined.as_slice(), messages), (&apart[..], 4));
        let encoded = log.memory_bytes();
        assert!(std::ptr::eq(ask(&mut log, 2, 1_000).unwrap().0.as_slice(), joined.as_slice()));
        assert!(ask(&mut log, 2, joined.len() - 1).is_none(), "it does not fit");
        log.trim(&Retention { messages: 4, ..LARGE }, Instant::default());
        assert!(ask(&mut log, 2, 1_000).is_some());
        log.forget_runs();
        assert!(log.memory_bytes() < encoded - joined.len(), "nothing of it is left");
        for _ in 0..2 {
            assert!(ask(&mut log, 5, 1_000).is_none(), "a single message is no run");
        }
        for _ in 0..2 {
            ask(&mut log, 3, 1_000);
        }
        log.trim(&Retention { messages: 2, ..LARGE }, Instant::default());
        let before = log.memory_bytes();
        log.forget_runs();
        assert_eq!(log.memory_bytes(), before, "a run goes with its first message");
    }

    #[test]
    fn a_replica_does_not_count_the_payloads_of_its_owner() {
        let mut replica = Log::replica();
        replica.append(message(100_000), Instant::default());
        assert_eq!(replica.memory_bytes(), OVERHEAD_BYTES);
        replica.reset(Epoch::from_random(8), 1);
        replica.append(message(100_000), Instant::default());
        assert_eq!(replica.memory_bytes(), OVERHEAD_BYTES);
    }

    #[test]
    fn attack_190_the_last_sequence_number_is_assigned_once_and_nothing_wraps() {
        let mut log = Log::new(Epoch::from_random(9), u64::MAX - 2);
        assert_eq!(log.append(message(1), Instant::default()), u64::MAX - 2);
        assert!(!log.is_used_up());
        assert_eq!(log.append(message(1), Instant::default()), u64::MAX - 1);
        assert!(log.is_used_up());
        log.trim(&Retention { messages: 1, ..LARGE }, Instant::default());
        assert_eq!((log.len(), log.first_seq(), log.is_used_up()), (1, u64::MAX - 1, true));
        log.trim(&Retention { age_ms: 0, ..LARGE }, Instant::default());
        assert_eq!((log.len(), log.next_seq(), log.is_used_up()), (0, u64::MAX, true));
    }

    #[test]
    #[should_panic(expected = "do not wrap")]
    fn attack_190_appending_to_a_log_that_is_used_up_is_our_bug() {
        Log::new(Epoch::from_random(9), u64::MAX).append(message(1), Instant::default());
    }

    #[test]
    fn another_epoch_begins_empty() {
        let mut log = log(3);
        log.reset(Epoch::from_random(5), 1);
        assert_eq!((log.life(), log.next_seq(), log.memory_bytes()), (1, 1, 0));
    }

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn an_entry_is_held_to_its_size() {
        // One for each message retained by an owner and by each follower; `OVERHEAD_BYTES` counts on it.
        assert_eq!(size_of::<Entry>(), 56);
    }
}
