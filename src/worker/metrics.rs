//! Letters between workers, and the numbers of all of them gathered for whoever asked.

use std::collections::VecDeque;

use crate::connection::metrics_text;
use crate::counters::{Counters, HubGauges};
use crate::hub;
use crate::key::ConnectionKey;

/// What one worker sends another.
#[derive(Debug)]
pub enum Letter {
    /// About topics.
    Hub(hub::Mail),
    /// Send your numbers.
    MetricsWanted {
        /// For whom, in the sender's world.
        connection: ConnectionKey,
    },
    /// The numbers.
    Metrics {
        /// For whom, in the receiver's world.
        connection: ConnectionKey,
        /// The sender's counters.
        counters: Box<Counters>,
        /// The sender's hub.
        gauges: HubGauges,
    },
}

/// Requests for metrics that wait for other workers.
#[derive(Debug)]
pub(super) struct Scrapes {
    workers: usize,
    own: usize,
    scrapes: Vec<Scrape>,
    letters: VecDeque<(usize, Letter)>,
}

#[derive(Debug)]
struct Scrape {
    connection: ConnectionKey,
    /// Workers that have not sent their numbers.
    missing: Vec<usize>,
    counters: Counters,
    gauges: HubGauges,
    /// Connections of each worker.
    connections: Vec<u64>,
}

impl Scrapes {
    pub(super) fn new(workers: usize, own: usize) -> Self {
        Self { workers, own, scrapes: Vec::new(), letters: VecDeque::new() }
    }

    /// The number of the worker that asks.
    pub(super) const fn own(&self) -> usize {
        self.own
    }

    /// Asks all other workers for their numbers.
    pub(super) fn begin(
        &mut self,
        connection: ConnectionKey,
        counters: &Counters,
        gauges: &HubGauges,
    ) {
        let mut connections = vec![0; self.workers];
        connections[self.own] = counters.connections();
        let others = (0..self.workers).filter(|&worker| worker != self.own);
        let missing: Vec<usize> = others.collect();
        for &worker in &missing {
            self.letters.push_back((worker, Letter::MetricsWanted { connection }));
        }
        let (counters, gauges) = (counters.clone(), *gauges);
        self.scrapes.push(Scrape { connection, missing, counters, gauges, connections });
    }

    /// Another worker's numbers.
    pub(super) fn add(
        &mut self,
        from: usize,
        connection: ConnectionKey,
        counters: &Counters,
        gauges: &HubGauges,
    ) {
        if let Some(scrape) = self.scrapes.iter_mut().find(|one| one.connection == connection) {
            scrape.missing.retain(|&worker| worker != from);
            scrape.connections[from] = counters.connections();
            scrape.counters.add(counters);
            scrape.gauges.add(gauges);
        }
    }

    /// A worker has begun anew: it knows nothing of what it was asked.
    pub(super) fn ask_again(&mut self, worker: usize) {
        self.letters.retain(|(to, _)| *to != worker);
        for scrape in self.scrapes.iter().filter(|scrape| scrape.missing.contains(&worker)) {
            let connection = scrape.connection;
            self.letters.push_back((worker, Letter::MetricsWanted { connection }));
        }
    }

    /// The next answer that is complete.
    pub(super) fn poll_text(&mut self) -> Option<(ConnectionKey, String)> {
        let index = self.scrapes.iter().position(|scrape| scrape.missing.is_empty())?;
        let scrape = self.scrapes.swap_remove(index);
        Some((
            scrape.connection,
            metrics_text(&scrape.counters, &scrape.gauges, &scrape.connections),
        ))
    }

    pub(super) fn send(&mut self, worker: usize, letter: Letter) {
        self.letters.push_back((worker, letter));
    }

    pub(super) fn poll_letter(&mut self) -> Option<(usize, Letter)> {
        self.letters.pop_front()
    }
}
