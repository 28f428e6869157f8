//! A server in one thread, over an operating system that takes every write whole and never waits.
//!
//! The one of the simulation is true to the letter of the contract, and spends a hundred times what the server
//! does. This one does next to nothing, so that what is counted is the server.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fastrand::Rng;
use tidings::config::{Config, Entrance};
use tidings::key::ConnectionKey;
use tidings::limits::Limits;
use tidings::reactor::{EventLoop, Readiness, Ring, System, Who, connect};
use tidings::time::{Instant, Now};
use tidings::worker::Worker;

/// 2026-01-01T00:00:00Z.
const BEGAN_MS: u64 = 1_767_225_600_000;
/// Messages that a topic retains: few, so that logs are full and trimmed from the first rounds on.
const LOG_MESSAGES: u32 = 32;

const ENTRANCE: [Entrance; 1] = [Entrance::Public { loopback: true }];

/// A server and its clients.
pub(crate) struct World {
    net: Rc<RefCell<Net>>,
    loops: Vec<EventLoop<Quiet>>,
}

/// A connection, from the client's end.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Client(usize);

/// What all workers' systems share.
#[derive(Default)]
struct Net {
    now_ms: u64,
    peers: Vec<Peer>,
    workers: Vec<Queue>,
    /// What the server has written, to whomever.
    written: Written,
}

/// How much was written.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) calls: u64,
    pub(crate) bytes: u64,
}

#[derive(Default)]
struct Queue {
    reports: Vec<Readiness>,
    waiting: VecDeque<usize>,
    bell: Arc<Bell>,
}

#[derive(Default)]
struct Peer {
    input: Vec<u8>,
    finished: bool,
    key: Option<(usize, ConnectionKey)>,
    /// What it was sent, if it listens.
    output: Option<Vec<u8>>,
}

impl World {
    /// So many workers, with the server's own limits but for the length of logs and what counts by time.
    pub(crate) fn new(workers: usize) -> Self {
        let limits = Limits {
            log_messages: LOG_MESSAGES,
            requests_max: u32::MAX,
            reads_per_second: 1_000_000,
            ..Limits::default()
        };
        let config = Config { workers, limits, connections_max: 100_000, ..Config::default() };
        let config = Arc::new(config);
        let mut net = Net::default();
        net.workers.resize_with(workers, Queue::default);
        let rings = net.workers.iter().map(|queue| Arc::clone(&queue.bell) as Arc<dyn Ring>);
        let (post, mailboxes) = connect(rings.collect(), config.budgets.mailbox);
        let net = Rc::new(RefCell::new(net));
        let mut random = Rng::with_seed(1);
        let loops = mailboxes.into_iter().enumerate().map(|(id, mailbox)| {
            let system = Quiet { net: Rc::clone(&net), worker: id };
            let worker = Worker::new(Arc::clone(&config), id, 1, random.fork());
            EventLoop::new(id, system, worker, mailbox, post.clone(), &ENTRANCE, &config)
        });
        let loops = loops.collect();
        Self { net, loops }
    }

    /// A client connects to a worker, and has sent this already when it is accepted.
    pub(crate) fn connect(&mut self, worker: usize, bytes: &[u8]) -> Client {
        let net = &mut *self.net.borrow_mut();
        let client = net.peers.len();
        net.peers.push(Peer { input: bytes.to_vec(), ..Peer::default() });
        let queue = &mut net.workers[worker];
        if queue.waiting.is_empty() {
            queue.report(Who::Listener(0));
        }
        queue.waiting.push_back(client);
        Client(client)
    }

    /// Many clients connect and send the same.
    pub(crate) fn crowd(&mut self, worker: usize, clients: usize, bytes: &[u8]) -> Vec<Client> {
        (0..clients).map(|_| self.connect(worker, bytes)).collect()
    }

    /// A client sends something, behind what it has sent.
    pub(crate) fn send(&mut self, client: Client, bytes: &[u8]) {
        let net = &mut *self.net.borrow_mut();
        let peer = &mut net.peers[client.0];
        peer.input.extend_from_slice(bytes);
        let (worker, key) = peer.key.expect("it was accepted");
        net.workers[worker].report(Who::Connection(key));
    }

    /// A client closes its sending side.
    pub(crate) fn finish(&mut self, client: Client) {
        self.net.borrow_mut().peers[client.0].finished = true;
        self.send(client, &[]);
    }

    /// From now on a client keeps what it is sent.
    pub(crate) fn listen(&mut self, client: Client) {
        self.net.borrow_mut().peers[client.0].output.get_or_insert_default();
    }

