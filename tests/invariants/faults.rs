//! System calls that fail, now and then or often: nothing is lost, leaked, or done in vain for long
//! (catalogue 216, 217, 219, 220).

use std::sync::Arc;

use fastrand::Rng;

use tidings::limits::Budgets;
use tidings::reactor::{Envelope, Parcel};
use tidings::worker::{Letter, Question};

use crate::churn::{assert_nothing_left, traffic};
use crate::client::{Wire, frame, get, metric, publish, take_answers};
use crate::crowd::{Crowd, TOPICS};
use crate::world::{Client, Weather, World};
use crate::{ask, config};

const MAILBOX_MAX: usize = Budgets::DEFAULT.mailbox;
const TIMERS_PER_TICK: usize = Budgets::DEFAULT.timers_per_tick;

/// What one storm has shown.
#[derive(Debug, Default)]
struct Seen {
    returns: usize,
    delivered: usize,
    acknowledged: usize,
    idle_max: u64,
    calls: u64,
    progress: u64,
}

/// Honest clients and strangers, while of 100 system calls so many fail.
fn storm(seed: u64, workers: usize, percent: u8) -> Seen {
    let what = format!("seed {seed}, {workers} workers, {percent} %");
    let mut random = Rng::with_seed(seed);
    let mut weather = Weather::random(&mut random);
    weather.window = weather.window.max(1_000);
    (weather.faults, weather.hiccups, weather.late) = (percent, percent, percent);
    let config = config(workers, |limits| {
        (limits.topic_idle_ms, limits.log_age_ms) = (100_000, 300_000);
        (limits.heartbeat_ms, limits.keep_alive_ms) = (3_000, 200_000);
    });
    let mut world = World::new(config, weather, seed);
    let mut crowd = Crowd::open(&mut world, &mut random, &what);
    let mut strangers: Vec<Client> = Vec::new();
    for _ in 0..400 {
        match random.u8(0..12) {
            0..3 => {
                let (publisher, topic) = (random.usize(..4), random.usize(..TOPICS));
                crowd.publish(&mut world, publisher, topic);
            }
            3..5 => crowd.take(&mut world),
            5 => {
                let stranger = world.connect(random.usize(..workers));
                strangers.push(stranger);
                world.send(stranger, traffic(&mut random));
            }
            6 if !strangers.is_empty() => {
                let stranger = strangers[random.usize(..strangers.len())];
                world.send(stranger, traffic(&mut random));
                world.receive_some(stranger, random.usize(0..3_000));
            }
            7 if !strangers.is_empty() => {
                let stranger = strangers.swap_remove(random.usize(..strangers.len()));
                if random.bool() { world.reset(stranger) } else { world.finish(stranger) }
            }
            8 => world.pass(random.u64(0..300)),
            _ => {
                for _ in 0..random.u8(1..6) {
                    world.round();
                }
            }
        }
    }
    let mut seen = Seen { returns: crowd.returns, ..Seen::default() };
    for worker in 0..workers {
        let polls = world.polls(worker);
        seen.idle_max = seen.idle_max.max(polls.idle_max);
        (seen.calls, seen.progress) = (seen.calls + polls.calls, seen.progress + polls.progress);
    }
    // It clears up. Listeners that are waited out are tried again.
    world.weather(|weather| *weather = Weather::FAIR);
    world.settle();
    world.pass(200);
    crowd.check(&mut world);
    let tracks = crowd.listeners.iter().map(|one| &one.track);
    for track in tracks.chain(crowd.pollers.iter().map(|one| &one.track)) {
        assert_eq!(track.gaps, 0, "no message was lost: {what}");
        seen.delivered += track.delivered.len();
    }
    seen.acknowledged = crowd.acknowledged.len();
    crowd.leave(&mut world);
    strangers.into_iter().for_each(|stranger| world.reset(stranger));
    for _ in 0..30 {
        world.pass(30_000);
        world.settle();
    }
    assert_nothing_left(&mut world, &what);
    seen
}

