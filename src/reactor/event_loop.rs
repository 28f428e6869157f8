//! The tick: what one worker's thread does, over and over.
//!
//! ```text
//!   poll ─▶ reports ─▶ read ─▶ mailbox ─▶ accept ─▶ timers ─▶ mail out ─▶ refill and write ─▶ mail out ─▶ close
//!                      Redis                                  Redis                           Redis
//! ```
//!
//! The mailbox is read after the sockets, and polls are answered after the mailbox: whatever was
//! acknowledged, on any worker, before a request was sent is in the log when that request is answered.
//! Mail goes out before the writes, so that other workers fan out at the same time as this one.
//!
//! With Redis, what it says is read first, and what is wanted of it goes out twice: what the sockets and the mailbox
//! brought before anything else is written, all of it together; and what the writes have made of it.
//!
//! Every phase has a budget; if one is used up, the next poll does not wait.

mod accepting;
mod close_log;
mod outbound;
mod supervision;

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;

use self::close_log::CloseLog;
use self::outbound::Outbound;
use self::supervision::Lives;
use super::mailbox::{Mailbox, Parcel, Post};
use super::system::{Readiness, System, Who};
use crate::config::{Config, Entrance};
use crate::counters::{CloseReason, Turn};
use crate::key::ConnectionKey;
use crate::limits::{Budgets, SLICES_PER_WRITE};
use crate::planted::{Fault, planted};
use crate::time::Instant;
use crate::worker::{Letter, Worker};

/// How long to wait for room in another worker's channel.
const SEND_RETRY_MS: u64 = 1;

/// One worker and the operating system below it.
pub struct EventLoop<S: System> {
    own: usize,
    system: S,
    worker: Worker,
    mailbox: Arc<Mailbox<S::Socket>>,
    post: Post<S::Socket>,
    /// Connections that this loop has to take off the post's count again.
    counted: usize,
    lives: Lives,
    sockets: Vec<Option<Socket<S::Socket>>>,
    /// Sockets that may be readable, in turn.
    to_read: VecDeque<ConnectionKey>,
    outbound: Outbound<S::Socket>,
    /// Listeners that may have a connection.
    to_accept: VecDeque<usize>,
    /// Listeners that wait for descriptors, and until when.
    exhausted: Option<Instant>,
    exhausted_logged: Instant,
    scratch: Vec<u8>,
    reports: Vec<Readiness>,
    /// Something could not be sent for want of room.
    unsent: bool,
    /// When the last tick began.
    tick_began: Instant,
    /// See [`EventLoop::wait_ms`].
    wait_ms: Option<u64>,
    close_log: CloseLog,
    /// When the thread ends whatever is left; never while it is not draining.
    drain_until: Instant,
    drain_max_ms: u64,
    budgets: Budgets,
    /// Listeners that are open.
    listeners: usize,
    /// Where each of them lets in.
    entrances: Box<[Entrance]>,
    /// Parcels taken from the mailbox in this tick.
    parcels: u64,
}

struct Socket<S> {
    stream: S,
    generation: u32,
    /// Reading may succeed: nothing has said otherwise yet.
    readable: bool,
    /// The peer has closed its side: reading goes on until it says so.
    hung_up: bool,
    /// Whether it is in `to_read`.
    queued: bool,
}

impl<S: System> EventLoop<S> {
    /// The loop of worker number `own`, whose system has a listener for each of `entrances`.
    pub fn new(
        own: usize,
        system: S,
        worker: Worker,
        mailbox: Mailbox<S::Socket>,
        post: Post<S::Socket>,
        entrances: &[Entrance],
        config: &Config,
    ) -> Self {
        let listeners = entrances.len();
        Self {
            own,
            system,
            worker,
            mailbox: Arc::new(mailbox),
            lives: Lives::new(post.workers()),
            post,
            counted: 0,
            sockets: Vec::new(),
            to_read: VecDeque::new(),
            outbound: Outbound::new(),
            // A connection may have come before the listener was registered.
            to_accept: (0..listeners).collect(),
            exhausted: None,
            exhausted_logged: Instant::default(),
            scratch: vec![0; config.budgets.read_bytes_per_tick],
            reports: Vec::new(),
            unsent: false,
            tick_began: Instant::default(),
            wait_ms: Some(0),
            close_log: CloseLog::default(),
            drain_until: Instant::NEVER,
            drain_max_ms: config.limits.drain_max_ms,
            budgets: config.budgets,
            listeners,
            entrances: entrances.into(),
            parcels: 0,
        }
    }

