//! A worker that panics is replaced, in the same thread, within the same tick.
//!
//! It takes its connections and its topics with it, as nothing that it held can be trusted any more. What
//! the loop itself holds survives: listeners, the mailbox, the post's count, a drain under way. The other
//! workers are told that it has begun another *life*; each letter says between which lives it goes, and one
//! that was written to an earlier life is dropped.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::EventLoop;
use crate::limits::{PANICS_MAX, PANICS_WINDOW_MS};
use crate::planted::{Fault, planted};
use crate::reactor::mailbox::{Envelope, Parcel};
use crate::reactor::system::System;
use crate::time::Instant;
use crate::worker::Letter;

/// Which life each worker is in, as far as this one knows.
#[derive(Debug)]
pub(super) struct Lives {
    own: u32,
    others: Vec<u32>,
    /// Workers that have not been told of the present life.
    untold: Vec<usize>,
    /// When this worker panicked, as far as it still counts.
    panics: Vec<Instant>,
}

impl Lives {
    pub(super) fn new(workers: usize) -> Self {
        Self { own: 0, others: vec![0; workers], untold: Vec::new(), panics: Vec::new() }
    }

    /// Addresses a letter to the life of `worker` that is known here.
    pub(super) fn seal(&self, own: usize, worker: usize, letter: Letter) -> Envelope {
        Envelope { from: own, from_life: self.own, to_life: self.others[worker], letter }
    }

    /// Notes a panic. Whether there were too many of them.
    fn note_panic(&mut self, now: Instant) -> bool {
        self.panics.retain(|&at| now.since(at) < PANICS_WINDOW_MS);
        self.panics.push(now);
        self.panics.len() > PANICS_MAX
    }
}

impl<S: System> EventLoop<S> {
    /// One turn, and if the worker panics in it, a new worker. False when a drain is over.
    ///
    /// # Errors
    /// When the operating system cannot be polled, or the worker has panicked too often.
    pub fn tick(&mut self) -> io::Result<bool> {
        // What unwinding has left half done is thrown away: see `restart`.
        catch_unwind(AssertUnwindSafe(|| self.turn())).unwrap_or_else(|panic| self.restart(panic))
    }

    fn restart(&mut self, panic: Box<dyn Any + Send>) -> io::Result<bool> {
        let (own, now) = (self.own, self.tick_began);
        if self.lives.note_panic(now) {
            return Err(io::Error::other(format!(
                "it panicked {} times in {} s; this is a bug",
                PANICS_MAX + 1,
                PANICS_WINDOW_MS / 1_000
            )));
        }
        let connections = self.worker.counters().connections();
        let successor = self.worker.successor();
        let failed = std::mem::replace(&mut self.worker, successor);
        for socket in std::mem::take(&mut self.sockets) {
            discard(socket);
        }
        self.outbound.clear();
        discard((failed, panic));
        while self.counted > 0 {
            self.uncount();
        }
        self.to_read.clear();
        self.reports.clear();
        self.unsent = false;
        // What was reported and not acted on is not reported again: everything is tried, in a tick that
        // follows at once.
        self.to_accept = (0..self.listeners).collect();
        self.exhausted = None;
        self.wait_ms = Some(0);
        self.lives.own += 1;
        self.lives.untold = (0..self.post.workers()).filter(|&worker| worker != own).collect();
        if planted(Fault::KeepsRestartSecret) {
            self.lives.untold.clear();
        }
        self.tell_of_restart();
        // Mail may have been sent to them before the panic, and no bell rung.
        self.lives.untold.iter().for_each(|&worker| self.post.ring(worker));
        log::error!(
            "worker {own} panicked; this is a bug. Its {connections} connections are closed, the topics that \
             it owned begin anew, and it runs again"
        );
        Ok(true)
    }

    /// Tells the other workers that this one has begun another life, as far as there is room.
    pub(super) fn tell_of_restart(&mut self) {
        let (own, life, post) = (self.own, self.lives.own, &self.post);
        self.lives.untold.retain(|&worker| {
            let told = post.send(worker, Parcel::Restarted { worker: own, life }).is_ok();
            if told {
                post.ring(worker);
            }
            !told
        });
        self.unsent |= !self.lives.untold.is_empty();
    }

    /// Which of its lives the worker is in.
    pub(super) fn life(&self) -> u32 {
        self.lives.own
    }

    /// Another worker is in this life.
    pub(super) fn note_life(&mut self, worker: usize, life: u32) {
        if life > self.lives.others[worker] {
            self.lives.others[worker] = life;
            self.worker.handle_restart(worker);
        }
    }

    /// Hands the worker a letter that was written to it, and not to one before it.
    pub(super) fn open_letter(&mut self, envelope: Envelope) {
        // The news of a restart waits if the channel was full; what is written after it is the same news.
        self.note_life(envelope.from, envelope.from_life);
        if envelope.to_life == self.lives.own {
            self.worker.handle_letter(envelope.from, envelope.letter);
        }
    }
}

/// Drops something that may be broken: a panic in its `Drop` changes nothing.
pub(super) fn discard<T>(broken: T) {
    if catch_unwind(AssertUnwindSafe(|| drop(broken))).is_err() {
        log::error!("what a failed worker left behind could not be put away whole");
    }
}
