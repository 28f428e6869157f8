//! Asks for everything that is not a message: HEAD of topics, health, metrics, OPTIONS, pages, and what
//! there is not.

use std::collections::VecDeque;

use fastrand::Rng;

use super::asking::{Answer, Asking};
use super::line::{Leaving, Pace};
use super::{Actor, Hands, path};
use crate::judge::{Judge, Start, Sub, Wants};
use crate::wires::http::{Asked, get, head, request};
use crate::wires::metrics::{Samples, metrics};
use crate::wires::outcomes::refused;
use crate::world::World;

/// Time after which an answer is not waited for any more.
const PATIENCE_MS: u64 = 30_000;
/// Requests that it lets wait for their answers.
const SENT_MAX: usize = 6;
const PAGES: [&str; 10] = [
    "/",
    "/page.js",
    "/page.css",
    "/tidings.js",
    "/healthz",
    "/metrics",
    "/topics?limit=2",
    "/topics?sort=subscribers",
    "/topics?sort=lag",
    "/connections?limit=3",
];
/// What there is not: (method, target, status).
const MISSING: [(&str, &str, u16); 7] = [
    ("GET", "/nowhere", 404),
    ("GET", "/topics/a/b", 404),
    ("GET", "/connections/0-0-0", 405),
    ("POST", "/healthz", 405),
    ("TRACE", "/", 405),
    ("BREW", "/topics/news", 501),
    ("GET", "/topics/a*", 400),
];

/// What an answer must be.
enum Wanted {
    /// The cursor at the head of topics.
    Head(Sub),
    Page(&'static str),
    Ready,
    Metrics,
    Options,
    /// A refusal with this status.
    Refusal(u16),
}

/// See the module.
pub(crate) struct Observer {
    pace: Pace,
    asking: Option<Asking>,
    sent: VecDeque<Wanted>,
    /// Counters, as they were told last on this connection, and so by this process.
    counters: Samples,
    next_ms: u64,
}

impl Observer {
    pub(crate) fn draw(random: &mut Rng) -> Self {
        Self {
            pace: if random.u8(0..4) == 0 { Pace::draw(random) } else { Pace::EAGER },
            asking: None,
            sent: VecDeque::new(),
            counters: Samples::new(),
            next_ms: 0,
        }
    }

    fn ask(&mut self, hands: &mut Hands<'_>) {
        let mut asking = self.asking.take().unwrap_or_else(|| Asking::open(hands, self.pace));
        let (asked, wanted, bytes) = match hands.random.u8(0..12) {
            0..5 => ask_head(hands),
            5 => (Asked::Get, Wanted::Ready, get("/readyz", &[])),
            6 | 7 => (Asked::Get, Wanted::Metrics, get("/metrics", &[])),
            8 => {
                let target = ["*", "/topics", "/topics/news", "/metrics"][hands.random.usize(..4)];
                (Asked::Get, Wanted::Options, request("OPTIONS", target, &[]))
            }
            9 => {
                let (method, target, status) = MISSING[hands.random.usize(..MISSING.len())];
                let fields: &[_] = if method == "POST" { &[("Content-Length", "0")] } else { &[] };
                (Asked::Get, Wanted::Refusal(status), request(method, target, fields))
            }
            _ => {
                let page = PAGES[hands.random.usize(..PAGES.len())];
                match hands.random.bool() {
                    true => (Asked::Get, Wanted::Page(page), get(page, &[])),
                    false => (Asked::Head, Wanted::Page(page), head(page)),
                }
            }
        };
        hands.note(|| format!("asks {:?}", String::from_utf8_lossy(&bytes)));
        asking.ask(hands, asked, &bytes);
        self.asking = Some(asking);
        self.sent.push_back(wanted);
    }

    fn take(&mut self, hands: &mut Hands<'_>) {
        let Some(asking) = &mut self.asking else { return };
        for answer in asking.take(hands) {
            let wanted = self.sent.pop_front().expect("an answer for each request");
            let closes = answer.head.closes();
            self.check(hands, wanted, &answer);
            if closes {
                return self.go(hands, Leaving::Close);
            }
        }
    }

