//! Carries bytes between `outbound` and sockets.

use std::collections::BTreeMap;
use std::io::{ErrorKind, IoSlice, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use tidings::config::{Endpoint, RedisConfig, Topology};
use tidings::key::OutboundId;
use tidings::outbound::Redis;
use tidings::time::Now;
use tidings::topic::{
    IdempotencyKey, Message, Outcome, Page, Position, Refusal, Report, Request, Retention,
    TopicName,
};

/// What is retained where a test does not say.
pub(crate) const RETENTION: Retention =
    Retention { messages: 1_000, bytes: 1 << 20, age_ms: 60_000 };

/// The settings' defaults, towards these servers.
pub(crate) fn config(topology: Topology) -> RedisConfig {
    RedisConfig {
        topology,
        credentials: None,
        database: 0,
        prefix: "tidings".into(),
        wait_replicas: 0,
        publish_wait_ms: 10_000,
        timeout_ms: 2_000,
        check_ms: 60_000,
        idempotency_window_ms: 60_000,
        topic_idle_ms: 60_000,
        value_bytes_max: 2 << 20,
    }
}

/// Servers on this machine.
pub(crate) fn servers(ports: &[u16]) -> Topology {
    let endpoint = |&port| Endpoint { host: "127.0.0.1".into(), port };
    Topology::Servers(ports.iter().map(endpoint).collect())
}

pub(crate) fn topic(name: &str) -> TopicName {
    TopicName::parse(name.as_bytes()).unwrap()
}

/// `outbound` and its sockets.
pub(crate) struct Driver {
    pub(crate) redis: Redis,
    began: Instant,
    sockets: BTreeMap<OutboundId, TcpStream>,
    pub(crate) reports: Vec<Report>,
    next_number: u32,
}

impl Driver {
    pub(crate) fn new(config: RedisConfig) -> Self {
        Self {
            redis: Redis::new(Arc::new(config), Rng::with_seed(7)),
            began: Instant::now(),
            sockets: BTreeMap::new(),
            reports: Vec::new(),
            next_number: 0,
        }
    }

    pub(crate) fn now(&self) -> Now {
        let ms = self.began.elapsed().as_millis() as u64;
        Now { instant: tidings::time::Instant::from_ms(ms + 1), wall_ms: ms }
    }

    /// Asks for something; returns its number.
    pub(crate) fn ask(&mut self, make: impl FnOnce(u32) -> Request) -> u32 {
        self.next_number += 1;
        let number = self.next_number;
        let now = self.now();
        self.redis.handle_request(now, make(number));
        number
    }

    pub(crate) fn listen(&mut self, name: &str) {
        let topic = topic(name);
        self.ask(|_| Request::Listen { topic });
    }

    pub(crate) fn publish(&mut self, name: &str, payload: &str, key: Option<&str>) -> u32 {
        let message = Message::new(payload.as_bytes().to_vec(), None, None, 0).unwrap();
        let key = key.map(|key| IdempotencyKey::parse(key.as_bytes()).unwrap());
        let (topic, message, retention) = (topic(name), Arc::new(message), RETENTION);
        self.ask(|number| Request::Publish { number, topic, message, key, retention })
    }

    pub(crate) fn publish_now(&mut self, name: &str, payload: &str, key: Option<&str>) -> Outcome {
        let number = self.publish(name, payload, key);
        self.done(number)
    }

    pub(crate) fn delete(&mut self, name: &str) -> Outcome {
        let topic = topic(name);
        let number = self.ask(|number| Request::Delete { number, topic });
        self.done(number)
    }

    pub(crate) fn read(&mut self, name: &str, from: u64) -> Result<Page, Refusal> {
        let (topic, retention) = (topic(name), RETENTION);
        let number = self.ask(|number| Request::Read { number, topic, from, retention });
        self.take(|report| match report {
            Report::Read { number: answered, .. } => *answered == number,
            _ => false,
        })
        .map(|report| match report {
            Report::Read { page, .. } => page,
            _ => unreachable!(),
        })
        .expect("a read is answered")
    }

    /// How a publish or a deletion ends.
    pub(crate) fn done(&mut self, number: u32) -> Outcome {
        let is_it = |report: &Report| matches!(report, Report::Done { number: done, .. } if *done == number);
        match self.take(is_it) {
            Some(Report::Done { outcome, .. }) => outcome,
            other => panic!("number {number} is not answered: {other:?}"),
        }
    }

    /// Waits until this topic is listened to.
    pub(crate) fn listening(&mut self, name: &str) {
        let topic = topic(name);
        let is_it =
            |report: &Report| matches!(report, Report::Listening { topic: it } if *it == topic);
        assert!(self.take(is_it).is_some(), "{name} is not listened to");
    }

    /// The next message that is heard of a topic.
    pub(crate) fn heard(&mut self, name: &str) -> (Position, String) {
        let topic = topic(name);
        let is_it =
            |report: &Report| matches!(report, Report::Heard { topic: it, .. } if *it == topic);
        match self.take(is_it) {
            Some(Report::Heard { position, record, .. }) if position.sequence == 0 => {
                (position, String::from_utf8(record).unwrap())
            }
            Some(Report::Heard { position, record, .. }) => {
                let message = Message::parse_record(&record).unwrap();
                (position, message.text().unwrap().to_owned())
            }
            other => panic!("nothing is heard of {name}: {other:?}"),
        }
    }

    /// Waits until Redis can be reached, or cannot.
    pub(crate) fn reachable(&mut self, wanted: bool) {
        let is_it = |report: &Report| matches!(report, Report::Reachable(it) if *it == wanted);
        assert!(self.take(is_it).is_some(), "{:?}", self.redis.status());
    }

    /// Takes the first report that is wanted; waits for it.
    pub(crate) fn take(&mut self, is_it: impl Fn(&Report) -> bool) -> Option<Report> {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(at) = self.reports.iter().position(&is_it) {
                return Some(self.reports.remove(at));
            }
            if Instant::now() > until {
                eprintln!("{:?}\n{:?}", self.redis.status(), self.redis);
                return None;
            }
            self.turn();
        }
    }

    /// Turns for so long.
    pub(crate) fn run_for(&mut self, ms: u64) {
        let until = Instant::now() + Duration::from_millis(ms);
        while Instant::now() < until {
            self.turn();
        }
    }

    /// One turn of the loop.
    pub(crate) fn turn(&mut self) {
        let now = self.now();
        self.redis.handle_timers(now);
        while let Some((id, endpoint)) = self.redis.poll_dial() {
            match TcpStream::connect((endpoint.host.as_str(), endpoint.port)) {
                Ok(socket) => {
                    socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
                    socket.set_nodelay(true).unwrap();
                    self.sockets.insert(id, socket);
                    self.redis.handle_connected(now, id);
                }
                Err(error) => self.redis.handle_closed(now, id, error.to_string()),
            }
        }
        while let Some(id) = self.redis.poll_hang_up() {
            self.sockets.remove(&id);
        }
        while self.redis.poll_writable().is_some() {}
        for id in self.sockets.keys().copied().collect::<Vec<_>>() {
            self.serve(id);
        }
        while let Some(report) = self.redis.poll_report() {
            self.reports.push(report);
        }
    }

    fn serve(&mut self, id: OutboundId) {
        let now = self.now();
        let Some(socket) = self.sockets.get_mut(&id) else { return };
        while self.redis.wants_write(id) {
            let mut slices = [IoSlice::new(&[]); 4];
            let count = self.redis.slices(id, &mut slices);
            match socket.write_vectored(&slices[..count]) {
                Ok(count) => self.redis.handle_written(now, id, count),
                Err(_) => break,
            }
        }
        let mut buffer = vec![0; 64 * 1024];
        match socket.read(&mut buffer) {
            Ok(0) => {
                self.sockets.remove(&id);
                self.redis.handle_closed(now, id, "closed".into());
            }
            Ok(count) => self.redis.handle_bytes(now, id, &buffer[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => {
                self.sockets.remove(&id);
                self.redis.handle_closed(now, id, error.to_string());
            }
        }
    }
}
