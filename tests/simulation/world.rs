//! A server in one thread: real event loops over the invented operating system of `net`.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use fastrand::Rng;
use tidings::config::{Config, Entrance, Scope, TopicRule, TopicRules};
use tidings::fuse::Fuse;
use tidings::key::ConnectionKey;
use tidings::limits::Limits;
use tidings::reactor::{EventLoop, Parcel, Post, Readiness, Ring, Who, connect};
use tidings::worker::Worker;

pub(crate) use crate::net::Weather;
use crate::net::{End, Net, Polls, Shared};
use crate::system::{Pace, Sim, SimBell, SimSocket};

/// A connection, from the client's end.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Client(pub(crate) usize);

/// A server and its clients. A clone is the same server, for use in the middle of a tick.
#[derive(Clone)]
pub(crate) struct World {
    net: Shared,
    /// The network's number of its first worker: others may have workers there as well.
    first: usize,
    config: Config,
    listeners: usize,
    loops: Vec<Rc<RefCell<EventLoop<Sim>>>>,
    bells: Vec<Arc<SimBell>>,
    /// Workers whose thread has ended.
    ended: Vec<bool>,
    /// When each worker last came out of its poll.
    woken_ms: Vec<u64>,
    /// Workers that have to be told of a drain as soon as their mailbox has room.
    untold: Vec<bool>,
    /// The process was told to go away.
    pub(crate) is_draining: bool,
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
        config: Config,
        weather: Weather,
        seed: u64,
        listeners: usize,
    ) -> Self {
        let mut random = Rng::with_seed(seed);
        let net = Net::new(weather, random.fork(), config.workers, listeners);
        Self::start(Rc::new(RefCell::new(net)), 0, config, random, listeners)
    }

    /// Another server in the same network and time.
    pub(crate) fn beside(&self, config: Config, seed: u64) -> Self {
        let first = self.net.borrow().listeners.len();
        Self::start(Rc::clone(&self.net), first, config, Rng::with_seed(seed), self.listeners)
    }

    fn start(net: Shared, first: usize, mut config: Config, random: Rng, listeners: usize) -> Self {
        if config.connections_max == 0 {
            config.connections_max = 100_000;
        }
        let fuse = Fuse::for_tests();
        config.fuse = fuse.clone();
        let mut world = Self {
            net,
            first,
            config,
            listeners,
            loops: Vec::new(),
            bells: Vec::new(),
            ended: Vec::new(),
            untold: Vec::new(),
            is_draining: false,
            woken_ms: Vec::new(),
            stalled: Vec::new(),
            random,
            post: connect(Vec::new(), 0).0,
            fuse,
            may_panic: false,
        };
        world.boot();
        world
    }

    /// A process begins, with nothing of the one before.
    pub(crate) fn boot(&mut self) {
        self.is_draining = false;
        let workers = self.config.workers;
        self.net.borrow_mut().boot(self.first..self.first + workers, self.listeners);
        self.bells = (0..workers).map(|_| Arc::default()).collect();
        let rings = self.bells.iter().map(|bell| Arc::clone(bell) as Arc<dyn Ring>);
        let (post, mailboxes) = connect(rings.collect(), self.config.budgets.mailbox);
        let hash_seed = self.random.u64(..);
        let config = Arc::new(self.config.clone());
        let random = &mut self.random;
        let loops = mailboxes.into_iter().enumerate().map(|(id, mailbox)| {
            let (net, bell) = (Rc::clone(&self.net), Arc::clone(&self.bells[id]));
            let system = Sim { worker: self.first + id, net, bell, pace: Pace::default() };
            let worker = Worker::new(Arc::clone(&config), id, hash_seed, random.fork());
            let entrances = vec![Entrance::Public { loopback: true }; self.listeners];
            let post = post.clone();
            let event_loop = EventLoop::new(id, system, worker, mailbox, post, &entrances, &config);
            Rc::new(RefCell::new(event_loop))
        });
        self.loops = loops.collect();
        self.ended = vec![false; workers];
        self.untold = vec![false; workers];
        self.stalled = vec![false; workers];
        self.woken_ms = vec![self.now_ms(); workers];
        self.post = post;
    }

    /// The process ends, as it would with SIGKILL.
    pub(crate) fn kill(&mut self) {
        for worker in 0..self.loops.len() {
            self.net.borrow_mut().stop_listening(self.first + worker);
        }
        self.loops.clear();
        self.ended.clear();
        // Sockets that were in a channel go with it.
        self.post = connect(Vec::new(), 0).0;
    }

    /// Tells every worker to go away, as a thread of the server's own does.
    pub(crate) fn drain(&mut self) {
        self.is_draining = true;
        self.net.borrow_mut().drains += 1;
        for worker in 0..self.loops.len() {
            self.untold[worker] = true;
        }
        self.tell();
    }

    /// Gives every worker that has room in its mailbox another configuration. It says the same in other words,
    /// as the judge knows but one: a rule for every topic where there was none, and the other way round.
    pub(crate) fn reload(&mut self) {
        let Limits { log_messages, log_bytes, log_age_ms, .. } = self.config.limits;
        let every = TopicRule {
            log_messages: Some(log_messages),
            log_bytes: Some(log_bytes),
            log_age_ms: Some(log_age_ms),
            ..TopicRule::new(Scope::Prefix(String::new()))
        };
        let had_rule = self.config.topics.all().len() > 1;
        let rules = if had_rule { Vec::new() } else { vec![every] };
        self.config.topics = Arc::new(TopicRules::new(rules));
        let config = Arc::new(self.config.clone());
        for worker in 0..self.loops.len() {
            if self.post.send(worker, Parcel::Reload(Arc::clone(&config))).is_ok() {
                self.post.ring(worker);
            }
        }
    }

    /// What `Server::drainer` does: it waits for room in each mailbox.
    pub(crate) fn tell(&mut self) {
        for worker in 0..self.loops.len() {
            if self.untold[worker] && self.post.send(worker, Parcel::Drain).is_ok() {
                self.untold[worker] = false;
                self.post.ring(worker);
            }
        }
    }

    /// Whether a worker's thread has come to its end.
    pub(crate) fn has_ended(&self, worker: usize) -> bool {
        self.ended[worker]
    }

    /// Workers of the process that there is, or was last; of all, if there are several.
    pub(crate) fn listening(&self) -> usize {
        self.net.borrow().listeners.len()
    }

    /// Bytes that a client may take.
    pub(crate) fn arrived(&self, client: Client) -> usize {
        self.net.borrow().pipes[client.0].to_client.arrived()
    }

    /// How a connection has ended for its client, who has taken everything before.
    pub(crate) fn ended(&self, client: Client) -> Option<End> {
        self.net.borrow().pipes[client.0].to_client.ended()
    }

    /// Whether the server has closed a connection whose client had taken all that there was, while nothing
    /// had happened to either of them.
    pub(crate) fn is_unexplained(&self, client: Client) -> bool {
        self.net.borrow().pipes[client.0].unexplained
    }

    /// Whether something has happened to a connection for which the server may close it.
    pub(crate) fn is_excused(&self, client: Client) -> bool {
        self.net.borrow().pipes[client.0].excused
    }

    /// When something arrives next, anywhere; never: `u64::MAX`.
    pub(crate) fn next_arrival_ms(&self) -> u64 {
        self.net.borrow().next_arrival_ms()
    }

    /// Whether there is a process.
    pub(crate) fn is_up(&self) -> bool {
        !self.loops.is_empty()
    }

    /// Whether every worker's thread has come to its end, in a drain.
    pub(crate) fn is_over(&self) -> bool {
        self.is_up() && self.ended.iter().all(|&ended| ended)
    }

    /// Whether a worker would come out of its poll now.
    pub(crate) fn is_awake(&self, worker: usize) -> bool {
        let is_able = !self.stalled[worker] && !self.ended[worker];
        let net = self.net.borrow();
        is_able
            && (self.bells[worker].is_woken()
                || net.has_reports(self.first + worker)
                || self.wakes_at_ms(worker) <= net.now_ms)
    }

    /// When a worker comes out of its poll if nothing happens; never: `u64::MAX`.
    pub(crate) fn wakes_at_ms(&self, worker: usize) -> u64 {
        let wait_ms = self.loops[worker].borrow().wait_ms();
        if self.ended[worker] || self.stalled[worker] {
            return u64::MAX;
        }
        wait_ms.map_or(u64::MAX, |ms| self.woken_ms[worker].saturating_add(ms))
    }

    /// Looks at a worker, between two ticks.
    pub(crate) fn look<T>(&self, worker: usize, look: impl FnOnce(&Worker) -> T) -> T {
        look(self.loops[worker].borrow().worker())
    }

    /// Looks at the network.
    pub(crate) fn see<T>(&self, look: impl FnOnce(&Net) -> T) -> T {
        look(&self.net.borrow())
    }

    /// Looks at the network, or changes it.
    pub(crate) fn net<T>(&mut self, look: impl FnOnce(&mut Net) -> T) -> T {
        look(&mut self.net.borrow_mut())
    }

    /// A client connects to a worker's listener.
    pub(crate) fn connect(&mut self, worker: usize) -> Client {
        self.connect_to(worker, 0)
    }

    pub(crate) fn connect_to(&mut self, worker: usize, listener: usize) -> Client {
        Client(self.net.borrow_mut().connect(worker, listener))
    }

    pub(crate) fn send(&mut self, client: Client, bytes: impl AsRef<[u8]>) {
        self.net.borrow_mut().send(client.0, bytes.as_ref());
    }

    /// The client closes its sending side.
    pub(crate) fn finish(&mut self, client: Client) {
        self.net.borrow_mut().finish(client.0);
    }

    /// The client is gone, and everything that was on its way.
    pub(crate) fn reset(&mut self, client: Client) {
        self.net.borrow_mut().reset(client.0);
    }

    /// The client takes what is there.
    pub(crate) fn receive(&mut self, client: Client) -> Vec<u8> {
        self.receive_some(client, usize::MAX)
    }

    pub(crate) fn receive_some(&mut self, client: Client, most: usize) -> Vec<u8> {
        let net = &mut *self.net.borrow_mut();
        let bytes: Vec<u8> = net.pipes[client.0].to_client.take(most).collect();
        net.moved += bytes.len() as u64;
        bytes
    }

    /// Accepting fails with this error, and keeps its connection in the queue.
    pub(crate) fn refuse_accepts(&mut self, worker: usize, error: Option<i32>) {
        self.net.borrow_mut().refusals[self.first + worker] = error;
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
        let key = self.net.borrow().pipes[client.0].key;
        key.and_then(|(worker, who)| match who {
            Who::Connection(key) => Some((worker, key)),
            _ => None,
        })
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
        self.net.borrow_mut().rumours[self.first + worker].push(report);
    }

    pub(crate) fn workers(&self) -> usize {
        self.loops.len()
    }

    /// How often a process was told to go away, of whichever server.
    pub(crate) fn drains(&self) -> u64 {
        self.net.borrow().drains
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
        self.net.borrow().polls[self.first + worker].clone()
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
        self.net.borrow_mut().pass(ms);
    }

    /// The whole process stands still for so long.
    pub(crate) fn stall(&mut self, ms: u64) {
        self.pass(ms);
        let workers = self.first..self.first + self.loops.len();
        self.net.borrow_mut().stalls[workers].iter_mut().for_each(|stall| *stall += ms);
    }

    /// One turn of one worker. False when its drain is over.
    pub(crate) fn tick(&mut self, worker: usize) -> bool {
        self.try_tick(worker).expect("the invented system can be polled")
    }

    /// The same, when it may fail.
    pub(crate) fn try_tick(&mut self, worker: usize) -> io::Result<bool> {
        self.woken_ms[worker] = self.now_ms();
        let result = self.loops[worker].borrow_mut().tick();
        self.ended[worker] |= matches!(result, Ok(false));
        self.tell();
        let restarts = self.look(worker, |worker| worker.counters().restarts);
        assert!(self.may_panic || restarts == 0, "worker {worker} has panicked");
        result
    }

    /// A turn of each worker that does not stand still, in any order. Whether one had something to do.
    pub(crate) fn round(&mut self) -> bool {
        let mut order: Vec<usize> = (0..self.loops.len()).collect();
        self.random.shuffle(&mut order);
        let mut worked = false;
        order.retain(|&worker| !self.stalled[worker]);
        for worker in order {
            worked |= self.net.borrow().has_reports(self.first + worker);
            if !self.tick(worker) {
                continue;
            }
            let net = self.net.borrow();
            worked |= self.loops[worker].borrow().wait_ms() == Some(0)
                || net.polls[self.first + worker].rung
                || net.has_reports(self.first + worker);
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
