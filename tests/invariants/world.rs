//! A server in one thread: real event loops over an invented operating system, clock and network.
//!
//! The system keeps to the letter of the contract of [`System`] and not an inch further: readiness is
//! reported once, and then not again before an operation has said `WouldBlock` or has moved fewer bytes
//! than it could have. Reads and writes may be short, reports late, spurious or about connections that
//! are gone, and descriptors may run out. Everything is drawn from one seed.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fastrand::Rng;
use tidings::config::Config;
use tidings::key::ConnectionKey;
use tidings::reactor::{EventLoop, Post, Readiness, Ring, System, Who, connect};
use tidings::time::{Instant, Now};
use tidings::worker::Worker;

/// EMFILE.
const TOO_MANY_OPEN_FILES: i32 = 24;
/// 2026-01-01T00:00:00Z.
const WALL_MS: u64 = 1_767_225_600_000;

/// What the network and the system do beside the least that they must.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Weather {
    /// Most bytes that one read moves, and one write.
    pub(crate) step_max: usize,
    /// Of 100 operations, so many fail with `WouldBlock` or `Interrupted` for no reason.
    pub(crate) hiccups: u8,
    /// Of 100 reports, so many come a poll later; and as many come that nobody expects.
    pub(crate) late: u8,
    /// Bytes on their way to a client that does not read.
    pub(crate) window: usize,
    /// Sockets that the server may have open; more is EMFILE.
    pub(crate) descriptors: usize,
}

impl Weather {
    pub(crate) const FAIR: Self =
        Self { step_max: usize::MAX, hiccups: 0, late: 0, window: 64 * 1024, descriptors: 100_000 };

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

/// A connection, from the client's end.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Client(pub(crate) usize);

/// One connection as the network knows it.
#[derive(Debug, Default)]
struct Pipe {
    to_server: VecDeque<u8>,
    to_client: VecDeque<u8>,
    /// The client has closed its sending side, behind what is in `to_server`.
    finished: bool,
    reset: bool,
    /// The server has shut its sending side, or closed.
    shut: bool,
    /// The server has let go of it.
    closed: bool,
    key: Option<(usize, ConnectionKey)>,
    read: Interest,
    write: Interest,
    /// Reading says something that it has not said yet: the end, or an error.
    hang_up_is_news: bool,
    reads: u64,
}

/// Half of what epoll knows of a descriptor.
#[derive(Debug)]
struct Interest {
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
    pub(crate) accepts: u64,
    /// Listeners: connections that were turned away.
    pub(crate) turned_away: u64,
}

#[derive(Debug)]
struct Queue {
    waiting: VecDeque<usize>,
    interest: Interest,
    closed: bool,
}

/// Everything outside the server's threads.
struct Net {
    now_ms: u64,
    random: Rng,
    weather: Weather,
    pipes: Vec<Pipe>,
    /// By worker, then by listener.
    listeners: Vec<Vec<Queue>>,
    polls: Vec<Polls>,
    /// Reports to be given by worker, true or not.
    rumours: Vec<Vec<Readiness>>,
    open: usize,
    /// How long each worker has stood still without having been told yet.
    stalls: Vec<u64>,
    /// A poll that waits moves the clock.
    time_flows: bool,
    /// What other threads and clients do while a worker is in the middle of its tick.
    before_read: Option<Box<dyn FnOnce()>>,
}

type Shared = Rc<RefCell<Net>>;

/// A worker's operating system.
pub(crate) struct Sim {
    worker: usize,
    net: Shared,
    bell: Arc<SimBell>,
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
        (pipe.closed, pipe.shut, pipe.key) = (true, true, None);
    }
}

