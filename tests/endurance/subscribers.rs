//! Subscribers that do not read: they cost what is documented, and nobody else anything.

use std::collections::VecDeque;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::crowd::*;
use crate::support::{Client, Server};

/// The bound on an outbox, and on what is queued beyond it at most: one message.
const OUTBOX_BYTES: u64 = 64 << 10;
/// The bound on a poll's answer.
const POLL_BYTES: u64 = 256 << 10;
/// A connection with its subscription and timer.
const CONNECTION_BYTES: u64 = 1 << 10;
/// How long a healthy subscriber may wait for a message. Liveness, not performance.
const STALL_MAX: Duration = Duration::from_secs(15);

/// How much of everything.
struct Size {
    slow_on_each_wire: usize,
    healthy: usize,
    messages: u64,
    bytes: usize,
}

const SMALL: Size = Size { slow_on_each_wire: 10, healthy: 5, messages: 1_000, bytes: 4_000 };
const FULL: Size = Size { slow_on_each_wire: 1_000, healthy: 100, messages: 25_600, bytes: 4_096 };

/// Subscribers that read everything, in one thread.
struct Healthy {
    streams: Vec<Reader>,
}

/// One of them: it looks for the numbers that the messages carry.
struct Reader {
    wire: Wire,
    stream: TcpStream,
    next: u64,
    /// What was read behind the last whole number.
    rest: Vec<u8>,
}

impl Reader {
    /// Reads what is there; what is found must be the next one, each once.
    fn read(&mut self, buffer_bytes: usize) -> bool {
        let Some(bytes) = read_some(&self.stream, buffer_bytes) else {
            panic!("a healthy subscriber on {:?} was closed", self.wire);
        };
        if bytes.is_empty() {
            return false;
        }
        self.rest.extend_from_slice(&bytes);
        let mut taken = 0;
        // A number is `#` and ten digits; payloads have no other `#`.
        while let Some(place) = memchr(&self.rest[taken..]) {
            let at = taken + place;
            let Some(digits) = self.rest.get(at + 1..at + 11) else { break };
            let number: u64 = std::str::from_utf8(digits).unwrap().parse().unwrap();
            assert_eq!(number, self.next, "{:?}: in order, each once", self.wire);
            self.next += 1;
            taken = at + 11;
        }
        let keep = memchr(&self.rest[taken..]).map_or(self.rest.len(), |place| taken + place);
        self.rest.drain(..keep);
        if self.wire == Wire::LongPoll && bytes.ends_with(b"}\n") {
            // The answer is whole: it asks on from there.
            let text = String::from_utf8_lossy(&bytes);
            let (_, cursor) = text.rsplit_once("\"cursor\":\"").unwrap();
            let cursor = format!("after={}", cursor.split('"').next().unwrap());
            let request = self.wire.request("t", &cursor);
            assert_eq!((&self.stream).write(&request).unwrap(), request.len());
        }
        true
    }
}

fn memchr(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|&byte| byte == b'#')
}

impl Healthy {
    fn connect(address: SocketAddr, count: usize) -> Self {
        let streams = (0..count).map(|number| {
            let wire = Wire::ALL[number % Wire::ALL.len()];
            let stream = connect_and_send(address, None, &wire.request("t", "after=earliest"));
            Reader { wire, stream, next: 0, rest: Vec::new() }
        });
        Self { streams: streams.collect() }
    }

    /// Reads until everybody has `total` messages. `published` says when each was; returns the longest
    /// time that somebody waited for one.
    fn read_all(mut self, total: u64, published: &AtomicU64, done: &AtomicU64) -> Duration {
        let (mut waiting, mut longest) = (VecDeque::new(), Duration::ZERO);
        let mut seen = 0;
        loop {
            let (mut any, now) = (false, Instant::now());
            while seen < published.load(Ordering::Acquire) {
                waiting.push_back(now);
                seen += 1;
            }
            for reader in &mut self.streams {
                any |= reader.read(256 << 10);
            }
            let behind = self.streams.iter().map(|reader| reader.next).min().unwrap();
            let done_before = done.swap(behind, Ordering::Release);
            for when in waiting.drain(..((behind - done_before) as usize).min(waiting.len())) {
                longest = longest.max(now.duration_since(when));
            }
            if behind == total {
                return longest;
            }
            if let Some(oldest) = waiting.front() {
                let waited = oldest.elapsed();
                assert!(waited < STALL_MAX, "message {behind} is {waited:?} late");
            }
            if !any {
                thread::sleep(Duration::from_micros(500));
            }
        }
    }
}

