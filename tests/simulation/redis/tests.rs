//! The simulated Redis answers as the real one does.

use std::cell::RefCell;
use std::rc::Rc;

use fastrand::Rng;
use tidings::key::OutboundId;
use tidings::reactor::Who;

use super::*;
use crate::judge::ledger::{Ledger, Retention};
use crate::net::Weather;
use crate::plan::Hazard;

const PRELUDE: &str = include_str!("../../../src/outbound/scripts/prelude.lua");
const PUBLISH: &str = include_str!("../../../src/outbound/scripts/publish.lua");
const READ: &str = include_str!("../../../src/outbound/scripts/read.lua");
const DELETE: &str = include_str!("../../../src/outbound/scripts/delete.lua");

/// A Redis and those who speak to it.
struct Scene {
    net: Net,
    redis: Redis,
    ledger: Shared,
    epochs: u32,
}

impl Scene {
    fn new() -> Self {
        let mut net = Net::new(Weather::FAIR, Rng::with_seed(1), 1, 1);
        let retention = Retention { messages: 3, bytes: 400, age_ms: 80_000, window_ms: 9_000 };
        let ledger = Rc::new(RefCell::new(Ledger::new(retention)));
        let setting = Setting { prefix: "p".to_owned(), password: None, slack: 0 };
        let redis = Redis::new(setting, Rc::clone(&ledger), &mut net, 1);
        Self { net, redis, ledger, epochs: 0 }
    }

    /// Somebody comes, and has said HELLO.
    fn peer(&mut self) -> usize {
        let pipe = self.net.dial((0, Who::Outbound(OutboundId(1))));
        assert!(self.ask(pipe, &["HELLO", "3"]).starts_with("%7\r\n$6\r\nserver\r\n"));
        pipe
    }

    /// Sends a command, and gives what is there then.
    fn ask(&mut self, pipe: usize, words: &[&str]) -> String {
        let mut bytes = format!("*{}\r\n", words.len());
        for word in words {
            bytes += &format!("${}\r\n{word}\r\n", word.len());
        }
        self.net.deliver(pipe, bytes.bytes());
        while self.redis.is_awake(&self.net) {
            self.redis.turn(&mut self.net);
        }
        self.hear(pipe)
    }

    fn hear(&mut self, pipe: usize) -> String {
        let bytes: Vec<u8> = self.net.pipes[pipe].to_server.take(usize::MAX).collect();
        String::from_utf8(bytes).expect("all of it is text here")
    }

    fn pass(&mut self, ms: u64) {
        self.net.pass(ms);
        self.redis.pass(&mut self.net);
    }

    /// Runs a script on topic `t`, as a server that knows this life.
    fn run(&mut self, pipe: usize, script: &str, key: Option<&str>, more: &[&str]) -> String {
        let (text, life) = (format!("{PRELUDE}{script}"), self.redis.life());
        self.epochs += 1;
        let epoch = format!("epoch{:03}", self.epochs);
        let key = key.map(|key| format!("p:{{t}}:key:{key}"));
        let mut words = vec!["EVAL", &text, if key.is_some() { "3" } else { "2" }];
        words.extend(["p:{t}:state", "p:{t}:log"]);
        words.extend(key.as_deref());
        words.extend([life.as_str(), &epoch, "80000", "4000"]);
        words.extend(more);
        self.ask(pipe, &words)
    }

    fn publish(&mut self, pipe: usize, number: u32, key: Option<&str>) -> String {
        let record = format!("7 1 0\nx#{number}");
        let more = [record.as_str(), "3", "400", "100", "p:{t}", "PUBLISH", "9000"];
        self.run(pipe, PUBLISH, key, &more)
    }

    fn read(&mut self, pipe: usize) -> String {
        self.run(pipe, READ, None, &["0", "10", "10", "1000"])
    }
}

#[test]
fn what_is_published_is_sequenced_told_and_read() {
    let mut scene = Scene::new();
    let (one, other) = (scene.peer(), scene.peer());
    let confirmed = ">3\r\n$9\r\nsubscribe\r\n$5\r\np:{t}\r\n:1\r\n";
    assert_eq!(scene.ask(other, &["SUBSCRIBE", "p:{t}"]), confirmed);
    assert_eq!(scene.publish(one, 1, None), "$10\r\nepoch001 1\r\n");
    let pushed = ">3\r\n$7\r\nmessage\r\n$5\r\np:{t}\r\n$20\r\nepoch001 1\n7 1 0\nx#1\r\n";
    assert_eq!(scene.hear(other), pushed);
    assert_eq!(scene.publish(one, 2, None), "$10\r\nepoch001 2\r\n");
    let page = scene.read(one);
    assert!(page.starts_with("*5\r\n$10\r\nepoch001 1\r\n$1\r\n2\r\n$13\r\n1767225600000\r\n"));
    assert!(page.ends_with("*3\r\n$1\r\n2\r\n$13\r\n1767225600000\r\n$9\r\n7 1 0\nx#2\r\n"));
}

