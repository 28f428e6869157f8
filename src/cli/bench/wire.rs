//! The ways to wait for messages, as the generator speaks them.

use std::fmt;

use clap::ValueEnum;

/// How a subscriber receives.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(super) enum Wire {
    /// Server-Sent Events.
    Sse,
    /// A JSON object a line, endlessly.
    Ndjson,
    /// WebSocket without a subprotocol.
    Websocket,
    /// A request that waits for its answer; the next one goes on from there.
    LongPoll,
    /// A request every so often.
    ShortPoll,
}

/// How many there are.
pub(super) const WIRES: usize = 5;

impl Wire {
    pub(super) const ALL: [Self; WIRES] =
        [Self::Sse, Self::Ndjson, Self::Websocket, Self::LongPoll, Self::ShortPoll];

    /// The name on the command line and in figures.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Sse => "sse",
            Self::Ndjson => "ndjson",
            Self::Websocket => "websocket",
            Self::LongPoll => "long-poll",
            Self::ShortPoll => "short-poll",
        }
    }

    /// Its place in tables by wire.
    pub(super) const fn index(self) -> usize {
        self as usize
    }

    /// Whether it asks again after each answer.
    pub(super) const fn is_poll(self) -> bool {
        matches!(self, Self::LongPoll | Self::ShortPoll)
    }
}

impl fmt::Display for Wire {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
