//! The invented network and clock below a server in one thread, and what one may do to them.
//!
//! A connection is two ways with a delay and a rate each: what is sent has left at once and arrives later, in
//! order. An end and a reset travel behind the bytes. Whoever closes with bytes unread resets the
//! connection, as TCP does (RFC 1122 §4.2.2.13). `system` is the server's side of it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;

use fastrand::Rng;
use tidings::reactor::{Readiness, Who};

/// 2026-01-01T00:00:00Z.
const WALL_MS: u64 = 1_767_225_600_000;

/// After so long without an acknowledgement a peer is given up: `--user-timeout`.
const USER_TIMEOUT_MS: u64 = 30_000;
/// ENOMEM.
pub(crate) const OUT_OF_MEMORY: i32 = 12;

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
    /// Longest that anything is on its way, in milliseconds; each connection has its own delay up to it.
    pub(crate) delay_ms: u64,
    /// Bytes in a millisecond, each way; 0: any number.
    pub(crate) rate: usize,
    /// A reset takes with it what the client has not taken yet, and closing with bytes unread is one.
    pub(crate) harsh: bool,
}

impl Weather {
    pub(crate) const FAIR: Self = Self {
        step_max: usize::MAX,
        hiccups: 0,
        faults: 0,
        late: 0,
        window: 64 * 1024,
        descriptors: 100_000,
        delay_ms: 0,
        rate: 0,
        harsh: false,
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

/// How one way of a connection has ended.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// There is nothing behind the bytes.
    Finished,
    /// Something is missing, who knows what.
    Reset,
}

/// One way of a connection.
#[derive(Debug, Default)]
pub(crate) struct Way {
    /// Sent and not taken yet.
    bytes: VecDeque<u8>,
    /// How many of them are there.
    arrived: usize,
    /// When the others will be.
    flights: VecDeque<(u64, usize)>,
    delay_ms: u64,
    rate: usize,
    /// When the last byte, so far, arrives.
    last_ms: u64,
    /// How it ends, and when that arrives.
    ending: Option<(End, u64)>,
    /// The same, when it has arrived.
    end: Option<End>,
}

impl Way {
    fn new(delay_ms: u64, rate: usize) -> Self {
        Self { delay_ms, rate, ..Self::default() }
    }

    pub(crate) fn send(&mut self, now_ms: u64, bytes: impl Iterator<Item = u8>) {
        let before = self.bytes.len();
        self.bytes.extend(bytes);
        let count = self.bytes.len() - before;
        let took_ms = count.checked_div(self.rate).unwrap_or(0) as u64;
        self.last_ms = self.last_ms.max(now_ms + self.delay_ms) + took_ms;
        self.flights.push_back((self.last_ms, count));
        self.arrive(now_ms);
    }

    fn end(&mut self, end: End, now_ms: u64) {
        if self.ending.is_none_or(|(before, _)| before == End::Finished && end == End::Reset) {
            self.ending = Some((end, self.last_ms.max(now_ms + self.delay_ms)));
        }
    }

    /// Whether an end has arrived that had not before.
    fn arrive(&mut self, now_ms: u64) -> bool {
        while let Some(&(at_ms, count)) = self.flights.front()
            && at_ms <= now_ms
        {
            self.arrived += count;
            self.flights.pop_front();
        }
        let end = self.ending.filter(|&(_, at_ms)| at_ms <= now_ms).map(|(end, _)| end);
        std::mem::replace(&mut self.end, end) != end
    }

    fn clear(&mut self) {
        (self.bytes, self.flights, self.arrived) = (VecDeque::new(), VecDeque::new(), 0);
    }

    pub(crate) fn take(&mut self, most: usize) -> impl Iterator<Item = u8> + '_ {
        let count = most.min(self.arrived);
        self.arrived -= count;
        self.bytes.drain(..count)
    }

    /// Bytes that may be taken.
    pub(crate) fn arrived(&self) -> usize {
        self.arrived
    }

