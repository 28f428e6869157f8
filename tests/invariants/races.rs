//! Moments that meet: each of these once lost, doubled or crashed something in a server of this kind. The
//! numbers are those of docs/security.md.

use fastrand::Rng;

use crate::client::{Reader, Told, Wire, get, metric, publish, take_answers};
use crate::world::{Client, Weather, World};
use crate::{Answer, ask, config};

/// The texts of a poll's messages, and its cursor.
fn messages(answer: &Answer) -> (Vec<String>, String) {
    assert_eq!(answer.status, 200);
    let poll = answer.json();
    assert!(poll.get("gap").is_none(), "nothing was trimmed: {poll}");
    let messages = poll["messages"].as_array().expect("a list");
    let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
    (messages.iter().map(|one| text(&one["data"])).collect(), text(&poll["cursor"]))
}

/// A server with two connections on any workers, and the cursor at the head of `t`.
fn two_clients(seed: u64) -> (World, Client, Client, String) {
    let workers = 1 + seed as usize % 3;
    let mut world = World::new(config(workers, |_| ()), Weather::FAIR, seed);
    let mut random = Rng::with_seed(seed);
    let poller = world.connect(random.usize(..workers));
    let publisher = world.connect(random.usize(..workers));
    let (_, cursor) = messages(&ask(&mut world, poller, &get("/topics/t?wait=0"), 1)[0]);
    assert_eq!(ask(&mut world, publisher, &get("/healthz"), 1)[0].status, 200);
    (world, poller, publisher, cursor)
}

#[test]
fn attack_115_a_publish_in_the_tick_in_which_a_poll_times_out_is_in_one_answer_and_never_lost() {
    let (mut with, mut without) = (0, 0);
    for seed in 0..600 {
        let (mut world, poller, publisher, cursor) = two_clients(seed);
        let mut random = Rng::with_seed(seed);
        world.send(poller, get(&format!("/topics/t?wait=1&after={cursor}")));
        world.settle();
        // The time is shortened by up to a tenth: it is up between 0.9 s and 1 s from now.
        if seed % 2 == 0 {
            // Nobody has looked at the clock meanwhile: what is due and what has come meet in one tick.
            world.pass(random.u64(880..1_020));
            world.send(publisher, publish("t", "x"));
        } else {
            let when = random.u64(880..1_020);
            for ms in 0..1_100 {
                world.pass(1);
                if ms == when {
                    world.send(publisher, publish("t", "x"));
                }
                if ms > 850 && random.bool() {
                    world.round();
                }
            }
        }
        world.settle();
        world.pass(1_100);
        world.settle();
        let answers = take_answers(&mut world.receive(poller));
        assert_eq!(answers.len(), 1, "one answer: seed {seed}");
        let (mut heard, cursor) = messages(&answers[0]);
        with += heard.len();
        without += 1 - heard.len();
        let (rest, _) =
            messages(&ask(&mut world, poller, &get(&format!("/topics/t?after={cursor}")), 1)[0]);
        heard.extend(rest);
        assert_eq!(heard, ["x"], "once: seed {seed}");
        assert_eq!(take_answers(&mut world.receive(publisher))[0].status, 201);
    }
    assert!(with > 50 && without > 50, "both happen: {with} and {without}");
}

