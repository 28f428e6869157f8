//! One thread's world: its connections, their timers, and its share of the topics.
//!
//! Everything here is a function of (bytes, mail, now). The reactor tells it what happened through
//! `handle_*` and asks what to do next through `poll_*`; between ticks it holds no borrowed thing and
//! knows no file descriptor.

mod backplane;
mod exposition;
#[cfg(any(test, fuzzing))]
mod fuzz;
mod goodbyes;
mod inquiries;
mod listing;
mod operator;
mod restart;
mod survey;

use std::collections::VecDeque;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fastrand::Rng;
use slab::Slab;

#[cfg(any(test, fuzzing))]
pub use self::fuzz::{fuzz_batch, fuzz_connection};
pub use self::inquiries::{Letter, Question};
pub use self::survey::Report;

use self::backplane::Backplane;
use self::goodbyes::Goodbyes;
use self::inquiries::Inquiries;
use self::survey::Surveys;
use crate::addresses::Addresses;
use crate::config::{Config, Entrance};
use crate::connection::{Connection, Context, Inquiry, Surplus};
use crate::counters::{CloseReason, Counters, HubGauges, Process, Turn};
use crate::fuse::Place;
use crate::hub::Hub;
use crate::key::ConnectionKey;
use crate::limits::{ADMIN_CONNECTIONS_MAX, REFUSING_CONNECTIONS_MAX};
use crate::planted::{Fault, planted};
use crate::time::{Instant, Now};
use crate::timers::Timers;

/// The connections, timers and topics of one thread.
#[derive(Debug)]
pub struct Worker {
    config: Arc<Config>,
    now: Now,
    hub: Hub,
    connections: Slab<Entry>,
    next_generation: u32,
    timers: Timers,
    random: Rng,
    counters: Counters,
    /// Bytes that all outboxes of this worker may have together.
    outboxes_bytes_max: usize,
    addresses: Addresses,
    /// Connections that are served: all but those that only get a refusal.
    served: usize,
    /// The operator's, which are not among them.
    admins: usize,
    /// Connections of all workers, as far as this one was told.
    clients: usize,
    /// Connections with something to parse or to send, in turn.
    ready: VecDeque<ConnectionKey>,
    /// Whether the next turn is one of `ready` rather than one of the topics'.
    ready_is_next: bool,
    /// Connections with a publish that found no room.
    busy: Vec<ConnectionKey>,
    closed: Vec<(ConnectionKey, CloseReason, SocketAddr)>,
    shutdowns: Vec<ConnectionKey>,
    resumed: Vec<ConnectionKey>,
    /// What connections asked in the present call.
    asked: Vec<(ConnectionKey, Inquiry)>,
    inquiries: Inquiries,
    surveys: Surveys,
    process: Process,
    date: String,
    backplane: Backplane,
    /// When each connection is said goodbye to, the latest first; `None` while not draining.
    goodbyes: Option<Goodbyes>,
}

#[derive(Debug)]
struct Entry {
    connection: Connection,
    generation: u32,
    /// Whether it is in `ready`.
    queued: bool,
    /// Whether it is in `busy`.
    in_busy: bool,
    /// What [`Connection::wants_read`] last said.
    reading: bool,
}

impl Worker {
    /// Worker number `id` of `config.workers`. All workers of a server get the same `hash_seed`, each its
    /// own `random`.
    pub fn new(config: Arc<Config>, id: usize, hash_seed: u64, mut random: Rng) -> Self {
        let hub = Hub::new(&config, id, hash_seed, random.fork());
        let inquiries = Inquiries::new(config.workers, id);
        Self::with_hub(config, hub, inquiries, random)
    }

    fn with_hub(config: Arc<Config>, hub: Hub, inquiries: Inquiries, mut random: Rng) -> Self {
        let backplane = Backplane::new(&config, &mut random);
        Self {
            now: Now::default(),
            hub,
            connections: Slab::new(),
            next_generation: 0,
            timers: Timers::default(),
            random,
            counters: Counters::default(),
            outboxes_bytes_max: config.share(config.limits.outboxes_bytes_max),
            addresses: Addresses::new(config.limits.reads_per_second),
            served: 0,
            admins: 0,
            clients: 0,
            ready: VecDeque::new(),
            ready_is_next: true,
            busy: Vec::new(),
            closed: Vec::new(),
            shutdowns: Vec::new(),
            resumed: Vec::new(),
            asked: Vec::new(),
            inquiries,
            surveys: Surveys::default(),
            process: Process::default(),
            date: String::new(),
            backplane,
            goodbyes: None,
            config,
        }
    }

