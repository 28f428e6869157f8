//! Requests on their way out: to which server, in which order, and for how long they wait.

use std::collections::BTreeMap;

use crate::key::OutboundId;
use crate::time::Instant;
use crate::topic::{Epoch, Refusal, Report, Request};

use super::job::Job;
use super::keys;
use super::link::{Owed, Role, Stage};
use super::{Redis, Whose};

/// Milliseconds that a read waits for Redis to come back, at most: somebody waits for it, and is told.
const READ_PATIENCE_MS: u64 = 1_000;
/// Answers that say "again", before a request is refused.
pub(super) const ATTEMPTS_MAX: u8 = 30;

impl Redis {
    /// Takes a request with a number.
    pub(super) fn take(&mut self, now: Instant, request: Request) {
        let mut job = Job {
            request,
            since: now,
            order: self.next_order,
            slot: 0,
            attempts: 0,
            is_doubtful: false,
            begins: 0,
            is_asking: false,
        };
        self.next_order += 1;
        if self.cluster.is_some() {
            job.slot = keys::slot_of(job.topic());
        }
        self.dispatch(now, job);
    }

    /// Sends a request, or puts it where it waits.
    pub(super) fn dispatch(&mut self, now: Instant, job: Job) {
        if let Some(cluster) = &mut self.cluster
            && let Some(hold) = cluster.hold_mut(job.slot)
        {
            hold.jobs.insert(job.order, job);
            self.lose_patience_at(now + self.config.timeout_ms);
            return;
        }
        match self.node_of_slot(job.slot) {
            Some(number) => self.send_or_wait(now, number, job),
            None => self.wait_unrouted(now, job),
        }
    }

    /// The node that has a slot.
    pub(super) fn node_of_slot(&self, slot: u16) -> Option<u16> {
        match &self.cluster {
            Some(cluster) => cluster.node_of(slot).filter(|node| self.nodes.contains_key(node)),
            None => self.nodes.keys().next().copied(),
        }
    }

    fn wait_unrouted(&mut self, now: Instant, job: Job) {
        if now >= job.since + self.patience(&job, false) {
            self.end(job.refuse());
            return;
        }
        self.lose_patience_at(job.since + self.patience(&job, false));
        self.unrouted.insert(job.order, job);
    }

    /// Sends a request to this node, behind those that wait for it.
    pub(super) fn send_or_wait(&mut self, now: Instant, number: u16, job: Job) {
        let Some(node) = self.nodes.get_mut(&number) else { return self.end(job.refuse()) };
        let is_next = node.waiting.is_empty();
        let has_room = node.commands.ready_mut().is_some_and(|wire| wire.has_room());
        if is_next && has_room {
            return self.send(now, number, job);
        }
        self.hold_back(now, number, job);
        self.pump(now, number, Role::Commands);
    }

    /// A request waits for this node, among the others, in its order.
    pub(super) fn hold_back(&mut self, now: Instant, number: u16, job: Job) {
        let Some(node) = self.nodes.get_mut(&number) else { return self.end(job.refuse()) };
        let is_up = node.commands.is_promising();
        // A node of a cluster is dialled when it is first needed.
        if matches!(node.commands.stage, Stage::Resting(Instant::NEVER)) && self.finder.is_none() {
            node.commands.stage = Stage::Resting(now);
        }
        let ends = job.since + self.patience(&job, is_up);
        if now >= ends {
            self.end(job.refuse());
            return;
        }
        self.lose_patience_at(ends);
        if let Some(node) = self.nodes.get_mut(&number) {
            node.waiting.insert(job.order, job);
        }
    }

    /// Writes a request into the node's connection, which is ready.
    fn send(&mut self, now: Instant, number: u16, job: Job) {
        let fresh = Epoch::from_random(self.random.u64(..));
        let Some(node) = self.nodes.get_mut(&number) else { return self.end(job.refuse()) };
        let (Some(wire), Some(life)) = (node.commands.ready_mut(), &node.identity.life) else {
            node.waiting.insert(job.order, job);
            return;
        };
        if job.is_asking {
            wire.ask(now, Owed::Nothing, &[b"ASKING"]);
        }
        if matches!(job.request, Request::Publish { .. }) && self.config.wait_replicas > 0 {
            node.unwaited += 1;
        }
        let (writer, is_cluster) = (&mut self.writer, self.cluster.is_some());
        // The job lies behind what it is written from: first the bytes, then the note that they are owed.
        let job = Box::new(job);
        wire.write_job(now, job, |job, out| writer.encode(job, life, fresh, is_cluster, out));
        let id = wire.id;
        self.list(id);
    }

