//! What a hub asks of the backplane, which sequences its topics outside of this process, and what it is told:
//! plain values. The two never meet but in the worker.

use std::sync::Arc;

use super::cursor::{Epoch, Position};
use super::log::Retention;
use super::message::{IdempotencyKey, Message};
use super::name::TopicName;
use super::topics::{Outcome, Refusal};

/// Something that a hub wants of the backplane. Of those with a `number` each is answered by exactly one
/// [`Report`] with that number.
#[derive(Clone, Debug)]
pub enum Request {
    /// Sequence this message. Answered by [`Report::Done`].
    Publish {
        /// The asker's own.
        number: u32,
        /// Where to.
        topic: TopicName,
        /// What.
        message: Arc<Message>,
        /// The publisher's name for this publish.
        key: Option<IdempotencyKey>,
        /// How much the topic retains.
        retention: Retention,
    },
    /// Empty the topic, and begin another epoch. Answered by [`Report::Done`].
    Delete {
        /// The asker's own.
        number: u32,
        /// Which topic.
        topic: TopicName,
    },
    /// Hear what is published to this topic from now on. Answered by [`Report::Listening`], and again each time that
    /// something may have been missed.
    Listen {
        /// Which topic.
        topic: TopicName,
    },
    /// Hear it no longer.
    Leave {
        /// Which topic.
        topic: TopicName,
    },
    /// Look what there is of a topic, which begins if it was not there. Answered by [`Report::Read`].
    Read {
        /// The asker's own.
        number: u32,
        /// Which topic.
        topic: TopicName,
        /// The first message wanted; 0: all that is retained.
        from: u64,
        /// How much the topic retains.
        retention: Retention,
    },
}

/// What a hub is told by the backplane.
#[derive(Debug)]
pub enum Report {
    /// How a publish or a deletion has ended.
    Done {
        /// Which.
        number: u32,
        /// How.
        outcome: Outcome,
    },
    /// From now on what is published to this topic is heard. What was before may have been missed.
    Listening {
        /// Which topic.
        topic: TopicName,
    },
    /// A message was published, by whomever.
    Heard {
        /// To which topic.
        topic: TopicName,
        /// Where it stands. Sequence 0: the topic has begun anew, and there is no message.
        position: Position,
        /// The message: see [`Message::parse_record`].
        record: Vec<u8>,
    },
    /// What there is of a topic, or why nobody can say now.
    Read {
        /// Who has asked.
        number: u32,
        /// What was found.
        page: Result<Page, Refusal>,
    },
    /// Whether the backplane can be reached, as far as reading goes.
    Reachable(bool),
}

/// Where an epoch of a topic begins. It ends where the next one begins, or at the head.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// Which epoch.
    pub epoch: Epoch,
    /// Its first message.
    pub first: u64,
}

/// Part of what a topic retains.
#[derive(Debug)]
pub struct Page {
    /// The epochs that are remembered, the oldest first; at least one.
    pub terms: Vec<Term>,
    /// The sequence of the topic's next message, when this was read.
    pub next_seq: u64,
    /// Messages from the first wanted on that are retained, in order. There may be more.
    pub entries: Vec<PageEntry>,
}

/// One message of a [`Page`].
#[derive(Debug)]
pub struct PageEntry {
    /// Its sequence.
    pub sequence: u64,
    /// Milliseconds since it was sequenced.
    pub age_ms: u64,
    /// The message: see [`Message::parse_record`].
    pub record: Vec<u8>,
}
