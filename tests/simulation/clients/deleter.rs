//! Deletes a topic, rarely.

use std::collections::VecDeque;

use super::asking::{Answer, Asking};
use super::line::{Leaving, Pace};
use super::{Actor, Hands, path};
use crate::judge::{Deletion, Judge};
use crate::topics::number_of_topic;
use crate::wires::http::{Asked, delete};
use crate::wires::outcomes::{deleted, refused};
use crate::world::World;

/// Time after which an answer is not waited for any more.
const PATIENCE_MS: u64 = 30_000;
/// Of so many turns it uses one.
const TURNS: u8 = 10;

/// See the module.
pub(crate) struct Deleter {
    asking: Option<Asking>,
    /// Topics whose deletion is not answered, in their order.
    sent: VecDeque<(usize, Deletion)>,
}

impl Deleter {
    pub(crate) fn new() -> Self {
        Self { asking: None, sent: VecDeque::new() }
    }

    fn delete(&mut self, hands: &mut Hands<'_>) {
        let topic = hands.random.usize(..hands.topics);
        let mut asking = self.asking.take().unwrap_or_else(|| Asking::open(hands, Pace::EAGER));
        hands.note(|| format!("deletes topic {topic}"));
        let deletion = hands.judge.delete(topic);
        asking.ask(hands, Asked::Delete, &delete(&path(&[topic])));
        self.asking = Some(asking);
        self.sent.push_back((topic, deletion));
    }

    fn take(&mut self, hands: &mut Hands<'_>) {
        let Some(asking) = &mut self.asking else { return };
        for Answer { head, body } in asking.take(hands) {
            let sent = self.sent.pop_front();
            let (topic, deletion) = sent.expect("an answer for each deletion");
            hands.note(|| format!("the deletion of {topic} is answered with {}", head.status));
            match head.status {
                200 => {
                    let (name, cursor) = deleted(&body);
                    assert_eq!(number_of_topic(&name), topic, "another topic is deleted");
                    hands.judge.deleted(&deletion, &cursor);
                }
                // docs/protocol.md 12.2: it has not begun. 5.5: nobody knows.
                status @ (404 | 408 | 503) => {
                    refused(status, &body);
                    hands.judge.not_deleted(&deletion);
                }
                status => panic!("a right deletion is answered with {status}"),
            }
            if head.closes() {
                return self.go(hands, Leaving::Close);
            }
        }
    }

    fn go(&mut self, hands: &mut Hands<'_>, how: Leaving) {
        self.sent.clear();
        if let Some(asking) = self.asking.take() {
            asking.line.leave(hands, how);
        }
    }
}

impl Actor for Deleter {
    fn is_reader(&self) -> bool {
        false
    }

    fn is_awake(&self, world: &World) -> bool {
        let has_more = self.asking.as_ref().is_some_and(|asking| asking.line.is_awake(world));
        has_more || self.wakes_at_ms(world) <= world.now_ms()
    }

    fn wakes_at_ms(&self, world: &World) -> u64 {
        let is_owed = !self.sent.is_empty();
        let asking = self.asking.as_ref();
        asking.map_or(u64::MAX, |asking| asking.wakes_at_ms(world, is_owed, PATIENCE_MS))
    }

    fn wake(&mut self, hands: &mut Hands<'_>) {
        self.take(hands);
        let (asking, is_owed) = (self.asking.as_ref(), !self.sent.is_empty());
        if let Some(how) = asking.and_then(|it| it.over(hands.world, is_owed, PATIENCE_MS)) {
            self.go(hands, how);
        }
    }

    fn act(&mut self, hands: &mut Hands<'_>) {
        if hands.random.u8(0..TURNS) > 0 {
            return;
        }
        match hands.random.u8(0..8) {
            0 => {
                let how = Leaving::draw(hands.random);
                self.go(hands, how);
            }
            1 => {
                self.delete(hands);
                self.delete(hands);
            }
            _ => self.delete(hands),
        }
    }

    fn is_content(&self, _judge: &mut Judge) -> bool {
        self.sent.is_empty()
    }

    fn leave(&mut self, hands: &mut Hands<'_>, how: Leaving) {
        self.go(hands, how);
    }

    fn describe(&self) -> String {
        format!("deleter that waits for {:?}", self.sent)
    }
}
