//! One message to many: publishes with subscribers, on the same worker and on another.

use super::Round;
use crate::requests::{Wire, publish, subscribe};
use crate::world::{Client, World, Written};

/// Publishes at once, and all that follows from it.
struct FanOut {
    world: World,
    publishers: Vec<Client>,
    request: Vec<u8>,
    subscribers: u64,
}

impl FanOut {
    fn rounds(subscribers: usize, wire: Wire, publishers: usize) -> Box<dyn Round> {
        let mut world = World::new(1);
        world.crowd(0, subscribers, &subscribe("news", wire));
        let publishers = world.crowd(0, publishers, b"");
        world.settle();
        let request = publish("news");
        Box::new(Self { world, publishers, request, subscribers: subscribers as u64 })
    }
}

impl Round for FanOut {
    fn prepare(&mut self) {
        self.world.pass(1);
        for &publisher in &self.publishers {
            self.world.send(publisher, &self.request);
        }
        self.world.written();
    }

    fn run(&mut self) {
        self.world.settle();
    }

    fn check(&mut self) {
        let publishes = self.publishers.len() as u64;
        let Written { calls, bytes } = self.world.written();
        assert_eq!(calls, self.subscribers + publishes, "a write to each, and the answers");
        assert!(bytes > self.subscribers * publishes * 200, "everybody was sent everything");
    }
}

pub(super) fn event_streams() -> Box<dyn Round> {
    FanOut::rounds(1_000, Wire::EventStream, 1)
}

pub(super) fn many_event_streams() -> Box<dyn Round> {
    FanOut::rounds(10_000, Wire::EventStream, 1)
}

pub(super) fn websockets() -> Box<dyn Round> {
    FanOut::rounds(1_000, Wire::WebSocket, 1)
}

pub(super) fn sixteen_at_once() -> Box<dyn Round> {
    FanOut::rounds(1_000, Wire::EventStream, 16)
}

/// What the second worker does when the first has published.
struct Follower {
    world: World,
    publisher: Client,
    request: Vec<u8>,
    subscribers: u64,
}

impl Follower {
    fn rounds(subscribers: usize) -> Box<dyn Round> {
        let mut world = World::new(2);
        let publisher = world.connect(0, b"");
        world.listen(publisher);
        world.settle();
        let topic = topic_of_the_first(&mut world, publisher);
        for _ in 0..subscribers {
            // One to each worker: who has clearly more hands connections over.
            world.connect(0, b"");
            world.connect(1, &subscribe(&topic, Wire::EventStream));
            world.settle();
        }
        let request = publish(&topic);
        Box::new(Self { world, publisher, request, subscribers: subscribers as u64 })
    }
}

/// The name of a topic whose publishes the first worker answers without the second.
fn topic_of_the_first(world: &mut World, publisher: Client) -> String {
    for number in 0..100 {
        let topic = format!("news-{number}");
        world.send(publisher, &publish(&topic));
        world.settle_one(0);
        let is_answered = !world.heard(publisher).is_empty();
        world.settle();
        world.heard(publisher);
        if is_answered {
            return topic;
        }
    }
    unreachable!("half of all topics are the first worker's")
}

impl Round for Follower {
    fn prepare(&mut self) {
        self.world.settle();
        self.world.pass(1);
        self.world.send(self.publisher, &self.request);
        self.world.settle_one(0);
        self.world.written();
    }

    fn run(&mut self) {
        self.world.settle_one(1);
    }

    fn check(&mut self) {
        assert_eq!(self.world.written().calls, self.subscribers, "a write to each");
    }
}

pub(super) fn follower() -> Box<dyn Round> {
    Follower::rounds(1_000)
}

pub(super) fn follower_append() -> Box<dyn Round> {
    Follower::rounds(1)
}