    /// Bytes that were sent and not taken.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// How it has ended, once everything before the end was taken.
    pub(crate) fn ended(&self) -> Option<End> {
        self.end.filter(|_| self.bytes.is_empty())
    }

    fn next_arrival_ms(&self) -> u64 {
        let flight = self.flights.front().map(|&(at_ms, _)| at_ms);
        let end = self.ending.filter(|_| self.end.is_none()).map(|(_, at_ms)| at_ms);
        flight.unwrap_or(u64::MAX).min(end.unwrap_or(u64::MAX))
    }
}

/// One connection as the network knows it.
#[derive(Debug, Default)]
pub(crate) struct Pipe {
    pub(crate) to_server: Way,
    pub(crate) to_client: Way,
    /// The server has shut its sending side, or closed.
    pub(crate) shut: bool,
    /// The server has let go of it.
    pub(crate) closed: bool,
    /// It is to be reset when the server closes it.
    pub(crate) abandoned: bool,
    pub(crate) vanished: bool,
    /// At which worker it is registered, and under which name.
    pub(crate) key: Option<(usize, Who)>,
    pub(crate) read: Interest,
    pub(crate) write: Interest,
    /// Reading says something that it has not said yet: the end, or an error.
    pub(crate) hang_up_is_news: bool,
    /// Writing moves nothing, and says so; from 1 on, how often it was tried.
    pub(crate) takes_nothing: u32,
    /// Closing it panics.
    pub(crate) breaks: bool,
    pub(crate) reads: u64,
    /// The client has let go of it.
    released: bool,
    /// Something has happened for which the server may close it.
    pub(crate) excused: bool,
    /// The server has closed it for no reason.
    pub(crate) unexplained: bool,
    /// The server has begun it, and finds out then what has become of that. Its peer is the client.
    pub(crate) dialled_ms: Option<u64>,
}

impl Pipe {
    pub(crate) fn is_reset(&self) -> bool {
        self.to_server.end == Some(End::Reset)
    }

    /// The client's end, of whatever kind, has arrived, perhaps with bytes before it.
    pub(crate) fn has_end(&self) -> bool {
        self.to_server.end.is_some()
    }

    /// The client has closed its sending side, and the server has read all before it.
    pub(crate) fn is_finished(&self) -> bool {
        self.to_server.ended() == Some(End::Finished)
    }

    /// Something between them breaks the connection for both, at once.
    pub(crate) fn break_off(&mut self, now_ms: u64, harsh: bool) {
        self.excused = true;
        for way in [&mut self.to_server, &mut self.to_client] {
            way.last_ms = 0;
            way.ending = Some((End::Reset, now_ms));
        }
        self.hang_up_is_news = true;
        self.arrive(now_ms, harsh);
    }

    fn arrive(&mut self, now_ms: u64, harsh: bool) {
        self.hang_up_is_news |= self.to_server.arrive(now_ms);
        if self.is_reset() {
            self.to_server.clear();
        }
        self.to_client.arrive(now_ms);
        if harsh && self.to_client.end == Some(End::Reset) {
            self.to_client.clear();
        }
    }
}

/// Half of what epoll knows of a descriptor.
#[derive(Debug)]
pub(crate) struct Interest {
    /// A report may be given: none was since the last operation that found an end.
    pub(crate) armed: bool,
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
    pub(crate) progress_before: u64,
    /// Turns in a row that were not to wait, of which nothing came.
    pub(crate) idle: u64,
    pub(crate) idle_max: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    pub(crate) waiting: VecDeque<usize>,
    pub(crate) interest: Interest,
    pub(crate) closed: bool,
}

