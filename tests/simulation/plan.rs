//! What is drawn from a seed before anything happens: how the server is set up, who comes, and what may go
//! wrong. In each run some hazards are off, as two that hide each other are found apart ("swarm testing",
//! Groce et al., ISSTA 2012).

use std::sync::Arc;

use fastrand::Rng;
use tidings::config::{Config, Credentials, Endpoint, RedisConfig, Topology};
use tidings::limits::{Budgets, Limits};

use crate::clients::Role;
use crate::net::Weather;
use crate::redis::Setting;
use crate::topics::TOPICS_MAX;

/// Something that may go wrong.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Hazard {
    // All the time, from time to time:
    /// Reads and writes move less than they could.
    ShortCalls,
    /// Calls say `WouldBlock` or `Interrupted` for no reason.
    Hiccups,
    /// Calls fail with an error that they may have.
    FailingCalls,
    /// Reports come late, twice, or about nobody.
    Rumours,
    /// What is sent is on its way for a while.
    Delay,
    /// Little goes through at a time.
    Narrow,
    /// Few bytes may be on their way to a client.
    SmallWindow,
    /// A reset destroys what was not taken yet.
    HarshResets,
    // At moments:
    /// A connection is reset in the middle.
    Cut,
    /// A client closes its sending side.
    HalfClose,
    /// A client is gone, and nobody says so.
    Vanish,
    /// A worker stands still for a while.
    Stall,
    /// The whole process does.
    Pause,
    /// A worker panics at some place.
    Panic,
    /// A worker panics in some system call.
    PanicInCall,
    /// The wall clock is set.
    WallClock,
    /// No descriptor is left for a while.
    Exhaustion,
    /// The process is killed, and another begins.
    Kill,
    /// The process is told to go away, and another begins.
    Drain,
    /// A poll ends for nothing.
    Interrupt,
    /// The operator has the settings read again.
    Reload,
    // Of Redis, where there is one:
    /// Its process is killed, and begins again: with what it had, with less, or with nothing.
    RedisKill,
    /// A replica takes its place, which may not have the last messages.
    RedisFailover,
    /// Somebody empties it.
    RedisFlush,
    /// It stands still for a while.
    RedisStill,
    /// It is a replica for a while, to which nobody can write.
    RedisDemoted,
    /// Its memory is used up for a while.
    RedisFull,
    /// It loads what it has for a while.
    RedisLoading,
    /// Its password is another one for a while, and who was there has to come again.
    RedisLocked,
    /// Those who listen hear nothing any more, and nobody says so.
    RedisMute,
    /// Those who listen are cut off.
    RedisCut,
    /// It forgets the scripts, and has no replica for a while.
    RedisForgets,
}

impl Hazard {
    pub(crate) const ALL: [Self; 32] = [
        Self::ShortCalls,
        Self::Hiccups,
        Self::FailingCalls,
        Self::Rumours,
        Self::Delay,
        Self::Narrow,
        Self::SmallWindow,
        Self::HarshResets,
        Self::Cut,
        Self::HalfClose,
        Self::Vanish,
        Self::Stall,
        Self::Pause,
        Self::Panic,
        Self::PanicInCall,
        Self::WallClock,
        Self::Exhaustion,
        Self::Kill,
        Self::Drain,
        Self::Interrupt,
        Self::Reload,
        Self::RedisKill,
        Self::RedisFailover,
        Self::RedisFlush,
        Self::RedisStill,
        Self::RedisDemoted,
        Self::RedisFull,
        Self::RedisLoading,
        Self::RedisLocked,
        Self::RedisMute,
        Self::RedisCut,
        Self::RedisForgets,
    ];

    pub(crate) const fn bit(self) -> u32 {
        1 << self as u32
    }

    /// Whether it is there all the time, and does not come in steps.
    pub(crate) const fn is_lasting(self) -> bool {
        self.steps_in_thousand() == 0
    }

    /// Whether it befalls Redis.
    pub(crate) const fn is_of_redis(self) -> bool {
        self as u32 > Self::Reload as u32
    }

