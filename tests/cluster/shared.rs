//! What publishers, subscribers and the test know together.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::history::{Acknowledged, Position};

/// Mistakes of one kind are many: that many are kept.
const WRONGS_MAX: usize = 50;

#[derive(Default)]
pub struct Shared {
    servers: Mutex<Vec<SocketAddr>>,
    /// Redis may lose messages, and what is published again then has another id.
    pub may_lose: bool,
    /// Nobody publishes any more.
    pub is_over: AtomicBool,
    /// Nobody reads any more.
    pub has_ended: AtomicBool,
    /// Subscribers that have begun.
    pub begun: AtomicUsize,
    /// Reconnections of subscribers, and repeated publishes.
    pub reconnections: AtomicUsize,
    pub repeats: AtomicUsize,
    attempted: Mutex<Vec<(String, String)>>,
    acknowledged: Mutex<Vec<Acknowledged>>,
    ids: Mutex<HashMap<String, Position>>,
    wrongs: Mutex<Vec<String>>,
    /// How many have received each message that everybody is waited for with.
    reached: Mutex<HashMap<String, Vec<String>>>,
    somebody: Condvar,
}

impl Shared {
    pub fn new(servers: Vec<SocketAddr>, may_lose: bool) -> Self {
        Self { servers: Mutex::new(servers), may_lose, ..Self::default() }
    }

    pub fn server(&self, index: usize) -> SocketAddr {
        let servers = self.servers.lock().unwrap();
        servers[index % servers.len()]
    }

    pub fn servers(&self) -> usize {
        self.servers.lock().unwrap().len()
    }

    /// A server listens elsewhere now.
    pub fn moved(&self, index: usize, address: SocketAddr) {
        self.servers.lock().unwrap()[index] = address;
    }

    pub fn attempt(&self, topic: &str, payload: &str) {
        self.attempted.lock().unwrap().push((topic.to_owned(), payload.to_owned()));
    }

    pub fn acknowledge(&self, topic: &str, payload: &str, id: Position) {
        self.ids.lock().unwrap().insert(payload.to_owned(), id.clone());
        let (topic, payload) = (topic.to_owned(), payload.to_owned());
        self.acknowledged.lock().unwrap().push(Acknowledged { topic, payload, id });
    }

    /// Which message it is, once its publisher knows.
    pub fn id_of(&self, payload: &str) -> Option<Position> {
        self.ids.lock().unwrap().get(payload).cloned()
    }

    pub fn complain(&self, what: String) {
        let mut wrongs = self.wrongs.lock().unwrap();
        if wrongs.len() < WRONGS_MAX {
            wrongs.push(what);
        }
    }

    /// Somebody has received a message that is waited for.
    pub fn reach(&self, payload: &str, who: &str) {
        let mut reached = self.reached.lock().unwrap();
        let list = reached.entry(payload.to_owned()).or_default();
        if !list.iter().any(|one| one == who) {
            list.push(who.to_owned());
        }
        self.somebody.notify_all();
    }

    /// Waits until all of these have received a message; says who has not.
    pub fn await_reached(&self, payload: &str, all: &[String], deadline: Instant) -> Vec<String> {
        let mut reached = self.reached.lock().unwrap();
        loop {
            let list = reached.get(payload).map_or(&[][..], Vec::as_slice);
            let missing: Vec<String> =
                all.iter().filter(|who| !list.contains(who)).cloned().collect();
            let left = deadline.saturating_duration_since(Instant::now());
            if missing.is_empty() || left.is_zero() {
                return missing;
            }
            let pause = left.min(Duration::from_millis(100));
            reached = self.somebody.wait_timeout(reached, pause).unwrap().0;
        }
    }

    /// Everything that publishers know, and what was wrong.
    pub fn take(&self) -> (Vec<(String, String)>, Vec<Acknowledged>, Vec<String>) {
        let take = |list: &Mutex<Vec<_>>| std::mem::take(&mut *list.lock().unwrap());
        let attempted = std::mem::take(&mut *self.attempted.lock().unwrap());
        let acknowledged = std::mem::take(&mut *self.acknowledged.lock().unwrap());
        (attempted, acknowledged, take(&self.wrongs))
    }

    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    pub fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
    }
}
