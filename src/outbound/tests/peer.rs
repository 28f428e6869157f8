//! A peer that answers greetings by itself, and everything else as a test says.

use std::collections::{BTreeMap, VecDeque};
use std::io::IoSlice;
use std::sync::Arc;

use fastrand::Rng;

use crate::config::{Endpoint, RedisConfig, Topology};
use crate::key::OutboundId;
use crate::outbound::Redis;
use crate::time::{Instant, Now};
use crate::topic::{
    IdempotencyKey, Message, Outcome, Refusal, Report, Request, Retention, TopicName,
};
use crate::wire::resp3::{Bounds, Decoder, Value};

const BOUNDS: Bounds =
    Bounds { bytes_max: 1 << 20, value_bytes_max: 4 << 20, depth_max: 4, elements_max: 4096 };

/// A command as it was sent.
pub(super) type Command = Vec<String>;

/// What the servers say of themselves.
pub(super) struct Manner {
    /// `HELLO`.
    pub(super) hello: String,
    /// `run_id`.
    pub(super) run: char,
    pub(super) role: &'static str,
    /// `CLUSTER SLOTS`.
    pub(super) slots: String,
    /// Whether what is published to the channel of a probe arrives.
    pub(super) hears: bool,
    /// Ports at which nobody listens.
    pub(super) refuses: Vec<u16>,
}

/// An open connection.
struct Socket {
    port: u16,
    /// What has been read of it.
    decoder: Decoder,
    /// Answers that are not given yet, in their order: those that are known wait for those that the test gives.
    owed: VecDeque<Option<String>>,
}

/// The room, a clock, and the connections that it has made.
pub(super) struct World {
    pub(super) redis: Redis,
    pub(super) now: u64,
    pub(super) manner: Manner,
    sockets: BTreeMap<OutboundId, Socket>,
    /// Commands that no greeting answers, with the connection on which they came.
    pub(super) asked: VecDeque<(OutboundId, Command)>,
    pub(super) reports: Vec<Report>,
    /// Writes that were made.
    pub(super) writes: usize,
    probes: BTreeMap<String, OutboundId>,
}

pub(super) fn endpoint(port: u16) -> Endpoint {
    Endpoint { host: "h".into(), port }
}

pub(super) fn config(ports: &[u16]) -> RedisConfig {
    RedisConfig {
        topology: Topology::Servers(ports.iter().copied().map(endpoint).collect()),
        credentials: None,
        database: 0,
        prefix: "p".into(),
        wait_replicas: 0,
        publish_wait_ms: 0,
        timeout_ms: 5_000,
        check_ms: 60_000,
        idempotency_window_ms: 60_000,
        topic_idle_ms: 60_000,
        value_bytes_max: 1 << 20,
    }
}

pub(super) fn topic(name: &str) -> TopicName {
    TopicName::parse(name.as_bytes()).unwrap()
}

pub(super) fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

pub(super) fn push(kind: &str, channel: &str, rest: &str) -> String {
    format!(">3\r\n{}{}{rest}", bulk(kind), bulk(channel))
}

impl World {
    pub(super) fn new(config: RedisConfig) -> Self {
        Self::with_seed(config, 1)
    }

    pub(super) fn with_seed(config: RedisConfig, seed: u64) -> Self {
        let hello = |mode| format!("%2\r\n{}:3\r\n{}{}", bulk("proto"), bulk("mode"), bulk(mode));
        Self {
            redis: Redis::new(Arc::new(config), Rng::with_seed(seed)),
            now: 1_000,
            manner: Manner {
                hello: hello("standalone"),
                run: 'a',
                role: "master",
                slots: String::new(),
                hears: true,
                refuses: Vec::new(),
            },
            sockets: BTreeMap::new(),
            asked: VecDeque::new(),
            reports: Vec::new(),
            writes: 0,
            probes: BTreeMap::new(),
        }
    }

    pub(super) fn clock(&self) -> Now {
        Now { instant: Instant::from_ms(self.now), wall_ms: self.now }
    }

