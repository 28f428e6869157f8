//! What may be wrong with one connection.

use std::fmt;

/// Why a connection is of no use any more.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Fault {
    /// The connection could not be made.
    NotConnected,
    /// What came is not an HTTP/1.1 answer.
    NotHttp,
    /// What came is not a WebSocket server's frame.
    NotWebSocket,
    /// The answer has another status than the one hoped for.
    Refused(u16),
    /// The server ended a connection that was to stay.
    Ended,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConnected => formatter.write_str("could not be connected"),
            Self::NotHttp => formatter.write_str("were answered with something else than HTTP/1.1"),
            Self::NotWebSocket => formatter.write_str("got frames that no WebSocket server sends"),
            Self::Refused(status) => write!(formatter, "were refused with status {status}"),
            Self::Ended => formatter.write_str("were ended by the server"),
        }
    }
}