/// Everything outside the server's threads.
pub(crate) struct Net {
    pub(crate) now_ms: u64,
    /// How far the wall clock is ahead of where it began, beside the time that went by.
    pub(crate) wall_ahead_ms: i64,
    pub(crate) random: Rng,
    pub(crate) weather: Weather,
    pub(crate) pipes: Vec<Pipe>,
    /// Places in `pipes` that both ends have let go of.
    free: Vec<usize>,
    /// Places in `pipes` that somebody holds.
    live: Vec<usize>,
    /// By worker, then by listener.
    pub(crate) listeners: Vec<Vec<Queue>>,
    pub(crate) polls: Vec<Polls>,
    /// Connections that are closed, where they were.
    pub(crate) gone: Vec<(usize, Who)>,
    /// What accept says, by worker; it keeps its connection then.
    pub(crate) refusals: Vec<Option<i32>>,
    pub(crate) no_registering: bool,
    /// From 2 on: so many calls less one are made until one panics.
    pub(crate) ambush: u32,
    /// Reports to be given by worker, true or not.
    pub(crate) rumours: Vec<Vec<Readiness>>,
    /// Connections that servers have accepted.
    pub(crate) open: usize,
    /// Connections that servers have dialled.
    pub(crate) dialled: usize,
    /// What was dialled, and not taken yet.
    pub(crate) calls: Vec<usize>,
    /// Whoever dials finds somebody.
    pub(crate) answers_calls: bool,
    /// Workers find out by the clock that they stood still.
    pub(crate) keeps_pace: bool,
    /// How long each worker has stood still without having been told yet.
    pub(crate) stalls: Vec<u64>,
    /// Bytes that clients have sent and received.
    pub(crate) moved: u64,
    /// How often a process was told to go away.
    pub(crate) drains: u64,
    /// A poll that waits moves the clock.
    pub(crate) time_flows: bool,
    /// What other threads and clients do while a worker is in the middle of its tick.
    pub(crate) before_read: Option<Box<dyn FnOnce()>>,
}

pub(crate) type Shared = Rc<RefCell<Net>>;

impl Net {
    pub(crate) fn new(weather: Weather, random: Rng, workers: usize, listeners: usize) -> Self {
        let mut net = Self {
            now_ms: 0,
            wall_ahead_ms: 0,
            random,
            weather,
            pipes: Vec::new(),
            free: Vec::new(),
            live: Vec::new(),
            listeners: Vec::new(),
            polls: Vec::new(),
            gone: Vec::new(),
            refusals: vec![None; workers],
            no_registering: false,
            ambush: 0,
            rumours: Vec::new(),
            open: 0,
            dialled: 0,
            calls: Vec::new(),
            answers_calls: false,
            keeps_pace: false,
            stalls: Vec::new(),
            moved: 0,
            drains: 0,
            time_flows: false,
            before_read: None,
        };
        net.boot(0..workers, listeners);
        net
    }

    /// A process begins to listen, whose workers have these numbers.
    pub(crate) fn boot(&mut self, workers: Range<usize>, listeners: usize) {
        let count = self.listeners.len().max(workers.end);
        self.listeners.resize_with(count, Vec::new);
        self.polls.resize_with(count, Polls::default);
        self.rumours.resize_with(count, Vec::new);
        self.stalls.resize(count, 0);
        self.refusals.resize(count, None);
        for worker in workers.clone() {
            self.listeners[worker] = (0..listeners).map(|_| Queue::default()).collect();
            self.polls[worker] = Polls::default();
            self.rumours[worker].clear();
            self.stalls[worker] = 0;
        }
        self.gone.retain(|(worker, _)| !workers.contains(worker));
    }

    /// A worker's listeners are closed: whoever waits in them is sent away.
    pub(crate) fn stop_listening(&mut self, worker: usize) {
        for listener in 0..self.listeners[worker].len() {
            let queue = &mut self.listeners[worker][listener];
            queue.closed = true;
            for pipe in std::mem::take(&mut queue.waiting) {
                self.drop_unaccepted(pipe);
            }
        }
    }

    /// A connection that the server never had is reset.
    pub(crate) fn drop_unaccepted(&mut self, pipe: usize) {
        let (now_ms, harsh) = (self.now_ms, self.weather.harsh);
        let state = &mut self.pipes[pipe];
        (state.closed, state.shut) = (true, true);
        state.break_off(now_ms, harsh);
        self.recycle(pipe);
    }

