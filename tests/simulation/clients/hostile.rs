//! Sends garbage, halves and floods, opens connections and leaves them, and does not read what it asked for.
//! It asserts little; but the others must not notice.

mod frames;
mod requests;

use std::collections::VecDeque;

use super::line::{Leaving, Line, Pace};
use super::{Actor, Hands};
use crate::judge::Judge;
use crate::wires::Wire;
use crate::wires::listening::Listening;
use crate::world::World;

/// Connections that it holds at a time.
const HELD_MAX: usize = 8;
/// Longest time for which it holds one.
const HELD_MS: u64 = 60_000;

/// What it does with a connection.
struct Mischief {
    what: &'static str,
    /// What it sends at once.
    bytes: Vec<u8>,
    /// What it sends byte by byte behind that.
    drip: Vec<u8>,
    /// Whether it sends the same again whenever it likes.
    floods: bool,
    /// Whether it closes its side at once.
    finishes: bool,
    /// Whether there is a right close, without a code, in `bytes`.
    closes: bool,
    /// The wire of the WebSocket that it opens, if it does.
    wire: Option<Wire>,
    pace: Pace,
}

impl Mischief {
    /// Sends something, and waits.
    fn new(what: &'static str, bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            what,
            bytes: bytes.into(),
            drip: Vec::new(),
            floods: false,
            finishes: false,
            closes: false,
            wire: None,
            pace: Pace::EAGER,
        }
    }
}

/// What must be true of what comes.
enum Check {
    /// It is HTTP; this much has come of the first answer.
    Http(Vec<u8>),
    Frames(Box<Listening>),
}

/// A connection that it holds.
struct Held {
    line: Line,
    check: Check,
    flood: Vec<u8>,
    drip: VecDeque<u8>,
    every_ms: u64,
    drip_ms: u64,
    until_ms: u64,
}

impl Held {
    fn begin(hands: &mut Hands<'_>, mischief: Mischief) -> Self {
        let Mischief { what, bytes, drip, floods, finishes, closes, wire, pace } = mischief;
        let mut line = Line::open(hands, pace);
        hands.note(|| format!("does mischief: {what}"));
        line.send(hands, &bytes);
        if finishes {
            line.finish(hands);
        }
        let now_ms = hands.now_ms();
        Self {
            line,
            check: match wire {
                None => Check::Http(Vec::new()),
                Some(wire) => {
                    let mut listening = Listening::new(wire);
                    if closes {
                        listening.closing(None);
                    }
                    Check::Frames(Box::new(listening))
                }
            },
            flood: if floods { bytes } else { Vec::new() },
            drip: drip.into(),
            every_ms: hands.random.u64(1..3_000),
            drip_ms: now_ms,
            until_ms: now_ms + hands.random.u64(0..HELD_MS),
        }
    }

    fn wakes_at_ms(&self, world: &World) -> u64 {
        let drip_ms = if self.drip.is_empty() { u64::MAX } else { self.drip_ms };
        self.line.wakes_at_ms(world).min(drip_ms).min(self.until_ms)
    }

    /// Takes what has come, and checks it.
    fn take(&mut self, hands: &mut Hands<'_>) {
        let bytes = self.line.take(hands);
        match &mut self.check {
            Check::Http(seen) => {
                let wanted = b"HTTP/1.1 ";
                seen.extend(bytes.iter().take(wanted.len() - seen.len()));
                assert!(wanted.starts_with(seen), "this is not HTTP: {bytes:?}");
            }
            Check::Frames(listening) => {
                listening.push(&bytes);
                while let Some(told) = listening.next() {
                    hands.hear(&told);
                }
            }
        }
    }
}

/// See the module.
pub(crate) struct Hostile {
    held: Vec<Held>,
}

impl Hostile {
    pub(crate) fn new() -> Self {
        Self { held: Vec::new() }
    }

    fn drop(&mut self, hands: &mut Hands<'_>, index: usize, how: Leaving) {
        self.held.swap_remove(index).line.leave(hands, how);
    }
}

impl Actor for Hostile {
    fn is_reader(&self) -> bool {
        false
    }

    fn is_awake(&self, world: &World) -> bool {
        let now_ms = world.now_ms();
        let is_awake = |held: &Held| held.line.is_awake(world) || held.wakes_at_ms(world) <= now_ms;
        self.held.iter().any(is_awake)
    }

    fn wakes_at_ms(&self, world: &World) -> u64 {
        let times = self.held.iter().map(|held| held.wakes_at_ms(world));
        times.min().unwrap_or(u64::MAX)
    }

    fn wake(&mut self, hands: &mut Hands<'_>) {
        let now_ms = hands.now_ms();
        for index in (0..self.held.len()).rev() {
            let held = &mut self.held[index];
            held.take(hands);
            if held.drip_ms <= now_ms
                && let Some(byte) = held.drip.pop_front()
            {
                held.line.send(hands, &[byte]);
                held.drip_ms = now_ms + held.every_ms;
            }
            if hands.calm || held.line.ended(hands.world).is_some() {
                self.drop(hands, index, Leaving::Close);
            } else if held.until_ms <= now_ms {
                let how = Leaving::draw(hands.random);
                self.drop(hands, index, how);
            }
        }
    }

    fn act(&mut self, hands: &mut Hands<'_>) {
        let begins = self.held.is_empty() || hands.random.u8(0..3) > 0;
        if begins && self.held.len() < HELD_MAX {
            let mischief = match hands.random.bool() {
                true => requests::draw(hands),
                false => frames::draw(hands),
            };
            let count = if mischief.bytes.is_empty() { hands.random.usize(1..4) } else { 1 };
            for _ in 1..count {
                self.held.push(Held::begin(hands, Mischief::new("another silence", "")));
            }
            return self.held.push(Held::begin(hands, mischief));
        }
        let index = hands.random.usize(..self.held.len());
        let held = &mut self.held[index];
        match hands.random.u8(0..6) {
            0 => held.line.finish(hands),
            1 => {
                let how = Leaving::draw(hands.random);
                self.drop(hands, index, how);
            }
            _ => held.line.send(hands, &held.flood),
        }
    }

    fn is_content(&self, _judge: &mut Judge) -> bool {
        self.held.is_empty()
    }

    fn leave(&mut self, hands: &mut Hands<'_>, how: Leaving) {
        for held in self.held.drain(..) {
            held.line.leave(hands, how);
        }
    }

    fn describe(&self) -> String {
        format!("hostile, with {} connections", self.held.len())
    }
}
