//! The invented operating system, clock and network below a server in one thread.
//!
//! It keeps to the letter of the contract of [`System`] and not an inch further: readiness is reported once,
//! and then not again before an operation has said `WouldBlock` or has moved fewer bytes than it could
//! have. Reads and writes may be short, reports late, spurious or about connections that are gone,
//! descriptors may run out, and any call may fail. Everything is drawn from one seed.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fastrand::Rng;
use tidings::key::ConnectionKey;
use tidings::reactor::{Readiness, Ring, System, Who};
use tidings::time::{Instant, Now};

/// EMFILE.
const TOO_MANY_OPEN_FILES: i32 = 24;
/// ENOMEM.
const OUT_OF_MEMORY: i32 = 12;
/// What accept(2) may say when there is no descriptor or memory: ENOMEM, ENFILE, EMFILE, ENOBUFS.
const EXHAUSTIONS: [i32; 4] = [OUT_OF_MEMORY, 23, TOO_MANY_OPEN_FILES, 105];
/// What it may say of the one connection that was to be accepted, and is gone then: EPERM, EPROTO,
/// ECONNABORTED, ECONNRESET, ETIMEDOUT.
const ABORTIONS: [i32; 5] = [1, 71, 103, 104, 110];
/// What read(2) may say: EPIPE, ECONNRESET, ETIMEDOUT, EHOSTUNREACH, ENOBUFS, ENOMEM.
const READ_ERRORS: [i32; 6] = [32, 104, 110, 113, 105, OUT_OF_MEMORY];
/// What write(2) may say, among them EPERM from a firewall; 0 stands for writing nothing.
const WRITE_ERRORS: [i32; 7] = [0, 1, 32, 104, 110, 105, OUT_OF_MEMORY];
/// What shutdown(2) may say: ENOTCONN, ENOBUFS.
const SHUT_ERRORS: [i32; 2] = [107, 105];
/// 2026-01-01T00:00:00Z.
const WALL_MS: u64 = 1_767_225_600_000;

/// What the network and the system do beside the least that they must.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Weather {
    /// Most bytes that one read moves, and one write.
    pub(crate) step_max: usize,
    /// Of 100 operations, so many fail with `WouldBlock` or `Interrupted` for no reason.
    pub(crate) hiccups: u8,
    /// Of 100 operations, so many fail with an error that the call may have.
    pub(crate) faults: u8,
    /// Of 100 reports, so many come a poll later; and as many come that nobody expects.
    pub(crate) late: u8,
    /// Bytes on their way to a client that does not read.
    pub(crate) window: usize,
    /// Sockets that the server may have open; more is EMFILE.
    pub(crate) descriptors: usize,
}

impl Weather {
    pub(crate) const FAIR: Self = Self {
        step_max: usize::MAX,
        hiccups: 0,
        faults: 0,
        late: 0,
        window: 64 * 1024,
        descriptors: 100_000,
    };

    /// Bad in some way or other.
    pub(crate) fn random(random: &mut Rng) -> Self {
        let step_max = [1, 7, 100, 5_000, usize::MAX];
        let window = [1, 100, 4_000, 64 * 1024];
        Self {
            step_max: step_max[random.usize(..step_max.len())],
            hiccups: random.u8(0..30),
            late: random.u8(0..30),
            window: window[random.usize(..window.len())],
            ..Self::FAIR
        }
    }
}

/// One connection as the network knows it.
#[derive(Debug, Default)]
pub(crate) struct Pipe {
    pub(crate) to_server: VecDeque<u8>,
    pub(crate) to_client: VecDeque<u8>,
    /// The client has closed its sending side, behind what is in `to_server`.
    pub(crate) finished: bool,
    pub(crate) reset: bool,
    /// The server has shut its sending side, or closed.
    pub(crate) shut: bool,
    /// The server has let go of it.
    pub(crate) closed: bool,
    pub(crate) key: Option<(usize, ConnectionKey)>,
    pub(crate) read: Interest,
    pub(crate) write: Interest,
    /// Reading says something that it has not said yet: the end, or an error.
    pub(crate) hang_up_is_news: bool,
    /// Writing moves nothing, and says so; from 1 on, how often it was tried.
    takes_nothing: u32,
    /// Closing it panics.
    pub(crate) breaks: bool,
    pub(crate) reads: u64,
}

