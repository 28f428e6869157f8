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
    missing: usize,
    counters: Counters,
    gauges: HubGauges,
    /// Connections of each worker.
    connections: Vec<u64>,
}

impl Scrapes {
    pub(super) fn new(workers: usize, own: usize) -> Self {
        Self { workers, own, scrapes: Vec::new(), letters: VecDeque::new() }
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
        let (counters, gauges, missing) = (counters.clone(), *gauges, self.workers - 1);
        self.scrapes.push(Scrape { connection, missing, counters, gauges, connections });
        for worker in (0..self.workers).filter(|&worker| worker != self.own) {
            self.letters.push_back((worker, Letter::MetricsWanted { connection }));
        }
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
            scrape.missing -= 1;
            scrape.connections[from] = counters.connections();
            scrape.counters.add(counters);
            scrape.gauges.add(gauges);
        }
    }

    /// The next answer that is complete.
    pub(super) fn poll_text(&mut self) -> Option<(ConnectionKey, String)> {
        let index = self.scrapes.iter().position(|scrape| scrape.missing == 0)?;
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
