//! Clocks that jump: every deadline lies on the monotonic one, and the wall clock is only ever shown. The
//! numbers are those of docs/security.md.

use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::Arc;

use fastrand::Rng;
use tidings::config::{Config, Entrance};
use tidings::key::ConnectionKey;
use tidings::limits::Limits;
use tidings::time::{Instant, Now};
use tidings::worker::Worker;

use crate::client::{Wire, get, publish, take_answers};

const DAY_MS: u64 = 24 * 3_600 * 1_000;
/// 2026-11-22T00:00:00Z.
const TODAY_MS: u64 = 1_795_305_600_000;
/// 9999-12-31T23:59:59Z: the last second that a `Date` can say (RFC 9110 §5.6.7 has four digits).
const LAST_SECOND_MS: u64 = 253_402_300_799_000;

/// One worker alone, with both of its clocks invented.
struct Alone {
    worker: Worker,
    now_ms: u64,
    wall_ms: u64,
}

impl Alone {
    fn new(limits: Limits) -> Self {
        let config = Config { limits, connections_max: 100, workers: 1, ..Config::default() };
        let worker = Worker::new(Arc::new(config), 0, 1, Rng::with_seed(1));
        let mut alone = Self { worker, now_ms: 1_000, wall_ms: TODAY_MS };
        alone.tick();
        alone
    }

    fn tick(&mut self) {
        let now = Now { instant: Instant::from_ms(self.now_ms), wall_ms: self.wall_ms };
        self.worker.begin_tick(now, 1);
        while self.worker.handle_timers() {}
    }

    /// Lets time pass on both clocks, in steps of 10 ms.
    fn pass(&mut self, ms: u64) {
        for _ in 0..ms / 10 {
            self.now_ms += 10;
            self.wall_ms = self.wall_ms.saturating_add(10);
            self.tick();
        }
    }

    /// Sets the wall clock.
    fn step_to(&mut self, wall_ms: u64) {
        self.wall_ms = wall_ms;
        self.tick();
    }

    fn open(&mut self, request: &str) -> ConnectionKey {
        let peer = SocketAddr::from(([127, 0, 0, 1], 9));
        let key = self
            .worker
            .handle_accept(peer, Entrance::Public { loopback: true })
            .expect("there is room");
        self.worker.handle_bytes(key, &mut request.as_bytes().to_vec());
        key
    }

    /// What everybody is sent goes out; what `key` is sent is returned.
    fn take(&mut self, key: ConnectionKey) -> Vec<u8> {
        let (mut taken, mut turns_left) = (Vec::new(), 10_000);
        while let Some(other) = self.worker.poll_write(&mut turns_left) {
            let mut slices = [IoSlice::new(&[]); 64];
            let filled = self.worker.slices(other, &mut slices);
            let bytes: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect();
            if other == key {
                taken.extend_from_slice(&bytes);
            }
            self.worker.handle_written(other, bytes.len());
        }
        taken
    }

    /// One request on a connection of its own.
    fn ask(&mut self, request: &str) -> (String, serde_json::Value) {
        let key = self.open(request);
        let mut bytes = self.take(key);
        self.worker.handle_eof(key);
        let head = String::from_utf8_lossy(&bytes).into_owned();
        let answer = take_answers(&mut bytes).remove(0);
        assert!(answer.status < 300, "{head}");
        (head, serde_json::from_slice(&answer.body).unwrap_or_default())
    }

    fn closed(&mut self) -> Vec<ConnectionKey> {
        std::iter::from_fn(|| self.worker.poll_closed()).map(|(key, ..)| key).collect()
    }
}

/// The value of `Date` in a head.
fn date(head: &str) -> &str {
    let rest = head.split_once("Date: ").expect("an answer has a date").1;
    rest.split_once("\r\n").expect("a line").0
}

fn sequence(answer: &serde_json::Value) -> u64 {
    let id = answer["id"].as_str().expect("an id");
    id.rsplit_once('-').and_then(|(_, digits)| digits.parse().ok()).expect("a number")
}

