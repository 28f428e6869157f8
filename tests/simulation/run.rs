//! One run: a history carried out step by step, then calm, then everybody leaves.

use fastrand::Rng;
use tidings::counters::{Counters, HubGauges};
use tidings::fuse::Place;
use tidings::worker::Worker;

use crate::clients::{Actor, Hands, Nobody, Role};
use crate::coverage::{Coverage, Event, Mark};
use crate::judge::{Judge, Seen};
use crate::net::{Net, Weather};
use crate::plan::{Act, Hazard, Plan};
use crate::redis::Redis;
use crate::topics::TOPICS_MAX;
use crate::trace::Trace;
use crate::world::World;

mod calm;

/// What came of a run in which the judge had nothing to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Of the whole trace.
    pub(crate) fingerprint: u64,
    pub(crate) seen: Seen,
    /// How often each hazard came about, of those that do at moments.
    pub(crate) hazards: [u64; Hazard::ALL.len()],
    /// Milliseconds of virtual time.
    pub(crate) took_ms: u64,
    pub(crate) coverage: Coverage,
}

/// A server, and what has befallen it.
struct Server {
    world: World,
    /// Until when each worker stands still.
    stalled_ms: Vec<u64>,
    /// When the next process begins; while there is one, never.
    boots_ms: u64,
}

/// The servers, their clients, the judge, and what happens to them.
pub(crate) struct Run<'a> {
    plan: &'a Plan,
    /// One, or several that share their topics. Each knows the one network, and the one clock.
    servers: Vec<Server>,
    /// What they share, if they share anything.
    redis: Option<Redis>,
    judge: Judge,
    actors: Vec<Box<dyn Actor>>,
    pub(crate) trace: Trace,
    random: Rng,
    exhausted_ms: u64,
    is_calm: bool,
    /// Processes that have ended.
    processes: u32,
    /// The longest answer that is no page of messages.
    answer_bytes_max: usize,
    hazards: [u64; Hazard::ALL.len()],
    coverage: Coverage,
}

/// What may have a turn.
#[derive(Copy, Clone)]
enum Candidate {
    Worker(usize, usize),
    Client(usize),
    Redis,
}

impl<'a> Run<'a> {
    pub(crate) fn new(plan: &'a Plan, trace: Trace) -> Self {
        let mut world = World::new(plan.config.clone(), plan.weather(), plan.seed);
        world.net(|net| net.keeps_pace = true);
        let mut worlds = vec![world];
        for server in 1..plan.servers {
            worlds.push(worlds[0].beside(plan.config.clone(), plan.seed + server as u64));
        }
        let servers = worlds.into_iter().map(|mut world| {
            world.may_panic = true;
            Server { world, stalled_ms: vec![0; plan.config.workers], boots_ms: u64::MAX }
        });
        let mut random = Rng::with_seed(plan.seed);
        let mut begin = |(number, role): (usize, &Role)| {
            let actor = role.begin(&mut random, plan.topics);
            if plan.is_dismissed(number) { Box::new(Nobody) } else { actor }
        };
        let actors = plan.roles.iter().enumerate().map(&mut begin).collect();
        let mut servers: Vec<Server> = servers.collect();
        let judge = Judge::new(&plan.config);
        let redis = plan.redis.as_ref().zip(judge.ledger()).map(|(setting, ledger)| {
            servers[0].world.net(|net| Redis::new(setting.clone(), ledger, net, plan.seed))
        });
        Self {
            plan,
            servers,
            redis,
            judge,
            actors,
            trace,
            random,
            exhausted_ms: 0,
            is_calm: false,
            processes: 0,
            answer_bytes_max: match plan
                .roles
                .iter()
                .any(|role| matches!(role, Role::Observer | Role::Hostile))
            {
                true => METRICS_BYTES_MAX,
                false => REFUSAL_BYTES_MAX,
            },
            hazards: [0; Hazard::ALL.len()],
            coverage: Coverage::begin(plan),
        }
    }

    /// Carries out the steps with these numbers, and everything that follows.
    ///
    /// # Panics
    /// When the judge has something to say.
    pub(crate) fn play(&mut self, steps: impl Iterator<Item = u32>) -> Outcome {
        for number in steps {
            self.trace.begin_step(Some(number));
            let (act, random) = self.plan.step(number);
            self.begin_step(random);
            match act {
                Act::Turn => self.turn(),
                Act::Client => self.act(),
                Act::Pass => {
                    let most_ms = [3, 100, 1_000, 10_000][self.random.usize(..4)];
                    let ms = self.random.u64(0..most_ms);
                    self.pass(ms);
                }
                Act::Hazard(hazard) => {
                    self.hazards[hazard as usize] += 1;
                    self.coverage.reach(Mark::Hazard(hazard));
                    self.strike(hazard);
                }
            }
        }
        self.trace.begin_step(None);
        self.begin_step(Rng::with_seed(self.plan.seed));
        self.calm_down();
        self.everybody_leaves();
        self.coverage.note_seen(&self.judge.seen);
        Outcome {
            fingerprint: self.trace.fingerprint(),
            seen: self.judge.seen.clone(),
            hazards: self.hazards,
            took_ms: self.now_ms(),
            coverage: self.coverage,
        }
    }

