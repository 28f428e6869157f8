//! Servers of several workers that share one topic through a backplane, against a naive model of it: what is asked,
//! answered and heard is on its way for a while, and gets lost.

use super::*;
use crate::config::{Endpoint, RedisConfig, Topology};
use crate::topic::{Page, PageEntry, Report, Request, Retention, Term};

const CHECK_MS: u64 = 10_000;
/// Epochs that the backplane remembers.
const TERMS_MAX: usize = 16;

/// What sequences the topic: one log, and the epochs that it was in.
struct Backplane {
    terms: Vec<Term>,
    /// What is retained, with its sequence.
    entries: VecDeque<(u64, Vec<u8>)>,
    next_seq: u64,
    retained: usize,
    random: Rng,
    /// Epochs so far.
    begun: usize,
}

/// The ways between one hub and the backplane.
#[derive(Default)]
struct Line {
    asked: VecDeque<Request>,
    answers: VecDeque<Report>,
    channel: VecDeque<Report>,
    is_listening: bool,
}

/// Somebody who is subscribed, and what he has been given.
struct Subscriber {
    server: usize,
    worker: usize,
    edge: Edge,
    start: (Start, Option<Position>),
    /// The first sequence that was his to receive.
    first: u64,
    received: Vec<(Position, Vec<u8>)>,
    counted: u64,
    unknown: u64,
}

struct Play {
    what: String,
    random: Rng,
    topic: TopicName,
    servers: Vec<World>,
    lines: Vec<Vec<Line>>,
    backplane: Backplane,
    subscribers: Vec<Subscriber>,
    /// What was published, by ticket: where, and the payload.
    published: HashMap<(usize, u32), Vec<u8>>,
    /// Messages may have been lost in the backplane.
    has_lost: bool,
}

impl Backplane {
    fn new(random: &mut Rng, retained: usize) -> Self {
        let mut random = random.fork();
        let terms = vec![Term { epoch: Epoch::from_random(random.u64(..)), first: 1 }];
        Self { terms, entries: VecDeque::new(), next_seq: 1, retained, random, begun: 1 }
    }

    fn begin_term(&mut self) {
        let epoch = Epoch::from_random(self.random.u64(..));
        self.terms.push(Term { epoch, first: self.next_seq });
        self.begun += 1;
        self.terms.drain(..self.terms.len().saturating_sub(TERMS_MAX));
    }

    /// A server takes over that had not got the last `count` messages.
    fn fork(&mut self, count: usize) {
        for _ in 0..count {
            if self.entries.pop_back().is_some() {
                self.next_seq -= 1;
            }
        }
        self.terms.retain(|term| term.first <= self.next_seq);
        self.begin_term();
    }

    fn flush(&mut self) {
        self.entries.clear();
        self.terms.clear();
        self.next_seq = 1;
        self.begin_term();
    }

    fn epoch(&self) -> Epoch {
        self.terms.last().unwrap().epoch
    }

    fn sequence(&mut self, message: &Message) -> (Position, Vec<u8>) {
        let (mut record, sequence) = (Vec::new(), self.next_seq);
        message.encode_record(&mut record);
        self.entries.push_back((sequence, record.clone()));
        self.next_seq += 1;
        while self.entries.len() > self.retained {
            self.entries.pop_front();
        }
        (Position { epoch: self.epoch(), sequence }, record)
    }

    fn page(&mut self, from: u64, retention: Retention) -> Page {
        let most = retention.messages as u64;
        let from = if from > 0 { from } else { self.next_seq.saturating_sub(most).max(1) };
        let count = self.random.usize(1..6);
        let wanted = self.entries.iter().filter(|(sequence, _)| *sequence >= from).take(count);
        let entries = wanted.map(|(sequence, record)| PageEntry {
            sequence: *sequence,
            age_ms: 0,
            record: record.clone(),
        });
        let entries = entries.collect();
        Page { terms: self.terms.clone(), next_seq: self.next_seq, entries }
    }
}

