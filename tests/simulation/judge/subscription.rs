//! What one subscription was told, topic by topic, and what it must be told next.

use std::collections::VecDeque;

use super::ledger::Place;
use super::position::Position;
use super::shadow::{Floor, PublishId, Shadow};
use super::{Start, Wants};
use crate::topics::name;

/// How far a subscription is in one topic.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// It has not been told where it begins.
    Unsaid,
    /// Its cursor is good in no log: it must be told of a gap of unknown size.
    Nowhere,
    /// It was told of a gap of unknown size, and not where that ends.
    BehindGap,
    /// It has everything up to this message of this life of the topic.
    Position { life: usize, sequence: u64 },
}

/// One topic of a subscription.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) topic: usize,
    start: Start,
    wants: Wants,
    pub(super) at: At,
    /// What was acknowledged when it was asked for.
    floor: Option<Floor>,
    /// Where it was before the gap that it is behind, or that must be declared.
    left: Option<Place>,
    /// So many messages it was told are gone, on whatever way from where it is. Where servers share a Redis only.
    skipped: u64,
}

#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) what: String,
    pub(super) wants: Wants,
    /// In the order of the topics' names.
    pub(super) tracks: Vec<Track>,
    /// Topics that were asked for later, request by request.
    pub(super) coming: VecDeque<Vec<Track>>,
    pub(super) is_open: bool,
    /// The message that it was told of last.
    pub(super) last: Option<PublishId>,
    /// A raw WebSocket: the last place that is known, and what it was told of behind that.
    placed: Option<(usize, u64)>,
    unplaced: VecDeque<PublishId>,
}

impl Subscription {
    pub(super) fn new(what: &str, wants: Wants, tracks: Vec<Track>) -> Self {
        Self {
            what: what.to_owned(),
            wants,
            tracks,
            coming: VecDeque::new(),
            is_open: false,
            last: None,
            placed: None,
            unplaced: VecDeque::new(),
        }
    }

    pub(super) fn index(&self, topic: usize) -> usize {
        let index = self.tracks.iter().position(|track| track.topic == topic);
        index.unwrap_or_else(|| panic!("{} is told of topic {topic}", self.what))
    }

    pub(super) fn positions(&self, cursor: &str) -> Vec<Position> {
        Position::parse_all(cursor, self.tracks.len())
    }

    /// A cursor says of every topic where the subscription is.
    pub(super) fn check_cursor(&self, shadow: &mut Shadow, cursor: &str) {
        for (track, position) in self.tracks.iter().zip(self.positions(cursor)) {
            // A gap of unknown size that is due is not known here yet.
            if position.is_nowhere() || track.at == At::Unsaid {
                continue;
            }
            let (life, sequence) = shadow.stand(track.topic, &position);
            let at = At::Position { life, sequence };
            assert!(
                track.at == at,
                "{} is given the cursor {cursor}, but is at {:?} in topic {}",
                self.what,
                track.at,
                track.topic
            );
        }
    }

    /// A raw WebSocket is told no places: what it is told is checked as far as others were told of them.
    pub(super) fn take_raw(&mut self, shadow: &Shadow, publish: PublishId) {
        assert!(
            shadow.may_be_again(publish) || !self.unplaced.contains(&publish),
            "{} is told of {} twice",
            self.what,
            shadow.say(publish)
        );
        self.unplaced.push_back(publish);
        self.place_raw(shadow);
    }

    pub(super) fn place_raw(&mut self, shadow: &Shadow) {
        for index in (0..self.unplaced.len()).rev() {
            let publish = self.unplaced[index];
            match *shadow.places(publish) {
                [] => (),
                [(life, sequence)] if !shadow.may_be_again(publish) => {
                    return self.place_up_to(shadow, index, life, sequence);
                }
                // It may have been published twice, as its key was forgotten: it may be either.
                _ => {
                    self.unplaced.drain(..=index);
                    (self.placed, self.is_open) = (None, true);
                    return;
                }
            }
        }
    }

