//! What was acknowledged is there for whoever asks next, at every worker (invariant 5).

use std::cell::Cell;
use std::rc::Rc;

use fastrand::Rng;

use crate::binary::Binary;
use crate::client::{get, publish, take_answers};
use crate::config;
use crate::world::{Client, Weather, World};

/// A poll of everything in the topic, and the answer's last message.
fn last_message(answer: &crate::Answer) -> Option<String> {
    let json = answer.json();
    let messages = json["messages"].as_array().expect("messages");
    messages.last().map(|message| message["data"].as_str().expect("text").to_owned())
}

#[test]
fn a_poll_after_the_answer_sees_the_message_whatever_the_order_of_the_turns() {
    for seed in 0..60 {
        let workers = 2 + seed as usize % 3;
        let mut random = Rng::with_seed(seed);
        let weather = Weather { window: 64 * 1024, ..Weather::random(&mut random) };
        let mut world = World::new(config(workers, |_| ()), weather, seed);
        let publishers: Vec<Client> = (0..workers).map(|worker| world.connect(worker)).collect();
        for number in 0..40 {
            let topic = format!("t{}", random.u8(0..3));
            let data = number.to_string();
            let publisher = publishers[random.usize(..workers)];
            world.send(publisher, publish(&topic, &data));
            let mut bytes = Vec::new();
            for _ in 0..200_000 {
                world.round();
                bytes.extend(world.receive(publisher));
                if bytes.windows(8).any(|eight| eight == b"HTTP/1.1") {
                    break;
                }
            }
            // The first byte of the answer is out: whoever asks from now on must see it.
            let readers: Vec<Client> = (0..workers)
                .map(|worker| {
                    let reader = world.connect(worker);
                    let request = get(&format!("/topics/{topic}?last=1"));
                    world.send(reader, request);
                    reader
                })
                .collect();
            world.settle();
            bytes.extend(world.receive(publisher));
            assert_eq!(take_answers(&mut bytes)[0].status, 201);
            for reader in readers {
                let mut bytes = world.receive(reader);
                let answers = take_answers(&mut bytes);
                assert_eq!(answers.len(), 1, "seed {seed}");
                assert_eq!(last_message(&answers[0]), Some(data.clone()), "seed {seed}, {topic}");
                world.finish(reader);
            }
        }
    }
}

#[test]
fn a_poll_sees_a_message_that_was_acknowledged_in_the_middle_of_the_tick_that_reads_it() {
    let mut world = World::new(config(2, |_| ()), Weather::FAIR, 1);
    let topics: Vec<String> = (0..10).map(|number| format!("t{number}")).collect();
    // Subscribed to at the second worker, so that it holds logs or replicas of all of them.
    let subscriber = world.connect(1);
    world.send(subscriber, get(&format!("/topics/{}?wait=60&after=latest", topics.join(","))));
    let (publisher, reader) = (world.connect(0), world.connect(1));
    world.settle();
    assert_eq!(world.key(publisher).map(|(worker, _)| worker), Some(0));
    assert_eq!(world.key(reader).map(|(worker, _)| worker), Some(1));
    let mut at_once = 0;
    for topic in topics {
        world.send(reader, "GET");
        let acknowledged = Rc::new(Cell::new(false));
        let (mut inside, is_acknowledged) = (world.clone(), Rc::clone(&acknowledged));
        let rest = format!(" /topics/{topic} HTTP/1.1\r\nHost: t\r\n\r\n");
        world.before_next_read(move || {
            // The second worker has polled, and is about to read; meanwhile the first one publishes.
            inside.send(publisher, publish(&topic, "new"));
            inside.tick(0);
            is_acknowledged.set(!take_answers(&mut inside.receive(publisher)).is_empty());
            inside.send(reader, rest);
        });
        world.tick(1);
        world.settle();
        world.receive(publisher);
        let answer = take_answers(&mut world.receive(reader)).remove(0);
        if acknowledged.get() {
            at_once += 1;
            assert_eq!(last_message(&answer), Some("new".to_owned()), "it was acknowledged");
        }
    }
    assert!(at_once > 2, "only {at_once} topics are the first worker's");
}

#[test]
fn a_poll_after_the_answer_sees_the_message_on_any_connection_of_the_real_server() {
    let server = Binary::start(&["--workers", "4"]);
    let mut publishers: Vec<_> = (0..4).map(|_| server.connect()).collect();
    for number in 0..2_000 {
        let topic = format!("t{}", number % 5);
        let data = number.to_string();
        let count = publishers.len();
        let answer = publishers[number % count].ask(&publish(&topic, &data));
        assert_eq!(answer.status, 201);
        if number % 500 == 0 {
            // A thousand requests are a connection's share.
            publishers[number / 500 % count] = server.connect();
        }
        let answer = server.connect().ask(&get(&format!("/topics/{topic}?last=1")));
        assert_eq!(last_message(&answer), Some(data), "publish number {number}");
    }
}
