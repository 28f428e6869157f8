//! Several hubs in one thread, with an invented clock and mail that is late, against naive models.

mod backed;
mod lagging;
mod rules;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use super::*;
use crate::limits::{Budgets, FOLLOWER_STALL_MS, REPLICA_IDLE_MS};
use crate::topic::{Cursor, Due, Edge, Position, Start};

const CREDIT_MESSAGES: u32 = Budgets::DEFAULT.credit;
const DELIVERIES_PER_TURN: u32 = Budgets::DEFAULT.deliveries_per_turn;
const FORWARDS_IN_FLIGHT_MAX: usize = Budgets::DEFAULT.forwards_in_flight;

/// One step of the timer wheel: what is due may be done this much later.
const STEP_MS: u64 = 16;

/// Hubs, and letters between them: in order from one to another, in no order otherwise.
struct World {
    now: Now,
    random: Rng,
    config: Config,
    hubs: Vec<Hub>,
    /// `roads[from][to]`: sent and not yet read.
    roads: Vec<Vec<VecDeque<Mail>>>,
    /// Workers whose thread stands still.
    stalled: Vec<bool>,
    next_ticket: u32,
    /// Outcomes that have come, by ticket number.
    outcomes: HashMap<u32, Outcome>,
}

fn config(workers: usize) -> Config {
    Config { workers, connections_max: 1_000, ..Config::default() }
}

fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::parse(text.as_bytes()).unwrap()
}

fn message(bytes: usize) -> Arc<Message> {
    Arc::new(Message::new(vec![b'x'; bytes], None, None, 0).unwrap())
}

fn subscriber(slot: u32) -> ConnectionKey {
    ConnectionKey { slot, generation: 0 }
}

impl World {
    fn new(config: Config, seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let hash_seed = random.u64(..);
        let workers = config.workers;
        let hubs = (0..workers).map(|id| Hub::new(&config, id, hash_seed, random.fork())).collect();
        let road = || (0..workers).map(|_| VecDeque::new()).collect();
        Self {
            now: Now { instant: Instant::from_ms(1_000), wall_ms: 0 },
            random,
            config,
            hubs,
            roads: (0..workers).map(|_| road()).collect(),
            stalled: vec![false; workers],
            next_ticket: 0,
            outcomes: HashMap::new(),
        }
    }

    /// The `index`th name whose topic is `owner`'s.
    fn name(&self, owner: usize, index: usize) -> TopicName {
        (0..)
            .map(|number| TopicName::parse(format!("topic {number}").as_bytes()).unwrap())
            .filter(|name| self.hubs[0].owner_of(name) == owner || self.hubs.len() == 1)
            .nth(index)
            .unwrap()
    }

    fn ticket(&mut self, worker: usize) -> Ticket {
        self.next_ticket += 1;
        Ticket { connection: subscriber(worker as u32), number: self.next_ticket }
    }

    fn publish_at(
        &mut self,
        worker: usize,
        topic: &TopicName,
        message: &Arc<Message>,
        key: Option<&IdempotencyKey>,
    ) -> (u32, Publishing) {
        let ticket = self.ticket(worker);
        let now = self.now;
        let publishing = self.hubs[worker].publish(now, topic, message, key, ticket);
        (ticket.number, publishing)
    }

    fn publish(&mut self, worker: usize, topic: &TopicName, bytes: usize) -> Publishing {
        self.publish_at(worker, topic, &message(bytes), None).1
    }

    fn delete(&mut self, worker: usize, topic: &TopicName) -> Publishing {
        let ticket = self.ticket(worker);
        let now = self.now;
        self.hubs[worker].delete(now, topic, ticket)
    }

    /// Puts on the roads what the hubs have to send, and gathers what they have answered.
    fn carry(&mut self) {
        for (from, hub) in self.hubs.iter_mut().enumerate() {
            while let Some((to, mail)) = hub.poll_mail() {
                self.roads[from][to].push_back(mail);
            }
            while let Some((ticket, outcome)) = hub.poll_answer() {
                self.outcomes.insert(ticket.number, outcome);
            }
        }
    }

    /// Lets one letter arrive. Whether there was one.
    fn deliver(&mut self, from: usize, to: usize) -> bool {
        let Some(mail) = self.roads[from][to].pop_front() else { return false };
        self.hubs[to].handle_mail(self.now, from, mail);
        self.carry();
        true
    }

    /// Lets all letters arrive, those to stalled workers aside.
    fn settle(&mut self) {
        self.carry();
        loop {
            let mut moved = false;
            for (from, to) in self.pairs() {
                while !self.stalled[to] && self.deliver(from, to) {
                    moved = true;
                }
            }
            if !moved {
                return;
            }
        }
    }

    fn pairs(&self) -> Vec<(usize, usize)> {
        let workers = self.hubs.len();
        (0..workers).flat_map(|from| (0..workers).map(move |to| (from, to))).collect()
    }

    fn pass(&mut self, ms: u64) {
        self.now.instant = self.now.instant + ms;
        let now = self.now;
        for (hub, stalled) in self.hubs.iter_mut().zip(&self.stalled) {
            while !stalled && hub.handle_timers(now) {}
        }
        self.carry();
    }

    fn letters(&self, from: usize, to: usize) -> usize {
        self.roads[from][to].len()
    }

    fn log(&self, worker: usize, topic: &TopicName) -> Option<&Log> {
        let hub = &self.hubs[worker];
        hub.slot_of(topic).map(|slot| &hub.topics[slot as usize].log)
    }

    fn subscribe(&mut self, worker: usize, topic: &TopicName) -> (TopicId, u32) {
        let now = self.now;
        self.hubs[worker].subscribe(now, topic, subscriber(0)).unwrap()
    }

    fn unsubscribe(&mut self, worker: usize, (topic, seat): (TopicId, u32)) {
        let now = self.now;
        self.hubs[worker].unsubscribe(now, topic, seat);
    }

    /// Where the replica of `owner`'s topic at `worker` will be when everything that is mailed to it has
    /// arrived: its epoch and next sequence. `None` if there is none, or the owner does not know of it.
    fn replica_after_mail(
        &self,
        owner: usize,
        worker: usize,
        topic: &TopicName,
    ) -> Option<(Epoch, u64)> {
        let hub = &self.hubs[worker];
        let slot = hub.slot_of(topic)?;
        let mine = hub.key(slot);
        let entry = &hub.topics[slot as usize];
        let mut place = match &entry.role {
            Role::Follower(Replica::Live { .. }) => Some((entry.log.epoch(), entry.log.next_seq())),
            _ => None,
        };
        for mail in &self.roads[owner][worker] {
            match mail {
                Mail::Followed { replica, history, first_seq, .. } if *replica == mine => {
                    place = Some((history.epoch, *first_seq));
                }
                Mail::Append { replica, .. } if *replica == mine => {
                    place = place.map(|(epoch, next)| (epoch, next + 1));
                }
                Mail::Skip { replica, first_seq } if *replica == mine => {
                    place = place.map(|(epoch, _)| (epoch, *first_seq));
                }
                Mail::Reset { replica, history, .. } if *replica == mine => {
                    place = Some((history.epoch, 1));
                }
                _ => (),
            }
        }
        place
    }

