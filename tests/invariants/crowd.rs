//! Clients of all kinds who know what they must be told, and come back when their connection is lost.

use std::collections::{BTreeMap, VecDeque};

use fastrand::Rng;

use crate::client::{Reader, Told, Wire, get, publish, take_answers};
use crate::world::{Client, World};

/// Topics: enough for every worker to own one.
pub(crate) const TOPICS: usize = 5;
/// Publishes that were acknowledged: topic, epoch and sequence, and what was published.
pub(crate) type Acknowledged = BTreeMap<(usize, String, u64), String>;

/// What a subscriber of one topic was told, which must make sense at every moment.
#[derive(Default)]
pub(crate) struct Track {
    pub(crate) topic: usize,
    /// Where it is: the epoch, and the sequence that must come next.
    place: Option<(String, u64)>,
    /// Epochs that it has left.
    left: Vec<String>,
    pub(crate) gaps: usize,
    pub(crate) delivered: Vec<(String, u64, String)>,
}

impl Track {
    pub(crate) fn message(&mut self, id: &str, data: &str, what: &str) {
        let (epoch, sequence) = id.split_once('-').expect("an epoch and a sequence");
        let sequence: u64 = sequence.parse().expect("digits");
        match &self.place {
            Some(place) => assert_eq!((place.0.as_str(), place.1), (epoch, sequence), "{what}"),
            None if self.gaps > 0 => {
                assert_eq!(sequence, 1, "all of the new epoch: {what}");
                assert!(!self.left.iter().any(|left| left == epoch), "back in {epoch}: {what}");
            }
            None => (),
        }
        self.place = Some((epoch.to_owned(), sequence + 1));
        self.delivered.push((epoch.to_owned(), sequence, data.to_owned()));
    }

    pub(crate) fn gap(&mut self, count: Option<u64>, what: &str) {
        assert_eq!(count, None, "nothing was trimmed: {what}");
        self.gaps += 1;
        self.left.extend(self.place.take().map(|(epoch, _)| epoch));
    }

    pub(crate) fn check(&self, acknowledged: &Acknowledged, what: &str) {
        for (epoch, sequence, data) in &self.delivered {
            let known = acknowledged.get(&(self.topic, epoch.clone(), *sequence));
            assert!(known.is_none_or(|known| known == data), "{data} is {known:?}: {what}");
        }
        // The last message of all was acknowledged: being there means having missed nothing of its epoch.
        let (epoch, next) = self.place.as_ref().expect("it has heard of something");
        let heads =
            acknowledged.keys().filter(|(topic, at, _)| (topic, at) == (&self.topic, epoch));
        let head = heads.map(|(_, _, sequence)| *sequence).max();
        assert_eq!(head, Some(next - 1), "topic {} up to its head: {what}", self.topic);
    }
}

/// A subscriber on a stream.
pub(crate) struct Listener {
    pub(crate) client: Client,
    pub(crate) wire: Wire,
    reader: Reader,
    pub(crate) track: Track,
    messages: Vec<String>,
    /// A raw WebSocket was told of a gap by its end.
    closed: bool,
    /// Where to go on from.
    cursor: Option<String>,
}

impl Listener {
    pub(crate) fn open(world: &mut World, worker: usize, wire: Wire, topic: usize) -> Self {
        let client = world.connect(worker);
        world.send(client, wire.request(&format!("/topics/c{topic}")));
        let track = Track { topic, ..Track::default() };
        let (reader, messages) = (Reader::new(wire), Vec::new());
        Self { client, wire, reader, track, messages, closed: false, cursor: None }
    }

    /// Its connection has ended: it comes back, with its cursor if it has one.
    pub(crate) fn come_back(&mut self, world: &mut World, worker: usize) {
        let Some(cursor) = &self.cursor else {
            *self = Self::open(world, worker, self.wire, self.track.topic);
            return;
        };
        let path = format!("/topics/c{}?after={cursor}", self.track.topic);
        self.client = world.connect(worker);
        world.send(self.client, self.wire.request(&path));
        self.reader = Reader::new(self.wire);
    }

