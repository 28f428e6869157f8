//! The load: publishers, subscribers of every wire, and at the end the auditor.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::audit::{Figures, Rules, audit};
use crate::folder::until;
use crate::history::{History, Record};
use crate::publisher::Publisher;
use crate::shared::Shared;
use crate::subscriber::Subscriber;
use crate::wires::Wire;

/// Within which a fresh message reaches everybody when a fault is over.
pub const RECOVERY: Duration = Duration::from_secs(15);

/// How much of everything.
#[derive(Copy, Clone)]
pub struct Size {
    pub topics: usize,
    pub publishers: usize,
    /// Messages a second, of all publishers.
    pub rate: f64,
    /// Subscribers on each wire. Every third has several topics.
    pub each: usize,
    /// A message stays for long enough to reach everybody.
    pub logs_are_long: bool,
}

impl Size {
    pub const USUAL: Self =
        Self { topics: 4, publishers: 16, rate: 2_000.0, each: 3, logs_are_long: true };
}

/// A load that runs until it is finished, or dropped.
pub struct Load {
    pub shared: Arc<Shared>,
    topics: Vec<String>,
    /// Who is subscribed to what.
    crowd: Vec<(String, Vec<String>)>,
    publishers: Vec<JoinHandle<()>>,
    subscribers: Vec<JoinHandle<Vec<History>>>,
    marker: Publisher,
    marks: usize,
    began: Instant,
    /// The longest time that a fresh message took after a fault.
    slowest: Duration,
}

impl Load {
    pub fn start(servers: Vec<SocketAddr>, size: Size) -> Self {
        let shared = Arc::new(Shared::new(servers));
        let topics: Vec<String> = (0..size.topics).map(|number| format!("tide {number}")).collect();
        let (mut crowd, mut subscribers) = (Vec::new(), Vec::new());
        for (index, wire) in Wire::ALL.into_iter().enumerate() {
            for turn in 0..size.each {
                let number = index * size.each + turn;
                let one = vec![topics[number % topics.len()].clone()];
                let several = turn % 3 == 2 && wire != Wire::Raw;
                let names = if several { topics.clone() } else { one };
                // One of three stays.
                let home = (turn % 3 == 1).then_some(number);
                let subscriber = Subscriber::new(wire, number, names.clone(), home, &shared);
                crowd.push((subscriber.name.clone(), names));
                subscribers.push(thread::spawn(move || subscriber.run()));
            }
        }
        let mut load = Self {
            marker: Publisher::new("marker".to_owned(), &shared),
            shared,
            topics,
            crowd,
            publishers: Vec::new(),
            subscribers,
            marks: 0,
            began: Instant::now(),
            slowest: Duration::ZERO,
        };
        load.begin(size);
        load
    }

    /// Nothing is published before everybody listens.
    fn begin(&mut self, size: Size) {
        let all = self.subscribers.len();
        until("everybody listens", Duration::from_secs(20), || {
            self.shared.begun.load(Ordering::Acquire) == all
        });
        self.began = Instant::now();
        let per_second = size.rate / size.publishers as f64;
        for number in 0..size.publishers {
            let publisher = Publisher::new(format!("{number}"), &self.shared);
            let topics = self.topics.clone();
            self.publishers.push(thread::spawn(move || publisher.run(&topics, per_second)));
        }
        if size.logs_are_long {
            self.mark("the beginning");
        }
    }

    /// Goes on for a while, with nothing but the load.
    pub fn run_for(&self, time: Duration) {
        thread::sleep(time);
    }

    /// The same without a load.
    pub fn pause(time: Duration) {
        thread::sleep(time);
    }

    /// Publishes one message of so many bytes to the first topic.
    pub fn publish_large(&mut self, number: usize, bytes: usize) {
        let topic = self.topics[0].clone();
        let payload = format!("{topic}/large-{number}");
        let payload = payload + &"-".repeat(bytes);
        assert!(self.marker.publish(&topic, &payload, RECOVERY), "a large message is published");
    }

    /// A fault is over: a fresh message to each topic is published and reaches everybody in time.
    #[track_caller]
    pub fn mark(&mut self, what: &str) {
        self.mark_within(what, RECOVERY);
    }

    /// The same, for faults after which Redis is tried again only now and then.
    #[track_caller]
    pub fn mark_within(&mut self, what: &str, patience: Duration) {
        let began = Instant::now();
        self.marks += 1;
        let payload = |topic: &str| format!("{topic}/mark-{}", self.marks);
        for topic in self.topics.clone() {
            let payload = payload(&topic);
            let in_time = self.marker.publish(&topic, &payload, patience);
            assert!(in_time, "after {what}: nothing is published to {topic:?} in {patience:?}");
        }
        for topic in &self.topics {
            let all: Vec<String> = self
                .crowd
                .iter()
                .filter(|(_, names)| names.contains(topic))
                .map(|(name, _)| name.clone())
                .collect();
            let missing = self.shared.await_reached(&payload(topic), &all, began + patience);
            let count = missing.len();
            assert!(
                missing.is_empty(),
                "after {what}: a fresh message in {topic:?} has not reached {count} of {} in {patience:?}: \
                 {missing:?}",
                all.len()
            );
        }
        let took = began.elapsed();
        println!("  {what}: a fresh message reached everybody {took:.0?} later");
        self.slowest = self.slowest.max(took);
    }

    /// Ends everything, and holds what was received against what was promised.
    #[track_caller]
    pub fn finish(mut self, rules: Rules) -> Figures {
        self.stop_publishing();
        let time = self.began.elapsed();
        self.mark("the last fault");
        let (slowest, shared) = (self.slowest, Arc::clone(&self.shared));
        let figures = audit(&self.record(), rules).unwrap_or_else(|complaints| {
            panic!("the auditor complains of {}:\n{}", complaints.len(), complaints.join("\n"))
        });
        println!(
            "  {figures:?}\n  {:.0} published a second, {} tried again, {} connections of subscribers, \
             recovered within {slowest:.0?}",
            figures.acknowledged as f64 / time.as_secs_f64(),
            shared.repeats.load(Ordering::Relaxed),
            shared.reconnections.load(Ordering::Relaxed),
        );
        figures
    }

    fn stop_publishing(&mut self) {
        self.shared.is_over.store(true, Ordering::Release);
        for publisher in self.publishers.drain(..) {
            publisher.join().unwrap();
        }
    }

    /// Ends everything; returns what is known.
    pub fn record(mut self) -> Record {
        self.stop_publishing();
        self.shared.has_ended.store(true, Ordering::Release);
        let ended = self.subscribers.drain(..).map(|one| one.join().unwrap());
        let histories: Vec<History> = ended.flatten().collect();
        let (attempted, acknowledged, wrongs) = self.shared.take();
        Record { attempted, acknowledged, histories, wrongs }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // After a failure: the threads end by themselves.
        self.shared.is_over.store(true, Ordering::Release);
        self.shared.has_ended.store(true, Ordering::Release);
    }
}