    /// The memory gauges count what the logs hold, no more and no less.
    fn check_memory(&self, what: &str) {
        for hub in &self.hubs {
            let logs: usize = hub.topics.iter().map(|(_, topic)| topic.log.memory_bytes()).sum();
            assert_eq!(hub.gauges().memory_bytes, logs, "{what}");
            for (_, topic) in &hub.topics {
                let log = &topic.log;
                let messages = (log.first_seq()..log.next_seq()).map(|sequence| {
                    log.entry(sequence).expect("it is between the ends").0.cost_bytes()
                });
                // A replica's payloads are its owner's, and counted there.
                if matches!(topic.role, Role::Owner(_)) {
                    assert!(messages.sum::<usize>() <= log.memory_bytes(), "{what}");
                }
            }
        }
    }
}

// ---- Everything at once, against models --------------------------------------------------------

/// A subscriber as a connection keeps it, and what it has been told.
struct Listener {
    worker: usize,
    topic: usize,
    edge: Edge,
    start: Start,
    position: Option<Position>,
    /// It takes nothing now: its peer does not read.
    blocked: bool,
    /// The epoch it is in and the sequence that must come next, once it is resolved.
    expects: Option<(Epoch, u64)>,
}

/// What the owner was asked, and what the model says of it.
struct Ask {
    topic: usize,
    /// When the owner sequenced it.
    at: Instant,
    expected: Outcome,
    answered: bool,
}

struct Play {
    world: World,
    what: String,
    names: Vec<TopicName>,
    owners: Vec<usize>,
    /// Every message of every epoch of every topic, in order.
    published: HashMap<(usize, Epoch), Vec<Arc<Message>>>,
    /// Idempotency keys: when they were used, and for what.
    remembered: HashMap<(usize, u8), (Instant, Position)>,
    asks: BTreeMap<u32, Ask>,
    listeners: Vec<Option<Listener>>,
    large: Arc<Vec<Arc<Message>>>,
    /// Out of 10 messages, this many are large.
    heaviness: u8,
}

const TOPICS: usize = 4;

impl Play {
    fn new(workers: usize, seed: u64, large: &Arc<Vec<Arc<Message>>>) -> Self {
        let mut random = Rng::with_seed(seed ^ 0x5eed);
        let mut config = config(workers);
        let limits = &mut config.limits;
        limits.log_messages = random.u32(1..30);
        limits.log_bytes = random.usize(2_000_000..20_000_000);
        limits.log_age_ms = random.u64(20..20_000);
        limits.topic_idle_ms = random.u64(100..20_000);
        limits.idempotency_window_ms = random.u64(10..5_000);
        let heaviness = if random.bool() { 0 } else { random.u8(0..10) };
        let world = World::new(config, seed);
        let names: Vec<TopicName> = (0..TOPICS)
            .map(|number| TopicName::parse(format!("topic {number}").as_bytes()).unwrap())
            .collect();
        let owners = names.iter().map(|name| world.hubs[0].owner_of(name)).collect();
        Self {
            world,
            what: format!("{workers} workers, seed {seed}"),
            names,
            owners,
            published: HashMap::new(),
            remembered: HashMap::new(),
            asks: BTreeMap::new(),
            listeners: Vec::new(),
            large: Arc::clone(large),
            heaviness,
        }
    }

    fn log(&self, worker: usize, topic: usize) -> Option<&Log> {
        self.world.log(worker, &self.names[topic])
    }

    /// Notes what the owner must make of a publish that it is about to take in.
    fn before_publish(&mut self, topic: usize, key: Option<u8>, number: u32) {
        let at = self.world.now.instant;
        let window = self.world.config.limits.idempotency_window_ms;
        let repeated = key
            .and_then(|key| self.remembered.get(&(topic, key)))
            .filter(|(first, _)| at.since(*first) < window)
            .map(|(_, position)| *position);
        // A topic that does not exist yet has an epoch that nobody can know: see `after_publish`.
        let head = self.log(self.owners[topic], topic).map(Log::head);
        let position =
            repeated.or_else(|| head.map(|head| Position { sequence: head.sequence + 1, ..head }));
        let fallback = Position { epoch: Epoch::NONE, sequence: 1 };
        let ask = Ask { topic, at, expected: Ok(position.unwrap_or(fallback)), answered: false };
        self.asks.insert(number, ask);
    }

    fn after_publish(&mut self, key: Option<u8>, number: u32, message: &Arc<Message>) {
        let ask = self.asks.get_mut(&number).unwrap();
        let Ok(position) = &mut ask.expected else { return };
        let topic = ask.topic;
        let Some(log) = self.world.log(self.owners[topic], &self.names[topic]) else { return };
        if position.epoch == Epoch::NONE {
            position.epoch = log.epoch();
        }
        let position = *position;
        let log_of_all = self.published.entry((topic, log.epoch())).or_default();
        if log.head() == position && log_of_all.len() as u64 + 1 == position.sequence {
            log_of_all.push(Arc::clone(message));
            if let Some(key) = key {
                self.remembered.insert((topic, key), (self.world.now.instant, position));
            }
        }
    }

    fn before_delete(&mut self, topic: usize, number: u32) {
        let exists = self.log(self.owners[topic], topic).is_some();
        let expected = if exists {
            Ok(Position { epoch: Epoch::NONE, sequence: 0 })
        } else {
            Err(Refusal::NoSuchTopic)
        };
        let at = self.world.now.instant;
        self.asks.insert(number, Ask { topic, at, expected, answered: false });
    }

    fn after_delete(&mut self, number: u32) {
        let ask = self.asks.get_mut(&number).unwrap();
        if let Ok(position) = &mut ask.expected {
            let log = self.world.log(self.owners[ask.topic], &self.names[ask.topic]);
            *position = log.expect("it is emptied, not forgotten").head();
        }
    }

    /// An answer leaves the owner's hub: it must be the right one, and true at every follower.
    fn check_answer(&mut self, number: u32, outcome: Outcome) {
        let now = self.world.now.instant;
        let ask = self.asks.get_mut(&number).expect("only what was asked is answered");
        assert!(!std::mem::replace(&mut ask.answered, true), "answered twice: {}", self.what);
        assert_eq!(outcome, ask.expected, "{}", self.what);
        let (topic, at) = (ask.topic, ask.at);
        let Ok(position) = outcome else { return };
        let owner = self.owners[topic];
        let epoch = self.log(owner, topic).map(Log::epoch);
        for worker in (0..self.world.hubs.len()).filter(|&worker| worker != owner) {
            let place = self.world.replica_after_mail(owner, worker, &self.names[topic]);
            let Some((replica_epoch, next)) = place else { continue };
            let is_there = replica_epoch == position.epoch && next > position.sequence
                || Some(position.epoch) != epoch;
            assert!(
                is_there || now.since(at) >= FOLLOWER_STALL_MS,
                "{number} of {} was acknowledged at {position:?} while worker {worker} is at {next}: {}",
                self.names[topic].as_str(),
                self.what
            );
        }
    }