#[test]
fn attack_216_217_219_220_calls_that_fail_lose_nothing_leak_nothing_and_do_not_spin() {
    for percent in [1, 20] {
        let mut sum = Seen::default();
        for seed in 0..150 {
            let seen = storm(seed, [1, 2, 4][seed as usize % 3], percent);
            sum.returns += seen.returns;
            sum.delivered += seen.delivered;
            sum.acknowledged += seen.acknowledged;
            sum.idle_max = sum.idle_max.max(seen.idle_max);
            sum.calls += seen.calls;
            sum.progress += seen.progress;
        }
        assert!(sum.idle_max <= 10, "turns of which nothing came, in a row: {sum:?}");
        // At 20 % of each kind, every other call moves something; the rest ends, or says that there is nothing.
        assert!(sum.calls < 8 * sum.progress, "{percent} %: {sum:?}");
        assert!(
            sum.returns > 1_000 && sum.delivered > 2_000 && sum.acknowledged > 1_000,
            "{sum:?}"
        );
    }
}

#[test]
fn attack_217_an_error_of_accept_that_stays_is_waited_out_and_one_that_does_not_is_passed_over() {
    // EPERM, EINTR, ENOMEM, ENFILE, EMFILE, EPROTO, ECONNABORTED, ECONNRESET, ENOBUFS, ETIMEDOUT, EBADF.
    for error in [1, 4, 12, 23, 24, 71, 103, 104, 105, 110, 9] {
        let mut world = World::new(config(1, |_| ()), Weather::FAIR, 1);
        let early = world.connect(0);
        world.settle();
        world.refuse_accepts(0, Some(error));
        let late = world.connect(0);
        world.let_time_flow();
        let (before, began) = (world.polls(0), world.now_ms());
        while world.now_ms() < began + 1_000 {
            let polled = world.polls(0).count - before.count;
            assert!(polled <= 60, "error {error}: {polled} polls in less than a second");
            // The one that is here is served all the time.
            world.send(early, get("/healthz"));
            world.tick(0);
            world.tick(0);
            assert_eq!(take_answers(&mut world.receive(early)).len(), 1, "error {error}");
            world.tick(0);
        }
        let after = world.polls(0);
        assert!(after.accepts - before.accepts <= 11 * 65, "error {error}: tried too often");
        world.refuse_accepts(0, None);
        // Somebody was turned away each time; whoever comes now is not.
        let last = world.connect(0);
        world.send(last, get("/healthz"));
        for _ in 0..10 {
            world.tick(0);
        }
        assert_eq!(take_answers(&mut world.receive(last)).len(), 1, "error {error}");
        assert_eq!(world.queued(0, 0), 0);
        let _ = late;
    }
}

#[test]
fn attack_216_a_connection_that_cannot_be_registered_leaves_nothing_behind() {
    let mut world = World::new(config(2, |_| ()), Weather::FAIR, 1);
    world.fail_registering(true);
    let clients: Vec<Client> = (0..20).map(|number| world.connect(number % 2)).collect();
    clients.iter().for_each(|&client| world.send(client, get("/healthz")));
    world.settle();
    assert!(clients.iter().all(|&client| world.is_closed(client)));
    assert_eq!((world.open(), world.post.connections()), (0, 0));
    world.fail_registering(false);
    let scraper = world.connect(0);
    let answer = ask(&mut world, scraper, &get("/metrics"), 1).remove(0);
    let text = String::from_utf8(answer.body).expect("text");
    assert_eq!(metric(&text, "tidings_connections"), 1);
    let closed = metric(&text, "tidings_connections_closed_total{reason=\"socket_error\"}");
    assert_eq!(closed, clients.len() as u64);
}

#[test]
fn attack_219_writes_of_one_byte_with_errors_between_them_resume_exactly() {
    let weather = Weather { step_max: 1, hiccups: 20, ..Weather::FAIR };
    for wire in Wire::ALL {
        let mut world = World::new(config(1, |_| ()), weather, 1);
        let client = world.connect(0);
        world.send(client, wire.request("/topics/t"));
        world.settle();
        let mut whole = world.receive(client);
        let publisher = world.connect(0);
        for number in 0..5 {
            ask(&mut world, publisher, &publish("t", &format!("{number} {}", "x".repeat(300))), 1);
            world.settle();
            whole.extend(world.receive(client));
        }
        // The same in one piece, from the log.
        world.weather(|weather| *weather = Weather::FAIR);
        let other = world.connect(0);
        world.send(other, wire.request("/topics/t?after=earliest"));
        world.settle();
        let expected = world.receive(other);
        let tail = |bytes: &[u8]| bytes[bytes.len() - 5 * 300..].to_vec();
        assert_eq!(tail(&whole), tail(&expected), "{wire:?}");
        if matches!(wire, Wire::Raw | Wire::Json) {
            world.send(client, frame(8, &[3, 232]));
        }
    }
}