    /// Of a thousand steps, so many are this; 0 for what is there all the time.
    const fn steps_in_thousand(self) -> u32 {
        match self {
            Self::ShortCalls
            | Self::Hiccups
            | Self::FailingCalls
            | Self::Rumours
            | Self::Delay
            | Self::Narrow
            | Self::SmallWindow
            | Self::HarshResets => 0,
            Self::RedisMute | Self::RedisCut | Self::RedisStill => 3,
            Self::RedisKill
            | Self::RedisFailover
            | Self::RedisDemoted
            | Self::RedisFull
            | Self::RedisLoading
            | Self::RedisLocked
            | Self::RedisForgets => 2,
            Self::RedisFlush => 1,
            Self::Cut | Self::Interrupt => 8,
            Self::HalfClose | Self::Vanish | Self::Stall => 3,
            Self::Pause
            | Self::Panic
            | Self::PanicInCall
            | Self::WallClock
            | Self::Exhaustion
            | Self::Reload => 2,
            Self::Kill | Self::Drain => 1,
        }
    }
}

/// What happens in one step.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Whoever is awake has a turn: a worker or a client. If nobody is, time goes by until somebody is.
    Turn,
    /// A client does something of its own accord.
    Client,
    /// Time goes by, whoever is awake.
    Pass,
    Hazard(Hazard),
}

/// Makes the dice of what only shared runs have others than those of what all have.
const SHARED: u64 = 0x7368_6172_6564;
/// Steps of a thousand in which a client acts, and in which time goes by.
const CLIENTS_IN_THOUSAND: u32 = 160;
const PASSES_IN_THOUSAND: u32 = 50;

/// All but `Reload`, which is drawn apart: what a seed had meant before there was that one, it still does but for a
/// few turns. And those of Redis, which are in runs of their own.
const FIRST_HAZARDS: &[Hazard] = Hazard::ALL.split_at(Hazard::Reload as usize).0;
const REDIS_HAZARDS: &[Hazard] = Hazard::ALL.split_at(Hazard::Reload as usize + 1).1;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// Those that are on, by [`Hazard::bit`].
    pub(crate) hazards: u32,
    pub(crate) config: Config,
    weather: Weather,
    /// Servers that share their topics, each with this configuration.
    pub(crate) servers: usize,
    pub(crate) roles: Vec<Role>,
    pub(crate) topics: usize,
    /// Clients that never do anything, by `1 << number`.
    pub(crate) dismissed: u32,
    /// The Redis that the servers share.
    pub(crate) redis: Option<Setting>,
}

/// One of several, each as likely.
fn one_of<T: Copy>(random: &mut Rng, choices: &[T]) -> T {
    choices[random.usize(..choices.len())]
}

impl Plan {
    /// The plan of a seed, without the hazards in `spared`.
    pub(crate) fn draw(seed: u64, spared: u32) -> Self {
        let mut random = Rng::with_seed(seed);
        let mut hazards = 0;
        for &hazard in FIRST_HAZARDS {
            if random.u8(0..5) < 2 {
                hazards |= hazard.bit();
            }
        }
        let workers = one_of(&mut random, &[1, 2, 2, 3, 4]);
        let limits = draw_limits(&mut random);
        let weather = Weather {
            step_max: one_of(&mut random, &[5, 60, 60, 500, 5_000]),
            hiccups: random.u8(1..30),
            faults: random.u8(1..4),
            late: random.u8(1..30),
            window: one_of(&mut random, &[300, 1_000, 4_000]),
            delay_ms: one_of(&mut random, &[3, 50, 400]),
            rate: one_of(&mut random, &[5, 100, 2_000]),
            harsh: true,
            ..Weather::FAIR
        };
        let topics = random.usize(1..=TOPICS_MAX).min(random.usize(1..=TOPICS_MAX));
        let roles = (0..random.usize(8..22)).map(|_| Role::draw(&mut random)).collect();
        let connections_max = one_of(&mut random, &[60, 10_000, 10_000]);
        let budgets = draw_budgets(&mut random);
        if random.u8(0..5) < 2 {
            hazards |= Hazard::Reload.bit();
        }
        let config = Config { workers, limits, connections_max, budgets, ..Config::default() };
        let hazards = hazards & !spared;
        Self {
            seed,
            hazards,
            config,
            weather,
            servers: 1,
            roles,
            topics,
            dismissed: 0,
            redis: None,
        }
    }

