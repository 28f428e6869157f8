//! Reads some topics for as long as it lives: on one wire, or on one after the other with one cursor.

use std::collections::VecDeque;

use fastrand::Rng;

use super::asking::{Answer, Asking};
use super::line::{Leaving, Line, Pace};
use super::{Actor, Hands, path};
use crate::coverage::Event;
use crate::judge::{Judge, Start, Sub, Wants};
use crate::net::End;
use crate::wires::http::{Asked, get};
use crate::wires::listening::Listening;
use crate::wires::poll::poll;
use crate::wires::{Told, Wire};
use crate::world::World;

/// Silence after which a stream is given up: far more than a heartbeat.
const STREAM_PATIENCE_MS: u64 = 60_000;
/// The same for an answer: more than the longest wait.
const ANSWER_PATIENCE_MS: u64 = 70_000;
/// More than an answer takes that nobody held back.
const A_WHILE_MS: u64 = 1_000;

/// A way of reading.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Way {
    Stream(Wire),
    ShortPoll,
    /// For so many seconds.
    LongPoll(u64),
}

impl Way {
    fn draw(random: &mut Rng) -> Self {
        match random.u8(0..8) {
            0 => Self::Stream(Wire::Sse),
            1 => Self::Stream(Wire::SseEnvelope),
            2 => Self::Stream(Wire::Ndjson),
            3..5 => Self::Stream(Wire::Json),
            5 => Self::ShortPoll,
            _ => Self::LongPoll(random.u64(0..60)),
        }
    }
}

/// What it has open.
enum State {
    /// Nothing, until then.
    Away(u64),
    Stream {
        line: Line,
        listening: Listening,
        sub: Sub,
    },
    /// A connection, and the polls on it that are not answered. The next is sent at that time.
    Polls {
        asking: Asking,
        subs: VecDeque<Sub>,
        /// The last answer has said that there is more.
        more: bool,
        /// When the last was sent.
        asked_ms: u64,
        next_ms: u64,
    },
}

/// See the module.
pub(crate) struct Reader {
    topics: Vec<usize>,
    way: Way,
    /// Changes its way whenever it likes.
    hops: bool,
    pace: Pace,
    /// Where it begins, while it has no cursor.
    start: Option<Start>,
    cursor: Option<String>,
    /// When the server wants it back, of what it said last.
    retry_ms: Option<u64>,
    state: State,
}

impl Reader {
    pub(crate) fn draw(random: &mut Rng, topics: usize) -> Self {
        let mut all: Vec<usize> = (0..topics).collect();
        random.shuffle(&mut all);
        let few = if random.bool() { 1 } else { random.usize(1..=topics.min(4)) };
        all.truncate(few);
        let start = match random.u8(0..6) {
            0 => Some(Start::Earliest),
            1 => Some(Start::Latest),
            2 => Some(Start::Last(random.u64(0..20))),
            _ => None,
        };
        Self {
            topics: all,
            way: Way::draw(random),
            hops: random.bool(),
            pace: Pace::draw(random),
            start,
            cursor: None,
            retry_ms: None,
            state: State::Away(0),
        }
    }

    fn what(&self, hands: &Hands<'_>) -> String {
        format!("client {} ({:?} of {:?})", hands.number, self.way, self.topics)
    }