#[test]
fn attack_116_a_publish_between_the_look_at_the_log_and_the_parking_wakes_the_poll() {
    for seed in 0..600 {
        let (mut world, poller, publisher, cursor) = two_clients(seed);
        let request = get(&format!("/topics/t?wait=50&after={cursor}"));
        match seed % 4 {
            // Both are there when a worker wakes up, in any order of the turns.
            0 => {
                world.send(poller, request);
                world.send(publisher, publish("t", "x"));
            }
            // The publish has come a few turns before, or after.
            1 => {
                world.send(publisher, publish("t", "x"));
                for _ in 0..seed % 5 {
                    world.round();
                }
                world.send(poller, request);
            }
            2 => {
                world.send(poller, request);
                for _ in 0..seed % 5 {
                    world.round();
                }
                world.send(publisher, publish("t", "x"));
            }
            // The publish, and turns of the other workers, in the middle of the tick that reads the poll.
            _ => {
                world.send(poller, request);
                let own = world.key(poller).expect("it is accepted").0;
                let workers = world.stalled.len();
                let mut inside = world.clone();
                world.before_next_read(move || {
                    inside.send(publisher, publish("t", "x"));
                    for worker in (0..workers).filter(|&worker| worker != own) {
                        inside.tick(worker);
                        inside.tick(worker);
                    }
                });
                world.tick(own);
            }
        }
        world.settle();
        // No time has passed: it was woken, it did not time out.
        let answers = take_answers(&mut world.receive(poller));
        assert_eq!(answers.len(), 1, "it is not parked for ever: seed {seed}");
        assert_eq!(messages(&answers[0]).0, ["x"], "seed {seed}");
    }
}

#[test]
fn attack_143_what_is_published_during_a_replay_joins_it_without_a_gap_or_a_repetition() {
    for seed in 0..240 {
        let workers = 1 + seed as usize % 3;
        let mut random = Rng::with_seed(seed);
        let weather = Weather::random(&mut random);
        let mut world = World::new(config(workers, |_| ()), weather, seed);
        let publisher = world.connect(random.usize(..workers));
        let wire = Wire::ALL[seed as usize / 3 % 4];
        let (before, during) = (random.usize(0..40), random.usize(1..40));
        let mut received = Vec::new();
        for number in 0..before {
            world.send(publisher, publish("t", &number.to_string()));
        }
        // Some of it may be on its way still when the subscriber comes.
        for _ in 0..random.usize(0..30) {
            world.round();
            received.extend(world.receive(publisher));
        }
        let subscriber = world.connect(random.usize(..workers));
        world.send(subscriber, wire.request("/topics/t?after=earliest"));
        let (mut reader, mut told) = (Reader::new(wire), Vec::new());
        for number in before..before + during {
            world.send(publisher, publish("t", &number.to_string()));
            for _ in 0..random.usize(0..4) {
                world.round();
            }
            told.extend(reader.take(&world.receive_some(subscriber, random.usize(1..500))));
        }
        loop {
            world.settle();
            received.extend(world.receive(publisher));
            let bytes = world.receive(subscriber);
            if bytes.is_empty() && !world.round() {
                break;
            }
            told.extend(reader.take(&bytes));
        }
        assert_eq!(take_answers(&mut received).len(), before + during, "seed {seed}");
        let heard = told.iter().filter(|told| **told != Told::Open);
        let expected: Vec<Told> =
            (0..before + during).map(|number| Told::Message(number.to_string())).collect();
        assert_eq!(heard.cloned().collect::<Vec<_>>(), expected, "{wire:?}, seed {seed}");
    }
}

#[test]
fn attack_194_a_message_that_arrives_after_its_subscriber_has_left_is_dropped_and_nobody_gets_it() {
    let mut crossed = 0;
    for seed in 0..160 {
        let mut world = World::new(config(2, |_| ()), Weather::FAIR, seed);
        let wire = Wire::ALL[seed as usize % 4];
        let topic = format!("t{}", seed / 4 % 5);
        let subscriber = world.connect(0);
        world.settle();
        let publisher = world.connect(1);
        world.settle();
        let at = |world: &World, client| world.key(client).map(|(worker, _)| worker);
        assert_eq!((at(&world, subscriber), at(&world, publisher)), (Some(0), Some(1)));
        world.send(subscriber, wire.request(&format!("/topics/{topic}")));
        world.settle();
        // The first worker stands still while the message is sent to it, and its subscriber leaves.
        world.stalled[0] = true;
        world.send(publisher, publish(&topic, "for nobody"));
        world.settle();
        world.receive(subscriber);
        match seed % 3 {
            0 => world.reset(subscriber),
            _ => world.finish(subscriber),
        }
        // Whether the message is read before or after the end of the subscriber is seen.
        world.stalled[0] = false;
        let next = world.connect(0);
        world.send(next, wire.request("/topics/other"));
        world.settle();
        crossed += usize::from(world.receive(subscriber).is_empty());
        assert!(world.is_closed(subscriber));
        let told = Reader::new(wire).take(&world.receive(next));
        assert!(told.iter().all(|told| *told == Told::Open), "seed {seed}: {told:?}");
        // It is there for whoever asks.
        assert_eq!(take_answers(&mut world.receive(publisher))[0].status, 201);
        let poll = ask(&mut world, publisher, &get(&format!("/topics/{topic}")), 1).remove(0);
        assert_eq!(messages(&poll).0, ["for nobody"]);
        world.reset(next);
        world.settle();
        let asker = world.connect(1);
        let text = ask(&mut world, asker, &get("/metrics"), 1).remove(0).body;
        let text = String::from_utf8(text).expect("text");
        for label in ["poll", "sse", "ndjson", "websocket"] {
            let name = format!("tidings_subscriptions{{wire=\"{label}\"}}");
            assert_eq!(metric(&text, &name), 0, "seed {seed}: {text}");
        }
        assert_eq!(metric(&text, "tidings_connections"), 2, "the publisher and who asks");
    }
    assert!(crossed > 100, "the message and the end crossed: {crossed}");
}

