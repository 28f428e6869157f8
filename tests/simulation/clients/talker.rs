//! Speaks `tidings.json`: subscribes and unsubscribes while it listens, publishes, and comes back with its
//! cursor for all topics.

mod command;
mod hearing;

use std::collections::VecDeque;

use fastrand::Rng;

use self::command::{Asked, Pending};
use super::draft::draft;
use super::line::{Leaving, Line, Pace};
use super::{Actor, Hands, path};
use crate::judge::{Judge, PublishId, Start, Sub, Wants};
use crate::topics::TOPICS_MAX;
use crate::wires::Wire;
use crate::wires::listening::Listening;
use crate::wires::websocket::client;
use crate::world::World;

/// Silence after which it gives up: more than a ping and the time for its answer.
const PATIENCE_MS: u64 = 60_000;
/// Commands that it lets wait for their answers.
const PENDING_MAX: usize = 8;
/// Pings that it lets wait, and the time from one to the next: all that wait may arrive at once, and must
/// not be more than `--pings-per-second` (10) with those that were answered in the same second.
const PINGS_MAX: usize = 3;
const PING_EVERY_MS: u64 = 300;
const NORMAL_CLOSURE: u16 = 1000;

/// A connection.
struct Socket {
    line: Line,
    listening: Listening,
    sub: Sub,
    is_open: bool,
    is_closing: bool,
    pending: Pending,
    /// What was acknowledged last on this connection, by topic.
    before: Vec<Option<PublishId>>,
    /// The payloads of pings that were not answered.
    pings: VecDeque<Vec<u8>>,
    ping_ms: u64,
    errors: usize,
}

/// See the module.
pub(crate) struct Talker {
    pace: Pace,
    socket: Option<Socket>,
    /// What it is subscribed to, as far as it was told, and the cursor of all of that.
    topics: Vec<usize>,
    cursor: Option<String>,
    /// Where it begins, while it has no cursor.
    start: Start,
    /// The last message that it was told of, by topic.
    last: Vec<Option<String>>,
    /// Topics that it let go of, and where it was.
    kept: Option<(Vec<usize>, String)>,
    /// Publishes with a key of which nothing is known, to be repeated.
    again: VecDeque<PublishId>,
    /// It does not come back, and repeats nothing, before that.
    next_ms: u64,
}

impl Talker {
    pub(crate) fn draw(random: &mut Rng, topics: usize) -> Self {
        let mut all: Vec<usize> = (0..topics).collect();
        random.shuffle(&mut all);
        all.truncate(random.usize(0..=topics.min(3)));
        let start = match random.u8(0..3) {
            0 => Start::Earliest,
            1 => Start::Last(random.u64(0..10)),
            _ => Start::Latest,
        };
        Self {
            pace: Pace::draw(random),
            socket: None,
            topics: all,
            cursor: None,
            start,
            last: vec![None; TOPICS_MAX],
            kept: None,
            again: VecDeque::new(),
            next_ms: 0,
        }
    }

    fn come(&mut self, hands: &mut Hands<'_>) {
        let place = if self.topics.is_empty() { "/topics".to_owned() } else { path(&self.topics) };
        let start = self.cursor.clone().map_or_else(|| self.start.clone(), Start::Cursor);
        let target = match &start {
            _ if self.topics.is_empty() => place,
            Start::Cursor(cursor) => format!("{place}?after={cursor}"),
            Start::Earliest => format!("{place}?after=earliest"),
            Start::Last(count) => format!("{place}?last={count}"),
            Start::Latest => place,
        };
        let what = format!("client {} (talker)", hands.number);
        let mut line = Line::open(hands, self.pace);
        let sub = hands.judge.begin(&what, Wants::Stream, &self.topics, &start);
        hands.note(|| format!("opens {target}"));
        line.send(hands, &Wire::Json.request(&target, &[]));
        self.socket = Some(Socket {
            line,
            listening: Listening::new(Wire::Json),
            sub,
            is_open: false,
            is_closing: false,
            pending: Pending::default(),
            before: vec![None; TOPICS_MAX],
            pings: VecDeque::new(),
            ping_ms: 0,
            errors: 0,
        });
    }