/// Half of what epoll knows of a descriptor.
#[derive(Debug)]
pub(crate) struct Interest {
    /// A report may be given: none was since the last operation that found an end.
    armed: bool,
}

impl Default for Interest {
    fn default() -> Self {
        Self { armed: true }
    }
}

/// What one worker has asked of its system.
#[derive(Clone, Debug, Default)]
pub(crate) struct Polls {
    pub(crate) count: u64,
    /// Polls that were not to wait.
    pub(crate) hurried: u64,
    /// How long the last one was to wait.
    pub(crate) timeout_ms: Option<u64>,
    /// Reports that the last one gave.
    pub(crate) reports: usize,
    /// Whether the bell was among them.
    pub(crate) rung: bool,
    pub(crate) accepts: u64,
    /// Listeners: connections that were turned away.
    pub(crate) turned_away: u64,
    /// Calls but polls.
    pub(crate) calls: u64,
    /// Calls that moved something, and sockets closed.
    pub(crate) progress: u64,
    progress_before: u64,
    /// Turns in a row that were not to wait, of which nothing came.
    pub(crate) idle: u64,
    pub(crate) idle_max: u64,
}

#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) waiting: VecDeque<usize>,
    pub(crate) interest: Interest,
    pub(crate) closed: bool,
}

/// Everything outside the server's threads.
pub(crate) struct Net {
    pub(crate) now_ms: u64,
    pub(crate) random: Rng,
    pub(crate) weather: Weather,
    pub(crate) pipes: Vec<Pipe>,
    /// By worker, then by listener.
    pub(crate) listeners: Vec<Vec<Queue>>,
    pub(crate) polls: Vec<Polls>,
    /// Connections that are closed, where they were.
    pub(crate) gone: Vec<(usize, ConnectionKey)>,
    /// What accept says, by worker; it keeps its connection then.
    pub(crate) refusals: Vec<Option<i32>>,
    pub(crate) no_registering: bool,
    /// From 2 on: so many calls less one are made until one panics.
    pub(crate) ambush: u32,
    /// Reports to be given by worker, true or not.
    pub(crate) rumours: Vec<Vec<Readiness>>,
    pub(crate) open: usize,
    /// How long each worker has stood still without having been told yet.
    pub(crate) stalls: Vec<u64>,
    /// Bytes that clients have sent and received.
    pub(crate) moved: u64,
    /// A poll that waits moves the clock.
    pub(crate) time_flows: bool,
    /// What other threads and clients do while a worker is in the middle of its tick.
    pub(crate) before_read: Option<Box<dyn FnOnce()>>,
}

pub(crate) type Shared = Rc<RefCell<Net>>;

/// A worker's operating system.
pub(crate) struct Sim {
    pub(crate) worker: usize,
    pub(crate) net: Shared,
    pub(crate) bell: Arc<SimBell>,
}

/// The server's end of a connection.
pub(crate) struct SimSocket {
    net: Shared,
    pipe: usize,
}

impl Drop for SimSocket {
    fn drop(&mut self) {
        let mut net = self.net.borrow_mut();
        net.open -= 1;
        let pipe = &mut net.pipes[self.pipe];
        let key = pipe.key.take();
        (pipe.closed, pipe.shut) = (true, true);
        let breaks = std::mem::take(&mut pipe.breaks);
        if let Some((worker, key)) = key {
            net.polls[worker].progress += 1;
            net.gone.push((worker, key));
        }
        drop(net);
        assert!(!breaks, "a socket that panics when it is dropped");
    }
}

