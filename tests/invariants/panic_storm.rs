//! Panics anywhere, at any moment, in the middle of traffic: what clients see of them (catalogue 212).

use std::collections::{BTreeMap, VecDeque};

use fastrand::Rng;
use tidings::fuse::Place;
use tidings::limits::{PANICS_MAX, PANICS_WINDOW_MS};

use crate::client::{Reader, Told, Wire, get, metric, publish, take_answers};
use crate::world::{Client, Weather, World};
use crate::{FOREVER_MS, ask, config};

/// Topics of the storm: enough for every worker to own one.
const TOPICS: usize = 5;
/// After this time a worker may panic twice again.
const RESPITE_MS: u64 = 2 * PANICS_WINDOW_MS / PANICS_MAX as u64 + 1;

/// Publishes that were acknowledged: topic, epoch and sequence, and what was published.
type Acknowledged = BTreeMap<(usize, String, u64), String>;

/// What a subscriber of one topic was told, which must make sense at every moment.
#[derive(Default)]
struct Track {
    topic: usize,
    /// Where it is: the epoch, and the sequence that must come next.
    place: Option<(String, u64)>,
    /// Epochs that it has left.
    left: Vec<String>,
    gaps: usize,
    delivered: Vec<(String, u64, String)>,
}

impl Track {
    fn message(&mut self, id: &str, data: &str, what: &str) {
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

    fn gap(&mut self, count: Option<u64>, what: &str) {
        assert_eq!(count, None, "nothing was trimmed: {what}");
        self.gaps += 1;
        self.left.extend(self.place.take().map(|(epoch, _)| epoch));
    }

    fn check(&self, acknowledged: &Acknowledged, what: &str) {
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
struct Listener {
    client: Client,
    wire: Wire,
    reader: Reader,
    track: Track,
    messages: Vec<String>,
    /// A raw WebSocket was told of a gap by its end.
    closed: bool,
}

impl Listener {
    fn open(world: &mut World, worker: usize, wire: Wire, topic: usize) -> Self {
        let client = world.connect(worker);
        world.send(client, wire.request(&format!("/topics/t{topic}")));
        let track = Track { topic, ..Track::default() };
        let (reader, messages) = (Reader::new(wire), Vec::new());
        Self { client, wire, reader, track, messages, closed: false }
    }

    fn take(&mut self, world: &mut World, what: &str) {
        let told = self.reader.take(&world.receive(self.client));
        let mut ids = std::mem::take(&mut self.reader.ids).into_iter();
        for told in told {
            match told {
                Told::Open => (),
                Told::Gap(count) => self.track.gap(count, what),
                Told::Message(data) => {
                    if self.wire != Wire::Raw {
                        self.track.message(&ids.next().expect("an id"), &data, what);
                    }
                    self.messages.push(data);
                }
                Told::Close(4001, _) if self.wire == Wire::Raw => self.closed = true,
                other => panic!("{other:?}: {what}"),
            }
        }
    }

    fn check(&self, acknowledged: &Acknowledged, last: &str, what: &str) {
        match self.wire {
            Wire::Raw if self.closed => (),
            Wire::Raw => assert_eq!(self.messages.last().map(String::as_str), Some(last), "{what}"),
            _ => self.track.check(acknowledged, what),
        }
    }
}

/// Someone who polls on, and comes back at another worker when its own has failed.
struct Poller {
    client: Client,
    cursor: String,
    bytes: Vec<u8>,
    asked: bool,
    track: Track,
}

impl Poller {
    fn open(world: &mut World, worker: usize, topic: usize) -> Self {
        let client = world.connect(worker);
        let track = Track { topic, ..Track::default() };
        Self { client, cursor: "latest".to_owned(), bytes: Vec::new(), asked: false, track }
    }

    fn step(&mut self, world: &mut World, what: &str) {
        if world.is_closed(self.client) {
            let worker = world.random.usize(..world.workers());
            self.client = world.connect(worker);
            (self.asked, self.bytes) = (false, Vec::new());
        }
        if !std::mem::replace(&mut self.asked, true) {
            let wait = if self.cursor == "latest" { 0 } else { 50 };
            let (topic, cursor) = (self.track.topic, &self.cursor);
            let path = format!("/topics/t{topic}?after={cursor}&wait={wait}");
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
struct Publisher {
    client: Client,
    bytes: Vec<u8>,
    unanswered: VecDeque<(usize, String)>,
    /// Answers that said that nobody knows.
    unknown: usize,
}

impl Publisher {
    fn open(world: &mut World, worker: usize) -> Self {
        let client = world.connect(worker);
        Self { client, bytes: Vec::new(), unanswered: VecDeque::new(), unknown: 0 }
    }

    fn publish(&mut self, world: &mut World, topic: usize, data: String) {
        world.send(self.client, publish(&format!("t{topic}"), &data));
        self.unanswered.push_back((topic, data));
    }

    fn take(&mut self, world: &mut World, acknowledged: &mut Acknowledged, what: &str) {
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

/// A server, its clients, and what is known.
struct Storm {
    world: World,
    what: String,
    random: Rng,
    listeners: Vec<Listener>,
    pollers: Vec<Poller>,
    publishers: Vec<Publisher>,
    acknowledged: Acknowledged,
    published: usize,
    /// Panics, by place.
    panics: [usize; Place::ALL.len()],
}

impl Storm {
    fn new(seed: u64, workers: usize) -> Self {
        let what = format!("seed {seed}, {workers} workers");
        let mut random = Rng::with_seed(seed);
        let mut weather = Weather::random(&mut random);
        weather.window = weather.window.max(4_000);
        let config = config(workers, |limits| {
            (limits.head_ms, limits.body_grace_ms) = (FOREVER_MS, FOREVER_MS);
            (limits.topic_idle_ms, limits.heartbeat_ms) = (5_000, 3_000);
        });
        let mut world = World::new(config, weather, seed);
        let listeners = (0..12)
            .map(|number| {
                let (worker, topic) = (random.usize(..workers), random.usize(..TOPICS));
                Listener::open(&mut world, worker, Wire::ALL[number % 4], topic)
            })
            .collect();
        let pollers = (0..4)
            .map(|_| {
                let (worker, topic) = (random.usize(..workers), random.usize(..TOPICS));
                Poller::open(&mut world, worker, topic)
            })
            .collect();
        let publishers =
            (0..4).map(|_| Publisher::open(&mut world, random.usize(..workers))).collect();
        let (acknowledged, panics) = (Acknowledged::new(), [0; Place::ALL.len()]);
        Self {
            world,
            what,
            random,
            listeners,
            pollers,
            publishers,
            acknowledged,
            published: 0,
            panics,
        }
    }

    fn publish(&mut self, publisher: usize, topic: usize) -> String {
        self.published += 1;
        let data = format!("{} of {topic}", self.published);
        self.publishers[publisher].publish(&mut self.world, topic, data.clone());
        data
    }

    /// Everybody takes what there is, and those whose worker has failed come back.
    fn take(&mut self) {
        let (world, what) = (&mut self.world, &self.what);
        self.listeners.iter_mut().for_each(|one| one.take(world, what));
        self.pollers.iter_mut().for_each(|one| one.step(world, what));
        for publisher in &mut self.publishers {
            publisher.take(world, &mut self.acknowledged, what);
        }
        for listener in &mut self.listeners {
            if world.is_closed(listener.client) {
                let worker = self.random.usize(..world.workers());
                *listener = Listener::open(world, worker, listener.wire, listener.track.topic);
            }
        }
    }

    /// Until nothing moves any more, with no time going by.
    fn settle(&mut self) {
        for _ in 0..3 {
            loop {
                self.world.settle();
                let before = self.world.moved();
                self.take();
                if self.world.moved() == before {
                    break;
                }
            }
        }
    }

    /// Makes a worker panic, if it passes that place in the next ticks. Whether it did.
    fn strike(&mut self, worker: usize, place: Place) -> bool {
        match place {
            Place::Accept => {
                let stranger = self.world.connect(worker);
                self.world.finish(stranger);
            }
            Place::Timer => self.world.pass(3_000),
            _ => {
                let (publisher, topic) = (self.random.usize(..4), self.random.usize(..TOPICS));
                self.publish(publisher, topic);
                for other in (0..self.world.workers()).filter(|&other| other != worker) {
                    self.world.tick(other);
                }
            }
        }
        self.world.fuse.light(place, self.random.u32(1..4));
        for _ in 0..3 {
            self.world.tick(worker);
        }
        let struck = !self.world.fuse.put_out();
        self.panics[Place::ALL.iter().position(|&one| one == place).expect("a place")] +=
            usize::from(struck);
        struck
    }

    fn step(&mut self) {
        let workers = self.world.workers();
        match self.random.u8(0..10) {
            0..4 => {
                let (publisher, topic) = (self.random.usize(..4), self.random.usize(..TOPICS));
                self.publish(publisher, topic);
            }
            4..6 => self.take(),
            6 => {
                let mut struck = false;
                for _ in 0..self.random.usize(1..=2.min(workers)) {
                    let place = Place::ALL[self.random.usize(..5)];
                    let worker = self.random.usize(..workers);
                    struck |= self.strike(worker, place);
                }
                if struck {
                    self.after_panic();
                }
            }
            _ => {
                for _ in 0..self.random.u8(1..4) {
                    self.world.round();
                }
            }
        }
    }

    /// No time has gone by, and all is well.
    fn after_panic(&mut self) {
        self.settle();
        let what = &self.what;
        for publisher in &self.publishers {
            assert!(publisher.unanswered.is_empty(), "everybody has an answer: {what}");
        }
        assert_eq!(self.world.post.connections(), self.world.open(), "the count is right: {what}");
        self.world.pass(RESPITE_MS);
        self.settle();
    }

    /// Checks everything once more, and that nothing is left when all have gone.
    fn finish(mut self) -> (Self, usize) {
        self.world.weather(|weather| *weather = Weather::FAIR);
        self.settle();
        let last: Vec<String> = (0..TOPICS).map(|topic| self.publish(0, topic)).collect();
        self.settle();
        let what = self.what.clone();
        for listener in &self.listeners {
            listener.check(&self.acknowledged, &last[listener.track.topic], &what);
        }
        for poller in &self.pollers {
            poller.track.check(&self.acknowledged, &what);
        }
        let restarts: usize = self.panics.iter().sum();
        let scraper = self.world.connect(0);
        let answer = ask(&mut self.world, scraper, &get("/metrics"), 1).remove(0);
        let text = String::from_utf8(answer.body).expect("text");
        let counted = metric(&text, "tidings_worker_restarts_total");
        assert_eq!(counted, restarts as u64, "{what}");
        let gaps: usize = self.pollers.iter().map(|one| one.track.gaps).sum();
        let clients: Vec<Client> = (self.listeners.iter().map(|one| one.client))
            .chain(self.pollers.iter().map(|one| one.client))
            .chain(self.publishers.iter().map(|one| one.client))
            .collect();
        clients.into_iter().for_each(|client| self.world.reset(client));
        self.world.settle();
        assert_eq!((self.world.open(), self.world.post.connections()), (1, 1), "{what}");
        (self, gaps)
    }
}

#[test]
fn attack_212_workers_that_panic_anywhere_take_down_their_own_connections_and_nothing_else() {
    let mut panics = [0; Place::ALL.len()];
    let (mut gaps, mut unknown) = (0, 0);
    for seed in 0..150 {
        let mut storm = Storm::new(seed, [1, 2, 4][seed as usize % 3]);
        storm.settle();
        for _ in 0..200 {
            storm.step();
        }
        let (storm, more) = storm.finish();
        gaps += more;
        unknown += storm.publishers.iter().map(|one| one.unknown).sum::<usize>();
        panics.iter_mut().zip(storm.panics).for_each(|(sum, more)| *sum += more);
    }
    assert!(panics[..5].iter().all(|&panics| panics > 20), "at every place: {panics:?}");
    assert!(gaps > 50 && unknown > 20, "{gaps} gaps, {unknown} unknown outcomes");
}
