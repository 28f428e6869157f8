//! The channels that the hub wants to hear, and how far each is.
//!
//! ```text
//!             listen             sent              confirmed
//!   (absent) ───────▶ Queued ───────────▶ Asked ───────────▶ Heard
//!      ▲          leave │ ▲ listen          │ leave           │ leave
//!      │                ▼ │                 ▼                 ▼
//!      ├────────────── Dropped           Leaving ◀────────────┘
//!      │                                  │   ▲ leave
//!      └──────── unsubscribed ────────────┘   ▼ listen
//!                                          Returning ── unsubscribed ──▶ Queued
//! ```
//!
//! While there is no connection a channel is `Parked`. A channel that was left and is wanted again is asked for once it
//! was left: its confirmation might else be that of the first time, with a hole behind it.

use std::hash::{DefaultHasher, Hash, Hasher};

use hashbrown::HashTable;

use crate::topic::TopicName;

/// How far a channel is.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Wanted; there is no connection.
    Parked,
    /// Wanted, and among those that will be asked for.
    Queued,
    /// Among those that will be asked for, and not wanted.
    Dropped,
    /// Asked for.
    Asked,
    /// Confirmed.
    Heard,
    /// Not wanted; among those that will be left, or left and not confirmed.
    Leaving,
    /// As [`State::Leaving`], but wanted again.
    Returning,
}

#[derive(Debug)]
struct Channel {
    topic: TopicName,
    node: u16,
    state: State,
}

/// What is to be done about a channel.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Nothing,
    /// Put it among those that will be asked for.
    Queue,
    /// Put it among those that will be left.
    Leave,
    /// Say that it is heard.
    Heard,
}

/// All channels that are wanted, or are not left yet.
#[derive(Debug)]
pub(super) struct Channels {
    /// Nobody outside can choose names that meet in one place of the table.
    seed: u64,
    table: HashTable<Channel>,
}

