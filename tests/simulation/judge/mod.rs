//! The judge: says whether anything was lost, repeated, out of order, or passed over in silence.
//!
//! Clients tell it what they are about to do and what they were told, at once. It holds that against its
//! shadow of every topic, and panics at the first thing that does not fit. It knows nothing of the
//! server's insides.
//!
//! For each subscription and topic: what is delivered, and the gaps declared, are exactly the messages
//! behind the cursor from which it began, in order, each once; a gap is declared only over what retention
//! may have taken, or over the end of an epoch, which has a cause; a cursor says where its reader is; whoever
//! asks after an acknowledgement sees what was acknowledged.

pub(crate) mod ledger;
mod position;
mod shadow;
mod shared;
mod subscription;

use slab::Slab;
use tidings::config::Config;

use self::position::Position;
use self::shadow::Shadow;
use self::subscription::{At, Subscription, Track};
use crate::topics::{TOPICS_MAX, name, number_of_topic};
use crate::wires::Payload;
use crate::wires::poll::Polled;

pub(crate) use self::shadow::{Deletion, PublishId, number_of};

/// Where a subscription begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    Earliest,
    Latest,
    Last(u64),
    Cursor(String),
}

/// How a subscription is told.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wants {
    /// One page.
    Poll,
    /// Ids, cursors, event names.
    Stream,
    /// Payloads.
    Raw,
}

/// One subscription: a stream from its request to its end, or one poll.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sub(usize);

/// What the judge has seen, for the summary of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) published: u64,
    pub(crate) acknowledged: u64,
    /// Repeats that were answered as such.
    pub(crate) repeated: u64,
    pub(crate) refused: u64,
    pub(crate) subscriptions: u64,
    pub(crate) delivered: u64,
    pub(crate) gaps: u64,
    pub(crate) unknown_gaps: u64,
}

