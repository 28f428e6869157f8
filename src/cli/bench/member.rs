//! One subscriber of the swarm: its connection and how far it is.

use std::collections::BTreeMap;

use mio::net::TcpStream;

use super::fault::Fault;
use super::received::Received;
use super::subscriber::Subscriber;

/// What a subscriber is doing.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It has no connection and waits for its turn to connect.
    Waiting,
    /// It connects.
    Connecting,
    /// It has sent its request.
    Asked,
    /// Its stream or WebSocket is open.
    Open,
    /// Between two short polls, or before it tries to connect again.
    Resting,
    /// It has failed and does nothing any more.
    Lost,
}

/// A subscriber.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) stream: Option<TcpStream>,
    pub(super) subscriber: Subscriber,
    pub(super) stage: Stage,
    /// Index of its topic.
    pub(super) topic: u32,
    /// It is subscribed, as far as it can tell, and counts as open; between two polls, too.
    pub(super) was_open: bool,
    /// It polls at intervals of which the first has been chosen.
    pub(super) has_beat: bool,
    /// It received something, be it a message to warm up.
    pub(super) is_warm: bool,
    /// What it has received.
    pub(super) received: Received,
}

impl Member {
    pub(super) fn new(subscriber: Subscriber, topic: u32) -> Self {
        let (stream, stage) = (None, Stage::Waiting);
        Self {
            stream,
            subscriber,
            stage,
            topic,
            was_open: false,
            has_beat: false,
            is_warm: false,
            received: Received::default(),
        }
    }
}

/// What all of them did, in numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// Subscribers that are subscribed, as far as they can tell.
    pub(super) open: usize,
    /// Subscribers that have received something.
    pub(super) warm: usize,
    /// Subscribers that have failed for good.
    pub(super) lost: usize,
    /// Connects that failed, those that were tried again included.
    pub(super) failed_connects: u64,
    /// Connections that were made.
    pub(super) connections: u64,
    /// Requests that were sent.
    pub(super) requests: u64,
    pub(super) bytes_up: u64,
    pub(super) bytes_down: u64,
    /// Messages that a subscriber was given again, or behind a later one.
    pub(super) repeated: u64,
    /// Why subscribers failed.
    pub(super) faults: BTreeMap<Fault, u64>,
    /// Seconds after which the server was so far behind an open loop that nothing more was published.
    pub(super) overrun: Option<f64>,
    /// Why it ended before its end.
    pub(super) failure: Option<String>,
}

impl Tally {
    /// Why subscribers failed, to be put behind a sentence; empty if none did.
    pub(super) fn describe_faults(&self) -> String {
        let describe = |(fault, count): (&Fault, &u64)| format!("; {count} connections {fault}");
        self.faults.iter().map(describe).collect()
    }
}
