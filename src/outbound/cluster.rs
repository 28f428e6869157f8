//! A cluster: which node has which slot, and what happens while slots are on their way.
//!
//! A slot is *held* while requests of it may be answered by a redirection: what comes meanwhile waits behind them, so
//! that a topic's publishes arrive in the order in which they were made.

use std::collections::BTreeMap;

use crate::config::Endpoint;
use crate::time::Instant;
use crate::topic::TopicName;
use crate::wire::resp3::Value;

use super::Redis;
use super::job::Job;
use super::keys;
use super::link::{Owed, Role, Then};
use super::node::Node;
use super::trouble::{Kind, Place};

/// No node.
const NOBODY: u16 = u16::MAX;
/// Nodes with slots, at most. Redis recommends fewer than 1000.
const NODES_MAX: usize = 1_000;
/// Milliseconds between two looks at the slots, at least; and at most, about.
const LOOK_MS: [u64; 2] = [500, 15_000];
/// Milliseconds that a slot rests whose node says "try again", about.
const AGAIN_MS: u64 = 100;

/// What is known of a cluster.
#[derive(Debug)]
pub(super) struct Cluster {
    /// The node of each slot.
    slots: Vec<u16>,
    is_known: bool,
    holds: Vec<Hold>,
    /// When the slots are looked at next, and no sooner than.
    next_look: Instant,
    not_before: Instant,
}

/// A slot whose requests wait.
#[derive(Debug)]
pub(super) struct Hold {
    slot: u16,
    pub(super) jobs: BTreeMap<u64, Job>,
    /// Requests of it that this node has not answered yet.
    owed: usize,
    from: u16,
    until: Instant,
}

impl Cluster {
    fn new() -> Self {
        let slots = vec![NOBODY; usize::from(keys::SLOTS)];
        let (next_look, not_before) = (Instant::NEVER, Instant::default());
        Self { slots, is_known: false, holds: Vec::new(), next_look, not_before }
    }

    pub(super) const fn is_known(&self) -> bool {
        self.is_known
    }

    pub(super) fn node_of(&self, slot: u16) -> Option<u16> {
        self.slots.get(usize::from(slot)).copied().filter(|&node| node != NOBODY)
    }

    pub(super) fn hold_mut(&mut self, slot: u16) -> Option<&mut Hold> {
        self.holds.iter_mut().find(|hold| hold.slot == slot)
    }

    pub(super) fn holds_mut(&mut self) -> impl Iterator<Item = &mut Hold> {
        self.holds.iter_mut()
    }

    /// Requests that are held.
    pub(super) fn held(&self) -> usize {
        self.holds.iter().map(|hold| hold.jobs.len()).sum()
    }

    pub(super) fn deadline(&self) -> Instant {
        let holds = self.holds.iter().filter(|hold| hold.owed == 0).map(|hold| hold.until);
        holds.min().unwrap_or(Instant::NEVER).min(self.next_look)
    }
}

impl Redis {
    pub(super) fn begin_cluster(&mut self) {
        if self.cluster.is_some() {
            return;
        }
        self.cluster = Some(Cluster::new());
        // What waits does not know its slot.
        let waiting: Vec<Job> = self.take_waiting();
        for mut job in waiting {
            job.slot = keys::slot_of(job.topic());
            self.unrouted.insert(job.order, job);
        }
    }

    /// A server that was named is no part of a cluster (any more).
    pub(super) fn end_cluster(&mut self, now: Instant) {
        if self.cluster.is_some() {
            let jobs = self.take_waiting();
            let others: Vec<u16> = self
                .nodes
                .iter()
                .filter(|(_, node)| !node.is_seed)
                .map(|(&number, _)| number)
                .collect();
            self.cluster = None;
            others.into_iter().for_each(|number| self.retire(now, number));
            let Some(only) = self.nodes.keys().next().copied() else { return };
            self.channels.move_all(|_| Some((only, false)));
            for mut job in jobs {
                job.slot = 0;
                self.dispatch(now, job);
            }
        }
    }

    /// Everything that waits anywhere, in its order.
    fn take_waiting(&mut self) -> Vec<Job> {
        let mut all = std::mem::take(&mut self.unrouted);
        for node in self.nodes.values_mut() {
            all.append(&mut node.waiting);
        }
        if let Some(cluster) = &mut self.cluster {
            for mut hold in cluster.holds.drain(..) {
                all.append(&mut hold.jobs);
            }
        }
        all.into_values().collect()
    }