impl Play {
    fn new(seed: u64, servers: usize, workers: usize) -> Self {
        let mut random = Rng::with_seed(seed);
        let mut config = config(workers);
        let retained = if random.bool() { 1_000 } else { random.usize(3..20) };
        config.limits.log_messages = retained as u32;
        config.budgets.publishes_outside = random.usize(1..20);
        let server = Endpoint { host: "redis".to_owned(), port: 6379 };
        config.redis = Some(Arc::new(RedisConfig {
            topology: Topology::Servers(vec![server]),
            credentials: None,
            database: 0,
            prefix: "tidings".to_owned(),
            wait_replicas: 0,
            publish_wait_ms: 0,
            timeout_ms: 5_000,
            check_ms: CHECK_MS,
            idempotency_window_ms: 120_000,
            topic_idle_ms: 300_000,
            value_bytes_max: 1 << 20,
        }));
        let backplane = Backplane::new(&mut random, retained);
        let world = |_| World::new(config.clone(), random.u64(..));
        let servers: Vec<World> = (0..servers).map(world).collect();
        let line = || (0..workers).map(|_| Line::default()).collect();
        let mut play = Self {
            what: format!("seed {seed}"),
            topic: TopicName::parse(b"topic").unwrap(),
            lines: servers.iter().map(|_| line()).collect(),
            servers,
            backplane,
            random,
            subscribers: Vec::new(),
            published: HashMap::new(),
            has_lost: false,
        };
        for server in 0..play.servers.len() {
            for worker in 0..workers {
                let now = play.servers[server].now;
                play.servers[server].hubs[worker].handle_report(now, Report::Reachable(true));
            }
        }
        play
    }

    fn carry(&mut self) {
        for (world, lines) in self.servers.iter_mut().zip(&mut self.lines) {
            world.carry();
            for (hub, line) in world.hubs.iter_mut().zip(lines) {
                while let Some(request) = hub.poll_request() {
                    line.asked.push_back(request);
                }
            }
        }
    }

    fn line(&mut self) -> (usize, usize) {
        let server = self.random.usize(..self.servers.len());
        (server, self.random.usize(..self.lines[server].len()))
    }

    fn publish(&mut self) {
        let (server, worker) = self.line();
        let payload = self.published.len().to_string().into_bytes();
        let message = Arc::new(Message::new(payload.clone(), None, None, 0).unwrap());
        let (number, publishing) =
            self.servers[server].publish_at(worker, &self.topic, &message, None);
        if publishing == Publishing::Pending {
            self.published.insert((server, number), payload);
        }
    }

    /// The backplane does one thing that it was asked.
    fn execute(&mut self, server: usize, worker: usize) -> bool {
        let line = &mut self.lines[server][worker];
        let Some(request) = line.asked.pop_front() else { return false };
        match request {
            Request::Publish { number, message, .. } => {
                let (position, record) = self.backplane.sequence(&message);
                line.answers.push_back(Report::Done { number, outcome: Ok(position) });
                self.tell(position, &record);
            }
            Request::Delete { number, .. } => {
                self.has_lost = true;
                self.backplane.flush();
                let position = Position { epoch: self.backplane.epoch(), sequence: 0 };
                line.answers.push_back(Report::Done { number, outcome: Ok(position) });
                self.tell(position, &[]);
            }
            Request::Listen { topic } => {
                line.is_listening = true;
                line.channel.push_back(Report::Listening { topic });
            }
            Request::Leave { .. } => line.is_listening = false,
            Request::Read { number, from, retention, .. } => {
                let page = Ok(self.backplane.page(from, retention));
                line.answers.push_back(Report::Read { number, page });
            }
        }
        true
    }

    fn tell(&mut self, position: Position, record: &[u8]) {
        for line in self.lines.iter_mut().flatten().filter(|line| line.is_listening) {
            let (topic, record) = (self.topic.clone(), record.to_vec());
            line.channel.push_back(Report::Heard { topic, position, record });
        }
    }

    /// One thing arrives that a hub was answered, or has heard.
    fn arrive(&mut self, server: usize, worker: usize, is_answer: bool) -> bool {
        let line = &mut self.lines[server][worker];
        let road = if is_answer { &mut line.answers } else { &mut line.channel };
        let Some(report) = road.pop_front() else { return false };
        let now = self.servers[server].now;
        self.servers[server].hubs[worker].handle_report(now, report);
        true
    }