    /// Everything that can happen at this moment happens.
    pub(super) fn settle(&mut self) {
        for _ in 0..1_000 {
            let now = self.clock();
            self.redis.handle_timers(now);
            while let Some(id) = self.redis.poll_hang_up() {
                self.sockets.remove(&id);
                self.asked.retain(|(asked, _)| *asked != id);
            }
            let mut has_moved = false;
            while let Some((id, endpoint)) = self.redis.poll_dial() {
                has_moved = true;
                if self.manner.refuses.contains(&endpoint.port) {
                    self.redis.handle_closed(now, id, "connection refused".into());
                    continue;
                }
                let (port, decoder) = (endpoint.port, Decoder::new(BOUNDS));
                self.sockets.insert(id, Socket { port, decoder, owed: VecDeque::new() });
                self.redis.handle_connected(now, id);
            }
            while let Some(id) = self.redis.poll_writable() {
                has_moved = true;
                self.take_bytes(id);
            }
            while let Some(report) = self.redis.poll_report() {
                self.reports.push(report);
            }
            let is_due = self.redis.next_deadline() <= now.instant;
            if !has_moved && !is_due {
                return;
            }
        }
        panic!("it does not come to rest: {:?}", self.redis.status());
    }

    /// Reads what was written on a connection.
    fn take_bytes(&mut self, id: OutboundId) {
        let now = self.clock();
        let mut slices = [IoSlice::new(&[]); 4];
        let count = self.redis.slices(id, &mut slices);
        let bytes: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
        self.redis.handle_written(now, id, bytes.len());
        self.writes += 1;
        let mut rest = &bytes[..];
        loop {
            let Some(socket) = self.sockets.get_mut(&id) else { return };
            let (taken, value) = socket.decoder.read(rest).expect("what we write is RESP");
            rest = &rest[taken..];
            let Some(value) = value else { return };
            let text = |value: Value| {
                String::from_utf8_lossy(&value.into_bytes().expect("commands are strings"))
                    .into_owned()
            };
            let command: Command =
                value.into_array().expect("a command").into_iter().map(text).collect();
            let answer = self.answer(id, &command);
            let Some(socket) = self.sockets.get_mut(&id) else { return };
            match answer {
                Some(answer) if socket.owed.is_empty() => self.deliver(id, &answer),
                Some(answer) => socket.owed.push_back(Some(answer)),
                None => {
                    // The answer to these is no answer, but pushes.
                    if !command[0].ends_with("SUBSCRIBE") {
                        socket.owed.push_back(None);
                    }
                    self.asked.push_back((id, command));
                }
            }
        }
    }

    fn deliver(&mut self, id: OutboundId, text: &str) {
        let now = self.clock();
        self.redis.handle_bytes(now, id, text.as_bytes());
    }

    /// What a server answers to what belongs to greetings and probes.
    fn answer(&mut self, id: OutboundId, command: &[String]) -> Option<String> {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        let Manner { hello, run, role, slots, hears, .. } = &self.manner;
        match words[..] {
            ["HELLO", ..] => Some(hello.clone()),
            ["INFO", "server"] => Some(bulk(&format!("run_id:{}\r\n", run.to_string().repeat(40)))),
            ["INFO", ..] => {
                let text = format!("role:{role}\r\nmaster_replid:{}\r\n", "b".repeat(40));
                Some(bulk(&text))
            }
            ["SCRIPT", "LOAD", ..] | ["SELECT", ..] | ["ASKING"] => Some("+OK\r\n".into()),
            ["CLUSTER", "SLOTS"] => Some(slots.clone()),
            ["SUBSCRIBE" | "SSUBSCRIBE", channel] if channel.starts_with("p:{probe") => {
                self.probes.insert(channel.to_owned(), id);
                Some(push(&words[0].to_lowercase(), channel, ":1\r\n"))
            }
            ["PUBLISH" | "SPUBLISH", channel, nonce] => {
                let to = self.probes.get(channel).copied();
                if let Some(to) = to.filter(|_| *hears) {
                    let kind = if words[0] == "PUBLISH" { "message" } else { "smessage" };
                    let message = push(kind, channel, &bulk(nonce));
                    let now = self.clock();
                    self.redis.handle_bytes(now, to, message.as_bytes());
                }
                Some(":1\r\n".into())
            }
            _ => None,
        }
    }

    /// The next command that is left to the test.
    pub(super) fn next(&mut self) -> (OutboundId, Command) {
        self.settle();
        self.asked.pop_front().expect("something is asked")
    }