    /// The plan of a seed in which several servers share a Redis.
    pub(crate) fn draw_shared(seed: u64, spared: u32) -> Self {
        let mut plan = Self::draw(seed, 0);
        let mut random = Rng::with_seed(seed ^ SHARED);
        for &hazard in REDIS_HAZARDS {
            if random.u8(0..5) < 2 {
                plan.hazards |= hazard.bit();
            }
        }
        // Who follows a worker that has panicked is told of a gap that is none, and the judge will not have it.
        plan.hazards &= !(Hazard::Panic.bit() | Hazard::PanicInCall.bit());
        plan.hazards &= !spared;
        if plan.has(Hazard::RedisFailover) || plan.has(Hazard::RedisKill) {
            // What was emptied may come back: whoever was not visited between has its messages a second time, under the
            // same names and behind a gap.
            plan.hazards &= !Hazard::RedisFlush.bit();
            plan.roles.retain(|role| !matches!(role, Role::Deleter));
        }
        plan.servers = random.usize(2..4);
        let Config { workers, limits, .. } = &mut plan.config;
        *workers = random.usize(1..3);
        limits.topics_max = 100_000;
        // A server that has no room for what others publish keeps less of it, which the judge cannot know.
        limits.memory_bytes_max = Limits::default().memory_bytes_max;
        let password = random.bool().then(|| "secret".to_owned());
        let credentials =
            password.clone().map(|password| Credentials { user: "default".to_owned(), password });
        let redis = RedisConfig {
            topology: Topology::Servers(vec![Endpoint {
                host: "127.0.0.1".to_owned(),
                port: 6_379,
            }]),
            credentials,
            database: one_of(&mut random, &[0, 0, 5]),
            prefix: one_of(&mut random, &["tidings", "a:b"]).to_owned(),
            wait_replicas: one_of(&mut random, &[0, 0, 0, 1]),
            publish_wait_ms: one_of(&mut random, &[0, 0, 3_000]),
            timeout_ms: 5_000,
            check_ms: one_of(&mut random, &[60_000, 60_000, 5_000]),
            idempotency_window_ms: limits.idempotency_window_ms,
            topic_idle_ms: limits.topic_idle_ms,
            value_bytes_max: 2 << 20,
        };
        let prefix = redis.prefix.clone();
        plan.redis = Some(Setting { prefix, password, slack: one_of(&mut random, &[0, 5, 100]) });
        plan.config.redis = Some(Arc::new(redis));
        plan
    }

    pub(crate) fn has(&self, hazard: Hazard) -> bool {
        self.hazards & hazard.bit() != 0
    }

    pub(crate) fn is_dismissed(&self, client: usize) -> bool {
        self.dismissed & 1 << client != 0
    }

    /// The weather while hazards last.
    pub(crate) fn weather(&self) -> Weather {
        let (bad, fair) = (self.weather, Weather::FAIR);
        let pick = |hazard| if self.has(hazard) { bad } else { fair };
        Weather {
            step_max: pick(Hazard::ShortCalls).step_max,
            hiccups: pick(Hazard::Hiccups).hiccups,
            faults: pick(Hazard::FailingCalls).faults,
            late: pick(Hazard::Rumours).late,
            window: pick(Hazard::SmallWindow).window,
            delay_ms: pick(Hazard::Delay).delay_ms,
            rate: pick(Hazard::Narrow).rate,
            harsh: pick(Hazard::HarshResets).harsh,
            ..fair
        }
    }

    /// What happens in step number `number`, and the dice for it. It depends on no other step, so that any
    /// of them can be left out.
    pub(crate) fn step(&self, number: u32) -> (Act, Rng) {
        let mix = u64::from(number).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut random = Rng::with_seed(self.seed ^ mix);
        if self.redis.is_some()
            && let Some(hazard) = drawn(&mut random, REDIS_HAZARDS)
        {
            return (if self.has(hazard) { Act::Hazard(hazard) } else { Act::Turn }, random);
        }
        let mut ticket = random.u32(..1_000);
        let reload = Hazard::Reload;
        if ticket >= 1_000 - reload.steps_in_thousand() {
            let act = if self.has(reload) { Act::Hazard(reload) } else { Act::Turn };
            return (act, random);
        }
        for &hazard in FIRST_HAZARDS {
            let share = hazard.steps_in_thousand();
            if ticket < share {
                let act = if self.has(hazard) { Act::Hazard(hazard) } else { Act::Turn };
                return (act, random);
            }
            ticket -= share;
        }
        let act = match ticket {
            0..CLIENTS_IN_THOUSAND => Act::Client,
            ticket if ticket < CLIENTS_IN_THOUSAND + PASSES_IN_THOUSAND => Act::Pass,
            _ => Act::Turn,
        };
        (act, random)
    }
}

