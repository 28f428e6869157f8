//! The server's side of the invented network: an operating system that keeps to the letter of the contract of
//! [`System`] and not an inch further.
//!
//! Readiness is reported once, and then not again before an operation has said `WouldBlock` or has moved fewer
//! bytes than it could have. Reads and writes may be short, reports late, spurious or about connections that
//! are gone, descriptors may run out, and any call may fail. Everything is drawn from one seed.

use std::io::{self, ErrorKind, IoSlice};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tidings::key::{ConnectionKey, OutboundId};
use tidings::reactor::{Readiness, Ring, System, Who};
use tidings::time::{Instant, Now};

use crate::net::{Net, OUT_OF_MEMORY, Queue, Shared};

/// EMFILE.
const TOO_MANY_OPEN_FILES: i32 = 24;
/// What accept(2) may say when there is no descriptor or memory: ENOMEM, ENFILE, EMFILE, ENOBUFS.
const EXHAUSTIONS: [i32; 4] = [OUT_OF_MEMORY, 23, TOO_MANY_OPEN_FILES, 105];
/// What it may say of the one connection that was to be accepted, and is gone then: EPERM, EPROTO,
/// ECONNABORTED, ECONNRESET, ETIMEDOUT.
const ABORTIONS: [i32; 5] = [1, 71, 103, 104, 110];
/// What read(2) may say: EPIPE, ECONNRESET, ETIMEDOUT, EHOSTUNREACH, ENOBUFS, ENOMEM.
const READ_ERRORS: [i32; 6] = [32, 104, 110, 113, 105, OUT_OF_MEMORY];
/// What write(2) may say, among them EPERM from a firewall; 0 stands for writing nothing.
const WRITE_ERRORS: [i32; 7] = [0, 1, 32, 104, 110, 105, OUT_OF_MEMORY];
/// What connect(2) may say, now or later: ENETUNREACH, ETIMEDOUT, EHOSTUNREACH, EADDRNOTAVAIL.
const CONNECT_ERRORS: [i32; 4] = [101, 110, 113, 99];
/// A thread that comes back so much later than it asked to has stood still.
const STALL_MS: u64 = 500;
/// What shutdown(2) may say: ENOTCONN, ENOBUFS.
const SHUT_ERRORS: [i32; 2] = [107, 105];

/// A worker's operating system.
pub(crate) struct Sim {
    pub(crate) worker: usize,
    pub(crate) net: Shared,
    pub(crate) bell: Arc<SimBell>,
    pub(crate) pace: Pace,
}

/// When a worker's thread last came out of its poll, and what it had asked for: to tell that it stood still.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    last_ms: u64,
    asked_ms: Option<u64>,
}

/// The server's end of a connection.
pub(crate) struct SimSocket {
    net: Shared,
    pipe: usize,
}

impl Drop for SimSocket {
    fn drop(&mut self) {
        let breaks = self.net.borrow_mut().close(self.pipe);
        assert!(!breaks, "a socket that panics when it is dropped");
    }
}

#[derive(Debug, Default)]
pub(crate) struct SimBell {
    rung: AtomicBool,
    woken: AtomicBool,
}

impl SimBell {
    /// Whether the next poll ends at once.
    pub(crate) fn is_woken(&self) -> bool {
        self.woken.load(Ordering::SeqCst)
    }
}

impl Ring for SimBell {
    fn ring(&self) {
        if !self.rung.swap(true, Ordering::SeqCst) {
            self.woken.store(true, Ordering::SeqCst);
        }
    }

    fn quiet(&self) {
        self.rung.store(false, Ordering::SeqCst);
    }
}

impl Net {
    fn chance(&mut self, percent: u8) -> bool {
        percent > 0 && self.random.u8(0..100) < percent
    }

    /// One of these errors, now and then.
    fn fault(&mut self, worker: usize, errors: &[i32]) -> Option<i32> {
        self.polls[worker].calls += 1;
        self.ambush = self.ambush.saturating_sub(1);
        assert_ne!(self.ambush, 1, "a system call that panics");
        let faults = self.weather.faults;
        self.chance(faults).then(|| errors[self.random.usize(..errors.len())])
    }

    /// Whether there are bytes to read. The end behind them is news once, and may come with them.
    fn is_readable(&self, pipe: usize) -> bool {
        self.pipes[pipe].to_server.arrived() > 0
    }

    fn is_writable(&self, pipe: usize) -> bool {
        if self.pipes[pipe].dialled_ms.is_some_and(|ms| ms > self.now_ms) {
            return false;
        }
        self.pipes[pipe].is_reset() || self.pipes[pipe].to_client.len() < self.weather.window
    }

