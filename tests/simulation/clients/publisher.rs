//! Publishes with POST: pipelined, in chunks, with and without keys; repeats what has a key when it is cut.

use std::collections::VecDeque;

use fastrand::Rng;

use super::asking::{Answer, Asking};
use super::draft::draft;
use super::line::{Leaving, Pace};
use super::{Actor, Hands, path};
use crate::coverage::Event;
use crate::judge::{Judge, PublishId};
use crate::topics::number_of_topic;
use crate::wires::Kind;
use crate::wires::http::{Framing, Publish};
use crate::wires::outcomes;
use crate::world::World;

/// Time after which an answer is not waited for any more.
const PATIENCE_MS: u64 = 30_000;

/// See the module.
pub(crate) struct Publisher {
    pace: Pace,
    /// Most publishes under way at a time.
    pipeline_max: usize,
    asking: Option<Asking>,
    /// Publishes under way on this connection, in their order.
    sent: VecDeque<PublishId>,
    /// What was acknowledged last on this connection, by topic.
    before: Vec<Option<PublishId>>,
    /// Publishes with a key of which nothing is known, to be repeated.
    again: VecDeque<PublishId>,
    /// The body of the last publish, which waits for a 100.
    held: Option<Vec<u8>>,
    /// Nothing is sent before that.
    next_ms: u64,
}

impl Publisher {
    pub(crate) fn draw(random: &mut Rng) -> Self {
        let pace = if random.u8(0..8) == 0 { Pace::draw(random) } else { Pace::EAGER };
        Self { pace, pipeline_max: random.usize(1..12), ..Self::new() }
    }

    pub(crate) fn new() -> Self {
        Self {
            pace: Pace::EAGER,
            pipeline_max: 1,
            asking: None,
            sent: VecDeque::new(),
            before: Vec::new(),
            again: VecDeque::new(),
            held: None,
            next_ms: 0,
        }
    }

    pub(crate) fn publish(&mut self, hands: &mut Hands<'_>, id: PublishId) {
        if self.asking.is_none() {
            self.asking = Some(Asking::open(hands, self.pace));
            self.before = vec![None; hands.topics];
        }
        let (topic, payload, key) = hands.judge.draft_of(id);
        let target = path(&[topic]);
        let mut publish = Publish::to(&target);
        publish.key = key;
        publish.event = payload.event.as_deref();
        publish.content_type = match payload.kind {
            Kind::Json => Some("application/json"),
            Kind::Binary => Some("application/octet-stream"),
            Kind::Text | Kind::Unknown => None,
        };
        if hands.random.u8(0..4) == 0 {
            publish.framing = Framing::Chunks(hands.random.usize(1..100));
        }
        let may_wait = self.sent.is_empty() && !hands.calm;
        publish.expects_continue = may_wait && hands.random.u8(0..10) == 0;
        let (mut request, body) = publish.request(&payload.bytes);
        let asked = publish.asked();
        match publish.expects_continue {
            true => self.held = Some(body),
            false => request.extend(body),
        }
        hands.judge.send(id);
        hands.note(|| format!("publishes {id:?} in topic {topic}"));
        if let Some(asking) = &mut self.asking {
            asking.ask(hands, asked, &request);
        }
        self.sent.push_back(id);
        hands.coverage.reach_if(self.sent.len() > 1, Event::PublishesPipelined);
    }

    fn take(&mut self, hands: &mut Hands<'_>) {
        let Some(asking) = &mut self.asking else { return };
        for answer in asking.take(hands) {
            let id = self.sent.pop_front().expect("an answer for each publish");
            hands.note(|| format!("{id:?} is answered with {}", answer.head.status));
            let is_refused = self.held.take().is_some();
            if !self.answered(hands, id, &answer) || is_refused {
                return self.go(hands, Leaving::Close);
            }
        }
        if let Some(asking) = &mut self.asking
            && asking.may_continue()
            && let Some(body) = self.held.take()
        {
            asking.line.send(hands, &body);
        }
    }

