//! The answer to a streamed publish, read while the request is still being written.

use std::io::{self, BufReader};
use std::net::TcpStream;
use std::time::Duration;

use crossbeam_channel::Sender;
use serde::Deserialize;
use socket2::{SockRef, TcpKeepalive};

use crate::cli::coming_back::Failure;
use crate::cli::http::Connection;
use crate::cli::lines::read_line;

/// A peer whose kernel does not answer for this long is gone. There is no limit on how long the
/// server itself may take: it slows publishers down on purpose (protocol 5.6).
const PEER_SILENCE_MAX: Duration = Duration::from_secs(45);

/// What the answer's reader has seen.
pub(super) enum Answer {
    /// One line of the answer: what became of the next message.
    Line(Vec<u8>),
    /// The answer has ended: properly, or not.
    Ended(Result<(), Failure>),
}

/// What one line of the answer says.
#[derive(Deserialize)]
pub(super) struct Outcome {
    /// Absent when the message was published.
    pub(super) error: Option<Problem>,
}

/// Why a message was not published (protocol 15.1).
#[derive(Deserialize)]
pub(super) struct Problem {
    pub(super) status: u16,
    #[serde(default)]
    pub(super) title: String,
    #[serde(default)]
    pub(super) detail: String,
}

/// Lets the kernel notice a peer that is gone, without a limit on how long it may think.
pub(super) fn watch_peer(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(PEER_SILENCE_MAX / 3);
    socket.set_tcp_keepalive(&keepalive.with_interval(PEER_SILENCE_MAX / 9))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(PEER_SILENCE_MAX))?;
    Ok(())
}

/// Reads an answer to its end; runs on a thread of its own.
pub(super) fn read_answers(mut connection: Connection, answers: &Sender<Answer>) {
    let outcome = (|| {
        let head = connection.read_head()?;
        if head.status != 200 {
            return Err(connection.refusal(&head));
        }
        let mut reader = BufReader::new(connection.body(&head));
        let mut line = Vec::new();
        while read_line(&mut reader, &mut line)? {
            if answers.send(Answer::Line(std::mem::take(&mut line))).is_err() {
                break;
            }
        }
        Ok(())
    })();
    // Nobody listens when the publisher has given up.
    let _ = answers.send(Answer::Ended(outcome));
}