    /// The dice of a step are its own, wherever they are thrown.
    fn begin_step(&mut self, mut random: Rng) {
        let of_net = random.fork();
        self.net(|net| net.random = of_net);
        for server in &mut self.servers {
            server.world.random = random.fork();
        }
        if let Some(redis) = &mut self.redis {
            redis.begin_step(random.fork());
        }
        self.random = random;
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        let now_ms = self.now_ms();
        self.trace.note(now_ms, what);
    }

    fn now_ms(&self) -> u64 {
        self.servers[0].world.now_ms()
    }

    /// Looks at the network of all, or changes it.
    fn net<T>(&mut self, look: impl FnOnce(&mut Net) -> T) -> T {
        self.servers[0].world.net(look)
    }

    /// The world of a server.
    fn world(&mut self, server: usize) -> &mut World {
        &mut self.servers[server].world
    }

    /// A server, any of them. No dice are thrown for one.
    fn any_server(&mut self) -> usize {
        if self.servers.len() > 1 { self.random.usize(..self.servers.len()) } else { 0 }
    }

    fn pass(&mut self, ms: u64) {
        self.servers[0].world.pass(ms);
        let now_ms = self.now_ms();
        self.judge.note_time(now_ms);
        self.with_redis(Redis::pass);
        for Server { world, stalled_ms, .. } in &mut self.servers {
            for (worker, until_ms) in stalled_ms.iter().enumerate() {
                if world.is_up() {
                    world.stalled[worker] = *until_ms > now_ms;
                }
            }
        }
        if self.exhausted_ms <= now_ms {
            self.net(|net| net.weather.descriptors = Weather::FAIR.descriptors);
        }
        for server in 0..self.servers.len() {
            if self.servers[server].boots_ms <= now_ms {
                self.note(|| "another process begins".to_owned());
                self.servers[server].boots_ms = u64::MAX;
                self.world(server).boot();
            }
        }
    }

    /// Somebody who is awake has a turn. If nobody is, time goes by until somebody is.
    fn turn(&mut self) {
        let mut awake = self.awake();
        if awake.is_empty() {
            let next_ms = self.next_ms();
            if next_ms == u64::MAX {
                return;
            }
            self.pass(next_ms.saturating_sub(self.now_ms()));
            awake = self.awake();
        }
        if awake.is_empty() {
            return;
        }
        match awake[self.random.usize(..awake.len())] {
            Candidate::Worker(server, worker) => self.tick(server, worker),
            Candidate::Client(number) => self.client(number, |actor, hands| actor.wake(hands)),
            Candidate::Redis => self.with_redis(Redis::turn),
        }
    }

    /// Redis does something, or something is done to it.
    fn with_redis(&mut self, act: impl FnOnce(&mut Redis, &mut Net)) {
        let Some(redis) = &mut self.redis else { return };
        self.servers[0].world.net(|net| act(redis, net));
        let now_ms = self.now_ms();
        for note in self.redis.as_mut().map(Redis::take_notes).unwrap_or_default() {
            self.trace.note(now_ms, || format!("redis: {note}"));
        }
    }

    fn awake(&self) -> Vec<Candidate> {
        let mut awake = Vec::new();
        let is_awake = |redis: &Redis| self.servers[0].world.see(|net| redis.is_awake(net));
        if self.redis.as_ref().is_some_and(is_awake) {
            awake.push(Candidate::Redis);
        }
        for (number, Server { world, .. }) in self.servers.iter().enumerate() {
            let workers = (0..world.workers()).filter(|&worker| world.is_awake(worker));
            awake.extend(workers.map(|worker| Candidate::Worker(number, worker)));
        }
        let clients = self.actors.iter().enumerate();
        let clients = clients.filter(|(_, actor)| actor.is_awake(&self.servers[0].world));
        awake.extend(clients.map(|(number, _)| Candidate::Client(number)));
        awake
    }