    /// What a client that listens was sent since this was asked last.
    pub(crate) fn heard(&mut self, client: Client) -> String {
        let net = &mut *self.net.borrow_mut();
        let output = net.peers[client.0].output.as_mut().expect("it listens");
        let heard = String::from_utf8(output.clone()).expect("it is text");
        output.clear();
        heard
    }

    /// Connections that are open.
    pub(crate) fn connections(&self) -> u64 {
        self.loops.iter().map(|one| one.worker().counters().connections()).sum()
    }

    /// Time goes by.
    pub(crate) fn pass(&mut self, ms: u64) {
        self.net.borrow_mut().now_ms += ms;
    }

    /// What was written since this was asked last.
    pub(crate) fn written(&mut self) -> Written {
        std::mem::take(&mut self.net.borrow_mut().written)
    }

    /// Turns of one worker until it has nothing to do.
    pub(crate) fn settle_one(&mut self, worker: usize) {
        loop {
            self.loops[worker].tick().expect("the invented system can be polled");
            if self.loops[worker].wait_ms() != Some(0) && self.is_quiet(worker) {
                return;
            }
        }
    }

    /// Turns until nobody has anything to do at this moment of the clock.
    pub(crate) fn settle(&mut self) {
        loop {
            (0..self.loops.len()).for_each(|worker| self.settle_one(worker));
            if (0..self.loops.len()).all(|worker| self.is_quiet(worker)) {
                return;
            }
        }
    }

    fn is_quiet(&self, worker: usize) -> bool {
        let queue = &self.net.borrow().workers[worker];
        queue.reports.is_empty() && !queue.bell.0.load(Ordering::Relaxed)
    }
}

impl Queue {
    fn report(&mut self, who: Who) {
        self.reports.push(Readiness { who, readable: true, writable: false, hung_up: false });
    }
}

/// Whether the bell was rung.
#[derive(Default)]
struct Bell(AtomicBool);

impl Ring for Bell {
    fn ring(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn quiet(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// A worker's operating system.
struct Quiet {
    net: Rc<RefCell<Net>>,
    worker: usize,
}

fn would_block<T>() -> io::Result<T> {
    Err(ErrorKind::WouldBlock.into())
}

impl System for Quiet {
    type Socket = usize;

    fn poll(&mut self, _timeout_ms: Option<u64>, reports: &mut Vec<Readiness>) -> io::Result<()> {
        reports.append(&mut self.net.borrow_mut().workers[self.worker].reports);
        Ok(())
    }

    fn now(&mut self) -> Now {
        let now_ms = self.net.borrow().now_ms;
        Now { instant: Instant::from_ms(now_ms), wall_ms: BEGAN_MS + now_ms }
    }

    fn accept(&mut self, _listener: usize) -> io::Result<(usize, SocketAddr)> {
        match self.net.borrow_mut().workers[self.worker].waiting.pop_front() {
            // An address of its own for every hundred: what a crowd behind many routers looks like.
            Some(peer) => {
                let address = Ipv4Addr::from_bits(0x0a00_0000 + peer as u32 / 100);
                Ok((peer, SocketAddr::from((address, 1_024 + (peer % 100) as u16))))
            }
            None => would_block(),
        }
    }

    fn turn_away(&mut self, _listener: usize) -> bool {
        unreachable!("there are descriptors enough")
    }

    fn close_listeners(&mut self) {}

    fn register(&mut self, socket: &mut usize, key: ConnectionKey) -> io::Result<()> {
        self.net.borrow_mut().peers[*socket].key = Some((self.worker, key));
        Ok(())
    }

    fn read(&mut self, socket: &mut usize, buffer: &mut [u8]) -> io::Result<usize> {
        let peer = &mut self.net.borrow_mut().peers[*socket];
        if peer.input.is_empty() && !peer.finished {
            return would_block();
        }
        let count = peer.input.len().min(buffer.len());
        buffer[..count].copy_from_slice(&peer.input[..count]);
        peer.input.drain(..count);
        Ok(count)
    }

    fn write(&mut self, socket: &mut usize, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let net = &mut *self.net.borrow_mut();
        let count = slices.iter().map(|slice| slice.len()).sum();
        net.written.calls += 1;
        net.written.bytes += count as u64;
        if let Some(output) = &mut net.peers[*socket].output {
            slices.iter().for_each(|slice| output.extend_from_slice(slice));
        }
        Ok(count)
    }

    fn shut(&mut self, _socket: &mut usize) -> io::Result<()> {
        Ok(())
    }
}
