//! A subscriber with a cursor, which wanders from server to server by choice and whenever it is cut, or comes back to the same one.

use std::collections::BTreeMap;
use std::io::Result;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use crate::history::{Event, History};
use crate::shared::Shared;
use crate::wires::{Heard, Reading, Wire, is_passing};

/// How long it stays with a server at most.
const STAY_MS: u64 = 3_000;
/// Between two answers to a short poll.
const POLL_EVERY: Duration = Duration::from_millis(20);
/// How long a raw WebSocket's client waits to learn which message was its last.
const LEARN: Duration = Duration::from_secs(20);

pub struct Subscriber {
    pub name: String,
    pub wire: Wire,
    /// In the order of their bytes.
    pub topics: Vec<String>,
    pub shared: Arc<Shared>,
    random: fastrand::Rng,
    /// Where it stays, as long as it is not cut.
    home: Option<usize>,
    cursor: String,
    /// What a raw WebSocket has received last.
    last: Option<String>,
    events: BTreeMap<String, Vec<Event>>,
}

impl Subscriber {
    pub fn new(
        wire: Wire,
        number: usize,
        topics: Vec<String>,
        home: Option<usize>,
        shared: &Arc<Shared>,
    ) -> Self {
        let how = if home.is_some() { "at home" } else { "wandering" };
        Self {
            name: format!("{wire:?} {number}, {how}, of {}", topics.join(",")),
            home,
            wire,
            events: topics.iter().map(|topic| (topic.clone(), Vec::new())).collect(),
            topics,
            shared: Arc::clone(shared),
            random: fastrand::Rng::with_seed(number as u64),
            cursor: "earliest".to_owned(),
            last: None,
        }
    }

    /// Reads until everything has ended; returns what it received, topic by topic.
    pub fn run(mut self) -> Vec<History> {
        let mut has_begun = false;
        while !self.shared.has_ended() {
            if let Err(error) = self.stay(&mut has_begun) {
                if !is_passing(&error) {
                    self.shared.complain(format!("{}: {error}", self.name));
                }
                thread::sleep(Duration::from_millis(self.random.u64(10..100)));
            }
            self.shared.reconnections.fetch_add(1, Ordering::Relaxed);
        }
        let wanders = self.home.is_none();
        let history = |(topic, events)| {
            let subscriber = self.name.clone();
            History { subscriber, topic, wanders, events }
        };
        self.events.into_iter().map(history).collect()
    }

    /// Stays with one server for a while.
    fn stay(&mut self, has_begun: &mut bool) -> Result<()> {
        self.look_up_cursor();
        let address = self.shared.server(self.home.unwrap_or_else(|| self.random.usize(..64)));
        let mut reading = Reading::open(self.wire, address, &self.topics, &self.cursor)?;
        let until = Instant::now() + Duration::from_millis(self.random.u64(100..STAY_MS));
        while !self.shared.has_ended() && (Instant::now() < until || !*has_begun) {
            let heard = reading.read();
            // It has an answer of the server's, so its subscription stands.
            let knows = reading.cursor != "earliest" || self.wire == Wire::Raw;
            if knows && self.wire != Wire::Raw {
                reading.cursor.clone_into(&mut self.cursor);
            }
            if knows && !*has_begun {
                *has_begun = true;
                self.shared.begun.fetch_add(1, Ordering::AcqRel);
            }
            for one in heard? {
                self.note(one);
            }
            if self.wire == Wire::ShortPoll {
                thread::sleep(POLL_EVERY);
            }
        }
        Ok(())
    }

    /// A raw WebSocket has no cursor: its client knows from elsewhere which message was its last.
    fn look_up_cursor(&mut self) {
        let Some(last) = &self.last else { return };
        let began = Instant::now();
        // Where Redis may lose that message, what its publisher knows may be the id of its second copy.
        while !self.shared.may_lose && began.elapsed() < LEARN && !self.shared.has_ended() {
            if let Some(id) = self.shared.id_of(last) {
                self.cursor = id.to_string();
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        self.begin_anew();
    }

    fn begin_anew(&mut self) {
        self.last = None;
        "earliest".clone_into(&mut self.cursor);
        self.events.values_mut().for_each(|events| events.push(Event::Anew));
    }

    fn note(&mut self, heard: Heard) {
        let (topic, event) = match heard {
            Heard::Message { topic, payload, id } => {
                if payload.contains("/mark-") {
                    self.shared.reach(&payload, &self.name);
                }
                if self.wire == Wire::Raw {
                    self.last = Some(payload.clone());
                }
                (topic, Event::Message { payload, id })
            }
            Heard::Gap { topic, count, until } => (topic, Event::Gap { count, until }),
            Heard::Anew => return self.begin_anew(),
        };
        match self.events.get_mut(&topic) {
            Some(events) => events.push(event),
            None => self.shared.complain(format!("{}: heard of {topic:?}", self.name)),
        }
    }
}
