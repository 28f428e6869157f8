//! A server in one thread: real event loops over the invented operating system of `net`.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use fastrand::Rng;
use tidings::config::Config;
use tidings::fuse::Fuse;
use tidings::key::ConnectionKey;
use tidings::reactor::{EventLoop, Post, Readiness, Ring, connect};
use tidings::worker::Worker;

pub(crate) use crate::net::Weather;
use crate::net::{Interest, Net, Pipe, Polls, Queue, Shared, Sim, SimBell, SimSocket};

/// A connection, from the client's end.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Client(pub(crate) usize);

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
    /// Makes workers panic.
    pub(crate) fuse: Fuse,
    /// A worker that panics is what the test is about. Otherwise it fails.
    pub(crate) may_panic: bool,
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
        let fuse = Fuse::for_tests();
        config.fuse = fuse.clone();
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
            gone: Vec::new(),
            refusals: vec![None; workers],
            no_registering: false,
            ambush: 0,
            rumours: vec![Vec::new(); workers],
            open: 0,
            stalls: vec![0; workers],
            moved: 0,
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
        Self { net, loops, stalled: vec![false; workers], random, post, fuse, may_panic: false }
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
        let net = &mut *self.net.borrow_mut();
        net.pipes[client.0].to_server.extend(bytes.as_ref());
        net.moved += bytes.as_ref().len() as u64;
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
        let net = &mut *self.net.borrow_mut();
        let pipe = &mut net.pipes[client.0];
        let count = most.min(pipe.to_client.len());
        net.moved += count as u64;
        pipe.to_client.drain(..count).collect()
    }

    /// Accepting fails with this error, and keeps its connection in the queue.
    pub(crate) fn refuse_accepts(&mut self, worker: usize, error: Option<i32>) {
        self.net.borrow_mut().refusals[worker] = error;
    }

    /// No socket can be registered, for want of memory.
    pub(crate) fn fail_registering(&mut self, fails: bool) {
        self.net.borrow_mut().no_registering = fails;
    }

    /// The `calls`th system call from now on panics; 0: none does. Whether the last ambush is still laid.
    pub(crate) fn ambush(&mut self, calls: u32) -> bool {
        let next = if calls > 0 { calls + 1 } else { 0 };
        std::mem::replace(&mut self.net.borrow_mut().ambush, next) > 1
    }

    /// Dropping the server's end of it will panic.
    pub(crate) fn sabotage(&mut self, client: Client) {
        self.net.borrow_mut().pipes[client.0].breaks = true;
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

    pub(crate) fn workers(&self) -> usize {
        self.loops.len()
    }

    /// Bytes that clients have sent and received so far.
    pub(crate) fn moved(&self) -> u64 {
        self.net.borrow().moved
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
        self.try_tick(worker).expect("the invented system can be polled")
    }

    /// The same, when it may fail.
    pub(crate) fn try_tick(&mut self, worker: usize) -> io::Result<bool> {
        let mut event_loop = self.loops[worker].borrow_mut();
        let result = event_loop.tick();
        assert!(
            self.may_panic || event_loop.worker().counters().restarts == 0,
            "worker {worker} has panicked"
        );
        result
    }

    /// A turn of each worker that does not stand still, in any order. Whether one had something to do.
    pub(crate) fn round(&mut self) -> bool {
        let mut order: Vec<usize> = (0..self.loops.len()).collect();
        self.random.shuffle(&mut order);
        let mut worked = false;
        order.retain(|&worker| !self.stalled[worker]);
        for worker in order {
            worked |= self.net.borrow().has_reports(worker);
            if !self.tick(worker) {
                continue;
            }
            let net = self.net.borrow();
            worked |= self.loops[worker].borrow().wait_ms() == Some(0)
                || net.polls[worker].rung
                || net.has_reports(worker);
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