    /// Puts on the roads what was sent, looking at every answer on its way.
    fn carry(&mut self) {
        for from in 0..self.world.hubs.len() {
            let mut answers = Vec::new();
            // Rounds, until every channel had room.
            while self.world.hubs[from].has_mail() {
                let Some((to, mail)) = self.world.hubs[from].poll_mail() else { continue };
                if self.world.random.u8(0..8) == 0 {
                    // The channel is full; nothing may be lost or change places.
                    self.world.hubs[from].give_back(to, mail);
                    continue;
                }
                if let Mail::Answer { ticket, outcome } = &mail {
                    answers.push((ticket.number, *outcome));
                }
                self.world.roads[from][to].push_back(mail);
            }
            while let Some((ticket, outcome)) = self.world.hubs[from].poll_answer() {
                // An answer from another worker was looked at when it left there.
                if self.owners[self.asks[&ticket.number].topic] == from {
                    answers.push((ticket.number, outcome));
                }
            }
            for (number, outcome) in answers {
                self.check_answer(number, outcome);
            }
        }
    }

    fn publish(&mut self, worker: usize) {
        let topic = self.world.random.usize(..TOPICS);
        let message = if self.world.random.u8(0..10) < self.heaviness {
            let index = self.world.random.usize(..self.large.len());
            Arc::clone(&self.large[index])
        } else {
            message(self.world.random.usize(0..50))
        };
        let key_number = self.world.random.bool().then(|| self.world.random.u8(0..4));
        let name = self.names[topic].clone();
        let is_here = self.owners[topic] == worker;
        let number = self.world.next_ticket + 1;
        if is_here {
            self.before_publish(topic, key_number, number);
        }
        let text = key_number.map(|number| key(&number.to_string()));
        let (_, publishing) = self.world.publish_at(worker, &name, &message, text.as_ref());
        if is_here {
            self.after_publish(key_number, number, &message);
        }
        match publishing {
            Publishing::Done(outcome) => {
                self.carry();
                self.check_answer(number, outcome);
            }
            Publishing::Pending => self.carry(),
            Publishing::Busy => panic!("so few cannot be too many: {}", self.what),
        }
    }

    fn delete(&mut self, worker: usize) {
        let topic = self.world.random.usize(..TOPICS);
        let name = self.names[topic].clone();
        let is_here = self.owners[topic] == worker;
        let number = self.world.next_ticket + 1;
        if is_here {
            self.before_delete(topic, number);
        }
        let publishing = self.world.delete(worker, &name);
        if is_here {
            self.after_delete(number);
        }
        self.carry();
        if let Publishing::Done(outcome) = publishing {
            self.check_answer(number, outcome);
        }
    }

    fn deliver(&mut self, from: usize, to: usize) -> bool {
        let Some(mail) = self.world.roads[from][to].pop_front() else { return false };
        let topic_of = |names: &[TopicName], topic: &TopicName| {
            names.iter().position(|name| name == topic).expect("a topic of ours")
        };
        let mut noted = None;
        match &mail {
            Mail::Publish { topic, message, key: text, ticket } => {
                let topic = topic_of(&self.names, topic);
                let key_number =
                    text.as_ref().and_then(|text| (0..4).find(|n| *text == key(&n.to_string())));
                self.before_publish(topic, key_number, ticket.number);
                noted = Some((ticket.number, key_number, Some(Arc::clone(message))));
            }
            Mail::Delete { topic, ticket } => {
                self.before_delete(topic_of(&self.names, topic), ticket.number);
                noted = Some((ticket.number, None, None));
            }
            _ => (),
        }
        let now = self.world.now;
        self.world.hubs[to].handle_mail(now, from, mail);
        match noted {
            Some((number, key, Some(message))) => self.after_publish(key, number, &message),
            Some((number, _, None)) => self.after_delete(number),
            None => (),
        }
        self.carry();
        true
    }

    fn subscribe(&mut self, worker: usize) {
        let topic = self.world.random.usize(..TOPICS);
        let name = self.names[topic].clone();
        let position = match self.world.random.u8(0..3) {
            // A cursor of some client that has been here before.
            0 => self.published.iter().find(|((other, _), _)| *other == topic).map(
                |((_, epoch), messages)| {
                    let sequence = self.world.random.u64(0..=messages.len() as u64 + 1);
                    Position { epoch: *epoch, sequence }
                },
            ),
            _ => None,
        };
        let start = match (position, self.world.random.u8(0..4)) {
            (Some(position), _) => Start::parse(position.text().as_bytes()).unwrap(),
            (None, 0) => Start::Latest,
            (None, 1) => Start::Last(self.world.random.u64(0..10)),
            (None, 2) => Start::Unknown,
            (None, _) => Start::Earliest,
        };
        let slot = self.listeners.len() as u32;
        let now = self.world.now;
        let seated = self.world.hubs[worker].subscribe(now, &name, subscriber(slot));
        let (id, seat) = seated.expect("there is room for so few topics");
        let edge = Edge::unresolved(id, seat);
        let (blocked, expects) = (false, None);
        let listener = Listener { worker, topic, edge, start, position, blocked, expects };
        self.listeners.push(Some(listener));
        self.carry();
        self.take(slot);
    }

    fn unsubscribe(&mut self, slot: usize) {
        let now = self.world.now;
        if let Some(listener) = self.listeners[slot].take() {
            let (topic, seat) = (listener.edge.topic, listener.edge.seat);
            self.world.hubs[listener.worker].unsubscribe(now, topic, seat);
        }
    }

    /// Visits a listener as a connection is visited: it takes what is due.
    fn take(&mut self, slot: u32) {
        let Some(listener) = self.listeners[slot as usize].as_mut() else {
            panic!("who has left is not visited: {}", self.what)
        };
        let what = &self.what;
        let hub = &mut self.world.hubs[listener.worker];
        if listener.blocked {
            return;
        }
        loop {
            let edge = &mut listener.edge;
            let log = match hub.view(edge.topic) {
                View::Live(log) => log,
                View::Syncing => return,
                View::Refused(refusal) => panic!("{refusal:?}: {what}"),
            };
            if !edge.is_resolved() {
                edge.resolve(log, &listener.start, listener.position);
                listener.expects = match (&listener.start, listener.position) {
                    (Start::Latest, _) => Some((log.epoch(), log.next_seq())),
                    (Start::Earliest, _) => Some((log.epoch(), log.first_seq())),
                    (Start::Last(count), _) => {
                        let head = log.next_seq();
                        Some((log.epoch(), log.first_seq().max(head.saturating_sub(*count))))
                    }
                    (Start::After(_), Some(position)) if position.sequence < log.next_seq() => {
                        Some((position.epoch, position.sequence + 1))
                    }
                    _ => Some((Epoch::NONE, 1)),
                };
            }
            let (epoch, next) = listener.expects.expect("it is resolved");
            match edge.due(log) {
                Due::Nothing => {
                    assert_eq!((epoch, next), (log.epoch(), log.next_seq()), "{what}");
                    return;
                }
                Due::Gap(None) => {
                    assert_ne!(epoch, log.epoch(), "nobody may say that it does not know: {what}");
                    listener.expects = Some((log.epoch(), log.first_seq()));
                }
                Due::Gap(Some(count)) => {
                    assert_eq!(epoch, log.epoch(), "{what}");
                    assert_eq!(next + count, log.first_seq(), "{what}");
                    listener.expects = Some((epoch, next + count));
                }
                Due::Message(sequence) => {
                    assert_eq!((epoch, next), (log.epoch(), sequence), "in order, once: {what}");
                    let published = &self.published[&(listener.topic, epoch)];
                    let expected = &published[sequence as usize - 1];
                    let (message, _) = log.entry(sequence).expect("it is retained");
                    assert!(Arc::ptr_eq(message, expected), "{what}");
                    if message.payload().len() < 100 {
                        let topic = edge.topic;
                        let format = Format::WebSocketRaw;
                        let chunk = hub.chunk(topic, sequence, format, Encoded::body);
                        assert_eq!(chunk.as_slice(), expected.payload(), "{what}");
                    }
                    listener.expects = Some((epoch, next + 1));
                }
            }
            let View::Live(log) = hub.view(listener.edge.topic) else { unreachable!("seen above") };
            listener.edge.advance(log);
        }
    }