#[test]
fn no_more_is_kept_than_may_be_and_a_key_for_its_time() {
    let mut scene = Scene::new();
    let peer = scene.peer();
    for number in 1..6 {
        scene.publish(peer, number, None);
    }
    assert!(scene.read(peer).starts_with("*6\r\n"), "three messages of five");
    let first = scene.publish(peer, 6, Some("k"));
    assert_eq!(first, "$10\r\nepoch001 6\r\n");
    scene.pass(8_999);
    assert_eq!(scene.publish(peer, 6, Some("k")), first);
    scene.pass(1);
    assert_eq!(scene.publish(peer, 6, Some("k")), "$10\r\nepoch001 7\r\n");
    // Its log, then its state.
    scene.pass(81_001);
    assert!(
        scene.read(peer).starts_with("*3\r\n$10\r\nepoch001 1\r\n$1\r\n7\r\n"),
        "an empty page"
    );
    scene.pass(94_001);
    assert_eq!(scene.ledger.borrow().head("t"), None);
    assert!(scene.read(peer).contains("\r\n$1\r\n0\r\n"), "another topic begins");
}

#[test]
fn another_life_of_redis_is_another_term_and_a_flush_another_topic() {
    let mut scene = Scene::new();
    let peer = scene.peer();
    scene.publish(peer, 1, None);
    let before = scene.redis.life();
    scene.redis.begin(&mut scene.net);
    scene.redis.replid = "f".repeat(40);
    assert_ne!(scene.redis.life(), before);
    assert_eq!(scene.publish(peer, 2, None), "$10\r\nepoch002 2\r\n");
    assert!(scene.read(peer).contains("epoch001 1 epoch002 2\r\n"));
    scene.redis.strike(&mut scene.net, Hazard::RedisFlush);
    assert_eq!(scene.publish(peer, 3, None), "$10\r\nepoch004 1\r\n");
    let deleted = scene.run(peer, DELETE, None, &["p:{t}", "PUBLISH"]);
    assert_eq!(deleted, "$10\r\nepoch005 0\r\n");
    scene.redis.strike(&mut scene.net, Hazard::RedisFlush);
    assert_eq!(scene.run(peer, DELETE, None, &["p:{t}", "PUBLISH"]), "_\r\n");
}

#[test]
fn who_does_not_know_the_life_is_told_so() {
    let mut scene = Scene::new();
    let peer = scene.peer();
    scene.publish(peer, 1, None);
    let text = format!("{PRELUDE}{READ}");
    let words = ["EVAL", &text, "2", "p:{t}:state", "p:{t}:log", &"0".repeat(24), "epoch009"];
    let words = [&words[..], &["80000", "4000", "0", "10", "10", "1000"]].concat();
    assert!(scene.ask(peer, &words).starts_with("-STALELIFE "));
}

#[test]
fn what_goes_wrong_is_said_as_redis_says_it() {
    let mut scene = Scene::new();
    let peer = scene.peer();
    scene.publish(peer, 1, None);
    assert!(scene.ask(peer, &["EVALSHA", &"0".repeat(40), "0"]).starts_with("-NOSCRIPT "));
    for (hazard, prefix) in [
        (Hazard::RedisDemoted, "-READONLY "),
        (Hazard::RedisFull, "-OOM "),
        (Hazard::RedisLoading, "-LOADING "),
    ] {
        scene.redis.strike(&mut scene.net, hazard);
        let answer = scene.publish(peer, 2, None);
        assert!(answer.starts_with(prefix), "{answer}");
        scene.redis.calm_down();
    }
    scene.redis.strike(&mut scene.net, Hazard::RedisLocked);
    assert!(scene.redis.connections.is_empty(), "all have to come again");
    let pipe = scene.net.dial((0, Who::Outbound(OutboundId(2))));
    let answer = scene.ask(pipe, &["HELLO", "3", "AUTH", "default", "secret"]);
    assert!(answer.starts_with("-WRONGPASS "), "{answer}");
    scene.pass(20_000);
    assert!(scene.ask(pipe, &["HELLO", "3", "AUTH", "default", "x"]).starts_with('%'));
}

#[test]
fn a_replica_that_takes_over_may_lack_the_last_messages_and_the_ledger_knows() {
    let mut lost = 0;
    for seed in 0..20 {
        let mut scene = Scene::new();
        let peer = scene.peer();
        for number in 1..4 {
            scene.publish(peer, number, None);
        }
        scene.redis.begin_step(Rng::with_seed(seed));
        scene.redis.strike(&mut scene.net, Hazard::RedisFailover);
        let peer = scene.peer();
        let head = scene.ledger.borrow().head("t").map_or(0, |(_, sequence)| sequence);
        let answer = scene.publish(peer, 9, None);
        assert!(answer.ends_with(&format!(" {}\r\n", head + 1)), "{head}: {answer}");
        lost += u64::from(head < 3);
    }
    assert!((1..20).contains(&lost), "{lost} of 20 have lost something");
}

#[test]
fn who_is_muted_hears_nothing_but_answers() {
    let mut scene = Scene::new();
    let (one, other) = (scene.peer(), scene.peer());
    scene.ask(other, &["SUBSCRIBE", "a"]);
    assert_eq!(scene.ask(one, &["PUBLISH", "a", "x"]), ":1\r\n");
    assert!(!scene.hear(other).is_empty());
    for _ in 0..20 {
        scene.redis.strike(&mut scene.net, Hazard::RedisMute);
    }
    assert_eq!(scene.ask(one, &["PUBLISH", "a", "x"]), ":0\r\n");
    assert_eq!(scene.hear(other), "");
    assert!(scene.ask(other, &["UNSUBSCRIBE", "a"]).contains("unsubscribe"));
}