    /// Begins a tick. `clients` is the number of connections of all workers.
    pub fn begin_tick(&mut self, now: Now, clients: usize) {
        self.counters.ticks += 1;
        self.clients = clients;
        let second = now.wall_ms / 1_000;
        if self.date.is_empty() || second != self.now.wall_ms / 1_000 {
            // RFC 9110 §6.6.1. HTTP dates end with the year 9999.
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(second.min(253_402_300_799));
            self.date = httpdate::fmt_http_date(time);
        }
        self.now = now;
        self.hub.begin_tick(now.instant);
    }

    /// Ends a tick, of which the event loop has this to say.
    pub fn end_tick(&mut self, turn: Turn) {
        let now = self.now.instant;
        self.counters.note_turn(now, turn);
        self.counters.published_bytes += self.hub.take_appended_bytes();
        self.counters.holes += self.hub.take_holes();
        while let Some(walked) = self.hub.poll_walked() {
            self.counters.note_walk(now, turn.us, walked);
        }
    }

    /// From now on, what `config` says holds: for whoever comes, and for whoever is here from the next thing
    /// that happens to him. Deadlines that are set stay.
    pub fn reconfigure(&mut self, config: Arc<Config>) {
        assert_eq!(config.workers, self.config.workers, "threads are there for good");
        self.outboxes_bytes_max = config.share(config.limits.outboxes_bytes_max);
        self.addresses.set_reads_per_second(config.limits.reads_per_second);
        self.hub.reconfigure(&config);
        self.config = config;
    }

    /// This thread stood still for so long: peers get as much more time for what they have to do.
    pub fn forgive(&mut self, stalled_ms: u64) {
        if stalled_ms > 0 {
            for (slot, entry) in &mut self.connections {
                entry.connection.forgive(stalled_ms);
                self.timers.set(slot as u32, entry.connection.deadline(&self.config.limits));
            }
        }
    }

    /// A connection was accepted or handed over. `None`: there are too many even to refuse.
    pub fn handle_accept(&mut self, peer: SocketAddr, entrance: Entrance) -> Option<ConnectionKey> {
        let surplus = self.surplus(peer, entrance);
        if surplus != Surplus::No
            && self.connections.len() - self.served - self.admins >= REFUSING_CONNECTIONS_MAX
        {
            return None;
        }
        match (surplus, entrance) {
            (Surplus::No, Entrance::Admin) => self.admins += 1,
            (Surplus::No, Entrance::Public { .. }) => {
                self.served += 1;
                self.addresses.add(self.now.instant, peer);
            }
            _ => (),
        }
        self.counters.connections_opened += 1;
        let generation = self.next_generation;
        self.next_generation = self.next_generation.wrapping_add(1);
        let connection = Connection::new(self.now, peer, entrance, surplus, &self.config.limits);
        let entry = Entry { connection, generation, queued: false, in_busy: false, reading: true };
        let slot = u32::try_from(self.connections.insert(entry)).expect("connections fit 32 bits");
        let key = ConnectionKey { slot, generation };
        if let Some(goodbyes) = &mut self.goodbyes {
            goodbyes.add_late(&mut self.random, key);
        }
        self.config.fuse.pass(Place::Accept);
        self.settle(key);
        Some(key)
    }

    fn surplus(&self, peer: SocketAddr, entrance: Entrance) -> Surplus {
        let limits = &self.config.limits;
        if entrance == Entrance::Admin {
            // The operator gets in when the server is full, and takes nobody's place.
            let has_room = self.admins < ADMIN_CONNECTIONS_MAX;
            return if has_room { Surplus::No } else { Surplus::Server };
        }
        if self.served >= self.config.share(self.config.connections_max) {
            Surplus::Server
        } else if self.addresses.connections(peer)
            >= self.config.share(limits.connections_per_address as usize)
        {
            Surplus::Address
        } else {
            Surplus::No
        }
    }

    /// Bytes were read.
    pub fn handle_bytes(&mut self, key: ConnectionKey, bytes: &mut [u8]) {
        self.with(key, |connection, context| connection.handle_bytes(context, bytes));
    }

    /// The peer has closed its sending side.
    pub fn handle_eof(&mut self, key: ConnectionKey) {
        self.with(key, Connection::handle_eof);
    }

    /// The operating system reported an error on the socket.
    pub fn handle_error(&mut self, key: ConnectionKey) {
        self.with(key, Connection::handle_error);
    }

