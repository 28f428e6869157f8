//! Connections come in: accepted in turn from every listener, placed on the worker that has the fewest, and
//! turned away when the descriptors have run out.

use std::io;
use std::net::SocketAddr;

use super::{EventLoop, Socket};
use crate::config::Entrance;
use crate::reactor::mailbox::Parcel;
use crate::reactor::system::System;
use crate::time::Instant;

/// How long to wait before accepting is tried again after the descriptors ran out.
const ACCEPT_RETRY_MS: u64 = 100;
/// The descriptors running out is said at most this often.
const EXHAUSTED_LOG_MS: u64 = 10_000;

impl<S: System> EventLoop<S> {
    pub(super) fn accept(&mut self, now: Instant) {
        if self.exhausted.is_none() {
            self.accept_some(self.budgets.accepts_per_tick, now);
        }
    }

    /// Accepts up to `budget` connections. Whether one was accepted.
    pub(super) fn accept_some(&mut self, budget: usize, now: Instant) -> bool {
        let (mut accepted, mut failed) = (0, 0);
        while accepted < budget - failed
            && let Some(&listener) = self.to_accept.front()
        {
            match self.system.accept(listener) {
                Ok((stream, peer)) => {
                    accepted += 1;
                    // Listeners take turns: a flood on one address does not starve the others.
                    self.to_accept.rotate_left(1);
                    self.place(stream, peer, self.entrances[listener]);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.to_accept.pop_front();
                }
                Err(error) if is_exhaustion(&error) => {
                    self.turn_away(listener, &error, now);
                    break;
                }
                // The connection that was to be accepted is gone, or the call was interrupted: the
                // next one may be fine. An error that stays is waited out like exhaustion.
                Err(error) if is_passing(&error) && failed + 1 < self.budgets.accepts_per_tick => {
                    failed += 1;
                }
                Err(error) => {
                    self.turn_away(listener, &error, now);
                    break;
                }
            }
        }
        if accepted >= budget - failed && !self.to_accept.is_empty() {
            // A herd at one listener does not shut out those who wait at another.
            self.to_accept.rotate_right(1);
        }
        accepted > 0
    }

    /// No descriptor is left: whoever waits is turned away, and the rest later.
    fn turn_away(&mut self, listener: usize, error: &io::Error, now: Instant) {
        let turned_away = self.system.turn_away(listener);
        self.exhausted = Some(now + ACCEPT_RETRY_MS);
        if self.exhausted_logged <= now {
            self.exhausted_logged = now + EXHAUSTED_LOG_MS;
            log::warn!(
                "cannot accept connections: {error}; {} one and trying again. Raise the descriptor \
                 limit (ulimit -n), or lower --connections-max",
                if turned_away { "turned away" } else { "keeping" }
            );
        }
    }

    /// Keeps a connection, or hands it to a worker that has clearly fewer.
    pub(super) fn place(&mut self, stream: S::Socket, peer: SocketAddr, entrance: Entrance) {
        let target = self.post.least_loaded(self.own);
        self.post.add_connection(target);
        if target == self.own {
            self.counted += 1;
            return self.keep(stream, peer, entrance);
        }
        match self.post.send(target, Parcel::Socket(stream, peer, entrance)) {
            Ok(()) => self.post.ring(target),
            Err(Parcel::Socket(stream, peer, entrance)) => {
                self.post.remove_connection(target);
                self.post.add_connection(self.own);
                self.counted += 1;
                self.keep(stream, peer, entrance);
            }
            Err(_) => unreachable!("what could not be sent comes back"),
        }
    }

    /// Makes a connection, already counted as this worker's, one of its own.
    pub(super) fn keep(&mut self, mut stream: S::Socket, peer: SocketAddr, entrance: Entrance) {
        let Some(key) = self.worker.handle_accept(peer, entrance) else { return self.uncount() };
        let registered = self.system.register(&mut stream, key);
        let slot = key.slot as usize;
        if slot >= self.sockets.len() {
            self.sockets.resize_with(slot + 1, || None);
        }
        let generation = key.generation;
        self.sockets[slot] =
            Some(Socket { stream, generation, readable: true, hung_up: false, queued: true });
        // Its request may be here already; trying costs one read, a report would cost a poll.
        self.to_read.push_back(key);
        if registered.is_err() {
            self.worker.handle_error(key);
        }
    }

    /// A connection that was counted as this worker's is gone.
    pub(super) fn uncount(&mut self) {
        self.counted -= 1;
        self.post.remove_connection(self.own);
    }
}

/// EMFILE, ENFILE, ENOBUFS, ENOMEM: no descriptor or memory for another socket.
fn is_exhaustion(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(23 | 24 | 105 | 55))
        || error.kind() == io::ErrorKind::OutOfMemory
}

/// Errors of accept(2) that concern one connection.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Interrupted
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::TimedOut
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
    ) || error.raw_os_error() == Some(71)
}
