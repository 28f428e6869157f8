//! Listens to one topic on a WebSocket without a subprotocol, and publishes to it what it likes: nobody
//! tells it what became of that.

use std::collections::VecDeque;

use fastrand::Rng;

use super::draft::draft_frame;
use super::line::{Leaving, Line, Pace};
use super::{Actor, Hands, path};
use crate::coverage::Event;
use crate::judge::{Judge, PublishId, Start, Sub, Wants};
use crate::wires::listening::Listening;
use crate::wires::websocket::client::{Opcode, close, fragments, pong};
use crate::wires::websocket::retry_ms;
use crate::wires::{Kind, Told, Wire};
use crate::world::World;

/// Silence after which it gives up: more than a ping and the time for its answer.
const PATIENCE_MS: u64 = 60_000;
/// When all is calm it looks so often whether it missed something, and if so begins anew: it may have
/// begun behind a message whose publisher was not answered yet.
const CALM_PATIENCE_MS: u64 = 5_000;
const NORMAL_CLOSURE: u16 = 1000;

/// A connection.
struct Socket {
    line: Line,
    listening: Listening,
    sub: Sub,
    /// The topic's last acknowledged message when it was opened.
    floor: Option<PublishId>,
    /// Frames of a message that is under way; it is published with the last of them.
    frames: VecDeque<Vec<u8>>,
    message: Option<PublishId>,
    /// A message was sent in more than one frame: it may arrive too late.
    fragments: bool,
    is_closing: bool,
    since_ms: u64,
    /// When it looks whether it missed something.
    look_ms: u64,
}

/// See the module.
pub(crate) struct Raw {
    topic: usize,
    pace: Pace,
    socket: Option<Socket>,
    /// When it comes back.
    next_ms: u64,
}

impl Raw {
    pub(crate) fn draw(random: &mut Rng, topics: usize) -> Self {
        Self { topic: random.usize(..topics), pace: Pace::draw(random), socket: None, next_ms: 0 }
    }

    fn come(&mut self, hands: &mut Hands<'_>) {
        let mut target = path(&[self.topic]);
        let start = match hands.random.u8(0..4) {
            0 => {
                target += "?after=earliest";
                Start::Earliest
            }
            1 => {
                target += "?after=latest";
                Start::Latest
            }
            _ => Start::Latest,
        };
        let what = format!("client {} (raw, topic {})", hands.number, self.topic);
        let mut line = Line::open(hands, self.pace);
        let floor = hands.judge.last_acknowledged(self.topic);
        let sub = hands.judge.begin(&what, Wants::Raw, &[self.topic], &start);
        hands.note(|| format!("opens a WebSocket to {target}"));
        line.send(hands, &Wire::Raw.request(&target, &[]));
        self.socket = Some(Socket {
            line,
            listening: Listening::new(Wire::Raw),
            sub,
            floor,
            frames: VecDeque::new(),
            message: None,
            fragments: false,
            is_closing: false,
            since_ms: hands.now_ms(),
            look_ms: u64::MAX,
        });
    }

    /// Closes what it has open, and comes back after so long.
    fn go(&mut self, hands: &mut Hands<'_>, how: Leaving, after_ms: Option<u64>) {
        let own_ms = if hands.calm { 100 } else { hands.random.u64(0..3_000) };
        self.next_ms = hands.now_ms() + after_ms.unwrap_or(own_ms);
        if let Some(socket) = self.socket.take() {
            hands.judge.end(socket.sub);
            socket.line.leave(hands, how);
        }
    }

    fn take(&mut self, hands: &mut Hands<'_>) {
        let Some(socket) = &mut self.socket else { return };
        let bytes = socket.line.take(hands);
        socket.listening.push(&bytes);
        while let Some(socket) = &mut self.socket
            && let Some(told) = socket.listening.next()
        {
            self.hear(hands, told);
        }
    }

    fn hear(&mut self, hands: &mut Hands<'_>, told: Told) {
        let Some(socket) = &mut self.socket else { return };
        hands.hear(&told);
        match told {
            Told::Open { cursor } => hands.judge.opened(socket.sub, cursor.as_deref()),
            Told::Message { topic, id, cursor, payload } => {
                let (topic, id, cursor) = (topic.as_deref(), id.as_deref(), cursor.as_deref());
                hands.judge.message(socket.sub, topic, id, cursor, &payload);
            }
            Told::Gap { topic, count, cursor } => {
                hands.judge.gap(socket.sub, &topic, count, cursor.as_deref());
            }
            Told::Ping(_) if socket.is_closing => (),
            Told::Ping(payload) => {
                let pong = pong(hands.random, &payload);
                socket.line.send(hands, &pong);
            }
            Told::Close { code, reason } => {
                socket.check_close(code, &reason);
                self.go(hands, Leaving::Close, retry_ms(&reason));
            }
            Told::Refused { status, retry_ms } => {
                assert!(matches!(status, 408 | 429 | 503), "a right handshake: {status}");
                self.go(hands, Leaving::Close, retry_ms);
            }
            told => panic!("a raw WebSocket is told {told:?}"),
        }
    }

