//! Publishes the last messages of a topic, when all is calm, and says whether it was acknowledged.

use super::draft::draft_for;
use super::line::Leaving;
use super::publisher::Publisher;
use super::{Actor, Hands};
use crate::judge::{Judge, PublishId};
use crate::world::World;

/// See the module.
pub(crate) struct Sentinel {
    topic: usize,
    publisher: Publisher,
    message: Option<PublishId>,
}

impl Sentinel {
    pub(crate) fn new(topic: usize) -> Self {
        Self { topic, publisher: Publisher::new(), message: None }
    }
}

impl Actor for Sentinel {
    fn is_reader(&self) -> bool {
        false
    }

    fn is_awake(&self, world: &World) -> bool {
        self.message.is_none() || self.publisher.is_awake(world)
    }

    fn wakes_at_ms(&self, world: &World) -> u64 {
        if self.message.is_none() { 0 } else { self.publisher.wakes_at_ms(world) }
    }

    fn wake(&mut self, hands: &mut Hands<'_>) {
        if self.message.is_none() {
            // One right behind the other: the last ones come in the middle of the walk that the first began.
            for _ in 0..3 {
                let id = draft_for(hands, self.topic, true);
                self.message = Some(id);
                self.publisher.publish(hands, id);
            }
        }
        self.publisher.wake(hands);
    }

    fn act(&mut self, _hands: &mut Hands<'_>) {}

    fn is_content(&self, judge: &mut Judge) -> bool {
        // Refused for want of memory is an answer as well.
        self.message.is_some() && self.publisher.is_content(judge)
    }

    fn leave(&mut self, hands: &mut Hands<'_>, how: Leaving) {
        self.publisher.leave(hands, how);
    }

    fn describe(&self) -> String {
        format!("sentinel of topic {}: {}", self.topic, self.publisher.describe())
    }
}