    /// The slots may have moved: they are looked at soon.
    pub(super) fn want_slots(&mut self, now: Instant) {
        if let Some(cluster) = &mut self.cluster {
            cluster.next_look = cluster.next_look.min(cluster.not_before.max(now));
        }
    }

    pub(super) fn handle_cluster_timer(&mut self, now: Instant) {
        let next = [LOOK_MS[0], LOOK_MS[1]].map(|ms| now + self.jitter(ms));
        let Some(cluster) = &mut self.cluster else { return };
        if now >= cluster.next_look {
            [cluster.not_before, cluster.next_look] = next;
            self.look_at_slots(now);
        }
        while let Some(cluster) = &mut self.cluster
            && let Some(at) =
                cluster.holds.iter().position(|hold| hold.owed == 0 && now >= hold.until)
        {
            let hold = cluster.holds.swap_remove(at);
            hold.jobs.into_values().for_each(|job| self.dispatch(now, job));
        }
    }

    /// Asks any node where the slots are.
    fn look_at_slots(&mut self, now: Instant) {
        let count = self.nodes.values().filter(|node| node.commands.is_ready()).count();
        let which = self.random.usize(..count.max(1));
        let mut ready = self.nodes.values_mut().filter_map(|node| node.commands.ready_mut());
        if let Some(wire) = ready.nth(which) {
            wire.ask(now, Owed::Slots, &[b"CLUSTER", b"SLOTS"]);
            let id = wire.id;
            self.list(id);
        }
    }

    /// What `CLUSTER SLOTS` is answered.
    pub(super) fn handle_slots(&mut self, now: Instant, number: u16, answer: &Value) {
        let Some(asked) = self.nodes.get(&number).map(|node| node.endpoint.clone()) else { return };
        let Some(ranges) = parse_slots(answer, &asked.host) else {
            let what = "CLUSTER SLOTS makes no sense";
            return self.troubles.begin(now, Place::Reading, Kind::Other, what);
        };
        if ranges.is_empty() {
            // It has been reset, or has not met the others yet.
            let what = "the cluster has no slots";
            self.troubles.begin(now, Place::Reading, Kind::ClusterDown, what);
            return self.want_slots(now);
        }
        let mut slots = vec![NOBODY; usize::from(keys::SLOTS)];
        for (first, last, endpoint) in ranges {
            let Some(number) = self.node_at(endpoint) else { continue };
            if let Some(range) = slots.get_mut(usize::from(first)..=usize::from(last)) {
                range.fill(number);
            }
        }
        let next = now + self.jitter(LOOK_MS[1]);
        let Some(cluster) = &mut self.cluster else { return };
        cluster.next_look = next;
        let has_changed = cluster.slots != slots || !cluster.is_known;
        cluster.slots = slots;
        cluster.is_known = true;
        if has_changed {
            self.follow_slots(now);
        }
        // Whether the cluster can be reached shows by one of its nodes.
        let is_tried = |node: &Node| {
            node.commands.id().is_some() || node.commands.deadline(0) < Instant::NEVER
        };
        if !self.nodes.values().any(is_tried)
            && let Some(number) = self.nodes.keys().next().copied()
        {
            self.need(now, number);
        }
        self.note_reachable(now);
    }

    /// The number of the node at this address, which may be new.
    fn node_at(&mut self, endpoint: Endpoint) -> Option<u16> {
        let known =
            self.nodes.iter().find(|(_, node)| node.endpoint == endpoint && !node.is_retired);
        match known {
            Some((&number, _)) => Some(number),
            None if self.nodes.len() >= NODES_MAX => None,
            None => Some(self.add_node(Node::new(endpoint, false, Instant::NEVER))),
        }
    }

    /// Slots are elsewhere: nodes without any go, and what waits and is heard follows its slot.
    fn follow_slots(&mut self, now: Instant) {
        let Some(cluster) = &self.cluster else { return };
        let mut used: Vec<u16> = cluster.slots.clone();
        used.sort_unstable();
        used.dedup();
        let unused: Vec<u16> = self
            .nodes
            .keys()
            .copied()
            .filter(|number| used.binary_search(number).is_err())
            .collect();
        for number in used {
            if let Some(node) = self.nodes.get_mut(&number) {
                node.is_seed = false;
            }
        }
        let held = self.cluster.as_mut().map(|cluster| std::mem::take(&mut cluster.holds));
        let waiting = self.take_waiting();
        if let (Some(cluster), Some(held)) = (&mut self.cluster, held) {
            cluster.holds = held;
        }
        self.move_channels(now);
        unused.into_iter().for_each(|number| self.retire(now, number));
        waiting.into_iter().for_each(|job| self.dispatch(now, job));
    }