    /// When somebody wakes next.
    fn next_ms(&self) -> u64 {
        let world = &self.servers[0].world;
        let now_ms = world.now_ms();
        let later = |ms: &u64| *ms > now_ms;
        let of_servers = self.servers.iter().map(|Server { world, stalled_ms, boots_ms }| {
            let workers = (0..world.workers()).map(|worker| world.wakes_at_ms(worker));
            let stalls = stalled_ms.iter().copied().filter(later);
            workers.chain(stalls).min().unwrap_or(u64::MAX).min(*boots_ms)
        });
        let clients = self.actors.iter().map(|actor| actor.wakes_at_ms(world));
        let exhausted = Some(self.exhausted_ms).into_iter().filter(later);
        let of_redis = self.redis.as_ref().map(Redis::wakes_at_ms);
        let all = of_servers
            .chain(of_redis)
            .chain(clients)
            .chain([world.next_arrival_ms()])
            .chain(exhausted);
        all.min().unwrap_or(u64::MAX)
    }

    /// A client does something of its own accord.
    fn act(&mut self) {
        if self.actors.is_empty() {
            return;
        }
        let number = self.random.usize(..self.actors.len());
        self.client(number, |actor, hands| actor.act(hands));
    }

    fn client(&mut self, number: usize, call: impl FnOnce(&mut dyn Actor, &mut Hands<'_>)) {
        let mut hands = Hands {
            world: &mut self.servers[0].world,
            judge: &mut self.judge,
            random: &mut self.random,
            trace: &mut self.trace,
            coverage: &mut self.coverage,
            number,
            topics: self.plan.topics.min(TOPICS_MAX),
            calm: self.is_calm,
        };
        call(&mut *self.actors[number], &mut hands);
    }

    /// A worker has a turn. What it leaves behind must keep to the bounds.
    fn tick(&mut self, server: usize, worker: usize) {
        let world = &mut self.servers[server].world;
        let before = world.look(worker, |worker| worker.counters().clone());
        let traps = |world: &mut World| (world.fuse.is_lit(), world.net(|net| net.ambush > 1));
        let set = traps(world);
        let result = world.try_tick(worker);
        let after = world.look(worker, |worker| worker.counters().clone());
        let left = traps(world);
        let turned_away = world.polls(worker).turned_away;
        let gauges = world.look(worker, Worker::gauges);
        let name = self.name(server, worker);
        self.note(|| {
            format!(
                "{name}: {} read, {} written, {} delivered, {} connections",
                after.bytes_read - before.bytes_read,
                after.bytes_written - before.bytes_written,
                after.delivered - before.delivered,
                after.connections()
            )
        });
        if after.restarts > before.restarts || result.is_err() {
            assert!(set != left, "a worker panics: {}", crate::complaint::last_panic());
            self.note(|| format!("{name} has panicked"));
            self.net(Net::excuse_all);
            self.coverage.note_panic(&crate::complaint::last_panic());
            self.judge.fail();
        }
        if result.is_err() {
            self.note(|| "it has panicked too often: the process ends".to_owned());
            self.coverage.reach(Mark::Event(Event::PanickedTooOften));
            return self.kill(server);
        }
        self.coverage.note_worker(&self.plan.config, &before, &after, &gauges);
        self.coverage.reach_if(turned_away > 0, Event::TurnedAway);
        self.check_bounds(server, worker, &after, &gauges);
        if self.servers[server].world.is_over() {
            self.note(|| "the process has gone away".to_owned());
            self.coverage.reach(Mark::Event(Event::Drained));
            self.kill(server);
        }
    }

    /// How the trace calls a worker.
    fn name(&self, server: usize, worker: usize) -> String {
        match self.servers.len() {
            1 => format!("worker {worker}"),
            _ => format!("worker {worker} of server {server}"),
        }
    }

    /// What one worker may hold.
    fn check_bounds(&self, server: usize, worker: usize, counters: &Counters, gauges: &HubGauges) {
        let config = &self.plan.config;
        let limits = &config.limits;
        let memory_max = config.share(limits.memory_bytes_max);
        assert!(
            gauges.memory_bytes <= memory_max + MEMORY_SLACK,
            "worker {worker} holds {} bytes of messages, and may hold {memory_max}",
            gauges.memory_bytes
        );
        // Credit, publishes under way with their answers, and what is said once a topic.
        let budgets = &config.budgets;
        let links = config.workers - 1;
        let letters_max = links * (budgets.credit as usize + 2 * budgets.forwards_in_flight)
            + 8 * (links + 1) * TOPICS_KNOWN;
        assert!(
            gauges.mail_waiting <= letters_max,
            "{} letters of worker {worker} wait to be sent, and {letters_max} may",
            gauges.mail_waiting
        );
        // What is below its bound may be given one more thing: a message, or an answer.
        let answer_max = limits.poll_bytes_max.max(self.answer_bytes_max) + MESSAGE_BYTES_MAX;
        self.servers[server].world.look(worker, |worker| {
            for (is_stream, owed) in worker.outboxes() {
                let more = if is_stream { MESSAGE_BYTES_MAX } else { answer_max };
                assert!(
                    owed <= limits.outbox_bytes_max + more,
                    "{owed} bytes are owed to a connection (a stream: {is_stream}), and {} may be",
                    limits.outbox_bytes_max + more
                );
            }
        });
        let outboxes_max =
            config.share(limits.outboxes_bytes_max) + counters.connections() as usize * answer_max;
        assert!(
            counters.outbox_bytes as usize <= outboxes_max,
            "worker {worker} owes {} bytes to its connections, and may owe {outboxes_max}",
            counters.outbox_bytes
        );
    }

    /// The process is gone; another comes soon.
    fn kill(&mut self, server: usize) {
        self.processes += 1;
        self.net(Net::excuse_all);
        let Server { world, stalled_ms, .. } = &mut self.servers[server];
        world.kill();
        world.fuse.put_out();
        stalled_ms.fill(0);
        self.judge.fail();
        let away_ms = if self.is_calm { 0 } else { self.random.u64(0..3_000) };
        self.servers[server].boots_ms = self.now_ms() + away_ms;
        self.pass(0);
    }

    fn strike(&mut self, hazard: Hazard) {
        let now_ms = self.now_ms();
        self.note(|| format!("hazard: {hazard:?}"));
        match hazard {
            Hazard::Cut | Hazard::HalfClose | Hazard::Vanish => self.strike_connection(hazard),
            Hazard::Pause => {
                let ms = self.random.u64(100..100_000);
                self.net(Net::excuse_all);
                self.pass(ms);
            }
            Hazard::WallClock => {
                let by_ms = self.random.i64(-100_000_000..100_000_000);
                self.net(|net| net.wall_ahead_ms += by_ms);
            }
            Hazard::Exhaustion => {
                self.exhausted_ms = now_ms + self.random.u64(1..5_000);
                self.net(|net| net.weather.descriptors = net.open);
            }
            _ if hazard.is_of_redis() => self.with_redis(|redis, net| redis.strike(net, hazard)),
            _ => {
                let server = self.any_server();
                if self.servers[server].world.is_up() {
                    self.strike_server(server, hazard);
                }
            }
        }
    }

    /// Something happens to a process.
    fn strike_server(&mut self, server: usize, hazard: Hazard) {
        let Server { world, stalled_ms, .. } = &mut self.servers[server];
        let random = &mut self.random;
        match hazard {
            Hazard::Stall => {
                let worker = random.usize(..world.workers());
                let most_ms = [300, 3_000, 15_000][random.usize(..3)];
                stalled_ms[worker] = world.now_ms() + random.u64(1..most_ms);
                world.stalled[worker] = true;
            }
            Hazard::Panic => {
                let place = Place::ALL[random.usize(..Place::ALL.len())];
                world.fuse.light(place, random.u32(1..20));
            }
            Hazard::PanicInCall => {
                let calls = random.u32(1..60);
                world.ambush(calls);
            }
            Hazard::Interrupt => {
                let worker = random.usize(..world.workers());
                if !world.stalled[worker] && !world.has_ended(worker) {
                    self.tick(server, worker);
                }
            }
            Hazard::Kill => self.kill(server),
            Hazard::Drain => world.drain(),
            Hazard::Reload => world.reload(),
            // These are there all the time.
            _ => unreachable!("{hazard:?} does not come in steps"),
        }
    }

    /// Something happens to a connection, of which neither end was asked.
    fn strike_connection(&mut self, hazard: Hazard) {
        let live = self.net(|net| net.live().to_vec());
        if live.is_empty() {
            return;
        }
        let pipe = live[self.random.usize(..live.len())];
        self.note(|| format!("it hits connection {pipe}"));
        self.net(|net| match hazard {
            Hazard::Cut => net.cut(pipe),
            Hazard::HalfClose => {
                net.pipes[pipe].excused = true;
                net.finish(pipe);
            }
            _ => net.vanish(pipe),
        });
    }
}

/// Encodings and messages that were under way when the bound was reached.
const MEMORY_SLACK: usize = 64 * 1024;
/// Topics that clients name, well-behaved or not.
const TOPICS_KNOWN: usize = 12;
/// The longest message, however it is encoded.
const MESSAGE_BYTES_MAX: usize = 4_500;
/// The longest other answer: the metrics, and without them a refusal.
const METRICS_BYTES_MAX: usize = 24 * 1024;
const REFUSAL_BYTES_MAX: usize = 1_000;