    /// What there is to report to a worker.
    fn reports(&mut self, worker: usize, reports: &mut Vec<Readiness>) {
        let late = self.weather.late;
        for listener in 0..self.listeners[worker].len() {
            let queue = &self.listeners[worker][listener];
            if queue.interest.armed && !queue.waiting.is_empty() && !queue.closed {
                self.listeners[worker][listener].interest.armed = false;
                let who = Who::Listener(listener);
                reports.push(Readiness { who, readable: true, writable: false, hung_up: false });
            }
        }
        for index in 0..self.live().len() {
            let pipe = self.live()[index];
            let Some((at, who)) = self.pipes[pipe].key.filter(|(at, _)| *at == worker) else {
                continue;
            };
            debug_assert_eq!(at, worker, "filtered");
            let readable = self.pipes[pipe].read.armed && self.is_readable(pipe);
            let writable = self.pipes[pipe].write.armed && self.is_writable(pipe);
            let hung_up = self.pipes[pipe].hang_up_is_news;
            let is_rumour = self.chance(late / 3);
            if !(readable || writable || hung_up || is_rumour) {
                continue;
            }
            if self.chance(late) {
                // It comes a poll later, and that may be long.
                self.pipes[pipe].excused = true;
                continue;
            }
            let state = &mut self.pipes[pipe];
            state.read.armed &= !readable;
            state.write.armed &= !writable;
            state.hang_up_is_news = false;
            reports.push(Readiness {
                who,
                readable: readable || hung_up || is_rumour,
                writable: writable || is_rumour,
                hung_up,
            });
        }
        let gone = self.random.usize(..=self.gone.len());
        if let Some(&(at, who)) = self.gone.get(gone)
            && at == worker
            && self.chance(late)
        {
            let [readable, writable, hung_up] = [(); 3].map(|()| self.random.bool());
            reports.push(Readiness { who, readable, writable, hung_up });
        }
        reports.append(&mut self.rumours[worker]);
        self.random.shuffle(reports);
    }

    /// Whether a worker would be told something now.
    pub(crate) fn has_reports(&self, worker: usize) -> bool {
        let listeners = &self.listeners[worker];
        let accept =
            |queue: &Queue| queue.interest.armed && !queue.waiting.is_empty() && !queue.closed;
        listeners.iter().any(accept)
            || !self.rumours[worker].is_empty()
            || self.live().iter().any(|&index| {
                let pipe = &self.pipes[index];
                pipe.key.is_some_and(|(at, _)| at == worker)
                    && (pipe.read.armed && self.is_readable(index)
                        || pipe.write.armed && self.is_writable(index)
                        || pipe.hang_up_is_news)
            })
    }
}

fn would_block<T>() -> io::Result<T> {
    Err(ErrorKind::WouldBlock.into())
}

impl System for Sim {
    type Socket = SimSocket;

    fn poll(&mut self, timeout_ms: Option<u64>, reports: &mut Vec<Readiness>) -> io::Result<()> {
        self.pace.asked_ms = timeout_ms;
        let net = &mut *self.net.borrow_mut();
        let polls = &mut net.polls[self.worker];
        let is_idle = polls.timeout_ms == Some(0)
            && polls.reports == 0
            && polls.progress == polls.progress_before;
        polls.idle = if is_idle { polls.idle + 1 } else { 0 };
        polls.idle_max = polls.idle_max.max(polls.idle);
        polls.progress_before = polls.progress;
        if net.fault(self.worker, &[4]).is_some() {
            let polls = &mut net.polls[self.worker];
            (polls.timeout_ms, polls.rung) = (None, false);
            return Err(ErrorKind::Interrupted.into());
        }
        net.reports(self.worker, reports);
        let rung = self.bell.woken.swap(false, Ordering::SeqCst);
        if rung {
            let who = Who::Mailbox;
            reports.push(Readiness { who, readable: true, writable: false, hung_up: false });
        }
        let polls = &mut net.polls[self.worker];
        polls.count += 1;
        polls.hurried += u64::from(timeout_ms == Some(0));
        (polls.timeout_ms, polls.reports, polls.rung) = (timeout_ms, reports.len(), rung);
        if reports.is_empty()
            && net.time_flows
            && let Some(ms) = timeout_ms
        {
            net.pass(ms);
        }
        Ok(())
    }

