//! Channels are asked for and left, and what is published to them is heard.

use crate::key::OutboundId;
use crate::time::Instant;
use crate::topic::{Report, TopicName};
use crate::wire::resp3::Value;

use super::channels::Step;
use super::keys;
use super::link::{Phase, Role, Stage, Wire};
use super::trouble::Kind;
use super::{Redis, job};

/// Channels of one command.
const BATCH: usize = 512;
/// Channels that are asked for and not confirmed, at most: each confirmation takes Redis memory until it is sent.
const UNCONFIRMED_MAX: usize = 8 * BATCH;

impl Redis {
    /// The hub wants to hear a topic.
    pub(super) fn listen(&mut self, now: Instant, topic: &TopicName) {
        let slot = if self.cluster.is_some() { keys::slot_of(topic) } else { 0 };
        // Without a place for it there is no connection either: it is parked, and moves when there is one.
        let number = self.node_of_slot(slot).unwrap_or(u16::MAX);
        let is_ready = self.nodes.get(&number).is_some_and(|node| node.subscriptions.is_ready());
        match self.channels.listen(topic, number, is_ready) {
            Step::Queue => {
                if let Some(node) = self.nodes.get_mut(&number) {
                    node.to_ask.push_back(topic.clone());
                }
                self.pump_channels(now, number);
            }
            Step::Heard => self.reports.push_back(Report::Listening { topic: topic.clone() }),
            Step::Nothing | Step::Leave => self.need(now, number),
        }
    }

    /// A node of a cluster is dialled when it is first needed.
    pub(super) fn need(&mut self, now: Instant, number: u16) {
        if let Some(node) = self.nodes.get_mut(&number)
            && self.cluster.is_some()
            && matches!(node.commands.stage, Stage::Resting(Instant::NEVER))
        {
            node.commands.stage = Stage::Resting(now);
        }
    }

    /// The hub does not want to hear a topic any more.
    pub(super) fn leave(&mut self, now: Instant, topic: &TopicName) {
        let (number, step) = self.channels.leave(topic);
        if step == Step::Leave
            && let Some(node) = self.nodes.get_mut(&number)
        {
            node.to_leave.push_back(topic.clone());
            self.pump_channels(now, number);
        }
    }

    /// A connection for subscriptions is greeted.
    pub(super) fn begin_subscriptions(&mut self, now: Instant, number: u16) {
        let channel = self.probe_channel(number);
        let command: &[u8] = if self.cluster.is_some() { b"SSUBSCRIBE" } else { b"SUBSCRIBE" };
        let Some(node) = self.nodes.get_mut(&number) else { return };
        let place = node.place(Role::Subscriptions);
        let Some(wire) = node.subscriptions.wire_mut() else { return };
        wire.phase = Phase::Ready;
        wire.ready_since = Some(now);
        wire.tell(now, 1, &[command, channel.as_bytes()]);
        let id = wire.id;
        node.probe.channel = channel;
        node.to_ask.extend(self.channels.unpark(number));
        self.troubles.end(now, &place);
        self.list(id);
    }

    /// A channel of our own, in a slot of this node.
    fn probe_channel(&mut self, number: u16) -> String {
        let tag = match &self.cluster {
            None => "probe".to_owned(),
            Some(cluster) => {
                let is_there =
                    |tag: &String| cluster.node_of(keys::slot(tag.as_bytes())) == Some(number);
                let tags = (0..100_000).map(|number| format!("probe-{number}"));
                // A node without slots brings no message.
                tags.into_iter().find(is_there).unwrap_or_default()
            }
        };
        format!("{}:{{{tag}}}:{:016x}", self.config.prefix, self.random.u64(..))
    }

    /// Asks for and leaves channels, as far as there is room.
    pub(super) fn pump_channels(&mut self, now: Instant, number: u16) {
        let is_cluster = self.cluster.is_some();
        let commands: [&[u8]; 2] = if is_cluster {
            [b"SUNSUBSCRIBE", b"SSUBSCRIBE"]
        } else {
            [b"UNSUBSCRIBE", b"SUBSCRIBE"]
        };
        // Channels of one command must be in one slot.
        let batch = if is_cluster { 1 } else { BATCH };
        let Some(node) = self.nodes.get_mut(&number) else { return };
        let Some(wire) = node.subscriptions.ready_mut() else { return };
        let has_room = |wire: &Wire| wire.has_room() && wire.unconfirmed < UNCONFIRMED_MAX;
        while has_room(wire) && !(node.to_leave.is_empty() && node.to_ask.is_empty()) {
            let count = node.to_leave.len().min(batch);
            let leave: Vec<TopicName> = node.to_leave.drain(..count).collect();
            let count = node.to_ask.len().min(batch);
            let ask = node.to_ask.drain(..count);
            let ask: Vec<TopicName> =
                ask.filter(|topic| self.channels.ask(topic, number)).collect();
            for (command, topics) in commands.iter().zip([leave, ask]) {
                if topics.is_empty() {
                    continue;
                }
                let name = |topic| keys::channel(&self.config.prefix, topic);
                let names: Vec<String> = topics.iter().map(name).collect();
                let arguments: Vec<&[u8]> =
                    [*command].into_iter().chain(names.iter().map(String::as_bytes)).collect();
                wire.tell(now, names.len(), &arguments);
            }
        }
        let id = wire.id;
        self.list(id);
    }