impl Seen {
    /// Adds what was seen in another run.
    pub(crate) fn add(&mut self, other: &Self) {
        self.published += other.published;
        self.acknowledged += other.acknowledged;
        self.repeated += other.repeated;
        self.refused += other.refused;
        self.subscriptions += other.subscriptions;
        self.delivered += other.delivered;
        self.gaps += other.gaps;
        self.unknown_gaps += other.unknown_gaps;
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Judge {
    shadow: Shadow,
    subscriptions: Slab<Subscription>,
    pub(crate) seen: Seen,
}

impl Judge {
    pub(crate) fn new(config: &Config) -> Self {
        let shadow = Shadow::new(config, TOPICS_MAX);
        Self { shadow, subscriptions: Slab::new(), seen: Seen::default() }
    }

    /// What Redis has sequenced, if there is one.
    pub(crate) fn ledger(&self) -> Option<ledger::Shared> {
        self.shadow.ledger.clone()
    }

    /// The clock has moved.
    pub(crate) fn note_time(&mut self, now_ms: u64) {
        self.shadow.now_ms = now_ms;
    }

    // What clients publish.

    /// A client is about to publish a message whose payload nobody else has: see [`Judge::next_number`].
    pub(crate) fn draft(&mut self, topic: usize, payload: Payload, is_keyed: bool) -> PublishId {
        self.seen.published += 1;
        self.shadow.draft(topic, payload, is_keyed)
    }

    /// What must be in the payload of the next draft, behind a `#`.
    pub(crate) fn next_number(&self) -> usize {
        self.shadow.publishes.len()
    }

    /// The payload of a draft, and its key.
    pub(crate) fn draft_of(&self, id: PublishId) -> (usize, &Payload, Option<&str>) {
        let publish = &self.shadow.publishes[id.0];
        (publish.topic, &publish.payload, publish.key.as_deref())
    }

    /// The bytes of a publish leave its client now, perhaps not for the first time.
    pub(crate) fn send(&mut self, id: PublishId) {
        self.shadow.note_sent(id);
    }

    /// It was answered with this id.
    pub(crate) fn acknowledge(&mut self, id: PublishId, text: &str) {
        self.seen.acknowledged += 1;
        self.seen.repeated += u64::from(self.shadow.publishes[id.0].attempts > 1);
        self.shadow.note_acknowledged(id, &Position::parse(text));
    }

    /// It was refused: for good (no log has it), or nobody knows.
    pub(crate) fn refuse(&mut self, id: PublishId, for_good: bool) {
        self.seen.refused += 1;
        if for_good {
            self.shadow.note_refused(id);
        }
    }

    /// Two publishes went to one topic, one behind the other on one connection, and both were acknowledged.
    pub(crate) fn check_order(&self, first: PublishId, second: PublishId) {
        let places = |id| self.shadow.places(id);
        if let (&[one], &[other]) = (places(first), places(second))
            && one.0 == other.0
        {
            let (one, other) = (one.1, other.1);
            assert!(
                one < other,
                "{} went ahead of {}, but they are messages {one} and {other}",
                self.shadow.say(first),
                self.shadow.say(second)
            );
        }
    }

    /// A client is about to delete a topic.
    pub(crate) fn delete(&mut self, topic: usize) -> Deletion {
        self.shadow.note_deletion(topic)
    }

    /// A topic was deleted, and begins again at this cursor.
    pub(crate) fn deleted(&mut self, deletion: &Deletion, cursor: &str) {
        self.shadow.note_deleted(deletion, &Position::parse(cursor));
        self.shadow.note_deletion_done(deletion);
    }

    /// A deletion was refused: perhaps the topic is there as it was.
    pub(crate) fn not_deleted(&mut self, deletion: &Deletion) {
        self.shadow.note_deletion_done(deletion);
    }

    /// A worker has failed, or the process: any topic may begin anew.
    pub(crate) fn fail(&mut self) {
        self.shadow.note_cause(None);
    }

    // What clients are told.

    /// A request to read is about to be sent. `what` says whose it is, for complaints.
    pub(crate) fn begin(
        &mut self,
        what: &str,
        wants: Wants,
        topics: &[usize],
        start: &Start,
    ) -> Sub {
        self.seen.subscriptions += 1;
        let tracks = Track::all(&mut self.shadow, wants, topics, start);
        Sub(self.subscriptions.insert(Subscription::new(what, wants, tracks)))
    }

    /// Its connection has ended.
    pub(crate) fn end(&mut self, sub: Sub) {
        let mut subscription = self.subscriptions.remove(sub.0);
        subscription.place_raw(&self.shadow);
    }

    /// It is told from where it begins; a raw WebSocket only that.
    pub(crate) fn opened(&mut self, sub: Sub, cursor: Option<&str>) {
        let Self { shadow, subscriptions, .. } = self;
        let subscription = &mut subscriptions[sub.0];
        if subscription.wants == Wants::Raw {
            return;
        }
        assert!(!subscription.is_open, "{} is opened twice", subscription.what);
        subscription.is_open = true;
        assert_eq!(cursor.is_none(), subscription.tracks.is_empty(), "a cursor, if for something");
        let Some(cursor) = cursor else { return };
        let positions = subscription.positions(cursor);
        for (track, position) in subscription.tracks.iter_mut().zip(positions) {
            track.open(shadow, &position, &subscription.what);
        }
    }

    /// Topics are about to be asked for; those of them that it has begin anew when it is told.
    pub(crate) fn subscribe(&mut self, sub: Sub, topics: &[usize], start: &Start) {
        let tracks = Track::all(&mut self.shadow, Wants::Stream, topics, start);
        self.subscriptions[sub.0].coming.push_back(tracks);
    }

    /// It has the topics that it asked for first.
    pub(crate) fn subscribed(&mut self, sub: Sub, cursor: &str) {
        let Self { shadow, subscriptions, .. } = self;
        let subscription = &mut subscriptions[sub.0];
        let coming = subscription.coming.pop_front().expect("it has asked for topics");
        let topics: Vec<usize> = coming.iter().map(|track| track.topic).collect();
        subscription.tracks.retain(|track| !topics.contains(&track.topic));
        subscription.tracks.extend(coming);
        subscription.tracks.sort_by_key(|track| name(track.topic));
        let positions = subscription.positions(cursor);
        for (track, position) in subscription.tracks.iter_mut().zip(positions) {
            if topics.contains(&track.topic) {
                track.open(shadow, &position, &subscription.what);
            }
        }
        subscription.check_cursor(shadow, cursor);
    }

    /// It was refused the topics that it asked for first.
    pub(crate) fn not_subscribed(&mut self, sub: Sub) {
        self.subscriptions[sub.0].coming.pop_front().expect("it has asked for topics");
    }

    /// It has lost these topics, as it asked for.
    pub(crate) fn unsubscribed(&mut self, sub: Sub, topics: &[usize], cursor: Option<&str>) {
        let Self { shadow, subscriptions, .. } = self;
        let subscription = &mut subscriptions[sub.0];
        subscription.tracks.retain(|track| !topics.contains(&track.topic));
        assert_eq!(cursor.is_none(), subscription.tracks.is_empty(), "a cursor, if for something");
        if let Some(cursor) = cursor {
            subscription.check_cursor(shadow, cursor);
        }
    }

    /// It is told of a message, which is returned.
    pub(crate) fn message(
        &mut self,
        sub: Sub,
        topic: Option<&str>,
        id: Option<&str>,
        cursor: Option<&str>,
        payload: &Payload,
    ) -> PublishId {
        self.seen.delivered += 1;
        let Self { shadow, subscriptions, .. } = self;
        let subscription = &mut subscriptions[sub.0];
        let publish = shadow.recognise(payload, subscription.wants != Wants::Raw);
        let index = subscription.index(shadow.publishes[publish.0].topic);
        subscription.last = Some(publish);
        if let Some(topic) = topic {
            let is_right = number_of_topic(topic) == subscription.tracks[index].topic;
            assert!(is_right, "{} is told in topic {topic}", shadow.say(publish));
        }
        if subscription.wants == Wants::Raw {
            subscription.take_raw(shadow, publish);
            return publish;
        }
        let position = match (id, cursor) {
            (Some(id), _) => Position::parse(id),
            // Plain SSE: the place is that of the cursor.
            (None, Some(cursor)) => subscription.positions(cursor).swap_remove(index),
            (None, None) => panic!("{} is told of a message without a place", subscription.what),
        };
        let life = shadow.place(publish, &position);
        if let Some(time_ms) = payload.time_ms {
            shadow.note_time(publish, life, position.sequence, time_ms);
        }
        let is_poll = subscription.wants == Wants::Poll;
        assert!(
            is_poll || subscription.is_open,
            "{} is told before it is opened",
            subscription.what
        );
        subscription.tracks[index].advance(shadow, &position, &subscription.what);
        if let Some(cursor) = cursor {
            subscription.check_cursor(shadow, cursor);
        }
        publish
    }

    /// It is told of a gap. `cursor` is behind it, where the wire has one.
    pub(crate) fn gap(&mut self, sub: Sub, topic: &str, count: Option<u64>, cursor: Option<&str>) {
        match count {
            Some(_) => self.seen.gaps += 1,
            None => self.seen.unknown_gaps += 1,
        }
        let Self { shadow, subscriptions, .. } = self;
        let subscription = &mut subscriptions[sub.0];
        if subscription.wants == Wants::Raw {
            // It is over with this, and where it was is not known closely enough to say more.
            return;
        }
        let index = subscription.index(number_of_topic(topic));
        let track = &mut subscription.tracks[index];
        track.gap(shadow, count, &subscription.what);
        if let Some(cursor) = cursor {
            let position =
                Position::parse_all(cursor, subscription.tracks.len()).swap_remove(index);
            let track = &mut subscription.tracks[index];
            track.settle(shadow, &position, &subscription.what);
            if track.at == At::BehindGap {
                track.land(shadow, &position, &subscription.what);
            }
            subscription.check_cursor(shadow, cursor);
        }
    }

    /// A poll is answered, and over. Returns its messages.
    pub(crate) fn polled(&mut self, sub: Sub, polled: &Polled) -> Vec<PublishId> {
        for (topic, count) in &polled.gaps {
            self.gap(sub, topic, *count, None);
        }
        let messages = polled.messages.iter().map(|message| {
            let (topic, id) = (Some(message.topic.as_str()), Some(message.id.as_str()));
            self.message(sub, topic, id, None, &message.payload)
        });
        let messages = messages.collect();
        let Self { shadow, subscriptions, .. } = self;
        let subscription = &mut subscriptions[sub.0];
        let positions = subscription.positions(&polled.cursor);
        for (track, position) in subscription.tracks.iter_mut().zip(positions) {
            track.settle(shadow, &position, &subscription.what);
            match track.at {
                At::Unsaid => track.open(shadow, &position, &subscription.what),
                At::BehindGap => track.land(shadow, &position, &subscription.what),
                At::Position { .. } | At::Nowhere => (),
            }
        }
        subscription.check_cursor(shadow, &polled.cursor);
        if !polled.more {
            for track in &subscription.tracks {
                track.check_floor(shadow, 0, &subscription.what);
            }
        }
        self.end(sub);
        messages
    }

    /// A topic that is at rest was read from its earliest message to its end, or to that of a page.
    pub(crate) fn check_retained(&self, topic: usize, pages: &[Vec<PublishId>]) {
        self.shadow.check_retained(topic, pages);
    }

    /// Whether servers share a Redis, which may lose what it had.
    pub(crate) fn is_shared(&self) -> bool {
        self.shadow.is_shared()
    }

    /// A poll that was sent then, to wait for so many seconds, is answered with nothing.
    pub(crate) fn check_wait(&self, sent_ms: u64, seconds: u64) {
        self.shadow.check_wait(sent_ms, seconds);
    }

    // Whether everybody has what there is.

    /// Whether a cursor is at the last acknowledged message of each of its topics, or behind it.
    pub(crate) fn is_at_head(&mut self, topics: &[usize], cursor: &str) -> bool {
        let start = Start::Cursor(cursor.to_owned());
        let tracks = Track::all(&mut self.shadow, Wants::Poll, topics, &start);
        tracks.iter().all(|track| match track.at {
            At::Position { life, sequence } => self.shadow.is_head(track.topic, life, sequence),
            _ => false,
        })
    }

    /// Whether a message is the last one of its topic that was acknowledged, or behind it.
    pub(crate) fn is_last(&self, id: PublishId) -> bool {
        if self.shadow.is_shared() {
            let topic = self.shadow.publishes[id.0].topic;
            return self.shadow.last_of_redis(topic) == Some(id);
        }
        let topic = self.shadow.publishes[id.0].topic;
        let mut places = self.shadow.places(id).iter();
        places.any(|&(life, sequence)| self.shadow.is_head(topic, life, sequence))
    }

    /// The last message of a topic that was acknowledged, of the epoch that it is in.
    pub(crate) fn last_acknowledged(&self, topic: usize) -> Option<PublishId> {
        if self.shadow.is_shared() {
            return self.shadow.last_of_redis(topic);
        }
        let publishes = self.shadow.publishes.iter().enumerate().rev();
        let mut acknowledged = publishes.filter(|(_, it)| it.topic == topic && it.acknowledged);
        acknowledged.find_map(|(id, _)| Some(PublishId(id)).filter(|&id| self.is_last(id)))
    }

    /// The message that a subscription was told of last.
    pub(crate) fn last_told(&self, sub: Sub) -> Option<PublishId> {
        self.subscriptions[sub.0].last
    }
}
