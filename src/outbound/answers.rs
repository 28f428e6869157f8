//! What comes on a connection for commands: each answer is that of the first thing that is owed.

use crate::key::OutboundId;
use crate::time::Instant;
use crate::topic::{Refusal, Report, Request};
use crate::wire::resp3::{RespError, Value};

use super::greeting::{Mode, parse_hello};
use super::job::Job;
use super::link::{Owed, Phase, Role, Then};
use super::requests::ATTEMPTS_MAX;
use super::trouble::{Kind, Place};
use super::{Redis, Whose};

impl Redis {
    /// Reads what has come on a connection. It may be gone behind any value.
    pub(super) fn read(&mut self, now: Instant, id: OutboundId, mut bytes: &[u8]) {
        let Some(&whose) = self.connections.get(&id) else { return };
        if let Some(wire) = self.wire_mut(id) {
            wire.note_heard(now);
        }
        loop {
            let Some(wire) = self.wire_mut(id) else { return };
            match wire.decoder.read(bytes) {
                Ok((taken, value)) => {
                    bytes = bytes.get(taken..).unwrap_or_default();
                    let Some(value) = value else { break };
                    self.handle_value(now, id, whose, value);
                }
                Err(error) => {
                    let kind = if error == RespError::Tls { Kind::Tls } else { Kind::NotRedis };
                    self.hang_up(now, id, kind, error.reason());
                    return;
                }
            }
        }
        if let Whose::Node(number, role) = whose {
            self.settle(now, number, role);
            self.pump(now, number, role);
        }
    }

    fn handle_value(&mut self, now: Instant, id: OutboundId, whose: Whose, value: Value) {
        match (whose, value) {
            (Whose::Node(number, Role::Subscriptions), Value::Push(parts)) => {
                self.handle_push(now, number, parts);
            }
            // Nobody has asked for anything else that would be pushed.
            (_, Value::Push(_)) => {}
            (_, value) => {
                let owed = self.wire_mut(id).and_then(|wire| wire.owed.pop_front());
                match (whose, owed) {
                    (Whose::Node(number, Role::Subscriptions), None) => {
                        self.handle_channel_error(now, number, id, value);
                    }
                    (_, None) => {
                        self.hang_up(now, id, Kind::NotRedis, "it answers what nobody has asked");
                    }
                    (Whose::Node(number, _), Some(Owed::Job(job))) => {
                        self.handle_job_answer(now, number, *job, value);
                    }
                    (Whose::Node(number, role), Some(owed)) => {
                        self.handle_answer(now, (number, role), id, &owed, value);
                    }
                    (Whose::Sentinel, Some(owed)) => {
                        self.handle_sentinel_answer(now, id, &owed, &value);
                    }
                }
            }
        }
    }

    /// The answer to something that we wanted to know ourselves.
    fn handle_answer(
        &mut self,
        now: Instant,
        (number, role): (u16, Role),
        id: OutboundId,
        owed: &Owed,
        value: Value,
    ) {
        if let Some(text) = value.as_error() {
            let (kind, text) = (Kind::of_error(text), String::from_utf8_lossy(text).into_owned());
            match owed {
                Owed::Nothing => self.handle_probe_error(now, number, kind, &text),
                Owed::Wait => self.confirm_publishes(now, number, 0, &text),
                _ => self.hang_up(now, id, kind, &text),
            }
            return;
        }
        let Some(node) = self.nodes.get_mut(&number) else { return };
        let was_ready = node.commands.is_ready();
        let understood = match owed {
            Owed::Hello => match parse_hello(&value) {
                Ok(mode) => return self.note_mode(now, number, role, mode),
                Err(kind) => {
                    return self.hang_up(now, id, kind, "it is not what it should be");
                }
            },
            Owed::Server => node.identity.note_server(&value),
            Owed::Replication => node.identity.note_replication(&value),
            Owed::Slots => {
                self.handle_slots(now, number, &value);
                Some(())
            }
            Owed::Wait => {
                let count = value.as_integer().unwrap_or(0);
                self.confirm_publishes(now, number, count, "too few replicas have confirmed");
                Some(())
            }
            Owed::Agreement | Owed::Nothing | Owed::Primary | Owed::Job(_) => Some(()),
        };
        if understood.is_none() {
            self.hang_up(now, id, Kind::NotRedis, "it does not say who it is");
        } else if was_ready && matches!(owed, Owed::Replication) {
            self.look_at_identity(now, number);
        }
    }

    /// The message of a probe was refused: that it does not come says nothing about the subscriptions.
    fn handle_probe_error(&mut self, now: Instant, number: u16, kind: Kind, what: &str) {
        let Some(node) = self.nodes.get_mut(&number) else { return };
        node.probe.pending = None;
        if kind == Kind::Denied {
            self.troubles.begin(now, Place::Publishing, kind, what);
        }
        self.want_slots(now);
    }

