//! Connections that come, wait, publish, poll and go.

use super::Round;
use crate::requests::{Wire, batch, get, publish as publish_request, subscribe};
use crate::world::{Client, World};

/// Clients connect and subscribe, to a server of their own each round.
struct Connect {
    world: World,
    clients: usize,
}

impl Round for Connect {
    fn prepare(&mut self) {
        self.world = World::new(1);
        self.world.settle();
        self.world.crowd(0, self.clients, &subscribe("news", Wire::EventStream));
    }

    fn run(&mut self) {
        self.world.settle();
    }

    fn check(&mut self) {
        assert_eq!(self.world.written().calls, self.clients as u64, "everybody was answered");
    }
}

pub(super) fn connect_few() -> Box<dyn Round> {
    Box::new(Connect { world: World::new(1), clients: 1_000 })
}

pub(super) fn connect_many() -> Box<dyn Round> {
    Box::new(Connect { world: World::new(1), clients: 10_000 })
}

/// Clients of event streams close, all at once.
struct Leave {
    world: World,
}

impl Round for Leave {
    fn prepare(&mut self) {
        let clients = self.world.crowd(0, 1_000, &subscribe("news", Wire::EventStream));
        self.world.settle();
        for client in clients {
            self.world.finish(client);
        }
    }

    fn run(&mut self) {
        self.world.settle();
    }

    fn check(&mut self) {
        assert_eq!(self.world.connections(), 0, "nobody is left");
    }
}

pub(super) fn leave() -> Box<dyn Round> {
    Box::new(Leave { world: World::new(1) })
}

/// Event streams on which nothing is said but heartbeats.
struct Heartbeats {
    world: World,
}

impl Round for Heartbeats {
    fn prepare(&mut self) {
        // The most that `--heartbeat` allows; nobody's is due twice in it.
        self.world.pass(15_000);
        self.world.written();
    }

    fn run(&mut self) {
        self.world.settle();
    }

    fn check(&mut self) {
        assert_eq!(self.world.written().calls, 1_000, "a heartbeat to each");
    }
}

pub(super) fn heartbeats() -> Box<dyn Round> {
    let mut world = World::new(1);
    world.crowd(0, 1_000, &subscribe("news", Wire::EventStream));
    world.settle();
    Box::new(Heartbeats { world })
}

/// A client comes back to an event stream, with a cursor on a message that is still retained.
struct CatchUp {
    world: World,
    request: Vec<u8>,
}

const BEHIND: usize = 30;

impl Round for CatchUp {
    fn prepare(&mut self) {
        self.world.connect(0, &self.request);
        self.world.written();
    }

    fn run(&mut self) {
        self.world.settle();
    }

    fn check(&mut self) {
        assert!(self.world.written().bytes > BEHIND as u64 * 200, "it was sent what it missed");
    }
}

pub(super) fn catch_up() -> Box<dyn Round> {
    let mut world = World::new(1);
    let publisher = world.connect(0, &publish_request("news"));
    world.listen(publisher);
    world.settle();
    let heard = world.heard(publisher);
    let cursor = heard.split("\"id\":\"").nth(1).and_then(|rest| rest.split('"').next());
    let cursor = cursor.expect("the answer to a publish has an id");
    let target = format!("/topics/news?after={cursor}");
    let request = get(&target, "Accept: text/event-stream\r\n");
    for _ in 0..BEHIND {
        world.send(publisher, &publish_request("news"));
        world.settle();
    }
    Box::new(CatchUp { world, request })
}

/// One request on a connection that is kept alive, and its answer.
struct Exchange {
    world: World,
    client: Client,
    request: Vec<u8>,
}

impl Exchange {
    fn rounds(mut world: World, request: Vec<u8>) -> Box<dyn Round> {
        let client = world.connect(0, b"");
        world.settle();
        Box::new(Self { world, client, request })
    }
}

impl Round for Exchange {
    fn prepare(&mut self) {
        self.world.pass(1);
        self.world.send(self.client, &self.request);
        self.world.written();
        self.world.listen(self.client);
        self.world.heard(self.client);
    }

    fn run(&mut self) {
        self.world.settle();
    }

    fn check(&mut self) {
        let answer = self.world.heard(self.client);
        assert!(answer.starts_with("HTTP/1.1 20"), "it was answered: {answer}");
    }
}

pub(super) fn publish() -> Box<dyn Round> {
    Exchange::rounds(World::new(1), publish_request("news"))
}

pub(super) fn publish_among_many() -> Box<dyn Round> {
    let mut world = World::new(1);
    let client = world.connect(0, b"");
    world.settle();
    for topic in 0..10_000 {
        world.send(client, &publish_request(&format!("topic-{topic}")));
        world.settle();
    }
    Exchange::rounds(world, publish_request("topic-5000"))
}

pub(super) fn batch_of_messages() -> Box<dyn Round> {
    Exchange::rounds(World::new(1), batch("news", 64))
}

pub(super) fn short_poll() -> Box<dyn Round> {
    let mut world = World::new(1);
    world.connect(0, &publish_request("news"));
    world.settle();
    Exchange::rounds(world, get("/topics/news?after=latest", ""))
}

/// A client that polls and waits, and one that publishes.
struct LongPoll {
    world: World,
    poller: Client,
    publisher: Client,
    poll: Vec<u8>,
    publish: Vec<u8>,
}

impl Round for LongPoll {
    fn prepare(&mut self) {
        self.world.pass(1);
        self.world.written();
        self.world.send(self.poller, &self.poll);
    }

    fn run(&mut self) {
        self.world.settle();
        self.world.send(self.publisher, &self.publish);
        self.world.settle();
    }

    fn check(&mut self) {
        let written = self.world.written();
        assert!(written.calls == 2 && written.bytes > 400, "both were answered: {written:?}");
    }
}

pub(super) fn long_poll() -> Box<dyn Round> {
    let mut world = World::new(1);
    let (poller, publisher) = (world.connect(0, b""), world.connect(0, b""));
    world.settle();
    let poll = get("/topics/news?wait=25", "");
    let publish = publish_request("news");
    Box::new(LongPoll { world, poller, publisher, poll, publish })
}