#[test]
fn attack_244_a_wall_clock_that_is_set_moves_no_deadline_no_age_and_no_id() {
    let steps = [
        TODAY_MS + 3_600_000,
        TODAY_MS - 3_600_000,
        TODAY_MS + DAY_MS,
        TODAY_MS - DAY_MS,
        // A leap second that is stepped over: the same second twice.
        TODAY_MS + 999,
        TODAY_MS,
        0,
    ];
    for wall_ms in steps {
        let limits = Limits { log_age_ms: 40_000, ..Limits::default() };
        let mut alone = Alone::new(limits);
        alone.ask(&publish("t", "before"));
        let stream = alone.open(&Wire::Sse.request("/topics/quiet"));
        let silent = alone.open("");
        let head = alone.open("GET / HTT");
        let parked = alone.open(&get("/topics/quiet?wait=30"));
        alone.take(stream);
        alone.step_to(wall_ms);
        alone.closed();
        // Nothing happens because the clock was set ...
        assert!(alone.take(stream).is_empty() && alone.take(parked).is_empty());
        alone.pass(9_000);
        assert!(!alone.closed().iter().any(|key| [silent, head].contains(key)));
        // ... and everything when its time has come.
        alone.pass(1_100);
        assert!(alone.closed().contains(&silent), "ten seconds for a first byte");
        assert!(alone.take(head).starts_with(b"HTTP/1.1 408"));
        alone.pass(5_500);
        assert!(!alone.take(stream).is_empty(), "fifteen without a heartbeat");
        assert!(alone.take(parked).is_empty());
        alone.pass(15_000);
        assert!(alone.take(parked).starts_with(b"HTTP/1.1 200"), "thirty of waiting");
        let (_, poll) = alone.ask(&get("/topics/t"));
        assert_eq!(poll["messages"].as_array().map(Vec::len), Some(1), "not yet forty old");
        let (_, second) = alone.ask(&publish("t", "after"));
        assert_eq!(sequence(&second), 2, "the next number, whatever the time");
        alone.pass(11_000);
        let (_, poll) = alone.ask(&get("/topics/t"));
        assert_eq!(poll["messages"][0]["data"], "after", "the first one has its age");
    }
}

#[test]
fn attack_244_a_pause_of_the_whole_machine_ends_what_is_overdue_and_nothing_panics() {
    // Suspended: the monotonic clock goes on in one leap, by less than a second or by a year.
    for leap_ms in [500, 10_000, 60_000, DAY_MS, 366 * DAY_MS, 1 << 50] {
        let mut alone = Alone::new(Limits::default());
        alone.ask(&publish("t", "x"));
        let stream = alone.open(&Wire::Ndjson.request("/topics/t"));
        let parked = alone.open(&get("/topics/t?wait=50"));
        alone.take(stream);
        alone.now_ms += leap_ms;
        alone.wall_ms = alone.wall_ms.saturating_add(leap_ms);
        alone.tick();
        if leap_ms >= 60_000 {
            assert!(alone.take(parked).starts_with(b"HTTP/1.1 200"), "after {leap_ms} ms");
        }
        // A stream of ours is alive: nobody has failed to answer anything.
        assert!(!alone.closed().contains(&stream), "after {leap_ms} ms");
        alone.ask(&publish("t", "behind it"));
        let stream = alone.open(&Wire::Ndjson.request("/topics/t?last=1"));
        assert!(String::from_utf8_lossy(&alone.take(stream)).contains("behind it"));
    }
}

#[test]
fn attack_245_a_wall_clock_out_of_all_bounds_is_shown_as_well_as_it_can_be() {
    let expected = [
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (999, "Thu, 01 Jan 1970 00:00:00 GMT"),
        // 2038-01-19T03:14:08Z: a second more than 31 bits have.
        (2_147_483_648_000, "Tue, 19 Jan 2038 03:14:08 GMT"),
        (LAST_SECOND_MS + 999, "Fri, 31 Dec 9999 23:59:59 GMT"),
        (LAST_SECOND_MS + 1_000, "Fri, 31 Dec 9999 23:59:59 GMT"),
        (u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
    ];
    for (wall_ms, text) in expected {
        let mut alone = Alone::new(Limits::default());
        alone.step_to(wall_ms);
        let (head, answer) = alone.ask(&publish("t", "x"));
        assert_eq!((date(&head), sequence(&answer)), (text, 1));
        let (_, poll) = alone.ask(&get("/topics/t"));
        assert_eq!(poll["messages"][0]["time"].as_u64(), Some(wall_ms));
        // Back again: a time that is earlier than a message's is nothing special.
        alone.step_to(0);
        let (_, poll) = alone.ask(&get("/topics/t"));
        assert_eq!(poll["messages"][0]["time"].as_u64(), Some(wall_ms));
        alone.pass(1_000);
    }
}

#[test]
fn attack_246_the_date_of_every_answer_is_of_its_second_and_changes_once_a_second() {
    let mut alone = Alone::new(Limits::default());
    let mut dates: Vec<String> = Vec::new();
    for _ in 0..500 {
        alone.pass(10);
        let (head, _) = alone.ask(&get("/healthz"));
        let second = (alone.wall_ms - TODAY_MS) / 1_000;
        assert_eq!(date(&head), format!("Sun, 22 Nov 2026 00:00:0{second} GMT"));
        if dates.last().map(String::as_str) != Some(date(&head)) {
            dates.push(date(&head).to_owned());
        }
    }
    assert_eq!(dates.len(), 6, "{dates:?}");
}