impl Channels {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, table: HashTable::new() }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    fn hash(seed: u64, name: &[u8]) -> u64 {
        let mut hasher = DefaultHasher::new();
        (seed, name).hash(&mut hasher);
        hasher.finish()
    }

    fn find(&mut self, name: &[u8]) -> Option<&mut Channel> {
        let hash = Self::hash(self.seed, name);
        self.table.find_mut(hash, |channel| channel.topic.as_str().as_bytes() == name)
    }

    fn remove(&mut self, name: &[u8]) {
        let hash = Self::hash(self.seed, name);
        let is_it = |channel: &Channel| channel.topic.as_str().as_bytes() == name;
        if let Ok(entry) = self.table.find_entry(hash, is_it) {
            entry.remove();
            if self.table.is_empty() {
                self.table.shrink_to(0, |_| 0);
            }
        }
    }

    /// A topic is wanted, at this node, which has a connection or not.
    pub(super) fn listen(&mut self, topic: &TopicName, node: u16, is_ready: bool) -> Step {
        let state = if is_ready { State::Queued } else { State::Parked };
        let Some(channel) = self.find(topic.as_str().as_bytes()) else {
            let seed = self.seed;
            let hash_of = |topic: &TopicName| Self::hash(seed, topic.as_str().as_bytes());
            let channel = Channel { topic: topic.clone(), node, state };
            self.table.insert_unique(hash_of(topic), channel, |channel| hash_of(&channel.topic));
            return if is_ready { Step::Queue } else { Step::Nothing };
        };
        match channel.state {
            State::Heard => return Step::Heard,
            State::Dropped => channel.state = State::Queued,
            State::Leaving => channel.state = State::Returning,
            State::Parked | State::Queued | State::Asked | State::Returning => {}
        }
        Step::Nothing
    }

    /// A topic is not wanted any more. Says which node has its channel.
    pub(super) fn leave(&mut self, topic: &TopicName) -> (u16, Step) {
        let name = topic.as_str().as_bytes();
        let Some(channel) = self.find(name) else { return (0, Step::Nothing) };
        let (node, mut step) = (channel.node, Step::Nothing);
        match channel.state {
            State::Parked => self.remove(name),
            State::Queued => channel.state = State::Dropped,
            State::Asked | State::Heard => {
                channel.state = State::Leaving;
                step = Step::Leave;
            }
            State::Returning => channel.state = State::Leaving,
            State::Dropped | State::Leaving => {}
        }
        (node, step)
    }

    /// It is about to be asked for at this node: whether it should be.
    pub(super) fn ask(&mut self, topic: &TopicName, node: u16) -> bool {
        let name = topic.as_str().as_bytes();
        let Some(channel) = self.find(name).filter(|channel| channel.node == node) else {
            return false;
        };
        match channel.state {
            State::Queued => {
                channel.state = State::Asked;
                true
            }
            State::Dropped => {
                self.remove(name);
                false
            }
            _ => false,
        }
    }

    /// This node has confirmed it: the topic, if it is to be said.
    pub(super) fn confirm(&mut self, name: &[u8], node: u16) -> Option<TopicName> {
        let channel = self.find(name).filter(|channel| channel.node == node)?;
        if channel.state != State::Asked {
            return None;
        }
        channel.state = State::Heard;
        Some(channel.topic.clone())
    }

    /// Whether it was we who have left it.
    pub(super) fn is_left(&mut self, name: &[u8], node: u16) -> bool {
        let channel = self.find(name).filter(|channel| channel.node == node);
        channel.is_some_and(|it| matches!(it.state, State::Leaving | State::Returning))
    }

    /// This node sends no more of it: the topic, if it is to be asked for again.
    pub(super) fn unsubscribed(&mut self, name: &[u8], node: u16) -> Option<TopicName> {
        let channel = self.find(name).filter(|channel| channel.node == node)?;
        match channel.state {
            State::Leaving => {
                self.remove(name);
                None
            }
            // It was not we who ended it: its slot is on another node now.
            State::Returning | State::Asked | State::Heard => {
                channel.state = State::Queued;
                Some(channel.topic.clone())
            }
            State::Parked | State::Queued | State::Dropped => None,
        }
    }

    /// The topic of a message that came from this node, if it is wanted.
    pub(super) fn heard(&mut self, name: &[u8], node: u16) -> Option<&TopicName> {
        let channel = self.find(name).filter(|channel| channel.node == node)?;
        matches!(channel.state, State::Heard | State::Asked).then_some(&channel.topic)
    }

    /// This node's connection is gone.
    pub(super) fn park(&mut self, node: u16) {
        self.table.retain(|channel| {
            if channel.node != node {
                return true;
            }
            let is_wanted = !matches!(channel.state, State::Dropped | State::Leaving);
            channel.state = State::Parked;
            is_wanted
        });
    }

    /// This node has a connection: all that it is to be asked for.
    pub(super) fn unpark(&mut self, node: u16) -> Vec<TopicName> {
        let mut topics = Vec::new();
        for channel in &mut self.table {
            if channel.node == node && channel.state == State::Parked {
                channel.state = State::Queued;
                topics.push(channel.topic.clone());
            }
        }
        topics
    }

    /// Where topics belong has changed. Those that are elsewhere now are queued or parked there; what was asked for
    /// where they were is to be left there.
    pub(super) fn move_all(
        &mut self,
        place_of: impl Fn(&TopicName) -> Option<(u16, bool)>,
    ) -> Vec<Moved> {
        let mut moved = Vec::new();
        self.table.retain(|channel| {
            let Some((node, is_ready)) = place_of(&channel.topic) else { return true };
            if node == channel.node {
                return true;
            }
            let was_asked =
                !matches!(channel.state, State::Parked | State::Queued | State::Dropped);
            let is_wanted = !matches!(channel.state, State::Dropped | State::Leaving);
            let topic = channel.topic.clone();
            moved.push(Moved { topic, from: channel.node, to: node, was_asked, is_wanted });
            channel.node = node;
            channel.state = if is_ready { State::Queued } else { State::Parked };
            is_wanted
        });
        moved
    }
}

