//! Those who come to the server: models of clients, honest and hostile, each written from the protocol alone.
//!
//! A client is woken when bytes or an end have come, or its time has; in steps of the history it does
//! something of its own accord. What it does and what it is told it says to the judge at once.

mod asking;
pub(crate) mod auditor;
mod batcher;
mod deleter;
mod draft;
mod hostile;
mod line;
mod observer;
mod publisher;
mod raw;
mod reader;
pub(crate) mod sentinel;
mod talker;

use fastrand::Rng;

use crate::coverage::{Coverage, Event, Mark};
use crate::judge::Judge;
use crate::net::End;
use crate::topics::{TOPICS_MAX, name};
use crate::trace::Trace;
use crate::wires::Told;
use crate::wires::http::segment;
use crate::world::World;

pub(crate) use self::line::{Leaving, Line};

/// What a client can do, and who is told of it.
pub(crate) struct Hands<'a> {
    pub(crate) world: &'a mut World,
    pub(crate) judge: &'a mut Judge,
    pub(crate) random: &'a mut Rng,
    pub(crate) trace: &'a mut Trace,
    pub(crate) coverage: &'a mut Coverage,
    /// The client's number.
    pub(crate) number: usize,
    /// How many topics there are in this run.
    pub(crate) topics: usize,
    /// Nothing goes wrong any more: clients read all they can, at once, and try nothing.
    pub(crate) calm: bool,
}

impl Hands<'_> {
    pub(crate) fn now_ms(&self) -> u64 {
        self.world.now_ms()
    }

    pub(crate) fn note(&mut self, what: impl FnOnce() -> String) {
        let (now_ms, number) = (self.now_ms(), self.number);
        self.trace.note(now_ms, || format!("client {number}: {}", what()));
    }

    /// A stream tells the client this.
    pub(crate) fn hear(&mut self, told: &Told) {
        self.coverage.note_told(told);
        self.note(|| format!("is told {told:?}"));
    }

    /// A connection of the client's has ended by itself. If an answer or a stream `is_owed`, and the client
    /// had taken all that there was, there must have been a reason.
    pub(crate) fn note_end(&mut self, line: &Line, end: End, is_owed: bool) {
        assert!(
            !(is_owed && line.is_unexplained(self.world)),
            "client {} is cut off for no reason: {end:?}",
            self.number
        );
        self.reach(match end {
            End::Finished => Event::CutOff,
            End::Reset => Event::CutReset,
        });
        self.note(|| format!("is cut off: {end:?}"));
    }

    /// This has come about.
    pub(crate) fn reach(&mut self, event: Event) {
        self.coverage.reach(Mark::Event(event));
    }

    /// One to `most` different topics.
    pub(crate) fn some_topics(&mut self, most: usize) -> Vec<usize> {
        let mut topics: Vec<usize> = (0..self.topics).collect();
        self.random.shuffle(&mut topics);
        topics.truncate(self.random.usize(1..=most));
        topics
    }
}

/// The path of some topics, in the order given.
pub(crate) fn path(topics: &[usize]) -> String {
    let names: Vec<String> = topics.iter().map(|&topic| segment(name(topic))).collect();
    format!("/topics/{}", names.join(","))
}

/// A client of any kind.
pub(crate) trait Actor {
    /// Whether it waits for what others publish, and not only for answers.
    fn is_reader(&self) -> bool {
        true
    }

    /// Whether there is something for it now.
    fn is_awake(&self, world: &World) -> bool;

    /// Whether it has a connection on which it would be told of a message at once.
    fn is_listening(&self, _world: &World) -> bool {
        false
    }

    /// When its time comes if nothing else does; never: `u64::MAX`.
    fn wakes_at_ms(&self, world: &World) -> u64;

    /// Takes what has come.
    fn wake(&mut self, hands: &mut Hands<'_>);

    /// Does something of its own accord.
    fn act(&mut self, hands: &mut Hands<'_>);

    /// Whether it has everything that it can expect, once nothing goes wrong any more.
    fn is_content(&self, judge: &mut Judge) -> bool;

    /// Goes for good.
    fn leave(&mut self, hands: &mut Hands<'_>, how: Leaving);

    /// What it is and what it waits for.
    fn describe(&self) -> String;
}

/// In the place of a client that was dismissed.
pub(crate) struct Nobody;

impl Actor for Nobody {
    fn is_reader(&self) -> bool {
        false
    }

    fn is_awake(&self, _world: &World) -> bool {
        false
    }

    fn wakes_at_ms(&self, _world: &World) -> u64 {
        u64::MAX
    }

    fn wake(&mut self, _hands: &mut Hands<'_>) {}

    fn act(&mut self, _hands: &mut Hands<'_>) {}

    fn is_content(&self, _judge: &mut Judge) -> bool {
        true
    }

    fn leave(&mut self, _hands: &mut Hands<'_>, _how: Leaving) {}

    fn describe(&self) -> String {
        "nobody".to_owned()
    }
}

/// What kind of client comes.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Reads on one wire, or on all of them in turn with one cursor.
    Reader,
    /// Publishes with POST, pipelined, and repeats what has a key when it is cut.
    Publisher,
    /// Listens to one topic on a raw WebSocket, and publishes on it.
    Raw,
    /// Speaks `tidings.json`: listens to more and to less, publishes, pings.
    Talker,
    /// Sends what nobody should, holds on to what it gets, and publishes nothing.
    Hostile,
    /// Publishes with batches that take their time.
    Batcher,
    /// Deletes a topic, rarely.
    Deleter,
    /// Asks for everything that is not a message.
    Observer,
}

impl Role {
    /// Any of them; most are readers and publishers.
    pub(crate) fn draw(random: &mut Rng) -> Self {
        match random.u8(0..20) {
            0..8 => Self::Reader,
            8..10 => Self::Raw,
            10..13 => Self::Talker,
            13 => Self::Hostile,
            14..16 => Self::Batcher,
            16 => Self::Deleter,
            17 => Self::Observer,
            _ => Self::Publisher,
        }
    }

    /// A client of this kind, which has not done anything yet.
    pub(crate) fn begin(self, random: &mut Rng, topics: usize) -> Box<dyn Actor> {
        debug_assert!((1..=TOPICS_MAX).contains(&topics), "there are topics");
        match self {
            Self::Reader => Box::new(reader::Reader::draw(random, topics)),
            Self::Publisher => Box::new(publisher::Publisher::draw(random)),
            Self::Raw => Box::new(raw::Raw::draw(random, topics)),
            Self::Talker => Box::new(talker::Talker::draw(random, topics)),
            Self::Hostile => Box::new(hostile::Hostile::new()),
            Self::Batcher => Box::new(batcher::Batcher::draw(random)),
            Self::Deleter => Box::new(deleter::Deleter::new()),
            Self::Observer => Box::new(observer::Observer::draw(random)),
        }
    }
}
