//! One test for each bug that was found: what happened, told as what must not happen again.

use std::io::IoSlice;
use std::sync::Arc;

use fastrand::Rng;
use tidings::config::Config;
use tidings::key::ConnectionKey;
use tidings::limits::Limits;
use tidings::time::{Instant, Now};
use tidings::worker::Worker;

/// One worker alone, with an invented clock and peers that are a few bytes in a test.
struct World {
    worker: Worker,
    now_ms: u64,
}

impl World {
    fn new(limits: Limits) -> Self {
        let config = Config { limits, connections_max: 100, workers: 1, ..Config::default() };
        let worker = Worker::new(Arc::new(config), 0, 1, Rng::with_seed(1));
        let mut world = Self { worker, now_ms: 1_000 };
        world.pass(0);
        world
    }

    /// Lets time pass, a tick every 10 ms.
    fn pass(&mut self, ms: u64) {
        for _ in 0..=ms / 10 {
            self.now_ms += 10;
            let now = Now { instant: Instant::from_ms(self.now_ms), wall_ms: self.now_ms };
            self.worker.begin_tick(now, 1);
            self.worker.handle_timers();
        }
    }

    fn connect(&mut self) -> ConnectionKey {
        self.worker.handle_accept("127.0.0.1:9".parse().unwrap()).unwrap()
    }

    fn send(&mut self, key: ConnectionKey, text: &str) {
        self.worker.handle_bytes(key, &mut text.as_bytes().to_vec());
    }

    /// Everything that is sent to `key`, which takes at most `most` bytes; the others take all.
    fn take_at_most(&mut self, key: ConnectionKey, most: usize) -> String {
        let mut taken = Vec::new();
        while let Some(other) = self.worker.poll_write() {
            let mut slices = [IoSlice::new(&[]); 64];
            let filled = self.worker.slices(other, &mut slices);
            let bytes: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect();
            let room = if other == key { most - taken.len() } else { bytes.len() };
            let count = room.min(bytes.len());
            if count == 0 {
                self.worker.handle_blocked(other);
                continue;
            }
            if other == key {
                taken.extend_from_slice(&bytes[..count]);
            }
            self.worker.handle_written(other, count);
        }
        String::from_utf8(taken).unwrap()
    }

    fn take(&mut self, key: ConnectionKey) -> String {
        self.take_at_most(key, usize::MAX)
    }

    fn is_open(&mut self, key: ConnectionKey) -> bool {
        std::iter::from_fn(|| self.worker.poll_closed()).all(|(closed, ..)| closed != key)
    }

    fn publish(&mut self, topic: &str, payload: &str) {
        let key = self.connect();
        let length = payload.len();
        self.send(
            key,
            &format!("POST /topics/{topic} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{payload}"),
        );
        assert!(self.take(key).starts_with("HTTP/1.1 201"));
    }
}

#[test]
fn a_request_after_a_pause_longer_than_the_write_time_is_answered() {
    let mut world = World::new(Limits::default());
    let key = world.connect();
    for _ in 0..2 {
        world.send(key, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
        // The timers fire between the read and the write of one tick.
        world.pass(0);
        assert!(world.take(key).ends_with("ok\n"));
        world.pass(20_000);
        assert!(world.is_open(key));
    }
}

#[test]
fn who_takes_nothing_of_an_answer_is_given_up_after_the_write_time() {
    let mut world = World::new(Limits::default());
    let key = world.connect();
    world.pass(5_000);
    world.send(key, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    world.take_at_most(key, 5);
    world.pass(9_000);
    assert!(world.is_open(key));
    world.pass(2_000);
    assert!(!world.is_open(key));
}

#[test]
fn a_stream_that_has_nothing_to_say_from_its_beginning_has_a_heartbeat() {
    let mut world = World::new(Limits::default());
    let key = world.connect();
    world.send(key, "GET /topics/t HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n");
    assert!(world.take(key).contains("retry: "));
    for _ in 0..3 {
        world.pass(16_000);
        assert_eq!(world.take(key), "3\r\n:\n\n\r\n");
    }
}

#[test]
fn a_topic_with_much_to_replay_does_not_starve_the_others() {
    let limits = Limits { replay_page: 10, ..Limits::default() };
    let mut world = World::new(limits);
    for _ in 0..20 {
        world.publish("a", "1");
    }
    world.publish("b", "2");
    let key = world.connect();
    world.send(key, "GET /topics/a,b HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(world.take(key).contains("\"topic\":\"b\""));
}