    pub(crate) fn take(&mut self, world: &mut World, what: &str) {
        let told = self.reader.take(&world.receive(self.client));
        let mut ids = std::mem::take(&mut self.reader.ids).into_iter();
        for told in told {
            match told {
                Told::Open => (),
                Told::Gap(count) => self.track.gap(count, what),
                Told::Message(data) => {
                    if self.wire != Wire::Raw {
                        let id = ids.next().expect("an id");
                        self.track.message(&id, &data, what);
                        self.cursor = Some(id);
                    }
                    self.messages.push(data);
                }
                Told::Close(4001, _) if self.wire == Wire::Raw => self.closed = true,
                other => panic!("{other:?}: {what}"),
            }
        }
    }

    pub(crate) fn check(&self, acknowledged: &Acknowledged, last: &str, what: &str) {
        match self.wire {
            Wire::Raw if self.closed => (),
            Wire::Raw => assert_eq!(self.messages.last().map(String::as_str), Some(last), "{what}"),
            _ => self.track.check(acknowledged, what),
        }
    }
}

/// Someone who polls on, and comes back at another worker when its own has failed.
pub(crate) struct Poller {
    pub(crate) client: Client,
    cursor: String,
    bytes: Vec<u8>,
    asked: bool,
    pub(crate) track: Track,
}

impl Poller {
    pub(crate) fn open(world: &mut World, worker: usize, topic: usize) -> Self {
        let client = world.connect(worker);
        let track = Track { topic, ..Track::default() };
        Self { client, cursor: "latest".to_owned(), bytes: Vec::new(), asked: false, track }
    }

    pub(crate) fn step(&mut self, world: &mut World, what: &str) {
        if world.is_closed(self.client) {
            let worker = world.random.usize(..world.workers());
            self.client = world.connect(worker);
            (self.asked, self.bytes) = (false, Vec::new());
        }
        if !std::mem::replace(&mut self.asked, true) {
            let wait = if self.cursor == "latest" { 0 } else { 50 };
            let (topic, cursor) = (self.track.topic, &self.cursor);
            let path = format!("/topics/c{topic}?after={cursor}&wait={wait}");
            world.send(self.client, get(&path));
        }
        self.bytes.extend(world.receive(self.client));
        for answer in take_answers(&mut self.bytes) {
            assert_eq!(answer.status, 200, "{what}");
            self.asked = false;
            let json = answer.json();
            for gap in json["gap"].as_array().into_iter().flatten() {
                self.track.gap(gap["count"].as_u64(), what);
            }
            for message in json["messages"].as_array().expect("messages") {
                let text = |name: &str| message[name].as_str().expect("text").to_owned();
                self.track.message(&text("id"), &text("data"), what);
            }
            self.cursor = json["cursor"].as_str().expect("a cursor").to_owned();
        }
    }
}

/// Publishes, and hears of each what has become of it.
pub(crate) struct Publisher {
    pub(crate) client: Client,
    bytes: Vec<u8>,
    pub(crate) unanswered: VecDeque<(usize, String)>,
    /// Answers that said that nobody knows.
    pub(crate) unknown: usize,
}

impl Publisher {
    pub(crate) fn open(world: &mut World, worker: usize) -> Self {
        let client = world.connect(worker);
        Self { client, bytes: Vec::new(), unanswered: VecDeque::new(), unknown: 0 }
    }

    pub(crate) fn publish(&mut self, world: &mut World, topic: usize, data: String) {
        world.send(self.client, publish(&format!("c{topic}"), &data));
        self.unanswered.push_back((topic, data));
    }

