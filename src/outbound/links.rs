//! Connections are made, greeted, found dead and buried.

use crate::config::{Endpoint, Topology};
use crate::key::OutboundId;
use crate::time::Instant;
use crate::topic::{Refusal, Report};

use super::greeting::{ask_hello, ask_identity, ask_life};
use super::link::{Owed, Phase, Role, Stage, Then, Wire};
use super::node::{Node, Probe};
use super::trouble::Kind;
use super::{Redis, Whose};

/// Milliseconds between two probes, about.
const PROBE_MS: u64 = 5_000;

impl Redis {
    /// One of the servers that the operator named gets a node, which is dialled at that moment.
    pub(super) fn add_seed(&mut self, at: Instant) {
        let endpoint = self.seed();
        let node = Node::new(endpoint, true, at);
        self.add_node(node);
    }

    /// The server that is to be dialled next of those that the operator named.
    fn seed(&mut self) -> Endpoint {
        match &self.config.topology {
            Topology::Servers(servers) => {
                let seed = servers.get(self.next_seed % servers.len().max(1));
                self.next_seed = self.next_seed.wrapping_add(1);
                seed.cloned()
            }
            // Whoever the sentinels say takes its place.
            Topology::Sentinels { sentinels, .. } => sentinels.first().cloned(),
        }
        .unwrap_or_else(|| Endpoint { host: "localhost".into(), port: 6379 })
    }

    pub(super) fn add_node(&mut self, node: Node) -> u16 {
        while self.nodes.contains_key(&self.next_node) || self.next_node == u16::MAX {
            self.next_node = self.next_node.wrapping_add(1);
        }
        let number = self.next_node;
        self.next_node = self.next_node.wrapping_add(1);
        self.nodes.insert(number, node);
        number
    }

    /// Asks for a connection.
    pub(super) fn dial(&mut self, whose: Whose, endpoint: Endpoint) -> OutboundId {
        let id = OutboundId(self.next_id);
        // 2^31 connections at ten a second are seven years.
        self.next_id = (self.next_id + 1) & (u32::MAX >> 1);
        self.counters.dials += 1;
        self.connections.insert(id, whose);
        self.dials.push_back((id, endpoint));
        id
    }

    /// A node's connection was made.
    pub(super) fn greet(&mut self, now: Instant, number: u16, role: Role, id: OutboundId) {
        let Some(node) = self.nodes.get_mut(&number) else { return };
        if !matches!(node.link(role).stage, Stage::Dialling(dialled, _) if dialled == id) {
            return;
        }
        let mut wire = Box::new(Wire::new(id, now, self.bounds));
        ask_hello(&mut wire, now, &self.config);
        if role == Role::Commands {
            ask_identity(&mut wire, now);
        }
        node.link_mut(role).stage = Stage::Open(wire);
        self.list(id);
    }

    /// Everything that was asked of a connection may have been answered: it goes on.
    pub(super) fn settle(&mut self, now: Instant, number: u16, role: Role) {
        let Some(node) = self.nodes.get_mut(&number) else { return };
        let Some(wire) = node.link_mut(role).wire_mut() else { return };
        if !wire.owed.is_empty() {
            return;
        }
        match wire.phase {
            Phase::Ready => {}
            Phase::Greeting if role == Role::Commands => self.begin_commands(now, number),
            Phase::Greeting => self.begin_subscriptions(now, number),
            Phase::Settling(Then::Learn) => {
                wire.phase = Phase::Greeting;
                ask_identity(wire, now);
                let id = wire.id;
                self.list(id);
            }
            Phase::Settling(Then::Close(kind)) => {
                let id = wire.id;
                let what = match kind {
                    Kind::Replica => "it is not the primary any more",
                    Kind::Loading => "it has to load its data first",
                    Kind::Busy => "a script keeps it busy",
                    _ => "it does not take requests any more",
                };
                self.hang_up(now, id, kind, what);
            }
        }
    }

    /// A connection for commands is greeted.
    fn begin_commands(&mut self, now: Instant, number: u16) {
        let probe_in = self.jitter(PROBE_MS);
        let Some(node) = self.nodes.get_mut(&number) else { return };
        let place = node.place(Role::Commands);
        let Some(wire) = node.commands.wire_mut() else { return };
        if !node.identity.is_primary {
            let id = wire.id;
            self.hang_up(now, id, Kind::Replica, "this is a replica");
            return;
        }
        wire.phase = Phase::Ready;
        wire.ready_since.get_or_insert(now);
        node.is_found = false;
        node.probe.next = now + probe_in;
        self.troubles.end(now, &place);
        if self.cluster.is_none() {
            // Of several that were named this is the one.
            self.troubles.forget_other_servers(&place);
        }
        self.note_life(now, number);
        if let Some(node) = self.nodes.get_mut(&number)
            && matches!(node.subscriptions.stage, Stage::Resting(Instant::NEVER))
        {
            node.subscriptions.stage = Stage::Resting(now);
            self.handle_link_timer(now, number, Role::Subscriptions);
        }
        self.note_reachable(now);
    }