    fn move_channels(&mut self, now: Instant) {
        let Some(cluster) = &self.cluster else { return };
        let nodes = &self.nodes;
        let place_of = |topic: &TopicName| {
            let number = cluster.node_of(keys::slot_of(topic))?;
            Some((number, nodes.get(&number)?.subscriptions.is_ready()))
        };
        let moved = self.channels.move_all(place_of);
        let mut touched: Vec<u16> = Vec::new();
        for channel in moved {
            let from = self.nodes.get_mut(&channel.from).filter(|_| channel.was_asked);
            if let Some(node) = from.filter(|node| node.subscriptions.is_ready()) {
                node.to_leave.push_back(channel.topic.clone());
                touched.push(channel.from);
            }
            if channel.is_wanted
                && let Some(node) = self.nodes.get_mut(&channel.to)
            {
                if node.subscriptions.is_ready() {
                    node.to_ask.push_back(channel.topic);
                }
                touched.push(channel.to);
            }
        }
        touched.sort_unstable();
        touched.dedup();
        for number in touched {
            self.need(now, number);
            self.pump_channels(now, number);
        }
    }

    /// A node is needed no longer. It goes when it has answered what it was asked.
    fn retire(&mut self, now: Instant, number: u16) {
        let Some(node) = self.nodes.get_mut(&number) else { return };
        node.is_retired = true;
        if let Some(wire) = node.commands.wire_mut()
            && !wire.owed.is_empty()
        {
            wire.settle(Then::Close(Kind::ClusterDown));
            return;
        }
        let ids = [node.commands.id(), node.subscriptions.id()];
        ids.into_iter().flatten().for_each(|id| self.close(now, id));
        self.forget_node(now, number);
    }

    /// A node that is needed no longer and has no connection goes.
    fn forget_node(&mut self, now: Instant, number: u16) {
        let Some(node) = self.nodes.remove(&number) else { return };
        for role in [Role::Commands, Role::Subscriptions] {
            self.troubles.forget(&node.place(role));
            if let Some(id) = node.link(role).id() {
                self.let_go(id);
            }
        }
        self.channels.park(number);
        node.waiting.into_values().for_each(|job| self.dispatch(now, job));
    }

    /// A node's connection for commands was lost.
    pub(super) fn note_node_lost(&mut self, now: Instant, number: u16, until: Instant) {
        self.release_from(now, number);
        if self.nodes.get(&number).is_some_and(|node| node.is_retired) {
            return self.forget_node(now, number);
        }
        self.want_slots(now);
        let is_cut_off = !self.nodes.values().any(|node| node.commands.is_up() || node.is_seed);
        if is_cut_off {
            // Those that were named may know where the others are now.
            self.add_seed(until);
        }
    }

    /// What a node was to answer will not be answered any more.
    fn release_from(&mut self, now: Instant, number: u16) {
        let Some(cluster) = &mut self.cluster else { return };
        for hold in cluster.holds.iter_mut().filter(|hold| hold.from == number) {
            hold.owed = 0;
            hold.until = hold.until.min(now);
        }
    }

    /// A request of this slot was answered by this node.
    pub(super) fn note_slot_answered(&mut self, now: Instant, number: u16, slot: u16) {
        let Some(cluster) = &mut self.cluster else { return };
        let Some(hold) = cluster.hold_mut(slot).filter(|hold| hold.from == number) else { return };
        hold.owed = hold.owed.saturating_sub(1);
        if hold.owed == 0 && now >= hold.until {
            self.handle_cluster_timer(now);
        }
    }