    pub(crate) fn take(&mut self, world: &mut World, acknowledged: &mut Acknowledged, what: &str) {
        self.bytes.extend(world.receive(self.client));
        for answer in take_answers(&mut self.bytes) {
            let (topic, data) = self.unanswered.pop_front().expect("one answer for each");
            if answer.status == 503 {
                self.unknown += 1;
                continue;
            }
            assert_eq!(answer.status, 201, "{what}");
            let json = answer.json();
            let (epoch, sequence) =
                json["id"].as_str().and_then(|id| id.split_once('-')).expect("an id");
            let place = (topic, epoch.to_owned(), sequence.parse().expect("digits"));
            assert_eq!(acknowledged.insert(place, data), None, "each place once: {what}");
        }
        if world.is_closed(self.client) {
            let worker = world.random.usize(..world.workers());
            self.client = world.connect(worker);
            self.bytes.clear();
            self.unanswered.clear();
        }
    }
}

/// Everybody, and what is known.
pub(crate) struct Crowd {
    pub(crate) listeners: Vec<Listener>,
    pub(crate) pollers: Vec<Poller>,
    pub(crate) publishers: Vec<Publisher>,
    pub(crate) acknowledged: Acknowledged,
    pub(crate) what: String,
    published: usize,
    /// Connections that were lost, and their clients came back.
    pub(crate) returns: usize,
}

impl Crowd {
    /// Three listeners on each wire, four pollers and four publishers, anywhere.
    pub(crate) fn open(world: &mut World, random: &mut Rng, what: &str) -> Self {
        let workers = world.workers();
        let mut somewhere = || (random.usize(..workers), random.usize(..TOPICS));
        let listeners = (0..12).map(|number| {
            let (worker, topic) = somewhere();
            Listener::open(world, worker, Wire::ALL[number % 4], topic)
        });
        let listeners = listeners.collect();
        let pollers = (0..4).map(|_| {
            let (worker, topic) = somewhere();
            Poller::open(world, worker, topic)
        });
        let pollers = pollers.collect();
        let publishers = (0..4).map(|_| Publisher::open(world, somewhere().0)).collect();
        Self {
            listeners,
            pollers,
            publishers,
            acknowledged: Acknowledged::new(),
            what: what.to_owned(),
            published: 0,
            returns: 0,
        }
    }

    /// Somebody publishes something that nobody has published before.
    pub(crate) fn publish(&mut self, world: &mut World, publisher: usize, topic: usize) -> String {
        self.published += 1;
        let data = format!("{} of {topic}", self.published);
        self.publishers[publisher].publish(world, topic, data.clone());
        data
    }

    /// Everybody takes what there is, and those whose connection is lost come back.
    pub(crate) fn take(&mut self, world: &mut World) {
        let what = &self.what;
        self.listeners.iter_mut().for_each(|one| one.take(world, what));
        for listener in &mut self.listeners {
            if world.is_closed(listener.client) && !listener.closed {
                let worker = world.random.usize(..world.workers());
                listener.come_back(world, worker);
                self.returns += 1;
            }
        }
        self.pollers.iter_mut().for_each(|one| one.step(world, what));
        for publisher in &mut self.publishers {
            publisher.take(world, &mut self.acknowledged, what);
        }
    }

    /// Until nothing moves any more, with no time going by.
    pub(crate) fn settle(&mut self, world: &mut World) {
        for _ in 0..3 {
            loop {
                world.settle();
                let before = world.moved();
                self.take(world);
                if world.moved() == before {
                    break;
                }
            }
        }
    }

    /// One more message for each topic; then everybody must have been told of everything.
    pub(crate) fn check(&mut self, world: &mut World) {
        self.settle(world);
        let last: Vec<String> = (0..TOPICS).map(|topic| self.publish(world, 0, topic)).collect();
        self.settle(world);
        for listener in &self.listeners {
            listener.check(&self.acknowledged, &last[listener.track.topic], &self.what);
        }
        for poller in &self.pollers {
            poller.track.check(&self.acknowledged, &self.what);
        }
    }

    /// All of them vanish.
    pub(crate) fn leave(&self, world: &mut World) {
        let listeners = self.listeners.iter().map(|one| one.client);
        let pollers = self.pollers.iter().map(|one| one.client);
        let publishers = self.publishers.iter().map(|one| one.client);
        for client in listeners.chain(pollers).chain(publishers) {
            world.reset(client);
        }
    }
}