/// One of these hazards, or none, by their shares.
fn drawn(random: &mut Rng, hazards: &[Hazard]) -> Option<Hazard> {
    let (ticket, mut end) = (random.u32(..1_000), 0);
    hazards.iter().copied().find(|hazard| {
        end += hazard.steps_in_thousand();
        ticket < end
    })
}

/// Portions small enough for a few clients to fill them.
fn draw_budgets(random: &mut Rng) -> Budgets {
    let whole = Budgets::DEFAULT;
    let mut few = |small: &[usize], default: usize| match random.bool() {
        true => one_of(random, small),
        false => default,
    };
    Budgets {
        accepts_per_tick: few(&[1, 2], whole.accepts_per_tick),
        reads_per_tick: few(&[1, 3], whole.reads_per_tick),
        read_bytes_per_tick: few(&[64, 1_000], whole.read_bytes_per_tick),
        timers_per_tick: few(&[1, 2], whole.timers_per_tick),
        turns_per_tick: few(&[1, 2, 5], whole.turns_per_tick),
        deliveries_per_turn: few(&[1, 2], whole.deliveries_per_turn as usize) as u32,
        steps_per_turn: few(&[1, 2], whole.steps_per_turn),
        credit: few(&[4, 9], whole.credit as usize) as u32,
        forwards_in_flight: few(&[1, 3], whole.forwards_in_flight),
        mailbox: few(&[2, 8], whole.mailbox),
        ..Budgets::DEFAULT
    }
}

/// Limits small enough to be reached, one by one.
fn draw_limits(random: &mut Rng) -> Limits {
    let defaults = Limits::default();
    let mut now_and_then = |small: u64, default: u64| match random.u8(0..3) {
        0 => small,
        _ => default,
    };
    let heartbeat_ms = now_and_then(1_000, defaults.heartbeat_ms);
    let ping_ms = now_and_then(2_000, defaults.ping_ms);
    let keep_alive_ms = now_and_then(3_000, defaults.keep_alive_ms);
    let write_progress_ms = now_and_then(2_000, defaults.write_progress_ms);
    let topic_idle_ms = now_and_then(4_000, defaults.topic_idle_ms);
    let wait_max_ms = now_and_then(3_000, defaults.wait_max_ms);
    let idempotency_window_ms = now_and_then(8_000, defaults.idempotency_window_ms);
    let drain_spread_ms = now_and_then(1_000, defaults.drain_spread_ms);
    let linger_ms = now_and_then(100, defaults.linger_ms);
    let requests_max = now_and_then(5, u64::from(defaults.requests_max)) as u32;
    let replay_page = now_and_then(2, u64::from(defaults.replay_page)) as u32;
    let poll_bytes_max = now_and_then(700, defaults.poll_bytes_max as u64) as usize;
    let outbox_bytes_max = now_and_then(400, defaults.outbox_bytes_max as u64) as usize;
    let outboxes_bytes_max = now_and_then(2_000, defaults.outboxes_bytes_max as u64) as usize;
    let idempotency_keys_max = now_and_then(20, u64::from(defaults.idempotency_keys_max)) as u32;
    Limits {
        heartbeat_ms,
        ping_ms,
        keep_alive_ms,
        write_progress_ms,
        topic_idle_ms,
        wait_max_ms,
        idempotency_window_ms,
        drain_spread_ms,
        linger_ms,
        requests_max,
        replay_page,
        poll_bytes_max,
        outbox_bytes_max,
        outboxes_bytes_max,
        idempotency_keys_max,
        log_messages: one_of(random, &[3, 12, 40, 1_000, 1_000]),
        log_bytes: one_of(random, &[3_000, 20_000, 8 << 20, 8 << 20]),
        log_age_ms: one_of(random, &[2_000, 30_000, 3_600_000, 3_600_000]),
        memory_bytes_max: one_of(random, &[60_000, 1 << 30, 1 << 30, 1 << 30]),
        topics_max: one_of(random, &[30, 100_000, 100_000, 100_000, 100_000, 100_000]),
        ..defaults
    }
}