    /// If the server is in another life than when its subscriptions began, anything may have been missed: they begin
    /// anew.
    pub(super) fn note_life(&mut self, now: Instant, number: u16) {
        let Some(node) = self.nodes.get_mut(&number) else { return };
        let is_other = node.life.is_some() && node.life != node.identity.life;
        node.life.clone_from(&node.identity.life);
        if let Some(id) = node.subscriptions.id().filter(|_| is_other) {
            log::info!("Redis {}: it has begun another life", node.endpoint);
            node.subscriptions.backoff = super::backoff::Backoff::default();
            self.close(now, id);
        }
    }

    /// How long until something that is done every `ms` milliseconds or so: servers do not do it together.
    pub(super) fn jitter(&mut self, ms: u64) -> u64 {
        self.random.u64(ms * 3 / 4..=ms * 5 / 4)
    }

    /// A connection is given up by us, because of this.
    pub(super) fn hang_up(&mut self, now: Instant, id: OutboundId, kind: Kind, what: &str) {
        if let Some(whose) = self.let_go(id) {
            self.bury(now, whose, kind, what);
        }
    }

    /// Has a connection closed, or never made.
    pub(super) fn let_go(&mut self, id: OutboundId) -> Option<Whose> {
        let whose = self.connections.remove(&id)?;
        let before = self.dials.len();
        self.dials.retain(|(dialled, _)| *dialled != id);
        if self.dials.len() == before {
            self.hang_ups.push_back(id);
        }
        Some(whose)
    }

    /// A connection is closed by us, and nothing is wrong. It is made again if it is needed.
    pub(super) fn close(&mut self, now: Instant, id: OutboundId) {
        if let Some(whose) = self.let_go(id) {
            self.put_away(now, whose, Kind::Lost);
        }
    }

    /// A connection is no more, because of this.
    pub(super) fn bury(&mut self, now: Instant, whose: Whose, kind: Kind, what: &str) {
        self.counters.lost += 1;
        match whose {
            Whose::Sentinel => return self.bury_sentinel(now, kind, what),
            Whose::Node(number, role) => {
                if let Some(node) = self.nodes.get(&number).filter(|node| !node.is_retired) {
                    self.troubles.begin(now, node.place(role), kind, what);
                }
            }
        }
        self.put_away(now, whose, kind);
    }

    /// What a connection has left behind is put where it belongs.
    fn put_away(&mut self, now: Instant, whose: Whose, kind: Kind) {
        let Whose::Node(number, role) = whose else { return };
        let Some(node) = self.nodes.get_mut(&number) else { return };
        let link = node.link_mut(role);
        let ready = link.wire().and_then(|wire| wire.ready_since);
        let until = link.backoff.after_failure(now, ready, kind.is_lasting(), &mut self.random);
        let stage = std::mem::replace(&mut link.stage, Stage::Resting(until));
        let wire = match stage {
            Stage::Open(wire) => Some(wire),
            _ => None,
        };
        match role {
            Role::Subscriptions => {
                node.probe = Probe { next: node.probe.next, ..Probe::new() };
                node.to_ask.clear();
                node.to_leave.clear();
                self.channels.park(number);
                if !node.commands.is_up() {
                    // It is dialled behind the other one, which says whether this is the right server.
                    node.subscriptions.stage = Stage::Resting(Instant::NEVER);
                }
            }
            Role::Commands => {
                node.probe.pending = None;
                node.unwaited = 0;
                let unconfirmed = std::mem::take(&mut node.confirming);
                for (number, _) in unconfirmed {
                    self.end(Report::Done { number, outcome: Err(Refusal::TooFewReplicas) });
                }
                if let Some(wire) = wire {
                    self.put_back_owed(now, number, *wire);
                }
                self.replace_node(now, number, until);
            }
        }
        self.note_reachable(now);
        self.lose_patience(now);
    }