    /// Writes what waits into a connection, as far as there is room.
    pub(super) fn pump(&mut self, now: Instant, number: u16, role: Role) {
        if role == Role::Subscriptions {
            return self.pump_channels(now, number);
        }
        while let Some(node) = self.nodes.get_mut(&number)
            && node.commands.ready_mut().is_some_and(|wire| wire.has_room())
            && let Some((_, job)) = node.waiting.pop_first()
        {
            self.send(now, number, job);
        }
    }

    /// Puts a `WAIT` behind the publishes that were written since the last one.
    pub(super) fn ask_for_confirmation(&mut self, id: OutboundId) {
        let Some(&Whose::Node(number, Role::Commands)) = self.connections.get(&id) else { return };
        let Some(node) = self.nodes.get_mut(&number).filter(|node| node.unwaited > 0) else {
            return;
        };
        let Some(wire) = node.commands.wire_mut() else { return };
        let replicas = self.config.wait_replicas.to_string();
        // Everything behind it waits as well, so it must end long before the connection counts as dead.
        let most = (self.config.timeout_ms / 2).max(1).to_string();
        wire.ask_behind(Owed::Wait, &[b"WAIT", replicas.as_bytes(), most.as_bytes()]);
        node.unwaited = 0;
    }

    /// Milliseconds that a request may wait.
    fn patience(&self, job: &Job, is_up: bool) -> u64 {
        let config = &self.config;
        match (job.is_read(), is_up) {
            (_, true) => config.publish_wait_ms.saturating_add(config.timeout_ms),
            (true, false) => READ_PATIENCE_MS.min(config.timeout_ms),
            (false, false) => config.publish_wait_ms,
        }
    }

    fn lose_patience_at(&mut self, at: Instant) {
        self.patience_ends = self.patience_ends.min(at);
    }

    /// Ends the requests that have waited for long enough.
    pub(super) fn lose_patience(&mut self, now: Instant) {
        let (mut ended, mut next) = (Vec::new(), Instant::NEVER);
        let mut look = |redis: &Self, waiting: &mut BTreeMap<u64, Job>, is_up: bool| {
            waiting.retain(|_, job| {
                let ends = job.since + redis.patience(job, is_up);
                if now >= ends {
                    ended.push(job.refuse());
                    return false;
                }
                next = next.min(ends);
                true
            });
        };
        let numbers: Vec<u16> = self.nodes.keys().copied().collect();
        for number in numbers {
            let Some(node) = self.nodes.get_mut(&number).filter(|node| !node.waiting.is_empty())
            else {
                continue;
            };
            let (mut waiting, is_up) =
                (std::mem::take(&mut node.waiting), node.commands.is_promising());
            look(self, &mut waiting, is_up);
            if let Some(node) = self.nodes.get_mut(&number) {
                node.waiting = waiting;
            }
        }
        let mut unrouted = std::mem::take(&mut self.unrouted);
        look(self, &mut unrouted, false);
        self.unrouted = unrouted;
        if let Some(mut cluster) = self.cluster.take() {
            cluster.holds_mut().for_each(|hold| look(self, &mut hold.jobs, true));
            self.cluster = Some(cluster);
        }
        self.patience_ends = next;
        ended.into_iter().for_each(|report| self.end(report));
    }

    /// Answers a request.
    pub(super) fn end(&mut self, report: Report) {
        match &report {
            Report::Done { outcome: Ok(_), .. } => self.counters.published += 1,
            Report::Done { outcome: Err(Refusal::OutcomeUnknown), .. } => {
                self.counters.unknown += 1;
            }
            Report::Done { outcome: Err(_), .. } => self.counters.refused += 1,
            Report::Read { page: Ok(_), .. } => self.counters.reads += 1,
            _ => {}
        }
        self.reports.push_back(report);
    }
}