    /// Something that Redis sends by itself: a confirmation or a message.
    pub(super) fn handle_push(&mut self, now: Instant, number: u16, parts: Vec<Value>) {
        let Ok([kind, channel, payload]) = <[Value; 3]>::try_from(parts) else { return };
        let (Some(kind), Some(channel)) = (kind.as_bytes(), channel.as_bytes()) else { return };
        match kind {
            b"message" | b"smessage" => {
                if let Some(payload) = payload.into_bytes() {
                    self.handle_message(number, channel, payload);
                }
            }
            b"subscribe" | b"ssubscribe" => {
                self.note_confirmed(number);
                self.handle_subscribed(now, number, channel);
            }
            b"unsubscribe" | b"sunsubscribe" => self.handle_unsubscribed(now, number, channel),
            _ => {}
        }
    }

    fn note_confirmed(&mut self, number: u16) {
        if let Some(wire) =
            self.nodes.get_mut(&number).and_then(|node| node.subscriptions.wire_mut())
        {
            wire.unconfirmed = wire.unconfirmed.saturating_sub(1);
        }
    }

    fn handle_subscribed(&mut self, now: Instant, number: u16, channel: &[u8]) {
        let Some(node) = self.nodes.get_mut(&number) else { return };
        if node.probe.channel.as_bytes() == channel {
            // The first one goes out at once: this connection has brought nothing yet.
            node.probe.is_heard = true;
            node.probe.next = node.probe.next.min(now);
            return self.probe(now, number);
        }
        let name = keys::name_of(&self.config.prefix, channel);
        if let Some(topic) = name.and_then(|name| self.channels.confirm(&name, number)) {
            self.reports.push_back(Report::Listening { topic });
        }
    }

    /// We have left a channel; or its slot has left this node.
    fn handle_unsubscribed(&mut self, now: Instant, number: u16, channel: &[u8]) {
        let Some(node) = self.nodes.get_mut(&number) else { return };
        if node.probe.channel.as_bytes() == channel {
            node.probe.is_heard = false;
            node.probe.pending = None;
            self.want_slots(now);
            if let Some(id) = self.nodes.get(&number).and_then(|node| node.subscriptions.id()) {
                // Its next probe channel is in a slot that is still there.
                self.close(now, id);
            }
            return;
        }
        let Some(name) = keys::name_of(&self.config.prefix, channel) else { return };
        if self.channels.is_left(&name, number) {
            self.note_confirmed(number);
        } else {
            self.want_slots(now);
        }
        if let Some(topic) = self.channels.unsubscribed(&name, number)
            && let Some(node) = self.nodes.get_mut(&number)
        {
            node.to_ask.push_back(topic);
        }
    }

    fn handle_message(&mut self, number: u16, channel: &[u8], payload: Vec<u8>) {
        let Some(node) = self.nodes.get_mut(&number) else { return };
        if node.probe.channel.as_bytes() == channel {
            let nonce =
                std::str::from_utf8(&payload).ok().and_then(|text| text.parse::<u64>().ok());
            if node.probe.pending.is_some_and(|(pending, _)| Some(pending) == nonce) {
                node.probe.pending = None;
            }
            return;
        }
        let Some(name) = keys::name_of(&self.config.prefix, channel) else { return };
        let Some(topic) = self.channels.heard(&name, number) else { return };
        if let Some((position, record)) = job::parse_heard(payload) {
            self.counters.heard += 1;
            self.reports.push_back(Report::Heard { topic: topic.clone(), position, record });
        }
    }

    /// An answer on a connection for subscriptions that no greeting is owed: a channel was refused.
    pub(super) fn handle_channel_error(
        &mut self,
        now: Instant,
        number: u16,
        id: OutboundId,
        value: Value,
    ) {
        let Value::Error(text) = value else {
            return self.hang_up(now, id, Kind::NotRedis, "it answers what nobody has asked");
        };
        if text.starts_with(b"MOVED ") && self.note_moved(now, number, &text).is_some() {
            self.note_confirmed(number);
            return;
        }
        let (kind, shown) = (Kind::of_error(&text), String::from_utf8_lossy(&text).into_owned());
        self.hang_up(now, id, kind, &shown);
    }
}