    /// Visits up to `most` connections of a worker.
    fn walk(&mut self, worker: usize, most: usize) -> bool {
        for visited in 0..most {
            match self.world.hubs[worker].poll_delivery() {
                Some(slot) => self.take(slot),
                None => return visited > 0,
            }
        }
        true
    }

    fn pass(&mut self, ms: u64) {
        self.world.now.instant = self.world.now.instant + ms;
        let now = self.world.now;
        for worker in 0..self.world.hubs.len() {
            if !self.world.stalled[worker] {
                while self.world.hubs[worker].handle_timers(now) {}
            }
        }
        self.carry();
    }

    /// What is true at every moment.
    fn check(&self) {
        let what = &self.what;
        self.world.check_memory(what);
        for (worker, hub) in self.world.hubs.iter().enumerate() {
            for (topic, name) in self.names.iter().enumerate() {
                let Some(slot) = hub.slot_of(name) else { continue };
                let log = &hub.topics[slot as usize].log;
                if matches!(hub.topics[slot as usize].role, Role::Follower(Replica::Syncing)) {
                    assert!(log.is_empty(), "{what}");
                    continue;
                }
                let nothing = Vec::new();
                let all = self.published.get(&(topic, log.epoch())).unwrap_or(&nothing);
                let is_owner = self.owners[topic] == worker;
                assert!(log.next_seq() <= all.len() as u64 + 1, "{what}");
                if is_owner {
                    assert_eq!(log.next_seq(), all.len() as u64 + 1, "sequences are dense: {what}");
                }
                for sequence in log.first_seq()..log.next_seq() {
                    let (message, _) = log.entry(sequence).expect("a log has no holes");
                    assert!(Arc::ptr_eq(message, &all[sequence as usize - 1]), "{what}");
                }
                self.check_retention(worker, log, all, is_owner);
            }
        }
    }

    fn check_retention(&self, worker: usize, log: &Log, all: &[Arc<Message>], is_owner: bool) {
        let (what, limits) = (&self.what, &self.world.config.limits);
        let retained = &all[log.first_seq() as usize - 1..log.next_seq() as usize - 1];
        let bytes: usize = retained.iter().map(|message| message.cost_bytes()).sum();
        assert!(retained.len() <= limits.log_messages as usize, "{what}");
        assert!(bytes <= limits.log_bytes, "{what}");
        let now = self.world.now.instant;
        if let Some((_, appended_at)) = log.entry(log.first_seq())
            && !self.world.stalled[worker]
        {
            assert!(
                now.since(appended_at) < limits.log_age_ms + STEP_MS,
                "{appended_at:?} is too old for {} at {now:?}, worker {worker}, timers at {:?}: {what}",
                limits.log_age_ms,
                self.world.hubs[worker].next_deadline(),
            );
        }
        // Nothing is forgotten too early: with one more, a bound would have been broken at some time.
        if is_owner && log.first_seq() > 1 && retained.len() < limits.log_messages as usize {
            let before = &all[log.first_seq() as usize - 2];
            let fits = bytes + before.cost_bytes() <= limits.log_bytes;
            assert!(!fits || now.as_ms() >= limits.log_age_ms, "{what}");
        }
    }

    /// Lets everything come to rest, and checks that everybody has heard of everything.
    fn finish(&mut self) {
        self.world.stalled.fill(false);
        self.pass(0);
        let pairs = self.world.pairs();
        for slot in 0..self.listeners.len() as u32 {
            if self.listeners[slot as usize].as_ref().is_some_and(|listener| listener.blocked) {
                self.listeners[slot as usize].as_mut().unwrap().blocked = false;
                self.take(slot);
            }
        }
        loop {
            let mut moved = false;
            for &(from, to) in &pairs {
                while self.deliver(from, to) {
                    moved = true;
                }
            }
            for worker in 0..self.world.hubs.len() {
                moved |= self.walk(worker, usize::MAX);
            }
            if !moved {
                break;
            }
        }
        for hub in &self.world.hubs {
            assert_eq!(hub.gauges().mail_waiting, 0, "{}", self.what);
            assert!(!hub.has_deliveries(), "{}", self.what);
        }
        for (number, ask) in &self.asks {
            assert!(ask.answered, "{number} was never answered: {}", self.what);
        }
        for listener in self.listeners.iter().flatten() {
            let log = self.log(self.owners[listener.topic], listener.topic).expect("followed");
            let head = (log.epoch(), log.next_seq());
            assert_eq!(listener.expects, Some(head), "everybody hears of all: {}", self.what);
        }
        self.check();
        self.forget_everything();
    }

    fn forget_everything(&mut self) {
        for slot in 0..self.listeners.len() {
            self.unsubscribe(slot);
        }
        let limits = self.world.config.limits.clone();
        for ms in [REPLICA_IDLE_MS, limits.log_age_ms, limits.topic_idle_ms] {
            self.pass(ms + STEP_MS);
            for (from, to) in self.world.pairs() {
                while self.deliver(from, to) {}
            }
        }
        self.pass(limits.topic_idle_ms + STEP_MS);
        for hub in &self.world.hubs {
            let gauges = hub.gauges();
            assert_eq!((gauges.topics, gauges.replicas), (0, 0), "{}", self.what);
            assert_eq!((gauges.memory_bytes, gauges.mail_waiting), (0, 0), "{}", self.what);
            assert!(hub.names.is_empty() && hub.timers.armed() == 0, "{}", self.what);
        }
    }

