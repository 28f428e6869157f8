//! A worker's dealings with Redis: what it sends and receives there, as a function of (bytes, requests, now).
//!
//! ```text
//!   hub ── Request ──▶ requests ──▶ waiting ──▶ link (commands) ──────▶ bytes
//!    ▲                    ▲  route     ▲           │ owed, in order
//!    │                    │         put back       ▼
//!    ├───── Report ◀──────┴──────── answers ◀── link ◀──────────────── bytes
//!    └───── Report ◀── hearing ◀─────────────── link (subscriptions) ◀ bytes
//! ```
//!
//! Invariant: a request with a number is in one place (waiting, owed, held), until it is answered.
//!
//! `links` makes the connections and buries them, `cluster` knows which node has which slot, and `sentinel` asks who
//! the primary is. Without either there is one node.

mod answers;
mod backoff;
mod channels;
mod cluster;
mod greeting;
mod hearing;
mod job;
mod keys;
mod link;
mod links;
mod node;
mod requests;
mod scripts;
mod sentinel;
mod status;
#[cfg(test)]
mod tests;
mod trouble;

pub use status::{Counters, Status};

use std::collections::{BTreeMap, VecDeque};
use std::io::IoSlice;
use std::sync::Arc;

use fastrand::Rng;

use crate::config::{Endpoint, RedisConfig, Topology};
use crate::key::OutboundId;
use crate::time::{Instant, Now};
use crate::topic::{Report, Request};
use crate::wire::resp3::Bounds;

use channels::Channels;
use cluster::Cluster;
use job::{Job, PAGE_BYTES, Writer};
use link::{Role, Wire};
use node::Node;
use sentinel::Finder;
use trouble::Troubles;

/// Whose connection it is.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Whose {
    Node(u16, Role),
    Sentinel,
}

/// One worker's connections to Redis, and what is under way on them.
#[derive(Debug)]
pub struct Redis {
    config: Arc<RedisConfig>,
    random: Rng,
    writer: Writer,
    /// Servers by numbers of our own. Outside of a cluster there is one.
    nodes: BTreeMap<u16, Node>,
    next_node: u16,
    /// Which of those that the operator named is dialled next.
    next_seed: usize,
    connections: BTreeMap<OutboundId, Whose>,
    next_id: u32,
    /// Who has which slot, once a server has said that it is part of a cluster.
    cluster: Option<Cluster>,
    finder: Option<Finder>,
    channels: Channels,
    /// Requests of which nobody knows yet where they go.
    unrouted: BTreeMap<u64, Job>,
    next_order: u64,
    /// When the first of the requests that wait may have waited for long enough.
    patience_ends: Instant,
    reports: VecDeque<Report>,
    dials: VecDeque<(OutboundId, Endpoint)>,
    hang_ups: VecDeque<OutboundId>,
    writables: VecDeque<OutboundId>,
    troubles: Troubles,
    counters: Counters,
    reachable: bool,
    was_reachable: bool,
    since: Instant,
    bounds: Bounds,
}

impl Redis {
    /// Nothing is dialled before the first [`Redis::handle_timers`].
    pub fn new(config: Arc<RedisConfig>, mut random: Rng) -> Self {
        let finder = match &config.topology {
            Topology::Sentinels { .. } => Some(Finder::new()),
            Topology::Servers(_) => None,
        };
        // A page, an answer to INFO, and the slots of a large cluster are each below a megabyte.
        let value_bytes = config.value_bytes_max.max(1 << 20);
        let bounds = Bounds {
            bytes_max: value_bytes,
            value_bytes_max: value_bytes + 2 * PAGE_BYTES,
            depth_max: 8,
            elements_max: 256 * 1024,
        };
        // Servers do not begin with the same one.
        let seeds = match &config.topology {
            Topology::Servers(servers) => servers.len(),
            Topology::Sentinels { sentinels, .. } => sentinels.len(),
        };
        let next_seed = if finder.is_some() { random.usize(..seeds.max(1)) } else { 0 };
        let mut redis = Self {
            writer: Writer::new(Arc::clone(&config)),
            config,
            nodes: BTreeMap::new(),
            next_node: 0,
            next_seed,
            connections: BTreeMap::new(),
            next_id: 0,
            cluster: None,
            finder,
            channels: Channels::new(random.u64(..)),
            unrouted: BTreeMap::new(),
            next_order: 0,
            patience_ends: Instant::NEVER,
            reports: VecDeque::new(),
            dials: VecDeque::new(),
            hang_ups: VecDeque::new(),
            writables: VecDeque::new(),
            troubles: Troubles::default(),
            counters: Counters::default(),
            reachable: false,
            was_reachable: false,
            since: Instant::default(),
            bounds,
            random,
        };
        redis.add_seed(Instant::default());
        redis
    }

    /// The hub wants something.
    pub fn handle_request(&mut self, now: Now, request: Request) {
        match request {
            Request::Listen { topic } => self.listen(now.instant, &topic),
            Request::Leave { topic } => self.leave(now.instant, &topic),
            request => self.take(now.instant, request),
        }
    }

    /// What the hub is to be told next.
    pub fn poll_report(&mut self) -> Option<Report> {
        self.reports.pop_front()
    }

    /// Where a connection is to be made next.
    pub fn poll_dial(&mut self) -> Option<(OutboundId, Endpoint)> {
        self.dials.pop_front()
    }