/// Publishes `count` messages from `first` on, numbered, over one connection.
fn publish(address: SocketAddr, first: u64, count: u64, bytes: usize) {
    let mut client = Client::connect(address);
    let filler = "x".repeat(bytes - 11);
    let mut batch = Vec::new();
    for number in first..first + count {
        let body = format!("#{number:010}{filler}");
        let fields = [("Content-Type", "text/plain")];
        batch.extend(client.encode_request("POST", "/topics/t", &fields, body.as_bytes()));
    }
    client.send(batch);
    for _ in 0..count {
        assert_eq!(client.answer().status, 201);
    }
}

/// What a slow subscriber sends: what it asks for is more than it will ever read.
fn slow_request(wire: Wire) -> Vec<u8> {
    match wire {
        // One poll is one answer: it takes several to owe it more than the kernel holds.
        Wire::LongPoll => wire.request("t", "after=earliest").repeat(8),
        wire => wire.request("t", "after=earliest"),
    }
}

/// A number of subscribers on every wire that never read come one after another while 100 MB are published;
/// then half of them read again, and the others' time comes.
fn never_reading(size: &Size) {
    raise_descriptor_limit();
    let flags = [
        "--write-progress",
        "300",
        "--outboxes-bytes-max",
        "4G",
        "--log-messages",
        "600",
        "--requests-max",
        "1000000",
    ];
    let server = Server::start_with_workers(2, &flags);
    let address = server.address();
    let healthy = Healthy::connect(address, size.healthy);
    let (published, done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (heard, read) = (Arc::clone(&published), Arc::clone(&done));
    let total = size.messages;
    let reading = thread::spawn(move || healthy.read_all(total, &heard, &read));
    within("they are subscribed", STALL_MAX, || {
        Metrics::of(&server).value("tidings_subscriptions") == size.healthy as u64
    });
    let weighing = Weighing::begin(&server);
    let (mut slow, mut peak, began) = (Vec::new(), 0, Instant::now());
    let turns = 64;
    for turn in 0..turns {
        let upto = size.slow_on_each_wire * (turn + 1) / turns;
        for _ in slow.len() / Wire::ALL.len()..upto {
            for wire in Wire::ALL {
                let stream = connect_and_send(address, Some(1), &slow_request(wire));
                slow.push((wire, stream));
            }
        }
        let bound = |turn: usize| total * turn as u64 / turns as u64;
        let (first, count) = (bound(turn), bound(turn + 1) - bound(turn));
        for step in (0..count).step_by(50) {
            // The log holds 600 messages; the publisher does not leave the healthy ones behind.
            within("the healthy ones keep up", STALL_MAX, || {
                done.load(Ordering::Acquire) + 400 > published.load(Ordering::Acquire)
            });
            publish(address, first + step, 50.min(count - step), size.bytes);
            published.store(first + step + 50.min(count - step), Ordering::Release);
        }
        peak = weighing.grown().max(peak);
    }
    let longest = reading.join().unwrap();
    println!(
        "  {} MB to {} healthy ones in {:?}; the longest wait of one for a message was {longest:?}",
        size.bytes as u64 * total / 1_000_000,
        size.healthy,
        began.elapsed()
    );
    let metrics = Metrics::of(&server);
    // The log twice (an owner's and a replica's encodings), in four formats.
    let log = 2 * 5 * (4 << 20);
    // Of five wires, polls are owed a page at a time.
    let each = CONNECTION_BYTES + OUTBOX_BYTES + 2 * size.bytes as u64 + POLL_BYTES / 5;
    println!(
        "  {} queued for the slow ones by the server's own count",
        metrics.value("tidings_outbox_bytes")
    );
    check_weight("a subscriber that never reads", peak.saturating_sub(log), slow.len(), each);
    assert!(
        metrics.value("tidings_outbox_bytes") <= slow.len() as u64 * each,
        "the server counts what it holds"
    );
    read_again(&slow);
}

/// Some of those who did not read do: what they have missed was declared to them.
fn read_again(slow: &[(Wire, TcpStream)]) {
    for wire in [Wire::Sse, Wire::Ndjson, Wire::Raw, Wire::Json] {
        let (_, stream) = slow.iter().find(|(other, _)| *other == wire).unwrap();
        let sign: &[u8] = match wire {
            Wire::Sse => b"tidings:gap",
            Wire::Raw => b"gap: ",
            _ => b"\"type\":\"gap\"",
        };
        let mut bytes = Vec::new();
        within(&format!("a slow reader on {wire:?} is told of its gap"), STALL_MAX, || {
            while let Some(some) = read_some(stream, 64 << 10).filter(|some| !some.is_empty()) {
                bytes.extend(some);
            }
            bytes.windows(sign.len()).any(|window| window == sign)
        });
    }
}

/// The slow ones end by their deadline, each counted as what it was.
fn ended_in_time(on_each_wire: usize) {
    raise_descriptor_limit();
    let flags = ["--write-progress", "2", "--log-bytes", "4M"];
    let server = Server::start_with_workers(2, &flags);
    let honest = Honest::start(server.address());
    server.await_metric("tidings_subscriptions{wire=\"sse\"}", 1);
    publish(server.address(), 0, 400, 4_096);
    let slow: Vec<TcpStream> = (0..on_each_wire)
        .flat_map(|_| Wire::ALL)
        .map(|wire| connect_and_send(server.address(), Some(1), &slow_request(wire)))
        .collect();
    let took = within("the slow ones are ended", Duration::from_secs(15), || {
        Metrics::of(&server).closed("write_timeout") == slow.len() as u64
    });
    println!("  {} slow ones ended {took:?} after the last came", slow.len());
    honest.finish();
    for wire in ["ndjson", "websocket", "poll"] {
        assert_eq!(
            Metrics::of(&server).value(&format!("tidings_subscriptions{{wire=\"{wire}\"}}")),
            0
        );
    }
    within("nothing is left", STALL_MAX, || {
        let metrics = Metrics::of(&server);
        metrics.value("tidings_connections") == 1 && metrics.value("tidings_outbox_bytes") == 0
    });
}

/// Thousands that are each just below their bound are together below the bound on all.
fn together(on_each_wire: usize) {
    raise_descriptor_limit();
    let most = 4 << 20;
    let flags =
        ["--write-progress", "300", "--outboxes-bytes-max", "4M", "--poll-bytes-max", "256K"];
    let server = Server::start_with_workers(2, &flags);
    let honest = Honest::start(server.address());
    let bytes = 4_096;
    publish(server.address(), 0, 500, bytes);
    let slow: Vec<TcpStream> = (0..on_each_wire)
        .flat_map(|_| Wire::ALL)
        .map(|wire| connect_and_send(server.address(), Some(1), &slow_request(wire)))
        .collect();
    within("they are all there", STALL_MAX, || {
        Metrics::of(&server).value("tidings_connections") >= slow.len() as u64
    });
    publish(server.address(), 500, 500, bytes);
    let queued = Metrics::of(&server).value("tidings_outbox_bytes");
    // Beyond the bound each may be owed one message, with its head and framing.
    let each = 2 * bytes as u64;
    println!("  {queued} bytes are queued for {} that do not read", slow.len());
    assert!(queued < most + slow.len() as u64 * each, "{queued}");
    assert!(queued > most / 2, "they do not read: {queued}");
    honest.finish();
}

/// Messages of no bytes cost more to queue than their bytes: that counts too.
fn tiny_messages(count: usize) {
    raise_descriptor_limit();
    let server = Server::start(&["--write-progress", "300", "--log-messages", "100000"]);
    let lines = "{\"topic\":\"t\",\"data\":\"\"}\n".repeat(25_000);
    let fields = [("Content-Type", "application/x-ndjson")];
    assert_eq!(server.request("POST", "/topics", &fields, lines.as_bytes()).status, 200);
    // One of them, so that everything is encoded before memory is looked at.
    let request = Wire::Raw.request("t", "after=earliest");
    let first = connect_and_send(server.address(), None, &request);
    let (mut read, all) = (0, 25_000 * 2);
    within("one has read everything", STALL_MAX, || {
        read += read_some(&first, 1 << 20).unwrap().len();
        read > all
    });
    let weighing = Weighing::begin(&server);
    let slow: Vec<TcpStream> =
        (0..count).map(|_| connect_and_send(server.address(), Some(1), &request)).collect();
    within("they are subscribed", STALL_MAX, || {
        Metrics::of(&server).value("tidings_subscriptions") == count as u64 + 1
    });
    let queued = Metrics::of(&server).value("tidings_outbox_bytes");
    assert!(queued > 0, "they do not read");
    let each = CONNECTION_BYTES + OUTBOX_BYTES;
    check_weight("a reader of tiny messages", weighing.grown(), slow.len(), each);
}

/// Who reads a little, again and again, is served for as long as it likes, from what the log still has.
fn trickling(count: usize) {
    raise_descriptor_limit();
    let flags = ["--write-progress", "1", "--log-messages", "50"];
    let server = Server::start(&flags);
    let honest = Honest::start(server.address());
    let crowd: Vec<TcpStream> = (0..count)
        .map(|number| {
            let wire = [Wire::Sse, Wire::Ndjson, Wire::Json][number % 3];
            connect_and_send(server.address(), Some(4_096), &wire.request("t", "after=earliest"))
        })
        .collect();
    within("they are subscribed", STALL_MAX, || {
        Metrics::of(&server).value("tidings_subscriptions") == count as u64 + 1
    });
    let weighing = Weighing::begin(&server);
    let mut texts = vec![Vec::new(); count];
    let (began, mut first, mut grown) = (Instant::now(), 0, 0);
    let is_told =
        |text: &Vec<u8>| text.windows(4).any(|window| window == b"gap\"" || window == b":gap");
    while began.elapsed() < Duration::from_secs(3) || !texts.iter().all(is_told) {
        assert!(began.elapsed() < Duration::from_secs(40), "everybody is told of a gap");
        publish(server.address(), first, 50, 4_096);
        first += 50;
        for (stream, text) in crowd.iter().zip(&mut texts) {
            text.extend(read_some(stream, 3_000).expect("it reads, so it is served"));
        }
        grown = weighing.grown().max(grown);
        thread::sleep(Duration::from_millis(50));
    }
    check_weight("a reader that trickles", grown, count, CONNECTION_BYTES + OUTBOX_BYTES + 8_192);
    assert_eq!(Metrics::of(&server).closed("write_timeout"), 0);
    honest.finish();
}

/// Clients that publish over WebSocket faster than anybody reads are read no faster than that.
fn publishing_too_fast(count: usize) {
    raise_descriptor_limit();
    let server = Server::start_with_workers(2, &["--write-progress", "300"]);
    let honest = Honest::start(server.address());
    let weighing = Weighing::begin(&server);
    let command =
        format!("{{\"type\":\"publish\",\"topic\":\"t\",\"data\":\"{}\"}}", "x".repeat(1_000));
    let frame = crate::support::WebSocket::encode(0x81, command.as_bytes());
    let crowd: Vec<TcpStream> = (0..count)
        .map(|_| connect_and_send(server.address(), Some(1), &Wire::Json.request("t", "")))
        .collect();
    within("they are subscribed", STALL_MAX, || {
        Metrics::of(&server).value("tidings_subscriptions{wire=\"websocket\"}") == count as u64
    });
    // They write whenever they can and never read: what they are told, and their own echo, piles up.
    let (mut places, mut grown) = (vec![0; count], 0);
    let mut idle_rounds = 0;
    let began = Instant::now();
    while idle_rounds < 40 {
        assert!(began.elapsed() < Duration::from_secs(60), "the server stops reading");
        let mut any = false;
        for (mut stream, place) in crowd.iter().zip(&mut places) {
            // Never half a frame twice: what was taken of one is remembered.
            while let Ok(sent) = stream.write(&frame[*place..]) {
                *place = (*place + sent) % frame.len();
                any = true;
                if began.elapsed() > Duration::from_secs(30) {
                    break;
                }
            }
        }
        grown = weighing.grown().max(grown);
        idle_rounds = if any { 0 } else { idle_rounds + 1 };
        thread::sleep(Duration::from_millis(10));
    }
    // An outbox, an inbox with what was read last, a message that is being put together; and the log.
    let each = CONNECTION_BYTES + OUTBOX_BYTES + 8_192 + (160 << 10) + (64 << 10);
    check_weight(
        "a client that publishes and does not read",
        grown.saturating_sub(20 << 20),
        count,
        each,
    );
    honest.finish();
}

#[test]
fn a_few_subscribers_that_never_read_cost_what_is_documented() {
    never_reading(&SMALL);
    tiny_messages(20);
    ended_in_time(10);
    together(40);
    trickling(6);
    publishing_too_fast(4);
}

#[test]
#[ignore = "thousands of connections: tests/run --only endurance"]
fn attack_104_subscribers_that_never_read_cost_an_outbox_and_nobody_else_notices() {
    never_reading(&FULL);
    tiny_messages(500);
}

#[test]
#[ignore = "thousands of connections: tests/run --only endurance"]
fn attack_104_subscribers_that_never_read_are_ended_by_their_deadline() {
    ended_in_time(1_000);
}

#[test]
#[ignore = "thousands of connections: tests/run --only endurance"]
fn attack_105_thousands_just_below_their_bound_are_below_the_bound_on_all() {
    together(1_000);
}

#[test]
#[ignore = "thousands of connections: tests/run --only endurance"]
fn attack_106_a_reader_that_trickles_is_told_of_its_gap_and_costs_no_memory() {
    trickling(300);
}

#[test]
#[ignore = "thousands of connections: tests/run --only endurance"]
fn attack_184_who_publishes_faster_than_anybody_reads_is_not_read() {
    publishing_too_fast(200);
}