    /// Requests of this slot wait: those that were sent to this node until it has answered them.
    fn hold(&mut self, number: u16, job: Job, until: Instant) {
        let slot = job.slot;
        let owed =
            self.nodes.get(&number).and_then(|node| node.commands.wire()).map_or(0, |wire| {
                let is_of_slot = |owed: &&Owed| matches!(owed, Owed::Job(job) if job.slot == slot);
                wire.owed.iter().filter(is_of_slot).count()
            });
        self.patience_ends = self.patience_ends.min(job.since + self.config.timeout_ms);
        let Some(cluster) = &mut self.cluster else { return self.end(job.refuse()) };
        let jobs = BTreeMap::new();
        // The answer that led here is counted behind this.
        let fresh = Hold { slot, jobs, owed: owed + 1, from: number, until };
        if cluster.hold_mut(slot).is_none() {
            cluster.holds.push(fresh);
        }
        if let Some(hold) = cluster.hold_mut(slot) {
            hold.until = hold.until.max(until);
            hold.jobs.insert(job.order, job);
        }
        // What waits for that node is of the same slot, perhaps, and must stay behind.
        if let Some(node) = self.nodes.get_mut(&number) {
            let is_of_slot = |job: &Job| job.slot == slot;
            let orders: Vec<u64> = node
                .waiting
                .iter()
                .filter(|(_, job)| is_of_slot(job))
                .map(|(&order, _)| order)
                .collect();
            for order in orders {
                if let (Some(job), Some(cluster)) = (node.waiting.remove(&order), &mut self.cluster)
                    && let Some(hold) = cluster.hold_mut(slot)
                {
                    hold.jobs.insert(order, job);
                }
            }
        }
    }

    /// The slot has moved for good.
    pub(super) fn handle_moved(&mut self, now: Instant, number: u16, job: Job, text: &[u8]) {
        self.counters.retried += 1;
        if self.cluster.is_none() || self.note_moved(now, number, text).is_none() {
            return self.end(job.refuse());
        }
        self.hold(number, job, now);
    }

    /// Takes down where a slot is, from an error that says it.
    pub(super) fn note_moved(&mut self, now: Instant, number: u16, text: &[u8]) -> Option<()> {
        let (slot, endpoint) = self.parse_redirection(number, text)?;
        let target = self.node_at(endpoint)?;
        let cluster = self.cluster.as_mut()?;
        *cluster.slots.get_mut(usize::from(slot))? = target;
        self.move_channels(now);
        self.want_slots(now);
        Some(())
    }

    fn parse_redirection(&self, number: u16, text: &[u8]) -> Option<(u16, Endpoint)> {
        let asked = &self.nodes.get(&number)?.endpoint.host;
        let mut words = std::str::from_utf8(text).ok()?.split(' ').skip(1);
        let slot = words.next()?.parse().ok().filter(|&slot: &u16| slot < keys::SLOTS)?;
        let (host, port) = words.next()?.rsplit_once(':')?;
        // Redis 7: no host means the one that was asked.
        let host = if host.is_empty() || host == "?" { asked } else { host };
        Some((slot, Endpoint { host: host.to_owned(), port: port.parse().ok()? }))
    }

    /// The slot is moving, and this topic has gone ahead.
    pub(super) fn handle_ask(&mut self, now: Instant, number: u16, mut job: Job, text: &[u8]) {
        self.counters.retried += 1;
        let target = self.parse_redirection(number, text).and_then(|(_, it)| self.node_at(it));
        let Some(target) = target.filter(|_| self.cluster.is_some()) else {
            return self.end(job.refuse());
        };
        job.is_asking = true;
        self.need(now, target);
        self.send_or_wait(now, target, job);
    }

    /// Nobody has the slot for now.
    pub(super) fn hold_slot(&mut self, now: Instant, number: u16, mut job: Job) {
        self.counters.retried += 1;
        // How long that lasts is known to nobody: patience ends it, not the count.
        job.attempts = job.attempts.saturating_sub(1);
        self.want_slots(now);
        let until = now + self.jitter(AGAIN_MS);
        if self.cluster.is_some() {
            self.hold(number, job, until);
        } else {
            self.end(job.refuse());
        }
    }
}

/// What `CLUSTER SLOTS` says: first and last slot, and where they are. `None`: it is no such thing.
fn parse_slots(answer: &Value, asked: &str) -> Option<Vec<(u16, u16, Endpoint)>> {
    let mut ranges = Vec::new();
    for range in answer.as_array()? {
        let parts = range.as_array()?;
        let slot = |part: Option<&Value>| u16::try_from(part?.as_integer()?).ok();
        let (first, last) = (slot(parts.first())?, slot(parts.get(1))?);
        let primary = parts.get(2)?.as_array()?;
        let host = match primary.first()? {
            Value::Null => asked,
            host => host.as_text().map(|host| if host.is_empty() { asked } else { host })?,
        };
        let port = u16::try_from(primary.get(1)?.as_integer()?).ok()?;
        if first > last || last >= keys::SLOTS || host.len() > 255 {
            return None;
        }
        // A node whose name is not known yet is not reached by anybody.
        if host != "?" {
            ranges.push((first, last, Endpoint { host: host.to_owned(), port }));
        }
    }
    Some(ranges)
}
