//! Panics anywhere, at any moment, in the middle of traffic: what clients see of them (catalogue 212).

use fastrand::Rng;
use tidings::fuse::Place;
use tidings::limits::{PANICS_MAX, PANICS_WINDOW_MS};

use crate::churn::assert_nothing_left;
use crate::client::{get, metric};
use crate::crowd::{Crowd, TOPICS};
use crate::world::{Weather, World};
use crate::{FOREVER_MS, ask, config};

/// After this time a worker may panic twice again.
const RESPITE_MS: u64 = 2 * PANICS_WINDOW_MS / PANICS_MAX as u64 + 1;

/// A server, its clients, and its panics.
struct Storm {
    world: World,
    random: Rng,
    crowd: Crowd,
    /// Panics, by place.
    panics: [usize; Place::ALL.len()],
    /// Panics in system calls.
    ambushed: usize,
}

impl Storm {
    fn new(seed: u64, workers: usize) -> Self {
        let what = format!("seed {seed}, {workers} workers");
        let mut random = Rng::with_seed(seed);
        let mut weather = Weather::random(&mut random);
        weather.window = weather.window.max(4_000);
        let config = config(workers, |limits| {
            (limits.head_ms, limits.body_grace_ms) = (FOREVER_MS, FOREVER_MS);
            (limits.topic_idle_ms, limits.heartbeat_ms) = (5_000, 3_000);
        });
        let mut world = World::new(config, weather, seed);
        world.may_panic = true;
        let mut crowd = Crowd::open(&mut world, &mut random, &what);
        crowd.settle(&mut world);
        Self { world, random, crowd, panics: [0; Place::ALL.len()], ambushed: 0 }
    }

    fn publish(&mut self) {
        let (publisher, topic) = (self.random.usize(..4), self.random.usize(..TOPICS));
        self.crowd.publish(&mut self.world, publisher, topic);
    }

    /// Makes a worker panic, if it passes that place in the next ticks. Whether it did.
    fn strike(&mut self, worker: usize, place: Place) -> bool {
        match place {
            Place::Accept => {
                let stranger = self.world.connect(worker);
                self.world.finish(stranger);
            }
            Place::Timer => self.world.pass(3_000),
            _ => {
                self.publish();
                for other in (0..self.world.workers()).filter(|&other| other != worker) {
                    self.world.tick(other);
                }
            }
        }
        self.world.fuse.light(place, self.random.u32(1..4));
        for _ in 0..3 {
            self.world.tick(worker);
        }
        let struck = !self.world.fuse.put_out();
        self.panics[Place::ALL.iter().position(|&one| one == place).expect("a place")] +=
            usize::from(struck);
        struck
    }

    /// Makes a worker panic in some system call. Whether it did.
    fn ambush(&mut self, worker: usize) -> bool {
        self.publish();
        let calls = self.random.u32(1..25);
        self.world.ambush(calls);
        for _ in 0..5 {
            self.world.tick(worker);
        }
        let struck = !self.world.ambush(0);
        self.ambushed += usize::from(struck);
        struck
    }

    fn step(&mut self) {
        let workers = self.world.workers();
        match self.random.u8(0..10) {
            0..4 => self.publish(),
            4..6 => self.crowd.take(&mut self.world),
            6 => {
                let mut struck = false;
                for _ in 0..self.random.usize(1..=2.min(workers)) {
                    let place = Place::ALL.get(self.random.usize(..8)).copied();
                    let worker = self.random.usize(..workers);
                    struck |= match place.filter(|&place| place != Place::Drain) {
                        Some(place) => self.strike(worker, place),
                        None => self.ambush(worker),
                    };
                }
                if struck {
                    self.after_panic();
                }
            }
            _ => {
                for _ in 0..self.random.u8(1..4) {
                    self.world.round();
                }
            }
        }
    }

    /// No time has gone by, and all is well.
    fn after_panic(&mut self) {
        let what = self.crowd.what.clone();
        self.crowd.settle(&mut self.world);
        for publisher in &self.crowd.publishers {
            assert!(publisher.unanswered.is_empty(), "everybody has an answer: {what}");
        }
        assert_eq!(self.world.post.connections(), self.world.open(), "the count is right: {what}");
        self.world.pass(RESPITE_MS);
        self.crowd.settle(&mut self.world);
    }

    /// Checks everything once more, and that nothing is left when all have gone.
    fn finish(&mut self) {
        let what = self.crowd.what.clone();
        let world = &mut self.world;
        world.weather(|weather| *weather = Weather::FAIR);
        self.crowd.check(world);
        let restarts = self.panics.iter().sum::<usize>() + self.ambushed;
        let scraper = world.connect(0);
        let answer = ask(world, scraper, &get("/metrics"), 1).remove(0);
        let text = String::from_utf8(answer.body).expect("text");
        let counted = metric(&text, "tidings_worker_restarts_total");
        assert_eq!(counted, restarts as u64, "{what}");
        self.crowd.leave(world);
        world.reset(scraper);
        world.settle();
        // Messages and topics grow old.
        for _ in 0..3 {
            world.pass(FOREVER_MS);
            world.settle();
        }
        assert_nothing_left(world, &what);
    }
}

#[test]
fn attack_212_workers_that_panic_anywhere_take_down_their_own_connections_and_nothing_else() {
    let mut panics = [0; Place::ALL.len()];
    let (mut gaps, mut unknown, mut ambushed) = (0, 0, 0);
    for seed in 0..150 {
        let mut storm = Storm::new(seed, [1, 2, 4][seed as usize % 3]);
        for _ in 0..200 {
            storm.step();
        }
        storm.finish();
        ambushed += storm.ambushed;
        gaps += storm.crowd.pollers.iter().map(|one| one.track.gaps).sum::<usize>();
        unknown += storm.crowd.publishers.iter().map(|one| one.unknown).sum::<usize>();
        panics.iter_mut().zip(storm.panics).for_each(|(sum, more)| *sum += more);
    }
    assert!(ambushed > 100, "in system calls: {ambushed}");
    assert!(panics[..5].iter().all(|&panics| panics > 20), "at every place: {panics:?}");
    assert!(gaps > 50 && unknown > 20, "{gaps} gaps, {unknown} unknown outcomes");
}