    fn step(&mut self) {
        let workers = self.world.hubs.len();
        let worker = self.world.random.usize(..workers);
        let runs = !self.world.stalled[worker];
        match self.world.random.u8(0..100) {
            0..25 if runs => self.publish(worker),
            25..27 if runs => self.delete(worker),
            27..35 if runs => self.subscribe(worker),
            35..39 if !self.listeners.is_empty() => {
                let slot = self.world.random.usize(..self.listeners.len());
                let listener = self.listeners[slot].as_ref();
                if listener.is_some_and(|listener| !self.world.stalled[listener.worker]) {
                    self.unsubscribe(slot);
                }
            }
            39..45 if !self.listeners.is_empty() => {
                let slot = self.world.random.usize(..self.listeners.len());
                if let Some(listener) = &mut self.listeners[slot] {
                    listener.blocked = !listener.blocked;
                    if !listener.blocked && !self.world.stalled[listener.worker] {
                        self.take(slot as u32);
                    } else {
                        listener.blocked = true;
                    }
                }
            }
            45..75 if runs => {
                let from = self.world.random.usize(..workers);
                for _ in 0..self.world.random.usize(1..6) {
                    self.deliver(from, worker);
                }
            }
            75..90 if runs => {
                let most = self.world.random.usize(1..10);
                self.walk(worker, most);
            }
            90..92 if workers > 1 => {
                self.world.stalled[worker] = runs;
                self.pass(0);
            }
            92..99 => {
                let ms = self.world.random.u64(0..60);
                self.pass(ms);
            }
            99 => {
                let ms = self.world.random.u64(0..3_000);
                self.pass(ms);
            }
            _ => (),
        }
    }
}

#[test]
fn whatever_the_mail_does_every_log_is_part_of_the_owners_and_every_subscriber_hears_of_all() {
    let large: Arc<Vec<_>> = Arc::new((0..4).map(|more| message((1 << 20) + more)).collect());
    for seed in 0..1000 {
        for workers in [1, 2, 4] {
            let mut play = Play::new(workers, seed, &large);
            for _ in 0..400 {
                play.step();
                play.check();
            }
            play.finish();
        }
    }
}

// ---- Credit ----------------------------------------------------------------------------------

/// Two workers; the second follows a topic of the first's, which comes with it.
fn followed(config: Config) -> (World, TopicName) {
    let mut world = World::new(config, 1);
    let topic = world.name(0, 0);
    world.subscribe(1, &topic);
    world.settle();
    (world, topic)
}

#[test]
fn attack_209_mail_on_its_way_to_a_follower_that_stands_still_is_bounded_however_much_is_published()
{
    let (mut world, topic) = followed(config(2));
    world.stalled[1] = true;
    for published in 1..=20 * u64::from(CREDIT_MESSAGES) {
        let publishing = world.publish(0, &topic, 1);
        let has_credit = published <= u64::from(CREDIT_MESSAGES);
        assert_eq!(publishing == Publishing::Pending, !has_credit, "{published}");
        world.carry();
    }
    assert_eq!(world.letters(0, 1), CREDIT_MESSAGES as usize);
    assert_eq!(world.hubs[0].links.to(1).backlog.len(), 1, "the topic waits once");
    // It goes on: everything is answered, and what was trimmed meanwhile is a gap.
    world.stalled[1] = false;
    world.settle();
    assert_eq!(world.outcomes.len(), 19 * CREDIT_MESSAGES as usize);
    let (log, replica) = (world.log(0, &topic).unwrap(), world.log(1, &topic).unwrap());
    assert_eq!((log.first_seq(), log.next_seq()), (replica.first_seq(), replica.next_seq()));
}

#[test]
fn large_messages_use_up_credit_by_their_size() {
    let (mut world, topic) = followed(config(2));
    world.stalled[1] = true;
    let large = message(1 << 20);
    for _ in 0..200 {
        world.publish_at(0, &topic, &large, None);
        world.carry();
    }
    let most = CREDIT_MESSAGES / credit_units(&large) + 1;
    assert_eq!(world.letters(0, 1), most as usize);
}

#[test]
fn publishers_wait_for_a_follower_that_stands_still_until_their_time_is_up() {
    let (mut world, topic) = followed(config(2));
    world.stalled[1] = true;
    for _ in 0..CREDIT_MESSAGES {
        assert!(matches!(world.publish(0, &topic, 1), Publishing::Done(Ok(_))));
    }
    assert_eq!(world.publish(0, &topic, 1), Publishing::Pending);
    world.pass(FOLLOWER_STALL_MS - 1);
    assert_eq!(world.publish(0, &topic, 1), Publishing::Pending);
    world.carry();
    assert!(world.outcomes.is_empty());
    world.pass(1 + STEP_MS);
    assert_eq!(world.outcomes.len(), 1, "only the first has waited long enough");
    world.pass(FOLLOWER_STALL_MS);
    assert_eq!(world.outcomes.len(), 2);
}

#[test]
fn publishers_do_not_wait_for_a_follower_that_has_left() {
    let (mut world, topic) = followed(config(2));
    world.stalled[1] = true;
    for _ in 0..=CREDIT_MESSAGES {
        world.publish(0, &topic, 1);
    }
    world.carry();
    assert!(world.outcomes.is_empty());
    let (now, slot) = (world.now, world.hubs[0].slot_of(&topic).unwrap());
    let topic = world.hubs[0].key(slot);
    world.hubs[0].handle_mail(now, 1, Mail::Unfollow { topic });
    world.carry();
    assert_eq!(world.outcomes.len(), 1);
}

#[test]
fn the_repeat_of_a_publish_that_waits_for_a_follower_waits_too() {
    let (mut world, topic) = followed(config(2));
    world.stalled[1] = true;
    for _ in 0..CREDIT_MESSAGES {
        world.publish(0, &topic, 1);
    }
    let (first, publishing) = world.publish_at(0, &topic, &message(1), Some(&key("k")));
    assert_eq!(publishing, Publishing::Pending);
    let (second, publishing) = world.publish_at(0, &topic, &message(1), Some(&key("k")));
    assert_eq!(publishing, Publishing::Pending, "the follower has not been mailed it");
    world.stalled[1] = false;
    world.settle();
    assert_eq!(world.outcomes[&first], world.outcomes[&second]);
    let (_, publishing) = world.publish_at(0, &topic, &message(1), Some(&key("k")));
    assert_eq!(publishing, Publishing::Done(world.outcomes[&first]));
}

#[test]
fn publishers_of_a_new_epoch_do_not_wait_for_those_of_the_old_one() {
    let (mut world, topic) = followed(config(2));
    world.stalled[1] = true;
    for _ in 0..CREDIT_MESSAGES + 50 {
        world.publish(0, &topic, 1);
    }
    world.delete(0, &topic);
    world.publish(0, &topic, 1);
    world.stalled[1] = false;
    world.settle();
    assert_eq!(world.log(1, &topic).unwrap().head(), world.log(0, &topic).unwrap().head());
    // No time has passed: nothing is answered only because it waited long enough.
    assert_eq!(world.outcomes.len(), world.next_ticket as usize - CREDIT_MESSAGES as usize);
}

#[test]
fn attack_209_deletions_cannot_fill_the_memory_with_mail_to_a_follower_that_stands_still() {
    let (mut world, topic) = followed(config(2));
    world.stalled[1] = true;
    for _ in 0..10 * CREDIT_MESSAGES {
        world.delete(0, &topic);
        world.carry();
    }
    assert!(world.letters(0, 1) <= CREDIT_MESSAGES as usize, "{}", world.letters(0, 1));
    world.stalled[1] = false;
    world.settle();
    let (log, replica) = (world.log(0, &topic).unwrap(), world.log(1, &topic).unwrap());
    assert_eq!(log.head(), replica.head());
}

