//! Workers without threads, an invented clock, and sockets that take and give what they are told to: the
//! event loop's tick, step by step, with nothing below it.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use fastrand::Rng;

use super::super::{Letter, Worker};
use crate::config::{Config, Entrance, Origins};
use crate::counters::CloseReason;
use crate::key::ConnectionKey;
use crate::limits::{Budgets, Limits, PIPELINE_BYTES_MAX, SLICES_PER_WRITE};
use crate::time::{Instant, Now};

const TURNS_PER_TICK: usize = Budgets::DEFAULT.turns_per_tick;

/// Bytes that one read takes at most.
const READ_BYTES_MAX: usize = 8 * 1024;
/// Turns of the loop in which little is read at a time; a script is to come to its end.
const BYTEWISE_TICKS_MAX: usize = 500;
/// Turns of the loop in which everything that can be done without the clock must be done.
const TICKS_MAX: usize = 3_000;
/// Bytes that one answer or message may add to what a connection owes.
const ANSWER_BYTES_MAX: usize = 32 * 1024;

/// Small, so that a short script comes to every bound.
pub(super) fn limits() -> Limits {
    static LIMITS: OnceLock<Limits> = OnceLock::new();
    LIMITS.get_or_init(small_limits).clone()
}

fn small_limits() -> Limits {
    Limits {
        head_bytes_max: 2_048,
        target_bytes_max: 512,
        fields_max: 16,
        body_bytes_max: 2_048,
        drop_bytes_max: 512,
        requests_max: 40,
        outbox_bytes_max: 2_048,
        replay_page: 5,
        poll_bytes_max: 2_048,
        wait_max_ms: 5_000,
        topics_per_connection: 4,
        websocket_message_bytes_max: 1_024,
        websocket_fragments_max: 8,
        log_messages: 8,
        log_bytes: 16 * 1_024,
        log_age_ms: 90_000,
        topics_max: 6,
        topic_idle_ms: 30_000,
        idempotency_window_ms: 20_000,
        idempotency_keys_max: 3,
        memory_bytes_max: 64 * 1_024,
        connections_per_address: 6,
        ..Limits::default()
    }
}

/// The other end of a connection, and the kernel between.
pub(super) struct Client {
    pub(super) worker: usize,
    key: ConnectionKey,
    /// Sent, and not yet read.
    in_kernel: VecDeque<u8>,
    /// Whether the client has closed its side, and the server has been told.
    pub(super) hung_up: bool,
    eof_read: bool,
    /// Whether the loop has it among those to read.
    to_read: bool,
    /// Bytes that the socket takes before it blocks.
    window: usize,
    /// Everything that the server sent.
    pub(super) received: Vec<u8>,
    /// Whether the server has shut its side.
    pub(super) is_shut: bool,
    pub(super) closed: Option<CloseReason>,
}

/// A server of one worker or two, and its clients.
pub(super) struct World {
    pub(super) workers: Vec<Worker>,
    config: Arc<Config>,
    pub(super) clients: Vec<Client>,
    mail: VecDeque<(usize, usize, Letter)>,
    /// Letters that the channels between the workers take.
    pub(super) mail_max: usize,
    /// Whether letters stay where they are.
    pub(super) mail_is_held: bool,
    /// Bytes that the next reads take.
    pub(super) read_bytes: usize,
    /// A letter found no room in its channel.
    unsent: bool,
    now_ms: u64,
}

impl World {
    pub(super) fn new(workers: usize) -> Self {
        let origins = Origins::Listed(vec!["http://b".to_owned()]);
        let config = Config { limits: limits(), connections_max: 10, workers, ..Config::default() };
        let config = Arc::new(Config { origins, ..config });
        let mut random = Rng::with_seed(7);
        let workers =
            (0..workers).map(|id| Worker::new(Arc::clone(&config), id, 1, random.fork())).collect();
        let (clients, mail) = (Vec::new(), VecDeque::new());
        let (mail_max, mail_is_held, read_bytes) = (usize::MAX, false, READ_BYTES_MAX);
        let mut world = Self {
            workers,
            config,
            clients,
            mail,
            mail_max,
            mail_is_held,
            read_bytes,
            unsent: false,
            now_ms: 1_000,
        };
        world.begin_tick();
        world
    }