    /// The operating system takes bytes again.
    pub fn handle_writable(&mut self, key: ConnectionKey) {
        self.with(key, |connection, context| connection.handle_writable(context.now));
    }

    /// `count` bytes of [`Worker::slices`] were sent.
    pub fn handle_written(&mut self, key: ConnectionKey, count: usize) {
        self.with(key, |connection, context| connection.handle_written(context, count));
    }

    /// The operating system takes no more for now.
    pub fn handle_blocked(&mut self, key: ConnectionKey) {
        self.with(key, |connection, _| connection.handle_blocked());
    }

    /// A letter from another worker.
    pub fn handle_letter(&mut self, from: usize, letter: Letter) {
        self.config.fuse.pass(Place::Letter);
        match letter {
            Letter::Hub(mail) => {
                self.hub.handle_mail(self.now, from, mail);
                self.hand_out_answers();
            }
            Letter::Asked { number, question } => self.handle_asked(from, number, question),
            Letter::Told { number, report } => self.handle_told(from, number, *report),
        }
    }

    /// Passes outcomes to those who wait for them, and room to those who found none.
    fn hand_out_answers(&mut self) {
        let mut answered = false;
        while let Some((ticket, outcome)) = self.hub.poll_answer() {
            answered = true;
            self.with(ticket.connection, |connection, context| {
                connection.handle_outcome(context, ticket.number, outcome);
            });
        }
        if answered || self.hub.take_room() {
            for key in std::mem::take(&mut self.busy) {
                if let Some(entry) = self.entry(key) {
                    entry.in_busy = false;
                }
                self.with(key, Connection::handle_room);
            }
        }
    }

    /// Fires what is due, and looks at some of what an operator asked for. Returns whether the budget was used up.
    pub fn handle_timers(&mut self) -> bool {
        let (now, most) = (self.now.instant, self.config.budgets.timers_per_tick);
        let mut left = self.hub.handle_timers(self.now);
        self.hand_out_answers();
        self.backplane.handle_timers(self.now);
        for fired in 0.. {
            if fired == most {
                left = true;
                break;
            }
            let Some(slot) = self.timers.poll(now) else { break };
            self.config.fuse.pass(Place::Timer);
            if let Some(entry) = self.connections.get(slot as usize) {
                let key = ConnectionKey { slot, generation: entry.generation };
                self.with(key, Connection::handle_deadline);
            }
        }
        for said in 0.. {
            let due = self.goodbyes.as_mut().and_then(|goodbyes| goodbyes.poll(now));
            let Some(key) = due else { break };
            self.config.fuse.pass(Place::Drain);
            self.with(key, Connection::drain);
            if said == most {
                left = true;
                break;
            }
        }
        self.pump();
        self.survey() || left
    }

    /// When something is due next.
    pub fn next_deadline(&self) -> Instant {
        let goodbye = self.goodbyes.as_ref().map_or(Instant::NEVER, Goodbyes::next);
        let topics = self.hub.next_deadline().min(self.backplane.next_deadline());
        self.timers.next_deadline().min(topics).min(goodbye)
    }

    /// Begins to go away: every connection is said goodbye to at a random moment.
    pub fn begin_drain(&mut self) {
        if self.goodbyes.is_some() {
            return;
        }
        self.config.fuse.pass(Place::Drain);
        let spread_ms = self.config.limits.drain_spread_ms;
        let mut goodbyes = Goodbyes::begin(self.now.instant, spread_ms, self.clients);
        for (slot, entry) in &self.connections {
            let key = ConnectionKey { slot: slot as u32, generation: entry.generation };
            if entry.connection.is_new() {
                // It may have been handed over a moment ago, with a request that nobody has read yet.
                goodbyes.add_late(&mut self.random, key);
            } else {
                goodbyes.add(&mut self.random, key);
            }
        }
        self.goodbyes = Some(goodbyes);
    }

    /// Whether a drain has begun and every connection has ended.
    pub fn is_drained(&self) -> bool {
        self.goodbyes.is_some() && self.connections.is_empty()
    }

