//! What publishers were promised and what subscribers received: plain values, as the auditor wants them.

use std::fmt;

/// A place in a topic's life, as an id or a cursor names it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    pub epoch: String,
    pub sequence: u64,
}

impl Position {
    /// Clients may not look into a cursor; an auditor does.
    pub fn parse(text: &str) -> Option<Self> {
        let (epoch, sequence) = text.rsplit_once('-')?;
        Some(Self { epoch: epoch.to_owned(), sequence: sequence.parse().ok()? })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.epoch, self.sequence)
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// A message whose publisher was told that it is published. They stand in the order of the answers.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    pub topic: String,
    pub payload: String,
    pub id: Position,
}

/// Something that happened to a subscriber of a topic.
#[derive(Clone, Debug)]
pub enum Event {
    /// A message. A raw WebSocket does not say which: its payload must do.
    Message { payload: String, id: Option<Position> },
    /// It was told that messages are gone. `until` is the cursor behind them, where it was told one.
    Gap { count: Option<u64>, until: Option<Position> },
    /// It was told that messages are gone, but not where it stands now; it has asked for everything from the earliest.
    Anew,
}

/// All that a subscriber received of a topic, which it began to read before anything was published, up to the
/// last message of all.
#[derive(Clone, Debug)]
pub struct History {
    pub subscriber: String,
    pub topic: String,
    /// It goes from server to server.
    pub wanders: bool,
    pub events: Vec<Event>,
}

/// Everything that is known of a run.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// Topic and payload of everything that anybody tried to publish.
    pub attempted: Vec<(String, String)>,
    pub acknowledged: Vec<Acknowledged>,
    pub histories: Vec<History>,
    /// What no client should see, in words.
    pub wrongs: Vec<String>,
}

/// What Redis may have lost, as the faults of a run were.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Nothing: its memory survived, or its file has everything.
    Nothing,
    /// All it had at some moment: what follows is another life of each topic, and everybody is told.
    Lives,
    /// The last messages before a replica took over, which had not heard of them. Who has received none of these goes
    /// on behind what the replica had, and nobody can know that there was more. For a moment two servers of Redis may
    /// take writes, and servers of ours follow the one or the other: who comes from the one history to the other is told a
    /// gap, and then everything that is retained there.
    Tails,
}
