//! Reads all that a topic retains, page by page, when it is at rest.

use super::asking::Asking;
use super::line::{Leaving, Pace};
use super::{Actor, Hands, path};
use crate::judge::{Judge, PublishId, Start, Sub, Wants};
use crate::wires::http::{Asked, get};
use crate::wires::poll::poll;
use crate::world::World;

/// See the module.
pub(crate) struct Auditor {
    topic: usize,
    asking: Option<Asking>,
    sub: Option<Sub>,
    cursor: Option<String>,
    pages: Vec<Vec<PublishId>>,
    is_done: bool,
}

impl Auditor {
    pub(crate) fn new(topic: usize) -> Self {
        Self { topic, asking: None, sub: None, cursor: None, pages: Vec::new(), is_done: false }
    }

    fn ask(&mut self, hands: &mut Hands<'_>) {
        let (start, text) = match &self.cursor {
            Some(cursor) => (Start::Cursor(cursor.clone()), cursor.as_str()),
            None => (Start::Earliest, "earliest"),
        };
        let target = format!("{}?after={text}", path(&[self.topic]));
        let what = format!("the auditor of topic {}", self.topic);
        self.sub = Some(hands.judge.begin(&what, Wants::Poll, &[self.topic], &start));
        let mut asking = self.asking.take().unwrap_or_else(|| Asking::open(hands, Pace::EAGER));
        asking.ask(hands, Asked::Get, &get(&target, &[]));
        self.asking = Some(asking);
    }
}

impl Actor for Auditor {
    fn is_awake(&self, world: &World) -> bool {
        let has_more = self.asking.as_ref().is_some_and(|asking| asking.line.is_awake(world));
        !self.is_done && (self.sub.is_none() || has_more)
    }

    fn wakes_at_ms(&self, _world: &World) -> u64 {
        if self.is_done || self.sub.is_some() { u64::MAX } else { 0 }
    }

    fn wake(&mut self, hands: &mut Hands<'_>) {
        let Some(sub) = self.sub else { return self.ask(hands) };
        let Some(asking) = &mut self.asking else { return };
        let answer = asking.take(hands).pop();
        let is_over = asking.line.ended(hands.world).is_some();
        let closes = answer.as_ref().is_some_and(|answer| answer.head.closes());
        if let Some(answer) = answer {
            self.sub = None;
            if answer.head.status == 200 {
                let polled = poll(&answer.body, answer.head.field("etag"));
                self.pages.push(hands.judge.polled(sub, &polled));
                hands.judge.check_retained(self.topic, &self.pages);
                self.is_done = !polled.more;
                self.cursor = Some(polled.cursor);
            } else {
                hands.judge.end(sub);
            }
        } else if is_over {
            hands.judge.end(sub);
            self.sub = None;
        }
        if (closes || is_over)
            && let Some(asking) = self.asking.take()
        {
            asking.line.leave(hands, Leaving::Close);
        }
    }

    fn act(&mut self, _hands: &mut Hands<'_>) {}

    fn is_content(&self, judge: &mut Judge) -> bool {
        let cursor = self.cursor.as_ref();
        self.is_done && cursor.is_some_and(|cursor| judge.is_at_head(&[self.topic], cursor))
    }

    fn leave(&mut self, hands: &mut Hands<'_>, how: Leaving) {
        if let Some(sub) = self.sub.take() {
            hands.judge.end(sub);
        }
        if let Some(asking) = self.asking.take() {
            asking.line.leave(hands, how);
        }
        self.is_done = true;
    }

    fn describe(&self) -> String {
        format!("auditor of topic {}, at {:?}", self.topic, self.cursor)
    }
}