    /// Gives connections their turns until one has something to send, which is returned, or `turns_left` is
    /// used up. [`Worker::slices`] of it must be written next, and the result told. Connections with
    /// business of their own and deliveries of topics alternate.
    pub fn poll_write(&mut self, turns_left: &mut usize) -> Option<ConnectionKey> {
        while *turns_left > 0 {
            *turns_left -= 1;
            self.ready_is_next = !self.ready_is_next;
            let key = if self.ready_is_next {
                self.next_delivery().or_else(|| self.next_ready())
            } else {
                self.next_ready().or_else(|| self.next_delivery())
            }?;
            self.call(key, Connection::take_turn);
            if self.entry(key).is_some_and(|entry| entry.connection.wants_write()) {
                // It is settled after the write, whatever comes of that.
                return Some(key);
            }
            self.settle(key);
        }
        None
    }

    fn next_ready(&mut self) -> Option<ConnectionKey> {
        while let Some(key) = self.ready.pop_front() {
            if let Some(entry) = self.entry(key) {
                entry.queued = false;
                return Some(key);
            }
        }
        None
    }

    fn next_delivery(&mut self) -> Option<ConnectionKey> {
        while let Some(slot) = self.hub.poll_delivery() {
            self.config.fuse.pass(Place::FanOut);
            let entry = &self.connections[slot as usize];
            if entry.connection.wants_news() {
                return Some(ConnectionKey { slot, generation: entry.generation });
            }
        }
        None
    }

    /// Whether [`Worker::poll_write`] may have more, an outcome has not been handed out, or an operator waits.
    pub fn has_work(&self) -> bool {
        !self.ready.is_empty()
            || self.hub.has_deliveries()
            || self.hub.has_answers()
            || self.backplane.has_work()
            || !self.surveys.is_empty()
    }

    /// What a connection has to send; returns how many of `slices` were filled.
    pub fn slices<'a>(&'a self, key: ConnectionKey, slices: &mut [IoSlice<'a>]) -> usize {
        match self.connections.get(key.slot as usize) {
            Some(entry) if entry.generation == key.generation => entry.connection.slices(slices),
            _ => 0,
        }
    }

    /// Whether the connection has more to send than was sent.
    pub fn wants_write(&self, key: ConnectionKey) -> bool {
        self.connections.get(key.slot as usize).is_some_and(|entry| {
            entry.generation == key.generation && entry.connection.wants_write()
        })
    }

    /// Whether bytes for this connection can be taken now.
    pub fn wants_read(&self, key: ConnectionKey) -> bool {
        self.connections.get(key.slot as usize).is_some_and(|entry| {
            entry.generation == key.generation && entry.connection.wants_read(&self.config.limits)
        })
    }

    /// The next letter to send, and to whom.
    pub fn poll_letter(&mut self) -> Option<(usize, Letter)> {
        // Topics first: a letter that comes back because its receiver is stuck must not hold them up.
        let mail = self.hub.poll_mail().map(|(worker, mail)| (worker, Letter::Hub(mail)));
        mail.or_else(|| self.inquiries.poll_letter())
    }

    /// Whether topics have mail to send: what is written now may say that it was sent.
    pub fn has_mail(&self) -> bool {
        self.hub.has_mail()
    }

    /// Takes back a letter that could not be sent.
    pub fn give_back(&mut self, worker: usize, letter: Letter) {
        match letter {
            Letter::Hub(mail) => self.hub.give_back(worker, mail),
            letter => self.inquiries.send(worker, letter),
        }
    }

    /// The next connection that ended; its socket is to be closed.
    pub fn poll_closed(&mut self) -> Option<(ConnectionKey, CloseReason, SocketAddr)> {
        self.closed.pop()
    }

    /// The next connection whose sending side is to be shut.
    pub fn poll_shutdown(&mut self) -> Option<ConnectionKey> {
        self.shutdowns.pop()
    }

    /// The next connection that takes bytes again after it did not.
    pub fn poll_resumed(&mut self) -> Option<ConnectionKey> {
        self.resumed.pop()
    }