    /// Of what was asked on a connection that is lost nobody knows what has become, if it was sent.
    fn put_back_owed(&mut self, now: Instant, number: u16, mut wire: Wire) {
        for owed in std::mem::take(&mut wire.owed) {
            let Owed::Job(mut job) = owed else { continue };
            let was_sent = wire.has_sent(&job);
            job.is_doubtful |= was_sent && !job.is_read();
            job.is_asking = false;
            if was_sent && !job.is_repeatable() {
                self.end(job.refuse());
            } else {
                self.counters.retried += u64::from(was_sent);
                self.hold_back(now, number, *job);
            }
        }
    }

    /// After a node's connection for commands was lost: another server may take its place.
    fn replace_node(&mut self, now: Instant, number: u16, until: Instant) {
        if self.cluster.is_some() {
            self.note_node_lost(now, number, until);
        }
        let is_alone = self.finder.is_none() && self.cluster.is_none();
        let Some(seed) = self.nodes.get(&number).map(|node| node.is_seed) else { return };
        if self.finder.is_some() {
            self.find_primary(now, number, until);
        } else if seed && (is_alone || self.cluster.is_some()) {
            let endpoint = self.seed();
            self.readdress(now, number, endpoint);
        }
    }

    /// A node is at another address from now on, to which nothing is connected.
    pub(super) fn readdress(&mut self, now: Instant, number: u16, endpoint: Endpoint) {
        let Some(node) = self.nodes.get_mut(&number) else { return };
        if node.endpoint == endpoint {
            return;
        }
        let subscriptions = node.subscriptions.id();
        let place = node.place(Role::Subscriptions);
        node.endpoint = endpoint;
        self.troubles.forget(&place);
        if let Some(id) = subscriptions {
            self.close(now, id);
        }
    }

    /// Dials a node when it is time, and gives up a connection on which nothing comes.
    pub(super) fn handle_link_timer(&mut self, now: Instant, number: u16, role: Role) {
        let timeout = self.config.timeout_ms;
        let Some(node) = self.nodes.get_mut(&number) else { return };
        if now < node.link(role).deadline(timeout) {
            return;
        }
        match &node.link(role).stage {
            Stage::Resting(_) if role == Role::Subscriptions && !node.commands.is_up() => {
                node.subscriptions.stage = Stage::Resting(Instant::NEVER);
            }
            Stage::Resting(_)
                if self.finder.is_some() && role == Role::Commands && !node.is_found =>
            {
                node.commands.stage = Stage::Resting(Instant::NEVER);
                self.find_primary(now, number, now);
            }
            Stage::Resting(_) => {
                let endpoint = node.endpoint.clone();
                let id = self.dial(Whose::Node(number, role), endpoint);
                if let Some(node) = self.nodes.get_mut(&number) {
                    node.link_mut(role).stage = Stage::Dialling(id, now);
                }
            }
            Stage::Dialling(id, _) => {
                let id = *id;
                self.hang_up(now, id, Kind::Lost, "connecting takes too long");
            }
            Stage::Open(wire) => {
                let id = wire.id;
                self.hang_up(now, id, Kind::Silent, "nothing has come for too long");
            }
        }
    }

    /// Asks a server every so often which life it is in, and whether what is published there still comes.
    pub(super) fn probe(&mut self, now: Instant, number: u16) {
        let next = now + self.jitter(PROBE_MS);
        let Some(node) = self.nodes.get_mut(&number) else { return };
        if let Some((_, until)) = node.probe.pending
            && now >= until
        {
            node.probe.pending = None;
            if let Some(id) = node.subscriptions.id() {
                self.hang_up(now, id, Kind::Deaf, "what is published does not come");
            }
            return;
        }
        let Some(wire) = node.commands.ready_mut().filter(|_| now >= node.probe.next) else {
            return;
        };
        node.probe.next = next;
        ask_life(wire, now);
        if node.probe.is_heard && node.probe.pending.is_none() {
            let nonce = self.random.u64(..);
            let publish: &[u8] = if self.cluster.is_some() { b"SPUBLISH" } else { b"PUBLISH" };
            let text = nonce.to_string();
            let command = [publish, node.probe.channel.as_bytes(), text.as_bytes()];
            wire.ask(now, Owed::Nothing, &command);
            node.probe.pending = Some((nonce, now + self.config.timeout_ms));
        }
        let id = wire.id;
        self.list(id);
    }

    /// Whether Redis can be reached may have changed.
    pub(super) fn note_reachable(&mut self, now: Instant) {
        let is_up = self.nodes.values().any(|node| node.commands.is_up());
        let is_reachable = is_up && self.cluster.as_ref().is_none_or(super::Cluster::is_known);
        if is_reachable != self.reachable {
            self.reachable = is_reachable;
            self.was_reachable |= is_reachable;
            self.since = now;
            self.reports.push_back(Report::Reachable(is_reachable));
        }
    }
}