    /// A connection is lost, with all that was on its way, and made again.
    fn cut(&mut self, server: usize, worker: usize, is_commands: bool) {
        let now = self.servers[server].now;
        let line = &mut self.lines[server][worker];
        if !is_commands {
            line.channel.clear();
            if line.is_listening {
                line.channel.push_back(Report::Listening { topic: self.topic.clone() });
            }
            return;
        }
        let mut lost: Vec<Report> = Vec::new();
        for report in line.answers.drain(..) {
            lost.push(match report {
                Report::Done { number, .. } => {
                    Report::Done { number, outcome: Err(Refusal::OutcomeUnknown) }
                }
                Report::Read { number, .. } => {
                    Report::Read { number, page: Err(Refusal::RedisAway) }
                }
                report => report,
            });
        }
        let hub = &mut self.servers[server].hubs[worker];
        hub.handle_report(now, Report::Reachable(false));
        lost.into_iter().for_each(|report| hub.handle_report(now, report));
        hub.handle_report(now, Report::Reachable(true));
    }

    fn subscribe(&mut self) {
        let (server, worker) = self.line();
        let (topic, seat) = self.servers[server].subscribe(worker, &self.topic);
        let known = self.subscribers.iter().flat_map(|subscriber| subscriber.received.last());
        let known: Vec<Position> = known.map(|(position, _)| *position).collect();
        let start = match self.random.u8(0..3) {
            0 if !known.is_empty() => {
                let position = known[self.random.usize(..known.len())];
                let cursor = Cursor::parse(position.text().as_bytes()).unwrap();
                (Start::After(cursor), Some(position))
            }
            1 => (Start::Latest, None),
            _ => (Start::Earliest, None),
        };
        let edge = Edge::unresolved(topic, seat);
        let (received, counted, unknown) = (Vec::new(), 0, 0);
        let subscriber =
            Subscriber { server, worker, edge, start, first: 0, received, counted, unknown };
        self.subscribers.push(subscriber);
    }

    /// A subscriber takes what is due. Whether there was something.
    fn visit(&mut self, index: usize) -> bool {
        let subscriber = &mut self.subscribers[index];
        let hub = &mut self.servers[subscriber.server].hubs[subscriber.worker];
        let (edge, mut moved) = (&mut subscriber.edge, false);
        if !edge.is_resolved() {
            if let Some(position) = subscriber.start.1
                && edge.is_on_its_way(hub, position)
            {
                return false;
            }
            if let View::Refused(_) = hub.view(edge.topic) {
                // He comes again.
                let (id, world) = (edge.topic, &mut self.servers[subscriber.server]);
                world.unsubscribe(subscriber.worker, (id, edge.seat));
                let (id, seat) = world.subscribe(subscriber.worker, &self.topic);
                *edge = Edge::unresolved(id, seat);
                return true;
            }
            let View::Live(log) = hub.view(edge.topic) else { return false };
            edge.resolve(log, &subscriber.start.0, subscriber.start.1);
            moved = true;
        }
        let View::Live(log) = hub.view(edge.topic) else { return moved };
        loop {
            match edge.due(log) {
                Due::Nothing => return moved,
                Due::Gap(Some(count)) => subscriber.counted += count,
                Due::Gap(None) => subscriber.unknown += 1,
                Due::Message(sequence) => {
                    let payload = log.entry(sequence).unwrap().0.payload().to_vec();
                    if subscriber.first == 0 {
                        subscriber.first = sequence;
                    }
                    subscriber.received.push((log.position(sequence), payload));
                }
            }
            edge.advance(log);
            moved = true;
        }
    }

    fn step(&mut self) {
        let (server, worker) = self.line();
        match self.random.u32(..1_000) {
            0..150 => self.publish(),
            150..350 => drop(self.execute(server, worker)),
            350..450 => drop(self.arrive(server, worker, true)),
            450..600 => drop(self.arrive(server, worker, false)),
            600..750 => {
                let to = self.random.usize(..self.lines[server].len());
                self.servers[server].deliver(worker, to);
            }
            750..900 if !self.subscribers.is_empty() => {
                let index = self.random.usize(..self.subscribers.len());
                self.visit(index);
            }
            900..930 => {
                let ms = self.random.u64(..50);
                self.servers.iter_mut().for_each(|world| world.pass(ms));
            }
            930..950 if self.subscribers.len() < 12 => self.subscribe(),
            950..954 => self.backplane.begin_term(),
            960..964 if self.has_lost => {
                let count = self.random.usize(..5);
                self.backplane.fork(count);
            }
            964..965 if self.has_lost => self.backplane.flush(),
            965..975 => self.cut(server, worker, self.random.clone().bool()),
            975..985 => {
                // One is lost, and nobody says so. What confirms is not: it is a connection's own.
                let channel = &mut self.lines[server][worker].channel;
                channel.pop_front_if(|report| matches!(report, Report::Heard { .. }));
            }
            _ => (),
        }
        self.carry();
    }

