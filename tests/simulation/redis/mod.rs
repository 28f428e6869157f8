//! A simulated Redis, which servers share: one node, alone. It speaks RESP3, knows the commands and the scripts that
//! a server of ours sends, and nothing else; what it sequences it writes into the judge's ledger.
//!
//! It takes its turns as workers and clients do: in one it takes what has come on one of its connections.

mod commands;
mod faults;
mod resp;
mod scripts;
mod store;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use fastrand::Rng;

use self::resp::{Commands, Value};
use self::scripts::Script;
use self::store::Store;
use crate::judge::ledger::Shared;
use crate::net::Net;

/// 2026-01-01T00:00:00Z, where its clock begins. It is no other's.
const CLOCK_MS: u64 = 1_767_225_600_000;
/// States that a replica may have instead of the present one, or a disk.
const STORES_KEPT: usize = 24;

/// How it is set up.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    /// What keys and channels begin with.
    pub(crate) prefix: String,
    /// The password of `default`, if there is one.
    pub(crate) password: Option<String>,
    /// Entries beyond `MAXLEN ~` that a stream may keep.
    pub(crate) slack: usize,
}

/// A connection of a server's.
#[derive(Debug, Default)]
struct Connection {
    commands: Commands,
    is_authenticated: bool,
    /// It has said HELLO, whatever came of that.
    was_greeted: bool,
    channels: BTreeSet<Vec<u8>>,
    /// What is published does not reach it, and nobody says so.
    is_muted: bool,
}

/// Until when something is so; over: at most now.
#[derive(Clone, Copy, Debug, Default)]
struct Times {
    /// It is not there.
    down_ms: u64,
    /// It stands still.
    still_ms: u64,
    loading_ms: u64,
    /// It is a replica.
    demoted_ms: u64,
    /// Its memory is used up.
    full_ms: u64,
    /// The password is another.
    locked_ms: u64,
    /// No replica has what it has.
    alone_ms: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Redis {
    setting: Setting,
    now_ms: u64,
    ledger: Shared,
    store: Store,
    /// What it had before, the last one at the end.
    before: VecDeque<Store>,
    /// By the network's number.
    connections: BTreeMap<usize, Connection>,
    scripts: BTreeMap<String, Script>,
    run_id: String,
    replid: String,
    times: Times,
    is_up: bool,
    random: Rng,
    /// What has happened, for the trace.
    notes: Vec<String>,
}

impl Redis {
    pub(crate) fn new(setting: Setting, ledger: Shared, net: &mut Net, seed: u64) -> Self {
        let mut redis = Self {
            setting,
            now_ms: net.now_ms,
            ledger,
            store: Store::default(),
            before: VecDeque::new(),
            connections: BTreeMap::new(),
            scripts: BTreeMap::new(),
            run_id: String::new(),
            replid: String::new(),
            times: Times::default(),
            is_up: true,
            random: Rng::with_seed(seed),
            notes: Vec::new(),
        };
        redis.begin(net);
        redis.replid = redis.draw_id();
        redis
    }

    /// A process begins. Nothing is left of the one before but what is stored.
    fn begin(&mut self, net: &mut Net) {
        self.run_id = self.draw_id();
        self.scripts.clear();
        self.is_up = true;
        net.answers_calls = true;
        self.notes.push(format!("it begins as {}", &self.run_id[..12]));
    }

    fn draw_id(&mut self) -> String {
        (0..40).map(|_| char::from(b"0123456789abcdef"[self.random.usize(..16)])).collect()
    }

    /// The dice of a step are its own.
    pub(crate) fn begin_step(&mut self, random: Rng) {
        self.random = random;
    }

    /// What a script takes for the life of this Redis.
    fn life(&self) -> String {
        format!("{}{}", &self.run_id[..12], &self.replid[..12])
    }

    /// Time has gone by.
    pub(crate) fn pass(&mut self, net: &mut Net) {
        self.now_ms = net.now_ms;
        self.ledger.borrow_mut().now_ms = net.now_ms;
        self.store.expire(CLOCK_MS + self.now_ms, &self.ledger);
        if !self.is_up && self.times.down_ms <= self.now_ms {
            self.begin(net);
        }
    }

    /// Whether there is something for it to do.
    pub(crate) fn is_awake(&self, net: &Net) -> bool {
        let has_news = |&pipe: &usize| {
            let way = &net.pipes[pipe].to_client;
            way.arrived() > 0 || way.ended().is_some()
        };
        let is_able = self.is_up && self.times.still_ms <= self.now_ms;
        is_able && (!net.calls.is_empty() || self.connections.keys().any(has_news))
    }

    /// When something is different that nobody brings about; never: `u64::MAX`.
    pub(crate) fn wakes_at_ms(&self) -> u64 {
        let Times { down_ms, still_ms, .. } = self.times;
        let ends_ms = self.store.next_end_ms().saturating_sub(CLOCK_MS);
        let times = [down_ms, still_ms, ends_ms].into_iter();
        times.filter(|&ms| ms > self.now_ms).min().unwrap_or(u64::MAX)
    }

    /// Takes what has come on one of its connections, and answers it.
    pub(crate) fn turn(&mut self, net: &mut Net) {
        for pipe in std::mem::take(&mut net.calls) {
            let is_authenticated = self.setting.password.is_none();
            let connection = Connection { is_authenticated, ..Connection::default() };
            self.connections.insert(pipe, connection);
        }
        let has_news = |&pipe: &usize| {
            let way = &net.pipes[pipe].to_client;
            way.arrived() > 0 || way.ended().is_some()
        };
        let awake: Vec<usize> = self.connections.keys().copied().filter(has_news).collect();
        if awake.is_empty() {
            return;
        }
        let pipe = awake[self.random.usize(..awake.len())];
        let bytes: Vec<u8> = net.pipes[pipe].to_client.take(usize::MAX).collect();
        let mut connection = self.connections.remove(&pipe).expect("it is one of them");
        connection.commands.push(&bytes);
        self.connections.insert(pipe, connection);
        while let Some(connection) = self.connections.get_mut(&pipe)
            && let Some(words) = connection.commands.next()
        {
            let answers = self.carry_out(net, pipe, &words);
            let mut bytes = Vec::new();
            answers.iter().for_each(|answer| answer.encode(&mut bytes));
            net.send(pipe, &bytes);
        }
        if net.pipes[pipe].to_client.ended().is_some() {
            self.drop_connection(net, pipe, false);
        }
    }

    /// What has happened since this was asked.
    pub(crate) fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// Lets go of a connection.
    fn drop_connection(&mut self, net: &mut Net, pipe: usize, is_reset: bool) {
        if self.connections.remove(&pipe).is_some() {
            match is_reset {
                true => net.reset(pipe),
                false => net.finish(pipe),
            }
            net.release(pipe);
        }
    }

    /// Tells everyone who listens, and returns how many did.
    fn publish(&mut self, net: &mut Net, channel: &[u8], text: &[u8]) -> i64 {
        let words = ["message".as_bytes(), channel, text].map(Value::bulk);
        let mut bytes = Vec::new();
        Value::Push(words.to_vec()).encode(&mut bytes);
        let mut count = 0;
        for (&pipe, connection) in &self.connections {
            if connection.channels.contains(channel) && !connection.is_muted {
                net.send(pipe, &bytes);
                count += 1;
            }
        }
        count
    }

    /// Remembers what there is, before it changes.
    fn keep(&mut self) {
        if self.before.len() == STORES_KEPT {
            self.before.pop_front();
        }
        self.before.push_back(self.store.clone());
    }
}
