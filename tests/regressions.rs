//! One test for each bug that was found: what happened, told as what must not happen again.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;

use fastrand::Rng;
use tidings::config::{Config, Entrance};
use tidings::counters::CloseReason;
use tidings::key::ConnectionKey;
use tidings::limits::Limits;
use tidings::reactor::{EventLoop, Readiness, Ring, System, connect};
use tidings::time::{Instant, Now};
use tidings::worker::Worker;

/// One worker alone, with an invented clock and peers that are a few bytes in a test.
struct World {
    worker: Worker,
    now_ms: u64,
}

impl World {
    fn new(limits: Limits) -> Self {
        Self::of(limits, 1)
    }

    /// The first of so many workers; the others are never heard of.
    fn of(limits: Limits, workers: usize) -> Self {
        let config = Config { limits, connections_max: 100, workers, ..Config::default() };
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
        let peer = SocketAddr::from(([127, 0, 0, 1], 9));
        self.worker.handle_accept(peer, Entrance::Public { loopback: true }).expect("there is room")
    }

    fn send(&mut self, key: ConnectionKey, text: &str) {
        self.worker.handle_bytes(key, &mut text.as_bytes().to_vec());
    }

    /// Everything that is sent to `key`, which takes at most `most` bytes; the others take all.
    fn take_at_most(&mut self, key: ConnectionKey, most: usize) -> String {
        let mut taken = Vec::new();
        let mut turns_left = 10_000;
        while let Some(other) = self.worker.poll_write(&mut turns_left) {
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
        String::from_utf8_lossy(&taken).into_owned()
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

fn batch(body: &str) -> String {
    format!(
        "POST /topics HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-ndjson\r\n\
         Transfer-Encoding: chunked\r\n\r\n{body}"
    )
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

/// A line of a batch.
const LINE: &str = "{\"topic\":\"t\",\"data\":1}\n";

#[test]
fn a_batch_holds_no_more_lines_than_one_piece_of_its_body() {
    let mut world = World::new(Limits::default());
    let key = world.connect();
    world.send(key, &batch(""));
    world.take(key);
    let lines = 20_000;
    let body = chunk(&LINE.repeat(lines));
    let mut reports = String::new();
    for piece in body.as_bytes().chunks(8_000) {
        // It is answered slowly, and only sends what is taken.
        while !world.worker.wants_read(key) {
            reports += &world.take(key);
        }
        world.send(key, std::str::from_utf8(piece).expect("ASCII"));
        assert!(world.worker.counters().body_bytes <= 16 * 1024);
    }
    world.send(key, "0\r\n\r\n");
    reports += &world.take(key);
    assert_eq!(reports.matches("\"line\":").count(), lines);
    assert!(reports.ends_with("0\r\n\r\n"));
    assert_eq!(world.worker.counters().body_bytes, 0);
}

#[test]
fn a_batch_of_many_blank_lines_comes_to_its_end() {
    let mut world = World::new(Limits::default());
    let key = world.connect();
    // Nothing is reported on them, so no write makes the batch go on.
    world.send(key, &batch(&(chunk(&"\n".repeat(1_000)) + "0\r\n\r\n")));
    assert!(world.take(key).ends_with("\r\n\r\n0\r\n\r\n"));
}

#[test]
fn an_overlong_last_line_is_reported_when_the_body_ends_behind_it() {
    let mut world = World::new(Limits { body_bytes_max: 100, ..Limits::default() });
    let key = world.connect();
    world.send(key, &batch(&chunk(&"x".repeat(200))));
    world.send(key, "0\r\n\r\n");
    assert!(world.take(key).contains("{\"line\":1,\"error\":{\"type\":\"/errors#line-too-long\""));
}

#[test]
fn a_client_that_closes_its_side_behind_a_whole_batch_gets_every_report() {
    let mut world = World::new(Limits::default());
    let key = world.connect();
    // So many that it has to pause until it is read.
    let lines = 5_000;
    world.send(key, &batch(&(chunk(&LINE.repeat(lines)) + "0\r\n\r\n")));
    world.worker.handle_eof(key);
    assert_eq!(world.take(key).matches("\"line\":").count(), lines);
    assert!(!world.is_open(key));
}

#[test]
fn a_client_that_closes_its_side_in_the_middle_of_a_body_is_gone() {
    let mut world = World::new(Limits::default());
    let batch = batch(&chunk("x\n"));
    for text in ["POST /topics/t HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx", &batch] {
        let key = world.connect();
        world.send(key, text);
        world.worker.handle_eof(key);
        world.take(key);
        assert!(!world.is_open(key));
    }
    assert_eq!(world.worker.counters().body_bytes, 0);
}

#[test]
fn a_drain_ends_whatever_a_connection_was_in_the_middle_of_when_it_was_told() {
    let answer_owed = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    let half_a_head = "GET /topics/t HTTP/1.1\r\nAccept: text/event-stream\r\nHo";
    for (before, after) in [(answer_owed, ""), (half_a_head, "st: a\r\n\r\n")] {
        let mut world = World::new(Limits::default());
        let key = world.connect();
        world.send(key, before);
        world.worker.begin_drain();
        world.pass(100);
        world.send(key, after);
        let answer = world.take(key);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains("tidings:drain") || answer.ends_with("ok\n"), "{answer}");
        world.worker.handle_eof(key);
        assert!(world.worker.is_drained());
    }
}

#[test]
fn a_topic_is_remembered_for_its_idle_time_after_its_last_message_has_aged() {
    let mut world = World::new(Limits::default());
    world.publish("t", "1");
    let poll = |world: &mut World, after: &str| {
        let key = world.connect();
        world.send(key, &format!("GET /topics/t?after={after} HTTP/1.1\r\nHost: a\r\n\r\n"));
        world.take(key)
    };
    let answer = poll(&mut world, "earliest");
    let cursor = answer.split("\"cursor\":\"").nth(1).and_then(|rest| rest.split('"').next());
    world.pass(3_700_000);
    let answer = poll(&mut world, cursor.expect("a poll has a cursor"));
    assert!(!answer.contains("gap"), "{answer}");
}

/// Opens a WebSocket for `tidings.json`.
fn open_websocket(world: &mut World) -> ConnectionKey {
    let key = world.connect();
    world.send(
        key,
        "GET /topics HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: tidings.json\r\n\r\n",
    );
    assert!(world.take(key).contains("\"open\""));
    key
}

/// Sends a command in a frame masked with zeros; returns what comes back.
fn command(world: &mut World, key: ConnectionKey, text: &str) -> String {
    let length = u8::try_from(text.len()).expect("a short command");
    let mut frame = vec![0x81, 0x80 | 126, 0, length, 0, 0, 0, 0];
    if length < 126 {
        frame = vec![0x81, 0x80 | length, 0, 0, 0, 0];
    }
    frame.extend_from_slice(text.as_bytes());
    world.worker.handle_bytes(key, &mut frame);
    world.take(key)
}

#[test]
fn a_refused_command_leaves_the_topics_that_were_subscribed_to() {
    let mut world = World::new(Limits { topics_max: 1, ..Limits::default() });
    let key = open_websocket(&mut world);
    assert!(command(&mut world, key, r#"{"type":"subscribe","topic":"a"}"#).contains("subscribed"));
    let both = r#"{"type":"subscribe","topics":["a","b"],"after":"earliest"}"#;
    assert!(command(&mut world, key, both).contains("\"status\":503"));
    let publish = r#"{"type":"publish","topic":"a","data":"hi"}"#;
    assert!(command(&mut world, key, publish).contains("\"data\":\"hi\""));
}

#[test]
fn subscribing_anew_to_as_many_topics_as_one_may_is_allowed() {
    let mut world = World::new(Limits { topics_per_connection: 2, ..Limits::default() });
    let key = open_websocket(&mut world);
    let both = r#"{"type":"subscribe","topics":["a","b"],"after":"earliest"}"#;
    for _ in 0..2 {
        assert!(command(&mut world, key, both).contains("subscribed"));
    }
    let third = r#"{"type":"subscribe","topic":"c"}"#;
    assert!(command(&mut world, key, third).contains("\"status\":400"));
}

/// A system whose listener says EPERM (accept(2): a firewall, a security module) and whose queue stays.
struct Forbidding {
    now_ms: u64,
    accepts: u64,
}

impl System for &mut Forbidding {
    type Socket = ();

    fn poll(&mut self, timeout_ms: Option<u64>, _: &mut Vec<Readiness>) -> io::Result<()> {
        self.now_ms += timeout_ms.unwrap_or(1_000);
        Ok(())
    }

    fn now(&mut self) -> Now {
        Now { instant: Instant::from_ms(self.now_ms), wall_ms: 0 }
    }

    fn accept(&mut self, _: usize) -> io::Result<((), SocketAddr)> {
        self.accepts += 1;
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn turn_away(&mut self, _: usize) -> bool {
        false
    }

    fn close_listeners(&mut self) {}

    fn register(&mut self, (): &mut (), _: ConnectionKey) -> io::Result<()> {
        Ok(())
    }

    fn read(&mut self, (): &mut (), _: &mut [u8]) -> io::Result<usize> {
        Ok(0)
    }

    fn write(&mut self, (): &mut (), _: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(0)
    }

    fn shut(&mut self, (): &mut ()) -> io::Result<()> {
        Ok(())
    }
}

struct Silent;

impl Ring for Silent {
    fn ring(&self) {}
    fn quiet(&self) {}
}

/// An error of accept that concerns one connection was tried again at once, for as long as it stayed: the
/// thread took a whole core, and a drain never ended.
#[test]
fn an_error_of_accept_that_stays_takes_no_processor_time() {
    let config = Arc::new(Config { workers: 1, connections_max: 1, ..Config::default() });
    let worker = Worker::new(Arc::clone(&config), 0, 1, Rng::with_seed(1));
    let (post, mut mailboxes) = connect(vec![Arc::new(Silent) as Arc<dyn Ring>], 8);
    let mut system = Forbidding { now_ms: 1, accepts: 0 };
    let mailbox = mailboxes.remove(0);
    let entrances = [Entrance::Public { loopback: true }];
    let mut event_loop = EventLoop::new(0, &mut system, worker, mailbox, post, &entrances, &config);
    for _ in 0..10 {
        assert!(event_loop.tick().unwrap());
    }
    drop(event_loop);
    assert!(system.now_ms >= 400, "it waits between: {} ms in ten turns", system.now_ms);
}

#[test]
fn as_many_pings_as_a_counter_holds_are_no_panic() {
    let mut world = World::new(Limits { pings_per_second: u16::MAX, ..Limits::default() });
    let key = open_websocket(&mut world);
    for _ in 0..=(u16::MAX / 32) {
        world.worker.handle_bytes(key, &mut [0x89, 0x80, 0, 0, 0, 0].repeat(33));
        while !world.take(key).is_empty() {}
    }
    assert!(command(&mut world, key, r#"{"type":"ping"}"#).contains("pong"));
}

#[test]
fn json_that_some_parsers_fail_at_is_refused() {
    let mut world = World::new(Limits::default());
    for payload in [r#""\ud800""#, r#"{"\udc00":1}"#, "1e999999"] {
        let key = world.connect();
        let length = payload.len();
        world.send(
            key,
            &format!("POST /topics/t HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{payload}"),
        );
        assert!(world.take(key).starts_with("HTTP/1.1 400"), "{payload}");
    }
}

#[test]
fn messages_that_arrive_over_websockets_count_as_memory() {
    let limits = Limits {
        memory_bytes_max: 40_000,
        websocket_message_bytes_max: 30_000,
        ..Limits::default()
    };
    let mut world = World::new(limits);
    // A text of 30,000 bytes, all but the last of which arrive.
    let mut frame = vec![0x81, 0x80 | 126, 0x75, 0x30, 0, 0, 0, 0];
    frame.resize(8 + 29_999, b'x');
    let under_way = |world: &World| world.worker.counters().body_bytes;
    let first = open_websocket(&mut world);
    world.worker.handle_bytes(first, &mut frame.clone());
    assert_eq!(world.take(first), "");
    assert!((29_999..=30_000).contains(&under_way(&world)), "{}", under_way(&world));
    let second = open_websocket(&mut world);
    world.worker.handle_bytes(second, &mut frame);
    assert!(world.take(second).contains("no memory left"));
    assert!(under_way(&world) <= 30_000, "what it held is given back");
    world.worker.handle_error(first);
    assert_eq!(under_way(&world), 0);
}

#[test]
fn nobody_is_pinged_before_the_opening_handshake_is_answered() {
    let mut world = World::of(Limits::default(), 2);
    let unanswered = (0..100).find_map(|number| {
        let key = world.connect();
        world.send(
            key,
            &format!(
                "GET /topics/t{number} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\
                 Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            ),
        );
        // The other worker's topics are not known before it answers, and it does not.
        world.take(key).is_empty().then_some(key)
    });
    let key = unanswered.expect("half of the topics are the other worker's");
    world.pass(60_000);
    assert_eq!(world.take(key), "");
    assert!(world.is_open(key));
}

#[test]
fn a_batch_with_many_lines_that_are_not_reported_on_goes_on_by_itself() {
    let mut world = World::new(Limits::default());
    let key = world.connect();
    let last = "{\"topic\":\"a\",\"data\":1}\n";
    let (empty, rest) = ("\n".repeat(40_000), "\n".repeat(100));
    world.send(
        key,
        &format!(
            "POST /topics HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-ndjson\r\n\
             Content-Length: {}\r\n\r\n{empty}",
            empty.len() + rest.len() + last.len()
        ),
    );
    // No time passes, and no heartbeat comes to its help.
    world.take(key);
    world.send(key, &format!("{rest}{last}"));
    assert!(world.take(key).contains("\"line\":40101,\"topic\":\"a\""));
}

#[test]
fn a_body_that_comes_too_slowly_is_counted_as_that() {
    let limits = Limits { body_grace_ms: 1_000, linger_ms: 100, ..Limits::default() };
    let mut world = World::new(limits);
    let key = world.connect();
    world.send(key, "POST /topics/a HTTP/1.1\r\nHost: h\r\nContent-Length: 9000\r\n\r\nx");
    world.pass(1_100);
    assert!(world.take(key).starts_with("HTTP/1.1 408"));
    world.pass(200);
    let closed = world.worker.poll_closed().map(|(_, reason, _)| reason);
    assert_eq!(closed, Some(CloseReason::BodyTimeout));
}

#[test]
fn after_a_leap_of_the_clock_the_wheel_does_not_turn_through_all_of_it() {
    let mut world = World::new(Limits::default());
    let key = world.connect();
    world.send(key, "GET /topics/t HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n");
    world.take(key);
    // Far more turns of the wheel than can be waited for.
    world.now_ms += 1 << 60;
    world.pass(0);
    assert_eq!(world.take(key), "3\r\n:\n\n\r\n");
    world.pass(16_000);
    assert_eq!(world.take(key), "3\r\n:\n\n\r\n");
}

#[test]
fn a_connection_that_came_just_before_a_drain_is_served_before_it_is_said_goodbye_to() {
    let mut world = World::new(Limits::default());
    let keys: Vec<ConnectionKey> = (0..50).map(|_| world.connect()).collect();
    world.worker.begin_drain();
    world.pass(100);
    for key in keys {
        world.send(key, "GET /topics/t HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(world.take(key).starts_with("HTTP/1.1 200 "));
    }
}

/// Lines that were there already were reported on whatever the client had not taken yet.
#[test]
fn a_batch_is_reported_on_no_further_than_its_client_reads() {
    let limits = Limits { outbox_bytes_max: 1_000, ..Limits::default() };
    let mut world = World::new(limits);
    let key = world.connect();
    world.send(key, &batch(&chunk(&"nonsense\n".repeat(900))));
    // It has turns, and takes nothing.
    (0..40).for_each(|_| drop(world.take_at_most(key, 0)));
    let owed = world.worker.counters().outbox_bytes;
    assert!(owed < 8_000, "{owed} bytes are owed to one connection");
    let mut reports = 0;
    while reports < 900 {
        world.worker.handle_writable(key);
        let text = world.take(key);
        assert!(!text.is_empty(), "the rest is reported on when there is room");
        reports += text.matches("\"line\"").count();
    }
}

/// A blank line that came in two parts was reported on as refused when there was no memory.
#[test]
fn a_blank_line_of_a_batch_is_skipped_when_memory_is_used_up() {
    let limits = Limits { memory_bytes_max: 1_100, ..Limits::default() };
    let mut world = World::new(limits);
    // The longest message that there is memory for.
    let filler = world.connect();
    let filled = (1..900).rev().any(|length| {
        let (key, body) = (filler, "x".repeat(length));
        let head = "POST /topics/t HTTP/1.1\r\nHost: h\r\nContent-Length";
        world.send(key, &format!("{head}: {length}\r\n\r\n{body}"));
        world.take(key).starts_with("HTTP/1.1 201")
    });
    assert!(filled, "there is memory for a message");
    let key = world.connect();
    let head = "POST /topics HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-ndjson\r\n\
                Transfer-Encoding: chunked\r\n\r\n";
    world.send(key, &format!("{head}{}", chunk("     ")));
    world.send(key, &format!("{}0\r\n\r\n", chunk("  \n")));
    let text = world.take(key);
    assert!(!text.contains("\"line\""), "{text}");
}

/// A thread that came late found the time for writing over and its peer ready at once, and gave it up.
#[test]
fn who_has_taken_something_by_the_time_that_anybody_looks_is_not_given_up() {
    let mut world = World::new(Limits::default());
    world.publish("t", &"x".repeat(5_000));
    let key = world.connect();
    world.send(key, "GET /topics/t HTTP/1.1\r\nHost: a\r\n\r\n");
    let begun = world.take_at_most(key, 1_000);
    // Nobody looks for a minute; then there is a report, and the time is up.
    world.now_ms += 60_000;
    let now = Now { instant: Instant::from_ms(world.now_ms), wall_ms: world.now_ms };
    world.worker.begin_tick(now, 1);
    world.worker.handle_writable(key);
    world.worker.handle_timers();
    assert!(begun.starts_with("HTTP/1.1 200"), "{begun}");
    let rest = world.take(key);
    assert!(rest.trim_end().ends_with('}'), "{rest}");
    assert!(world.is_open(key));
}

/// A goodbye that came before a subscriber's turn left behind what the log had for it.
#[test]
fn what_was_published_before_a_drain_goes_out_before_the_goodbye() {
    let mut world = World::new(Limits::default());
    let stream = world.connect();
    world.send(stream, "GET /topics/t HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n");
    world.take(stream);
    let socket = open_websocket(&mut world);
    assert!(command(&mut world, socket, r#"{"type":"subscribe","topic":"t"}"#).contains("t"));
    // Sequenced, and nobody has had a turn since.
    let publisher = world.connect();
    let publish = "POST /topics/t HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nlast";
    world.send(publisher, publish);
    world.worker.begin_drain();
    world.pass(500);
    let mut sent: [Vec<u8>; 2] = Default::default();
    let mut turns_left = 1_000;
    while let Some(key) = world.worker.poll_write(&mut turns_left) {
        let mut slices = [IoSlice::new(&[]); 64];
        let filled = world.worker.slices(key, &mut slices);
        let bytes: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect();
        world.worker.handle_written(key, bytes.len());
        for (index, own) in [stream, socket].into_iter().enumerate() {
            if key == own {
                sent[index].extend_from_slice(&bytes);
            }
        }
    }
    for (sent, goodbye) in sent.iter().zip(["tidings:drain", "retry_ms="]) {
        let text = String::from_utf8_lossy(sent);
        let (before, _) = text.split_once(goodbye).unwrap_or_else(|| panic!("no goodbye: {text}"));
        assert!(before.contains("last"), "{text}");
    }
}