#[test]
fn a_cursor_that_is_ahead_of_its_worker_is_good_when_the_mail_has_come() {
    for topic in ["a", "b", "c", "d"] {
        for wire in [Wire::Ndjson, Wire::Json] {
            let mut config = config(2, |_| ());
            config.budgets.credit = 4;
            let mut world = World::new(config, Weather::FAIR, 1);
            let path = format!("/topics/{topic}");
            // Both workers know the topic, and have a connection that will go on.
            for worker in [0, 1] {
                let warm = world.connect(worker);
                world.send(warm, Wire::Ndjson.request(&path));
            }
            let [publisher, reader] = [0, 1].map(|worker| world.connect(worker));
            for client in [publisher, reader] {
                ask(&mut world, client, &get("/healthz"), 1);
            }
            // One worker stands still, and is sent no more than there is credit for: publishers wait for
            // it for a second.
            world.stalled[1] = true;
            world.send(publisher, publish(topic, "x").repeat(10));
            world.settle();
            let mut answers = take_answers(&mut world.receive(publisher));
            for _ in 0..20 {
                world.pass(1_100);
                world.settle();
                answers.extend(take_answers(&mut world.receive(publisher)));
            }
            let Some(last) = answers.last().map(Answer::json) else { continue };
            let id = last["id"].as_str().expect("an id").to_owned();
            assert!(id.ends_with("-10"), "{id}");
            world.send(reader, wire.request(&format!("{path}?after={id}")));
            world.stalled[1] = false;
            world.settle();
            world.send(publisher, publish(topic, "y"));
            world.settle();
            let told = Reader::new(wire).take(&world.receive(reader));
            let expected = [Told::Open, Told::Message("y".to_owned())];
            assert_eq!(told, expected, "topic {topic} on {wire:?}");
        }
    }
}

#[test]
fn a_cursor_that_nobody_has_given_out_is_told_of_a_gap_by_every_worker() {
    let mut world = World::new(config(2, |_| ()), Weather::FAIR, 1);
    let publisher = world.connect(0);
    for topic in ["a", "b", "c", "d"] {
        let answer = ask(&mut world, publisher, &publish(topic, "x"), 1).remove(0);
        let id = answer.json()["id"].as_str().expect("an id").to_owned();
        let (epoch, _) = id.split_once('-').expect("an epoch and a sequence");
        for cursor in [format!("{epoch}-2"), format!("{epoch}-99"), "0123abcd-1".to_owned()] {
            for worker in [0, 1] {
                let reader = world.connect(worker);
                let path = format!("/topics/{topic}?after={cursor}");
                world.send(reader, Wire::Ndjson.request(&path));
                world.settle();
                let told = Reader::new(Wire::Ndjson).take(&world.receive(reader));
                let expected = [Told::Open, Told::Gap(None), Told::Message("x".to_owned())];
                assert_eq!(told, expected, "{path} at worker {worker}");
            }
        }
    }
}