#[derive(Debug, Default)]
pub(crate) struct SimBell {
    rung: AtomicBool,
    woken: AtomicBool,
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
        !self.pipes[pipe].to_server.is_empty()
    }

    fn is_writable(&self, pipe: usize) -> bool {
        self.pipes[pipe].reset || self.pipes[pipe].to_client.len() < self.weather.window
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
        for pipe in 0..self.pipes.len() {
            let Some((at, key)) = self.pipes[pipe].key.filter(|(at, _)| *at == worker) else {
                continue;
            };
            debug_assert_eq!(at, worker, "filtered");
            let readable = self.pipes[pipe].read.armed && self.is_readable(pipe);
            let writable = self.pipes[pipe].write.armed && self.is_writable(pipe);
            let hung_up = self.pipes[pipe].hang_up_is_news;
            let is_rumour = self.chance(late / 3);
            if !(readable || writable || hung_up || is_rumour) || self.chance(late) {
                continue;
            }
            let state = &mut self.pipes[pipe];
            state.read.armed &= !readable;
            state.write.armed &= !writable;
            state.hang_up_is_news = false;
            reports.push(Readiness {
                who: Who::Connection(key),
                readable: readable || hung_up || is_rumour,
                writable: writable || is_rumour,
                hung_up,
            });
        }
        let gone = self.random.usize(..=self.gone.len());
        if let Some(&(at, key)) = self.gone.get(gone)
            && at == worker
            && self.chance(late)
        {
            let [readable, writable, hung_up] = [(); 3].map(|()| self.random.bool());
            reports.push(Readiness { who: Who::Connection(key), readable, writable, hung_up });
        }
        reports.append(&mut self.rumours[worker]);
        self.random.shuffle(reports);
    }

    /// Whether a worker would be told something now.
    pub(crate) fn has_reports(&self, worker: usize) -> bool {
        let listeners = &self.listeners[worker];
        let accept = |queue: &Queue| queue.interest.armed && !queue.waiting.is_empty();
        listeners.iter().any(accept)
            || !self.rumours[worker].is_empty()
            || self.pipes.iter().enumerate().any(|(index, pipe)| {
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
            net.now_ms += ms;
        }
        Ok(())
    }

    fn now(&mut self) -> Now {
        let now_ms = self.net.borrow().now_ms;
        Now { instant: Instant::from_ms(now_ms), wall_ms: WALL_MS + now_ms }
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
            let pipe = &mut net.pipes[pipe];
            (pipe.reset, pipe.closed, pipe.shut) = (true, true, true);
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
        (net.pipes[pipe].closed, net.pipes[pipe].shut) = (true, true);
        net.polls[self.worker].turned_away += 1;
        true
    }

    fn close_listeners(&mut self) {
        for queue in &mut self.net.borrow_mut().listeners[self.worker] {
            queue.closed = true;
        }
    }

    fn register(&mut self, socket: &mut SimSocket, key: ConnectionKey) -> io::Result<()> {
        let net = &mut *self.net.borrow_mut();
        if net.fault(self.worker, &[OUT_OF_MEMORY]).is_some() || net.no_registering {
            return Err(io::Error::from_raw_os_error(OUT_OF_MEMORY));
        }
        let pipe = &mut net.pipes[socket.pipe];
        assert!(pipe.key.is_none(), "a socket is registered once");
        pipe.key = Some((self.worker, key));
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
            net.pipes[socket.pipe].reset |= error != OUT_OF_MEMORY;
            return Err(io::Error::from_raw_os_error(error));
        }
        let blocks = net.chance(hiccups);
        let pipe = &mut net.pipes[socket.pipe];
        pipe.reads += 1;
        if pipe.reset {
            return Err(ErrorKind::ConnectionReset.into());
        }
        if blocks || pipe.to_server.is_empty() && !pipe.finished {
            pipe.read.armed = true;
            pipe.hang_up_is_news |= pipe.finished;
            return would_block();
        }
        let most = if step == usize::MAX { buffer.len() } else { most };
        let count = most.min(pipe.to_server.len());
        for (place, byte) in buffer.iter_mut().zip(pipe.to_server.drain(..count)) {
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
            Some(0) => net.pipes[socket.pipe].takes_nothing = 1,
            Some(error) => {
                net.pipes[socket.pipe].reset |= error != OUT_OF_MEMORY;
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
        if pipe.reset {
            return Err(ErrorKind::BrokenPipe.into());
        }
        assert!(!pipe.shut, "nothing is written behind the end");
        if blocks || most == 0 {
            pipe.write.armed = true;
            return would_block();
        }
        let bytes = slices.iter().flat_map(|slice| slice.iter().copied());
        pipe.to_client.extend(bytes.take(most));
        pipe.write.armed |= most < offered;
        net.polls[self.worker].progress += 1;
        Ok(most)
    }

    fn shut(&mut self, socket: &mut SimSocket) -> io::Result<()> {
        let net = &mut *self.net.borrow_mut();
        if let Some(error) = net.fault(self.worker, &SHUT_ERRORS) {
            return Err(io::Error::from_raw_os_error(error));
        }
        let pipe = &mut net.pipes[socket.pipe];
        pipe.shut = true;
        if pipe.reset { Err(ErrorKind::NotConnected.into()) } else { Ok(()) }
    }
}
