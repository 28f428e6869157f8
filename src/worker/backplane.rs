//! What goes between the hub and Redis, which know nothing of each other.

use std::sync::Arc;

use fastrand::Rng;

use super::Worker;
use crate::config::Config;
use crate::connection::Readiness;
use crate::limits::BACKPLANE_STEPS_PER_TICK;
use crate::outbound::{self, Redis, Status};
use crate::time::{Instant, Now};
use crate::topic::{Report, Request};

/// What `/readyz` says may be so old.
const READINESS_MS: u64 = 100;

/// Where topics are sequenced if that is not here.
#[derive(Debug, Default)]
pub(super) struct Backplane {
    redis: Option<Box<Redis>>,
    /// Whether hub and Redis have more for each other than was carried.
    is_unpumped: bool,
    /// When each publish that is under way was asked for, by its number; never: there is none. Numbers are small, as
    /// the hub uses them again.
    asked: Vec<Instant>,
    readiness: Readiness,
    /// When that is looked at again.
    look_at: Instant,
    /// What the workers counted whose place this one has taken.
    before: outbound::Counters,
}

impl Backplane {
    pub(super) fn new(config: &Config, random: &mut Rng) -> Self {
        // Without Redis the random numbers are what they always were: the simulation's seeds mean the same.
        let redis = config.redis.as_ref().map(|redis| Redis::new(Arc::clone(redis), random.fork()));
        Self { redis: redis.map(Box::new), ..Self::default() }
    }

    /// The same, for the worker that takes the place of one that failed.
    pub(super) fn succeeding(self, failed: &Self) -> Self {
        let before = failed.status().map(|status| status.counters);
        Self { before: before.unwrap_or_default(), ..self }
    }

    pub(super) fn next_deadline(&self) -> Instant {
        self.redis.as_ref().map_or(Instant::NEVER, |redis| redis.next_deadline())
    }

    /// Whether [`Worker::pump`] has more to do.
    pub(super) fn has_work(&self) -> bool {
        self.is_unpumped
    }

    /// Whether clients are to come here.
    pub(super) fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// Something is asked of Redis.
    fn note_request(&mut self, now: Instant, request: &Request) {
        let Request::Publish { number, .. } = request else { return };
        let place = *number as usize;
        if place >= self.asked.len() {
            self.asked.resize(place + 1, Instant::NEVER);
        }
        self.asked[place] = now;
    }

    /// Redis has something to say. Returns how many milliseconds it was waited for, if it is what came of a publish.
    fn note_report(&mut self, now: Instant, report: &Report) -> Option<u64> {
        match report {
            Report::Done { number, .. } => {
                let asked = self.asked.get_mut(*number as usize)?;
                let since = std::mem::replace(asked, Instant::NEVER);
                return (since != Instant::NEVER).then(|| now.since(since));
            }
            Report::Reachable(_) => self.look_at = now,
            _ => (),
        }
        None
    }

    /// How things stand with Redis.
    pub(super) fn status(&self) -> Option<Box<Status>> {
        let mut status = Box::new(self.redis.as_ref()?.status());
        status.counters = sum(self.before, status.counters);
        Some(status)
    }

    /// Time has passed.
    pub(super) fn handle_timers(&mut self, now: Now) {
        let Some(redis) = &mut self.redis else { return };
        redis.handle_timers(now);
        if now.instant >= self.look_at {
            self.look_at = now.instant + READINESS_MS;
            self.readiness = match redis.status() {
                Status { reachable: true, .. } => Readiness::Ready,
                Status { was_reachable: false, .. } => Readiness::Waiting,
                Status { since, trouble, .. } => {
                    Readiness::Degraded { since, why: trouble.unwrap_or_default() }
                }
            };
        }
    }
}

impl Worker {
    /// Its dealings with Redis, if topics are sequenced there, and what time it is.
    pub fn redis(&mut self) -> Option<(Now, &mut Redis)> {
        let now = self.now;
        self.backplane.redis.as_deref_mut().map(|redis| (now, redis))
    }

    /// Carries what the hub wants to Redis, and what Redis says to the hub, until neither has more. Whether there
    /// is more than is done at once.
    pub fn pump(&mut self) -> bool {
        for _ in 0..BACKPLANE_STEPS_PER_TICK {
            if self.backplane.redis.is_none() {
                return false;
            }
            if let Some(request) = self.hub.poll_request() {
                self.backplane.note_request(self.now.instant, &request);
                if let Some((now, redis)) = self.redis() {
                    redis.handle_request(now, request);
                }
            } else if let Some(report) = self.redis().and_then(|(_, redis)| redis.poll_report()) {
                if let Some(ms) = self.backplane.note_report(self.now.instant, &report) {
                    self.counters.round_trips.note(ms.saturating_mul(1_000));
                }
                self.hub.handle_report(self.now, report);
            } else if self.hub.has_answers() || self.hub.has_room_again() {
                // It may make room for what a connection wants published.
                self.hand_out_answers();
            } else {
                self.backplane.is_unpumped = false;
                return false;
            }
        }
        self.backplane.is_unpumped = true;
        true
    }
}

fn sum(one: outbound::Counters, other: outbound::Counters) -> outbound::Counters {
    outbound::Counters {
        dials: one.dials + other.dials,
        lost: one.lost + other.lost,
        published: one.published + other.published,
        refused: one.refused + other.refused,
        unknown: one.unknown + other.unknown,
        retried: one.retried + other.retried,
        reads: one.reads + other.reads,
        heard: one.heard + other.heard,
        bytes_in: one.bytes_in + other.bytes_in,
        bytes_out: one.bytes_out + other.bytes_out,
    }
}