#[derive(Debug, Default)]
struct SimBell {
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
        reports.append(&mut self.rumours[worker]);
        self.random.shuffle(reports);
    }

    /// Whether a worker would be told something now.
    fn has_reports(&self, worker: usize) -> bool {
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
        net.reports(self.worker, reports);
        if self.bell.woken.swap(false, Ordering::SeqCst) {
            let who = Who::Mailbox;
            reports.push(Readiness { who, readable: true, writable: false, hung_up: false });
        }
        let polls = &mut net.polls[self.worker];
        polls.count += 1;
        polls.hurried += u64::from(timeout_ms == Some(0));
        (polls.timeout_ms, polls.reports) = (timeout_ms, reports.len());
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
        let queue = &mut net.listeners[self.worker][listener];
        if queue.waiting.is_empty() || queue.closed {
            queue.interest.armed = true;
            return would_block();
        }
        if net.open >= net.weather.descriptors {
            return Err(io::Error::from_raw_os_error(TOO_MANY_OPEN_FILES));
        }
        let pipe = queue.waiting.pop_front().expect("one waits");
        net.open += 1;
        let socket = SimSocket { net: Rc::clone(&self.net), pipe };
        Ok((socket, SocketAddr::from((Ipv4Addr::LOCALHOST, 1 + (pipe % 60_000) as u16))))
    }

    fn turn_away(&mut self, listener: usize) -> bool {
        let net = &mut *self.net.borrow_mut();
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
        let pipe = &mut self.net.borrow_mut().pipes[socket.pipe];
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
        Ok(most)
    }

    fn shut(&mut self, socket: &mut SimSocket) -> io::Result<()> {
        let pipe = &mut self.net.borrow_mut().pipes[socket.pipe];
        pipe.shut = true;
        if pipe.reset { Err(ErrorKind::NotConnected.into()) } else { Ok(()) }
    }
}

/// A server and its clients. A clone is the same server, for use in the middle of a tick.
#[derive(Clone)]
pub(crate) struct World {
    net: Shared,
    loops: Vec<Rc<RefCell<EventLoop<Sim>>>>,
    /// Workers whose thread stands still.
    pub(crate) stalled: Vec<bool>,
    pub(crate) random: Rng,
    /// The ways to the workers, as a thread of the server's own has them.
    pub(crate) post: Post<SimSocket>,
}

impl World {
    /// `config.workers` workers with a listener each.
    pub(crate) fn new(config: Config, weather: Weather, seed: u64) -> Self {
        Self::with_listeners(config, weather, seed, 1)
    }

    pub(crate) fn with_listeners(
        mut config: Config,
        weather: Weather,
        seed: u64,
        listeners: usize,
    ) -> Self {
        if config.connections_max == 0 {
            config.connections_max = 100_000;
        }
        let workers = config.workers;
        let mut random = Rng::with_seed(seed);
        let queue =
            || Queue { waiting: VecDeque::new(), interest: Interest::default(), closed: false };
        let queues = || (0..listeners).map(|_| queue()).collect();
        let net = Rc::new(RefCell::new(Net {
            now_ms: 0,
            random: random.fork(),
            weather,
            pipes: Vec::new(),
            listeners: (0..workers).map(|_| queues()).collect(),
            polls: vec![Polls::default(); workers],
            rumours: vec![Vec::new(); workers],
            open: 0,
            stalls: vec![0; workers],
            time_flows: false,
            before_read: None,
        }));
        let bells: Vec<Arc<SimBell>> = (0..workers).map(|_| Arc::default()).collect();
        let rings = bells.iter().map(|bell| Arc::clone(bell) as Arc<dyn Ring>).collect();
        let (post, mailboxes) = connect(rings);
        let hash_seed = random.u64(..);
        let drain_max_ms = config.limits.drain_max_ms;
        let config = Arc::new(config);
        let loops = mailboxes.into_iter().zip(bells).enumerate().map(|(id, (mailbox, bell))| {
            let system = Sim { worker: id, net: Rc::clone(&net), bell };
            let worker = Worker::new(Arc::clone(&config), id, hash_seed, random.fork());
            let post = post.clone();
            let event_loop =
                EventLoop::new(id, system, worker, mailbox, post, listeners, drain_max_ms);
            Rc::new(RefCell::new(event_loop))
        });
        let loops = loops.collect();
        Self { net, loops, stalled: vec![false; workers], random, post }
    }

    /// A client connects to a worker's listener.
    pub(crate) fn connect(&mut self, worker: usize) -> Client {
        self.connect_to(worker, 0)
    }

    pub(crate) fn connect_to(&mut self, worker: usize, listener: usize) -> Client {
        let net = &mut *self.net.borrow_mut();
        net.pipes.push(Pipe::default());
        let pipe = net.pipes.len() - 1;
        net.listeners[worker][listener].waiting.push_back(pipe);
        Client(pipe)
    }

    pub(crate) fn send(&mut self, client: Client, bytes: impl AsRef<[u8]>) {
        self.net.borrow_mut().pipes[client.0].to_server.extend(bytes.as_ref());
    }

    /// The client closes its sending side.
    pub(crate) fn finish(&mut self, client: Client) {
        let pipe = &mut self.net.borrow_mut().pipes[client.0];
        (pipe.finished, pipe.hang_up_is_news) = (true, true);
    }

