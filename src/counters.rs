//! What a worker counts: plain numbers of its own, added up when somebody asks for metrics.

mod histogram;

use std::sync::atomic::AtomicU64;

pub use self::histogram::{Histogram, Peak};

use crate::problem_kind::ProblemKind;
use crate::time::Instant;

/// Lines of the process's log that could not be written: the one number that no worker owns.
pub static LOG_LINES_DROPPED: AtomicU64 = AtomicU64::new(0);

/// A number for each [`ProblemKind`].
#[derive(Clone, Debug)]
pub struct Refusals(pub [u64; ProblemKind::COUNT]);

impl Default for Refusals {
    fn default() -> Self {
        Self([0; ProblemKind::COUNT])
    }
}

/// Counters since the start, and gauges of what there is now. All gauges of a server without
/// connections are exactly 0.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Connections accepted, or handed over from another worker.
    pub connections_opened: u64,
    /// Connections ended, by [`CloseReason`].
    pub connections_closed: [u64; CloseReason::COUNT],
    /// Requests whose head was read whole.
    pub requests: u64,
    /// Refusals, by [`ProblemKind`].
    pub refusals: Refusals,
    /// Messages that clients of this worker published.
    pub published: u64,
    /// Bytes of payloads that this worker's topics took in.
    pub published_bytes: u64,
    /// Messages queued for clients.
    pub delivered: u64,
    /// Bytes of these, as their wire frames them.
    pub delivered_bytes: u64,
    /// Gaps declared to clients.
    pub gaps: u64,
    /// Bytes read from sockets.
    pub bytes_read: u64,
    /// Bytes written to sockets.
    pub bytes_written: u64,
    /// Writes to sockets.
    pub writes: u64,
    /// Turns of the loop.
    pub ticks: u64,
    /// Those of them before which the thread slept.
    pub wakeups: u64,
    /// Parcels taken from the mailbox.
    pub parcels: u64,
    /// Milliseconds in which the thread stood still and could not know it.
    pub stalled_ms: u64,
    /// How long turns took.
    pub turns: Histogram,
    /// How long walks past a topic's subscribers took, from their begin to the last write.
    pub fan_outs: Histogram,
    /// How long messages took from being appended at their owner until the walk that carried them had ended, the
    /// oldest of each walk.
    pub deliveries: Histogram,
    /// How long publishes waited for what sequences them outside of the process, to the millisecond.
    pub round_trips: Histogram,
    /// The longest turn of late, in microseconds.
    pub longest_turn: Peak,
    /// The most parcels that one turn found in the mailbox, of late.
    pub fullest_mailbox: Peak,
    /// Times that a message was missing in what the backplane said, and was looked for.
    pub holes: u64,
    /// Panics of the worker, after each of which it began anew.
    pub restarts: u64,
    /// Gauge: subscriptions open, by [`Wire`].
    pub subscriptions: [u64; Wire::COUNT],
    /// Gauge: bytes of request bodies and of WebSocket messages under way.
    pub body_bytes: u64,
    /// Gauge: bytes queued for connections, as they are counted against their bounds.
    pub outbox_bytes: u64,
}

/// What an event loop says of a turn that it has done.
#[derive(Copy, Clone, Debug, Default)]
pub struct Turn {
    /// How long it took, in microseconds.
    pub us: u64,
    /// Whether the thread slept before it.
    pub slept: bool,
    /// Parcels taken from the mailbox.
    pub parcels: u64,
    /// How long the thread stood still before it, through no fault of any peer.
    pub stalled_ms: u64,
}

/// What the operating system says of the process. Zeros where nobody knows.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Open descriptors.
    pub descriptors: u64,
    /// How many it may have.
    pub descriptors_max: u64,
    /// Bytes of memory that it has in use.
    pub resident_bytes: u64,
    /// Processor time that it has used, in microseconds.
    pub processor_us: u64,
}

/// A walk past a topic's subscribers that has come to its end.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Walked {
    /// When it began.
    pub began: Instant,
    /// When the oldest message that it carried was appended at its owner; never if it carried none.
    pub oldest: Instant,
}

/// Numbers about a hub, for metrics.
#[derive(Copy, Clone, Debug, Default)]
pub struct HubGauges {
    /// Topics owned.
    pub topics: usize,
    /// Replicas held.
    pub replicas: usize,
    /// Topics that connections are subscribed to, each counted once for each of them.
    pub subscribed: usize,
    /// Bytes of messages and their encodings, in logs and replicas.
    pub memory_bytes: usize,
    /// Letters that wait to be sent.
    pub mail_waiting: usize,
}

impl HubGauges {
    /// Adds another hub's numbers.
    pub fn add(&mut self, other: &Self) {
        self.topics += other.topics;
        self.replicas += other.replicas;
        self.subscribed += other.subscribed;
        self.memory_bytes += other.memory_bytes;
        self.mail_waiting += other.mail_waiting;
    }
}

/// A way of waiting, for counting.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Wire {
    /// Short and long polls while they last.
    Poll,
    /// Server-Sent Events.
    Sse,
    /// NDJSON streams.
    Ndjson,
    /// WebSocket.
    WebSocket,
}

