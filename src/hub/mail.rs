//! What workers tell each other: plain values, carried over channels by the reactor.

use std::sync::Arc;

use crate::time::Instant;
use crate::topic::{Epoch, History, IdempotencyKey, Message, Outcome, Refusal, Ticket, TopicName};

/// A topic inside one worker's hub, safe against reused slots.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct TopicKey {
    pub(super) slot: u32,
    pub(super) generation: u32,
}

/// One letter. Letters from one worker to another arrive in the order in which they were sent.
#[derive(Debug)]
pub enum Mail {
    /// To the owner: sequence this message, and answer the ticket.
    Publish {
        /// Where to.
        topic: TopicName,
        /// What.
        message: Arc<Message>,
        /// The publisher's name for this publish.
        key: Option<IdempotencyKey>,
        /// Whom to answer.
        ticket: Ticket,
    },
    /// To the owner: empty this topic and begin a new epoch, and answer the ticket.
    Delete {
        /// Which topic.
        topic: TopicName,
        /// Whom to answer.
        ticket: Ticket,
    },
    /// From the owner: how a publish or a deletion ended.
    Answer {
        /// Whose.
        ticket: Ticket,
        /// How.
        outcome: Outcome,
    },
    /// To the owner: keep a replica of this topic supplied.
    Follow {
        /// Which topic.
        topic: TopicName,
        /// The replica in the sender's hub.
        replica: TopicKey,
        /// It was supplied before, by an owner that has failed: its subscribers were let in already.
        again: bool,
    },
    /// From the owner: the replica begins so; what is retained follows.
    Followed {
        /// The follower's replica.
        replica: TopicKey,
        /// The topic in the owner's hub.
        topic: TopicKey,
        /// The topic's epochs.
        history: Box<History>,
        /// The first message retained, which is appended next.
        first_seq: u64,
        /// The replica is good when it has reached this.
        next_seq: u64,
    },
    /// From the owner: there will be no replica.
    FollowRefused {
        /// The follower's replica.
        replica: TopicKey,
        /// Why.
        refusal: Refusal,
    },
    /// From the owner: the next message of a replica.
    Append {
        /// The follower's replica.
        replica: TopicKey,
        /// The message.
        message: Arc<Message>,
        /// When the owner appended it, from which it ages.
        appended_at: Instant,
    },
    /// From the owner: messages were trimmed before they could be mailed.
    Skip {
        /// The follower's replica.
        replica: TopicKey,
        /// The message that is appended next.
        first_seq: u64,
    },
    /// From the owner: a new epoch has begun, because the topic was deleted, or what sequences it outside is another.
    Reset {
        /// The follower's replica.
        replica: TopicKey,
        /// The topic's epochs.
        history: Box<History>,
        /// The replica's messages before this one are those of the topic still; it is appended next.
        /// 0: none are, and the next one is message 1.
        good_until: u64,
    },
    /// To the owner: how far is this topic's log?
    Question {
        /// The topic in the owner's hub.
        topic: TopicKey,
        /// The follower's replica.
        replica: TopicKey,
        /// Which question of the sender's this is.
        number: u32,
    },
    /// From the owner: this far. What the replica lacks of it is on its way, or waits for credit.
    Reached {
        /// The follower's replica.
        replica: TopicKey,
        /// Which question this answers.
        number: u32,
        /// The topic's epoch.
        epoch: Epoch,
        /// The sequence of the next message.
        next_seq: u64,
    },
    /// To the owner: this replica is given up.
    Unfollow {
        /// The topic in the owner's hub.
        topic: TopicKey,
    },
    /// To the owner: letters worth so many units of credit were taken in.
    Credit {
        /// Units: see [`credit_units`]; 1 for a letter without a message.
        units: u32,
    },
}

impl Mail {
    /// Units of credit that this letter costs its sender: letters that supply a replica do, so that a
    /// worker which stands still is sent no more than it has given credit for.
    pub(super) fn credit_units(&self) -> u32 {
        match self {
            Self::Append { message, .. } => credit_units(message),
            Self::Skip { .. } | Self::Reset { .. } => 1,
            _ => 0,
        }
    }
}

/// What a message on its way to a follower counts: 1, and 1 more for every 16 KiB.
pub fn credit_units(message: &Message) -> u32 {
    1 + u32::try_from(message.cost_bytes() / (16 * 1024)).unwrap_or(u32::MAX - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn a_letter_is_held_to_its_size() {
        // A channel between workers has room for thousands, allocated when the server starts.
        assert_eq!(size_of::<Mail>(), 56);
    }
}
