//! A publisher's connection.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream as BlockingStream};
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::answer::Answers;
use super::clock::Clock;
use super::ledger::Ledger;
use super::publisher::Publisher;

/// How long a connect may take.
const CONNECT_WAIT: Duration = Duration::from_secs(10);

/// Connections in a row that may end without an answer to what was sent.
const VAIN_MAX: u32 = 5;

/// Makes what reads the answers of a new connection.
type AnswersOf = fn() -> Answers;

/// A publisher and its connection, which is kept and, when the server ends it, made anew.
#[derive(Debug)]
pub(super) struct Link {
    stream: TcpStream,
    publisher: Publisher,
    answers: AnswersOf,
    address: SocketAddr,
    token: Token,
    /// Times that it was made anew.
    reconnects: u32,
    /// Of these, since the last answer, with requests under way.
    vain: u32,
}

impl Link {
    /// Connects, waiting for it.
    ///
    /// # Errors
    /// When nobody answers there.
    pub(super) fn connect(
        registry: &Registry,
        token: Token,
        address: SocketAddr,
        answers: AnswersOf,
    ) -> Result<Self, String> {
        let stream = connect(registry, token, address)?;
        let publisher = Publisher::new(answers());
        Ok(Self { stream, publisher, answers, address, token, reconnects: 0, vain: 0 })
    }

    pub(super) fn outstanding(&self) -> usize {
        self.publisher.outstanding()
    }

    /// Bytes of the requests without answers.
    pub(super) fn backlog_bytes(&self) -> usize {
        self.publisher.backlog_bytes()
    }

    /// Times that the server ended it and it was made anew.
    pub(super) const fn reconnects(&self) -> u32 {
        self.reconnects
    }

    /// Queues a request; see [`Publisher::push`].
    pub(super) fn push(
        &mut self,
        first: u32,
        count: u32,
        now: u64,
        encode: impl FnOnce(&mut Vec<u8>),
    ) {
        self.publisher.push(first, count, now, encode);
    }

    /// Writes as much as the kernel takes; the rest when it is writable again. Returns bytes written.
    pub(super) fn flush(&mut self) -> u64 {
        let mut sum = 0;
        while !self.publisher.unwritten().is_empty() {
            match self.stream.write(self.publisher.unwritten()) {
                Ok(count) => {
                    self.publisher.wrote(count);
                    sum += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                // A connection that is broken is noticed when it is read.
                Err(_) => break,
            }
        }
        sum
    }

    /// Reads answers into `ledger`.
    ///
    /// # Errors
    /// When the server answers with something else than HTTP, ends connections without answers again and
    /// again, or cannot be reached any more.
    pub(super) fn read(
        &mut self,
        registry: &Registry,
        buffer: &mut [u8],
        ledger: &mut Ledger,
        clock: Clock,
    ) -> Result<(), String> {
        loop {
            let ends = match self.stream.read(buffer) {
                Ok(0) => {
                    if let Some(one) = self.publisher.ended() {
                        self.vain = 0;
                        ledger.answered(one.first, one.count, one.sent, clock.now(), one.refusal);
                    }
                    true
                }
                Ok(count) => {
                    let now = clock.now();
                    let vain = &mut self.vain;
                    let answers = self.publisher.receive(&buffer[..count], |one| {
                        *vain = 0;
                        ledger.answered(one.first, one.count, one.sent, now, one.refusal);
                    });
                    answers.map_err(|fault| format!("publishes {fault}"))?
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => false,
                Err(_) => true,
            };
            if ends {
                self.vain += u32::from(self.outstanding() > 0);
                if self.vain > VAIN_MAX {
                    return Err(format!(
                        "{} ended {} connections in a row without an answer to a publish",
                        self.address, self.vain
                    ));
                }
                self.reconnect(registry)?;
            }
        }
    }

    /// Connects again, and sends again what was not answered.
    ///
    /// # Errors
    /// When nobody answers there.
    pub(super) fn reconnect(&mut self, registry: &Registry) -> Result<(), String> {
        self.stream = connect(registry, self.token, self.address)?;
        self.publisher.reconnect((self.answers)());
        self.reconnects += 1;
        self.flush();
        Ok(())
    }
}

fn connect(registry: &Registry, token: Token, address: SocketAddr) -> Result<TcpStream, String> {
    let open = || {
        let stream = BlockingStream::connect_timeout(&address, CONNECT_WAIT)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(stream)
    };
    open().map_err(|error: io::Error| format!("cannot publish to {address}: {error}"))
}