    /// The request's target and fields, and where it begins.
    fn request(&self, random: &mut Rng) -> (String, Vec<(&'static str, String)>, Start) {
        let mut target = path(&self.topics);
        let mut query = |text: String| {
            target.push(if target.contains('?') { '&' } else { '?' });
            target += &text;
        };
        let mut fields = Vec::new();
        if let Way::LongPoll(seconds) = self.way {
            match random.bool() {
                true => query(format!("wait={seconds}")),
                false => fields.push(("Prefer", format!("wait={seconds}"))),
            }
        }
        let start = match (&self.cursor, &self.start, self.way) {
            (Some(cursor), _, way) => {
                match (random.u8(0..3), way) {
                    (0, _) => {
                        fields.push(("Last-Event-ID", cursor.clone()));
                        // As `EventSource` does, which keeps to its URL.
                        match random.u8(0..4) {
                            0 => query("after=earliest".to_owned()),
                            1 => query("last=2".to_owned()),
                            _ => (),
                        }
                    }
                    (1, Way::ShortPoll | Way::LongPoll(_)) => {
                        fields.push(("If-None-Match", format!("\"{cursor}\"")));
                        if random.u8(0..4) == 0 {
                            query("last=2".to_owned());
                        }
                    }
                    _ => query(format!("after={cursor}")),
                }
                Start::Cursor(cursor.clone())
            }
            (None, Some(start), _) => {
                query(match start {
                    Start::Earliest => "after=earliest".to_owned(),
                    Start::Last(count) => format!("last={count}"),
                    Start::Latest | Start::Cursor(_) => "after=latest".to_owned(),
                });
                start.clone()
            }
            (None, None, Way::ShortPoll) => Start::Earliest,
            (None, None, _) => Start::Latest,
        };
        (target, fields, start)
    }

    /// Opens what it reads from next.
    fn come(&mut self, hands: &mut Hands<'_>) {
        if self.hops && !hands.calm {
            let before = std::mem::replace(&mut self.way, Way::draw(hands.random));
            let has_hopped = before != self.way && self.cursor.is_some();
            hands.coverage.reach_if(has_hopped, Event::Hopped);
        }
        self.retry_ms = None;
        let Way::Stream(wire) = self.way else {
            let asking = Asking::open(hands, self.pace);
            let subs = VecDeque::new();
            self.state = State::Polls { asking, subs, more: false, asked_ms: 0, next_ms: 0 };
            return self.ask(hands);
        };
        let mut line = Line::open(hands, self.pace);
        let (target, fields, start) = self.request(hands.random);
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let sub = hands.judge.begin(&self.what(hands), Wants::Stream, &self.topics, &start);
        hands.note(|| format!("reads {target} {fields:?} on {wire:?}"));
        line.send(hands, &wire.request(&target, &fields));
        self.state = State::Stream { line, listening: Listening::new(wire), sub };
    }

    /// Sends a poll, or two at once.
    fn ask(&mut self, hands: &mut Hands<'_>) {
        let count = if hands.random.u8(0..10) == 0 { 2 } else { 1 };
        hands.coverage.reach_if(count > 1, Event::PollsPipelined);
        for _ in 0..count {
            let (target, fields, start) = self.request(hands.random);
            let fields: Vec<_> =
                fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let sub = hands.judge.begin(&self.what(hands), Wants::Poll, &self.topics, &start);
            let State::Polls { asking, subs, asked_ms, next_ms, .. } = &mut self.state else {
                return;
            };
            hands.note(|| format!("polls {target} {fields:?}"));
            asking.ask(hands, Asked::Get, &get(&target, &fields));
            subs.push_back(sub);
            (*asked_ms, *next_ms) = (hands.now_ms(), u64::MAX);
        }
    }

    /// Closes what it has open, and comes back some time.
    fn go(&mut self, hands: &mut Hands<'_>, how: Leaving) {
        let own_ms = if hands.calm { 100 } else { hands.random.u64(0..3_000) };
        let until_ms = hands.now_ms() + self.retry_ms.unwrap_or(own_ms);
        match std::mem::replace(&mut self.state, State::Away(until_ms)) {
            State::Away(_) => (),
            State::Stream { line, sub, .. } => {
                hands.judge.end(sub);
                line.leave(hands, how);
            }
            State::Polls { asking, subs, .. } => {
                subs.into_iter().for_each(|sub| hands.judge.end(sub));
                asking.line.leave(hands, how);
            }
        }
    }

    /// What a stream tells. False when it is over.
    fn hear(&mut self, hands: &mut Hands<'_>, sub: Sub, told: Told) -> bool {
        hands.hear(&told);
        let judge = &mut *hands.judge;
        match told {
            Told::Open { cursor } => {
                judge.opened(sub, cursor.as_deref());
                self.cursor = cursor.or(self.cursor.take());
            }
            Told::Message { topic, id, cursor, payload } => {
                judge.message(sub, topic.as_deref(), id.as_deref(), cursor.as_deref(), &payload);
                self.cursor = cursor.or(id);
            }
            Told::Gap { topic, count, cursor } => {
                judge.gap(sub, &topic, count, cursor.as_deref());
                self.cursor = cursor;
            }
            Told::Retry(ms) => self.retry_ms = Some(ms),
            Told::Drain { retry_ms } => self.retry_ms = Some(retry_ms),
            Told::Refused { status, retry_ms } => {
                assert!(matches!(status, 408 | 429 | 503), "a right request is refused: {status}");
                self.retry_ms = retry_ms.or(self.retry_ms);
            }
            Told::Ping(payload) => {
                if let State::Stream { line, .. } = &mut self.state {
                    let pong = crate::wires::websocket::client::pong(hands.random, &payload);
                    line.send(hands, &pong);
                }
            }
            Told::Pong(_) => (),
            Told::Close { code, reason } => {
                assert!(matches!(code, Some(1012 | 1013)), "closed with {code:?}: {reason}");
                self.retry_ms = crate::wires::websocket::retry_ms(&reason);
                return false;
            }
            Told::Answer(answer) => panic!("nothing was asked: {answer}"),
            Told::End => return false,
        }
        true
    }

    fn take_stream(&mut self, hands: &mut Hands<'_>) {
        let State::Stream { line, listening, sub } = &mut self.state else { return };
        let sub = *sub;
        let bytes = line.take(hands);
        listening.push(&bytes);
        loop {
            let State::Stream { listening, .. } = &mut self.state else { return };
            let Some(told) = listening.next() else { break };
            if !self.hear(hands, sub, told) {
                return self.go(hands, Leaving::Close);
            }
        }
    }

    fn take_answers(&mut self, hands: &mut Hands<'_>) {
        let State::Polls { asking, .. } = &mut self.state else { return };
        for answer in asking.take(hands) {
            if !self.take_answer(hands, &answer) {
                return self.go(hands, Leaving::Close);
            }
        }
    }

    /// An answer is whole. False when the connection is over.
    fn take_answer(&mut self, hands: &mut Hands<'_>, answer: &Answer) -> bool {
        let State::Polls { subs, more: was_more, asked_ms, next_ms, .. } = &mut self.state else {
            return false;
        };
        let head = &answer.head;
        let sub = subs.pop_front().expect("an answer for each poll");
        let own_ms = if hands.calm { 200 } else { hands.random.u64(0..2_000) };
        if head.status == 200 {
            let polled = poll(&answer.body, head.field("etag"));
            let (count, more) = (polled.messages.len(), polled.more);
            let waited = hands.now_ms() > *asked_ms + A_WHILE_MS;
            hands.coverage.note_polled(count, more, waited);
            hands.note(|| format!("polled {count} messages, {:?}, {}", polled.gaps, polled.cursor));
            let is_empty = count == 0 && polled.gaps.is_empty();
            // The second of two that were sent at once begins where the first did.
            let may_be_lost = hands.judge.is_shared();
            let is_lacking = is_empty && *was_more && !may_be_lost;
            assert!(!is_lacking, "there was more, and {:?} has none", self.cursor);
            *was_more = if subs.is_empty() { more } else { *was_more };
            if let (Way::LongPoll(seconds), true, false) = (self.way, is_empty, head.closes()) {
                hands.judge.check_wait(*asked_ms, seconds);
            }
            hands.judge.polled(sub, &polled);
            self.cursor = Some(polled.cursor);
            let is_patient = matches!(self.way, Way::LongPoll(1..)) || more;
            *next_ms = hands.now_ms() + if is_patient { 0 } else { own_ms };
        } else {
            assert!(matches!(head.status, 408 | 429 | 503), "a right poll is refused: {head:?}");
            hands.judge.end(sub);
            *was_more &= !subs.is_empty();
            *next_ms = hands.now_ms() + head.retry_ms().unwrap_or(own_ms);
        }
        if !subs.is_empty() {
            *next_ms = u64::MAX;
        }
        if head.closes() {
            self.retry_ms = (*next_ms != u64::MAX).then(|| *next_ms - hands.now_ms());
            return false;
        }
        true
    }
}

impl Actor for Reader {
    fn is_awake(&self, world: &World) -> bool {
        self.wakes_at_ms(world) <= world.now_ms()
            || match &self.state {
                State::Away(_) => false,
                State::Stream { line, .. } => line.is_awake(world),
                State::Polls { asking, .. } => asking.line.is_awake(world),
            }
    }