    /// Closes what it has open, and comes back after so long.
    fn go(&mut self, hands: &mut Hands<'_>, how: Leaving, after_ms: Option<u64>) {
        let own_ms = if hands.calm { 100 } else { hands.random.u64(0..3_000) };
        self.next_ms = hands.now_ms() + after_ms.unwrap_or(own_ms);
        let Some(socket) = self.socket.take() else { return };
        hands.judge.end(socket.sub);
        let judge = &*hands.judge;
        self.again.extend(socket.pending.publishes().filter(|&id| judge.draft_of(id).2.is_some()));
        socket.line.leave(hands, how);
    }

    fn say(&mut self, hands: &mut Hands<'_>, asked: Asked, start: Option<&Start>) {
        let Some(socket) = &mut self.socket else { return };
        let request = socket.pending.add(hands, asked.clone());
        let request = request.as_ref();
        let text = match &asked {
            Asked::Subscribe(topics) => command::subscribe(request, topics, start),
            Asked::Unsubscribe(topics) => command::unsubscribe(request, topics),
            Asked::Publish(id) => {
                hands.judge.send(*id);
                command::publish(hands, request, *id)
            }
            Asked::Ping => command::ping(request),
            Asked::Wrong => command::wrong(hands, request),
        };
        hands.note(|| format!("says {asked:?}, {start:?}"));
        let count = if hands.random.u8(0..6) == 0 { hands.random.usize(1..6) } else { 0 };
        let sizes: Vec<usize> = (0..count).map(|_| hands.random.usize(0..40)).collect();
        let opcode = client::Opcode::Text;
        let frames = client::fragments(hands.random, opcode, text.as_bytes(), &sizes);
        socket.line.send(hands, &frames.concat());
    }

    /// Asks for topics that it has, from another place.
    fn begin_anew(&mut self, hands: &mut Hands<'_>) {
        let Some(socket) = &mut self.socket else { return };
        let mut topics = self.topics.clone();
        hands.random.shuffle(&mut topics);
        topics.truncate(hands.random.usize(1..=topics.len()));
        let cursor = match &topics[..] {
            [topic] => self.last[*topic].clone(),
            _ => self.cursor.clone().filter(|_| topics.len() == self.topics.len()),
        };
        let start = match (hands.random.u8(0..4), cursor) {
            (0, _) => Start::Earliest,
            (1.., Some(cursor)) => Start::Cursor(cursor),
            (_, None) => Start::Last(hands.random.u64(0..10)),
        };
        hands.judge.subscribe(socket.sub, &topics, &start);
        self.say(hands, Asked::Subscribe(topics), Some(&start));
    }

    /// Asks for topics that it will not have by then.
    fn subscribe(&mut self, hands: &mut Hands<'_>) {
        let Some(socket) = &mut self.socket else { return };
        if hands.random.u8(0..4) == 0 && !self.topics.is_empty() && !socket.pending.has_topics() {
            return self.begin_anew(hands);
        }
        let have = socket.pending.apply(&self.topics);
        let mut topics = hands.some_topics(3);
        topics.retain(|topic| !have.contains(topic));
        let cursor = match &topics[..] {
            [topic] => self.last[*topic].clone().map(Start::Cursor),
            _ => None,
        };
        let mut start = match hands.random.u8(0..6) {
            0 => Some(Start::Earliest),
            1 => Some(Start::Latest),
            2 => Some(Start::Last(hands.random.u64(0..10))),
            3 => None,
            _ => cursor,
        };
        if let Some((kept, cursor)) = &self.kept
            && hands.random.bool()
            && kept.iter().all(|topic| !have.contains(topic))
        {
            (topics, start) = (kept.clone(), Some(Start::Cursor(cursor.clone())));
        }
        // To ask for those that it has changes nothing, if it does not say where to begin.
        let is_plain = start.is_none() && !socket.pending.has_topics();
        let known = if is_plain { self.topics.clone() } else { Vec::new() };
        if topics.is_empty() && known.is_empty() {
            return;
        }
        let from = start.clone().unwrap_or(Start::Latest);
        hands.judge.subscribe(socket.sub, &topics, &from);
        topics.extend(known);
        self.say(hands, Asked::Subscribe(topics), start.as_ref());
    }

    fn unsubscribe(&mut self, hands: &mut Hands<'_>) {
        let Some(socket) = &self.socket else { return };
        let mut topics = socket.pending.apply(&self.topics);
        if hands.random.bool() {
            hands.random.shuffle(&mut topics);
            topics.truncate(hands.random.usize(0..3));
        }
        if !topics.is_empty() {
            self.say(hands, Asked::Unsubscribe(topics), None);
        }
    }