    fn check(&mut self, hands: &mut Hands<'_>, wanted: Wanted, answer: &Answer) {
        let (status, body) = (answer.head.status, &answer.body[..]);
        hands.note(|| format!("is answered with {status}, {} bytes", body.len()));
        let is_head = answer.head.asked == Asked::Head;
        match (wanted, status) {
            (Wanted::Head(sub), 200) => {
                let tag = answer.head.field("etag").expect("the cursor at the head");
                let cursor = tag.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
                hands.judge.opened(sub, Some(cursor.expect("an entity tag has quotes")));
                hands.judge.end(sub);
            }
            (wanted, 408 | 429 | 503) => {
                if let Wanted::Head(sub) = wanted {
                    hands.judge.end(sub);
                }
                self.next_ms = hands.now_ms() + answer.head.retry_ms().unwrap_or(0);
                if !is_head {
                    refused(status, body);
                }
            }
            (Wanted::Page("/healthz"), 200) if !is_head => assert_eq!(body, b"ok\n"),
            (Wanted::Page(page), 200) => assert!(is_head || !body.is_empty(), "{page} is empty"),
            (Wanted::Ready, 200) => check_ready(body),
            (Wanted::Metrics, 200) => self.check_metrics(body),
            (Wanted::Options, 204) => {
                let allowed = answer.head.field("allow").unwrap_or_default();
                assert!(allowed.contains("OPTIONS"), "what is allowed: {:?}", answer.head);
            }
            (Wanted::Refusal(wanted), status) if status == wanted => drop(refused(status, body)),
            _ => panic!("a right request is answered with {:?}", answer.head),
        }
    }

    /// What is counted never goes down, and what was counted once is counted ever after.
    fn check_metrics(&mut self, body: &[u8]) {
        let (counters, _) = metrics(body);
        for (name, before) in &self.counters {
            let now = counters.get(name);
            let has_grown = now.is_some_and(|now| now >= before);
            assert!(has_grown, "{name} was {before}, and is {now:?}");
        }
        self.counters = counters;
    }

    fn go(&mut self, hands: &mut Hands<'_>, how: Leaving) {
        for wanted in self.sent.drain(..) {
            if let Wanted::Head(sub) = wanted {
                hands.judge.end(sub);
            }
        }
        self.counters.clear();
        if let Some(asking) = self.asking.take() {
            asking.line.leave(hands, how);
        }
    }
}

/// A server that is ready says so, and in another line what is the matter with Redis, if anything is.
fn check_ready(body: &[u8]) {
    let text = String::from_utf8_lossy(body);
    let more = text.strip_prefix("ready\n").unwrap_or_else(|| panic!("it is ready: {text:?}"));
    let is_sound = more.is_empty() || more.starts_with("degraded: ") && more.ends_with('\n');
    assert!(is_sound && more.lines().count() <= 1, "what is the matter: {text:?}");
}

/// HEAD never waits, wherever it is told to begin.
fn ask_head(hands: &mut Hands<'_>) -> (Asked, Wanted, Vec<u8>) {
    let topics = hands.some_topics(3);
    let query = ["", "?wait=50", "?after=earliest", "?last=3"][hands.random.usize(..4)];
    let what = format!("client {} (HEAD of {topics:?})", hands.number);
    let sub = hands.judge.begin(&what, Wants::Stream, &topics, &Start::Latest);
    (Asked::Head, Wanted::Head(sub), head(&(path(&topics) + query)))
}

impl Actor for Observer {
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
        if hands.random.u8(0..20) == 0 {
            let how = Leaving::draw(hands.random);
            return self.go(hands, how);
        }
        let count = if hands.random.u8(0..4) == 0 { 3 } else { 1 };
        for _ in 0..count {
            if self.sent.len() < SENT_MAX && self.next_ms <= hands.now_ms() {
                self.ask(hands);
            }
        }
    }

    fn is_content(&self, _judge: &mut Judge) -> bool {
        self.sent.is_empty()
    }

    fn leave(&mut self, hands: &mut Hands<'_>, how: Leaving) {
        self.go(hands, how);
    }

    fn describe(&self) -> String {
        format!("observer that waits for {} answers", self.sent.len())
    }
}
