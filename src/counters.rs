//! What a worker counts: plain numbers of its own, added up when somebody asks for metrics.

use std::sync::atomic::AtomicU64;

use crate::problem_kind::ProblemKind;

/// Lines of the process's log that could not be written: the one number that no worker owns.
pub static LOG_LINES_DROPPED: AtomicU64 = AtomicU64::new(0);

/// Counters since the start, and gauges of what there is now. All gauges of a server without
/// connections are exactly 0.
#[derive(Clone, Debug)]
pub struct Counters {
    /// Connections accepted, or handed over from another worker.
    pub connections_opened: u64,
    /// Connections ended, by [`CloseReason`].
    pub connections_closed: [u64; CloseReason::COUNT],
    /// Requests whose head was read whole.
    pub requests: u64,
    /// Refusals, by [`ProblemKind`].
    pub refusals: [u64; ProblemKind::COUNT],
    /// Messages that clients of this worker published.
    pub published: u64,
    /// Messages queued for clients.
    pub delivered: u64,
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
    /// Panics of the worker, after each of which it began anew.
    pub restarts: u64,
    /// Gauge: subscriptions open, by [`Wire`].
    pub subscriptions: [u64; Wire::COUNT],
    /// Gauge: bytes of request bodies and of WebSocket messages under way.
    pub body_bytes: u64,
    /// Gauge: bytes queued for connections, as they are counted against their bounds.
    pub outbox_bytes: u64,
}

/// Numbers about a hub, for metrics.
#[derive(Copy, Clone, Debug, Default)]
pub struct HubGauges {
    /// Topics owned.
    pub topics: usize,
    /// Replicas held.
    pub replicas: usize,
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
}

impl CloseReason {
    /// How many there are.
    pub const COUNT: usize = 16;
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
    ];

    /// The label in logs and metrics.
    pub const fn label(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

impl Default for Counters {
    /// Zeros, of which the library makes no array that long.
    fn default() -> Self {
        Self {
            connections_opened: 0,
            connections_closed: [0; CloseReason::COUNT],
            requests: 0,
            refusals: [0; ProblemKind::COUNT],
            published: 0,
            delivered: 0,
            gaps: 0,
            bytes_read: 0,
            bytes_written: 0,
            writes: 0,
            ticks: 0,
            restarts: 0,
            subscriptions: [0; Wire::COUNT],
            body_bytes: 0,
            outbox_bytes: 0,
        }
    }
}

impl Counters {
    /// Adds another worker's numbers.
    pub fn add(&mut self, other: &Self) {
        self.connections_opened += other.connections_opened;
        self.requests += other.requests;
        self.published += other.published;
        self.delivered += other.delivered;
        self.gaps += other.gaps;
        self.bytes_read += other.bytes_read;
        self.bytes_written += other.bytes_written;
        self.writes += other.writes;
        self.ticks += other.ticks;
        self.restarts += other.restarts;
        self.body_bytes += other.body_bytes;
        self.outbox_bytes += other.outbox_bytes;
        let sum = |own: &mut [u64], more: &[u64]| {
            own.iter_mut().zip(more).for_each(|(own, more)| *own += more);
        };
        sum(&mut self.connections_closed, &other.connections_closed);
        sum(&mut self.refusals, &other.refusals);
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