impl Wire {
    /// How many there are.
    pub const COUNT: usize = 4;
    /// All of them with their label.
    pub const ALL: [(Self, &'static str); Self::COUNT] = [
        (Self::Poll, "poll"),
        (Self::Sse, "sse"),
        (Self::Ndjson, "ndjson"),
        (Self::WebSocket, "websocket"),
    ];
}

/// Why a connection ended, and who ended it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer closed, between requests or after its stream.
    PeerClosed,
    /// The peer closed in the middle of something.
    PeerAborted,
    /// The operating system reported an error: reset, timed out.
    SocketError,
    /// We closed after an answer that said so.
    Finished,
    /// We refused what the peer sent and closed.
    Refused,
    /// A new connection sent nothing.
    FirstByteTimeout,
    /// A head did not arrive in time.
    HeadTimeout,
    /// A body came too slowly.
    BodyTimeout,
    /// Idle for longer than connections are kept.
    IdleTimeout,
    /// The peer took nothing of what it is owed.
    WriteTimeout,
    /// A WebSocket peer did not answer a ping or a close.
    PongTimeout,
    /// A stream's client sent too much.
    UnexpectedInput,
    /// The WebSocket closing handshake was completed.
    WebSocketClosed,
    /// The server is draining.
    Drained,
    /// More connections than are allowed.
    TooMany,
    /// Its worker panicked.
    WorkerFailed,
    /// The operator ended it.
    Killed,
}

impl CloseReason {
    /// How many there are.
    pub const COUNT: usize = 17;
    /// All of them with their label, in the order of their numbers.
    pub const ALL: [(Self, &'static str); Self::COUNT] = [
        (Self::PeerClosed, "peer_closed"),
        (Self::PeerAborted, "peer_aborted"),
        (Self::SocketError, "socket_error"),
        (Self::Finished, "finished"),
        (Self::Refused, "refused"),
        (Self::FirstByteTimeout, "first_byte_timeout"),
        (Self::HeadTimeout, "head_timeout"),
        (Self::BodyTimeout, "body_timeout"),
        (Self::IdleTimeout, "idle_timeout"),
        (Self::WriteTimeout, "write_timeout"),
        (Self::PongTimeout, "pong_timeout"),
        (Self::UnexpectedInput, "unexpected_input"),
        (Self::WebSocketClosed, "websocket_closed"),
        (Self::Drained, "drained"),
        (Self::TooMany, "too_many"),
        (Self::WorkerFailed, "worker_failed"),
        (Self::Killed, "killed"),
    ];

    /// The label in logs and metrics.
    pub const fn label(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

impl Counters {
    /// Adds another worker's numbers.
    pub fn add(&mut self, other: &Self) {
        self.connections_opened += other.connections_opened;
        self.requests += other.requests;
        self.published += other.published;
        self.published_bytes += other.published_bytes;
        self.delivered += other.delivered;
        self.delivered_bytes += other.delivered_bytes;
        self.gaps += other.gaps;
        self.bytes_read += other.bytes_read;
        self.bytes_written += other.bytes_written;
        self.writes += other.writes;
        self.ticks += other.ticks;
        self.wakeups += other.wakeups;
        self.parcels += other.parcels;
        self.stalled_ms += other.stalled_ms;
        self.turns.add(&other.turns);
        self.fan_outs.add(&other.fan_outs);
        self.deliveries.add(&other.deliveries);
        self.round_trips.add(&other.round_trips);
        self.holes += other.holes;
        self.restarts += other.restarts;
        self.body_bytes += other.body_bytes;
        self.outbox_bytes += other.outbox_bytes;
        let sum = |own: &mut [u64], more: &[u64]| {
            own.iter_mut().zip(more).for_each(|(own, more)| *own += more);
        };
        sum(&mut self.connections_closed, &other.connections_closed);
        sum(&mut self.refusals.0, &other.refusals.0);
        sum(&mut self.subscriptions, &other.subscriptions);
    }

    /// What is left of the numbers after a panic: whatever was open is closed, and gauges are 0.
    #[must_use]
    pub fn after_panic(&self) -> Self {
        let subscriptions = [0; Wire::COUNT];
        let mut counters = Self { subscriptions, body_bytes: 0, outbox_bytes: 0, ..self.clone() };
        counters.connections_closed[CloseReason::WorkerFailed as usize] += self.connections();
        counters.restarts += 1;
        counters
    }

    /// Takes down what is said of a turn that began at `now`.
    pub fn note_turn(&mut self, now: Instant, turn: Turn) {
        self.wakeups += u64::from(turn.slept);
        self.parcels += turn.parcels;
        self.stalled_ms += turn.stalled_ms;
        self.turns.note(turn.us);
        self.longest_turn.note(now, turn.us);
        self.fullest_mailbox.note(now, turn.parcels);
    }

    /// Takes down a walk that ended in a turn that began at `now` and has taken so long.
    pub fn note_walk(&mut self, now: Instant, turn_us: u64, walked: Walked) {
        // Beginnings are known to the millisecond, the end to the turn.
        let since = |then: Instant| now.since(then).saturating_mul(1_000).saturating_add(turn_us);
        self.fan_outs.note(since(walked.began));
        if walked.oldest != Instant::NEVER {
            self.deliveries.note(since(walked.oldest));
        }
    }

    /// Connections that wait, stream or are WebSockets now.
    pub fn waiting(&self) -> u64 {
        self.subscriptions.iter().sum()
    }

    /// Connections open now.
    pub fn connections(&self) -> u64 {
        self.connections_opened - self.connections_closed.iter().sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_labels_are_in_the_order_of_the_numbers() {
        for (number, (reason, _)) in CloseReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, number);
        }
        for (number, (wire, _)) in Wire::ALL.iter().enumerate() {
            assert_eq!(*wire as usize, number);
        }
    }

    #[test]
    fn after_a_panic_nothing_is_open_and_every_gauge_is_zero() {
        let mut before = Counters { body_bytes: 3, outbox_bytes: 4, ..Counters::default() };
        (before.connections_opened, before.subscriptions) = (5, [1; Wire::COUNT]);
        let after = before.after_panic();
        assert_eq!((after.connections(), after.body_bytes, after.outbox_bytes), (0, 0, 0));
        assert_eq!(after.subscriptions, [0; Wire::COUNT]);
    }
}