    /// Ticks until a drain is over.
    ///
    /// # Errors
    /// As [`EventLoop::tick`].
    pub fn run(&mut self) -> io::Result<()> {
        while self.tick()? {}
        Ok(())
    }

    /// How long the next poll may wait: `Some(0)` while there is something to do, `None` for as long as it
    /// takes. It was decided when the last tick ended: what comes into the mailbox later does not change
    /// it, the bell does.
    pub fn wait_ms(&self) -> Option<u64> {
        self.wait_ms
    }

    /// The worker that runs in this loop now: after a panic it is another one.
    pub fn worker(&self) -> &Worker {
        &self.worker
    }

    /// One turn. False when a drain is over.
    fn turn(&mut self) -> io::Result<bool> {
        self.reports.clear();
        let slept = self.wait_ms != Some(0);
        match self.system.poll(self.wait_ms, &mut self.reports) {
            // A signal. Nobody's time is up before it is known what there is to report of him.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.wait_ms = Some(0);
                return Ok(true);
            }
            result => result?,
        }
        let now = self.system.now();
        self.tick_began = now.instant;
        self.worker.begin_tick(now, self.post.connections());
        let stalled_ms = self.system.stalled_ms();
        self.worker.forgive(stalled_ms);
        self.take_reports();
        self.read_outbound();
        self.read_sockets();
        self.read_mailbox(now.instant);
        self.drain(now.instant);
        self.accept(now.instant);
        if self.worker.wants_process() {
            self.worker.note_process(self.system.process());
        }
        let timers_left = self.worker.handle_timers();
        self.serve_outbound();
        self.send_mail();
        self.write_sockets();
        self.worker.pump();
        self.send_mail();
        self.serve_outbound();
        self.resume_reading();
        self.close_sockets(now.instant);
        self.exhausted = self.exhausted.filter(|until| *until > now.instant);
        let (us, parcels) = (self.system.elapsed_us(), std::mem::take(&mut self.parcels));
        self.worker.end_tick(Turn { us, slept, parcels, stalled_ms });
        self.wait_ms = self.decide_wait(timers_left);
        Ok(!(self.is_drained() || self.is_cut_short(now.instant)))
    }

    /// Whether a drain is over: for all workers at once, as the connections of each need the topics of
    /// the others, and one that has not heard of it yet still accepts some. Who finds out tells them.
    fn is_drained(&self) -> bool {
        let is_drained = self.worker.is_drained() && self.post.is_deserted();
        if is_drained {
            (0..self.post.workers()).for_each(|worker| self.post.ring(worker));
        }
        is_drained
    }

    /// Whether a drain has taken so long that whoever is still there is cut off.
    fn is_cut_short(&self, now: Instant) -> bool {
        let is_late = self.drain_until <= now;
        let left = self.worker.counters().connections();
        if is_late && left > 0 {
            log::warn!("{left} connections are cut off: they were still open after --drain-max");
        }
        is_late
    }

    fn decide_wait(&mut self, timers_left: bool) -> Option<u64> {
        let can_accept = !self.to_accept.is_empty() && self.exhausted.is_none();
        let has_work = !self.to_read.is_empty()
            || self.outbound.has_work()
            || self.worker.has_work()
            || self.mailbox.has_more()
            || timers_left
            || can_accept;
        if has_work {
            return Some(0);
        }
        if std::mem::take(&mut self.unsent) {
            return Some(SEND_RETRY_MS);
        }
        let mut deadline = self.worker.next_deadline().min(self.drain_until);
        if let Some(until) = self.exhausted {
            deadline = deadline.min(until);
        }
        if deadline == Instant::NEVER {
            return None;
        }
        // From when this tick began: that it took a while makes the next one late, but no clock is read.
        Some(deadline.since(self.tick_began).max(1))
    }

    /// Latches what the operating system said.
    fn take_reports(&mut self) {
        for report in std::mem::take(&mut self.reports) {
            match report.who {
                Who::Mailbox => (),
                Who::Outbound(id) => self.note_outbound(id, &report),
                Who::Listener(listener) => {
                    if !self.to_accept.contains(&listener) {
                        self.to_accept.push_back(listener);
                    }
                }
                Who::Connection(key) => {
                    if report.writable {
                        self.worker.handle_writable(key);
                    }
                    if (report.readable || report.hung_up)
                        && let Some(socket) = socket(&mut self.sockets, key)
                    {
                        socket.readable = true;
                        socket.hung_up |= report.hung_up;
                        if !std::mem::replace(&mut socket.queued, true) {
                            self.to_read.push_back(key);
                        }
                    }
                }
            }
        }
    }

    fn read_sockets(&mut self) {
        for _ in 0..self.budgets.reads_per_tick.min(self.to_read.len()) {
            let Some(key) = self.to_read.pop_front() else { break };
            if let Some(socket) = socket(&mut self.sockets, key) {
                socket.queued = false;
                if self.read_socket(key) {
                    self.queue_read(key);
                }
            }
        }
    }

    /// Reads once. Whether it should be read again without a new report.
    fn read_socket(&mut self, key: ConnectionKey) -> bool {
        let Some(socket) = socket(&mut self.sockets, key) else { return false };
        // What is not wanted now stays in the kernel, and readable: see `resume_reading`.
        if !self.worker.wants_read(key) {
            return false;
        }
        match self.system.read(&mut socket.stream, &mut self.scratch) {
            Ok(0) => {
                socket.readable = false;
                self.worker.handle_eof(key);
                false
            }
            Ok(count) => {
                let is_full = count == self.scratch.len();
                socket.readable = is_full || socket.hung_up;
                let again = socket.readable;
                self.worker.handle_bytes(key, &mut self.scratch[..count]);
                again
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                socket.readable = false;
                false
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => true,
            Err(_) => {
                socket.readable = false;
                self.worker.handle_error(key);
                false
            }
        }
    }

    fn queue_read(&mut self, key: ConnectionKey) {
        if let Some(socket) = socket(&mut self.sockets, key)
            && !std::mem::replace(&mut socket.queued, true)
        {
            self.to_read.push_back(key);
        }
    }

    /// Connections that stopped reading and now want to again get no new report: the latch remembers.
    fn resume_reading(&mut self) {
        while let Some(key) = self.worker.poll_resumed() {
            if socket(&mut self.sockets, key).is_some_and(|socket| socket.readable) {
                self.queue_read(key);
            }
        }
    }

    fn read_mailbox(&mut self, now: Instant) {
        // One by one: what is behind a letter that makes the worker panic stays in the channel.
        let mailbox = Arc::clone(&self.mailbox);
        for parcel in mailbox.take() {
            self.parcels += 1;
            match parcel {
                Parcel::Letter(envelope) => self.open_letter(envelope),
                Parcel::Restarted { worker, life } => self.note_life(worker, life),
                Parcel::Socket(stream, peer, entrance) => {
                    self.counted += 1;
                    self.keep(stream, peer, entrance);
                }
                Parcel::LookedUp(looked_up) => self.handle_looked_up(looked_up),
                Parcel::Reload(config) => {
                    self.drain_max_ms = config.limits.drain_max_ms;
                    self.worker.reconfigure(config);
                }
                Parcel::Drain => {
                    self.drain_until = self.drain_until.min(now + self.drain_max_ms);
                }
                Parcel::Pulse(answers) => {
                    // There is room for every worker's, and nobody may be waiting any more.
                    let _ = answers.try_send(self.own);
                }
            }
        }
    }

    /// Begins to go away, or goes on after a panic in the middle of it.
    fn drain(&mut self, now: Instant) {
        if self.drain_until == Instant::NEVER {
            return;
        }
        self.worker.begin_drain();
        if self.listeners > 0 {
            // What is queued in the listeners is served, and leaves last: closing them now would reset it.
            self.to_accept = (0..self.listeners).collect();
            while self.accept_some(usize::MAX, now) {}
            self.system.close_listeners();
            self.listeners = 0;
            self.post.stop_listening();
            self.to_accept.clear();
        }
    }

    fn send_mail(&mut self) {
        self.tell_of_restart();
        let mut rung = 0_u128;
        let mut refused = 0;
        // What comes back is followed by mail for another worker: a full channel holds up only itself.
        while refused < self.post.workers()
            && let Some((worker, letter)) = self.worker.poll_letter()
        {
            let envelope = self.lives.seal(self.own, worker, letter);
            match self.post.send(worker, Parcel::Letter(envelope)) {
                Ok(()) if planted(Fault::LosesWakeUp) => rung ^= 1 << (worker % 128),
                Ok(()) => rung |= 1 << (worker % 128),
                Err(Parcel::Letter(envelope)) => {
                    self.give_back(worker, envelope.letter);
                    refused += 1;
                }
                Err(_) => unreachable!("what could not be sent comes back"),
            }
        }
        for worker in 0..self.post.workers() {
            if rung & (1 << (worker % 128)) != 0 {
                self.post.ring(worker);
            }
        }
    }

    fn give_back(&mut self, worker: usize, letter: Letter) {
        self.worker.give_back(worker, letter);
        self.unsent = true;
    }

    fn write_sockets(&mut self) {
        let mut turns_left = self.budgets.turns_per_tick;
        while let Some(key) = self.worker.poll_write(&mut turns_left) {
            // A publish that was pipelined is acknowledged by this write: its message goes first.
            if self.worker.has_mail() && !self.unsent {
                self.send_mail();
            }
            self.write_socket(key);
        }
        while let Some(key) = self.worker.poll_shutdown() {
            if let Some(socket) = socket(&mut self.sockets, key)
                && self.system.shut(&mut socket.stream).is_err()
            {
                self.worker.handle_error(key);
            }
        }
    }

    /// Writes until everything is sent or the operating system takes no more.
    fn write_socket(&mut self, key: ConnectionKey) {
        let Some(socket) = socket(&mut self.sockets, key) else {
            return self.worker.handle_error(key);
        };
        loop {
            let mut slices = [IoSlice::new(&[]); SLICES_PER_WRITE];
            let filled = self.worker.slices(key, &mut slices);
            let result = self.system.write(&mut socket.stream, &slices[..filled]);
            match result {
                Ok(0) => return self.worker.handle_error(key),
                Ok(count) => {
                    self.worker.handle_written(key, count);
                    if !self.worker.wants_write(key) {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return self.worker.handle_blocked(key);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(_) => return self.worker.handle_error(key),
            }
        }
    }

    fn close_sockets(&mut self, now: Instant) {
        while let Some((key, reason, peer)) = self.worker.poll_closed() {
            self.close_log.note(now, peer, reason);
            if !(planted(Fault::LeaksCount) && reason == CloseReason::SocketError) {
                self.uncount();
            }
            if let Some(socket) = socket(&mut self.sockets, key) {
                if reason == CloseReason::WriteTimeout {
                    // The kernel would hold what the peer does not take, and who knows for how long; and
                    // an answer that was cut off must not look as if it had ended.
                    self.system.abandon(&mut socket.stream);
                }
                self.sockets[key.slot as usize] = None;
                // A descriptor came free: whoever waits for one need not wait for the timer.
                self.exhausted = None;
            }
        }
    }
}

fn socket<S>(sockets: &mut [Option<Socket<S>>], key: ConnectionKey) -> Option<&mut Socket<S>> {
    let socket = sockets.get_mut(key.slot as usize)?.as_mut()?;
    (socket.generation == key.generation).then_some(socket)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn a_socket_is_held_to_its_size() {
        // Each connection has one, beside its slot in the worker. (In debug builds the stream of mio is larger than
        // the bare descriptor that it is in a release.)
        assert_eq!(size_of::<Option<Socket<std::net::TcpStream>>>(), 12);
    }
}