    /// The messages up to `index` end with `sequence` of a life: so they are dense behind the last known.
    fn place_up_to(&mut self, shadow: &Shadow, index: usize, life: usize, sequence: u64) {
        let told = index as u64 + 1;
        let say = || shadow.say(self.unplaced[index]);
        if let Some(before) = self.placed {
            let topic = self.tracks[0].topic;
            assert!(
                shadow.leads(topic, before, told, (life, sequence)),
                "{} was told of {told} messages behind {before:?}, and is at {life}-{sequence} with {}",
                self.what,
                say()
            );
        } else if !self.is_open {
            let (track, begun) = (&self.tracks[0], sequence.saturating_sub(told));
            match (&track.start, &track.floor) {
                (Start::Earliest, _) => shadow.check_gone(track.topic, life, begun, &self.what),
                (_, Some(floor)) => {
                    shadow.check_floor(track.topic, floor, life, begun, &self.what);
                }
                _ => (),
            }
        }
        self.placed = Some((life, sequence));
        self.is_open = true;
        self.unplaced.drain(..=index);
    }
}

impl Track {
    /// Tracks of a request that begins now, in the order of the topics' names.
    pub(super) fn all(
        shadow: &mut Shadow,
        wants: Wants,
        topics: &[usize],
        start: &Start,
    ) -> Vec<Self> {
        let mut topics = topics.to_vec();
        topics.sort_by_key(|&topic| name(topic));
        let mut positions = match start {
            Start::Cursor(text) => Position::parse_all(text, topics.len()),
            _ => Vec::new(),
        };
        positions.reverse();
        let mut track = |topic| {
            let at = match positions.pop() {
                None => At::Unsaid,
                Some(position) if position.is_nowhere() => At::Nowhere,
                Some(position) => {
                    let (life, sequence) = shadow.stand(topic, &position);
                    At::Position { life, sequence }
                }
            };
            let (start, floor) = (start.clone(), shadow.floor(topic));
            Self { topic, start, wants, at, floor, left: None, skipped: 0 }
        };
        topics.into_iter().map(&mut track).collect()
    }

    /// It is told where it begins.
    pub(super) fn open(&mut self, shadow: &mut Shadow, position: &Position, what: &str) {
        let topic = self.topic;
        if let Start::Cursor(_) = self.start {
            match self.at {
                At::Position { life, sequence } if position.is_nowhere() => {
                    (self.at, self.left) = (At::Nowhere, Some((life, sequence)));
                }
                At::Position { life, sequence } => assert!(
                    (life, sequence) == shadow.stand(topic, position),
                    "{what} is begun at {position:?} in topic {topic}, and asked for {sequence}"
                ),
                _ => assert!(position.is_nowhere(), "{what}: topic {topic} needs a gap first"),
            }
            return;
        }
        if position.is_nowhere() && self.wants == Wants::Poll {
            // It was parked when the topic's owner failed: nobody knows yet what comes next.
            self.at = At::Nowhere;
            return;
        }
        assert!(!position.is_nowhere(), "{what} is begun nowhere in topic {topic}");
        let (life, sequence) = shadow.stand(topic, position);
        shadow.check_ceiling(topic, life, sequence, what);
        self.at = At::Position { life, sequence };
        match self.start {
            Start::Earliest => shadow.check_gone(topic, life, sequence, what),
            Start::Last(count) => {
                shadow.check_last(topic, life, sequence, count);
                self.check_floor(shadow, count, what);
            }
            _ => self.check_floor(shadow, 0, what),
        }
    }

    /// If there are `more` messages behind where it is, it has everything that was acknowledged before it
    /// was asked for.
    pub(super) fn check_floor(&self, shadow: &Shadow, more: u64, what: &str) {
        if let (At::Position { life, sequence }, Some(floor)) = (self.at, &self.floor) {
            shadow.check_floor(self.topic, floor, life, sequence.saturating_add(more), what);
        }
    }

