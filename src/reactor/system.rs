//! The operating system, as far as the event loop knows it. A simulated one can stand in.

use std::io::{self, IoSlice};
use std::net::SocketAddr;

use crate::counters::Process;
use crate::key::{ConnectionKey, OutboundId};
use crate::time::Now;

/// Who a readiness report is about.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// The listener with this number.
    Listener(usize),
    /// The mailbox: another thread rang.
    Mailbox,
    /// A connection, which may be gone by now.
    Connection(ConnectionKey),
    /// A connection that was dialled, which may be gone by now.
    Outbound(OutboundId),
}

/// What the operating system said of somebody. It may be spurious.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// Who.
    pub who: Who,
    /// Reading, or accepting, may succeed.
    pub readable: bool,
    /// Writing may succeed.
    pub writable: bool,
    /// The peer has closed its side, or there is an error: reading goes on until it says so.
    pub hung_up: bool,
}

/// What the event loop asks of an operating system. Readiness is edge-triggered: it is reported when it
/// comes, and then not again before an operation has said [`io::ErrorKind::WouldBlock`] or has moved fewer
/// bytes than it could have (epoll(7), question 9).
pub trait System {
    /// One end of a connection. Dropping it closes it.
    type Socket;

    /// Waits for readiness, at most `timeout_ms` milliseconds (`None`: for as long as it takes), and
    /// appends what there is to `reports`. It may be interrupted, and loses nothing by that.
    fn poll(&mut self, timeout_ms: Option<u64>, reports: &mut Vec<Readiness>) -> io::Result<()>;

    /// Reads both clocks.
    fn now(&mut self) -> Now;

    /// How long this thread stood still before the last [`System::now`], through no fault of any peer:
    /// milliseconds beyond what it asked to wait for, 0 if they are too few to count. The process was
    /// stopped, the machine was paused, or one tick took that long.
    fn stalled_ms(&mut self) -> u64 {
        0
    }

    /// Microseconds since the last [`System::now`].
    fn elapsed_us(&mut self) -> u64 {
        0
    }

    /// What there is to know of the process. Not asked for but when an operator asks.
    fn process(&mut self) -> Process {
        Process::default()
    }

    /// Accepts a connection from a listener.
    fn accept(&mut self, listener: usize) -> io::Result<(Self::Socket, SocketAddr)>;

    /// Accepts a connection and closes it at once, when there is no descriptor left to keep it.
    /// Whether there was one.
    fn turn_away(&mut self, listener: usize) -> bool;

    /// Closes the listeners. Connections that are queued in them should have been accepted before.
    fn close_listeners(&mut self);

    /// Reports readiness of `socket` under `key` from now on, both ways.
    fn register(&mut self, socket: &mut Self::Socket, key: ConnectionKey) -> io::Result<()>;

    /// Begins to connect to a server, and reports readiness under `id` from now on, both ways. Nobody waits:
    /// [`System::finish_connect`] says what has come of it, when there is something to report.
    ///
    /// # Errors
    /// When it can be said at once that nothing will come of it. A system may be one that dials nobody.
    fn connect(&mut self, _address: SocketAddr, _id: OutboundId) -> io::Result<Self::Socket> {
        Err(io::ErrorKind::ConnectionRefused.into())
    }

    /// Whether a connection that was begun is there; [`io::ErrorKind::WouldBlock`] while nobody knows.
    fn finish_connect(&mut self, _socket: &mut Self::Socket) -> io::Result<()> {
        Ok(())
    }

    /// Reads; 0 means that the peer has closed its side.
    fn read(&mut self, socket: &mut Self::Socket, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes some of `slices`.
    fn write(&mut self, socket: &mut Self::Socket, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Shuts the sending side.
    fn shut(&mut self, socket: &mut Self::Socket) -> io::Result<()>;

    /// Has the connection reset when it is closed, instead of having what is unsent sent for a while.
    fn abandon(&mut self, _socket: &mut Self::Socket) {}
}