    fn is_listening(&self, world: &World) -> bool {
        match &self.state {
            State::Stream { line, .. } => !line.is_excused(world),
            State::Polls { asking, subs, .. } => !subs.is_empty() && !asking.line.is_excused(world),
            State::Away(_) => false,
        }
    }

    fn wakes_at_ms(&self, world: &World) -> u64 {
        match &self.state {
            State::Away(until_ms) => *until_ms,
            State::Stream { line, .. } => {
                line.wakes_at_ms(world).min(line.used_ms + STREAM_PATIENCE_MS)
            }
            State::Polls { asking: Asking { line, .. }, next_ms, .. } => {
                line.wakes_at_ms(world).min(line.used_ms + ANSWER_PATIENCE_MS).min(*next_ms)
            }
        }
    }

    fn wake(&mut self, hands: &mut Hands<'_>) {
        let now_ms = hands.now_ms();
        match &self.state {
            State::Away(until_ms) if *until_ms <= now_ms => return self.come(hands),
            State::Away(_) => return,
            State::Stream { .. } => self.take_stream(hands),
            State::Polls { .. } => self.take_answers(hands),
        }
        let (line, patience_ms) = match &self.state {
            State::Away(_) => return,
            State::Stream { line, .. } => (line, STREAM_PATIENCE_MS),
            State::Polls { asking, .. } => (&asking.line, ANSWER_PATIENCE_MS),
        };
        let is_owed = match &self.state {
            State::Polls { subs, .. } => !subs.is_empty(),
            _ => true,
        };
        if let Some(end) = line.ended(hands.world) {
            let is_cut =
                matches!(&self.state, State::Stream { listening, .. } if listening.is_cut());
            assert!(
                !is_cut || end == End::Reset || line.is_excused(hands.world),
                "client {} has a stream that looks ended, and is not",
                hands.number
            );
            hands.note_end(line, end, is_owed);
            return self.go(hands, Leaving::Close);
        }
        if line.used_ms + patience_ms <= now_ms {
            hands.reach(Event::LostPatience);
            hands.note(|| "loses its patience".to_owned());
            return self.go(hands, Leaving::Reset);
        }
        if let State::Polls { next_ms, .. } = self.state
            && next_ms <= now_ms
        {
            self.ask(hands);
        }
    }

    fn act(&mut self, hands: &mut Hands<'_>) {
        match hands.random.u8(0..6) {
            0 | 1 => {
                let how = Leaving::draw(hands.random);
                self.go(hands, how);
            }
            2 => {
                self.pace = Pace::draw(hands.random);
                match &mut self.state {
                    State::Away(_) => (),
                    State::Stream { line, .. } => line.change_pace(self.pace),
                    State::Polls { asking, .. } => asking.line.change_pace(self.pace),
                }
            }
            _ => self.wake(hands),
        }
    }

    fn is_content(&self, judge: &mut Judge) -> bool {
        self.cursor.as_ref().is_some_and(|cursor| judge.is_at_head(&self.topics, cursor))
    }

    fn leave(&mut self, hands: &mut Hands<'_>, how: Leaving) {
        self.go(hands, how);
        self.state = State::Away(u64::MAX);
    }

    fn describe(&self) -> String {
        let state = match &self.state {
            State::Away(until_ms) => format!("away until {until_ms}"),
            State::Stream { .. } => "on a stream".to_owned(),
            State::Polls { subs, .. } => format!("{} polls under way", subs.len()),
        };
        format!("reader of {:?} by {:?}, at {:?}, {state}", self.topics, self.way, self.cursor)
    }
}