    /// Connects; the client's number, if it is accepted.
    pub(super) fn connect(&mut self, address: u8) -> Option<usize> {
        let worker = self.clients.len() % self.workers.len();
        let peer = match address % 3 {
            0 => SocketAddr::from(([127, 0, 0, 1], 9)),
            last => SocketAddr::from(([10, 0, 0, last], 9)),
        };
        let key = self.workers[worker].handle_accept(peer, Entrance::Public { loopback: true })?;
        self.clients.push(Client {
            worker,
            key,
            in_kernel: VecDeque::new(),
            hung_up: false,
            eof_read: false,
            to_read: false,
            window: usize::MAX,
            received: Vec::new(),
            is_shut: false,
            closed: None,
        });
        Some(self.clients.len() - 1)
    }

    pub(super) fn send(&mut self, client: usize, bytes: &[u8]) {
        let client = &mut self.clients[client];
        if client.closed.is_none() && !client.hung_up {
            client.in_kernel.extend(bytes);
            client.to_read = true;
        }
    }

    pub(super) fn hang_up(&mut self, client: usize) {
        self.clients[client].hung_up = true;
        self.clients[client].to_read = true;
    }

    pub(super) fn break_off(&mut self, client: usize) {
        let Client { worker, key, .. } = self.clients[client];
        self.workers[worker].handle_error(key);
        self.close_sockets();
    }

    /// The socket takes `bytes` more, or with 0 no more.
    pub(super) fn open_window(&mut self, client: usize, bytes: usize) {
        let client = &mut self.clients[client];
        client.window = if bytes == 0 { 0 } else { client.window.saturating_add(bytes) };
        if bytes > 0 {
            self.workers[client.worker].handle_writable(client.key);
        }
    }

    /// Every socket takes everything, every letter arrives.
    pub(super) fn open_all(&mut self) {
        (self.mail_is_held, self.mail_max) = (false, usize::MAX);
        self.read_bytes = READ_BYTES_MAX;
        for client in 0..self.clients.len() {
            self.open_window(client, usize::MAX);
        }
    }

    /// Lets the workers do everything that they can do without the clock.
    ///
    /// # Panics
    /// If they do not come to an end.
    pub(super) fn settle(&mut self) {
        for turn in 0..TICKS_MAX {
            if !self.tick() {
                return;
            }
            if turn == BYTEWISE_TICKS_MAX {
                self.read_bytes = READ_BYTES_MAX;
            }
        }
        panic!("the workers do not come to rest");
    }

    /// Lets time pass as the event loop would: from one deadline to the next.
    pub(super) fn pass(&mut self, ms: u64) {
        self.settle();
        let until = self.now_ms + ms;
        let ticks_max = 1_000 + ms / 100;
        for _ in 0..ticks_max {
            let deadlines = self.workers.iter().map(Worker::next_deadline);
            let next = deadlines.min().unwrap_or(Instant::NEVER).as_ms().max(self.now_ms + 1);
            self.now_ms = next.min(until);
            self.begin_tick();
            self.settle();
            if self.now_ms == until {
                return;
            }
        }
        panic!("{ticks_max} ticks within {ms} ms: somebody's deadline does not move");
    }

    fn begin_tick(&mut self) {
        let now = Now { instant: Instant::from_ms(self.now_ms), wall_ms: self.now_ms };
        let clients = self.clients.iter().filter(|client| client.closed.is_none()).count();
        for worker in &mut self.workers {
            worker.begin_tick(now, clients);
        }
    }