    /// A system call on a connection has failed; but for ENOMEM, it is broken.
    pub(crate) fn fail(&mut self, pipe: usize, error: i32) {
        self.pipes[pipe].excused = true;
        if error != OUT_OF_MEMORY {
            self.pipes[pipe].break_off(self.now_ms, self.weather.harsh);
        }
    }

    /// The server has shut its sending side.
    pub(crate) fn end_to_client(&mut self, pipe: usize) {
        let (now_ms, harsh) = (self.now_ms, self.weather.harsh);
        let state = &mut self.pipes[pipe];
        state.to_client.end(End::Finished, now_ms);
        state.arrive(now_ms, harsh);
    }

    pub(crate) fn wall_ms(&self) -> u64 {
        WALL_MS.saturating_add(self.now_ms).saturating_add_signed(self.wall_ahead_ms)
    }

    /// A client connects: to this listener, if it is still open.
    pub(crate) fn connect(&mut self, worker: usize, listener: usize) -> usize {
        let (delay_ms, rate) = (self.random.u64(0..=self.weather.delay_ms), self.weather.rate);
        let way = || Way::new(delay_ms, rate);
        let mut fresh = Pipe { to_server: way(), to_client: way(), ..Pipe::default() };
        let is_closed = self.listeners[worker][listener].closed;
        if is_closed {
            (fresh.closed, fresh.shut) = (true, true);
            fresh.break_off(self.now_ms, true);
        }
        let pipe = self.add(fresh);
        if !is_closed {
            self.listeners[worker][listener].waiting.push_back(pipe);
        }
        pipe
    }

    fn add(&mut self, fresh: Pipe) -> usize {
        let pipe = match self.free.pop() {
            Some(pipe) => {
                self.pipes[pipe] = fresh;
                pipe
            }
            None => {
                self.pipes.push(fresh);
                self.pipes.len() - 1
            }
        };
        self.live.push(pipe);
        pipe
    }

    /// A server dials. It is told later whether anybody was there.
    pub(crate) fn dial(&mut self, key: (usize, Who)) -> usize {
        let (delay_ms, rate) = (self.random.u64(0..=self.weather.delay_ms), self.weather.rate);
        let way = || Way::new(delay_ms, rate);
        let mut fresh = Pipe { to_server: way(), to_client: way(), ..Pipe::default() };
        (fresh.key, fresh.dialled_ms) = (Some(key), Some(self.now_ms + delay_ms));
        self.dialled += 1;
        let pipe = self.add(fresh);
        if self.answers_calls {
            self.calls.push(pipe);
        } else {
            let state = &mut self.pipes[pipe];
            state.released = true;
            state.to_server.end(End::Reset, self.now_ms);
            state.arrive(self.now_ms, true);
        }
        pipe
    }

    /// The client sends. Whoever sends to a closed socket is told so.
    pub(crate) fn send(&mut self, pipe: usize, bytes: &[u8]) {
        let (now_ms, harsh) = (self.now_ms, self.weather.harsh);
        let state = &mut self.pipes[pipe];
        // What crosses with the end of an idle connection is nobody's fault.
        state.unexplained = false;
        if state.closed && harsh {
            state.to_client.end(End::Reset, now_ms);
            state.arrive(now_ms, harsh);
        } else if !state.vanished && state.to_server.ending.is_none() {
            state.to_server.send(now_ms, bytes.iter().copied());
            self.moved += bytes.len() as u64;
        }
    }

    /// The server sends.
    pub(crate) fn deliver(&mut self, pipe: usize, bytes: impl Iterator<Item = u8>) {
        let (now_ms, harsh) = (self.now_ms, self.weather.harsh);
        let state = &mut self.pipes[pipe];
        if state.released {
            // Nobody takes it: the answer is a reset.
            state.to_server.end(End::Reset, now_ms);
            state.arrive(now_ms, harsh);
        } else if state.vanished {
            // It is kept for a peer that never acknowledges it, up to TCP_USER_TIMEOUT.
            state.to_client.bytes.extend(bytes);
            state.to_server.end(End::Reset, now_ms + USER_TIMEOUT_MS);
        } else {
            state.to_client.send(now_ms, bytes);
        }
    }