    /// False when the connection is over.
    fn answered(&mut self, hands: &mut Hands<'_>, id: PublishId, answer: &Answer) -> bool {
        match answer.head.status {
            201 => {
                let published = outcomes::published(&answer.body);
                let (topic, _, key) = hands.judge.draft_of(id);
                assert_eq!(number_of_topic(&published.topic), topic, "the topic of {id:?}");
                let is_keyed = key.is_some();
                hands.judge.acknowledge(id, &published.id);
                if let (Some(before), false) = (self.before[topic].replace(id), is_keyed) {
                    hands.judge.check_order(before, id);
                }
                if is_keyed {
                    self.before[topic] = None;
                }
            }
            status @ (413 | 503) => {
                let detail = outcomes::refused(status, &answer.body);
                // docs/protocol.md 5.5: of one kind of 503 nobody knows.
                hands.judge.refuse(id, outcomes::is_final(&detail));
                self.next_ms = hands.now_ms() + answer.head.retry_ms().unwrap_or(0);
            }
            // What was on its way for too long did not arrive whole.
            408 => hands.judge.refuse(id, true),
            status => panic!("a right publish is answered with {status}"),
        }
        !answer.head.closes()
    }

    /// Closes the connection: what is not answered is repeated if it has a key, and forgotten otherwise.
    fn go(&mut self, hands: &mut Hands<'_>, how: Leaving) {
        self.held = None;
        for id in std::mem::take(&mut self.sent) {
            if hands.judge.draft_of(id).2.is_some() {
                self.again.push_back(id);
            }
        }
        if let Some(asking) = self.asking.take() {
            asking.line.leave(hands, how);
            let own_ms = if hands.calm { 100 } else { hands.random.u64(0..1_000) };
            self.next_ms = self.next_ms.max(hands.now_ms() + own_ms);
        }
    }

    fn may_send(&self, hands: &Hands<'_>) -> bool {
        self.next_ms <= hands.now_ms() && self.has_room()
    }

    fn has_room(&self) -> bool {
        self.sent.len() < self.pipeline_max && self.held.is_none()
    }
}

impl Actor for Publisher {
    fn is_reader(&self) -> bool {
        false
    }

    fn is_awake(&self, world: &World) -> bool {
        self.wakes_at_ms(world) <= world.now_ms()
            || self.asking.as_ref().is_some_and(|asking| asking.line.is_awake(world))
    }

    fn wakes_at_ms(&self, world: &World) -> u64 {
        let mut wakes_at_ms = u64::MAX;
        if let Some(Asking { line, .. }) = &self.asking {
            wakes_at_ms = line.wakes_at_ms(world);
            if !self.sent.is_empty() {
                wakes_at_ms = wakes_at_ms.min(line.used_ms + PATIENCE_MS);
            }
        }
        if !self.again.is_empty() && self.has_room() {
            wakes_at_ms = wakes_at_ms.min(self.next_ms);
        }
        wakes_at_ms
    }

    fn wake(&mut self, hands: &mut Hands<'_>) {
        self.take(hands);
        if let Some(Asking { line, .. }) = &self.asking {
            let is_late = !self.sent.is_empty() && line.used_ms + PATIENCE_MS <= hands.now_ms();
            if let Some(end) = line.ended(hands.world) {
                hands.note_end(line, end, !self.sent.is_empty());
                self.go(hands, Leaving::Close);
            } else if is_late {
                hands.reach(Event::LostPatience);
                self.go(hands, Leaving::Reset);
            }
        }
        if self.may_send(hands)
            && let Some(id) = self.again.pop_front()
        {
            self.publish(hands, id);
        }
    }

    fn act(&mut self, hands: &mut Hands<'_>) {
        if hands.random.u8(0..20) == 0 {
            let how = Leaving::draw(hands.random);
            return self.go(hands, how);
        }
        let count = if hands.random.u8(0..3) == 0 { self.pipeline_max } else { 1 };
        for _ in 0..count {
            if self.may_send(hands) {
                let id = draft(hands);
                self.publish(hands, id);
            }
        }
    }

    fn is_content(&self, _judge: &mut Judge) -> bool {
        self.sent.is_empty() && self.again.is_empty()
    }

    fn leave(&mut self, hands: &mut Hands<'_>, how: Leaving) {
        self.go(hands, how);
        self.again.clear();
    }

    fn describe(&self) -> String {
        format!("publisher with {:?} under way and {:?} to repeat", self.sent, self.again)
    }
}