    /// The connection that is to be closed next. Nothing is heard of it any more.
    pub fn poll_hang_up(&mut self) -> Option<OutboundId> {
        self.hang_ups.pop_front()
    }

    /// A connection was made.
    pub fn handle_connected(&mut self, now: Now, id: OutboundId) {
        match self.connections.get(&id) {
            Some(&Whose::Node(node, role)) => self.greet(now.instant, node, role, id),
            Some(Whose::Sentinel) => self.greet_sentinel(now.instant, id),
            // It was given up meanwhile.
            None => self.hang_ups.push_back(id),
        }
    }

    /// Bytes have come.
    pub fn handle_bytes(&mut self, now: Now, id: OutboundId, bytes: &[u8]) {
        self.counters.bytes_in += bytes.len() as u64;
        self.read(now.instant, id, bytes);
    }

    /// A connection has ended, or could not be made. `why` is one line.
    pub fn handle_closed(&mut self, now: Now, id: OutboundId, why: String) {
        if let Some(whose) = self.connections.remove(&id) {
            self.bury(now.instant, whose, trouble::Kind::Lost, &why);
        }
    }

    /// Whether this connection has something to send.
    pub fn wants_write(&self, id: OutboundId) -> bool {
        self.wire(id).is_some_and(|wire| !wire.unsent().is_empty())
    }

    /// Fills `slices` with what is to be sent; returns how many were filled.
    pub fn slices<'a>(&'a self, id: OutboundId, slices: &mut [IoSlice<'a>]) -> usize {
        let unsent = self.wire(id).map_or(&[][..], Wire::unsent);
        match slices.first_mut() {
            Some(slice) if !unsent.is_empty() => {
                *slice = IoSlice::new(unsent);
                1
            }
            _ => 0,
        }
    }

    /// So many bytes of it were sent.
    pub fn handle_written(&mut self, now: Now, id: OutboundId, count: usize) {
        self.counters.bytes_out += count as u64;
        let Some(&whose) = self.connections.get(&id) else { return };
        let Some(wire) = self.wire_mut(id) else { return };
        let had_room = wire.has_room();
        wire.note_sent(count);
        if let Whose::Node(node, role) = whose
            && !had_room
        {
            self.pump(now.instant, node, role);
        }
    }

    /// The next connection that has got something to send since this was asked.
    pub fn poll_writable(&mut self) -> Option<OutboundId> {
        while let Some(id) = self.writables.pop_front() {
            let Some(wire) = self.wire_mut(id) else { continue };
            wire.is_listed = false;
            self.ask_for_confirmation(id);
            if self.wants_write(id) {
                return Some(id);
            }
        }
        None
    }

    /// When [`Redis::handle_timers`] wants to be called.
    pub fn next_deadline(&self) -> Instant {
        let timeout = self.config.timeout_ms;
        let nodes = self.nodes.values().map(|node| node.deadline(timeout));
        let first = nodes.min().unwrap_or(Instant::NEVER).min(self.patience_ends);
        let cluster = self.cluster.as_ref().map_or(Instant::NEVER, Cluster::deadline);
        let finder = self.finder.as_ref().map_or(Instant::NEVER, |it| it.deadline(timeout));
        first.min(cluster).min(finder)
    }

    /// Time has passed. The first call dials.
    pub fn handle_timers(&mut self, now: Now) {
        let now = now.instant;
        if now < self.next_deadline() {
            return;
        }
        let numbers: Vec<u16> = self.nodes.keys().copied().collect();
        for node in numbers {
            self.handle_link_timer(now, node, Role::Commands);
            self.handle_link_timer(now, node, Role::Subscriptions);
            self.probe(now, node);
        }
        self.handle_sentinel_timer(now);
        self.handle_cluster_timer(now);
        self.lose_patience(now);
    }

    /// How things stand.
    pub fn status(&self) -> Status {
        let owed = |node: &Node| node.commands.wire().map_or(0, |wire| wire.owed.len());
        let in_nodes: usize = self.nodes.values().map(|node| node.waiting.len() + owed(node)).sum();
        let held = self.cluster.as_ref().map_or(0, Cluster::held);
        Status {
            reachable: self.reachable,
            was_reachable: self.was_reachable,
            since: self.since,
            trouble: self.troubles.first().map(str::to_owned),
            connections: self.connections.len(),
            in_flight: in_nodes + held + self.unrouted.len(),
            channels: self.channels.len(),
            counters: self.counters,
        }
    }

    fn wire(&self, id: OutboundId) -> Option<&Wire> {
        let wire = match *self.connections.get(&id)? {
            Whose::Node(node, role) => self.nodes.get(&node)?.link(role).wire(),
            Whose::Sentinel => self.finder.as_ref()?.link.wire(),
        };
        wire.filter(|wire| wire.id == id)
    }

    fn wire_mut(&mut self, id: OutboundId) -> Option<&mut Wire> {
        let wire = match *self.connections.get(&id)? {
            Whose::Node(node, role) => self.nodes.get_mut(&node)?.link_mut(role).wire_mut(),
            Whose::Sentinel => self.finder.as_mut()?.link.wire_mut(),
        };
        wire.filter(|wire| wire.id == id)
    }

    /// Something was written into this connection.
    fn list(&mut self, id: OutboundId) {
        if let Some(wire) = self.wire_mut(id)
            && !wire.is_listed
            && !wire.unsent().is_empty()
        {
            wire.is_listed = true;
            self.writables.push_back(id);
        }
    }
}