    /// Everything arrives, and everybody takes what is theirs, until nothing moves, through a while.
    fn calm(&mut self) {
        for _ in 0..30 {
            self.servers.iter_mut().for_each(|world| world.pass(CHECK_MS / 10));
            let mut turns = 0;
            loop {
                let mut moved = false;
                self.carry();
                for server in 0..self.servers.len() {
                    self.servers[server].settle();
                    for worker in 0..self.lines[server].len() {
                        moved |= self.execute(server, worker);
                        moved |= self.arrive(server, worker, true);
                        moved |= self.arrive(server, worker, false);
                        self.carry();
                    }
                }
                for index in 0..self.subscribers.len() {
                    moved |= self.visit(index);
                }
                turns += 1;
                if !moved || turns > 1_000 {
                    break;
                }
            }
        }
    }

    fn judge(&self) {
        let what = &self.what;
        let mut payloads: HashMap<(String, u64), &[u8]> = HashMap::new();
        for (index, subscriber) in self.subscribers.iter().enumerate() {
            let who = format!("{what}, subscriber {index}");
            let mut seen: BTreeMap<&[u8], Position> = BTreeMap::new();
            for pair in subscriber.received.windows(2) {
                assert!(pair[0].0 != pair[1].0, "{who}: twice");
                let is_forward = pair[1].0.sequence > pair[0].0.sequence;
                assert!(is_forward || subscriber.unknown > 0, "{who}: {pair:?}");
            }
            for (position, payload) in &subscriber.received {
                let text = position.text();
                let positions = || subscriber.received.iter().map(|(position, _)| position.text());
                let all = || positions().collect::<Vec<String>>().join(" ");
                let before = seen.insert(payload, *position);
                assert_eq!(before, None, "{who}: {text} is repeated in {}", all());
                let id = (text, position.sequence);
                let known = payloads.entry(id).or_insert(payload);
                assert_eq!(known, payload, "{who}: {position:?} is two messages");
            }
            assert!(subscriber.edge.is_resolved(), "{who} waits for ever");
            let view =
                self.servers[subscriber.server].hubs[subscriber.worker].view(subscriber.edge.topic);
            let View::Live(log) = view else { panic!("{who} sees nothing") };
            assert_eq!(log.next_seq(), self.backplane.next_seq, "{who}: the log is behind");
            assert_eq!(subscriber.edge.due(log), Due::Nothing, "{who}");
            if !self.has_lost && self.backplane.begun <= TERMS_MAX {
                assert_eq!(subscriber.unknown, 0, "{who}: nothing was lost");
                if self.backplane.retained >= 1_000 {
                    assert_eq!(subscriber.counted, 0, "{who}: nothing was trimmed");
                }
                if subscriber.first > 0 && subscriber.counted == 0 {
                    let count = self.backplane.next_seq - subscriber.first;
                    assert_eq!(subscriber.received.len() as u64, count, "{who}: some are missing");
                }
            }
        }
    }
}

#[test]
fn servers_that_share_a_topic_give_everybody_the_same_messages_in_the_same_order() {
    let (mut received, mut gaps) = (0, 0);
    for seed in 0..400 {
        let mut random = Rng::with_seed(seed);
        let mut play = Play::new(seed, random.usize(1..4), random.usize(1..3));
        play.has_lost = random.u8(..3) == 0;
        for _ in 0..random.usize(100..3_000) {
            play.step();
        }
        play.calm();
        play.judge();
        for (server, world) in play.servers.iter().enumerate() {
            world.check_memory(&play.what);
            let numbers = play.published.keys().filter(|(other, _)| *other == server);
            for (_, number) in numbers {
                assert!(world.outcomes.contains_key(number), "{}: never answered", play.what);
            }
            for hub in &world.hubs {
                assert_eq!(hub.under_way_outside(), [0; 3], "{}", play.what);
            }
        }
        received += play.subscribers.iter().map(|one| one.received.len()).sum::<usize>();
        gaps += play.subscribers.iter().map(|one| one.unknown + one.counted).sum::<u64>();
    }
    assert!(received > 100_000 && gaps > 100, "{received} messages, {gaps} gaps");
}