    fn ping(&mut self, hands: &mut Hands<'_>) {
        let now_ms = hands.now_ms();
        let Some(socket) = &mut self.socket else { return };
        if socket.pings.len() >= PINGS_MAX || now_ms < socket.ping_ms {
            return;
        }
        let payload = format!("{now_ms}").into_bytes();
        let frame = client::ping(hands.random, &payload);
        hands.note(|| "pings".to_owned());
        socket.line.send(hands, &frame);
        socket.pings.push_back(payload);
        socket.ping_ms = now_ms + PING_EVERY_MS;
    }

    fn say_goodbye(&mut self, hands: &mut Hands<'_>) {
        let Some(socket) = &mut self.socket else { return };
        let frame = client::close(hands.random, Some(NORMAL_CLOSURE), "");
        hands.note(|| "says goodbye".to_owned());
        socket.line.send(hands, &frame);
        socket.listening.closing(Some(NORMAL_CLOSURE));
        socket.is_closing = true;
    }

    /// Whether it can say something.
    fn may_speak(&self) -> bool {
        self.socket.as_ref().is_some_and(|socket| {
            socket.is_open && !socket.is_closing && socket.pending.len() < PENDING_MAX
        })
    }
}

impl Actor for Talker {
    fn is_awake(&self, world: &World) -> bool {
        let has_more = self.socket.as_ref().is_some_and(|socket| socket.line.is_awake(world));
        has_more || self.wakes_at_ms(world) <= world.now_ms()
    }

    fn wakes_at_ms(&self, world: &World) -> u64 {
        let Some(Socket { line, .. }) = &self.socket else { return self.next_ms };
        let has_more = !self.again.is_empty() && self.may_speak();
        let again_ms = if has_more { self.next_ms } else { u64::MAX };
        line.wakes_at_ms(world).min(line.used_ms + PATIENCE_MS).min(again_ms)
    }

    fn wake(&mut self, hands: &mut Hands<'_>) {
        let now_ms = hands.now_ms();
        if self.socket.is_none() {
            if self.next_ms <= now_ms {
                self.come(hands);
            }
            return;
        }
        self.take(hands);
        let Some(Socket { line, .. }) = &self.socket else { return };
        if let Some(end) = line.ended(hands.world) {
            hands.note_end(line, end, true);
            return self.go(hands, Leaving::Close, None);
        }
        if line.used_ms + PATIENCE_MS <= now_ms {
            hands.note(|| "loses its patience".to_owned());
            return self.go(hands, Leaving::Reset, None);
        }
        if self.may_speak()
            && self.next_ms <= now_ms
            && let Some(id) = self.again.pop_front()
        {
            self.say(hands, Asked::Publish(id), None);
        }
    }

    fn act(&mut self, hands: &mut Hands<'_>) {
        let Some(socket) = &mut self.socket else { return self.wake(hands) };
        match hands.random.u8(0..24) {
            0 => {
                let how = Leaving::draw(hands.random);
                self.go(hands, how, None);
            }
            1 => {
                self.pace = Pace::draw(hands.random);
                socket.line.change_pace(self.pace);
            }
            _ if !self.may_speak() => self.wake(hands),
            2 => self.say_goodbye(hands),
            3..8 => self.subscribe(hands),
            8..11 => self.unsubscribe(hands),
            11..14 => self.say(hands, Asked::Ping, None),
            14..16 => self.ping(hands),
            16 => self.say(hands, Asked::Wrong, None),
            _ => {
                let id = draft(hands);
                self.say(hands, Asked::Publish(id), None);
            }
        }
    }

    fn is_content(&self, judge: &mut Judge) -> bool {
        let owes = self.socket.as_ref().is_some_and(|socket| socket.pending.len() > 0);
        let cursor = self.cursor.as_ref();
        !owes
            && self.again.is_empty()
            && (self.topics.is_empty()
                || cursor.is_some_and(|cursor| judge.is_at_head(&self.topics, cursor)))
    }

    fn leave(&mut self, hands: &mut Hands<'_>, how: Leaving) {
        self.go(hands, how, None);
        self.again.clear();
        self.next_ms = u64::MAX;
    }

    fn describe(&self) -> String {
        let state = match &self.socket {
            None => format!("away until {}", self.next_ms),
            Some(socket) => format!("waits for answers to {:?}", socket.pending),
        };
        let Self { topics, cursor, again, .. } = self;
        format!("talker of {topics:?}, at {cursor:?}, {state}, {again:?} to repeat")
    }
}
