//! What a connection needs of the topics. The hub provides it; the two never meet but in the worker.

use std::sync::Arc;

use super::cursor::Position;
use super::encoding::{Encoded, Format};
use super::log::{Log, Reach};
use super::message::{IdempotencyKey, Message};
use super::name::TopicName;
use crate::buffer::Chunk;
use crate::key::ConnectionKey;
use crate::time::Now;

/// A topic inside its worker's hub, valid while somebody is subscribed.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicId(pub u32);

/// Which request of which connection an answer belongs to.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    /// Who asked.
    pub connection: ConnectionKey,
    /// The asker's own count of its requests.
    pub number: u32,
}

/// Why a topic cannot do what is asked.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The number of topics is at its cap and this one is new.
    TopicsUsedUp,
    /// The memory for messages is used up.
    MemoryUsedUp,
    /// The message alone is larger than its topic may be.
    LargerThanLog,
    /// There is no such topic.
    NoSuchTopic,
    /// The worker that has the topic panicked before it had answered: whether it did what it was asked,
    /// nobody knows.
    OwnerFailed,
    /// Redis, which sequences the topics of this server, cannot be reached or does not take it: nothing was done.
    RedisAway,
    /// The connection to Redis was lost before it had answered: whether it did what it was asked, nobody knows.
    OutcomeUnknown,
    /// The message was sequenced, and fewer replicas than asked for have confirmed it.
    TooFewReplicas,
}

/// The end of a publish (the message's position) or of a deletion (the new epoch's beginning).
pub type Outcome = Result<Position, Refusal>;

/// How a publish or a deletion goes on.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Publishing {
    /// It is done.
    Done(Outcome),
    /// The outcome comes later, under the ticket.
    Pending,
    /// Too many are under way; nothing was done. Ask again when told.
    Busy,
}

/// What there is to see of a topic that somebody subscribed to.
#[derive(Debug)]
pub enum View<'a> {
    /// Its owner is being asked; the subscriber is told when there is more to see.
    Syncing,
    /// Its owner refused.
    Refused(Refusal),
    /// The log, or the replica of it.
    Live(&'a Log),
}

/// What is known of a topic that nobody need have used.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Glimpse {
    /// It is there.
    There {
        /// How far its log is.
        reach: Reach,
        /// The oldest message retained, or the next one if there is none.
        first_seq: u64,
    },
    /// It has not begun, or was forgotten.
    Unused,
    /// It is sequenced outside, and nothing of it is here now.
    Elsewhere,
}

/// The topics of a worker.
pub trait Topics {
    /// Publishes. `ticket` names the answer if it comes later.
    fn publish(
        &mut self,
        now: Now,
        topic: &TopicName,
        message: &Arc<Message>,
        key: Option<&IdempotencyKey>,
        ticket: Ticket,
    ) -> Publishing;

    /// Empties a topic's log and begins a new epoch.
    fn delete(&mut self, now: Now, topic: &TopicName, ticket: Ticket) -> Publishing;

    /// Subscribes: `subscriber` is visited whenever there may be something new. Returns the topic and the
    /// subscriber's seat, to leave it by.
    fn subscribe(
        &mut self,
        now: Now,
        topic: &TopicName,
        subscriber: ConnectionKey,
    ) -> Result<(TopicId, u32), Refusal>;

    /// Ends a subscription.
    fn unsubscribe(&mut self, now: Now, topic: TopicId, seat: u32);

    /// Bytes of memory that messages and bodies under way may still use.
    fn memory_left(&self) -> usize;

    /// What there is to see of a topic. The caller is subscribed.
    fn view(&self, topic: TopicId) -> View<'_>;

    /// Asks how far a topic's log is where its messages are sequenced: whoever has a cursor that is not good
    /// here may have been told more than this worker knows yet. Returns the number of the question, never
    /// 0; when it is answered the subscriber in `seat` is visited, who is the caller; the log is there.
    fn ask(&mut self, topic: TopicId, seat: u32) -> u32;

    /// How far the log was when that question, or a later one, was answered; `None`: not yet.
    fn answer(&self, topic: TopicId, question: u32) -> Option<Reach>;

    /// Whether what sequences the topics outside of this process cannot be asked now.
    fn is_cut_off(&self) -> bool;

    /// The topic's name. The caller is subscribed.
    fn name(&self, topic: TopicId) -> &TopicName;

    /// The bytes of a message that [`super::Edge::due`] said is there.
    fn chunk(
        &mut self,
        topic: TopicId,
        sequence: u64,
        format: Format,
        part: fn(&Encoded) -> Chunk,
    ) -> Chunk;

    /// The framed bytes of several such messages from `first` on in one piece of at most `bytes_max` bytes, and
    /// how many they are, if somebody asked from there before and others may follow.
    fn run(
        &mut self,
        topic: TopicId,
        first: u64,
        format: Format,
        bytes_max: usize,
    ) -> Option<(Chunk, u64)>;
}