#[test]
fn attack_196_209_publishes_on_their_way_to_an_owner_that_stands_still_are_bounded() {
    let mut world = World::new(config(2), 1);
    let topic = world.name(0, 0);
    world.stalled[0] = true;
    for _ in 0..FORWARDS_IN_FLIGHT_MAX {
        assert_eq!(world.publish(1, &topic, 1), Publishing::Pending);
    }
    assert_eq!(world.publish(1, &topic, 1), Publishing::Busy);
    assert_eq!(world.delete(1, &topic), Publishing::Busy);
    world.carry();
    assert_eq!(world.letters(1, 0), FORWARDS_IN_FLIGHT_MAX);
    world.stalled[0] = false;
    world.settle();
    assert_eq!(world.outcomes.len(), FORWARDS_IN_FLIGHT_MAX);
    assert_eq!(world.publish(1, &topic, 1), Publishing::Pending);
}

#[test]
fn a_letter_that_is_given_back_is_the_next_one_to_go_there() {
    let mut world = World::new(config(4), 1);
    let mut expected = vec![Vec::new(); 4];
    for number in 0..30 {
        let owner = 1 + number % 3;
        let topic = world.name(owner, 0);
        world.publish(0, &topic, number);
        expected[owner].push(number);
    }
    let mut came = vec![Vec::new(); 4];
    while world.hubs[0].has_mail() {
        let Some((to, mail)) = world.hubs[0].poll_mail() else { continue };
        if world.random.bool() {
            world.hubs[0].give_back(to, mail);
        } else if let Mail::Publish { message, .. } = mail {
            came[to].push(message.payload().len());
        }
    }
    assert_eq!(came, expected);
}

#[test]
fn a_full_channel_to_one_worker_holds_up_no_mail_to_the_others() {
    let mut world = World::new(config(4), 1);
    let topics: Vec<TopicName> = (1..4).map(|owner| world.name(owner, 0)).collect();
    for _ in 0..10 {
        for topic in &topics {
            world.publish(0, topic, 1);
        }
    }
    let mut came = [0; 4];
    while let Some((to, mail)) = world.hubs[0].poll_mail() {
        match to {
            2 => world.hubs[0].give_back(2, mail),
            to => came[to] += 1,
        }
    }
    assert_eq!(came, [0, 10, 0, 10]);
    assert_eq!(world.hubs[0].gauges().mail_waiting, 10);
}

#[test]
fn an_answer_goes_out_behind_the_message_to_every_follower() {
    let mut world = World::new(config(4), 1);
    let topic = world.name(0, 0);
    for follower in 1..4 {
        world.subscribe(follower, &topic);
    }
    world.settle();
    for publisher in 1..4 {
        world.publish(publisher, &topic, 1);
        let (_, mail) = world.hubs[publisher].poll_mail().unwrap();
        let now = world.now;
        world.hubs[0].handle_mail(now, publisher, mail);
        let sent: Vec<bool> = std::iter::from_fn(|| world.hubs[0].poll_mail())
            .map(|(_, mail)| matches!(mail, Mail::Answer { .. }))
            .collect();
        assert_eq!(sent, [false, false, false, true], "publisher {publisher}");
    }
}

// ---- Bounds ----------------------------------------------------------------------------------

#[test]
fn the_number_of_topics_is_capped_for_publishers_and_for_followers() {
    let mut config = config(2);
    (config.limits.topics_max, config.limits.topic_idle_ms) = (4, 500);
    let mut world = World::new(config, 1);
    // Two of each kind: published to, and only listened to.
    let spoken = [world.name(0, 0), world.name(0, 1)];
    let [held, first, refused, late] = [2, 3, 4, 5].map(|index| world.name(0, index));
    for topic in &spoken {
        world.publish(0, topic, 1);
    }
    let [_, first] = [&held, &first].map(|topic| world.subscribe(0, topic));
    let done = Publishing::Done(Err(Refusal::TopicsUsedUp));
    assert_eq!(world.publish(0, &refused, 1), done);
    assert_eq!(world.publish(0, &held, 1), done, "it would become one that was published to");
    assert!(matches!(world.publish(0, &spoken[0], 1), Publishing::Done(Ok(_))));
    let now = world.now;
    let seated = world.hubs[0].subscribe(now, &refused, subscriber(0));
    assert_eq!(seated, Err(Refusal::TopicsUsedUp));

    let other = world.subscribe(1, &refused);
    assert!(matches!(world.hubs[1].view(other.0), View::Syncing));
    world.settle();
    assert_eq!(world.hubs[1].poll_delivery(), Some(0), "the subscriber is told");
    let view = world.hubs[1].view(other.0);
    assert!(matches!(view, View::Refused(Refusal::TopicsUsedUp)));
    // The next one asks again, while the first is still there.
    let another = world.subscribe(1, &refused);
    assert_ne!(another.0, other.0);
    world.settle();
    assert!(matches!(world.hubs[1].view(another.0), View::Refused(Refusal::TopicsUsedUp)));
    // One that nobody listens to any more makes way at once.
    world.unsubscribe(0, first);
    let last = world.subscribe(1, &late);
    world.settle();
    assert!(matches!(world.hubs[1].view(last.0), View::Live(_)));
    assert_eq!(world.hubs[0].gauges().topics, 4);
    // The refused replicas go, and take nothing with them that is not theirs.
    for (id, seat) in [other, another] {
        world.unsubscribe(1, (id, seat));
    }
    world.pass(REPLICA_IDLE_MS + STEP_MS);
    assert_eq!(world.hubs[1].gauges().replicas, 1);
    assert!(matches!(world.hubs[1].view(last.0), View::Live(_)));
}

#[test]
fn attack_185_topics_that_were_only_listened_to_make_way_and_never_keep_publishers_out() {
    let mut config = config(2);
    (config.limits.topics_max, config.limits.topic_idle_ms) = (200, 1_000_000);
    let mut world = World::new(config, 1);
    let names: Vec<TopicName> = (0..1_000).map(|index| world.name(0, index)).collect();
    let quiet = world.subscribe(0, &names[0]);
    let epoch = |world: &World| match world.hubs[0].view(quiet.0) {
        View::Live(log) => log.epoch(),
        view => panic!("{view:?}"),
    };
    let began = epoch(&world);
    for name in &names[1..] {
        // As a short poll does, here and on the worker that does not own it.
        for worker in 0..2 {
            let seat = world.subscribe(worker, name);
            world.settle();
            world.unsubscribe(worker, seat);
        }
        assert!(world.hubs[0].gauges().topics <= 100 && world.hubs[1].gauges().replicas <= 200);
        world.pass(REPLICA_IDLE_MS / 50);
    }
    for name in names.iter().skip(1).take(100) {
        assert!(matches!(world.publish(0, name, 1), Publishing::Done(Ok(_))), "{name:?}");
    }
    assert_eq!(epoch(&world), began, "a topic that somebody listens to stays");
}