    /// Begins a message, in one frame or several.
    fn publish(&mut self, hands: &mut Hands<'_>) {
        let Some(socket) = &mut self.socket else { return };
        let id = draft_frame(hands, self.topic);
        let (_, payload, _) = hands.judge.draft_of(id);
        let opcode = if payload.kind == Kind::Binary { Opcode::Binary } else { Opcode::Text };
        let count = if hands.random.u8(0..3) == 0 { hands.random.usize(1..6) } else { 0 };
        let sizes: Vec<usize> = (0..count).map(|_| hands.random.usize(0..20)).collect();
        let frames = fragments(hands.random, opcode, &payload.bytes, &sizes);
        hands.note(|| format!("publishes {id:?} in {} frames", frames.len()));
        socket.fragments |= frames.len() > 1;
        (socket.frames, socket.message) = (frames.into(), Some(id));
        let some = if hands.random.bool() { 1 } else { usize::MAX };
        socket.send_frames(hands, some);
    }
}

impl Socket {
    /// Sends some of the frames that are due.
    fn send_frames(&mut self, hands: &mut Hands<'_>, most: usize) {
        for _ in 0..most.min(self.frames.len()) {
            let Some(frame) = self.frames.pop_front() else { return };
            if self.frames.is_empty()
                && let Some(id) = self.message.take()
            {
                hands.judge.send(id);
            }
            self.line.send(hands, &frame);
        }
    }

    /// docs/protocol.md 11.7.
    fn check_close(&self, code: Option<u16>, reason: &str) {
        let is_meant = match code {
            Some(1012 | 1013 | 4001) => true,
            Some(NORMAL_CLOSURE) => self.is_closing,
            // A message that is larger than a topic.
            Some(1009) => true,
            Some(1008) => reason.contains("in time"),
            _ => false,
        };
        assert!(is_meant, "closed with {code:?}: {reason}");
    }
}

impl Actor for Raw {
    fn is_awake(&self, world: &World) -> bool {
        let has_more = self.socket.as_ref().is_some_and(|socket| socket.line.is_awake(world));
        has_more || self.wakes_at_ms(world) <= world.now_ms()
    }

    fn wakes_at_ms(&self, world: &World) -> u64 {
        match &self.socket {
            None => self.next_ms,
            Some(Socket { line, look_ms, .. }) => {
                line.wakes_at_ms(world).min(line.used_ms + PATIENCE_MS).min(*look_ms)
            }
        }
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
        let Some(socket) = &mut self.socket else { return };
        if hands.calm {
            socket.send_frames(hands, usize::MAX);
        }
        if let Some(end) = socket.line.ended(hands.world) {
            hands.note_end(&socket.line, end, true);
            return self.go(hands, Leaving::Close, None);
        }
        if socket.line.used_ms + PATIENCE_MS <= now_ms {
            hands.reach(Event::LostPatience);
            hands.note(|| "loses its patience".to_owned());
            return self.go(hands, Leaving::Reset, None);
        }
        let is_time = socket.look_ms <= now_ms;
        if is_time || hands.calm && socket.look_ms == u64::MAX {
            socket.look_ms = now_ms + CALM_PATIENCE_MS;
            if is_time && !self.is_content(hands.judge) {
                self.go(hands, Leaving::Close, None);
            }
        }
    }

    fn act(&mut self, hands: &mut Hands<'_>) {
        let Some(socket) = &mut self.socket else { return self.wake(hands) };
        let is_open = socket.listening.head().is_some_and(|head| head.status == 101);
        match hands.random.u8(0..12) {
            0 => {
                let how = Leaving::draw(hands.random);
                self.go(hands, how, None);
            }
            1 => {
                self.pace = Pace::draw(hands.random);
                socket.line.change_pace(self.pace);
            }
            _ if !is_open || socket.is_closing => self.wake(hands),
            2 if socket.frames.is_empty() => {
                let frame = close(hands.random, Some(NORMAL_CLOSURE), "enough");
                hands.note(|| "says goodbye".to_owned());
                socket.line.send(hands, &frame);
                socket.listening.closing(Some(NORMAL_CLOSURE));
                socket.is_closing = true;
            }
            _ if !socket.frames.is_empty() => socket.send_frames(hands, 1),
            _ => self.publish(hands),
        }
    }

    fn is_content(&self, judge: &mut Judge) -> bool {
        self.socket.as_ref().is_some_and(|socket| {
            let last = judge.last_told(socket.sub);
            let has_last = last.is_some_and(|id| judge.is_last(id));
            has_last || judge.last_acknowledged(self.topic) == socket.floor
        })
    }

    fn leave(&mut self, hands: &mut Hands<'_>, how: Leaving) {
        self.go(hands, how, None);
        self.next_ms = u64::MAX;
    }

    fn describe(&self) -> String {
        let state = match &self.socket {
            None => format!("away until {}", self.next_ms),
            Some(socket) => format!("since {}", socket.since_ms),
        };
        format!("raw WebSocket of topic {}, {state}", self.topic)
    }
}