    /// A turn of every worker's loop, at the same moment as the last. Whether there may be more to do.
    fn tick(&mut self) -> bool {
        self.begin_tick();
        self.read_sockets();
        self.deliver();
        let mut left = false;
        for worker in &mut self.workers {
            left |= worker.handle_timers();
        }
        self.collect_mail();
        self.write_sockets();
        self.collect_mail();
        self.resume_reading();
        self.close_sockets();
        self.check_bounds();
        left || self.workers.iter().any(Worker::has_work)
            || self.clients.iter().any(|client| client.to_read)
            || (!self.mail_is_held && (self.unsent || !self.mail.is_empty()))
    }

    fn read_sockets(&mut self) {
        for client in &mut self.clients {
            let worker = &mut self.workers[client.worker];
            if !std::mem::take(&mut client.to_read) || client.closed.is_some() {
                continue;
            }
            // What is not wanted now stays in the kernel, until the worker says that it resumes.
            if !worker.wants_read(client.key) {
                continue;
            }
            let count = client.in_kernel.len().min(self.read_bytes);
            if count > 0 {
                let mut bytes: Vec<u8> = client.in_kernel.drain(..count).collect();
                worker.handle_bytes(client.key, &mut bytes);
                client.to_read = !client.in_kernel.is_empty() || client.hung_up;
            } else if client.hung_up && !std::mem::replace(&mut client.eof_read, true) {
                worker.handle_eof(client.key);
            }
        }
    }

    fn deliver(&mut self) {
        if !self.mail_is_held {
            for (from, to, letter) in std::mem::take(&mut self.mail) {
                self.workers[to].handle_letter(from, letter);
            }
        }
    }

    fn collect_mail(&mut self) {
        self.unsent = false;
        for (from, worker) in self.workers.iter_mut().enumerate() {
            while let Some((to, letter)) = worker.poll_letter() {
                if self.mail.len() >= self.mail_max {
                    worker.give_back(to, letter);
                    self.unsent = true;
                    break;
                }
                self.mail.push_back((from, to, letter));
            }
        }
    }

    fn write_sockets(&mut self) {
        for (number, worker) in self.workers.iter_mut().enumerate() {
            let mut turns_left = TURNS_PER_TICK;
            while let Some(key) = worker.poll_write(&mut turns_left) {
                let client = client(&mut self.clients, number, key);
                write_socket(worker, client);
            }
            while let Some(key) = worker.poll_shutdown() {
                if let Some(client) = find(&mut self.clients, number, key) {
                    assert!(!std::mem::replace(&mut client.is_shut, true), "shut twice");
                }
            }
        }
    }

    fn resume_reading(&mut self) {
        for (number, worker) in self.workers.iter_mut().enumerate() {
            while let Some(key) = worker.poll_resumed() {
                if let Some(client) = find(&mut self.clients, number, key) {
                    let has_eof = client.hung_up && !client.eof_read;
                    client.to_read |= !client.in_kernel.is_empty() || has_eof;
                }
            }
        }
    }

    fn close_sockets(&mut self) {
        for (number, worker) in self.workers.iter_mut().enumerate() {
            while let Some((key, reason, _)) = worker.poll_closed() {
                let client = client(&mut self.clients, number, key);
                client.closed = Some(reason);
                client.to_read = false;
                let mut slices = [IoSlice::new(&[]); SLICES_PER_WRITE];
                assert_eq!(worker.slices(key, &mut slices), 0, "something to send after the end");
                assert!(!worker.wants_write(key) && !worker.wants_read(key));
            }
        }
    }

