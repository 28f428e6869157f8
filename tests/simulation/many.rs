//! Many seeds, one after the other on each core, and what came of all of them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::num::NonZero;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use crate::coverage::{Mark, Reached};
use crate::history::{Failure, History};
use crate::judge::Seen;
use crate::plan::Hazard;
use crate::report::{RUNS_MAX, command, report};
use crate::run::Outcome;
use crate::trace::Trace;

/// How long nobody looks at the clock at most.
const PATIENCE: Duration = Duration::from_secs(1);

/// Of those that fail in one place.
const SEEDS_TOLD: usize = 10;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Many {
    pub(crate) seeds: Range<u64>,
    pub(crate) steps: u32,
    /// Several servers share a Redis.
    pub(crate) shared: bool,
}

/// What came of them.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    /// Seeds that were played.
    pub(crate) seeds: u64,
    pub(crate) steps: u64,
    /// Milliseconds of virtual time.
    pub(crate) took_ms: u64,
    pub(crate) seen: Seen,
    pub(crate) hazards: [u64; Hazard::ALL.len()],
    pub(crate) reached: Reached,
    /// By seed.
    pub(crate) failures: BTreeMap<u64, Failure>,
}

impl Many {
    /// Plays them until all have been, or `look`, who is asked every now and then, does not want to go on.
    pub(crate) fn play(&self, mut look: impl FnMut(&Totals) -> bool) -> Totals {
        let mut totals = Totals::default();
        let next = AtomicU64::new(self.seeds.start);
        let end = AtomicU64::new(self.seeds.end);
        thread::scope(|scope| {
            let (sender, results) = sync_channel(1_000);
            for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
                let sender = sender.clone();
                scope.spawn(|| self.play_some(&next, &end, sender));
            }
            drop(sender);
            loop {
                match results.recv_timeout(PATIENCE) {
                    Ok((seed, result)) => totals.add(seed, self.steps, result),
                    Err(RecvTimeoutError::Timeout) => (),
                    Err(RecvTimeoutError::Disconnected) => return,
                }
                if !look(&totals) {
                    end.store(0, Ordering::Relaxed);
                }
            }
        });
        totals
    }

    fn history(&self, seed: u64) -> History {
        History { shared: self.shared, ..History::whole(seed, self.steps) }
    }

    /// What one thread does.
    fn play_some(
        &self,
        next: &AtomicU64,
        end: &AtomicU64,
        sender: SyncSender<(u64, Result<Outcome, Failure>)>,
    ) {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end.load(Ordering::Relaxed) {
                return;
            }
            let played = self.history(seed).play(Trace::default());
            if sender.send((seed, played.result)).is_err() {
                return;
            }
        }
    }

    /// The failures by seed, and the whole story of the first in each place; `stories` of them at most.
    pub(crate) fn tell(&self, totals: &Totals, stories: usize) -> String {
        let mut text = format!("{} of {} seeds fail:\n", totals.failures.len(), totals.seeds);
        let mut places: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        for (seed, failure) in &totals.failures {
            places.entry(&failure.complaint.place).or_default().push(*seed);
        }
        let mut places: Vec<(&str, Vec<u64>)> = places.into_iter().collect();
        places.sort_by_key(|(_, seeds)| seeds[0]);
        for (place, seeds) in &places {
            let history = self.history(seeds[0]);
            let some = &seeds[..seeds.len().min(SEEDS_TOLD)];
            let _ = writeln!(text, "  {place}: {} seeds, as {some:?}", seeds.len());
            let _ = writeln!(text, "    {}", totals.failures[&seeds[0]].complaint.text);
            let _ = writeln!(text, "    {}", command(&history));
        }
        for (_, seeds) in places.iter().take(stories) {
            let history = self.history(seeds[0]);
            let _ = writeln!(text, "\n{}", report(&history, &totals.failures[&seeds[0]], RUNS_MAX));
        }
        text
    }
}

impl Totals {
    fn add(&mut self, seed: u64, steps: u32, result: Result<Outcome, Failure>) {
        self.seeds += 1;
        self.steps += u64::from(steps);
        match result {
            Ok(outcome) => {
                self.took_ms += outcome.took_ms;
                self.seen.add(&outcome.seen);
                self.reached.add(&outcome.coverage);
                let pairs = self.hazards.iter_mut().zip(outcome.hazards);
                pairs.for_each(|(sum, more)| *sum += more);
            }
            Err(failure) => {
                self.failures.insert(seed, failure);
            }
        }
    }

    /// All of it in a line.
    pub(crate) fn line(&self) -> String {
        let Seen { published, acknowledged, delivered, gaps, unknown_gaps, .. } = &self.seen;
        let hours = self.took_ms / 3_600_000;
        format!(
            "{} seeds, {} steps, {hours} hours of virtual time: {published} published, {acknowledged} \
             acknowledged, {delivered} delivered, {} gaps; {} of {} marks reached; {} failures",
            self.seeds,
            self.steps,
            gaps + unknown_gaps,
            self.reached.count(),
            Mark::COUNT,
            self.failures.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seed_is_played_once_and_nobody_need_wait_for_the_end() {
        let many = Many { seeds: 5..25, steps: 0, shared: false };
        let mut sum = 0;
        let totals = many.play(|totals| {
            sum += 1;
            assert_eq!(totals.seeds, sum, "one after the other");
            true
        });
        assert_eq!((totals.seeds, totals.failures.len()), (20, 0));
        let endless = Many { seeds: 0..u64::MAX, steps: 0, shared: false };
        let totals = endless.play(|totals| totals.seeds < 10);
        assert!((10..1_000).contains(&totals.seeds), "{} seeds", totals.seeds);
    }

    #[test]
    fn failures_are_told_by_their_place() {
        let mut totals = Totals { seeds: 9, ..Totals::default() };
        for (seed, place) in [(3, "b.rs:1"), (4, "a.rs:2"), (8, "b.rs:1")] {
            let mut failure = Failure::default();
            failure.complaint.place = place.to_owned();
            failure.complaint.text = format!("why {seed}");
            totals.failures.insert(seed, failure);
        }
        let text = Many { seeds: 0..9, steps: 20, shared: false }.tell(&totals, 0);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "3 of 9 seeds fail:");
        assert_eq!(lines[1], "  b.rs:1: 2 seeds, as [3, 8]");
        assert_eq!(lines[2], "    why 3");
        assert!(lines[3].contains("SEED=3 STEPS=20 cargo test "), "{}", lines[3]);
        assert_eq!(lines[4], "  a.rs:2: 1 seeds, as [4]");
    }
}