#[test]
fn attack_208_two_workers_whose_mailboxes_are_full_of_each_others_mail_come_free() {
    let mut world = World::new(config(2, |_| ()), Weather::FAIR, 1);
    let clients: Vec<Client> = (0..8).map(|number| world.connect(number % 2)).collect();
    world.settle();
    for worker in [0, 1] {
        let mut letters = 0;
        let letter = || {
            let letter = Letter::Asked { number: 9, question: Arc::new(Question::Numbers) };
            Parcel::Letter(Envelope { from: 1 - worker, from_life: 0, to_life: 0, letter })
        };
        while world.post.send(worker, letter()).is_ok() {
            letters += 1;
        }
        assert_eq!(letters, MAILBOX_MAX);
    }
    // Each of them has something to ask of the other before it looks into its own mailbox, and answers to
    // give to thousands of letters.
    for &client in &clients {
        let requests: String = (0..20).map(|topic| publish(&format!("t{topic}"), "x")).collect();
        world.send(client, requests);
    }
    world.settle();
    for &client in &clients {
        let answers = take_answers(&mut world.receive(client));
        assert_eq!(answers.len(), 20);
        assert!(answers.iter().all(|answer| answer.status == 201));
    }
}

#[test]
fn attack_226_deadlines_that_come_all_at_once_hold_up_nobody() {
    let count = 3 * TIMERS_PER_TICK;
    let config = config(1, |limits| limits.heartbeat_ms = 1);
    let mut world = World::new(config, Weather::FAIR, 1);
    let streams: Vec<Client> = (0..count)
        .map(|_| {
            let client = world.connect(0);
            world.send(client, Wire::Ndjson.request("/topics/t"));
            client
        })
        .collect();
    let client = world.connect(0);
    world.settle();
    for &stream in &streams {
        world.receive(stream);
    }
    world.pass(100);
    world.send(client, get("/healthz"));
    world.tick(0);
    assert_eq!(take_answers(&mut world.receive(client)).len(), 1, "it does not wait for them");
    let beats = |world: &mut World| {
        streams.iter().filter(|&&stream| !world.receive(stream).is_empty()).count()
    };
    let mut beaten = beats(&mut world);
    assert!(beaten > 0 && beaten <= TIMERS_PER_TICK, "{beaten}: in portions");
    while beaten < count {
        world.tick(0);
        assert_eq!(world.polls(0).timeout_ms, Some(0), "the rest follows at once");
        beaten += beats(&mut world);
    }
    assert_eq!(beaten, count, "each once");
}

#[test]
fn attack_226_the_deadline_of_a_connection_that_is_gone_does_not_reach_the_one_in_its_slot() {
    let config = config(1, |limits| limits.first_byte_ms = 10_000);
    let mut world = World::new(config, Weather::FAIR, 1);
    let first = world.connect(0);
    world.settle();
    let (_, gone) = world.key(first).expect("it is accepted");
    world.pass(9_000);
    world.reset(first);
    world.settle();
    let second = world.connect(0);
    world.settle();
    let (_, key) = world.key(second).expect("it is accepted");
    assert_eq!(key.slot, gone.slot);
    world.pass(9_900);
    world.settle();
    assert!(!world.is_closed(second), "its own time is not up");
    world.pass(200);
    world.settle();
    assert!(world.is_closed(second));
}

#[test]
fn a_poll_that_is_interrupted_ends_nobodys_time() {
    let config = config(1, |limits| limits.write_progress_ms = 2_000);
    let mut world = World::new(config, Weather { window: 300, ..Weather::FAIR }, 1);
    let publisher = world.connect(0);
    ask(&mut world, publisher, &publish("t", &"x".repeat(1_000)), 1);
    let reader = world.connect(0);
    world.send(reader, get("/topics/t"));
    world.settle();
    // It has taken what there was when somebody looks, and a signal comes between.
    let mut bytes = world.receive(reader);
    world.pass(5_000);
    world.weather(|weather| weather.faults = 100);
    world.tick(0);
    world.weather(|weather| weather.faults = 0);
    while take_answers(&mut bytes.clone()).is_empty() {
        world.settle();
        let more = world.receive(reader);
        assert!(!more.is_empty(), "it is given up");
        bytes.extend(more);
    }
}