    /// Memory is bounded: per connection, per hub, in all.
    fn check_bounds(&self) {
        let limits = &self.config.limits;
        for worker in &self.workers {
            for (_, entry) in &worker.connections {
                let held = entry.connection.held();
                assert!(held.inbox <= PIPELINE_BYTES_MAX + READ_BYTES_MAX, "{held:?}");
                assert!(held.outbox <= limits.outbox_bytes_max + ANSWER_BYTES_MAX, "{held:?}");
            }
            let memory_max = self.config.share(limits.memory_bytes_max);
            let gauges = worker.hub.gauges();
            assert!(gauges.memory_bytes <= memory_max, "{gauges:?}");
            // Those that were published to, and those that were only listened to.
            let topics_max = self.config.share(limits.topics_max as usize);
            assert!(gauges.topics <= 2 * topics_max, "{gauges:?}");
            assert!(gauges.replicas <= limits.topics_max as usize, "{gauges:?}");
            let body_bytes = worker.counters.body_bytes;
            assert!(body_bytes <= (memory_max + READ_BYTES_MAX) as u64, "{body_bytes}");
            let open = worker.counters.connections();
            assert_eq!(open, worker.connections.len() as u64);
        }
    }

    /// Whether the client's connection is one that goes on for as long as the client likes.
    pub(super) fn is_endless(&self, client: &Client) -> bool {
        let entry = self.workers[client.worker].connections.get(client.key.slot as usize);
        entry.is_some_and(|entry| entry.connection.held().is_endless)
    }

    /// Whether the server has not read to the end, and does not want to for now.
    pub(super) fn is_held_back(&self, client: &Client) -> bool {
        let is_unread = !client.in_kernel.is_empty() || !client.eof_read;
        is_unread && !self.workers[client.worker].wants_read(client.key)
    }

    pub(super) fn describe(&self, client: &Client) -> String {
        let entry = self.workers[client.worker].connections.get(client.key.slot as usize);
        let text = format!("{:?}", entry.map(|entry| &entry.connection));
        // What is in the inbox stands in the middle.
        let (from, to) = (text.len().min(300), text.len().saturating_sub(300).max(300));
        format!("{} … {}", &text[..from], text.get(to..).unwrap_or_default())
    }

    /// Everything is as it was before the first client came.
    pub(super) fn check_nothing_is_left(&self) {
        assert!(self.mail.is_empty());
        for worker in &self.workers {
            let gauges = worker.hub.gauges();
            assert_eq!((gauges.topics, gauges.replicas), (0, 0), "{gauges:?}");
            assert_eq!((gauges.memory_bytes, gauges.mail_waiting), (0, 0), "{gauges:?}");
            assert_eq!(worker.next_deadline(), Instant::NEVER, "a timer is left");
            assert_eq!((worker.connections.len(), worker.served), (0, 0));
            assert!(!worker.has_work() && worker.busy.is_empty());
            assert!(worker.closed.is_empty() && worker.shutdowns.is_empty());
            let counters = &worker.counters;
            assert_eq!((counters.connections(), counters.body_bytes), (0, 0));
            assert_eq!(counters.subscriptions.iter().sum::<u64>(), 0);
        }
    }
}

fn find(clients: &mut [Client], worker: usize, key: ConnectionKey) -> Option<&mut Client> {
    clients.iter_mut().find(|client| client.worker == worker && client.key == key)
}

/// The client whose connection is `key`, which is open.
fn client(clients: &mut [Client], worker: usize, key: ConnectionKey) -> &mut Client {
    let client = find(clients, worker, key).expect("a connection belongs to a client");
    assert_eq!(client.closed, None, "something happens after the end");
    client
}

/// Writes until everything is sent or the socket takes no more.
fn write_socket(worker: &mut Worker, client: &mut Client) {
    let key = client.key;
    while worker.wants_write(key) {
        let mut slices = [IoSlice::new(&[]); SLICES_PER_WRITE];
        let filled = worker.slices(key, &mut slices);
        let bytes: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect();
        assert!(!bytes.is_empty(), "it wants to write, and has nothing");
        let count = bytes.len().min(client.window);
        if count == 0 {
            return worker.handle_blocked(key);
        }
        assert!(!client.is_shut, "bytes behind the end");
        client.window -= if client.window == usize::MAX { 0 } else { count };
        client.received.extend_from_slice(&bytes[..count]);
        worker.handle_written(key, count);
    }
}
