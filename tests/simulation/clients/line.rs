//! A client's end of one connection: how fast it reads, and what has become of it.

use fastrand::Rng;

use super::Hands;
use crate::net::End;
use crate::world::{Client, World};

/// How fast a client reads.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// Bytes at a time; 0: none ever, but when all is calm.
    most: usize,
    /// Milliseconds from one time to the next.
    every_ms: u64,
}

impl Pace {
    pub(crate) const EAGER: Self = Self { most: usize::MAX, every_ms: 0 };
    /// Not at all.
    pub(crate) const NEVER: Self = Self { most: 0, every_ms: 0 };

    /// Most read at once, some slowly, a few not at all.
    pub(crate) fn draw(random: &mut Rng) -> Self {
        match random.u8(0..10) {
            0 => Self::NEVER,
            1 => Self { most: 1, every_ms: 1 },
            2 => Self { most: 100, every_ms: 500 },
            3 => Self { most: 3_000, every_ms: 4_000 },
            _ => Self::EAGER,
        }
    }
}

/// How a client goes.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Leaving {
    /// It closes, with what is unread.
    Close,
    Reset,
    /// Nobody hears of it.
    Vanish,
}

impl Leaving {
    pub(crate) fn draw(random: &mut Rng) -> Self {
        match random.u8(0..4) {
            0 => Self::Reset,
            1 => Self::Vanish,
            _ => Self::Close,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Line {
    client: Client,
    pace: Pace,
    next_read_ms: u64,
    /// When something was sent or came last.
    pub(crate) used_ms: u64,
}

impl Line {
    /// Connects to whichever worker the system chooses.
    pub(crate) fn open(hands: &mut Hands<'_>, pace: Pace) -> Self {
        let worker = hands.random.usize(..hands.world.listening());
        let client = hands.world.connect(worker);
        let used_ms = hands.now_ms();
        hands.note(|| format!("connects to worker {worker}, as {}", client.0));
        let pace = if hands.calm { Pace::EAGER } else { pace };
        Self { client, pace, next_read_ms: 0, used_ms }
    }

    /// Whether there is something to take now, or it has ended.
    pub(crate) fn is_awake(&self, world: &World) -> bool {
        let has_bytes = world.arrived(self.client) > 0 && self.pace.most > 0;
        has_bytes && self.next_read_ms <= world.now_ms() || world.ended(self.client).is_some()
    }

    /// When there will be, of what is there already; never: `u64::MAX`.
    pub(crate) fn wakes_at_ms(&self, world: &World) -> u64 {
        let has_bytes = world.arrived(self.client) > 0 && self.pace.most > 0;
        if has_bytes { self.next_read_ms } else { u64::MAX }
    }

    pub(crate) fn send(&mut self, hands: &mut Hands<'_>, bytes: &[u8]) {
        self.used_ms = hands.now_ms();
        hands.world.send(self.client, bytes);
    }

    /// Says that nothing follows.
    pub(crate) fn finish(&mut self, hands: &mut Hands<'_>) {
        hands.note(|| format!("finishes {}", self.client.0));
        hands.world.finish(self.client);
    }

    /// Takes what there is, if it is time to.
    pub(crate) fn take(&mut self, hands: &mut Hands<'_>) -> Vec<u8> {
        let now_ms = hands.now_ms();
        if hands.calm {
            (self.pace, self.next_read_ms) = (Pace::EAGER, 0);
        }
        if now_ms < self.next_read_ms {
            return Vec::new();
        }
        let bytes = hands.world.receive_some(self.client, self.pace.most);
        if !bytes.is_empty() {
            self.next_read_ms = now_ms + self.pace.every_ms;
            self.used_ms = now_ms;
        }
        bytes
    }

    /// How it has ended, when everything before was taken.
    pub(crate) fn ended(&self, world: &World) -> Option<End> {
        world.ended(self.client)
    }

    /// Whether the server has ended it, and nobody had given it a reason to.
    pub(crate) fn is_unexplained(&self, world: &World) -> bool {
        world.is_unexplained(self.client)
    }

    /// Whether something has happened for which the server may close it.
    pub(crate) fn is_excused(&self, world: &World) -> bool {
        world.is_excused(self.client)
    }

    /// Reads at another pace from now on.
    pub(crate) fn change_pace(&mut self, pace: Pace) {
        self.pace = pace;
        self.next_read_ms = 0;
    }

    /// Lets go of it.
    pub(crate) fn leave(self, hands: &mut Hands<'_>, how: Leaving) {
        hands.note(|| format!("leaves {}: {how:?}", self.client.0));
        match how {
            Leaving::Close => hands.world.finish(self.client),
            Leaving::Reset => hands.world.reset(self.client),
            Leaving::Vanish => hands.world.net(|net| net.vanish(self.client.0)),
        }
        hands.world.net(|net| net.release(self.client.0));
    }
}