    /// What a server says of itself while it is in use: it may have become another.
    fn look_at_identity(&mut self, now: Instant, number: u16) {
        let Some(node) = self.nodes.get_mut(&number) else { return };
        if node.identity.is_primary {
            self.note_life(now, number);
            return;
        }
        if let Some(wire) = node.commands.wire_mut() {
            wire.settle(Then::Close(Kind::Replica));
        }
        self.want_slots(now);
    }

    fn note_mode(&mut self, now: Instant, number: u16, role: Role, mode: Mode) {
        if role != Role::Commands {
            return;
        }
        match mode {
            Mode::Cluster => {
                self.begin_cluster();
                if let Some(node) = self.nodes.get_mut(&number)
                    && let Some(wire) = node.commands.wire_mut()
                {
                    wire.ask(now, Owed::Slots, &[b"CLUSTER", b"SLOTS"]);
                    let id = wire.id;
                    self.list(id);
                }
            }
            Mode::Single => self.end_cluster(now),
        }
    }

    /// So many replicas have everything that was published on this connection before.
    fn confirm_publishes(&mut self, now: Instant, number: u16, count: i64, what: &str) {
        let Some(node) = self.nodes.get_mut(&number) else { return };
        let is_enough = count >= i64::from(self.config.wait_replicas);
        let place = Place::Publishing;
        let publishes = std::mem::take(&mut node.confirming);
        if publishes.is_empty() {
            return;
        }
        if is_enough {
            self.troubles.end(now, &place);
        } else {
            self.troubles.begin(now, place, Kind::Unconfirmed, what);
        }
        for (number, position) in publishes {
            let outcome = if is_enough { Ok(position) } else { Err(Refusal::TooFewReplicas) };
            self.end(Report::Done { number, outcome });
        }
    }

    fn handle_job_answer(&mut self, now: Instant, number: u16, job: Job, value: Value) {
        let slot = job.slot;
        if let Value::Error(text) = value {
            self.handle_job_error(now, number, job, &text);
        } else {
            self.finish(now, number, job, value);
        }
        self.note_slot_answered(now, number, slot);
    }

    fn finish(&mut self, now: Instant, number: u16, mut job: Job, value: Value) {
        let place = place_of(&job);
        match job.parse(value) {
            Some(Report::Done { number: asked, outcome: Ok(position) })
                if self.config.wait_replicas > 0
                    && matches!(job.request, Request::Publish { .. }) =>
            {
                if let Some(node) = self.nodes.get_mut(&number) {
                    node.confirming.push((asked, position));
                }
            }
            Some(report) => {
                self.troubles.end(now, &place);
                self.end(report);
            }
            None => {
                let what = "an answer makes no sense";
                self.troubles.begin(now, place, Kind::Other, what);
                job.is_doubtful = !job.is_read();
                self.end(job.refuse());
            }
        }
    }

    /// A request was refused: for now, here, or for good.
    fn handle_job_error(&mut self, now: Instant, number: u16, mut job: Job, text: &[u8]) {
        job.attempts = job.attempts.saturating_add(1);
        job.is_asking = false;
        let word = text.split(|&byte| byte == b' ').next().unwrap_or_default();
        let kind = Kind::of_error(text);
        if job.attempts < ATTEMPTS_MAX {
            match (word, kind) {
                (b"MOVED", _) => return self.handle_moved(now, number, job, text),
                (b"ASK", _) => return self.handle_ask(now, number, job, text),
                (b"TRYAGAIN", _) => return self.hold_slot(now, number, job),
                (b"CLUSTERDOWN", _) => {
                    let shown = String::from_utf8_lossy(text);
                    self.troubles.begin(now, place_of(&job), kind, &shown);
                    return self.hold_slot(now, number, job);
                }
                (b"NOSCRIPT" | b"STALELIFE", _) => {
                    return self.put_back(now, number, job, Then::Learn);
                }
                (_, Kind::Replica | Kind::Loading | Kind::Busy | Kind::Password) => {
                    self.want_slots(now);
                    return self.put_back(now, number, job, Then::Close(kind));
                }
                _ => {}
            }
        }
        let shown = String::from_utf8_lossy(text);
        self.troubles.begin(now, place_of(&job), kind, &shown);
        // A script that stops half way leaves what it has written. NOPERM comes before that.
        let is_half_done = matches!(kind, Kind::Other | Kind::Denied) && word != b"NOPERM";
        job.is_doubtful |= is_half_done && !job.is_read();
        self.end(job.refuse());
    }

    /// A request was not carried out, and is sent again when the connection has settled.
    fn put_back(&mut self, now: Instant, number: u16, job: Job, then: Then) {
        self.counters.retried += 1;
        if let Some(node) = self.nodes.get_mut(&number)
            && let Some(wire) = node.commands.wire_mut()
            && wire.phase != Phase::Greeting
        {
            wire.settle(then);
        }
        self.hold_back(now, number, job);
    }
}

fn place_of(job: &Job) -> Place {
    if job.is_read() { Place::Reading } else { Place::Publishing }
}