    fn now(&mut self) -> Now {
        let net = &mut *self.net.borrow_mut();
        // As the clock of the real system does: `reactor/clock.rs`.
        let late_ms = match self.pace.asked_ms {
            Some(asked_ms) if net.keeps_pace => {
                net.now_ms.saturating_sub(self.pace.last_ms.saturating_add(asked_ms))
            }
            _ => 0,
        };
        net.stalls[self.worker] += if late_ms < STALL_MS { 0 } else { late_ms };
        self.pace.last_ms = net.now_ms;
        Now { instant: Instant::from_ms(net.now_ms), wall_ms: net.wall_ms() }
    }

    fn stalled_ms(&mut self) -> u64 {
        std::mem::take(&mut self.net.borrow_mut().stalls[self.worker])
    }

    fn accept(&mut self, listener: usize) -> io::Result<(SimSocket, SocketAddr)> {
        let net = &mut *self.net.borrow_mut();
        net.polls[self.worker].accepts += 1;
        let hiccups = net.weather.hiccups;
        let (exhausted, aborted) =
            (net.fault(self.worker, &EXHAUSTIONS), net.fault(self.worker, &ABORTIONS));
        let (interrupted, blocks) = (net.chance(hiccups / 2), net.chance(hiccups));
        let queue = &mut net.listeners[self.worker][listener];
        if queue.waiting.is_empty() || queue.closed || blocks {
            queue.interest.armed = true;
            return would_block();
        }
        if interrupted {
            return Err(ErrorKind::Interrupted.into());
        }
        if let Some(error) = exhausted.or(net.refusals[self.worker]) {
            return Err(io::Error::from_raw_os_error(error));
        }
        if net.open >= net.weather.descriptors {
            return Err(io::Error::from_raw_os_error(TOO_MANY_OPEN_FILES));
        }
        net.polls[self.worker].progress += 1;
        if let Some(error) = aborted {
            let pipe = queue.waiting.pop_front().expect("one waits");
            net.drop_unaccepted(pipe);
            return Err(io::Error::from_raw_os_error(error));
        }
        let pipe = queue.waiting.pop_front().expect("one waits");
        net.open += 1;
        let socket = SimSocket { net: Rc::clone(&self.net), pipe };
        Ok((socket, SocketAddr::from((Ipv4Addr::LOCALHOST, 1 + (pipe % 60_000) as u16))))
    }

    fn turn_away(&mut self, listener: usize) -> bool {
        let net = &mut *self.net.borrow_mut();
        if net.fault(self.worker, &EXHAUSTIONS).is_some() {
            return false;
        }
        let Some(pipe) = net.listeners[self.worker][listener].waiting.pop_front() else {
            return false;
        };
        net.drop_unaccepted(pipe);
        net.polls[self.worker].turned_away += 1;
        true
    }

    fn close_listeners(&mut self) {
        self.net.borrow_mut().stop_listening(self.worker);
    }

    fn register(&mut self, socket: &mut SimSocket, key: ConnectionKey) -> io::Result<()> {
        let net = &mut *self.net.borrow_mut();
        if net.fault(self.worker, &[OUT_OF_MEMORY]).is_some() || net.no_registering {
            net.fail(socket.pipe, OUT_OF_MEMORY);
            return Err(io::Error::from_raw_os_error(OUT_OF_MEMORY));
        }
        let pipe = &mut net.pipes[socket.pipe];
        assert!(pipe.key.is_none(), "a socket is registered once");
        pipe.key = Some((self.worker, Who::Connection(key)));
        Ok(())
    }

    fn connect(&mut self, _address: SocketAddr, id: OutboundId) -> io::Result<SimSocket> {
        let net = &mut *self.net.borrow_mut();
        if let Some(error) = net.fault(self.worker, &CONNECT_ERRORS) {
            return Err(io::Error::from_raw_os_error(error));
        }
        if net.open >= net.weather.descriptors {
            return Err(io::Error::from_raw_os_error(TOO_MANY_OPEN_FILES));
        }
        let pipe = net.dial((self.worker, Who::Outbound(id)));
        Ok(SimSocket { net: Rc::clone(&self.net), pipe })
    }

    fn finish_connect(&mut self, socket: &mut SimSocket) -> io::Result<()> {
        let net = &mut *self.net.borrow_mut();
        if let Some(error) = net.fault(self.worker, &CONNECT_ERRORS) {
            net.fail(socket.pipe, error);
            return Err(io::Error::from_raw_os_error(error));
        }
        let now_ms = net.now_ms;
        let pipe = &mut net.pipes[socket.pipe];
        if pipe.is_reset() {
            return Err(ErrorKind::ConnectionRefused.into());
        }
        if pipe.dialled_ms.is_some_and(|ms| ms > now_ms) {
            (pipe.read.armed, pipe.write.armed) = (true, true);
            return would_block();
        }
        Ok(())
    }