    /// The client is gone, and everything that was on its way.
    pub(crate) fn reset(&mut self, client: Client) {
        let pipe = &mut self.net.borrow_mut().pipes[client.0];
        (pipe.reset, pipe.hang_up_is_news) = (true, true);
        pipe.to_server.clear();
        pipe.to_client.clear();
    }

    /// The client takes what is there.
    pub(crate) fn receive(&mut self, client: Client) -> Vec<u8> {
        self.receive_some(client, usize::MAX)
    }

    pub(crate) fn receive_some(&mut self, client: Client, most: usize) -> Vec<u8> {
        let pipe = &mut self.net.borrow_mut().pipes[client.0];
        let count = most.min(pipe.to_client.len());
        pipe.to_client.drain(..count).collect()
    }

    /// Whether the server has let go of the connection.
    pub(crate) fn is_closed(&self, client: Client) -> bool {
        self.net.borrow().pipes[client.0].closed
    }

    /// Where the connection is served, and under which key.
    pub(crate) fn key(&self, client: Client) -> Option<(usize, ConnectionKey)> {
        self.net.borrow().pipes[client.0].key
    }

    /// How often the server has tried to read from it.
    pub(crate) fn reads(&self, client: Client) -> u64 {
        self.net.borrow().pipes[client.0].reads
    }

    /// Bytes that the server has not read yet.
    pub(crate) fn unread(&self, client: Client) -> usize {
        self.net.borrow().pipes[client.0].to_server.len()
    }

    /// Just before any worker reads next, `meanwhile` happens: other workers' turns, other clients' acts.
    pub(crate) fn before_next_read(&mut self, meanwhile: impl FnOnce() + 'static) {
        self.net.borrow_mut().before_read = Some(Box::new(meanwhile));
    }

    /// The system of a worker will say this in its next poll, true or not.
    pub(crate) fn rumour(&mut self, worker: usize, report: Readiness) {
        self.net.borrow_mut().rumours[worker].push(report);
    }

    /// Sockets that the server has open.
    pub(crate) fn open(&self) -> usize {
        self.net.borrow().open
    }

    /// Connections that nobody has accepted yet.
    pub(crate) fn queued(&self, worker: usize, listener: usize) -> usize {
        self.net.borrow().listeners[worker][listener].waiting.len()
    }

    pub(crate) fn polls(&self, worker: usize) -> Polls {
        self.net.borrow().polls[worker].clone()
    }

    pub(crate) fn weather(&mut self, change: impl FnOnce(&mut Weather)) {
        change(&mut self.net.borrow_mut().weather);
    }

    /// From now on a poll that waits moves the clock. For one worker.
    pub(crate) fn let_time_flow(&mut self) {
        assert_eq!(self.loops.len(), 1, "time cannot be moved by several");
        self.net.borrow_mut().time_flows = true;
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.net.borrow().now_ms
    }

    /// Moves the clock, by itself.
    pub(crate) fn pass(&mut self, ms: u64) {
        self.net.borrow_mut().now_ms += ms;
    }

    /// The whole process stands still for so long.
    pub(crate) fn stall(&mut self, ms: u64) {
        self.pass(ms);
        self.net.borrow_mut().stalls.iter_mut().for_each(|stall| *stall += ms);
    }

    /// One turn of one worker. False when its drain is over.
    pub(crate) fn tick(&mut self, worker: usize) -> bool {
        self.loops[worker].borrow_mut().tick().expect("the invented system can be polled")
    }

    /// A turn of each worker that does not stand still, in any order. Whether one had something to do.
    pub(crate) fn round(&mut self) -> bool {
        let mut order: Vec<usize> = (0..self.loops.len()).collect();
        self.random.shuffle(&mut order);
        let mut worked = false;
        order.retain(|&worker| !self.stalled[worker]);
        for worker in order {
            worked |= self.net.borrow().has_reports(worker);
            self.tick(worker);
            let net = self.net.borrow();
            worked |= net.polls[worker].timeout_ms == Some(0) || net.has_reports(worker);
        }
        worked
    }

    /// Turns until nobody has anything to do at this moment of the clock.
    pub(crate) fn settle(&mut self) {
        // Each round moves something; a server that is busy for so long spins.
        for _ in 0..2_000_000 {
            if !self.round() && !self.round() {
                return;
            }
        }
        panic!("the server does not come to rest");
    }
}