    /// The client closes its sending side.
    pub(crate) fn finish(&mut self, pipe: usize) {
        let pipe = &mut self.pipes[pipe];
        if pipe.vanished {
            return;
        }
        pipe.to_server.end(End::Finished, self.now_ms);
        pipe.arrive(self.now_ms, self.weather.harsh);
    }

    /// The client has gone, and tells so.
    pub(crate) fn reset(&mut self, pipe: usize) {
        let pipe = &mut self.pipes[pipe];
        pipe.to_client.clear();
        if pipe.vanished {
            return;
        }
        // A reset overtakes nothing, but what it catches up with is lost.
        pipe.to_server.end(End::Reset, self.now_ms);
        pipe.arrive(self.now_ms, self.weather.harsh);
    }

    /// Something between them breaks a connection, at once.
    pub(crate) fn cut(&mut self, pipe: usize) {
        self.pipes[pipe].break_off(self.now_ms, self.weather.harsh);
    }

    /// Whatever the server does to the connections that there are now, it has a reason.
    pub(crate) fn excuse_all(&mut self) {
        for &pipe in &self.live {
            (self.pipes[pipe].excused, self.pipes[pipe].unexplained) = (true, false);
        }
    }

    /// Nothing gets through any more, and nobody is told.
    pub(crate) fn vanish(&mut self, pipe: usize) {
        self.pipes[pipe].vanished = true;
        self.pipes[pipe].excused = true;
    }

    /// The client will never look at this connection again.
    pub(crate) fn release(&mut self, pipe: usize) {
        self.pipes[pipe].released = true;
        self.recycle(pipe);
    }

    /// The server lets go of a connection.
    pub(crate) fn close(&mut self, pipe: usize) -> bool {
        match self.pipes[pipe].dialled_ms {
            Some(_) => self.dialled -= 1,
            None => self.open -= 1,
        }
        let (now_ms, harsh) = (self.now_ms, self.weather.harsh);
        let state = &mut self.pipes[pipe];
        let key = state.key.take();
        (state.closed, state.shut) = (true, true);
        let breaks = std::mem::take(&mut state.breaks);
        let is_idle = state.to_client.len() == 0 && state.to_server.len() == 0;
        state.unexplained = is_idle && !state.excused && state.to_server.ending.is_none();
        let is_reset = state.abandoned || harsh && state.to_server.arrived() > 0;
        state.to_client.end(if is_reset { End::Reset } else { End::Finished }, now_ms);
        state.arrive(now_ms, harsh);
        if let Some((worker, key)) = key {
            self.polls[worker].progress += 1;
            self.gone.push((worker, key));
        }
        self.recycle(pipe);
        breaks
    }

    fn recycle(&mut self, pipe: usize) {
        if self.pipes[pipe].released && self.pipes[pipe].closed {
            self.live.retain(|&live| live != pipe);
            self.free.push(pipe);
        }
    }

    /// Time goes by.
    pub(crate) fn pass(&mut self, ms: u64) {
        self.now_ms += ms;
        for &pipe in &self.live {
            self.pipes[pipe].arrive(self.now_ms, self.weather.harsh);
        }
    }

    /// When something arrives next, at either end; never: `u64::MAX`.
    pub(crate) fn next_arrival_ms(&self) -> u64 {
        let pipes = self.live.iter().map(|&pipe| &self.pipes[pipe]);
        let arrivals = pipes.map(|pipe| {
            let to_client = if pipe.released { u64::MAX } else { pipe.to_client.next_arrival_ms() };
            let dialled_ms = pipe.dialled_ms.filter(|&ms| ms > self.now_ms).unwrap_or(u64::MAX);
            let to_server = pipe.to_server.next_arrival_ms().min(dialled_ms);
            to_client.min(if pipe.closed { u64::MAX } else { to_server })
        });
        arrivals.min().unwrap_or(u64::MAX)
    }

    pub(crate) fn live(&self) -> &[usize] {
        &self.live
    }
}