    /// Commands that are left to the test, by what they are.
    pub(super) fn names(&mut self) -> Vec<String> {
        self.settle();
        self.asked.iter().map(|(_, command)| command[0].clone()).collect()
    }

    /// Says something on a connection. Behind each answer come those that were waiting for it.
    pub(super) fn say(&mut self, id: OutboundId, text: &str) {
        let (mut decoder, mut rest) = (Decoder::new(BOUNDS), text);
        while let Ok((taken, Some(value))) = decoder.read(rest.as_bytes()) {
            let (said, behind) = rest.split_at(taken);
            self.deliver(id, said);
            rest = behind;
            if matches!(value, Value::Push(_)) {
                continue;
            }
            if let Some(socket) = self.sockets.get_mut(&id) {
                socket.owed.pop_front();
            }
            while let Some(socket) = self.sockets.get_mut(&id)
                && let Some(Some(_)) = socket.owed.front()
                && let Some(Some(answer)) = socket.owed.pop_front()
            {
                self.deliver(id, &answer);
            }
        }
        self.deliver(id, rest);
        self.settle();
    }

    /// Answers the next command that is left to the test.
    pub(super) fn reply(&mut self, text: &str) -> Command {
        let (id, command) = self.next();
        self.say(id, text);
        command
    }

    /// Cuts a connection.
    pub(super) fn cut(&mut self, id: OutboundId) {
        let now = self.clock();
        if self.sockets.remove(&id).is_some() {
            self.asked.retain(|(asked, _)| *asked != id);
            self.redis.handle_closed(now, id, "reset".into());
        }
        self.settle();
    }

    /// Cuts all connections.
    pub(super) fn cut_all(&mut self) {
        let all: Vec<OutboundId> = self.sockets.keys().copied().collect();
        all.into_iter().for_each(|id| self.cut(id));
    }

    pub(super) fn open(&self) -> Vec<OutboundId> {
        self.sockets.keys().copied().collect()
    }

    pub(super) fn port(&self, id: OutboundId) -> u16 {
        self.sockets[&id].port
    }

    /// Time passes, and what is due is done.
    pub(super) fn pass(&mut self, ms: u64) {
        let until = self.now + ms;
        loop {
            self.settle();
            let next = self.redis.next_deadline().as_ms();
            if next > until {
                break;
            }
            self.now = next.max(self.now + 1);
        }
        self.now = until;
        self.settle();
    }

    pub(super) fn publish(&mut self, number: u32, name: &str, key: Option<&str>) {
        let message = Message::new(b"x".to_vec(), None, None, 0).unwrap();
        let now = self.clock();
        self.redis.handle_request(
            now,
            Request::Publish {
                number,
                topic: topic(name),
                message: Arc::new(message),
                key: key.map(|key| IdempotencyKey::parse(key.as_bytes()).unwrap()),
                retention: Retention { messages: 10, bytes: 1_000, age_ms: 60_000 },
            },
        );
    }

    pub(super) fn read(&mut self, number: u32, name: &str) {
        let now = self.clock();
        self.redis.handle_request(
            now,
            Request::Read {
                number,
                topic: topic(name),
                from: 0,
                retention: Retention { messages: 10, bytes: 1_000, age_ms: 60_000 },
            },
        );
    }

    pub(super) fn listen(&mut self, name: &str) {
        let now = self.clock();
        self.redis.handle_request(now, Request::Listen { topic: topic(name) });
    }

    /// How the publish with that number has ended, if it has.
    pub(super) fn done(&mut self, number: u32) -> Option<Result<u64, Refusal>> {
        self.settle();
        let sequence = |outcome: Outcome| outcome.map(|position| position.sequence);
        self.reports.iter().find_map(|report| match report {
            Report::Done { number: done, outcome } if *done == number => Some(sequence(*outcome)),
            Report::Read { number: done, page } if *done == number => {
                Some(page.as_ref().map(|page| page.next_seq).map_err(|refusal| *refusal))
            }
            _ => None,
        })
    }

    /// How often this topic was said to be listened to.
    pub(super) fn listenings(&self, name: &str) -> usize {
        let name = topic(name);
        let is_it =
            |report: &&Report| matches!(report, Report::Listening { topic } if *topic == name);
        self.reports.iter().filter(is_it).count()
    }

    pub(super) fn trouble(&self) -> String {
        self.redis.status().trouble.unwrap_or_default()
    }
}