    fn read(&mut self, socket: &mut SimSocket, buffer: &mut [u8]) -> io::Result<usize> {
        let meanwhile = self.net.borrow_mut().before_read.take();
        if let Some(meanwhile) = meanwhile {
            meanwhile();
        }
        let net = &mut *self.net.borrow_mut();
        let (step, hiccups) = (net.weather.step_max, net.weather.hiccups);
        let most = net.random.usize(1..=step.min(buffer.len()));
        if net.chance(hiccups / 2) {
            return Err(ErrorKind::Interrupted.into());
        }
        if let Some(error) = net.fault(self.worker, &READ_ERRORS) {
            net.fail(socket.pipe, error);
            return Err(io::Error::from_raw_os_error(error));
        }
        let blocks = net.chance(hiccups);
        let pipe = &mut net.pipes[socket.pipe];
        pipe.reads += 1;
        if pipe.is_reset() {
            return Err(ErrorKind::ConnectionReset.into());
        }
        if blocks || pipe.to_server.arrived() == 0 && !pipe.is_finished() {
            pipe.read.armed = true;
            pipe.hang_up_is_news |= pipe.has_end();
            return would_block();
        }
        let most = if step == usize::MAX { buffer.len() } else { most };
        let count = most.min(pipe.to_server.arrived());
        for (place, byte) in buffer.iter_mut().zip(pipe.to_server.take(count)) {
            *place = byte;
        }
        pipe.read.armed |= count < buffer.len();
        net.polls[self.worker].progress += 1;
        Ok(count)
    }

    fn write(&mut self, socket: &mut SimSocket, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let net = &mut *self.net.borrow_mut();
        let offered: usize = slices.iter().map(|slice| slice.len()).sum();
        assert!(offered > 0, "nobody writes nothing: it would look like an end");
        let (step, hiccups) = (net.weather.step_max, net.weather.hiccups);
        if net.chance(hiccups / 2) {
            return Err(ErrorKind::Interrupted.into());
        }
        match net.fault(self.worker, &WRITE_ERRORS) {
            None => (),
            Some(0) => {
                net.pipes[socket.pipe].takes_nothing = 1;
                net.pipes[socket.pipe].excused = true;
            }
            Some(error) => {
                net.fail(socket.pipe, error);
                return Err(io::Error::from_raw_os_error(error));
            }
        }
        let pipe = &mut net.pipes[socket.pipe];
        if pipe.takes_nothing > 0 {
            pipe.takes_nothing += 1;
            assert!(pipe.takes_nothing < 10, "it writes and writes, and nothing is taken");
            return Ok(0);
        }
        let blocks = net.chance(hiccups);
        let room = net.weather.window.saturating_sub(net.pipes[socket.pipe].to_client.len());
        let most = offered.min(room).min(step);
        let most = if step == usize::MAX || most == 0 { most } else { net.random.usize(1..=most) };
        let pipe = &mut net.pipes[socket.pipe];
        if pipe.is_reset() {
            return Err(ErrorKind::BrokenPipe.into());
        }
        assert!(!pipe.shut, "nothing is written behind the end");
        if blocks || most == 0 {
            pipe.write.armed = true;
            return would_block();
        }
        let bytes = slices.iter().flat_map(|slice| slice.iter().copied());
        net.deliver(socket.pipe, bytes.take(most));
        let pipe = &mut net.pipes[socket.pipe];
        pipe.write.armed |= most < offered;
        net.polls[self.worker].progress += 1;
        Ok(most)
    }

    fn shut(&mut self, socket: &mut SimSocket) -> io::Result<()> {
        let net = &mut *self.net.borrow_mut();
        if let Some(error) = net.fault(self.worker, &SHUT_ERRORS) {
            net.pipes[socket.pipe].excused = true;
            return Err(io::Error::from_raw_os_error(error));
        }
        let pipe = &mut net.pipes[socket.pipe];
        pipe.shut = true;
        if pipe.is_reset() {
            return Err(ErrorKind::NotConnected.into());
        }
        net.end_to_client(socket.pipe);
        Ok(())
    }

    fn abandon(&mut self, socket: &mut SimSocket) {
        self.net.borrow_mut().pipes[socket.pipe].abandoned = true;
    }
}