#[test]
fn memory_is_capped_counted_exactly_and_given_back() {
    let mut config = config(1);
    let limits = &mut config.limits;
    (limits.memory_bytes_max, limits.log_age_ms, limits.topic_idle_ms) = (50_000, 1_000, 1_000);
    let mut world = World::new(config, 1);
    let topics: Vec<TopicName> = (0..5).map(|index| world.name(0, index)).collect();
    let mut refused = 0;
    for number in 0..400 {
        let topic = &topics[number % 5];
        match world.publish(0, topic, number % 300) {
            Publishing::Done(Ok(_)) => (),
            Publishing::Done(Err(Refusal::MemoryUsedUp)) => refused += 1,
            other => panic!("{other:?}"),
        }
        assert!(world.hubs[0].gauges().memory_bytes <= 50_000);
        assert_eq!(world.hubs[0].memory_left(), 50_000 - world.hubs[0].gauges().memory_bytes);
        world.check_memory("capped");
    }
    assert!(refused > 200);
    // Encodings are kept only while there is memory for them.
    let (id, seat) = world.subscribe(0, &topics[0]);
    let head = world.log(0, &topics[0]).unwrap().head().sequence;
    for format in [Format::Sse, Format::Ndjson, Format::WebSocketRaw, Format::WebSocketEnvelope] {
        for sequence in 1..=head {
            world.hubs[0].chunk(id, sequence, format, Encoded::body);
        }
    }
    assert!(world.hubs[0].gauges().memory_bytes < 50_000 + 1_000);
    world.check_memory("encoded");
    world.unsubscribe(0, (id, seat));
    world.pass(1_000 + STEP_MS);
    assert_eq!(world.hubs[0].gauges().memory_bytes, 0);
    world.pass(1_000 + STEP_MS);
    assert_eq!(world.hubs[0].gauges().topics, 0);
}

#[test]
fn attack_190_after_the_last_sequence_number_another_epoch_begins_and_everybody_is_told() {
    let (mut world, topic) = followed(config(2));
    // As if 2^64 - 5 messages had been published before.
    let slot = world.hubs[0].slot_of(&topic).unwrap();
    let epoch = Epoch::from_random(7);
    world.hubs[0].change_log(slot, |log| *log = Log::new(epoch, u64::MAX - 4));
    let follower = world.hubs[1].slot_of(&topic).unwrap();
    world.hubs[1].change_log(follower, |log| log.reset(epoch, u64::MAX - 4));
    if let Role::Owner(owned) = &mut world.hubs[0].topics[slot as usize].role {
        owned.start_followers_at(u64::MAX - 4);
    }
    let mut positions = Vec::new();
    for _ in 0..7 {
        let (number, publishing) = world.publish_at(0, &topic, &message(1), None);
        world.settle();
        let outcome = match publishing {
            Publishing::Done(outcome) => outcome,
            _ => world.outcomes[&number],
        };
        positions.push(outcome.unwrap());
    }
    let sequences: Vec<u64> = positions.iter().map(|position| position.sequence).collect();
    let last = u64::MAX - 1;
    assert_eq!(sequences, [last - 3, last - 2, last - 1, last, 1, 2, 3]);
    assert!(positions[..4].iter().all(|position| position.epoch == epoch));
    assert!(positions[4..].iter().all(|position| position.epoch == positions[4].epoch));
    assert_ne!(positions[4].epoch, epoch);
    for worker in 0..2 {
        let log = world.log(worker, &topic).unwrap();
        assert_eq!((log.epoch(), log.head().sequence, log.len()), (positions[4].epoch, 3, 3));
        let start = Start::After(Cursor::parse(positions[3].text().as_bytes()).unwrap());
        let mut edge = Edge::unresolved(TopicId(0), 0);
        edge.resolve(log, &start, Some(positions[3]));
        assert_eq!(edge.due(log), Due::Gap(None), "a cursor of before is told");
    }
}

#[test]
fn a_message_larger_than_a_log_is_refused_and_begins_no_topic() {
    let mut config = config(1);
    config.limits.log_bytes = 1_000;
    let mut world = World::new(config, 1);
    let topic = world.name(0, 0);
    let refusal = Publishing::Done(Err(Refusal::LargerThanLog));
    assert_eq!(world.publish(0, &topic, 1_000), refusal);
    assert_eq!(world.hubs[0].gauges().topics, 0);
}

#[test]
fn a_log_is_trimmed_by_number_by_bytes_and_by_age_each_alone_and_all_together() {
    let cost = message(10).cost_bytes();
    let cases: [(u32, usize, u64, u64); 5] = [
        (3, 1 << 30, 1 << 40, 3),
        (1_000, 4 * cost, 1 << 40, 4),
        (1_000, 1 << 30, 550, 6),
        (5, 2 * cost, 950, 2),
        (1, cost, 50, 1),
    ];
    for (messages, bytes, age_ms, retained) in cases {
        let mut config = config(2);
        let limits = &mut config.limits;
        (limits.log_messages, limits.log_bytes, limits.log_age_ms) = (messages, bytes, age_ms);
        let (mut world, topic) = followed(config);
        for _ in 0..10 {
            world.pass(100);
            world.publish(0, &topic, 10);
            world.settle();
        }
        for worker in 0..2 {
            let log = world.log(worker, &topic).unwrap();
            assert_eq!((log.first_seq(), log.next_seq()), (11 - retained, 11), "{messages}");
        }
        if age_ms < 1_000 {
            world.pass(age_ms + STEP_MS);
            for worker in 0..2 {
                let log = world.log(worker, &topic).unwrap();
                assert_eq!((log.first_seq(), log.next_seq(), log.memory_bytes()), (11, 11, 0));
            }
        }
    }
}

// ---- Idempotency -----------------------------------------------------------------------------

#[test]
fn a_repeat_publishes_nothing_and_gets_the_first_position_in_the_window_and_per_topic() {
    let mut config = config(2);
    config.limits.idempotency_window_ms = 500;
    let mut world = World::new(config, 1);
    let [topic, other] = [world.name(0, 0), world.name(0, 1)];
    let ask = |world: &mut World, worker, topic: &TopicName, text| {
        let (number, publishing) = world.publish_at(worker, topic, &message(1), Some(&key(text)));
        world.settle();
        match publishing {
            Publishing::Done(outcome) => outcome.unwrap().sequence,
            _ => world.outcomes[&number].unwrap().sequence,
        }
    };
    assert_eq!(ask(&mut world, 0, &topic, "a"), 1);
    assert_eq!(ask(&mut world, 0, &topic, "b"), 2);
    assert_eq!(ask(&mut world, 1, &topic, "a"), 1, "from another worker too");
    assert_eq!(ask(&mut world, 0, &other, "a"), 1, "another topic's first message");
    world.pass(499);
    assert_eq!(ask(&mut world, 1, &topic, "a"), 1, "in the window");
    assert_eq!(world.log(0, &topic).unwrap().next_seq(), 3);
    world.pass(1);
    assert_eq!(ask(&mut world, 1, &topic, "a"), 3, "past the window");
    world.delete(0, &topic);
    assert_eq!(ask(&mut world, 0, &topic, "a"), 3, "remembered, though it is gone");
}

// ---- Forgetting ------------------------------------------------------------------------------