    /// What the worker counts.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What each connection is owed, and whether it is a stream or a WebSocket: bytes, as they are counted
    /// against its bound.
    pub fn outboxes(&self) -> impl Iterator<Item = (bool, usize)> + '_ {
        let connections = self.connections.iter().map(|(_, entry)| &entry.connection);
        connections.map(|connection| (connection.is_stream(), connection.outbox_cost()))
    }

    /// How much its topics hold. For metrics, and for whoever watches it from outside.
    pub fn gauges(&self) -> HubGauges {
        self.hub.gauges()
    }

    fn entry(&mut self, key: ConnectionKey) -> Option<&mut Entry> {
        let entry = self.connections.get_mut(key.slot as usize)?;
        (entry.generation == key.generation).then_some(entry)
    }

    /// Calls a connection, unless the key is stale, and does what follows from it.
    fn with(
        &mut self,
        key: ConnectionKey,
        call: impl FnOnce(&mut Connection, &mut Context<'_, Hub>),
    ) {
        self.call(key, call);
        self.settle(key);
    }

    /// Calls a connection, unless the key is stale. [`Worker::settle`] must follow.
    fn call(
        &mut self,
        key: ConnectionKey,
        call: impl FnOnce(&mut Connection, &mut Context<'_, Hub>),
    ) {
        let Some(entry) = self.connections.get_mut(key.slot as usize) else { return };
        if entry.generation != key.generation {
            return;
        }
        let limits = &self.config.limits;
        let before = entry.connection.outbox_cost();
        let others = self.counters.outbox_bytes as usize - before;
        let outboxes_left = self.outboxes_bytes_max.saturating_sub(others);
        let mut context = Context {
            now: self.now,
            key,
            topics: &mut self.hub,
            config: &self.config,
            random: &mut self.random,
            counters: &mut self.counters,
            addresses: &mut self.addresses,
            clients: self.clients,
            date: &self.date,
            outbox_bytes_max: limits.outbox_bytes_max.min(outboxes_left).max(1),
            outboxes_left,
            draining: self.goodbyes.is_some(),
            readiness: self.backplane.readiness(),
            inquiries: &mut self.asked,
        };
        call(&mut entry.connection, &mut context);
        self.counters.outbox_bytes = (others + entry.connection.outbox_cost()) as u64;
        if let Some((key, inquiry)) = self.asked.pop() {
            self.inquire(key, inquiry);
        }
    }

    /// Files the connection where it belongs after something happened to it.
    fn settle(&mut self, key: ConnectionKey) {
        let Some(entry) = self.connections.get_mut(key.slot as usize) else { return };
        if entry.generation != key.generation {
            return;
        }
        let connection = &mut entry.connection;
        if let Some(reason) = connection.close_reason() {
            return self.remove(key, reason);
        }
        connection.note_owed(self.now);
        if connection.take_shutdown() {
            self.shutdowns.push(key);
        }
        if connection.is_busy() && !std::mem::replace(&mut entry.in_busy, true) {
            self.busy.push(key);
        }
        let reading = connection.wants_read(&self.config.limits);
        if reading && !entry.reading && !planted(Fault::ForgetsToResumeReading) {
            self.resumed.push(key);
        }
        entry.reading = reading;
        if (connection.wants_turn() || connection.wants_write()) && !entry.queued {
            entry.queued = true;
            self.ready.push_back(key);
        }
        self.timers.set(key.slot, connection.deadline(&self.config.limits));
    }

    fn remove(&mut self, key: ConnectionKey, reason: CloseReason) {
        let entry = self.connections.remove(key.slot as usize);
        let peer = entry.connection.peer();
        match (entry.connection.surplus(), entry.connection.entrance()) {
            (Surplus::No, Entrance::Admin) => self.admins -= 1,
            (Surplus::No, Entrance::Public { .. }) => {
                self.served -= 1;
                self.addresses.remove(peer);
            }
            _ => (),
        }
        #[cfg(planted)]
        self.timers.leave(key.slot);
        self.timers.set(key.slot, Instant::NEVER);
        self.counters.connections_closed[reason as usize] += 1;
        self.closed.push((key, reason, peer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attack_246_the_date_is_formatted_once_a_second() {
        let config = Config { workers: 1, ..Config::default() };
        let mut worker = Worker::new(Arc::new(config), 0, 1, Rng::with_seed(1));
        let mut dates: Vec<(String, *const u8)> = Vec::new();
        for ms in 0..3_000 {
            let wall_ms = 1_767_225_600_500 + ms;
            worker.begin_tick(Now { instant: Instant::from_ms(ms), wall_ms }, 0);
            // A text that is made anew while the old one is there lies elsewhere.
            let date = (worker.date.clone(), worker.date.as_ptr());
            if dates.last() != Some(&date) {
                dates.push(date);
            }
        }
        let texts: Vec<&str> = dates.iter().map(|(text, _)| &text[17..25]).collect();
        assert_eq!(texts, ["00:00:00", "00:00:01", "00:00:02", "00:00:03"]);
    }

    #[test]
    fn a_connection_is_a_slot_of_200_bytes() {
        // docs/benchmarks.md gives the figure; a slot that grows should be a decision.
        assert_eq!(size_of::<Entry>(), 200);
    }
}