    /// It is told of a message.
    pub(super) fn advance(&mut self, shadow: &mut Shadow, position: &Position, what: &str) {
        let (life, _) = shadow.stand(self.topic, position);
        let before = Position { sequence: position.sequence - 1, ..position.clone() };
        self.settle(shadow, &before, what);
        match self.at {
            At::Position { .. } | At::Nowhere => (),
            // A poll says where it began with its first message.
            At::Unsaid => self.open(shadow, &before, what),
            At::BehindGap => self.land(shadow, &before, what),
        }
        let (topic, sequence) = (self.topic, position.sequence);
        match self.at {
            At::Position { life: at_life, sequence: at }
                if shadow.leads(topic, (at_life, at), 1, (life, sequence)) =>
            {
                self.at = At::Position { life, sequence };
            }
            At::Position { life: at, .. } if at != life => {
                panic!("{what} is led into another epoch of topic {topic} without a gap")
            }
            At::Position { sequence: at, .. } if sequence > at + 1 => {
                panic!("{what}: topic {topic} goes from {at} to {sequence} without a gap")
            }
            At::Position { sequence: at, .. } if sequence <= at => {
                panic!("{what}: topic {topic} goes from {at} back to {sequence}")
            }
            _ => panic!("{what}: topic {topic} needs a gap before {sequence}"),
        }
    }

    /// It is told of a gap.
    pub(super) fn gap(&mut self, shadow: &Shadow, count: Option<u64>, what: &str) {
        let is_poll = self.wants == Wants::Poll;
        let topic = self.topic;
        match (self.at, count) {
            (At::Position { life, sequence }, Some(count)) => {
                assert!(count > 0, "{what} is told of a gap of nothing in topic {topic}");
                if shadow.is_shared() {
                    self.skipped += count;
                    return;
                }
                let sequence = sequence + count;
                shadow.check_gone(topic, life, sequence, what);
                self.at = At::Position { life, sequence };
            }
            (At::Position { life, sequence }, None) => {
                (self.at, self.left) = (At::BehindGap, Some((life, sequence)));
                self.skipped = 0;
            }
            (At::Nowhere, None) => self.at = At::BehindGap,
            // A poll that was parked before anything was said of where it begins.
            (At::Unsaid, None) if is_poll => self.at = At::BehindGap,
            (At::Unsaid, Some(_)) if is_poll => (),
            (at, _) => panic!("{what} is told of a gap of {count:?} in topic {topic}, at {at:?}"),
        }
    }

    /// It is told where the gap ends whose size it was told, if there is one: that is on a way on from where it was.
    pub(super) fn settle(&mut self, shadow: &mut Shadow, position: &Position, what: &str) {
        let At::Position { life, sequence } = self.at else { return };
        if self.skipped == 0 {
            return;
        }
        let place = shadow.stand(self.topic, position);
        assert!(
            shadow.leads(self.topic, (life, sequence), self.skipped, place),
            "{what} is told that {} messages of topic {} are gone: from {sequence} to {position:?}",
            self.skipped,
            self.topic
        );
        shadow.check_gone(self.topic, place.0, place.1, what);
        (self.at, self.skipped) = (At::Position { life: place.0, sequence: place.1 }, 0);
    }

    /// It is told where the gap of unknown size ends.
    pub(super) fn land(&mut self, shadow: &mut Shadow, position: &Position, what: &str) {
        let topic = self.topic;
        assert!(!position.is_nowhere(), "{what}: a gap of topic {topic} ends nowhere");
        let (life, sequence) = shadow.stand(topic, position);
        if shadow.is_shared() {
            // Who asked for what is new, and was never told where that begins, may be anywhere.
            if self.left.is_some() || !matches!(self.start, Start::Latest | Start::Last(_)) {
                shadow.check_landing(topic, self.left, (life, sequence), what);
            }
        } else {
            let left = self.left.map(|(left, _)| left);
            assert!(
                left != Some(life),
                "{what} is told that an epoch of topic {topic} has ended, and is in it: {position:?}"
            );
            if let Some(left) = left {
                shadow.check_not_before(topic, life, left, what);
            }
            shadow.check_ceiling(topic, life, sequence, what);
            shadow.check_gone(topic, life, sequence, what);
        }
        self.at = At::Position { life, sequence };
        self.left = None;
    }
}