#[test]
fn a_topic_is_forgotten_after_its_idle_time_without_subscribers_and_messages_and_not_before() {
    let mut config = config(1);
    (config.limits.topic_idle_ms, config.limits.log_age_ms) = (3_000, 10_000);
    let mut world = World::new(config, 1);
    let topic = world.name(0, 0);
    let seat = world.subscribe(0, &topic);
    world.pass(50_000);
    assert_eq!(world.hubs[0].gauges().topics, 1, "it has a subscriber");
    world.unsubscribe(0, seat);
    world.pass(2_999);
    assert_eq!(world.hubs[0].gauges().topics, 1, "not before");
    world.publish(0, &topic, 1);
    world.pass(9_999);
    assert_eq!(world.log(0, &topic).unwrap().len(), 1, "it has a message");
    world.pass(1 + STEP_MS);
    let log = world.log(0, &topic).expect("it has lost its message only now");
    assert_eq!((log.len(), log.next_seq()), (0, 2));
    world.pass(2_900);
    assert_eq!(world.hubs[0].gauges().topics, 1, "it was not idle for long enough");
    world.pass(100 + STEP_MS);
    assert_eq!(world.hubs[0].gauges().topics, 0);
    assert_eq!(world.hubs[0].next_deadline(), Instant::NEVER);
}

#[test]
fn a_replica_is_kept_warm_for_its_time_and_keeps_its_topic_alive() {
    let mut config = config(2);
    config.limits.topic_idle_ms = 3_000;
    let mut world = World::new(config, 1);
    let topic = world.name(0, 0);
    let seat = world.subscribe(1, &topic);
    world.settle();
    world.pass(60_000);
    assert_eq!(world.hubs[0].gauges().topics, 1, "it has a follower");
    world.unsubscribe(1, seat);
    world.pass(REPLICA_IDLE_MS - 1);
    world.settle();
    assert_eq!(world.hubs[1].gauges().replicas, 1, "not before");
    let seat = world.subscribe(1, &topic);
    assert_eq!(world.letters(1, 0), 0, "it is warm: nobody is asked");
    assert!(matches!(world.hubs[1].view(seat.0), View::Live(_)));
    world.unsubscribe(1, seat);
    world.pass(REPLICA_IDLE_MS + STEP_MS);
    assert_eq!(world.hubs[1].gauges().replicas, 0);
    world.settle();
    world.pass(2_900);
    assert_eq!(world.hubs[0].gauges().topics, 1, "it was followed until now");
    world.pass(100 + STEP_MS);
    assert_eq!(world.hubs[0].gauges().topics, 0);
}

#[test]
fn a_replica_is_shown_when_all_is_there_that_was_retained_when_it_was_followed() {
    let mut world = World::new(config(2), 1);
    let topic = world.name(0, 0);
    for _ in 0..10 {
        world.publish(0, &topic, 1);
    }
    let (id, _) = world.subscribe(1, &topic);
    world.carry();
    while world.deliver(1, 0) {}
    assert_eq!(world.letters(0, 1), 11, "the beginning and ten messages");
    for _ in 0..11 {
        assert!(matches!(world.hubs[1].view(id), View::Syncing));
        world.deliver(0, 1);
    }
    assert!(matches!(world.hubs[1].view(id), View::Live(log) if log.len() == 10));
}

#[test]
fn a_replica_is_not_forgotten_because_a_message_of_it_is() {
    let mut config = config(2);
    config.limits.log_age_ms = 500;
    let (mut world, topic) = followed(config);
    let seat = world.subscribe(1, &topic);
    let (id, _) = seat;
    world.unsubscribe(1, seat);
    world.unsubscribe(1, (id, 0));
    world.publish(0, &topic, 1);
    world.settle();
    world.pass(500 + STEP_MS);
    assert_eq!(world.log(1, &topic).expect("it is warm").len(), 0);
}

#[test]
fn a_replica_that_waits_for_its_owner_costs_no_timers_and_goes_when_it_was_answered() {
    let mut world = World::new(config(2), 1);
    let topic = world.name(0, 0);
    world.stalled[0] = true;
    let seat = world.subscribe(1, &topic);
    world.unsubscribe(1, seat);
    world.now.instant = world.now.instant + 10 * REPLICA_IDLE_MS;
    let now = world.now;
    assert!(!world.hubs[1].handle_timers(now), "a timer that fires at once fires for ever");
    assert_eq!(world.hubs[1].gauges().replicas, 1, "the owner will answer");
    world.stalled[0] = false;
    world.settle();
    world.pass(REPLICA_IDLE_MS + STEP_MS);
    assert_eq!(world.hubs[1].gauges().replicas, 0);
}

// ---- Deliveries ------------------------------------------------------------------------------

#[test]
fn a_fan_out_to_a_thousand_takes_turns_with_a_small_topic() {
    let mut world = World::new(config(1), 1);
    let [large, small] = [world.name(0, 0), world.name(0, 1)];
    let now = world.now;
    for slot in 0..1_000 {
        world.hubs[0].subscribe(now, &large, subscriber(slot)).unwrap();
    }
    world.hubs[0].subscribe(now, &small, subscriber(5_000)).unwrap();
    world.publish(0, &large, 1);
    let mut visited = vec![0; 1_000];
    for turn in 0..10 {
        // In the middle of the walk, something happens in the small topic.
        world.publish(0, &small, 1);
        let mut waited = 0;
        while let Some(slot) = world.hubs[0].poll_delivery() {
            if slot == 5_000 {
                break;
            }
            visited[slot as usize] += 1;
            waited += 1;
            assert!(waited <= DELIVERIES_PER_TURN, "in turn {turn}");
        }
    }
    while let Some(slot) = world.hubs[0].poll_delivery() {
        visited[slot as usize] += 1;
    }
    assert!(visited.iter().all(|&visits| visits == 1), "everybody once");
    assert!(!world.hubs[0].has_deliveries());
}

#[test]
#[cfg(target_pointer_width = "64")]
fn a_million_idle_topics_are_a_million_times_this_and_little_else() {
    // Beside these: the name's bytes, its place in the table (up to 18), a timer (24).
    assert_eq!((size_of::<Topic>(), size_of::<Log>(), size_of::<Seats>()), (96, 32, 8));
}

#[test]
fn what_is_joined_for_a_walk_is_counted_and_goes_with_it() {
    let mut world = World::new(config(1), 1);
    let topic = world.name(0, 0);
    let (id, _) = world.subscribe(0, &topic);
    let run = |world: &mut World| world.hubs[0].run(id, 1, Format::Sse, 10_000);
    for _ in 0..3 {
        world.publish(0, &topic, 10);
    }
    assert!(run(&mut world).is_none(), "who asks first");
    let (joined, messages) = run(&mut world).expect("who asks second");
    assert_eq!(messages, 3);
    world.check_memory("joined");
    let with_run = world.hubs[0].gauges().memory_bytes;
    world.publish(0, &topic, 10);
    assert_eq!(run(&mut world).expect("it covers most of it").1, 3);
    for _ in 0..4 {
        world.publish(0, &topic, 10);
    }
    assert_eq!(run(&mut world).expect("joined anew").1, 8);
    world.check_memory("joined anew");
    while world.hubs[0].poll_delivery().is_some() {}
    world.check_memory("after the walk");
    let encoded = 8 * (joined.len() / 3 + 64);
    assert!(world.hubs[0].gauges().memory_bytes <= with_run + 5 * (10 + 256) + encoded);
    for _ in 0..3 {
        assert!(run(&mut world).is_none(), "nobody else is to come past");
    }
}