/// A channel that is elsewhere now.
#[derive(Debug)]
pub(super) struct Moved {
    pub(super) topic: TopicName,
    pub(super) from: u16,
    pub(super) to: u16,
    /// Whether it is to be left where it was.
    pub(super) was_asked: bool,
    /// Whether it is to be asked for where it is.
    pub(super) is_wanted: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str) -> TopicName {
        TopicName::parse(name.as_bytes()).unwrap()
    }

    #[test]
    fn a_channel_is_asked_for_once_and_said_when_it_is_confirmed() {
        let (mut channels, a) = (Channels::new(1), topic("a"));
        assert_eq!(channels.listen(&a, 0, true), Step::Queue);
        assert_eq!(channels.listen(&a, 0, true), Step::Nothing);
        assert!(channels.ask(&a, 0) && !channels.ask(&a, 0));
        assert_eq!(channels.confirm(b"a", 1), None, "that node was not asked");
        assert_eq!(channels.confirm(b"a", 0), Some(a.clone()));
        assert_eq!(channels.confirm(b"a", 0), None);
        assert_eq!(channels.listen(&a, 0, true), Step::Heard);
        assert_eq!(channels.leave(&a), (0, Step::Leave));
        assert_eq!(channels.heard(b"a", 0), None);
        assert_eq!(channels.unsubscribed(b"a", 0), None);
        assert_eq!(channels.len(), 0);
    }

    #[test]
    fn a_channel_that_was_left_and_is_wanted_again_is_asked_for_behind_the_leaving() {
        let (mut channels, a) = (Channels::new(1), topic("a"));
        channels.listen(&a, 0, true);
        channels.ask(&a, 0);
        assert_eq!(channels.leave(&a).1, Step::Leave);
        assert_eq!(channels.listen(&a, 0, true), Step::Nothing);
        assert_eq!(channels.confirm(b"a", 0), None, "it is the confirmation of the first time");
        assert_eq!(channels.unsubscribed(b"a", 0), Some(a.clone()));
        assert!(channels.ask(&a, 0));
        assert_eq!(channels.confirm(b"a", 0), Some(a));
    }

    #[test]
    fn whoever_comes_and_goes_without_a_connection_leaves_nothing() {
        let (mut channels, a) = (Channels::new(1), topic("a"));
        for is_ready in [false, true] {
            let mut queued = 0;
            for _ in 0..100 {
                queued += usize::from(channels.listen(&a, 0, is_ready) == Step::Queue);
                assert_eq!(channels.leave(&a).1, Step::Nothing);
            }
            assert_eq!(queued, usize::from(is_ready), "it is among them once at most");
            assert!(!channels.ask(&a, 0));
            assert_eq!(channels.len(), 0);
        }
    }

    #[test]
    fn what_was_wanted_is_asked_for_on_the_next_connection() {
        let mut channels = Channels::new(1);
        for name in ["a", "b", "c", "d"] {
            channels.listen(&topic(name), 0, true);
            channels.ask(&topic(name), 0);
        }
        channels.confirm(b"a", 0);
        channels.leave(&topic("b"));
        channels.leave(&topic("c"));
        channels.listen(&topic("c"), 0, true);
        channels.listen(&topic("e"), 1, true);
        channels.park(0);
        let mut again = channels.unpark(0);
        again.sort();
        assert_eq!(again, ["a", "c", "d"].map(topic));
        assert!(again.iter().all(|topic| channels.ask(topic, 0)));
    }

    #[test]
    fn channels_follow_their_slots() {
        let mut channels = Channels::new(1);
        for name in ["a", "b", "c"] {
            channels.listen(&topic(name), 0, true);
        }
        channels.ask(&topic("a"), 0);
        channels.ask(&topic("b"), 0);
        channels.leave(&topic("b"));
        let mut moved = channels.move_all(|_| Some((3, false)));
        moved.sort_by(|one, other| one.topic.cmp(&other.topic));
        let seen: Vec<_> = moved.iter().map(|moved| (moved.was_asked, moved.is_wanted)).collect();
        assert_eq!(seen, [(true, true), (true, false), (false, true)]);
        assert_eq!(channels.unsubscribed(b"a", 0), None, "it is not there any more");
        assert_eq!(channels.unpark(3).len(), 2);
    }

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn a_channel_is_held_to_its_size() {
        // One for each topic that somebody on this server waits on.
        assert_eq!(size_of::<Channel>(), 24);
    }
}
